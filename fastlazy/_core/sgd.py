"""SGD of the network f(x) = gain sum_i a_i sigma(<w_i, x>) + c, in place.

Samples are given, or those of the target y = sum_i beta_i x_i^2 + b0 with x ~ N(0, I): in the eigenbasis of B, which
costs nothing since x is rotation invariant; or those of two Gaussian classes, in the modes of the pair. A step on b
samples with errors e = f(x) - y and loss mean(e^2) is

    W     <- W     - eta_W (2 gain / b) sum_k e_k (a o sigma'(W x_k)) x_k^T
    a     <- a     - eta_a (2 / b)      sum_k e_k sigma(W x_k)                 ("free")
    gain  <- gain  - eta_a (2 / b)      sum_k e_k sum_i a_i sigma(<w_i, x_k>)  ("scalar")
    c     <- c     - eta_c (2 / b)      sum_k e_k

with all gradients at the old values. Samples that are given may have weights s_k: the loss is then mean(s e^2), and
s_k e_k stands for e_k in these sums. For sigma = x^2 everything is written out; any other sigma and its derivative are
loops that are called where the products lie in the cache (see `loops`).

W stays in panels for the whole run and is read once and updated once per block of samples. A block is one minibatch,
or, if minibatches are small, several: z = W x is taken for all samples of the block at once, with the W of its
beginning, and corrected for the updates within the block, which have the form W + sum_r u_r x_r^T, through the products
<x_r, x_s>. The numbers are those of one minibatch at a time, at the speed of a matrix product.

Three phases a block, each of items that any member of the team may take (see `team`): products z = W x;
errors and the next block's samples; update of W.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastlazy._core.block import (
    FIXED,
    FREE,
    SCALAR,
    Block,
    Sigma,
    allocate_block,
    apply_sigma,
    combine_products,
    fill_coefficients,
    fill_gram,
    fill_inner_products,
    has_coefficients,
    minibatches_per_block,
    step_rows,
    step_rows_of_squares,
    transpose_products,
)
from fastlazy._core.geometry import REGISTER_BYTES
from fastlazy._core.jit import jit
from fastlazy._core.lanes import sum_lanes
from fastlazy._core.layout import aligned_zeros, ceil_div, groups_of, padded, panel_width
from fastlazy._core.samples import Samples, allocate_samples, draw_block, given
from fastlazy._core.team import meet, take
from fastlazy._core.tile import TALL, add_transposed, multiply

__all__ = [
    "FIXED",
    "FREE",
    "SCALAR",
    "Network",
    "Shape",
    "Sigma",
    "State",
    "Stretch",
    "advance",
    "allocate",
    "given",
    "has_coefficients",
    "minibatches_per_block",
    "pack",
    "unpack",
]

_ITEM = 250_000  # multiply-adds of one item: some microseconds, well above the cost of taking it


class Network(NamedTuple):
    """What is trained; padding neurons have W = a = 0."""

    W: np.ndarray  # (panels, d4, width)
    a: np.ndarray  # (2, panels, width): now, and after the step under way
    state: np.ndarray  # (4,) float64: gain, c, which of the two a is now, sum of e^2 over all samples so far


class State(NamedTuple):
    """The network f(x) = gain sum_i a_i <w_i, x>^2 + c, not packed."""

    W: np.ndarray  # (N, d)
    a: np.ndarray  # (N,)
    gain: float
    c: float


class Shape(NamedTuple):
    """For what blocks there is scratch."""

    size: int  # samples of a block
    several: bool  # whether a block is made of several minibatches, or of one
    coefficients: bool  # whether several go by coefficients, for which all a are 1 and -1, or by rows (see `block`)
    loops: tuple[int, int] | None  # addresses of the loops of sigma and sigma'; None: sigma = x^2
    moving: int  # neurons that are trained, the first; for x^2 all are
    members: int  # of the team


class Stretch(NamedTuple):
    """Blocks of samples, one after the other."""

    key: np.uint64  # of the samples that are drawn
    first_group: int  # number of the first group of four samples
    blocks: int
    b: int  # samples of a minibatch
    m: int  # minibatches of a block
    trained: int  # FIXED, SCALAR or FREE


class Work(NamedTuple):
    """Scratch for one block of samples."""

    Z: np.ndarray  # (panels, 4 groups, width): W x, later its coefficient in the update
    f: np.ndarray  # (panels, 4 groups, lanes): sums of a z^2 over the columns j, lanes + j, ... of a panel
    e: np.ndarray  # (4 groups,): errors, times their weights
    U: np.ndarray  # (members, 4 groups, width): Z times its coefficients
    C: np.ndarray  # (members, 4 TALL, width): a tile of X X^T and its like
    block: Block
    sigma: Sigma


def pack(rows: np.ndarray, a: np.ndarray, gain: float, c: float, dtype: np.dtype) -> Network:
    """The network with first layer *rows* (N, d) and second layer gain a, a (N,), in panels."""
    N, d = rows.shape
    width = panel_width(N, dtype)
    panels, d4 = ceil_div(N, width), padded(d)
    W, second = np.zeros((panels * width, d4)), np.zeros(panels * width)
    W[:N, :d], second[:N] = rows, a
    in_panels = aligned_zeros((panels, d4, width), dtype)
    in_panels[:] = W.reshape(panels, width, d4).transpose(0, 2, 1)
    return Network(
        W=in_panels,
        a=np.tile(second.reshape(panels, width).astype(dtype), (2, 1, 1)),
        state=np.array([gain, c, 0.0, 0.0]),
    )


def unpack(network: Network, N: int, d: int) -> State:
    """The state of a network of rows (N, d), copied, in float64."""
    panels, d4, width = network.W.shape
    gain, c, turn, _ = network.state
    rows = network.W.astype(np.float64).transpose(0, 2, 1).reshape(panels * width, d4)[:N, :d]
    return State(rows.copy(), network.a[int(turn)].astype(np.float64).ravel()[:N], float(gain), float(c))


def allocate(
    network: Network, beta: np.ndarray, b0: float, shape: Shape, spreads: np.ndarray | None = None
) -> tuple[Samples, Work]:
    """Scratch for blocks of that *shape*.

    Samples that are drawn are those of the target *beta* (d,), *b0*, or of two classes with *spreads* (2, d).
    """
    (panels, _, width), dtype = network.W.shape, network.W.dtype
    groups = groups_of(shape.size)
    work = Work(
        Z=aligned_zeros((panels, 4 * groups, width), dtype),
        f=aligned_zeros((panels, 4 * groups, REGISTER_BYTES // dtype.itemsize), dtype),
        e=np.zeros(4 * groups, dtype),
        U=aligned_zeros((shape.members, 4 * groups, width), dtype),
        C=aligned_zeros((shape.members, 4 * TALL, width), dtype),
        block=allocate_block(groups, network.a[0], shape.several, shape.coefficients),
        sigma=Sigma(
            loops=np.array([*(shape.loops or ())], np.int64),
            H=aligned_zeros((panels if shape.loops else 0, 4 * groups, width), dtype),
            moving=shape.moving,
            errors=np.zeros(shape.members, np.int64),
        ),
    )
    return allocate_samples(beta, b0, shape.size, width if shape.several else 0, dtype, spreads), work


@jit
def advance(member, members, board, stretch, rates, samples, work, network):
    """Train on a *stretch* of blocks, in place, as one *member* of a team.

    Every member makes the same call with its own number. The samples are those of the groups of four from the first
    group on under the key (see `draw_group`), or in the given order; a block ends with padding if it is not of whole
    groups. *rates* (blocks m, 3) holds (eta_W, eta_a, eta_c) of each step.
    """
    key, first_group, blocks, b, m, trained = stretch
    W = network.W
    panels, d4, width = W.shape
    groups = samples.X.shape[1]
    block, sigma = work.block, work.sigma
    squares = sigma.loops.size == 0
    signs = len(block.A_groups)  # 0: blocks of several minibatches go by rows
    row_chunk = max(TALL, _ITEM // (4 * width * d4) // TALL * TALL)
    row_chunks = ceil_div(groups, row_chunk)
    feature_chunk = max(TALL, _ITEM // (16 * width * groups) // TALL * TALL)
    feature_chunks = ceil_div(d4 // 4, feature_chunk)
    pieces = ceil_div(groups, TALL)  # of the block's samples

    draw_block(board, member, members, key, first_group, 0, samples)
    running = meet(board, members)
    for t in range(blocks):
        if not running:
            return
        now = t % 2
        X, y = samples.X[now], samples.y[now]
        # The whole step uses these values, so they are read before anyone may write them.
        gain, turn = network.state[0], int(network.state[2])
        a, a_next = network.a[turn], network.a[1 - turn]

        products = panels * row_chunks
        items = products + (pieces if m > 1 else 0)
        item = take(board, items, member, members)
        while item < items:
            if item < products:
                p, chunk = divmod(item, row_chunks)
                start = chunk * row_chunk
                stop = min(start + row_chunk, groups)
                multiply(X, start, stop, W[p], 0, d4, False, work.Z[p, 4 * start :])
                if m == 1 and squares:
                    fill_squares(work.Z[p], a[p], start, stop, work.f[p])
                elif m == 1:
                    apply_sigma(sigma, work.Z[p], p, 4 * start, 4 * stop, member)
                    fill_sums(sigma.H[p], a[p], start, stop, work.f[p])
                elif signs > 0:
                    transpose_products(work.Z[p], a[p], p, start, stop, block.Z_panels)
            else:
                first = (item - products) * TALL
                last = min(first + TALL, groups)
                fill_inner_products(samples.X_panels, first, last, work.C[member], block.G)
            item = take(board, items, member, members)
        if not meet(board, members):
            return

        if m > 1 and signs > 0:
            item = take(board, signs * pieces, member, members)
            while item < signs * pieces:
                piece, sign = divmod(item, signs)
                first, last = piece * TALL, min((piece + 1) * TALL, groups)
                fill_gram(block.Z_panels[sign], first, last, work.C[member], block.K[sign])
                item = take(board, signs * pieces, member, members)
            if not meet(board, members):
                return

        if member == 0:
            if m == 1:
                step_scalars(b, rates[t], trained, y, work, network.state)
            elif signs > 0:
                fill_coefficients(b, rates[t * m : (t + 1) * m], trained, y, block, network.state)
            elif squares:
                steps = rates[t * m : (t + 1) * m]
                step_rows_of_squares(b, steps, trained, y, a, work.Z, block.G, work.e, network.state)
            else:
                steps = rates[t * m : (t + 1) * m]
                step_rows(b, steps, trained, y, a, work.Z, block.G, work.e, network.state, sigma)
        if t + 1 < blocks:
            draw_block(board, member, members, key, first_group + (t + 1) * groups, 1 - now, samples)
        if not meet(board, members):
            return

        items = panels * feature_chunks
        scaled = -1  # the panel whose coefficients this member has in U
        item = take(board, items, member, members)
        while item < items:
            p, chunk = divmod(item, feature_chunks)
            start = chunk * feature_chunk
            stop = min(start + feature_chunk, d4 // 4)
            if m > 1 and signs == 0:
                add_transposed(X, work.Z[p], start, stop, W[p])
            else:
                if trained == FREE and chunk == 0 and squares:
                    step_second_layer_of_squares(work.Z[p], work.e, 2 * rates[t, 1] / b, a[p], a_next[p])
                elif trained == FREE and chunk == 0:
                    count = sigma.moving - p * width
                    step_second_layer(sigma.H[p], work.e, 2 * rates[t, 1] / b, count, a[p], a_next[p])
                if p != scaled:
                    if m == 1:
                        factor = (-4 if squares else -2) * rates[t, 0] * gain / b
                        scale_products(work.Z[p], work.e, a[p], factor, work.U[member])
                    else:
                        combine_products(block.A_groups, a[p], work.Z[p], work.C[member], work.U[member])
                    scaled = p
                add_transposed(X, work.U[member], start, stop, W[p])
            item = take(board, items, member, members)
        running = meet(board, members)


@jit
def fill_squares(Z, a, start, stop, f):
    """Fill f = sum_j a_j Z_j^2, in place, one sum a lane: adding across a vector is left to the end."""
    for s in range(4 * start, 4 * stop):
        sum_lanes(True, a, Z, s, f)


@jit
def fill_sums(H, a, start, stop, f):
    """Fill f = sum_j a_j H_j, in place, one sum a lane, as `fill_squares`."""
    for s in range(4 * start, 4 * stop):
        sum_lanes(False, a, H, s, f)


@jit
def step_scalars(b, rates, trained, y, work, state):
    """Fill the errors of one minibatch and step the gain and c, in place; flip the two a if they are trained."""
    gain, c = state[0], state[1]
    sum_e = sum_ef = squares = 0.0
    for s in range(work.e.size):
        for p in range(1, work.f.shape[0]):
            for j in range(work.f.shape[2]):
                work.f[0, s, j] += work.f[p, s, j]
        f = 0.0
        for j in range(work.f.shape[2]):
            f += work.f[0, s, j]
        e = gain * f + c - y[0, s]
        if s >= b:  # padding
            e = 0.0
        weighted = y[1, s] * e
        work.e[s] = weighted
        sum_e += weighted
        sum_ef += weighted * f
        squares += weighted * e
    state[3] += squares
    state[1] -= rates[2] * 2 / b * sum_e
    if trained == SCALAR:
        state[0] -= rates[1] * 2 / b * sum_ef
    if trained == FREE:
        state[2] = 1 - state[2]


@jit
def step_second_layer(H, e, rate, count, a, a_next):
    """Fill a_next = a - rate sum_s e_s H_s for the first *count* neurons, in place; it stays for the others."""
    for j in range(a.size):
        a_next[j] = 0
    for s in range(e.size):
        for j in range(a.size):
            a_next[j] += e[s] * H[s, j]
    for j in range(a.size):
        a_next[j] = a[j] - a.dtype.type(rate) * a_next[j] if j < count else a[j]


@jit
def step_second_layer_of_squares(Z, e, rate, a, a_next):
    """Fill a_next = a - rate sum_s e_s Z_s^2, in place."""
    for j in range(a.size):
        a_next[j] = 0
    for s in range(e.size):
        for j in range(a.size):
            a_next[j] += e[s] * Z[s, j] * Z[s, j]
    for j in range(a.size):
        a_next[j] = a[j] - a.dtype.type(rate) * a_next[j]


@jit
def scale_products(Z, e, a, factor, U):
    """Fill U = factor e_s a_j Z_sj, in place."""
    for s in range(e.size):
        scale = U.dtype.type(factor) * e[s]
        for j in range(a.size):
            U[s, j] = scale * a[j] * Z[s, j]
