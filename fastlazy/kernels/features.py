"""Values of the linear models RF and NT on samples, and the coefficients that a dual solution stands for.

    RF    f(x) = sum_i a_i sigma(<w_i, x>)                 a_i = sum_s u_s sigma(<w_i, x_s>)
    NT    f(x) = sum_i <b_i, x> sigma'(<w_i, x>)           b_i = sum_s u_s sigma'(<w_i, x_s>) x_s

With b a value costs O(N d), whatever the number of samples it was learned from; the kernel between new samples and
those would cost that and O(n (d + N)) more. Features are never stored for all samples and neurons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastlazy._core import gram as core
from fastlazy._core import values as core_values
from fastlazy._core.layout import padded
from fastlazy._core.loops import loop_address
from fastlazy._support.arguments import Array
from fastlazy._support.threads import Team
from fastlazy.activations.activation import Activation
from fastlazy.kernels.feature_operands import Counts, FeaturesOfSamples
from fastlazy.kernels.operands import Blocks, check_products, operand, overflow_remedy, scratch, threads

SAMPLES = 2048  # samples whose features are made at a time


def features(X: Array, W: Array, sigma: Activation, *, derivative: int = 0, parallel: bool = True) -> Array:
    """sigma(<w_i, x>), or sigma' of it, for rows x of X (n, d) and w of W (N, d), of their dtype; shape (n, N).

    Raises
    ------
    ValueError
        If sigma has no derivative and it is asked for, or a feature is not finite.
    """
    out = np.empty((len(X), len(W)), W.dtype)

    def use(_together: Team, held: Array, part: slice, _first: bool) -> None:
        rows, width = out[part], held.shape[2]
        for first in range(0, len(W), width):
            columns = rows[:, first : first + width]
            columns[:] = held[first // width, : len(rows), : columns.shape[1]]

    _with_features(X, W, sigma, derivative, None, use, parallel)
    return out


def rf_values(X: Array, W: Array, a: Array, sigma: Activation, *, parallel: bool = True) -> Array:
    """f(x) of random features for second layers a (t, N), shape (n, t), float64.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    out = np.zeros((len(a), len(X)))
    check_products(X, W)
    with threads(float(len(X)) * W.size, parallel) as together:
        layers = operand(together, W)
        loop, errors = loop_address(sigma.compiled, W.dtype), np.zeros(together.members, np.int64)
        second = np.ascontiguousarray(a, np.float64)
        for start, rows in _parts(X):
            samples = operand(together, rows)
            place = scratch(together, samples.shape[2], W.dtype)[:, 0]
            part = out[:, start : start + len(rows)].copy()
            together(core_values.add_rf_values, layers, len(W), samples, loop, second, place, part, errors)
            out[:, start : start + len(rows)] = part
    _check_finite("values", out, errors, sigma, W.dtype)
    return np.ascontiguousarray(out.T)


def nt_values(X: Array, W: Array, b: Array, sigma: Activation, *, parallel: bool = True) -> Array:
    """f(x) of the neural tangent model for coefficients b (t, N, d), shape (n, t), float64.

    Raises
    ------
    ValueError
        If sigma has no derivative, or a value is not finite.
    """
    out = np.zeros((len(b), len(X)))
    check_products(X, W)
    with threads(2 * float(len(X)) * W.size * len(b), parallel) as together:
        layers = operand(together, W)
        moved = np.stack([operand(together, part.astype(W.dtype)) for part in b])
        loop, errors = loop_address(sigma.compiled_derivative, W.dtype), np.zeros(together.members, np.int64)
        for start, rows in _parts(X):
            samples = operand(together, rows)
            place = scratch(together, samples.shape[2], W.dtype)[:, :2].reshape(together.members, -1, samples.shape[2])
            part = out[:, start : start + len(rows)].copy()
            together(core_values.add_nt_values, layers, moved, len(W), samples, loop, place, part, errors)
            out[:, start : start + len(rows)] = part
    _check_finite("values", out, errors, sigma, W.dtype)
    return np.ascontiguousarray(out.T)


def form_values(X: Array, forms: Array) -> Array:
    """<x, S x> for symmetric forms S (t, d, d), shape (n, t), in float64, as a large mean of x needs."""
    out = np.empty((len(X), len(forms)))
    for start, rows in _parts(X):
        wide = rows.astype(np.float64, copy=False)
        for t, form in enumerate(forms.astype(np.float64, copy=False)):
            out[start : start + len(rows), t] = np.einsum("ij,ij->i", wide @ form, wide)
    return out


