"""Learning curves without samples: the predicted risk of RF and NT fitted to n of them, for given weights."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_count, check_flag, check_real
from fastlazy._support.blas import same_bits
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import ActivationLike, check_activation
from fastlazy.activations.slopes import slopes_at
from fastlazy.activations.units import in_own_unit, times_power
from fastlazy.risk.equivalent import (
    BestRidge,
    Equivalent,
    Penalty,
    check_penalty,
    check_sizes,
    finite_risks,
    nothing_to_learn,
    penalties_in_unit,
)
from fastlazy.risk.projections import check_weights
from fastlazy.risk.rf import rf_risk
from fastlazy.risk.spectrum import rf_spectrum, square_nt_spectrum
from fastlazy.targets.quadratic import QuadraticFunction, scaled


class _Promise(NamedTuple):
    """What a curve is good to."""

    name: str  # of the function
    error: float
    advice: str  # where it does not hold


_SINGULAR = "features nearly depend on each other: pass a ridge, or leave out rows of W that nearly agree"
_ROUNDED = 1e-6  # the share of a risk up to which rounding is not worth a word
_LARGEST = 4000  # N d up to which the eigenvalues of NT's Gram matrix are found


def rf_learning_curve(
    target: QuadraticFunction,
    W: ArrayLike,
    n_samples: ArrayLike,
    activation: ActivationLike = "square",
    *,
    ridge: Penalty = 0.0,
    parallel: bool = True,
) -> Any:
    """Predicted risk of random features fitted to n samples, for these W: no sample is drawn.

    Fitted is f(x) = sum_i a_i sigma(<w_i, x>) + c by the least (1/n) sum_s (y_s - f(x_s))^2 + ridge |a|^2, as
    `RFRegressor` does for alpha = n ridge.

    Parameters
    ----------
    target : QuadraticTarget
    W : array_like, shape (N, d)
        First-layer weights, one neuron per row.
    n_samples : array_like, shape () or (k,)
        Numbers of samples, >= 1, which need not be whole; infinity is the population.
    activation : str, Activation or function
        The non-linearity sigma.
    ridge : float, array_like of shape (m,), or "best"
        Penalties >= 0; at 0 the solution of least norm. "best": for each n the one of the least predicted risk.
    parallel : bool
        False: the Gram matrix is filled on the calling thread alone, for use inside sweeps.

    Returns
    -------
    float or ndarray
        Predicted means, over the samples, of the exact risk of the fit; not divided by the null risk. The shape is
        that of n_samples followed by that of ridge. Infinite where there are as many samples as features and no
        ridge. For the best ridge a `BestRidge`, the tuple (risk, ridge), both of the shape of n_samples.

    Warns
    -----
    RuntimeWarning
        If rounding may change a risk by more than 1e-6 of itself, because features nearly depend on each other; or if
        rows are so short that rounding of sigma hides what the risk depends on.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array, a number of samples is below 1, a ridge is negative, or the activation is
        not known or has no finite Gaussian moments.

    Notes
    -----
    With s_k, v_k the eigenpairs of K = `rf_gram` centred, V_k = <v_k, V> as in `rf_risk`, and nu the solution of
    nu (1 - df1(nu) / n) = ridge, df_j(nu) = sum_k (s_k / (s_k + nu))^j,

        risk(n) = [Var y - sum_k V_k^2 (s_k + 2 nu) / (s_k + nu)^2] / (1 - df2(nu) / n).

    It is exact as n, N -> infinity in proportion for features like Gaussian ones. For ours it is within a few percent
    of the mean over fits at d = 40, and within 1 to 2 percent at d = 100; it is less exact at the peak, and too low
    for n of the order of d (`tests/risk/test_learning_curves.py`). One eigendecomposition serves all n and ridges.

    References
    ----------
    arXiv:2405.15699, where the mean over weights is proved under conditions on the features; for given weights ours.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(40, rng=0)
    >>> W = fastlazy.draw_weights(100, 40, rng=1)
    >>> curve = fastlazy.rf_learning_curve(target, W, [50, 100, 200, 5000], "relu", ridge=[0.0, 1e-3])
    >>> curve.shape
    (4, 2)
    """
    weights, sigma = check_weights(target, W), check_activation(activation)
    n, penalty, together = check_sizes(n_samples), check_penalty(ridge), check_flag("parallel", parallel)
    size, unit = scaled(target)
    if not unit.B.any():
        return nothing_to_learn(n, penalty)
    weights, lengths = _in_unit_of_rows(weights, sigma)
    power = 2 if sigma.is_quadratic else sigma.degree or 0
    sigma, exponent = in_own_unit(sigma)
    with same_bits(*weights.shape):
        features = rf_spectrum(unit, weights, sigma, together).equivalent(
            lambda: rf_risk(unit, weights, sigma, parallel=together)
        )
    promise = _Promise("rf_learning_curve", _ROUNDED, _SINGULAR)
    return _curve(features, size, n, penalty, exponent + lengths * power, promise)


def nt_learning_curve(
    target: QuadraticFunction,
    W: ArrayLike,
    n_samples: ArrayLike,
    activation: ActivationLike = "square",
    *,
    ridge: Penalty = 0.0,
    tolerance: float = 1e-3,
    max_iterations: int = 5000,
    parallel: bool = True,
) -> Any:
    """Predicted risk of the neural tangent model fitted to n samples, for these W: no sample is drawn.

    Fitted is f(x) = sum_i <b_i, x> sigma'(<w_i, x>) + c by the least (1/n) sum_s (y_s - f(x_s))^2 + ridge |b|^2, as
    `NTRegressor` does for alpha = n ridge.

    Parameters
    ----------
    target : QuadraticTarget
    W : array_like, shape (N, d)
        Weights at the initialisation, one neuron per row.
    n_samples : array_like, shape () or (k,)
        Numbers of samples, >= 1, which need not be whole; infinity is the population.
    activation : str, Activation or function
        The non-linearity sigma.
    ridge : float, array_like of shape (m,), or "best"
        Penalties >= 0; at 0 the solution of least norm. "best": for each n the one of the least predicted risk.
    tolerance : float
        For another sigma than x^2 and N d > 4000, where the eigenvalues are not found: the largest error of a risk, as
        a share of it, > 0. Near the peak, where a risk is 1 / (1 - df2 / n) times that of the population or more, it
        may be so many times larger. The error is estimated, to hold in 99 of 100 problems.
    max_iterations : int
        Most products with the Gram matrix there.
    parallel : bool
        False: on the calling thread alone, for use inside sweeps.

    Returns
    -------
    float or ndarray, or BestRidge
        As `rf_learning_curve` returns it. The same arguments give the same numbers.

    Warns
    -----
    RuntimeWarning
        If the iteration ends before the tolerance is reached, or rounding may change a risk by more than 1e-6 of
        itself; the message says by how much it may be off.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array, a number of samples is below 1, a ridge is negative, another number is out
        of its range, or the activation is not known, jumps or has no finite Gaussian moments.

    Notes
    -----
    The formula of `rf_learning_curve` for K = `nt_gram` centred, with V as in `nt_risk`. For x^2 the eigenvalues of K
    are 4 (s_j^2 + s_k^2), s the singular values of W (ours). For another sigma they are found up to N d = 4000. Beyond
    it K is known by its products with vectors alone (see `fastlazy.risk.nt_quadrature`), of which it takes 80 to 150 at
    N d = 2,000,000; memory: 4 N^2 numbers and some thirty arrays (N, d). Which vectors are used depends on the
    arguments, so another list of n changes a risk within the tolerance.

    References
    ----------
    arXiv:2405.15699 for the formula; that it holds for these features is ours, found by comparison with fits.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> curve = fastlazy.nt_learning_curve(target, W, [500, 5000, float("inf")])
    >>> (curve / target.null_risk).round(3)
    array([0.642, 0.457, 0.443])
    """
    weights, sigma = check_weights(target, W), check_activation(activation)
    n, penalty, together = check_sizes(n_samples), check_penalty(ridge), check_flag("parallel", parallel)
    goal, most = check_real("tolerance", tolerance, 0.0), check_count("max_iterations", max_iterations)
    size, unit = scaled(target)
    if not unit.B.any():
        if not sigma.is_quadratic:
            slopes_at(weights, sigma, 0)  # which refuses what has no tangent model
        return nothing_to_learn(n, penalty)
    promise = _Promise("nt_learning_curve", _ROUNDED, _SINGULAR)
    if sigma.is_quadratic:
        weights, lengths = _in_unit_of_rows(weights, sigma)
        with same_bits(*weights.shape):
            features = square_nt_spectrum(unit, weights).equivalent()
        return _curve(features, size, n, penalty, lengths, promise)
    from fastlazy.risk.nt_spectrum import dense_equivalent, large_equivalent  # which load the compiler

    sigma, exponent = in_own_unit(sigma)
    small = weights.size <= _LARGEST
    with same_bits(weights.size, 1):
        if small:
            features = dense_equivalent(unit, weights, sigma, together)
        else:
            in_unit = penalties_in_unit(penalty, exponent)
            features = large_equivalent(unit, weights, sigma, n, in_unit, goal, most, together)
            promise = promise._replace(error=goal, advice="pass a larger max_iterations or tolerance, or a ridge")
        return _curve(features, size, n, penalty, exponent, promise)


def _in_unit_of_rows(W: Array, sigma: Activation) -> tuple[Array, int]:
    """W over a power of two of the size of its rows, and the exponent, if features less their means are homogeneous."""
    if not (sigma.is_quadratic or sigma.degree is not None) or not W.any():
        return W, 0
    exponent = int(np.frexp(np.abs(W).max())[1])
    return np.ldexp(W, -exponent), exponent


def _curve(features: Equivalent, size: float, n: Array, ridge: Array | None, exponent: int, promise: _Promise) -> Any:
    """The risks of features in units of 2^exponent and a target in units of *size*, and a warning if they are off."""
    found, errors = finite_risks(features, n, penalties_in_unit(ridge, exponent))
    error = float(np.max(errors))
    if error > promise.error:
        worst = n.ravel()[int(np.argmax(errors)) // max(np.size(errors) // n.size, 1)]
        warnings.warn(
            f"{promise.name}: the risk of n = {worst:g} samples may be off by {min(error, 1.0):.1e} of itself, more "
            f"than {promise.error:.0e}; {promise.advice}",
            RuntimeWarning,
            stacklevel=3,
        )
    if ridge is None:
        return BestRidge(size**2 * found.risk, times_power(found.ridge, 2 * exponent))
    return size**2 * found
