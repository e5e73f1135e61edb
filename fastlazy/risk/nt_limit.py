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

A penalty nu |b|^2 adds nu to both noises. The risk is then the penalised risk less nu times its derivative, which is
that of a function of a complex number, at nu + i h for a tiny h. Of the features, for df1 and df2: d of degree one have
the eigenvalue N g_0^2 + mu, those of forms mu + g_1^2 (x_j + x_k) for j <= k, N along the u_i nu, and the rest mu.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import legendre

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import expansion
from fastlazy.risk.equivalent import Equivalent, Response
from fastlazy.risk.graded import check_digits
from fastlazy.risk.row_lengths import row_lengths

_LINEAR = 1e-12  # the share of E sigma'^2 up to which g_0^2 counts as zero
_LEAST_GAIN = 1e-20  # the gain, at noise of one, that stands for a gain of zero
_LARGEST = 1e100  # the root of a gain that counts as infinite


class _Prices(NamedTuple):
    """What the formula takes of sigma' at a penalty: noise for a gain of one."""

    ridge: float | complex  # mu / g_1^2
    common: float | complex  # nu / kappa^2


class _Slope(NamedTuple):
    """What sigma' has at the lengths of the rows, C classes of them."""

    shares: Array  # (C,) the shares of the rows
    own: _Gains
    common: _Gains
    linear: bool  # whether g_0 is not zero
    squares: Array  # (C,) g_0^2

    def prices(self, nu: float | complex) -> _Prices:
        """The prices at a penalty."""
        both = self.shares @ self.own.at(nu), self.shares @ (self.common.at(nu) / 2)
        ridge, common = (1 / (gain if gain.real > _LEAST_GAIN else _LEAST_GAIN) for gain in both)
        return _Prices(ridge, common)


class _Gains(NamedTuple):
    """Squared coefficients of one degree, of sigma'(r x) or x sigma'(r x), and those of all degrees above it."""

    squares: Array  # (C,)
    noise: Array  # (C,) the sum of the squares of all above
    gain: Array  # (C,) their ratio, which keeps its digits where both are tiny
    doubt: Array  # (C,) how far rounding of sigma' may change what it leads to, as a share

    def at(self, nu: float | complex) -> Any:
        """The gains (C,) with a penalty beside the noise."""
        if nu == 0:
            return self.gain
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            return np.where(np.isinf(self.gain), self.squares / nu, self.gain / (1 + nu / self.noise))


def tangent_ratio(activation: Activation, length: float, N: int, d: int, m: float, *, refined: bool) -> float:
    """Risk over null risk for N rows of *length* (root mean square) and m = (tr B)^2 / (d |B|^2)."""
    slope = _slope(activation, length, d if refined else None)
    check_digits("nt_risk_limit", activation, np.maximum(slope.own.doubt, slope.common.doubt), "cov")
    return float(_penalised(slope, 0.0, (N - 1 if refined and slope.linear else N) / d, m).real)


def _penalised(slope: _Slope, nu: float | complex, rho: float, m: float) -> Any:
    """The penalised risk over the null risk."""
    if rho == 0 or not (slope.own.gain.any() or slope.common.gain.any()):
        return np.float64(1.0)
    ridge, common = slope.prices(nu)
    x, weights = _spectrum(rho, *(_FINE if nu == 0 else _COARSE))
    pairs = x[:, None] + x
    lost = np.ones(pairs.shape, type(ridge))
    np.divide(ridge, ridge + pairs, out=lost, where=(ridge + pairs).real > 0)
    own_lost = lost.diagonal()
    # p = <x / (r + 2 x)> and q = <x^2 / (r + 2 x)> over the law of the eigenvalues x, r the ridge
    first, second = (weights @ (x**k / np.where(x > 0, ridge + 2 * x, 1)) for k in (1, 2))
    # gamma = (2 / rho) (s - r), s the price of the common part, and its contribution r gamma p^2 / (s - gamma q)
    gain = 2 / rho * (common - ridge)
    shared = ridge * gain * first**2 / (common - gain * second) if common != 0 or ridge != 0 else 0.0
    return (1 - m) * (weights @ lost @ weights) + m * (weights @ own_lost + shared)


