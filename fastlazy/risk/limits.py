"""Analytic predictions: the lines of the figure.

For W with independent rows N(0, Gamma) the mean risk of RF and NT and the infimum of NN. Formulas are for
tr Gamma = 1; for another trace, r^2, sigma(r x) takes the place of sigma.
"Theorem n" is that of arXiv:1906.08899 for the quadratic target (1: RF, 2: NT, 3: NN); "ours" marks what
is not in the paper, and tests compare it with exact risks of drawn weights. All is computed in the
eigenbasis of Gamma, where g are its eigenvalues, and B is what the target's matrix is there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_count, check_flag
from fastlazy.activations.builtin import ActivationLike, check_activation
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
from fastlazy.risk.graded import check_digits
from fastlazy.risk.inputs import cov_through, root_of, whitened
from fastlazy.risk.mixture import check_learned, mixture_solver
from fastlazy.risk.nt_limit import square_equivalent, tangent_equivalent, tangent_ratio
from fastlazy.risk.rf_limit import asymptotic_ratio, increasing_root, moments_at, refined_equivalent
from fastlazy.risk.sectors import sector_equivalent
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction, scaled
from fastlazy.targets.weights import cov_spectrum

_SHORTEST = 1e-70  # the length of rows whose fourth power a penalty can be beside


def rf_risk_limit(
    target: QuadraticFunction | GaussianMixture,
    N: int,
    activation: ActivationLike = "square",
    *,
    cov: ArrayLike | None = None,
    refined: bool = False,
    n_samples: ArrayLike | None = None,
    ridge: Penalty = 0.0,
) -> Any:
    """Predicted risk of random features, of the population or fitted to n samples.

    Parameters
    ----------
    target : QuadraticTarget or GaussianMixture
    N : int
        Neurons.
    activation : str, Activation or function
        A name that `get_activation` knows, or an `Activation`.
    cov : array_like, shape (d, d) or (d,), optional
        Covariance of a row of W, default I/d. Its trace is the squared length of the rows, about which they
        concentrate if many directions share it; without a ridge it does not matter to x^2, relu and the like.
    refined : bool
        False: the limit N, d -> infinity with N/d fixed (Theorem 1). True: a form for finite d (ours), for the mean
        of `rf_risk` over draws. For cov a multiple of the identity it is within 3 % of that mean for ReLU, GELU and
        cos up to N = 2 d^2 (d = 16; see `fastlazy.risk.sectors`), and for x^2 within .01 of the null risk for every N
        (d = 20). For another cov it is within .025 of the null risk up to N = d^2 / 2 (d = 16, 30), and too low
        beyond, where degrees above two, which it takes for noise, are fitted themselves. With n_samples or a ridge
        the finite form is used in any case.
    n_samples : float or array_like of shape (k,), optional
        Samples that the features are fitted to, >= 1, by ridge regression with an offset; default the population.
    ridge : float, array_like of shape (m,), or "best"
        Penalty ridge * |a|^2 beside the *mean* of the squared errors, >= 0; at 0 the solution of least norm. "best":
        the one of the least predicted risk.

    Returns
    -------
    float or ndarray
        The risk, not divided by the null risk, of the shape of n_samples followed by that of ridge; infinite where as
        many samples as features are interpolated. For the best ridge a `BestRidge`, the tuple (risk, ridge).

    Raises
    ------
    TypeError, ValueError
        If N is not a positive whole number, the activation is not known or has no finite moments, cov is not a
        covariance, refined is neither True nor False, n_samples is below 1, or the ridge is negative or a name.

    Notes
    -----
    If sigma has no component of degree 2, as no odd one has, the risk of the population is the null risk for every N.

    For n samples see `fastlazy.risk.equivalent`: the formulas of `rf_learning_curve`, with the mean over weights of
    what they ask of K. At d = 25 it is within 3 % of the mean of `rf_learning_curve` over weights
    (`tests/risk/test_limits_at_finite_n.py`).

    For a `GaussianMixture` it is 1 / (1 + q / 4), q what random features gain of a quadratic target with the
    eigenvalues delta_j, the generalised ones of (Delta, Sigma) (`fastlazy.risk.mixture_limits`): only asymptotic, for
    delta_j of the order of d^(-1/2), refined or not.

    References
    ----------
    arXiv:1906.08899, Theorem 1, and Theorem 4 for the mixture; arXiv:2405.15699 for finite n.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> round(fastlazy.rf_risk_limit(target, 10, refined=True) / target.null_risk, 3)
    0.812
    >>> round(fastlazy.rf_risk_limit(target, 10, "relu", refined=True) / target.null_risk, 3)
    0.932
    """
    check_learned(target)
    neurons, sigma, finite = check_count("N", N), check_activation(activation), check_flag("refined", refined)
    n, penalty = check_sizes(math.inf if n_samples is None else n_samples), check_penalty(ridge)
    if isinstance(target, GaussianMixture):
        return mixture_solver("rf_risk_limit")(target, neurons, sigma, cov, finite, n, penalty)
    g, B, length = _in_cov_basis(target, cov)
    sigma, exponent = in_own_unit(sigma)  # no ratio depends on the unit
    moments = moments_at(sigma, length)
    check_digits("rf_risk_limit", sigma, np.array([moments.doubt]), "cov")
    if n_samples is None and _is_zero(penalty) and not finite:
        return target.null_risk * asymptotic_ratio(g, B, neurons, moments)
    if not (_is_zero(penalty) and bool(np.isinf(n).all())):
        _check_length(length)
    if _isotropic(g) and not moments.square:  # that of x^2 is in closed form
        features = sector_equivalent(sigma, length, neurons, len(g), _trace_share(B))
    else:
        features = refined_equivalent(g, B, neurons, moments)
    return _finite(target, features, n, penalty, exponent)


def nt_risk_limit(
    target: QuadraticFunction | GaussianMixture,
    N: int,
    activation: ActivationLike = "square",
    *,
    cov: ArrayLike | None = None,
    refined: bool = False,
    n_samples: ArrayLike | None = None,
    ridge: Penalty = 0.0,
) -> Any:
    """Predicted risk of the neural tangent model, of the population or fitted to n samples.

    Parameters
    ----------
    target : QuadraticTarget or GaussianMixture
    N : int
        Neurons.
    activation : str, Activation or function
        The non-linearity sigma.
    cov : array_like, shape (d, d) or (d,), optional
        Covariance of a row of W, default I/d. For x^2 without ridge and n_samples only its shape matters, not its
        trace; for another sigma, a ridge or n_samples it must be a multiple of the identity.
    refined : bool
        False: the limit N, d -> infinity with N/d fixed. True, for cov a multiple of the identity: for x^2 the exact
        mean over W at this d, for another sigma the limit's formula with the rows' lengths and without the row that
        the linear part takes (ours). For another cov no finer form is known to us, and the limit is returned. With
        n_samples or a ridge the finite form is used in any case.
    n_samples : float or array_like of shape (k,), optional
        Samples that the features are fitted to, >= 1, by ridge regression with an offset; default the population.
    ridge : float, array_like of shape (m,), or "best"
        Penalty ridge * sum_i |b_i|^2 beside the *mean* of the squared errors, >= 0; at 0 the solution of least norm.
        "best": the one of the least predicted risk.

    Returns
    -------
    float or ndarray
        The risk, not divided by the null risk, of the shape of n_samples followed by that of ridge; for x^2 and the
        population zero for N >= d; infinite where as many samples as features are interpolated. For the best ridge a
        `BestRidge`, the tuple (risk, ridge).

    Raises
    ------
    TypeError, ValueError
        If N is not a positive whole number, cov is not a covariance, the activation is not known, jumps or has no
        finite moments, no formula is known for its cov, refined is neither True nor False, n_samples is below 1, or
        the ridge is negative or a name.

    Notes
    -----
    For another sigma than x^2 the formula (see `fastlazy.risk.nt_limit`) is found by treating what is of higher degree
    than two as noise. It is not proved. Refined, it is within 1 / d of the null risk of the *mean* of `nt_risk` over
    draws, for N from .3 d to 3 d at d = 40, the target of `exponential_target` and each sigma that `get_activation`
    names (`tests/risk/test_nt_limit.py`). A single draw varies by more: its standard deviation is up to 2 / d there,
    and larger for a B of low rank. Noise of degree three is itself fitted as N approaches d^2 / 6, and the risk is
    then lower than predicted; for a sigma whose noise is mostly of degree three, as He_2 + He_3, it is so by more
    than 1 / d at N = 3 d already. For n samples it is within 3 %, and 1 / d of the null risk, of the mean of
    `nt_learning_curve` over weights at d = 25 (`tests/risk/test_limits_at_finite_n.py`), for each sigma there; for
    polynomials of degree three and four, whose noise is of one degree, it may be 10 to 20 % off.

    For a `GaussianMixture` it is 1 / (1 + q / 4), q what the tangent model gains of a quadratic target with the
    eigenvalues delta_j, the generalised ones of (Delta, Sigma) (`fastlazy.risk.mixture_limits`): only asymptotic, for
    delta_j of the order of d^(-1/2), refined or not. The covariance of a row is then cov times Sigma, which for another
    sigma than x^2 must be a multiple of the identity.

    References
    ----------
    arXiv:1906.08899, Theorem 2 (x^2, Gamma = I/d) and Theorem 5 (x^2, mixture); the rest, finite n too, ours.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> round(fastlazy.nt_risk_limit(target, 10, refined=True) / target.null_risk, 3)
    0.37
    >>> round(fastlazy.nt_risk_limit(target, 10, "relu", refined=True) / target.null_risk, 3)
    0.605
    """
    check_learned(target)
    neurons, sigma, finite = check_count("N", N), check_activation(activation), check_flag("refined", refined)
    n, penalty = check_sizes(math.inf if n_samples is None else n_samples), check_penalty(ridge)
    if isinstance(target, GaussianMixture):
        return mixture_solver("nt_risk_limit")(target, neurons, sigma, cov, finite, n, penalty)
    g, B, length = _in_cov_basis(target, cov)
    of_population = n.ndim == 0 and bool(np.isinf(n)) and _is_zero(penalty)
    if root_of(target) is not None and not of_population:
        raise ValueError(
            "for a target with an input_cov no prediction is known with a finite n_samples or a ridge, which is on the "
            "coefficients of x; leave both out, or take the mean of nt_risk with that ridge over some draws"
        )
    if not _isotropic(g) and not (sigma.is_quadratic and of_population):
        what = f"activation {sigma.name!r}" if of_population else "finite n_samples or a ridge"
        raise ValueError(
            f"for {what} no prediction is known with this cov, whose eigenvalues differ; leave cov out, or take the "
            "mean of nt_risk, or of nt_learning_curve, over some draws"
        )
    share, finite = _trace_share(B), finite or n_samples is not None
    if of_population and sigma.is_quadratic:
        return target.null_risk * (_nt_mean(B, neurons) if finite and _isotropic(g) else _nt_asymptotic(g, B, neurons))
    sigma, exponent = in_own_unit(sigma)
    if of_population:  # no ratio depends on the unit
        return target.null_risk * tangent_ratio(sigma, length, neurons, len(g), share, refined=finite)
    _check_length(length)
    if sigma.is_quadratic:
        features = square_equivalent(length, neurons, len(g), share)
    else:
        features = tangent_equivalent(sigma, length, neurons, len(g), share)
    return _finite(target, features, n, penalty, exponent)


def _finite(target: QuadraticFunction, features: Equivalent, n: Array, ridge: Array | None, exponent: int) -> Any:
    """The risk for n samples, of features in units of 2^exponent, whose response is over the null risk."""
    if target.null_risk == 0:
        return nothing_to_learn(n, ridge)
    found, _ = finite_risks(features, n, penalties_in_unit(ridge, exponent))
    if ridge is None:
        return BestRidge(target.null_risk * found.risk, times_power(found.ridge, 2 * exponent))
    return target.null_risk * found


def _check_length(length: float) -> None:
    """Raise ValueError if a penalty beside features of rows of that length would over- or underflow."""
    if not _SHORTEST < length < 1 / _SHORTEST:
        raise ValueError(
            f"cov has a trace of {length:.3g}^2, whose powers a ridge or a finite n_samples cannot be beside in "
            f"floating point; scale cov to a trace between {_SHORTEST:g}^2 and {1 / _SHORTEST:g}^2"
        )


def _is_zero(penalty: Array | None) -> bool:
    return penalty is not None and penalty.ndim == 0 and float(penalty) == 0


def _isotropic(g: Array) -> bool:
    return bool(np.ptp(g) <= 1e-12 * g.max())


def _trace_share(B: Array) -> float:
    """The number m = (tr B)^2 / (d |B|^2), between 0 and 1."""
    norm = float(np.sum(B**2))
    return float(np.trace(B)) ** 2 / (len(B) * norm) if norm else 0.0


def _in_cov_basis(target: QuadraticFunction, cov: ArrayLike | None) -> tuple[Array, Array, float]:
    """Eigenvalues g of cov, scaled to sum 1, B in its eigenbasis and of size one, and the root of cov's trace."""
    root = root_of(target)
    if root is not None:  # the rows see z, x = A z, as rows of the covariance A^T Gamma A
        target, cov = whitened(target), cov_through(root, cov)
        if not cov.any():
            raise ValueError("cov has rows of W that see only directions in which x is zero; pass another cov")
    g, basis = cov_spectrum(cov, target.d)
    B = scaled(target)[1].B
    if basis is not None:
        B = basis.T @ B @ basis
    largest = g.max()
    g = g / largest  # the largest becomes 1, so that the sum cannot overflow
    return g / g.sum(), B, 1.0 if cov is None else math.sqrt(largest) * math.sqrt(g.sum())


