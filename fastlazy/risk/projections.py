"""The quadratic functions <x, S x> that come nearest to a target, in RF and NT with sigma = x^2.

For x ~ N(0, I) and symmetric S, E[(<x, S x> + c - y)^2] = 2 |S - B|_F^2 + (tr(S - B) + c - b0)^2. With sigma = x^2 each
regime is a set of such S, and its risk a distance in the space of symmetric matrices.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_array, check_columns
from fastlazy._support.blas import same_bits
from fastlazy._support.rounding import check_size
from fastlazy._support.singular import (
    EPS,
    PROMISE,
    WELL,
    factor_pivoted,
    factor_positive,
    hidden_gain,
    solve_factored,
    warn_of_rounding,
    zero_level,
)
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.targets.quadratic import QuadraticFunction, check_target, quadratic_form, scaled

_FEATURE_ENTRIES = 20_000_000  # the N d^2 up to which a singular problem is solved by least squares in the features
_STEPS = 5  # steps of refinement, each with the gradient from the features themselves


def rf_form(target: QuadraticFunction, W: ArrayLike) -> Array:
    """S (d, d) of the best random-feature function for W (N, d); errors as in `rf_risk`."""
    weights = check_weights(target, W)
    size, unit = scaled(target)
    with same_bits(*weights.shape):
        return size * best_rf_form(unit.B, weights, 0.0, True)


def nt_form(target: QuadraticFunction, W: ArrayLike) -> Array:
    """S (d, d) of the best neural tangent function for W (N, d); errors as in `nt_risk`."""
    weights = check_weights(target, W)
    with same_bits(*weights.shape):
        basis, lost = nt_lost(weights, 0.0)
        return target.B - basis.T @ (lost * (basis @ target.B @ basis.T)) @ basis


def best_rf_form(B: Array, weights: Array, penalty: float, parallel: bool) -> Array:
    """S of the best sum_i a_i <w_i, x>^2 for B (d, d) with entries of size one."""
    unit, r = unit_rows(weights)
    weights, unit = weights[r > 0], unit[r > 0]
    if len(weights) == 0:
        return np.zeros_like(B)
    if penalty > 0:
        check_size(weights, 1e75, "ridge by its fourth power")
        unit = weights
    from fastlazy.kernels.rf_gram import rf_gram  # which loads the compiler

    U = rf_gram(unit, center=True, parallel=parallel)
    scale = np.ones(len(U))
    if penalty > 0:  # with a unit diagonal, small rows are not lost beside large ones
        scale = np.hypot(np.sqrt(U.diagonal()), np.sqrt(penalty))
        U /= scale
        U /= scale[:, None]
        np.fill_diagonal(U, 1)
    factor, condition = factor_positive(U)
    problem = B, unit, scale, penalty
    if condition > WELL:
        return symmetric_form(unit, solve_factored(factor, _gradient(*problem)) / scale)
    if weights.size * len(B) <= _FEATURE_ENTRIES:
        S, error = _solve_features(B, weights, penalty, np.argmax(np.tril(U, -1), axis=1))
    elif condition > 0:
        S, error = _refine(*problem, factor, np.arange(len(U)))
    else:
        S, error = _refine(*problem, *factor_pivoted(U))
    warn_of_rounding("risk of random features", error / (2 * float(np.sum(B**2)) or 1.0), PROMISE, 4)
    return S


def nt_lost(weights: Array, penalty: float) -> tuple[Array, Array]:
    """A basis in rows (d, d), and the share of each entry of B in that basis that NT does not reach, (d, d)."""
    size = float(np.abs(weights).max()) or 1.0
    if penalty == 0:
        unit, r = unit_rows(weights)
        rank, basis = row_space(unit[r > 0])
        beyond = np.arange(len(basis)) >= rank
        return basis, (beyond[:, None] & beyond).astype(float)
    s, basis = right_singular(weights / size)  # the size enters again in the strength, where nothing can overflow
    with np.errstate(over="ignore", under="ignore"):  # an infinite strength gives a share of zero, as it should
        strength = (s * (2 / np.sqrt(penalty)) * size) ** 2
        return basis, 1 / (1 + strength[:, None] + strength)


def row_space(weights: Array) -> tuple[int, Array]:
    """The rank of weights (N, d), and an orthonormal basis in rows (d, d) that begins with one of their row space.

    By a QR factorization that takes the row next that is farthest from those before: a third of the time of an SVD.
    """
    N, d = weights.shape
    if not weights.any():
        return 0, np.eye(d)
    if d < N:
        weights = scipy.linalg.qr(weights, mode="r")[0][:d]
    Q, R, _ = scipy.linalg.qr(weights.T, pivoting=True)
    size = np.abs(R.diagonal())
    return int(np.count_nonzero(size > zero_level(size[0], max(N, d)))), Q.T


def right_singular(weights: Array) -> tuple[Array, Array]:
    """The singular values (d,) of weights (N, d), zeros among them, and the right singular vectors, in rows (d, d)."""
    N, d = weights.shape
    if not weights.any():
        return np.zeros(d), np.eye(d)
    if d < N:  # the same right singular basis, from a smaller matrix
        weights = scipy.linalg.qr(weights, mode="r")[0][:d]
    _, values, basis = np.linalg.svd(weights)
    s = np.zeros(d)
    s[: len(values)] = np.where(values > zero_level(values[0], max(N, d)), values, 0.0)
    return s, basis


def check_weights(target: QuadraticFunction, W: ArrayLike) -> Array:
    """W as a finite (N, d) array for the target's d, or TypeError or ValueError."""
    check_target(target)
    return check_columns("W", check_array("W", W, 2), target.d)


