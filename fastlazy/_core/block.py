"""Small minibatches in blocks: exact SGD steps, one after another, with W touched once a block.

Over the samples x_s of a block, minibatch after minibatch adds sum_s u_s x_s^T to W. So z_t = W x_t, with the W
of its own minibatch, is what W gave at the beginning of the block plus sum_s u_s <x_s, x_t> over the samples
of earlier minibatches. Two ways to find the u_s, from Z0 = X W^T of the beginning:

rows (`step_rows`, `step_rows_of_squares`)
    neuron by neuron as written above; any sigma and second layers of any kind, at a cost of N per pair of samples.
coefficients (`fill_coefficients`)
    for sigma = x^2, if the second layer is a_i = gain s_i with signs s_i. The rows of Z for one sign are then
    combinations T Z0: T_t = unit_t - sum_s gamma_s <x_s, x_t> s T_s and u_t = -gamma_t s T_t Z0,
    gamma_t = (4 eta_W gain / b) e_t. Errors follow from T and from K = Z0 Z0^T, summed over the neurons of that sign,
    so that nothing of size N is left in what must be done one after another.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastlazy._core.jit import jit, jit_inline
from fastlazy._core.layout import aligned_zeros, ceil_div, padded, pointer
from fastlazy._core.loops import call_loop
from fastlazy._core.moves import turn
from fastlazy._core.tile import multiply, multiply_panels

FIXED, SCALAR, FREE = 0, 1, 2  # what of the second layer is trained
_SHORT, _LONG = 24, 48  # samples of a block, at least: cost of rows, cost of W's way from memory
_FEW = 100  # neurons below which rows are cheaper than coefficients
_LENGTH = 32  # rows of T and its like have a multiple of it, so that short loops run in whole vectors


class Block(NamedTuple):
    """Scratch for several minibatches; all but G is for coefficients only, for each sign if there are two."""

    G: np.ndarray  # (groups, rows, 4) interleaved: <x_r, x_s>
    Z_panels: np.ndarray  # (signs, panels, neurons, width): samples as columns, zero for neurons of the other sign
    K: np.ndarray  # (signs, rows, length): Z Z^T over the neurons of a sign, see `fill_gram`
    T: np.ndarray  # (signs, rows + 1, length)
    A: np.ndarray  # (signs, rows + 1, length): what a sample adds to W is A_t Z0 x_t^T
    A_groups: np.ndarray  # (signs, groups, rows, 4) interleaved: A


class Sigma(NamedTuple):
    """A sigma that is not x^2, and what it needs; x^2 has empty arrays."""

    loops: np.ndarray  # (2,) addresses of the loops of sigma and sigma' (see `loops`), or empty
    H: np.ndarray  # (panels, 4 groups, width): sigma(W x), while Z holds sigma'(W x)
    moving: int  # neurons that are trained: those from there on stay as they are, as padding does
    errors: np.ndarray  # (members,): how often sigma raised an error


def has_coefficients(neurons: int, trained: int) -> bool:
    """Whether blocks of several minibatches go by coefficients, for a network that *neurons* can stand for."""
    return trained != FREE and neurons >= _FEW


def minibatches_per_block(b: int, coefficients: bool) -> int:
    """Minibatches of *b* samples that make one block: whole groups of four if there are several."""
    samples = _LONG if coefficients else _SHORT
    if b >= _SHORT:
        return 1
    whole = 4 // np.gcd(b, 4)
    return int(ceil_div(samples, b * whole) * whole)


def allocate_block(groups: int, a: np.ndarray, several: bool, coefficients: bool) -> Block:
    """Scratch for blocks of *groups* of four samples of *several* minibatches or one; a (panels, width)."""
    (panels, width), rows = a.shape, 4 * groups
    neurons = padded(panels * width)
    signs = (2 if (a < 0).any() else 1) if several and coefficients else 0
    length = _LENGTH * ceil_div(rows, _LENGTH)
    shapes = [
        (groups if several else 0, rows, 4),
        (signs, ceil_div(rows, width), neurons, width),
        (signs, rows, length),
        (signs, rows + 1, length),
        (signs, rows + 1, length),
        (signs, groups, rows, 4),
    ]
    return Block(*(aligned_zeros(shape, a.dtype) for shape in shapes))


@jit
def fill_inner_products(X_panels, first, last, C, G):
    """Fill G[g, r, s] = <x_r, x_(4 g + s)> for groups *first* to *last* and all r up to 4 g + 3, in place.

    C (rows, width) has room for these groups.
    """
    _, d4, width = X_panels.shape
    for p in range(ceil_div(4 * last, width)):
        multiply_panels(X_panels, 4 * first, 4 * last, X_panels[p], 0, d4, False, C, X_panels[p], 0)
        for g in range(first, last):
            for r in range(p * width, min((p + 1) * width, 4 * g + 4)):
                for s in range(4):
                    G[g, r, s] = C[4 * (g - first) + s, r - p * width]


@jit
def transpose_products(Z, a, p, start, stop, Z_panels):
    """Write Z (rows, width) of panel p, groups start to stop, as columns of *Z_panels* (see `Block`), in place."""
    width = Z.shape[1]
    first = p * width
    for h in range(len(Z_panels)):
        row = 4 * start
        while row < 4 * stop:
            q, column = divmod(row, width)
            rows = min(4 * stop - row, width - column)
            turn(Z, row, 0, rows, width, Z_panels[h, q], first, column)
            if len(Z_panels) == 2:
                for j in range(width):
                    if (a[j] < 0) != (h == 1):
                        Z_panels[h, q, first + j, column : column + rows] = 0
            row += rows


@jit
def fill_gram(Z_panels, first, last, C, K):
    """Fill rows 4 first to 4 last of K (rows, rows) for one sign, in place.

    K holds 2 <z_s, z_r> below the diagonal, |z_s|^2 on it and zeros above: T^T K T is then the whole sum. C (rows,
    width) has room for these rows.
    """
    _, neurons, width = Z_panels.shape
    for p in range(ceil_div(4 * last, width)):
        multiply_panels(Z_panels, 4 * first, 4 * last, Z_panels[p], 0, neurons, False, C, Z_panels[p], 0)
        for s in range(4 * first, 4 * last):
            for r in range(p * width, min((p + 1) * width, s + 1)):
                K[s, r] = C[s - 4 * first, r - p * width] * (2 if r < s else 1)


@jit
def fill_coefficients(b, rates, trained, y, block, state):
    """Take the steps of several minibatches, in place, and fill A and A_groups: zero above the diagonal.

    y (2, rows) holds the responses, and the weights of the squared errors; so it does for `step_rows`.
    The last row of T is scratch for T_t K, that of A for the errors.
    """
    G, K, T, A, A_groups = block.G, block.K, block.T, block.A, block.A_groups
    signs, groups, rows, _ = A_groups.shape
    length, samples = T.shape[2], b * rates.shape[0]
    sum_e = sum_ef = squares = 0.0
    A[:] = 0
    for t in range(samples):
        begun = t // b * b  # samples of earlier minibatches
        f = 0.0
        for h in range(signs):
            for r in range(length):
                T[h, t, r] = r == t
                T[h, rows, r] = 0
            # Four rows at a time; those past the last wanted are zero.
            for s in range(0, begun, 4):
                g0, g1, g2, g3 = (
                    G[t // 4, s, t % 4],
                    G[t // 4, s + 1, t % 4],
                    G[t // 4, s + 2, t % 4],
                    G[t // 4, s + 3, t % 4],
                )
                for r in range(length):
                    T[h, t, r] += g0 * A[h, s, r] + g1 * A[h, s + 1, r] + g2 * A[h, s + 2, r] + g3 * A[h, s + 3, r]
            for s in range(0, t + 1, 4):
                t0, t1, t2, t3 = T[h, t, s], T[h, t, s + 1], T[h, t, s + 2], T[h, t, s + 3]
                for r in range(length):
                    T[h, rows, r] += t0 * K[h, s, r] + t1 * K[h, s + 1, r] + t2 * K[h, s + 2, r] + t3 * K[h, s + 3, r]
            total = T.dtype.type(0)
            for r in range(length):
                total += T[h, t, r] * T[h, rows, r]
            f += (1 - 2 * h) * total
        e = state[0] * f + state[1] - y[0, t]
        weighted = y[1, t] * e
        A[0, rows, t] = weighted
        sum_e += weighted
        sum_ef += weighted * f
        squares += weighted * e
        if (t + 1) % b == 0:
            step = rates[t // b]
            for h in range(signs):
                factor = T.dtype.type((8 * h - 4) * step[0] * state[0] / b)
                for s in range(begun, t + 1):
                    factor_s = factor * A[0, rows, s]
                    for r in range(length):
                        A[h, s, r] = factor_s * T[h, s, r]
            state[1] -= step[2] * 2 / b * sum_e
            if trained == SCALAR:
                state[0] -= step[1] * 2 / b * sum_ef
            sum_e = sum_ef = 0.0
    state[3] += squares
    for h in range(signs):
        for g in range(groups):
            for s in range(4):
                for r in range(4 * g + 4):
                    A_groups[h, g, r, s] = A[h, 4 * g + s, r]


@jit
def combine_products(A_groups, a, Z, C, U):
    """Fill U (rows, width) = A Z for one panel, in place; each neuron with the A of its sign."""
    signs, groups, _, _ = A_groups.shape
    width = Z.shape[1]
    for h in range(signs):
        for g in range(groups):
            if signs == 1:
                multiply(A_groups[h], g, g + 1, Z, 0, 4 * g + 4, False, U[4 * g :])
                continue
            multiply(A_groups[h], g, g + 1, Z, 0, 4 * g + 4, False, C)
            for s in range(4):
                for j in range(width):
                    U[4 * g + s, j] = C[s, j] if (a[j] < 0) == (h == 1) else U[4 * g + s, j]


@jit
def apply_sigma(sigma, Z, p, start, stop, member):
    """Fill H = sigma(Z) for rows start to stop of panel p, and make sigma'(Z) of Z (rows, width), in place.

    Neurons that are not trained have 0 in the place of sigma'.
    """
    H, width = sigma.H[p], Z.shape[1]
    for s in range(start, stop):
        for j in range(width):
            H[s, j] = Z[s, j]
    count = (stop - start) * width
    good = call_loop(sigma.loops[0], pointer(H, start * width), count)
    good &= call_loop(sigma.loops[1], pointer(Z, start * width), count)
    if not good:
        sigma.errors[member] += 1
    for s in range(start, stop):
        for j in range(max(0, sigma.moving - p * width), width):
            Z[s, j] = 0


@jit
def step_rows(b, rates, trained, y, a, Z, G, e, state, sigma):
    """Take the steps of several minibatches, in place: Z becomes U in W + sum_r u_r x_r^T; e (rows,) work.

    The member that takes them is the first.
    """
    panels, rows, width = Z.shape
    samples = b * rates.shape[0]
    sum_e = sum_ef = squares = 0.0
    for s in range(rows):
        ended = apply_ended(b, s, Z, G)
        if s >= samples:  # padding
            for p in range(panels):
                Z[p, s] = 0
            continue
        f = 0.0
        for p in range(panels):
            apply_begun(b, s, ended, Z[p], G)
            apply_sigma(sigma, Z[p], p, s, s + 1, 0)
            f += inner_product(a[p], sigma.H[p, s])
        e[s] = state[0] * f + state[1] - y[0, s]
        weighted = y[1, s] * e[s]
        squares += weighted * e[s]
        e[s] = weighted
        sum_e += weighted
        sum_ef += weighted * f
        if (s + 1) % b == 0:
            step = rates[s // b]
            for p in range(panels):
                count = sigma.moving - p * width
                for j in range(width):
                    a_old, gradient = a[p, j], Z.dtype.type(0)
                    factor = Z.dtype.type(-2 * step[0] * state[0] / b) * a_old
                    for r in range(s + 1 - b, s + 1):
                        gradient += e[r] * sigma.H[p, r, j]
                        Z[p, r, j] *= factor * e[r]
                    if trained == FREE and j < count:
                        a[p, j] = a_old - Z.dtype.type(2 * step[1] / b) * gradient
            state[1] -= step[2] * 2 / b * sum_e
            if trained == SCALAR:
                state[0] -= step[1] * 2 / b * sum_ef
            sum_e = sum_ef = 0.0
    state[3] += squares


@jit
def apply_ended(b, s, Z, G):
    """The samples of minibatches that had ended when the group of sample s began.

    They are applied, in place, to the group of four as a whole when its first sample is reached; later ones singly.
    """
    g = s // 4
    ended = 4 * g // b * b // 4 * 4
    if s % 4 == 0 and ended > 0:
        for p in range(len(Z)):
            multiply(G, g, g + 1, Z[p], 0, ended, True, Z[p, s:])
    return ended


@jit
def apply_begun(b, s, ended, Z, G):
    """Apply, in place, samples of minibatches that ended since then to sample s of one panel."""
    for r in range(ended, s // b * b):
        inner = G[s // 4, r, s % 4]
        for j in range(Z.shape[1]):
            Z[s, j] += inner * Z[r, j]


@jit_inline
def inner_product(a, h):
    """sum_j a_j h_j."""
    total = h.dtype.type(0)
    for j in range(h.size):
        total += a[j] * h[j]
    return total


@jit
def step_rows_of_squares(b, rates, trained, y, a, Z, G, e, state):
    """As `step_rows`, for sigma = x^2."""
    panels, rows, width = Z.shape
    samples = b * rates.shape[0]
    sum_e = sum_ef = squares = 0.0
    for s in range(rows):
        ended = apply_ended(b, s, Z, G)
        if s >= samples:  # padding
            for p in range(panels):
                Z[p, s] = 0
            continue
        f = 0.0
        for p in range(panels):
            apply_begun(b, s, ended, Z[p], G)
            f += weighted_norm(a[p], Z[p, s])
        e[s] = state[0] * f + state[1] - y[0, s]
        weighted = y[1, s] * e[s]
        squares += weighted * e[s]
        e[s] = weighted
        sum_e += weighted
        sum_ef += weighted * f
        if (s + 1) % b == 0:
            step = rates[s // b]
            for p in range(panels):
                for j in range(width):
                    a_old, gradient = a[p, j], Z.dtype.type(0)
                    factor = Z.dtype.type(-4 * step[0] * state[0] / b) * a_old
                    for r in range(s + 1 - b, s + 1):
                        z, e_r = Z[p, r, j], e[r]
                        gradient += e_r * z * z
                        Z[p, r, j] = factor * e_r * z
                    if trained == FREE:
                        a[p, j] = a_old - Z.dtype.type(2 * step[1] / b) * gradient
            state[1] -= step[2] * 2 / b * sum_e
            if trained == SCALAR:
                state[0] -= step[1] * 2 / b * sum_ef
            sum_e = sum_ef = 0.0
    state[3] += squares


@jit
def weighted_norm(a, z):
    """sum_j a_j z_j^2."""
    total = z.dtype.type(0)
    for j in range(z.size):
        total += a[j] * z[j] * z[j]
    return total