@lru_cache(maxsize=64)
def tangent_equivalent(activation: Activation, length: float, N: int, d: int, m: float) -> Equivalent:
    """The mean response of N rows N(0, length^2 I / d), over the null risk, for m = (tr B)^2 / (d |B|^2)."""
    slope = _slope(activation, length, d)
    if not (slope.linear or slope.own.noise.any() or slope.common.noise.any()):  # a multiple of x^2
        return square_equivalent(math.sqrt(float(slope.shares @ slope.own.squares)) / 2, N, d, m)
    mu, nu_own, g_1, g_0 = (
        float(slope.shares @ part) for part in (slope.own.noise, slope.common.noise, slope.own.squares, slope.squares)
    )
    pairs, counts = _pairs(N, d)
    of_line = float(d) if slope.linear else 0.0
    rest = N * d - counts.sum() - N - of_line
    if rest < 0:  # few rows, whose forms and lines are partly the same
        counts, rest = counts * max(1 + rest / counts.sum(), 0.0), 0.0
    places = np.concatenate([mu + g_1 * pairs, [N * g_0 + mu, nu_own, mu]])
    counts = np.concatenate([counts, [of_line, float(N), rest]])[places > 0]
    places = places[places > 0]
    span = float(round(counts.sum()))
    rho = (N - 1 if slope.linear else N) / d

    def df1(nu: float) -> float:
        return float(counts @ (places / (places + nu))) if nu > 0 else span

    @lru_cache(maxsize=1024)  # curves ask again and again for the same nu
    def respond(nu: float) -> Response:
        step = nu * 1e-30
        if step == 0:
            return Response(float(_penalised(slope, 0.0, rho, m).real), span, span)
        ratio = _penalised(slope, complex(nu, step), rho, m)
        kept = places / (places + nu)
        return Response(float(ratio.real) - nu * float(ratio.imag) / step, df1(nu), float(counts @ kept**2))

    return Equivalent(respond, df1, span, float(places.max(initial=0)) or 1.0, 1.0)


@lru_cache(maxsize=64)
def square_equivalent(length: float, N: int, d: int, m: float) -> Equivalent:
    """The same for x^2, where the basis of G is independent of B: exact but for the law of its eigenvalues.

    An entry of the form, j <= k, has the eigenvalue 4 (x_j + x_k), and of B the mean square that it has in a random
    basis.
    """
    r, k = min(N, d), max(d - N, 0)
    x, w = _continuous(N / d, *_COARSE)
    x = length**2 * x
    diagonal = (2 + m * d) / (d * (d + 2))
    beside = (1 - m) / ((d + 2) * (d - 1)) if d > 1 else 0.0
    sums = x[:, None] + x
    # ordered pairs of entries that learn: their eigenvalues, how many, and what B has in each
    groups = (4 * sums, r * (r - 1) * np.outer(w, w), beside), (8 * x, r * w, diagonal), (4 * x, 2 * r * k * w, beside)
    never = k * (k - 1) * beside + k * diagonal

    def freedom(nu: float, power: int) -> float:
        # an entry beside the diagonal is one feature with its mirror image
        halves = 0.5, 1.0, 0.5
        return sum(
            half * float(np.sum(n * (s / (s + nu)) ** power)) for half, (s, n, _) in zip(halves, groups, strict=True)
        )

    @lru_cache(maxsize=1024)
    def respond(nu: float) -> Response:
        lost = never + sum(share * float(np.sum(n * (nu / (s + nu)) ** 2)) for s, n, share in groups)
        return Response(lost, freedom(nu, 1), freedom(nu, 2)) if nu > 0 else Response(never, span, span)

    span = r * (r + 1) / 2 + r * k
    return Equivalent(respond, lambda nu: freedom(nu, 1) if nu > 0 else span, span, 8 * float(x.max()), 1.0)


