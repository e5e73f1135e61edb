"""Online SGD of the quadratic network f(x) = alpha sum_i a_i <w_i, x>^2 + c, in place.

The target is y = sum_i beta_i x_i^2 + b0 with x ~ N(0, I): in the eigenbasis of B, which costs nothing
since x is rotation invariant. A step on b fresh samples with errors e = f(x) - y and loss mean(e^2) is

    W     <- W     - eta_W (4 alpha / b) sum_k e_k (a o W x_k) x_k^T
    a     <- a     - eta_a (2 / b)       sum_k e_k (W x_k)^2          ("free")
    alpha <- alpha - eta_a (2 / b)       sum_k e_k sum_i a_i <w_i, x_k>^2   ("scalar")
    c     <- c     - eta_c (2 / b)       sum_k e_k

with all gradients at the old values. W stays in panels for the whole run and is read once and updated
once per block of samples. A block is one minibatch, or, if minibatches are small, several: z = W x is
taken for all samples of the block at once, with the W of its beginning, and corrected for the updates
within the block, which have the form W + sum_r u_r x_r^T, through the products <x_r, x_s>. The numbers
are those of one minibatch at a time, at the speed of a matrix product.

Three phases a block, each of items that any member of the team may take (see `team`): products z = W x;
errors and the next block's samples; update of W.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastlazy._core.jit import jit
from fastlazy._core.normal import fill_normals
from fastlazy._core.team import meet, take
from fastlazy._core.tile import (
    HEIGHT,
    INTERLEAVE,
    REGISTER_BYTES,
    add_product,
    add_product_t,
    ceil_div,
    panel_width,
    pointer,
    product,
    tall_add_product_t,
    tall_product,
)

_TALL = HEIGHT // INTERLEAVE
_ITEM = 250_000  # multiply-adds of one item: some microseconds, well above the cost of taking it
_BLOCK = 24  # samples that small minibatches are gathered to, at least

FIXED, SCALAR, FREE = 0, 1, 2  # what of the second layer is trained


class Network(NamedTuple):
    """What is trained; padding neurons have W = a = 0."""

    W: np.ndarray  # (panels, d4, width)
    a: np.ndarray  # (2, panels, width): now, and after the step under way
    state: np.ndarray  # (3,) float64: alpha, c, which of the two a is now


class Samples(NamedTuple):
    """The samples of this block and of the next, in turn."""

    beta: np.ndarray  # (d,) eigenvalues of B
    b0: float
    X: np.ndarray  # (2, groups, d4, 4) interleaved
    y: np.ndarray  # (2, 4 groups)
    X_panels: np.ndarray  # (ceil(4 groups / width), d4, width), blocks of several minibatches only


class Work(NamedTuple):
    """Room for one block."""

    Z: np.ndarray  # (panels, 4 groups, width): W x, later its coefficient in the update
    f: np.ndarray  # (panels, 4 groups, lanes): sums of a z^2 over the columns j, lanes + j, ... of a panel
    e: np.ndarray  # (4 groups,): errors
    G: np.ndarray  # (groups, 4 groups, 4) interleaved: <x_r, x_s>, blocks of several minibatches only
    U: np.ndarray  # (members, 4 groups, width): Z times its coefficients
    C: np.ndarray  # (members, 4, width): a tile of X X^T


def minibatches_per_block(b: int) -> int:
    """Minibatches of *b* samples that make one block: whole groups of four if there are several."""
    if b >= _BLOCK:
        return 1
    whole = INTERLEAVE // np.gcd(b, INTERLEAVE)
    return int(ceil_div(_BLOCK, b * whole) * whole)


def pack(rows: np.ndarray, a: np.ndarray, alpha: float, c: float, dtype: np.dtype) -> Network:
    """The network with first layer *rows* (N, d) and second layer alpha a, a (N,), in panels."""
    N, d = rows.shape
    width = panel_width(N, dtype)
    panels, d4 = ceil_div(N, width), 4 * ceil_div(d, 4)
    W, second = np.zeros((panels * width, d4)), np.zeros(panels * width)
    W[:N, :d], second[:N] = rows, a
    return Network(
        W=np.ascontiguousarray(W.reshape(panels, width, d4).transpose(0, 2, 1), dtype),
        a=np.tile(second.reshape(panels, width).astype(dtype), (2, 1, 1)),
        state=np.array([alpha, c, 0.0]),
    )


def unpack(network: Network, N: int, d: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """The rows (N, d), a (N,), alpha and c of a network, copied, in float64."""
    panels, d4, width = network.W.shape
    alpha, c, turn = network.state
    rows = network.W.astype(np.float64).transpose(0, 2, 1).reshape(panels * width, d4)[:N, :d]
    return rows.copy(), network.a[int(turn)].astype(np.float64).ravel()[:N], float(alpha), float(c)


def allocate(
    network: Network, beta: np.ndarray, b0: float, block: int, several: bool, members: int
) -> tuple[Samples, Work]:
    """Room for blocks of *block* samples, of *several* minibatches or one, and a team of *members*."""
    (panels, d4, width), dtype = network.W.shape, network.W.dtype
    groups = ceil_div(block, 4)
    rows = 4 * groups
    samples = Samples(
        beta=np.ascontiguousarray(beta, dtype),
        b0=float(b0),
        X=np.zeros((2, groups, d4, 4), dtype),
        y=np.zeros((2, rows), dtype),
        X_panels=np.zeros((ceil_div(rows, width) if several else 0, d4, width), dtype),
    )
    work = Work(
        Z=np.zeros((panels, rows, width), dtype),
        f=np.zeros((panels, rows, REGISTER_BYTES // dtype.itemsize), dtype),
        e=np.zeros(rows, dtype),
        G=np.zeros((groups if several else 0, rows, 4), dtype),
        U=np.zeros((members, rows, width), dtype),
        C=np.zeros((members, 4, width), dtype),
    )
    return samples, work


@jit
def advance(member, members, board, key, first_group, blocks, b, m, rates, trained, samples, work, network):
    """Train on *blocks* blocks of m minibatches of b samples, in place, as one *member* of a team.

    Every member makes the same call with its own number. The samples are those of the groups of four from
    *first_group* on under *key* (see `draw_group`); a block ends with padding if it is not of whole groups.
    *rates* (blocks m, 3) holds (eta_W, eta_a, eta_c) of each step; *trained* is FIXED, SCALAR or FREE.
    """
    W = network.W
    panels, d4, width = W.shape
    groups = samples.X.shape[1]
    row_chunk = max(_TALL, _ITEM // (4 * width * d4) // _TALL * _TALL)
    row_chunks = ceil_div(groups, row_chunk)
    feature_chunk = max(_TALL, _ITEM // (16 * width * groups) // _TALL * _TALL)
    feature_chunks = ceil_div(d4 // 4, feature_chunk)

    draw_block(board, member, members, key, first_group, 0, m, samples)
    running = meet(board, members)
    for t in range(blocks):
        if not running:
            return
        now = t % 2
        X, y = samples.X[now], samples.y[now]
        # read before anyone may write them: the values that the whole step uses
        alpha, turn = network.state[0], int(network.state[2])
        a, a_next = network.a[turn], network.a[1 - turn]

        products = panels * row_chunks
        items = products + (groups if m > 1 else 0)
        item = take(board, items, member, members)
        while item < items:
            if item < products:
                p, chunk = divmod(item, row_chunks)
                start = chunk * row_chunk
                fill_products(X, start, min(start + row_chunk, groups), W[p], a[p], work.Z[p], work.f[p])
            else:
                fill_inner_products(X, item - products, b, samples.X_panels, work.C[member], work.G)
            item = take(board, items, member, members)
        if not meet(board, members):
            return

        if member == 0:
            if m == 1:
                step_scalars(b, rates[t], trained, y, work, network.state)
            else:
                step_minibatches(b, rates[t * m : (t + 1) * m], trained, y, a, work, network.state)
        if t + 1 < blocks:
            draw_block(board, member, members, key, first_group + (t + 1) * groups, 1 - now, m, samples)
        if not meet(board, members):
            return

        items = panels * feature_chunks
        scaled = -1  # the panel whose coefficients this member has in U
        item = take(board, items, member, members)
        while item < items:
            p, chunk = divmod(item, feature_chunks)
            start = chunk * feature_chunk
            stop = min(start + feature_chunk, d4 // 4)
            if m > 1:
                add_update(X, work.Z[p], 1.0, start, stop, W[p])
            else:
                if trained == FREE and chunk == 0:
                    step_second_layer(work.Z[p], work.e, 2 * rates[t, 1] / b, a[p], a_next[p])
                if p != scaled:
                    scale_products(work.Z[p], work.e, a[p], work.U[member])
                    scaled = p
                add_update(X, work.U[member], -4 * rates[t, 0] * alpha / b, start, stop, W[p])
            item = take(board, items, member, members)
        running = meet(board, members)


@jit
def vectors_of(panels):
    """Vectors in a row of *panels* (..., width)."""
    return panels.shape[-1] * panels.itemsize // REGISTER_BYTES


@jit
def draw_block(board, member, members, key, first_group, half, m, samples):
    """Draw one block of samples into *half* of their room, in place, together with the team."""
    X, y = samples.X[half], samples.y[half]
    g = take(board, len(X), member, members)
    while g < len(X):
        draw_group(key, first_group + g, samples.beta, samples.b0, X[g], y[4 * g : 4 * g + 4])
        if m > 1:
            copy_to_panel(X[g], g, samples.X_panels)
        g = take(board, len(X), member, members)


@jit
def draw_group(key, stream, beta, b0, X, y):
    """Draw four samples X (d4, 4) and their y (4,), in place: coordinate i of sample s is number 4 i + s."""
    d = beta.size
    fill_normals(np.uint64(key), np.uint64(stream), X.reshape(X.size)[: 4 * d])
    y0 = y1 = y2 = y3 = y.dtype.type(b0)
    for i in range(d):
        y0 += beta[i] * X[i, 0] * X[i, 0]
        y1 += beta[i] * X[i, 1] * X[i, 1]
        y2 += beta[i] * X[i, 2] * X[i, 2]
        y3 += beta[i] * X[i, 3] * X[i, 3]
    y[0], y[1], y[2], y[3] = y0, y1, y2, y3


@jit
def copy_to_panel(X, g, X_panels):
    """Write the samples X (d4, 4) as columns 4 g, ..., 4 g + 3 of *X_panels*, in place."""
    for s in range(4):  # one by one: a panel need not hold whole groups
        p, j = divmod(4 * g + s, X_panels.shape[2])
        for i in range(X.shape[0]):
            X_panels[p, i, j] = X[i, s]


@jit
def fill_products(X, start, stop, W, a, Z, f):
    """Fill Z (rows, width) = X W^T and f = sum_j a_j Z_j^2, in place, for groups start to stop of samples."""
    d4, width = W.shape
    lanes, vectors = f.shape[1], vectors_of(W)
    g = start
    while g < stop:
        x, z = pointer(X, g * d4 * 4), pointer(Z, g * 4 * width)
        if g + _TALL <= stop:
            tall_product(vectors, x, 4 * d4, 16, pointer(W, 0), d4, 1.0, z)
            g += _TALL
        else:
            product(vectors, x, 4 * d4, 16, pointer(W, 0), d4, 1.0, z)
            g += 1
    for s in range(4 * start, 4 * stop):  # one sum a lane: adding across a vector is left to the end
        for j in range(lanes):
            f[s, j] = a[j] * Z[s, j] * Z[s, j]
        for v in range(1, vectors):
            for j in range(lanes):
                f[s, j] += a[v * lanes + j] * Z[s, v * lanes + j] * Z[s, v * lanes + j]


@jit
def weighted_norm(a, z):
    """sum_j a_j z_j^2."""
    total = z.dtype.type(0)
    for j in range(z.size):
        total += a[j] * z[j] * z[j]
    return total


@jit
def fill_inner_products(X, g, b, X_panels, C, G):
    """Fill G[g, r, s] = <x_r, x_(4 g + s)> for r in an earlier minibatch, 0 for others, in place."""
    _, d4, width = X_panels.shape
    G[g] = 0
    for p in range(ceil_div(4 * g + 4, width)):
        panel = pointer(X_panels, p * d4 * width)
        product(vectors_of(X_panels), pointer(X, g * d4 * 4), 0, 16, panel, d4, 1.0, pointer(C, 0))
        for r in range(p * width, min((p + 1) * width, 4 * g + 4)):
            for s in range(4):
                if r // b < (4 * g + s) // b:
                    G[g, r, s] = C[s, r - p * width]


@jit
def step_scalars(b, rates, trained, y, work, state):
    """Fill the errors of one minibatch and step alpha and c, in place; flip the two a if they are trained."""
    alpha, c = state[0], state[1]
    sum_e = sum_ef = 0.0
    for s in range(work.e.size):
        for p in range(1, work.f.shape[0]):
            for j in range(work.f.shape[2]):
                work.f[0, s, j] += work.f[p, s, j]
        f = 0.0
        for j in range(work.f.shape[2]):
            f += work.f[0, s, j]
        e = alpha * f + c - y[s]
        if s >= b:  # padding
            e = 0.0
        work.e[s] = e
        sum_e += e
        sum_ef += e * f
    state[1] -= rates[2] * 2 / b * sum_e
    if trained == SCALAR:
        state[0] -= rates[1] * 2 / b * sum_ef
    if trained == FREE:
        state[2] = 1 - state[2]


@jit
def step_minibatches(b, rates, trained, y, a, work, state):
    """Take the steps of several minibatches, in place: Z becomes U in W + sum_r u_r x_r^T."""
    Z, G = work.Z, work.G
    panels, rows, width = Z.shape
    samples = b * rates.shape[0]
    sum_e = sum_ef = 0.0
    for s in range(rows):
        g = s // 4
        # Minibatches that had ended when this group began are applied to it as a whole, later ones singly.
        ended = 4 * g // b * b // 4 * 4
        if s % 4 == 0 and ended > 0:
            for p in range(panels):
                done, now = pointer(Z, p * rows * width), pointer(Z, (p * rows + s) * width)
                add_product(vectors_of(Z), pointer(G, g * rows * 4), 0, 16, done, ended, 1.0, now)
        if s >= samples:  # padding
            for p in range(panels):
                Z[p, s] = 0
            continue
        f = 0.0
        for p in range(panels):
            for r in range(ended, s // b * b):
                inner = G[g, r, s % 4]
                for j in range(width):
                    Z[p, s, j] += inner * Z[p, r, j]
            f += weighted_norm(a[p], Z[p, s])
        e = state[0] * f + state[1] - y[s]
        work.e[s] = e
        sum_e += e
        sum_ef += e * f
        if (s + 1) % b == 0:
            step = rates[s // b]
            for p in range(panels):
                for j in range(width):
                    a_old, gradient = a[p, j], Z.dtype.type(0)
                    factor = Z.dtype.type(-4 * step[0] * state[0] / b) * a_old
                    for r in range(s + 1 - b, s + 1):
                        z, e_r = Z[p, r, j], work.e[r]
                        gradient += e_r * z * z
                        Z[p, r, j] = factor * e_r * z
                    if trained == FREE:
                        a[p, j] = a_old - Z.dtype.type(2 * step[1] / b) * gradient
            state[1] -= step[2] * 2 / b * sum_e
            if trained == SCALAR:
                state[0] -= step[1] * 2 / b * sum_ef
            sum_e = sum_ef = 0.0


@jit
def step_second_layer(Z, e, rate, a, a_next):
    """Fill a_next = a - rate sum_s e_s Z_s^2, in place."""
    for j in range(a.size):
        a_next[j] = 0
    for s in range(e.size):
        for j in range(a.size):
            a_next[j] += e[s] * Z[s, j] * Z[s, j]
    for j in range(a.size):
        a_next[j] = a[j] - a.dtype.type(rate) * a_next[j]


@jit
def scale_products(Z, e, a, U):
    """Fill U = e_s a_j Z_sj, in place."""
    for s in range(e.size):
        for j in range(a.size):
            U[s, j] = e[s] * a[j] * Z[s, j]


@jit
def add_update(X, U, scale, start, stop, W):
    """Add scale X^T U to W (d4, width), in place, for groups start to stop of coordinates."""
    groups, d4, _ = X.shape
    width, vectors = U.shape[1], vectors_of(U)
    i = start
    while i < stop:
        x, w = pointer(X, i * 16), pointer(W, i * 4 * width)
        if i + _TALL <= stop:
            tall_add_product_t(vectors, x, 16, 4 * d4, pointer(U, 0), 4 * groups, scale, w)
            i += _TALL
        else:
            add_product_t(vectors, x, 16, 4 * d4, pointer(U, 0), 4 * groups, scale, w)
            i += 1