def symmetric_form(W: Array, a: Array) -> Array:
    """S = W^T diag(a) W (d, d), symmetric to the bit."""
    S = quadratic_form(W, a)
    return (S + S.T) / 2


def form_risk(B: Array, S: Array) -> float:
    """2 |S - B|_F^2: the risk of <x, S x> + c at the best c, for the target's matrix B."""
    return 2 * float(np.sum((S - B) ** 2))


def _gradient(B: Array, W: Array, scale: Array, penalty: float, a: Array | None = None) -> Array:
    """V - (U + penalty) a over the *scale* of its rows, (N,): from the features, not from U, where a is given."""
    residual = B if a is None else B - symmetric_form(W, a / scale)
    gradient = 2 * np.einsum("ij,ij->i", W @ residual, W) / scale
    return gradient if a is None else gradient - penalty / scale / scale * a


def _refine(
    B: Array, W: Array, scale: Array, penalty: float, factor: Array, chosen: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> tuple[Array, float]:
    """S of the best coefficients for the *chosen* rows, and by how much its risk may be off.

    A gradient from the features has lost no digits to the condition number of U; the factor only preconditions.
    """
    a = np.zeros(len(W))
    for _ in range(_STEPS):
        gradient = _gradient(B, W, scale, penalty, a)
        step = solve_factored(factor, gradient[chosen])
        a[chosen] += step
    S = symmetric_form(W, a / scale)
    error = abs(float(step @ gradient[chosen])) + _rounding(a, S - B)
    left = np.delete(_gradient(B, W, scale, penalty, a), chosen)
    if penalty > 0:
        error += float(np.sum((np.delete(scale, chosen) * left) ** 2)) / penalty
    elif len(left):
        size = float(np.linalg.norm(S - B) + np.abs(a).sum())
        error += min(hidden_gain(left, size, len(W)), form_risk(B, S))
    return S, error


def _solve_features(
    B: Array, W: Array, penalty: float, near: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> tuple[Array, float]:
    """S of the best coefficients, and by how much its risk may be off: least squares in the features w_i w_i^T.

    No condition number is squared. Without a penalty, only the span matters, and w w^T - c^2 v v^T, which is the
    symmetric part of (w - c v) (w + c v)^T, takes the place of w w^T, v the row nearest to w among those before it:
    rows that nearly agree keep all digits of their difference. *near* (N,) are the places of these v.
    """
    N, d = W.shape
    left = right = W
    if penalty == 0:
        W = np.ldexp(W, -np.frexp(np.abs(W).max(axis=1, keepdims=True))[1])
        v = W[near]
        c = np.sum(W * v, axis=1) / np.sum(v * v, axis=1)
        c[0] = 0  # no row is before the first
        left, right = _minus_product(W, c[:, None], v), W + c[:, None] * v
        lengths = np.linalg.norm(left, axis=1) / np.linalg.norm(W, axis=1)
        kept = lengths > 4 * np.sqrt(d) * EPS  # a row within rounding of another adds nothing
        left, right, close = left[kept], right[kept], bool(lengths[kept].min() < 1e-11)
    j, k = np.triu_indices(d)
    weight = np.where(j == k, 1.0, np.sqrt(2))
    F = (left[:, j] * right[:, k] + left[:, k] * right[:, j]) * (weight / 2)
    scale = np.hypot(np.linalg.norm(F, axis=1), np.sqrt(penalty / 2))
    F = (F / scale[:, None]).T
    A, b = F, B[j, k] * weight
    if penalty > 0:
        A, b = np.vstack([F, np.diag(np.sqrt(penalty / 2) / scale)]), np.append(b, np.zeros(N))
    a, _, rank, _ = scipy.linalg.lstsq(A, b, cond=10 * zero_level(1.0, max(A.shape)), lapack_driver="gelsy")
    S = np.zeros_like(B)
    S[j, k] = S[k, j] = F @ a / weight
    error = _rounding(a, S - B)
    # A second difference of rows may be among the directions left out.
    if penalty == 0 and close and rank < min(F.shape):
        error += form_risk(B, S)
    return S, error


def _rounding(a: Array, D: Array) -> float:
    """What rounding of features of norm one, with coefficients a, may have done to the risk 2 |D|^2."""
    moved = EPS * float(np.abs(a).sum())
    return 4 * moved * float(np.linalg.norm(D)) + 2 * moved**2


def _minus_product(w: Array, c: Array, v: Array) -> Array:
    """The difference w - c v, without the rounding of c v (Dekker's product)."""
    product = c * v
    (c_high, c_low), (v_high, v_low) = _halves(c), _halves(v)
    error = ((c_high * v_high - product) + c_high * v_low + c_low * v_high) + c_low * v_low
    return (w - product) - error


def _halves(x: Array) -> tuple[Array, Array]:
    """Two numbers of 26 bits each that add up to x."""
    shifted = (2.0**27 + 1) * x
    high = shifted - (shifted - x)
    return high, x - high
