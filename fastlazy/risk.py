"""Exact population risks, for given weights, of the three regimes and of any network.

With sigma = x^2 every risk is the distance from the target to a matrix that the regime can reach (see
`fastlazy.forms`), so rounding cannot make it negative, and an error in the coefficients enters it squared.

References: arXiv:1906.08899, eq. (1) for the classes of functions, Theorems 1, 2, 3 for their limits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._validate import Array, check_array, check_count, check_real
from fastlazy.activations import Activation, check_activation, get_activation
from fastlazy.forms import (
    best_rf_form,
    check_size,
    check_weights,
    form_risk,
    nt_lost,
    quadratic_form,
    solve_cholesky,
    solve_pivoted,
)
from fastlazy.graded import SHORT, check_digits, graded_gain, ridge_over
from fastlazy.hermite import expansion, hermite_coefficients
from fastlazy.pairs import unit_rows
from fastlazy.targets import QuadraticTarget, check_target


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

    Warns
    -----
    RuntimeWarning
        If rows are so short that rounding of sigma hides what the risk depends on.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array, the activation is not known or has no finite Gaussian moments, or the ridge
        is negative.

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
    weights = check_weights(target, W)
    sigma = check_activation(activation)
    penalty = check_real("ridge", ridge, 0.0)
    if sigma is not get_activation("square"):
        return _rf_risk_any(target, weights, sigma, penalty, parallel)
    return form_risk(target, best_rf_form(target, weights, penalty, parallel))


def nt_risk(
    target: QuadraticTarget,
    W: ArrayLike,
    activation: str | Activation = "square",
    *,
    ridge: float = 0.0,
    tolerance: float = 1e-8,
    max_iterations: int = 1000,
    parallel: bool = True,
) -> float:
    """Exact risk of the neural tangent model: the best sum_i <b_i, x> sigma'(<w_i, x>) + c for these W.

    Parameters
    ----------
    target : QuadraticTarget
    W : array_like, shape (N, d)
        Weights at the initialisation, one neuron per row.
    activation : str or Activation
        The non-linearity sigma.
    ridge : float
        Penalty ridge * sum_i |b_i|^2 (not on c), >= 0. The risk returned is without it.
    tolerance : float
        Largest error of the risk that ends the iteration for a general sigma, relative to the risk itself, > 0.
    max_iterations : int
        Most iterations for a general sigma.
    parallel : bool
        False: the iteration runs on the calling thread alone, for use inside sweeps.

    Returns
    -------
    float
        The population squared error, not divided by the null risk. For x^2 exact to rounding, and zero once the rows
        span the space.

        For a general sigma that of coefficients found by iteration, so without a ridge never below the exact one. How
        far it is above is estimated from how the steps gain, to be at most the tolerance, or 1e-13 of the null risk.

    Warns
    -----
    RuntimeWarning
        If the iteration ends before that, or rows are so short that rounding hides what the risk depends on; the
        message says by how much it may be off.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array, the activation is not known, jumps or has no finite Gaussian moments, a
        number is out of its range, or for x^2 with a ridge the products of the entries of W overflow.

    Notes
    -----
    For x^2 the reachable S = W^T X + X^T W are those with P S P = 0, P the projector off the span of W: risk
    2 |P B P|_F^2. With a ridge, in the right singular basis of W with singular values s (zero off the
    span), entry (j, k) of S is B_jk 4 q / (4 q + ridge), q = s_j^2 + s_k^2 (ours).

    For a general sigma b solves (K + ridge) b = V, K = `nt_gram` centred and V_i = 2 h_1 B u_i + h_3 <u_i, B u_i> u_i
    with u_i = w_i / |w_i| and h_k the Hermite coefficients of sigma'; risk 2 |B|^2 - 2 <b, V> + <b, K b>. It takes
    one to three dozen products with K. sigma odd: V = 0, nothing is learned. Memory: 4 N^2 numbers and some (N, d).

    References
    ----------
    arXiv:1906.08899, the class NT of eq. (1), and Theorem 2.
    """
    weights = check_weights(target, W)
    sigma = check_activation(activation)
    penalty = check_real("ridge", ridge, 0.0)
    goal = check_real("tolerance", tolerance, 0.0)
    most = check_count("max_iterations", max_iterations)
    if sigma in (get_activation("square"), get_activation("he2")):  # of one derivative
        if penalty > 0:
            check_size(weights, 1e150, "ridge by its square")
        basis, lost = nt_lost(target, weights, penalty)
        return 2 * float(np.sum((lost * (basis @ target.B @ basis.T)) ** 2))
    from fastlazy.tangent_solver import solve_nt_risk  # as above

    return solve_nt_risk(target, weights, sigma, penalty, goal, most, parallel)


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
    weights = check_weights(target, W)
    sigma, offset = check_activation(activation), check_real("c", c)
    second = check_array("a", a, (0, 1))
    if second.ndim == 1 and len(second) != len(weights):
        raise ValueError(
            f"a has {len(second)} entries, but W has {len(weights)} rows (shape {weights.shape}); "
            "pass one entry per row, or a scalar"
        )
    layer = np.broadcast_to(second, len(weights))
    if sigma is get_activation("square"):
        S = quadratic_form(weights, layer)
        mean = float(np.trace(S - target.B)) + offset - target.b0
        return form_risk(target, S) + mean * mean
    means, U, V = _moments(target, weights, sigma, parallel)
    mean = float(means @ layer) + offset - target.mean
    return max(0.0, target.null_risk - 2 * float(layer @ V) + float(layer @ U @ layer)) + mean * mean


def tangent_risk(
    target: QuadraticTarget,
    W: ArrayLike,
    b: ArrayLike,
    c: float = 0.0,
    activation: str | Activation = "square",
    *,
    parallel: bool = True,
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
    activation : str or Activation
        The non-linearity sigma.
    parallel : bool
        False: on the calling thread alone, for use inside sweeps.

    Returns
    -------
    float
        E (f(x) - y)^2. For x^2 it is 2 |S - B|_F^2 + (tr(S - B) + c - b0)^2, S = W^T b + b^T W; for any other sigma
        2 |B|^2 - 2 <b, V> + <b, K b> + (E f - E y)^2 with K and V as `nt_risk` has them, or 0 if rounding makes it
        negative.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, or the activation is not known, jumps or has no finite Gaussian
        moments.
    """
    weights = check_weights(target, W)
    sigma, offset = check_activation(activation), check_real("c", c)
    moves = check_array("b", b, 2)
    if moves.shape != weights.shape:
        raise ValueError(f"b has shape {moves.shape}, but W {weights.shape}; pass one row of b for each of W")
    if sigma is get_activation("square"):
        S = moves.T @ weights
        S += S.T.copy()
        mean = float(np.trace(S - target.B)) + offset - target.b0
        return form_risk(target, S) + mean * mean
    from fastlazy.tangent_solver import function_moments  # as above

    mean_of_f, covariance, variance = function_moments(target, weights, sigma, moves, parallel)
    mean = mean_of_f + offset - target.mean
    return max(0.0, target.null_risk - 2 * covariance + variance) + mean * mean


