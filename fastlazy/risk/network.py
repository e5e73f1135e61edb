"""The exact risk of a given network, and of a given tangent model."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_array, check_flag, check_real
from fastlazy._support.blas import same_bits
from fastlazy._support.rounding import check_finite, check_risk
from fastlazy._support.singular import EPS, PROMISE
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import ActivationLike, check_activation
from fastlazy.activations.units import in_own_unit, times_power
from fastlazy.risk.inputs import root_of, whitened, whitened_rows
from fastlazy.risk.mixture import check_learned_weights, mixture_solver
from fastlazy.risk.projections import form_risk, symmetric_form
from fastlazy.risk.rf_solver import feature_moments
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction

_TOO_LARGE = "W, the coefficients, the offset or the target are too large; divide them by a number"


def network_risk(
    target: QuadraticFunction | GaussianMixture,
    W: ArrayLike,
    a: ArrayLike = 1.0,
    c: float = 0.0,
    activation: ActivationLike = "square",
    *,
    parallel: bool = True,
) -> float:
    """Exact risk of the network f(x) = sum_i a_i sigma(<w_i, x>) + c.

    Parameters
    ----------
    target : QuadraticTarget or GaussianMixture
    W : array_like, shape (N, d)
        First-layer weights, one neuron per row.
    a : array_like, shape (N,) or a scalar
        Second layer.
    c : float
        Offset.
    activation : str, Activation or function
        The non-linearity sigma.
    parallel : bool
        False: on the calling thread alone, for use inside sweeps.

    Returns
    -------
    float
        E (f(x) - y)^2. For x^2 it is 2 |S - B|_F^2 + (tr(S - B) + c - b0)^2, S = W^T diag(a) W; for any other sigma
        2 |B|^2 - 2 <a, V> + <a, U a> + (E f + c - E y)^2 with U and V as `rf_risk` has them, or 0 if rounding makes
        it negative. For a `GaussianMixture` the null risk 1 takes the place of 2 |B|^2, and x^2 has
        (1 + <S, Delta>)^2 + 2 tr(S Sigma S Sigma) + 2 tr(S Delta S Delta) + (<S, Sigma> + c)^2.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, the activation is not known or has no finite Gaussian moments,
        or the risk overflows.

    Warns
    -----
    RuntimeWarning
        If coefficients are so large that their rounding may cost more than 1e-9 of the risk and of the null risk.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> bool(fastlazy.network_risk(target, W, 0.0) == target.null_risk)  # a network of zeros is a constant
    True
    >>> round(fastlazy.network_risk(target, W, 0.1, 0.0, "relu") / target.null_risk, 3)
    0.996
    """
    weights = check_learned_weights(target, W)
    sigma, offset = check_activation(activation), check_real("c", c)
    together = check_flag("parallel", parallel)
    second = check_array("a", a, (0, 1))
    if second.ndim == 1 and len(second) != len(weights):
        raise ValueError(
            f"a has {len(second)} entries, but W has {len(weights)} rows (shape {weights.shape}); "
            "pass one entry per row, or a scalar"
        )
    layer = np.broadcast_to(second, len(weights))
    if isinstance(target, GaussianMixture):
        risk, rounding = mixture_solver("network_risk")(target, weights, layer, offset, sigma, together)
        _warn_of_rounding("network_risk", target, risk, rounding)
        return risk
    weights, target = whitened_rows(target, weights), whitened(target)
    if sigma.is_square:
        # _form_distance looks for infinities.
        with same_bits(*weights.shape), np.errstate(over="ignore", invalid="ignore"):
            return _form_distance("network_risk", target, symmetric_form(weights, layer), offset)
    risk, rounding = network_risk_and_rounding(target, weights, layer, offset, sigma, together)
    _warn_of_rounding("network_risk", target, risk, rounding)
    return risk


def network_risk_and_rounding(
    target: QuadraticFunction, W: Array, a: Array, c: float, activation: Activation, parallel: bool
) -> tuple[float, float]:
    """The risk that `network_risk` gives for checked W (N, d) and a (N,), any sigma but x^2, and how far it is off.

    Raises
    ------
    ValueError
        As `network_risk`.
    """
    sigma, exponent = in_own_unit(activation)
    layer = times_power(a, exponent)
    with same_bits(*W.shape), np.errstate(over="ignore", invalid="ignore"):  # _distance looks for infinities
        means, U, V = feature_moments(target, W, sigma, parallel)
        rounding = 4 * EPS * float(np.sum(layer**2 * U.diagonal()))
        moments = float(means @ layer), float(layer @ V), float(layer @ U @ layer)
    return _distance("network_risk", target, *moments, c), rounding


def tangent_risk(
    target: QuadraticFunction | GaussianMixture,
    W: ArrayLike,
    b: ArrayLike,
    c: float = 0.0,
    activation: ActivationLike = "square",
    *,
    parallel: bool = True,
) -> float:
    """Exact risk of f(x) = sum_i <b_i, x> sigma'(<w_i, x>) + c, a neural tangent model that has been fitted.

    Parameters
    ----------
    target : QuadraticTarget or GaussianMixture
    W : array_like, shape (N, d)
        Weights at the initialisation, one neuron per row.
    b : array_like, shape (N, d)
        Coefficients.
    c : float
        Offset.
    activation : str, Activation or function
        The non-linearity sigma.
    parallel : bool
        False: on the calling thread alone, for use inside sweeps.

    Returns
    -------
    float
        E (f(x) - y)^2. For x^2 it is 2 |S - B|_F^2 + (tr(S - B) + c - b0)^2, S = W^T b + b^T W; for any other sigma
        2 |B|^2 - 2 <b, V> + <b, K b> + (E f - E y)^2 with K and V as `nt_risk` has them, or 0 if rounding makes it
        negative. For a `GaussianMixture` as in `network_risk`.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, the activation is not known, jumps or has no finite Gaussian
        moments, or the risk overflows.

    Warns
    -----
    RuntimeWarning
        As `network_risk`.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> import numpy as np
    >>> bool(fastlazy.tangent_risk(target, W, np.zeros((10, 20))) == target.null_risk)  # zeros are a constant
    True
    """
    weights = check_learned_weights(target, W)
    sigma, offset = check_activation(activation), check_real("c", c)
    together = check_flag("parallel", parallel)
    moves = check_array("b", b, 2)
    if moves.shape != weights.shape:
        raise ValueError(f"b has shape {moves.shape}, but W {weights.shape}; pass one row of b for each of W")
    if isinstance(target, GaussianMixture):
        risk, rounding = mixture_solver("tangent_risk")(target, weights, moves, offset, sigma, together)
        _warn_of_rounding("tangent_risk", target, risk, rounding)
        return risk
    root = root_of(target)
    if root is not None:
        with same_bits(*weights.shape), np.errstate(over="ignore", invalid="ignore"):  # _distance looks for infinities
            moves = moves @ root
    weights, target = whitened_rows(target, weights), whitened(target)
    if sigma.is_square:
        # _form_distance looks for infinities.
        with same_bits(*weights.shape), np.errstate(over="ignore", invalid="ignore"):
            S = moves.T @ weights
            S += S.T.copy()
            return _form_distance("tangent_risk", target, S, offset)
    from fastlazy.risk.nt_solver import function_moments  # which loads the compiler

    sigma, exponent = in_own_unit(sigma)
    moves = times_power(moves, exponent)
    with same_bits(*weights.shape), np.errstate(over="ignore", invalid="ignore"):  # _distance looks for infinities
        mean, covariance, variance, rounding = function_moments(target, weights, sigma, moves, together)
    risk = _distance("tangent_risk", target, mean, covariance, variance, offset)
    _warn_of_rounding("tangent_risk", target, risk, rounding)
    return risk


def _form_distance(name: str, target: QuadraticFunction, S: Array, c: float) -> float:
    """The risk of <x, S x> + c."""
    mean = float(np.trace(S - target.B)) + c - target.b0
    return check_finite(name, form_risk(target.B, S) + mean * mean, _TOO_LARGE)


def _distance(name: str, target: QuadraticFunction, mean: float, covariance: float, variance: float, c: float) -> float:
    """The risk of f + c, f of that mean, covariance with the target, and variance."""
    off = mean + c - target.mean
    spread = check_risk(name, target.null_risk - 2 * covariance + variance, _TOO_LARGE)
    return check_finite(name, spread + off * off, _TOO_LARGE)


def _warn_of_rounding(name: str, target: QuadraticFunction | GaussianMixture, risk: float, rounding: float) -> None:
    """Warn the caller of the function called *name* if the *risk* may be off by too much."""
    if rounding > PROMISE * max(risk, target.null_risk):
        warnings.warn(
            f"{name} may be off by {rounding:.1e}: coefficients are so large that what the functions of single "
            "neurons add up to is lost in their rounding; fit them with a ridge",
            RuntimeWarning,
            stacklevel=3,
        )
