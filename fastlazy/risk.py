"""Exact population risks, for given weights, of the three regimes and of any network.

With sigma = x^2 every risk is the distance from the target to a matrix that the regime can reach (see
`fastlazy.forms`), so rounding cannot make it negative, and an error in the coefficients enters it squared.

References: arXiv:1906.08899, eq. (1) for the classes of functions, Theorems 1, 2, 3 for their limits.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._blas import same_bits
from fastlazy._rounding import check_finite, check_risk
from fastlazy._validate import Array, check_array, check_count, check_flag, check_real
from fastlazy.activations import Activation, check_activation, get_activation
from fastlazy.forms import (
    best_rf_form,
    check_weights,
    form_risk,
    nt_lost,
    quadratic_form,
)
from fastlazy.pairs import unit_rows
from fastlazy.rf_solver import feature_moments, solve_rf_risk
from fastlazy.singular import EPS
from fastlazy.targets import QuadraticTarget, check_target, scaled
from fastlazy.units import in_own_unit, ridge_in_unit, times_power

_PROMISE = 1e-9  # the error of a risk over the null risk from which on there is a warning
_TOO_LARGE = "W, the coefficients, the offset or the target are too large; divide them by a number"


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

    Warns
    -----
    RuntimeWarning
        If the risk may be off by more than 1e-9 of the null risk, because features nearly depend on each other; the
        message says by how much.

    Notes
    -----
    a solves (U + ridge) a = V with U = `rf_gram` centred and V_i = <w_i, B w_i> h_2(|w_i|) / |w_i|^2, h_2 the
    second Hermite coefficient; the risk is 2 |B|^2 - 2 <a, V> + <a, U a>. For x^2, V_i = 2 <w_i, B w_i>; without a
    ridge the risk then depends on the directions of the rows alone, as it does for ReLU and other powers.

    For x^2, where U is nearly singular and N d^2 <= 2e7, the features themselves are solved for, and exact differences
    take the place of rows that nearly agree. Pairs of rows at any distance h then keep all digits; of three or more
    rows within h of each other the error is about 1e-16 / h of the null risk, not its square. Where that is not done,
    for larger problems and other functions, the error grows as 1e-16 / h^2. Directions that differ by rounding count
    as one (`tests/test_nearly_singular.py`).

    References
    ----------
    arXiv:1906.08899, the class RF of eq. (1).
    """
    weights = check_weights(target, W)
    sigma = check_activation(activation)
    penalty, together = check_real("ridge", ridge, 0.0), check_flag("parallel", parallel)
    size, unit = scaled(target)
    with same_bits(*weights.shape):
        if sigma in (get_activation("square"), get_activation("he2")):  # the same but for the offset
            return size**2 * form_risk(unit.B, best_rf_form(unit.B, weights, penalty, together))
        if sigma.degree is not None and penalty == 0:  # lengths of rows do not matter
            weights = unit_rows(weights)[0]
        sigma, exponent = in_own_unit(sigma)
        penalty = ridge_in_unit(penalty, exponent)
        return size**2 * solve_rf_risk(unit, weights, sigma, penalty, together)


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
        If the iteration ends before that, or if rounding may have cost more than the tolerance and 1e-9 of the null
        risk, because rows nearly agree or are so short that it hides what the risk depends on. The message says by
        how much the risk may be off.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array, the activation is not known, jumps or has no finite Gaussian moments, a
        number is out of its range, or a moment overflows.

    Notes
    -----
    For x^2 the reachable S = W^T X + X^T W are those with P S P = 0, P the projector off the span of W: risk
    2 |P B P|_F^2. With a ridge, in the right singular basis of W with singular values s (zero off the
    span), entry (j, k) of S is B_jk 4 q / (4 q + ridge), q = s_j^2 + s_k^2 (ours).

    For a general sigma b solves (K + ridge) b = V, K = `nt_gram` centred and V_i = 2 h_1 B u_i + h_3 <u_i, B u_i> u_i
    with u_i = w_i / |w_i| and h_k the Hermite coefficients of sigma'; risk 2 |B|^2 - 2 <b, V> + <b, K b>. It takes
    one to three dozen products with K. sigma odd: V = 0, nothing is learned. Memory: 4 N^2 numbers and some (N, d).
    Rows within 1e-7 of each other, but not equal, count as parallel, which a warning says.

    References
    ----------
    arXiv:1906.08899, the class NT of eq. (1), and Theorem 2.
    """
    weights = check_weights(target, W)
    sigma = check_activation(activation)
    penalty, together = check_real("ridge", ridge, 0.0), check_flag("parallel", parallel)
    goal = check_real("tolerance", tolerance, 0.0)
    most = check_count("max_iterations", max_iterations)
    size, unit = scaled(target)
    if sigma in (get_activation("square"), get_activation("he2")):  # of one derivative
        with same_bits(*weights.shape):
            basis, lost = nt_lost(weights, penalty)
            return size**2 * 2 * float(np.sum((lost * (basis @ unit.B @ basis.T)) ** 2))
    if sigma.degree is not None and penalty == 0:  # lengths of rows do not matter
        weights = unit_rows(weights)[0]
    from fastlazy.tangent_solver import solve_nt_risk  # as above

    sigma, exponent = in_own_unit(sigma)
    penalty = ridge_in_unit(penalty, exponent)
    with same_bits(weights.size, 1):
        return size**2 * solve_nt_risk(unit, weights, sigma, penalty, goal, most, together)


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
        If an array is not finite or not of that shape, the activation is not known or has no finite Gaussian moments,
        or the risk overflows.

    Warns
    -----
    RuntimeWarning
        If coefficients are so large that their rounding may cost more than 1e-9 of the risk and of the null risk.
    """
    weights = check_weights(target, W)
    sigma, offset = check_activation(activation), check_real("c", c)
    together = check_flag("parallel", parallel)
    second = check_array("a", a, (0, 1))
    if second.ndim == 1 and len(second) != len(weights):
        raise ValueError(
            f"a has {len(second)} entries, but W has {len(weights)} rows (shape {weights.shape}); "
            "pass one entry per row, or a scalar"
        )
    layer = np.broadcast_to(second, len(weights))
    if sigma is get_activation("square"):
        with same_bits(*weights.shape), np.errstate(over="ignore", invalid="ignore"):  # looked for by _form_distance
            return _form_distance("network_risk", target, quadratic_form(weights, layer), offset)
    sigma, exponent = in_own_unit(sigma)
    layer = times_power(layer, exponent)
    with same_bits(*weights.shape), np.errstate(over="ignore", invalid="ignore"):  # looked for by _distance
        means, U, V = feature_moments(target, weights, sigma, together)
        rounding = 4 * EPS * float(np.sum(layer**2 * U.diagonal()))
        moments = float(means @ layer), float(layer @ V), float(layer @ U @ layer)
    return _distance("network_risk", target, *moments, offset, rounding)


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
        If an array is not finite or not of that shape, the activation is not known, jumps or has no finite Gaussian
        moments, or the risk overflows.

    Warns
    -----
    RuntimeWarning
        As `network_risk`.
    """
    weights = check_weights(target, W)
    sigma, offset = check_activation(activation), check_real("c", c)
    together = check_flag("parallel", parallel)
    moves = check_array("b", b, 2)
    if moves.shape != weights.shape:
        raise ValueError(f"b has shape {moves.shape}, but W {weights.shape}; pass one row of b for each of W")
    if sigma is get_activation("square"):
        with same_bits(*weights.shape), np.errstate(over="ignore", invalid="ignore"):  # looked for by _form_distance
            S = moves.T @ weights
            S += S.T.copy()
            return _form_distance("tangent_risk", target, S, offset)
    from fastlazy.tangent_solver import function_moments  # as above

    sigma, exponent = in_own_unit(sigma)
    moves = times_power(moves, exponent)
    with same_bits(*weights.shape), np.errstate(over="ignore", invalid="ignore"):  # looked for by _distance
        mean, covariance, variance, rounding = function_moments(target, weights, sigma, moves, together)
    return _distance("tangent_risk", target, mean, covariance, variance, offset, rounding)


def _form_distance(name: str, target: QuadraticTarget, S: Array, c: float) -> float:
    """The risk of <x, S x> + c."""
    mean = float(np.trace(S - target.B)) + c - target.b0
    return check_finite(name, form_risk(target.B, S) + mean * mean, _TOO_LARGE)


def _distance(
    name: str, target: QuadraticTarget, mean: float, covariance: float, variance: float, c: float, rounding: float
) -> float:
    """The risk of f + c, f of that mean, covariance with the target, and variance, which is off by *rounding*."""
    off = mean + c - target.mean
    spread = check_risk(name, target.null_risk - 2 * covariance + variance, _TOO_LARGE)
    risk = check_finite(name, spread + off * off, _TOO_LARGE)
    if rounding > _PROMISE * max(risk, target.null_risk):
        warnings.warn(
            f"{name} may be off by {rounding:.1e}: coefficients are so large that what the functions of single "
            "neurons add up to is lost in their rounding; fit them with a ridge",
            RuntimeWarning,
            stacklevel=3,
        )
    return risk