def _moments(target: QuadraticTarget, W: Array, sigma: Activation, parallel: bool) -> tuple[Array, Array, Array]:
    """Means (N,), covariances (N, N), and covariances with y (N,) of the features sigma(<w_i, x>)."""
    check_size(W, 1e150, "argument of sigma by its inverse")
    from fastlazy.gram import rf_gram  # as above

    U = rf_gram(W, sigma, center=True, parallel=parallel)
    unit, r = unit_rows(W)
    h = hermite_coefficients(sigma, r, 2)
    return h[:, 0], U, math.sqrt(2) * h[:, 2] * np.einsum("ij,ij->i", unit @ target.B, unit)


def _rf_risk_any(target: QuadraticTarget, W: Array, sigma: Activation, ridge: float, parallel: bool) -> float:
    """The risk of random features for any sigma."""
    unit, r = unit_rows(W)
    along = np.einsum("ij,ij->i", unit @ target.B, unit)
    whole, curved = (expansion(sigma, r, 2, first=first) for first in (1, 2))
    from fastlazy.population import rf_correlations  # and with it the compiler, which nothing else here needs

    if (curved.scale < SHORT * whole.scale).any():
        check_digits("rf_risk", sigma, curved.doubt[curved.table[:, 2] != 0])
        U, expanded = rf_correlations(W, sigma, 2, parallel)
        linear, V = expanded.table[:, 1:2] * unit, math.sqrt(2) * expanded.table[:, 2] * along
        gain = graded_gain("rf_risk", linear, U, V, ridge_over(ridge, expanded, 2), target.null_risk)
        return max(0.0, target.null_risk - gain)
    check_digits("rf_risk", sigma, whole.doubt[whole.table[:, 2] != 0])
    U, expanded = rf_correlations(W, sigma, 1, parallel)
    V = math.sqrt(2) * expanded.table[:, 2] * along
    learns = expanded.present(1)  # a constant feature learns nothing
    with np.errstate(divide="ignore"):
        share = expanded.scale / np.hypot(expanded.scale, math.sqrt(ridge)) if ridge > 0 else learns.astype(float)
    V *= share
    U *= share
    U *= share[:, None]
    np.fill_diagonal(U, 1)
    a = solve_cholesky(U, V)
    if a is None:
        a = solve_pivoted(U.copy(), V)
    np.fill_diagonal(U, np.where(learns, share**2, 0))
    return max(0.0, target.null_risk - 2 * float(a @ V) + float(a @ U @ a))
