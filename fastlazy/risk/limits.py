"""Analytic predictions: the lines of the figure.

For W with independent rows N(0, Gamma) the mean risk of RF and NT and the infimum of NN. Formulas are for
tr Gamma = 1; for another trace, r^2, sigma(r x) takes the place of sigma.
"Theorem n" is that of arXiv:1906.08899 for the quadratic target (1: RF, 2: NT, 3: NN); "ours" marks what
is not in the paper, and tests compare it with exact risks of drawn weights. All is computed in the
eigenbasis of Gamma, where g are its eigenvalues, and B is what the target's matrix is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from fastlazy._support.arguments import Array, check_count, check_flag
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import check_activation
from fastlazy.activations.moments import expansion
from fastlazy.activations.units import in_own_unit
from fastlazy.risk.graded import check_digits
from fastlazy.risk.inputs import cov_through, root_of, whitened
from fastlazy.risk.mixture import check_learned, mixture_solver
from fastlazy.risk.nt_limit import tangent_ratio
from fastlazy.risk.sectors import sector_ratio
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction, scaled
from fastlazy.targets.weights import cov_spectrum

_ROUNDING = 1e-13  # the share of the squares of degrees 2 and above up to which a rest is rounding
_LARGEST = 1e20  # a larger linear part counts as this, and a rest below its inverse square as zero: no ratio changes


class _Moments(NamedTuple):
    """Moments lam_k = E[sigma(r G) He_k(G)] in units of what sigma(r G) has of degrees 2 and above.

    In these units they keep their digits, and have a limit, for rows so short that they see little but a line.
    """

    lam1: float  # its absolute value
    lam2: float
    tau: float  # the sum of lam_k^2 / k! over degrees k above 2
    square: bool  # whether sigma is x^2 plus a constant
    doubt: float  # the largest moment that rounding of sigma may hide


def rf_risk_limit(
    target: QuadraticFunction | GaussianMixture,
    N: int,
    activation: str | Activation = "square",
    *,
    cov: ArrayLike | None = None,
    refined: bool = False,
) -> float:
    """Predicted risk of random features.

    Parameters
    ----------
    target : QuadraticTarget or GaussianMixture
    N : int
        Neurons.
    activation : str or Activation
        A name that `get_activation` knows, or an `Activation`.
    cov : array_like, shape (d, d) or (d,), optional
        Covariance of a row of W, default I/d. Its trace is the squared length of the rows, about which they
        concentrate if many directions share it; it does not matter to x^2, relu and the like.
    refined : bool
        False: the limit N, d -> infinity with N/d fixed (Theorem 1). True: a form for finite d (ours), for the mean
        of `rf_risk` over draws. For cov a multiple of the identity it is within 3 % of that mean for ReLU, GELU and
        cos up to N = 2 d^2 (d = 16; see `fastlazy.risk.sectors`), and for x^2 within .01 of the null risk for every N
        (d = 20). For another cov it is within .025 of the null risk up to N = d^2 / 2 (d = 16, 30), and too low
        beyond, where degrees above two, which it takes for noise, are fitted themselves.

    Returns
    -------
    float
        The risk, not divided by the null risk.

    Raises
    ------
    TypeError, ValueError
        If N is not a positive whole number, the activation is not known or has no finite moments, cov is not a
        covariance, or refined is neither True nor False.

    Notes
    -----
    If sigma has no component of degree 2, as no odd one has, the risk is the null risk for every N.

    For a `GaussianMixture` it is 1 / (1 + q / 4), q what random features gain of a quadratic target with the
    eigenvalues delta_j, the generalised ones of (Delta, Sigma) (`fastlazy.risk.mixture_limits`): only asymptotic, for
    delta_j of the order of d^(-1/2), refined or not.

    References
    ----------
    arXiv:1906.08899, Theorem 1, and Theorem 4 for the mixture.
    """
    check_learned(target)
    neurons, sigma, finite = check_count("N", N), check_activation(activation), check_flag("refined", refined)
    if isinstance(target, GaussianMixture):
        return mixture_solver("rf_risk_limit")(target, neurons, sigma, cov, finite)
    g, B, length = _in_cov_basis(target, cov)
    sigma, _ = in_own_unit(sigma)  # no ratio depends on the unit
    moments = _moments(sigma, length)
    _check_digits(sigma, moments)
    if finite and _isotropic(g) and not moments.square:  # that of x^2 is `_rf_refined`, in closed form
        return target.null_risk * sector_ratio(sigma, length, neurons, len(g), _trace_share(B))
    ratio = _rf_refined if finite else _rf_asymptotic
    return target.null_risk * ratio(g, B, neurons, moments)


def nt_risk_limit(
    target: QuadraticFunction | GaussianMixture,
    N: int,
    activation: str | Activation = "square",
    *,
    cov: ArrayLike | None = None,
    refined: bool = False,
) -> float:
    """Predicted risk of the neural tangent model.

    Parameters
    ----------
    target : QuadraticTarget or GaussianMixture
    N : int
        Neurons.
    activation : str or Activation
        The non-linearity sigma.
    cov : array_like, shape (d, d) or (d,), optional
        Covariance of a row of W, default I/d. For x^2 only its shape matters, not its trace; for another sigma it
        must be a multiple of the identity.
    refined : bool
        False: the limit N, d -> infinity with N/d fixed. True, for cov a multiple of the identity: for x^2 the exact
        mean over W at this d, for another sigma the limit's formula with the rows' lengths and without the row that
        the linear part takes (ours). For another cov no finer form is known to us, and the limit is returned.

    Returns
    -------
    float
        The risk, not divided by the null risk; for x^2 zero for N >= d.

    Raises
    ------
    TypeError, ValueError
        If N is not a positive whole number, cov is not a covariance, the activation is not known, jumps or has no
        finite moments, no formula is known for its cov, or refined is neither True nor False.

    Notes
    -----
    For another sigma than x^2 the formula (see `fastlazy.risk.nt_limit`) is found by treating what is of higher degree
    than two as noise. It is not proved. Refined, it is within 1 / d of the null risk of the *mean* of `nt_risk` over
    draws, for N from .3 d to 3 d at d = 40, the target of `exponential_target` and each sigma that `get_activation`
    names (`tests/risk/test_nt_limit.py`). A single draw varies by more: its standard deviation is up to 2 / d there,
    and larger for a B of low rank. Noise of degree three is itself fitted as N approaches d^2 / 6, and the risk is
    then lower than predicted; for a sigma whose noise is mostly of degree three, as He_2 + He_3, it is so by more
    than 1 / d at N = 3 d already.

    For a `GaussianMixture` it is 1 / (1 + q / 4), q what the tangent model gains of a quadratic target with the
    eigenvalues delta_j, the generalised ones of (Delta, Sigma) (`fastlazy.risk.mixture_limits`): only asymptotic, for
    delta_j of the order of d^(-1/2), refined or not. The covariance of a row is then cov times Sigma, which for another
    sigma than x^2 must be a multiple of the identity.

    References
    ----------
    arXiv:1906.08899, Theorem 2 (x^2, Gamma = I/d) and Theorem 5 (x^2, mixture); the rest ours.
    """
    check_learned(target)
    neurons, sigma, finite = check_count("N", N), check_activation(activation), check_flag("refined", refined)
    if isinstance(target, GaussianMixture):
        return mixture_solver("nt_risk_limit")(target, neurons, sigma, cov, finite)
    g, B, length = _in_cov_basis(target, cov)
    isotropic = _isotropic(g)
    if not sigma.is_quadratic:
        if not isotropic:
            raise ValueError(
                f"for activation {sigma.name!r} no prediction is known with this cov, whose eigenvalues differ; leave "
                "cov out, or take the mean of nt_risk over some draws"
            )
        share = _trace_share(B)
        sigma, _ = in_own_unit(sigma)  # no ratio depends on the unit
        return target.null_risk * tangent_ratio(sigma, length, neurons, len(g), share, refined=finite)
    if finite and isotropic:
        return target.null_risk * _nt_mean(B, neurons)
    return target.null_risk * _nt_asymptotic(g, B, neurons)


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


@lru_cache(maxsize=256)
def _moments(activation: Activation, length: float) -> _Moments:
    """The moments for rows of that length."""
    scale = np.array([length if activation.degree is None else 1.0])  # a power of the length changes no ratio
    whole, curved = (expansion(activation, scale, 64, first=first) for first in (1, 2))
    hn, rest = curved.table[0], float(curved.rest[0])
    doubt = max(float(whole.doubt[0]), float(curved.doubt[0])) if hn[2] else 0.0
    square = not (hn[1] or hn[3:].any() or rest > _ROUNDING)
    tau = float(np.sum(hn[3:] ** 2)) + (rest if rest > _ROUNDING else 0.0)
    lam1 = min(abs(float(hn[1])), _LARGEST)  # its sign does not matter
    return _Moments(lam1, math.sqrt(2) * float(hn[2]), tau if tau > 1 / _LARGEST**2 else 0.0, square, doubt)


def _check_digits(activation: Activation, moments: _Moments) -> None:
    check_digits("rf_risk_limit", activation, np.array([moments.doubt]), "cov")


def _rf_asymptotic(g: Array, B: Array, N: int, moments: _Moments) -> float:
    d, norm = len(g), float(np.sum(B**2))
    if norm == 0:
        return 0.0
    if moments.lam2 == 0:
        return 1.0
    t = d * g
    tail = moments.tau + moments.lam2**2 / 2

    def excess(psi: float) -> float:
        # Theorem 1: the equation for psi, times psi
        return tail * psi + float(np.mean(moments.lam1**2 * t * psi / (1 + moments.lam1**2 * t * psi))) - N / d

    psi = _increasing_root(excess)
    overlap = float(np.sum(g * np.diag(B)))  # <Gamma, B>
    gain = moments.lam2**2 * psi * d
    # Theorem 1
    return 1 - gain * overlap**2 / (norm * (2 + gain * float(np.sum(g**2))))


def _rf_refined(g: Array, B: Array, N: int, moments: _Moments) -> float:
    """The finite-d form (ours): ratio b^T (I + M A)^{-1} b / |b|^2, b = vec B.

    A = lam2^2 Gamma (x) Gamma + (lam2^2 / 2) vec(Gamma) vec(Gamma)^T, diagonal plus rank one here. M is the
    effective number of neurons for one direction: N = M tau + the degrees of freedom that M takes up.
    """
    norm = float(np.sum(B**2))
    if norm == 0:
        return 0.0
    if moments.lam2 == 0:
        return 1.0
    values, counts = np.unique(g, return_counts=True)
    pairs = np.outer(values, values)
    multiplicity = (np.outer(counts, counts) + np.diag(counts)) / 2  # counts the pairs j <= k

    def excess(M: float) -> float:
        linear = M * moments.lam1**2 * values
        quadratic = M * moments.lam2**2 * pairs
        taken = np.sum(counts * linear / (1 + linear)) + np.sum(multiplicity * quadratic / (1 + quadratic))
        return M * moments.tau + float(taken) - N

    saturated = np.sum(counts * (moments.lam1**2 * values > 0)) + np.sum(multiplicity * (pairs > 0))
    if moments.tau == 0 and saturated <= N:  # the features span all that they can reach
        return float(np.sum(B[np.outer(g, g) == 0] ** 2)) / norm
    M = _increasing_root(excess)
    shrinkage = 1 / (1 + M * moments.lam2**2 * np.outer(g, g))
    diagonal = np.diag(shrinkage)
    coupling = M * moments.lam2**2 / 2
    lost = float(np.sum(shrinkage * B**2))
    rank_one = coupling * float(np.sum(g * diagonal * np.diag(B))) ** 2 / (1 + coupling * np.sum(diagonal * g**2))
    return (lost - float(rank_one)) / norm


def _nt_asymptotic(g: Array, B: Array, N: int) -> float:
    norm = float(np.sum(B**2))
    if norm == 0:
        return 0.0
    if np.count_nonzero(g) <= N:  # W spans the range of Gamma: what is left is B on its kernel
        kernel = g == 0
        return float(np.sum(B[np.ix_(kernel, kernel)] ** 2)) / norm

    def excess(z: float) -> float:
        return float(np.sum(z * g / (1 + z * g))) - N

    z = _increasing_root(excess)
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


def _increasing_root(excess: Callable[[float], float]) -> float:
    """The positive root of an increasing function that is negative at 0, to rounding."""

    def of_log(log: float) -> float:
        return excess(math.exp(log))

    high = 0.0
    while of_log(high) <= 0:
        high += 1.4
        if high > 709:
            raise ValueError("cov has eigenvalues so far apart that floating point cannot tell; set the smallest to 0")
    low = high - 1.4
    while of_log(low) > 0:
        low -= 1.4
    return math.exp(brentq(of_log, low, high, xtol=1e-15, rtol=1e-15))
