"""Exact population risks, for given weights, of the three regimes and of any quadratic network.

For x ~ N(0, I) and symmetric S, E[(<x, S x> + c - y)^2] = 2 |S - B|_F^2 + (tr(S - B) + c - b0)^2. With
sigma = x^2 each regime is a set of such S, and its risk a distance in the space of symmetric matrices.
Every risk here is that distance to a matrix that the regime can reach, so rounding cannot make it
negative, and an error in the coefficients enters it squared.

References: arXiv:1906.08899, eq. (1) for the classes of functions, Theorems 1, 2, 3 for their limits.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike
from scipy.linalg import lapack

from fastlazy._validate import Array, check_array, check_choice, check_columns, check_count, check_real
from fastlazy.activations import Activation, check_activation, get_activation
from fastlazy.hermite import hermite_coefficients
from fastlazy.targets import QuadraticTarget, check_target

_ACTIVATIONS = ("square",)
_FEATURE_ENTRIES = 20_000_000  # N d^2 up to which a singular problem is solved in the features themselves


def rf_risk(
    target: QuadraticTarget,
    W: ArrayLike,
    activation: str | Activation = "square",
    *,
    ridge: float = 0.0,
    parallel: bool = True,
) -> float:
    """Exact risk of random features: the best sum_i a_i sigma(<w_i, x>) + c for these W.

    Parameters
    ----------
    target : QuadraticTarget
    W : array_like, shape (N, d)
        First-layer weights, one neuron per row.
    activation : str or Activation
        The non-linearity sigma.
    ridge : float
        Penalty ridge * |a|^2 on the second layer (not on c), >= 0. The risk returned is without it.
    parallel : bool
        False: the Gram matrix is filled on the calling thread alone, for use inside sweeps.

    Returns
    -------
    float
        The population squared error, not divided by the null risk. For a singular Gram matrix it is that
        of the minimum-norm solution.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array, the activation is not known or has no finite Gaussian moments, the ridge
        is negative, or the Gram matrix overflows.

    Notes
    -----
    a solves (U + ridge) a = V with U = `rf_gram` centred and V_i = <w_i, B w_i> h_2(|w_i|) / |w_i|^2, h_2 the
    second Hermite coefficient; the risk is 2 |B|^2 - 2 <a, V> + <a, U a>. For x^2, V_i = 2 <w_i, B w_i>; without a
    ridge the risk then depends on the directions of the rows alone, which are normalised first. Directions that
    differ by less than about 1e-7 count as one if U is singular to rounding, but for x^2 down to 1e-13 they are told
    apart if N d^2 <= 2e7: the features themselves are solved for.

    References
    ----------
    arXiv:1906.08899, the class RF of eq. (1).
    """
    weights = _check_weights(target, W)
    sigma = check_activation(activation)
    penalty = check_real("ridge", ridge, 0.0)
    if sigma is not get_activation("square"):
        return _rf_risk_any(target, weights, sigma, penalty, parallel)
    if penalty == 0:
        weights = _unit_rows(weights)
    else:
        _check_size(weights, 1e75, "ridge by its fourth power")
    if len(weights) == 0:
        return target.null_risk
    from fastlazy.gram import rf_gram  # and with it the compiler, which nothing else here needs

    U = rf_gram(weights, center=True, parallel=parallel)
    U.flat[:: len(U) + 1] += penalty
    V = 2 * np.einsum("ij,ij->i", weights @ target.B, weights)
    scale = np.ones(len(U))
    if penalty > 0:  # to a unit diagonal, so that small rows are not lost beside large ones
        scale = np.sqrt(U.diagonal())
        U /= scale
        U /= scale[:, None]
    a = _solve_cholesky(U, V / scale)
    if a is None and penalty == 0 and weights.size * target.d <= _FEATURE_ENTRIES:
        a = _solve_features(weights, target.B)
    elif a is None:
        a = _solve_pivoted(U, V / scale)
    return _form_risk(target, _quadratic_form(weights, a / scale))


def nt_risk(target: QuadraticTarget, W: ArrayLike, activation: str = "square", *, ridge: float = 0.0) -> float:
    """Exact risk of the neural tangent model: the best sum_i <b_i, x> sigma'(<w_i, x>) + c for these W.

    Parameters
    ----------
    target : QuadraticTarget
    W : array_like, shape (N, d)
        Weights at the initialisation, one neuron per row.
    activation : str
        "square".
    ridge : float
        Penalty ridge * sum_i |b_i|^2 (not on c), >= 0. The risk returned is without it.

    Returns
    -------
    float
        The population squared error, not divided by the null risk; zero once the rows span the space.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array, the activation is not known, the ridge is negative, or with a ridge
        the products of the entries of W overflow.

    Notes
    -----
    The reachable S = W^T X + X^T W are those with P S P = 0, P the projector off the span of W: risk
    2 |P B P|_F^2. With a ridge, in the right singular basis of W with singular values s (zero off the
    span), entry (j, k) of S is B_jk 4 q / (4 q + ridge), q = s_j^2 + s_k^2 (ours).

    References
    ----------
    arXiv:1906.08899, the class NT of eq. (1), and Theorem 2.
    """
    weights = _check_weights(target, W)
    check_choice("activation", activation, _ACTIVATIONS)
    penalty = check_real("ridge", ridge, 0.0)
    if penalty == 0:
        weights = _unit_rows(weights)
    else:
        _check_size(weights, 1e150, "ridge by its square")
    if len(weights) == 0:
        return target.null_risk
    if len(weights) > target.d:  # the same right singular basis, from a smaller matrix
        weights = scipy.linalg.qr(weights, mode="r")[0][: target.d]
    _, values, basis = np.linalg.svd(weights)
    s = np.zeros(target.d)
    s[: len(values)] = np.where(values > max(np.shape(W)) * np.finfo(float).eps * values[0], values, 0.0)
    B = basis @ target.B @ basis.T
    q = 4 * (s[:, None] ** 2 + s**2)
    lost = penalty / (q + penalty) if penalty else (q == 0).astype(float)
    return 2 * float(np.sum((lost * B) ** 2))


def nn_risk(target: QuadraticTarget, N: int) -> float:
    """The infimum of the risk over quadratic networks of width N, all weights trained, signs a_i free.

    Parameters
    ----------
    target : QuadraticTarget
    N : int
        Neurons.

    Returns
    -------
    float
        2 sum_{i > N} lambda_i(B)^2, the eigenvalues ordered by modulus; not divided by the null risk.

    Raises
    ------
    TypeError, ValueError
        If N is not a positive whole number.

    Notes
    -----
    S = W^T diag(a) W is any symmetric matrix of rank at most N: the theorem of Eckart and Young. For
    B >= 0 the signs a_i = 1 suffice.

    References
    ----------
    arXiv:1906.08899, Theorem 3.
    """
    check_target(target)
    moduli = np.sort(np.abs(target.eigenvalues))[::-1]
    return 2 * float(np.sum(moduli[check_count("N", N) :] ** 2))


def network_risk(
    target: QuadraticTarget,
    W: ArrayLike,
    a: ArrayLike = 1.0,
    c: float = 0.0,
    activation: str | Activation = "square",
    *,
    parallel: bool = True,
) -> float:
    """Exact risk of the network f(x) = sum_i a_i sigma(<w_i, x>) + c.

    Parameters
    ----------
    target : QuadraticTarget
    W : array_like, shape (N, d)
        First-layer weights, one neuron per row.
    a : array_like, shape (N,) or a scalar
        Second layer.
    c : float
        Offset.
    activation : str or Activation
        The non-linearity sigma.
    parallel : bool
        False: on the calling thread alone, for use inside sweeps.

    Returns
    -------
    float
        E (f(x) - y)^2. For x^2 it is 2 |S - B|_F^2 + (tr(S - B) + c - b0)^2, S = W^T diag(a) W; for any other sigma
        2 |B|^2 - 2 <a, V> + <a, U a> + (E f + c - E y)^2 with U and V as `rf_risk` has them, or 0 if rounding makes
        it negative.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, or the activation is not known or has no finite Gaussian
        moments.
    """
    weights = _check_weights(target, W)
    sigma, offset = check_activation(activation), check_real("c", c)
    second = check_array("a", a, (0, 1))
    if second.ndim == 1 and len(second) != len(weights):
        raise ValueError(
            f"a has {len(second)} entries, but W has {len(weights)} rows (shape {weights.shape}); "
            "pass one entry per row, or a scalar"
        )
    layer = np.broadcast_to(second, len(weights))
    if sigma is get_activation("square"):
        S = _quadratic_form(weights, layer)
        mean = float(np.trace(S - target.B)) + offset - target.b0
        return _form_risk(target, S) + mean * mean
    means, U, V = _moments(target, weights, sigma, parallel)
    mean = float(means @ layer) + offset - target.mean
    return max(0.0, target.null_risk - 2 * float(layer @ V) + float(layer @ U @ layer)) + mean * mean


def tangent_risk(
    target: QuadraticTarget, W: ArrayLike, b: ArrayLike, c: float = 0.0, activation: str = "square"
) -> float:
    """Exact risk of f(x) = sum_i <b_i, x> sigma'(<w_i, x>) + c, a neural tangent model that has been fitted.

    Parameters
    ----------
    target : QuadraticTarget
    W : array_like, shape (N, d)
        Weights at the initialisation, one neuron per row.
    b : array_like, shape (N, d)
        Coefficients.
    c : float
        Offset.
    activation : str
        "square".

    Returns
    -------
    float
        E (f(x) - y)^2 = 2 |S - B|_F^2 + (tr(S - B) + c - b0)^2, S = W^T b + b^T W.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, or the activation is not known.
    """
    weights = _check_weights(target, W)
    check_choice("activation", activation, _ACTIVATIONS)
    moves = check_array("b", b, 2)
    if moves.shape != weights.shape:
        raise ValueError(f"b has shape {moves.shape}, but W {weights.shape}; pass one row of b for each of W")
    S = moves.T @ weights
    S += S.T.copy()
    mean = float(np.trace(S - target.B)) + check_real("c", c) - target.b0
    return _form_risk(target, S) + mean * mean


def _moments(target: QuadraticTarget, W: Array, sigma: Activation, parallel: bool) -> tuple[Array, Array, Array]:
    """Means (N,), covariances (N, N), and covariances with y (N,) of the features sigma(<w_i, x>)."""
    _check_size(W, 1e150, "argument of sigma by its inverse")
    from fastlazy.gram import rf_gram  # as above

    U = rf_gram(W, sigma, center=True, parallel=parallel)
    r = np.linalg.norm(W, axis=1)
    unit = W / np.where(r > 0, r, 1)[:, None]
    h = hermite_coefficients(sigma, r, 2)
    return h[:, 0], U, math.sqrt(2) * h[:, 2] * np.einsum("ij,ij->i", unit @ target.B, unit)


def _rf_risk_any(target: QuadraticTarget, W: Array, sigma: Activation, ridge: float, parallel: bool) -> float:
    """The risk of random features for any sigma."""
    _, U, V = _moments(target, W, sigma, parallel)
    variance = U.diagonal().copy()
    learns = variance > 0  # a constant feature learns nothing
    scale = np.sqrt(np.where(learns, variance + ridge, 1))
    V = np.where(learns, V, 0) / scale
    U /= scale
    U /= scale[:, None]
    np.fill_diagonal(U, 1)
    a = _solve_cholesky(U, V)
    if a is None:
        a = _solve_pivoted(U.copy(), V)
    np.fill_diagonal(U, np.where(learns, variance / scale**2, 0))
    return max(0.0, target.null_risk - 2 * float(a @ V) + float(a @ U @ a))


def _check_weights(target: QuadraticTarget, W: ArrayLike) -> Array:
    check_target(target)
    return check_columns("W", check_array("W", W, 2), target.d)


def _check_size(W: Array, largest: float, remedy: str) -> None:
    """Raise ValueError if products of the entries of W would overflow."""
    size = float(np.abs(W).max())
    if size > largest:
        raise ValueError(
            f"W has entries of size {size:.3g}, whose products overflow; the limit is {largest:g}. Divide W by a "
            f"number and the {remedy}, which gives the same risk"
        )


def _unit_rows(W: Array) -> Array:
    """The rows that are not zero, each divided by its norm."""
    largest = np.abs(W).max(axis=1)
    rows = W[largest > 0] / largest[largest > 0, None]  # first to order one: squares neither over- nor underflow
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _quadratic_form(W: Array, a: Array) -> Array:
    """S = W^T diag(a) W, symmetric."""
    S = (W.T * a) @ W
    return (S + S.T) / 2


def _form_risk(target: QuadraticTarget, S: Array) -> float:
    """2 |S - B|_F^2: the risk of <x, S x> + c at the best c."""
    return 2 * float(np.sum((S - target.B) ** 2))


def _solve_cholesky(U: Array, V: Array) -> Array | None:
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


def _solve_pivoted(U: Array, V: Array) -> Array:
    """A solution of U a = V for singular U >= 0 of constant diagonal (overwritten), V in its range.

    A pivoted Cholesky factor finds rows that span the range; the rest get a zero coefficient. The function
    sum_i a_i sigma(<w_i, x>) is that of the minimum-norm solution: the projection onto the same span.
    """
    factor, pivots, rank, _ = lapack.dpstrf(U, lower=1, tol=len(U) * np.finfo(float).eps * U[0, 0])
    chosen = pivots[:rank] - 1
    a = np.zeros(len(U))
    a[chosen] = scipy.linalg.cho_solve((factor[:rank, :rank], True), V[chosen])
    return a
