"""The quadratic functions <x, S x> that come nearest to a target, in RF and NT with sigma = x^2.

For x ~ N(0, I) and symmetric S, E[(<x, S x> + c - y)^2] = 2 |S - B|_F^2 + (tr(S - B) + c - b0)^2. With sigma = x^2 each
regime is a set of such S, and its risk a distance in the space of symmetric matrices.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike
from scipy.linalg import lapack

from fastlazy._validate import Array, check_array, check_columns
from fastlazy.pairs import unit_rows
from fastlazy.targets import QuadraticTarget, check_target

_FEATURE_ENTRIES = 20_000_000  # N d^2 up to which a singular problem is solved in the features themselves


def rf_form(target: QuadraticTarget, W: ArrayLike) -> Array:
    """S (d, d) of the best random-feature function for W (N, d); errors as in `rf_risk`."""
    return best_rf_form(target, check_weights(target, W), 0.0, True)


def nt_form(target: QuadraticTarget, W: ArrayLike) -> Array:
    """S (d, d) of the best neural tangent function for W (N, d); errors as in `nt_risk`."""
    basis, lost = nt_lost(target, check_weights(target, W), 0.0)
    return target.B - basis.T @ (lost * (basis @ target.B @ basis.T)) @ basis


def best_rf_form(target: QuadraticTarget, weights: Array, penalty: float, parallel: bool) -> Array:
    """S of the best sum_i a_i <w_i, x>^2."""
    if penalty == 0:
        weights = _unit_rows(weights)
    else:
        check_size(weights, 1e75, "ridge by its fourth power")
    if len(weights) == 0:
        return np.zeros_like(target.B)
    from fastlazy.gram import rf_gram  # and with it the compiler, which nothing else here needs

    U = rf_gram(weights, center=True, parallel=parallel)
    U.flat[:: len(U) + 1] += penalty
    V = 2 * np.einsum("ij,ij->i", weights @ target.B, weights)
    scale = np.ones(len(U))
    if penalty > 0:  # to a unit diagonal, so that small rows are not lost beside large ones
        scale = np.sqrt(U.diagonal())
        U /= scale
        U /= scale[:, None]
    a = solve_cholesky(U, V / scale)
    if a is None and penalty == 0 and weights.size * target.d <= _FEATURE_ENTRIES:
        a = _solve_features(weights, target.B)
    elif a is None:
        a = solve_pivoted(U, V / scale)
    return quadratic_form(weights, a / scale)


def nt_lost(target: QuadraticTarget, weights: Array, penalty: float) -> tuple[Array, Array]:
    """A basis in rows (d, d), and the share of each entry of B in that basis that NT does not reach, (d, d)."""
    if penalty == 0:
        weights = _unit_rows(weights)
    if len(weights) == 0:
        return np.eye(target.d), np.ones((target.d, target.d))
    N = len(weights)
    if target.d < N:  # the same right singular basis, from a smaller matrix
        weights = scipy.linalg.qr(weights, mode="r")[0][: target.d]
    _, values, basis = np.linalg.svd(weights)
    s = np.zeros(target.d)
    s[: len(values)] = np.where(values > max(N, target.d) * np.finfo(float).eps * values[0], values, 0.0)
    q = 4 * (s[:, None] ** 2 + s**2)
    return basis, penalty / (q + penalty) if penalty else (q == 0).astype(float)


def check_weights(target: QuadraticTarget, W: ArrayLike) -> Array:
    """W as a finite (N, d) array for the target's d, or TypeError or ValueError."""
    check_target(target)
    return check_columns("W", check_array("W", W, 2), target.d)


def check_size(W: Array, largest: float, remedy: str) -> None:
    """Raise ValueError if products of the entries of W would overflow."""
    size = float(np.abs(W).max())
    if size > largest:
        raise ValueError(
            f"W has entries of size {size:.3g}, whose products overflow; the limit is {largest:g}. Divide W by a "
            f"number and the {remedy}, which gives the same risk"
        )


def _unit_rows(W: Array) -> Array:
    """The rows that are not zero, each divided by its norm."""
    unit, r = unit_rows(W)
    return unit[r > 0]


def quadratic_form(W: Array, a: Array) -> Array:
    """S = W^T diag(a) W, symmetric."""
    S = (W.T * a) @ W
    return (S + S.T) / 2


def form_risk(target: QuadraticTarget, S: Array) -> float:
    """2 |S - B|_F^2: the risk of <x, S x> + c at the best c."""
    return 2 * float(np.sum((S - target.B) ** 2))


def solve_cholesky(U: Array, V: Array) -> Array | None:
    """The solution of U a = V for U > 0, or None if rounding would make it meaningless."""
    norm = float(np.abs(U).sum(axis=0).max())
    factor, info = lapack.dpotrf(U.T, lower=1)
    if info != 0:
        return None
    reciprocal_condition, _ = lapack.dpocon(factor, norm, uplo="L")
    if reciprocal_condition <= len(U) * np.finfo(float).eps:
        return None
    return scipy.linalg.cho_solve((factor, True), V)


def _solve_features(W: Array, B: Array) -> Array:
    """The minimum-norm a for which sum_i a_i w_i w_i^T is nearest to B, without squaring any condition number."""
    j, k = np.triu_indices(W.shape[1])
    weight = np.where(j == k, 1.0, np.sqrt(2))
    F = (W[:, j] * W[:, k] * weight).T
    rounding = 10 * max(F.shape) * np.finfo(float).eps
    return scipy.linalg.lstsq(F, B[j, k] * weight, cond=rounding, lapack_driver="gelsy")[0]


def solve_pivoted(U: Array, V: Array) -> Array:
    """A solution of U a = V for singular U >= 0 of constant diagonal (overwritten), V in its range.

    A pivoted Cholesky factor finds rows that span the range; the rest get a zero coefficient. The function
    sum_i a_i sigma(<w_i, x>) is that of the minimum-norm solution: the projection onto the same span.
    """
    factor, pivots, rank, _ = lapack.dpstrf(U, lower=1, tol=len(U) * np.finfo(float).eps * U[0, 0])
    chosen = pivots[:rank] - 1
    a = np.zeros(len(U))
    a[chosen] = scipy.linalg.cho_solve((factor[:rank, :rank], True), V[chosen])
    return a
