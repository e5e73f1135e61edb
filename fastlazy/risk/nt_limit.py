"""The risk of the tangent model for large d and any non-linearity, W with rows N(0, I / d). Ours, not the paper's.

With u_i the directions of the rows, g_k = E[sigma'(G) He_k(G)] / sqrt(k!) and sigma' sigma' etc. at length 1:

- Of degree two in x, sum_i <b_i, x> sigma'(<w_i, x>) is <x, S x> - tr S with S = g_1 sum_i sym(u_i b_i^T), but for
  the parts of b_i along u_i. They matter for what they have in common, b_i = beta u_i: that gives beta kappa G, with
  G = sum_i u_i u_i^T and kappa = g_1 + sqrt(3/2) g_3.
- What is of higher degree is noise. It costs mu |b|^2 across the u_i, mu = E sigma'^2 - g_0^2 - g_1^2, and
  nu N beta^2 along them, nu = E[sigma'^2 G^2] - g_1^2 - (g_0 + sqrt(2) g_2)^2 - 2 kappa^2.
- What is of degree one costs nothing: the mean of the b_i can be taken out of them.

So the risk is the least 2 |B - beta kappa G - g_1 sum_i sym(u_i b_i^T)|^2 + mu |b|^2 + nu N beta^2 over beta and b
with sum_i <u_i, b_i> = 0. It is solved in the eigenbasis of G, which is independent of B; the eigenvalues follow
Marchenko and Pastur's law. For x^2 it is Theorem 2 of arXiv:1906.08899.

At finite d two things are larger than the rest. Taking the mean out of the b_i, which only a g_0 other than 0 asks for,
leaves N - 1 of them. And rows have lengths r: what counts is the gain of a row for its noise, so the means of
g_1(r)^2 / mu(r) and kappa(r)^2 / nu(r) take the place of those at length 1. A sigma whose g_1 is zero at length 1, as
He_4, learns by its lengths alone.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.polynomial import legendre

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import expansion
from fastlazy.risk.graded import check_digits
from fastlazy.risk.row_lengths import row_lengths

_LINEAR = 1e-12  # the share of E sigma'^2 up to which g_0^2 counts as zero
_LEAST_GAIN = 1e-20  # the gain, at noise of one, that stands for a gain of zero
_LARGEST = 1e100  # the root of a gain that counts as infinite


class _Prices(NamedTuple):
    """What the formula takes of sigma': noise for a gain of one."""

    ridge: float  # mu / g_1^2
    common: float  # nu / kappa^2
    linear: bool  # whether g_0 is not zero
    doubt: float  # the largest relative change of a price that rounding of sigma' may cause


def tangent_ratio(activation: Activation, length: float, N: int, d: int, m: float, *, refined: bool) -> float:
    """Risk over null risk for N rows of *length* (root mean square) and m = (tr B)^2 / (d |B|^2)."""
    prices = _prices(activation, length, d if refined else None)
    if prices is None:
        return 1.0
    ridge, common, linear, doubt = prices
    check_digits("nt_risk_limit", activation, np.array([doubt]), "cov")
    rho = (N - 1 if refined and linear else N) / d
    if rho == 0:
        return 1.0
    x, weights = _spectrum(rho)
    pairs = x[:, None] + x
    lost = np.divide(ridge, ridge + pairs, out=np.ones_like(pairs), where=ridge + pairs > 0)
    own_lost = lost.diagonal()
    # p = <x / (r + 2 x)> and q = <x^2 / (r + 2 x)> over the law of the eigenvalues x, r the ridge
    first, second = (float(weights @ (x**k / np.where(x > 0, ridge + 2 * x, 1))) for k in (1, 2))
    # gamma = (2 / rho) (s - r), s the price of the common part, and its contribution r gamma p^2 / (s - gamma q)
    gain = 2 / rho * (common - ridge)
    shared = ridge * gain * first**2 / (common - gain * second) if common > 0 or ridge > 0 else 0.0
    return float((1 - m) * (weights @ lost @ weights) + m * (weights @ own_lost + shared))


@lru_cache(maxsize=64)
def _prices(activation: Activation, length: float, d: int | None) -> _Prices | None:
    """The prices for rows of that length, of lengths that spread as in *d* dimensions; None if none is of use."""
    alike = d is None or activation.degree is not None  # a length multiplies all that counts by one number
    r, shares = (np.array([length]), np.ones(1)) if alike else row_lengths(length, d)
    mean = expansion(activation, r, 0, derivative=1)
    # q(x) = x sigma'(r x) has the coefficients sqrt(k) g_{k-1} + sqrt(k+1) g_{k+1}: of degree 2, sqrt(2) kappa, and nu
    # is the sum of the squares of degrees 3 and above, as mu is that of g_k^2 from 2 on.
    (own, hidden), (common, also_hidden) = (_gains(activation, r, degree) for degree in (1, 2))
    if not (own.any() or common.any()):
        return None
    ridge, shared = (1 / max(float(shares @ gain), _LEAST_GAIN) for gain in (own, common / 2))
    linear = bool(np.any(mean.table[:, 0] ** 2 > _LINEAR))
    return _Prices(ridge, shared, linear, float(shares @ np.maximum(hidden, also_hidden)))


def _gains(activation: Activation, r: Array, degree: int) -> tuple[Array, Array]:
    """Squared coefficients (n,) of that degree, 1 of sigma'(r x) or 2 of x sigma'(r x), over the squares of all above.

    With them, (n,), how far rounding of sigma' may change what they lead to.
    """
    first, above = (
        expansion(activation, r, degree + 1, first=lowest, derivative=1, power=degree - 1)
        for lowest in (degree, degree + 1)
    )
    there = first.table[:, degree] != 0
    gain = np.clip(above.table[:, degree], -_LARGEST, _LARGEST) ** 2
    gain[there & np.logical_not(above.present(degree + 1))] = math.inf
    # An error of the noise changes a ratio by that error over the gain, so a large gain hides it.
    return gain, np.where(there, np.maximum(first.doubt, above.doubt / np.maximum(gain, 1)), 0)


def _spectrum(rho: float) -> tuple[Array, Array]:
    """Eigenvalues of G and their weights: the law of Marchenko and Pastur, and zero if rho < 1."""
    low, high = abs(1 - math.sqrt(rho)), 1 + math.sqrt(rho)
    s = low + (high - low) * _PLACES  # the square root of x
    density = np.sqrt((high - s) * (s - low) * (high + s) * (s + low)) / (math.pi * s)
    return np.append(s * s, 0.0), np.append((high - low) * _WEIGHTS * density, max(0.0, 1 - rho))


def _graded() -> tuple[Array, Array]:
    """Nodes and weights on (0, 1), on panels that shrink by a third towards both ends."""
    half = np.concatenate([[0.0], 0.5 * 3.0 ** np.arange(-24, 1)])
    edges = np.concatenate([half, 1 - half[-2::-1]])
    nodes, weights = legendre.leggauss(10)
    width = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + width * (1 + nodes)).ravel(), (width * weights).ravel()


_PLACES, _WEIGHTS = _graded()
