"""The mean response of random features over weights with any covariance, of N rows N(0, Gamma), tr Gamma = 1.

Theorem 1 of arXiv:1906.08899 in the limit N, d -> infinity, and a form for finite d (ours), which knows a penalty, too.
All is computed in the eigenbasis of Gamma, where g are its eigenvalues, and B is what the target's matrix is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import expansion
from fastlazy.risk.equivalent import Equivalent, Response

_ROUNDING = 1e-13  # the share of the squares of degrees 2 and above up to which a rest is rounding
_LEAST_NOISE = 1e-290  # a penalty so small is as good as none, but M stays a number
_LARGEST = 1e20  # a larger linear part counts as this, and a rest below its inverse square as zero: no ratio changes


class Moments(NamedTuple):
    """Moments lam_k = E[sigma(r G) He_k(G)] in units of what sigma(r G) has of degrees 2 and above.

    In these units they keep their digits, and have a limit, for rows so short that they see little but a line.
    """

    lam1: float  # its absolute value
    lam2: float
    tau: float  # the sum of lam_k^2 / k! over degrees k above 2
    square: bool  # whether sigma is x^2 plus a constant
    doubt: float  # the largest moment that rounding of sigma may hide
    unit: float  # the unit


@lru_cache(maxsize=256)
def moments_at(activation: Activation, length: float) -> Moments:
    """The moments for rows of that length."""
    scale = np.array([length if activation.degree is None else 1.0])  # a power of the length changes the unit alone
    whole, curved = (expansion(activation, scale, 64, first=first) for first in (1, 2))
    part = curved if curved.present(2)[0] else whole
    hn, rest = part.table[0], float(part.rest[0])
    doubt = max(float(whole.doubt[0]), float(curved.doubt[0])) if hn[2] else 0.0
    square = not (hn[1] or hn[3:].any() or rest > _ROUNDING)
    tau = float(np.sum(hn[3:] ** 2)) + (rest if rest > _ROUNDING else 0.0)
    lam1 = min(abs(float(hn[1])), _LARGEST)  # its sign does not matter
    with np.errstate(over="ignore"):
        unit = float(part.scale[0] * np.float64(length) ** (activation.degree or 0))
    return Moments(lam1, math.sqrt(2) * float(hn[2]), tau if tau > 1 / _LARGEST**2 else 0.0, square, doubt, unit)


def asymptotic_ratio(g: Array, B: Array, N: int, moments: Moments) -> float:
    """Risk over null risk as N, d -> infinity: Theorem 1."""
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

    psi = increasing_root(excess)
    overlap = float(np.sum(g * np.diag(B)))  # <Gamma, B>
    gain = moments.lam2**2 * psi * d
    # Theorem 1
    return 1 - gain * overlap**2 / (norm * (2 + gain * float(np.sum(g**2))))


def refined_equivalent(g: Array, B: Array, N: int, moments: Moments) -> Equivalent:
    """The form for finite d (ours): the mean response, over the null risk.

    The penalised risk is b^T (I + M A)^{-1} b / |b|^2, b = vec B, with A = lam2^2 Gamma (x) Gamma + (lam2^2 / 2)
    vec(Gamma) vec(Gamma)^T, diagonal plus rank one here. M is the effective number of neurons for one direction: N =
    M (tau + nu) + the degrees of freedom that M takes up, as the diagonal of (K + nu)^-1 is M / N. The risk is the
    penalised risk less nu times its derivative, and df2 = df1 + nu d df1 / d nu.
    """
    if moments.unit == 0:  # the features are constants
        return Equivalent(lambda nu: Response(1.0, 0.0, 0.0), lambda nu: 0.0, 0.0, 1.0, 1.0)
    norm = float(np.sum(B**2)) or 1.0
    values, counts = np.unique(g, return_counts=True)
    pairs = np.outer(values, values)
    multiplicity = (np.outer(counts, counts) + np.diag(counts)) / 2  # counts the pairs j <= k

    def freedom(M: float) -> tuple[float, float]:
        """The degrees of freedom that M takes up: the sum of what is of each direction, and of its square."""
        linear, quadratic = M * moments.lam1**2 * values, M * moments.lam2**2 * pairs
        first, second = linear / (1 + linear), quadratic / (1 + quadratic)
        one, two = (float(np.sum(counts * first**k) + np.sum(multiplicity * second**k)) for k in (1, 2))
        return one, two

    reachable = moments.lam1**2 * values > 0, (pairs > 0) & (moments.lam2 != 0)
    saturated = float(np.sum(counts * reachable[0]) + np.sum(multiplicity * reachable[1]))
    spans = moments.tau == 0 and saturated <= N  # all that the features can reach
    span = saturated if spans else float(N)

    def effective(nu: float) -> float:
        """M at a penalty that may be zero only if the features do not span all."""
        noise = max(moments.tau + nu / moments.unit / moments.unit, _LEAST_NOISE if nu > 0 else 0.0)
        return increasing_root(lambda M: M * noise + freedom(M)[0] - N)

    def df1(nu: float) -> float:
        if nu == 0:
            return span
        M = effective(nu)
        return M * moments.tau + freedom(M)[0]

    def respond(nu: float) -> Response:
        if spans and nu == 0:
            reached = np.outer(g, g) > 0 if moments.lam2 else np.zeros_like(B, bool)
            return Response(float(np.sum(B[~reached] ** 2)) / norm, span, span)
        M = effective(nu)
        first, second = freedom(M)
        taken, known = M * moments.tau + first, M * moments.tau + first - second
        shrinkage = 1 / (1 + M * moments.lam2**2 * np.outer(g, g))
        diagonal = np.diag(shrinkage)
        coupling = M * moments.lam2**2 / 2
        left = shrinkage * B  # (I + M A)^{-1} b
        overlap = float(np.sum(g * diagonal * np.diag(B))) / (1 + coupling * float(np.sum(diagonal * g**2)))
        left[np.diag_indices_from(left)] -= coupling * overlap * diagonal * g
        penalised, squares = float(np.sum(left * B)), float(np.sum(left**2))
        of_penalty = M * (nu / moments.unit / moments.unit)
        share = of_penalty / (of_penalty + known) if nu > 0 else 0.0
        lost = (1 - share) * penalised + share * squares
        return Response(lost / norm, df1(nu), (1 - share) * taken + share * second if nu > 0 else span)

    return Equivalent(respond, df1, span, N * moments.unit**2, 1.0)


def increasing_root(excess: Callable[[float], float]) -> float:
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