def _nt_asymptotic(g: Array, B: Array, N: int) -> float:
    norm = float(np.sum(B**2))
    if norm == 0:
        return 0.0
    if np.count_nonzero(g) <= N:  # W spans the range of Gamma: what is left is B on its kernel
        kernel = g == 0
        return float(np.sum(B[np.ix_(kernel, kernel)] ** 2)) / norm

    def excess(z: float) -> float:
        return float(np.sum(z * g / (1 + z * g))) - N

    z = increasing_root(excess)
    q = 1 / (1 + z * g)  # Q = (I + z Gamma)^{-1}; for Gamma = I/d it is 1 - N/d
    p = z * g * q  # the sum of p is N, so that N - sum p^2 = sum p q
    # Theorem 2 for Gamma = I/d, where it reads (1 - rho)^2 + rho (1 - rho) tr(B)^2 / (d |B|^2)
    return (float(q @ B**2 @ q) + float(p * q @ np.diag(B)) ** 2 / float(p @ q)) / norm


def _nt_mean(B: Array, N: int) -> float:
    """The exact mean over isotropic W (ours): k = d - N dimensions that W leaves out."""
    d, norm = len(B), float(np.sum(B**2))
    if norm == 0 or d <= N:
        return 0.0
    k = d - N
    share = float(np.trace(B)) ** 2 / norm
    return (k * (k * d + d - 2) + k * (d - k) * share) / (d * (d - 1) * (d + 2))