def _pairs(N: int, d: int) -> tuple[Array, Array]:
    """Sums x_j + x_k > 0 of eigenvalues of G with j <= k, and how many there are of each."""
    r, k = min(N, d), max(d - N, 0)
    x, w = _continuous(N / d, *_COARSE)
    sums = np.concatenate([(x[:, None] + x).ravel(), 2 * x, x])
    return sums, np.concatenate([(r * (r - 1) / 2 * np.outer(w, w)).ravel(), r * w, r * k * w])


@lru_cache(maxsize=64)
def _slope(activation: Activation, length: float, d: int | None) -> _Slope:
    """Sigma' for rows of that length, of lengths that spread as in *d* dimensions."""
    r, shares = (np.array([length]), np.ones(1)) if d is None else row_lengths(length, d)
    mean = expansion(activation, r, 0, derivative=1)
    # q(x) = x sigma'(r x) has the coefficients sqrt(k) g_{k-1} + sqrt(k+1) g_{k+1}: of degree 2, sqrt(2) kappa, and nu
    # is the sum of the squares of degrees 3 and above, as mu is that of g_k^2 from 2 on.
    own, common = (_gains(activation, r, degree) for degree in (1, 2))
    return _Slope(
        shares, own, common, bool(np.any(mean.table[:, 0] ** 2 > _LINEAR)), (mean.table[:, 0] * mean.scale) ** 2
    )


def _gains(activation: Activation, r: Array, degree: int) -> _Gains:
    """The gains of that degree, 1 of sigma'(r x) or 2 of x sigma'(r x), for rows of lengths r (C,)."""
    first, above = (
        expansion(activation, r, degree + 1, first=lowest, derivative=1, power=degree - 1)
        for lowest in (degree, degree + 1)
    )
    there, bent = first.table[:, degree] != 0, above.present(degree + 1)
    gain = np.clip(above.table[:, degree], -_LARGEST, _LARGEST) ** 2
    gain[there & np.logical_not(bent)] = math.inf
    # An error of the noise changes a ratio by that error over the gain, so a large gain hides it.
    doubt = np.where(there, np.maximum(first.doubt, above.doubt / np.maximum(gain, 1)), 0)
    noise = np.where(bent, above.scale, 0) ** 2
    return _Gains((first.table[:, degree] * first.scale) ** 2, noise, gain, doubt)


def _spectrum(rho: float, places: Array, width: Array) -> tuple[Array, Array]:
    """Eigenvalues of G and their weights: the law of Marchenko and Pastur, and zero if rho < 1."""
    x, weights = _continuous(rho, places, width)
    return np.append(x, 0.0), np.append(min(rho, 1.0) * weights, max(0.0, 1 - rho))


def _continuous(rho: float, places: Array, width: Array) -> tuple[Array, Array]:
    """Those that are not zero, by nodes and weights on (0, 1), and weights that sum to one."""
    low, high = abs(1 - math.sqrt(rho)), 1 + math.sqrt(rho)
    s = low + (high - low) * places  # the square root of x
    density = np.sqrt((high - s) * (s - low) * (high + s) * (s + low)) / (math.pi * s)
    return s * s, (high - low) * width * density / min(rho, 1.0)


def _graded(panels: int) -> tuple[Array, Array]:
    """Nodes and weights on (0, 1), on so many panels towards both ends, each a third of the one before."""
    half = np.concatenate([[0.0], 0.5 * 3.0 ** np.arange(1 - panels, 1)])
    edges = np.concatenate([half, 1 - half[-2::-1]])
    nodes, weights = legendre.leggauss(10)
    width = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + width * (1 + nodes)).ravel(), (width * weights).ravel()


_FINE = _graded(25)
_COARSE = _graded(7)  # for all pairs, many times over: good to 1e-9
