"""Sums over samples of products of features less their means, for ridge regression with an offset.

An offset makes features that differ by a constant the same problem. So a constant, an *origin* near the means, is taken
out of them before they are multiplied: from products of features as they are it would have to be taken out at the end,
with the digits that the means' squares cost, in float32 all of them where the mean is some hundred times the spread.

For the tangent model with slopes s_i(x) = sigma'(<w_i, x>), t_i(x) = s_i(x) - o_i, xi = x - m, its features
s_i x - o_i m = t_i x + o_i xi have the kernel

    T(x, y) <x, y> + v(x) <x, eta> + v(y) <xi, y> + q <xi, eta>,    T = sum_i t_i t_i,  v = sum_i o_i t_i,  q = |o|^2

with eta = y - m, in which no term is much larger than the kernel itself (ours; `tests/kernels/test_centred.py`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastlazy._core import gram as core
from fastlazy._core.layout import padded
from fastlazy._core.shift import shift_features
from fastlazy._support.arguments import Array
from fastlazy._support.threads import Team
from fastlazy.activations.activation import Activation
from fastlazy.kernels.feature_operands import features_of_neurons, slope_bits
from fastlazy.kernels.operands import Blocks, check_products, operand, overflow_remedy, threads


class _Result(NamedTuple):
    """What a sum over neurons fills."""

    blocks: Blocks
    moments: Array  # (1, samples and padding) sum_i o_i t_i for each sample


def centred_rf_kernel(X: Array, W: Array, sigma: Activation, origin: Array, *, parallel: bool = True) -> Array:
    """sum_i (sigma(<w_i, x>) - o_i) (sigma(<w_i, y>) - o_i) for rows x, y of X, shape (n, n), of its dtype.

    Parameters
    ----------
    X : ndarray, shape (n, d)
    W : ndarray, shape (N, d)
        Of the dtype of X, as *origin*.
    sigma : Activation
    origin : ndarray, shape (N,)
        o, near the means of the features.
    parallel : bool
        False: on the calling thread alone.

    Returns
    -------
    ndarray, shape (n, n)
        Symmetric to the bit.

    Raises
    ------
    ValueError
        If an entry is not finite.
    """
    out = np.empty((len(X), len(X)), X.dtype)
    check_products(X, W)
    with threads(_work(X, W), parallel) as together:
        result = _add_features(together, X, W, sigma.compiled, origin, out, core.PLAIN)
    _check(result.blocks, sigma)
    return out


def centred_nt_kernel(
    X: Array, W: Array, sigma: Activation, origin: Array, mean: Array, *, parallel: bool = True
) -> Array:
    """The kernel of the features s_i(x) x - o_i m of the tangent model, shape (n, n), of the dtype of X.

    Parameters
    ----------
    X, W, sigma, parallel
        As above.
    origin : ndarray, shape (N,)
        o, near the means of the slopes. Not used for sigma = x^2, where it is the slopes at m, nor for slopes 0 and 1.
    mean : ndarray, shape (d,)
        m, near the mean of X.

    Returns
    -------
    ndarray, shape (n, n)
        Symmetric to the bit.

    Raises
    ------
    ValueError
        If sigma has no derivative, or an entry is not finite.
    """
    out = np.empty((len(X), len(X)), X.dtype)
    check_products(X, W)
    derivative, moved = sigma.compiled_derivative, X - mean
    v: Array
    with threads(_work(X, W), parallel) as together:
        if sigma.is_quadratic:
            M = 4 * (W.T @ W)
            samples, rows, turned = (operand(together, part) for part in (X, moved, moved @ M))
            blocks = Blocks(together, out, symmetric=True)
            blocks.add(rows, turned, how=core.TIMES, others=(samples, samples))
            v, q = moved @ (M @ mean), float(mean @ M @ mean)
        elif sigma.known.binary_slope:
            blocks = Blocks(together, out, symmetric=True)
            v, q = _count_bits(together, X, W, blocks)
        else:
            blocks, moments = _add_features(together, X, W, derivative, origin, out, core.TIMES)
            v, q = moments[0, : len(X)], float(np.sum(origin**2, dtype=np.float64))
        # v(x) <x, eta> + v(y) <xi, y> + q <xi, eta>
        half = (v[:, None] * X + q / 2 * moved).astype(X.dtype)
        left, right = operand(together, np.hstack([half, moved])), operand(together, np.hstack([moved, half]))
        blocks.add(left, right, begin=False)
    _check(blocks, sigma)
    return out


def _add_features(together: Team, X: Array, W: Array, function: Any, origin: Array, out: Array, how: int) -> _Result:
    """Fill *out* with sum_i t_i(x) t_i(y), t_i = f(<w_i, x>) - o_i, times <x, y> if *how* says so, in place."""
    samples = operand(together, X)
    result = _Result(Blocks(together, out, symmetric=True), np.zeros((1, samples.shape[0] * samples.shape[2])))
    for neurons, (held,) in features_of_neurons(together, function, W, [(samples, len(X))], result.blocks.errors):
        part, first, last = np.ascontiguousarray(origin[neurons]), neurons.start == 0, neurons.stop == len(W)
        together(shift_features, part, np.zeros(result.moments.shape[1], X.dtype), held)
        together(core.add_moments, held, len(part), part[None].astype(np.float64), result.moments)
        k = padded(len(part))
        result.blocks.add(held, held, k=k, begin=first, finish=last, how=how, others=(samples, samples))
    return result


def _count_bits(together: Team, X: Array, W: Array, blocks: Blocks) -> tuple[Array, float]:
    """Fill the result with T(x, y) <x, y> for slopes that are 0 or 1 and their exact means, in place; v (n,) and q."""
    samples, out = operand(together, X), blocks.out
    bits = slope_bits(together, W, samples)
    blocks.add(samples, samples, bits=(bits, bits))
    counts: Array = out.mean(axis=0, dtype=np.float64)  # sum_i o_i s_i(x), exact as *out* holds whole numbers
    q = float(counts.mean())
    for start in range(0, len(out), 64):  # rows that stay in the cache
        rows = slice(start, start + 64)
        out[rows] = out[rows] - counts + (q - counts[rows, None])
    blocks.add(samples, samples, k=0, begin=False, how=core.TIMES, others=(samples, samples))
    return counts - q, q


def _work(X: Array, W: Array) -> float:
    """Multiply-adds that a kernel takes at least."""
    n, d = X.shape
    return float(n) * len(W) * d + float(n) * n * d / 2


def _check(blocks: Blocks, sigma: Activation) -> None:
    if blocks.failed:
        raise ValueError(
            f"the kernel of the samples overflows {blocks.out.dtype}, or activation {sigma.name!r} raised an error or "
            f"gave NaN; divide X or W by a number{overflow_remedy(blocks.out.dtype)}"
        )