def rf_coefficients(
    X: Array, u: Array, W: Array, sigma: Activation, *, origin: Array | None = None, parallel: bool = True
) -> Array:
    """Second layers a (t, N) for dual solutions u (n, t), float64.

    Parameters
    ----------
    X : ndarray, shape (n, d)
    u : ndarray, shape (n, t)
    W : ndarray, shape (N, d)
    sigma : Activation
    origin : ndarray, shape (N,), optional
        Near the means of the features, for u that sums to zero up to rounding, where it makes no difference: it is
        taken out of the features, whose means would multiply the rounding.
    parallel : bool
        False: on the calling thread alone.

    Returns
    -------
    ndarray, shape (t, N)

    Raises
    ------
    ValueError
        If a feature is not finite.
    """
    out = np.zeros((u.shape[1], len(W)))

    def use(together: Team, held: Array, part: slice, _: bool) -> None:
        out[:] += _moments(together, held, u[part])[:, : len(W)]

    _with_features(X, W, sigma, 0, origin, use, parallel)
    return out


def nt_coefficients(
    X: Array, u: Array, W: Array, sigma: Activation, *, origin: Array | None = None, parallel: bool = True
) -> Array:
    """Coefficients b (t, N, d) for dual solutions u (n, t), of W's dtype.

    With the mean m of X and the *origin* o of the slopes, as in `rf_coefficients`, x = m + xi and s_i = o_i + t_i,
    b_i = sum_s u_s (t_i xi + o_i xi + t_i m), plus o_i m sum_s u_s, which is zero or o is.

    Raises
    ------
    ValueError
        If sigma has no derivative, or one of its values is not finite.
    """
    t, d = u.shape[1], W.shape[1]
    out, sums = np.zeros((len(W), t * d), W.dtype), np.zeros((t, len(W)))
    mean = X.mean(axis=0, dtype=np.float64).astype(X.dtype)
    blocks: list[Blocks] = []

    def use(together: Team, held: Array, part: slice, first: bool) -> None:
        if first:
            blocks.append(Blocks(together, out, symmetric=False))
        weighted = (u[part].T[:, None, :] * (X[part] - mean).T).reshape(t * d, -1).astype(W.dtype)
        right = operand(together, weighted)
        blocks[0].add(held, right, k=right.shape[1], begin=first, finish=False)
        sums[:] += _moments(together, held, u[part])[:, : len(W)]

    _with_features(X, W, sigma, 1, origin, use, parallel)
    b = out.reshape(len(W), t, d).transpose(1, 0, 2) + sums[:, :, None] * mean
    if origin is not None:
        b += origin[:, None] * (u.T @ (X - mean).astype(np.float64))[:, None, :]
    return np.ascontiguousarray(b, W.dtype)


def _moments(together: Team, held: Array, u: Array) -> Array:
    """Sums over samples of features times the columns of u (samples, t), shape (t, columns of the panels), float64."""
    moments = np.zeros((u.shape[1], held.shape[0] * held.shape[2]))
    weights = np.ascontiguousarray(u.T, np.float64)
    together(core.add_moments, held, weights.shape[1], weights, moments)
    return moments


def _with_features(
    X: Array,
    W: Array,
    sigma: Activation,
    derivative: int,
    origin: Array | None,
    use: Callable[[Team, Array, slice, bool], None],
    parallel: bool,
) -> None:
    """Make the features of some samples at a time, less an *origin* (N,), neurons outside, and *use* them."""
    check_products(X, W)
    function = sigma.compiled_derivative if derivative else sigma.compiled
    with threads(float(len(X)) * W.size, parallel) as together:
        maker = FeaturesOfSamples(together, function, W, origin, min(SAMPLES, padded(len(X))))
        errors = np.zeros(together.members, np.int64)
        for start, rows in _parts(X):
            held = maker.fill(rows, errors)
            _check_finite("features", held[:, : len(rows)], errors, sigma, W.dtype)
            use(together, held, slice(start, start + len(rows)), start == 0)


def _parts(X: Array) -> Iterator[tuple[int, Array]]:
    for start in range(0, len(X), SAMPLES):
        yield start, X[start : start + SAMPLES]


def _check_finite(what: str, result: Array, errors: Counts, sigma: Activation, dtype: np.dtype[Any]) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        total = result.sum(dtype=np.float64)
    if errors.any() or not (np.isfinite(total) or np.isfinite(result).all()):
        raise ValueError(
            f"{what} overflow {dtype}, or activation {sigma.name!r} raised an error or gave NaN; "
            f"divide X or W by a number{overflow_remedy(dtype)}"
        )
