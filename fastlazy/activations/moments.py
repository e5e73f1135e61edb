"""Gaussian moments of non-linearities: Hermite coefficients at any scale, and products along one line.

With G ~ N(0, 1) and he_k = He_k / sqrt(k!), the Hermite polynomials of unit norm, hn_k(r) = E[sigma(r G) he_k(G)]:
then sum_k hn_k(r)^2 = E sigma(r G)^2, h_k(r) = sqrt(k!) hn_k(r), and nothing overflows.

All are integrals over x > 0 of what sigma is at r x and at -r x, on panels that are halved until sigma is a polynomial
on each, to rounding; kinks and jumps (`fastlazy.activations.kinks`) are edges of panels. The even coefficients of an
odd sigma are exactly zero, and the other way round. Where sigma' is not given, the polynomials are differentiated. Rows
so short that they see the power series of sigma alone take their coefficients from it
(`fastlazy.activations.short_rows`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.kinks import kinks, power_series
from fastlazy.activations.panels import JUMPS, nodes_of, panels, root_density, weighted
from fastlazy.activations.short_rows import Expansion, short, short_expansion

_LARGEST_K = 2000  # the highest degree that the nodes of the widest panel resolve
_TOLERANCE = 1e-14  # the error of an interpolated coefficient, relative to the largest
_BLOCK = 8192  # nodes that are summed at a time, so that they stay in the cache
_UNSEEN = 1e-26  # the contribution of a node to an integral, over the largest, below which the node is left out
_ROUNDING = 1e-28  # the share of E sigma^2 up to which a sum of squares is rounding
_FAINT = 1e-15  # the share of sqrt(E sigma^2) up to which a coefficient is rounding


def unit_coefficients(activation: Activation, r: Array, K: int, *, derivative: int = 0) -> Array:
    """The coefficients hn_k(r_i) = E[sigma(r_i G) He_k(G)] / sqrt(k!).

    Parameters
    ----------
    activation : Activation
    r : ndarray, shape (n,)
        Scales, >= 0.
    K : int
        The highest k, at most 2000.
    derivative : {0, 1}
        1: of sigma' in place of sigma.

    Returns
    -------
    ndarray, shape (n, K + 1)
        With an error of about 1e-14 sqrt(E sigma(r_i G)^2); those of short rows, which fall like r^k, relative to
        themselves.

    Raises
    ------
    ValueError
        If K is too large, the integrals do not converge, or sigma' is asked for and wrong, missing or no function.
    """
    expanded = expansion(activation, r, K, derivative=derivative)
    return expanded.scale[:, None] * expanded.table


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # the end result is checked
def expansion(
    activation: Activation, r: Array, K: int, *, first: int = 0, derivative: int = 0, power: int = 0
) -> Expansion:
    """The coefficients hn_k(r_i) in units of the root of sum_{k >= first} hn_k(r_i)^2; those that are rounding are 0.

    Parameters
    ----------
    activation : Activation
    r : ndarray, shape (n,)
        Scales, >= 0.
    K : int
        The highest k, at most 2000.
    first : {0, 1, 2, 3}
        The lowest degree that counts: 1 leaves the mean out, 2 what is linear too.
    derivative : {0, 1}
        1: of sigma' in place of sigma.
    power : {0, 1}
        1: of G sigma(r_i G) in place of sigma(r_i G).

    Returns
    -------
    Expansion

    Raises
    ------
    ValueError
        As `unit_coefficients`.
    """
    if K > _LARGEST_K:
        raise ValueError(f"K must be at most {_LARGEST_K}, got {K}; ask for fewer Hermite coefficients")

    def compute(samples: _Samples) -> Array:
        if power:
            samples = samples._replace(plus=samples.x * samples.plus, minus=-samples.x * samples.minus)
        values = _project(samples, max(K, first))
        return np.append(values, np.log(np.maximum(_remainder(samples, values[:first]), 1e-300)))

    few = np.zeros(len(r), bool) if activation.degree is not None else short(activation, r, derivative)
    long = np.logical_not(few)
    n = len(r)
    result = Expansion(np.zeros(n), np.zeros((n, K + 1)), np.zeros(n), np.zeros(n))
    if few.any():
        if derivative:
            _check_derivative(activation, float(r.max()))
        for whole, part in zip(result, short_expansion(activation, r[few], K, first, derivative, power), strict=True):
            whole[few] = part
    if long.any():
        norms, values = _at_scales(activation, r[long], derivative, compute)
        table, squares = values[:, : K + 1], np.exp(values[:, -1])
        table[np.abs(table) < _FAINT] = 0
        table[r[long] == 0, 1:] = 0
        squares[(squares < _ROUNDING) | ((r[long] == 0) & (first > 0))] = 0  # sigma is constant, or linear
        root = np.sqrt(squares)
        result.scale[long] = norms * root
        result.table[long] = np.divide(table, root[:, None], out=np.zeros_like(table), where=root[:, None] > 0)
        left = 1 - np.sum(result.table[long, first:] ** 2, axis=1)
        result.rest[long] = np.where(root > 0, np.maximum(left, 0), 0)
        result.doubt[long] = np.divide(_FAINT, root, out=np.zeros_like(root), where=root > 0)
    _finite(activation, result.scale[:, None] * result.table, float(r.max()))
    return result


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # the end result is checked
def square_moments(activation: Activation, r: Array, *, derivative: int = 0, power: int = 0, sign: int = 1) -> Array:
    """The moments E[sigma(r_i G) sigma(sign r_i G) G^power].

    Parameters
    ----------
    activation : Activation
    r : ndarray, shape (n,)
        Scales, >= 0.
    derivative : {0, 1}
        1: of sigma' in place of sigma.
    power : int
        Even.
    sign : {1, -1}
        -1: for opposite rows.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    ValueError
        As `unit_coefficients`.
    """

    def moment(samples: _Samples) -> Array:
        product = samples.plus**2 + samples.minus**2 if sign > 0 else 2 * samples.plus * samples.minus
        return np.array([samples.weight * samples.x**power @ product])

    norms, moments = _at_scales(activation, r, derivative, moment)
    return _finite(activation, norms**2 * moments[:, 0], float(r.max()))


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # the end result is checked
def line_gram(activation: Activation, t: Array, *, derivative: int = 0, power: int = 0) -> Array:
    """The moments E[sigma(t_i G) sigma(t_j G) G^power]: rows on one line through the origin.

    Parameters
    ----------
    activation : Activation
    t : ndarray, shape (m,)
        Signed lengths of the rows.
    derivative : {0, 1}
        1: of sigma' in place of sigma.
    power : int
        Even.

    Returns
    -------
    ndarray, shape (m, m)

    Raises
    ------
    ValueError
        As `unit_coefficients`.
    """
    if derivative:
        _check_derivative(activation, float(np.abs(t).max()))
    edges = _common_edges(activation, np.abs(t), derivative)
    gram = np.zeros((len(t), len(t)))
    for first in range(0, len(edges) - 1, 64):  # 64 panels at a time, to save memory
        part = edges[first : first + 65]
        x, weight = nodes_of(part)
        for side in (1, -1):
            values = np.stack([weighted(activation, part, side * length, derivative) for length in t])
            values *= np.sqrt(weight * x**power)
            gram += values @ values.T
    return _finite(activation, gram, float(np.abs(t).max()))


def line_nodes(activation: Activation, r: Array, derivative: int) -> tuple[Array, Array]:
    """Nodes x > 0 (m,) and weights (m,) for functions of sigma(r_i x) and sigma(-r_i x), or of sigma' likewise."""
    return nodes_of(_common_edges(activation, r, derivative))


def _common_edges(activation: Activation, r: Array, derivative: int) -> Array:
    return np.unique(np.concatenate([panels(activation, scale, derivative) for scale in np.unique(r)]))


class _Samples(NamedTuple):
    """What a moment of sigma(r G) is computed from; sqrt(phi) is the square root of the normal density."""

    norm: float  # sqrt(E sigma(r G)^2)
    end: float  # the x beyond which sigma counts as zero
    x: Array  # (m,) nodes > 0
    weight: Array  # (m,) weights of the nodes
    plus: Array  # (m,) sigma(r x) sqrt(phi(x)) / norm
    minus: Array  # (m,) sigma(-r x) sqrt(phi(x)) / norm


def _sample(activation: Activation, r: float, derivative: int) -> _Samples:
    edges = panels(activation, r, derivative)
    x, weight = nodes_of(edges)
    plus, minus = (weighted(activation, edges, t, derivative) for t in (r, -r))
    size = max(np.abs(plus).max(), np.abs(minus).max()) or 1.0
    plus, minus = plus / size, minus / size
    norm = math.sqrt(weight @ (plus**2 + minus**2)) or 1.0
    return _Samples(size * norm, float(edges[-1]), x, weight, plus / norm, minus / norm)


def _project(samples: _Samples, K: int) -> Array:
    """The coefficients hn_0 .. hn_K over the norm; he_k sqrt(phi), which is below 1, follows a recurrence."""
    _, _, x, weight, plus, minus = samples
    share = weight * np.maximum(np.abs(plus), np.abs(minus))
    seen = share > _UNSEEN * share.max()  # near a narrow layer of sigma most nodes add nothing
    x, even, odd = x[seen], (weight * (plus + minus))[seen], (weight * (plus - minus))[seen]
    values = np.zeros(K + 1)
    for first in range(0, len(x), _BLOCK):
        part = slice(first, first + _BLOCK)
        y, products = x[part], (even[part], odd[part])
        before, now = np.zeros_like(y), root_density(y)
        for k in range(K + 1):
            values[k] += now @ products[k % 2]
            before, now = now, (y * now - math.sqrt(k) * before) / math.sqrt(k + 1)
    return values


def _remainder(samples: _Samples, lowest: Array) -> float:
    """What is left of E sigma^2, over the squared norm, without the *lowest* coefficients hn_0, hn_1, ..."""
    _, end, x, weight, plus, minus = samples
    beyond = math.erfc(end / math.sqrt(2))
    edge = math.exp(-end * end / 2) * math.sqrt(2 / math.pi)
    # Integrals of he_0^2, he_1^2 and he_2^2 beyond the end.
    tails = [beyond, beyond + edge * end, beyond + edge * (end**3 + end) / 2]
    hermite = [np.ones_like(x), x, (x * x - 1) / math.sqrt(2)]
    left = 0.0
    for k, value in enumerate(lowest):
        part = value * hermite[k] * root_density(x)
        plus, minus = plus - part, minus - (-1) ** k * part
        left += float(value) ** 2 * tails[k]
    return left + float(weight @ (plus**2 + minus**2))


def _check_derivative(activation: Activation, r: float) -> None:
    """Raise ValueError if sigma jumps, or sigma' is not its derivative."""
    if r > 0:
        _check_means(activation, r)
    if _jumps(activation, r):  # where sigma jumps back and forth, its means do not show it
        raise ValueError(JUMPS.format(activation.name))


def _check_means(activation: Activation, r: float) -> None:
    """Raise ValueError unless r E[sigma' He_k] = E[sigma He_{k+1}] (Stein)."""
    # Shorter rows see too little of sigma to tell a wrong derivative.
    r = max(r, power_series(activation, 0).radius / 10)
    function, slope = _sample(activation, r, 0), _sample(activation, r, 1)
    expected = function.norm * np.sqrt(np.arange(1, 7)) * _project(function, 6)[1:]
    found = r * slope.norm * _project(slope, 5)
    if not np.abs(found - expected).max() <= 1e-6 * (function.norm + r * slope.norm):
        if activation.derivative is None:
            raise ValueError(JUMPS.format(activation.name))
        raise ValueError(
            f"the derivative of activation {activation.name!r} is not that of its function (or that jumps): for x ~ "
            f"N(0, {r:.3g}^2) its means differ by {np.abs(found - expected).max() / r:.3g}; correct it, or leave it out"
        )


def _jumps(activation: Activation, r: float) -> bool:
    """Whether sigma jumps where rows of length r see it, or at zero."""
    x = panels(activation, r, 0)
    places = kinks(activation, 0, r * float(x[-1])) if r > 0 else np.zeros(1)
    step = 8 * np.spacing(places)
    change = np.abs(activation.values(places + step) - activation.values(places - step))
    size = np.abs([activation.values(side * (r or 1.0) * x) for side in (1, -1)]).max()
    return bool(np.any(change > 1e-6 * size))


def _at_scales(
    activation: Activation, r: Array, derivative: int, compute: Callable[[_Samples], Array]
) -> tuple[Array, Array]:
    """The norms (n,), and the values (n, q) of *compute*, at each scale."""
    distinct, place = np.unique(r, return_inverse=True)
    positive = distinct[distinct > 0]

    def at(scales: Array) -> tuple[Array, Array]:
        samples = [_sample(activation, float(scale), derivative) for scale in scales]
        return np.array([sample.norm for sample in samples]), np.array([compute(sample) for sample in samples])

    if derivative:
        _check_derivative(activation, float(distinct[-1]) if activation.degree is None else 1.0)
    parts = [at(distinct[distinct == 0])] if len(positive) < len(distinct) else []
    if activation.degree is not None and len(positive):
        norm, values = at(np.ones(1))
        parts.append((norm * positive ** (activation.degree - derivative), np.repeat(values, len(positive), axis=0)))
    elif len(positive):
        octave = np.floor(np.log2(positive / positive[0]))
        parts += [_at_many(at, positive[octave == k]) for k in np.unique(octave)]
    norms, table = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return norms[place], table[place]


def _at_many(at: Callable[[Array], tuple[Array, Array]], scales: Array) -> tuple[Array, Array]:
    """*at* of ascending scales within one octave; if many, interpolated by Chebyshev polynomials of log r."""
    log = np.log(scales)
    middle, half = (log[0] + log[-1]) / 2, max((log[-1] - log[0]) / 2, 1e-300)
    for count in (16, 32, 64, 128):
        if len(scales) <= count:
            break
        norms, table = at(np.exp(middle + half * chebyshev.chebpts1(count)))
        known = np.column_stack([np.log(norms), table])
        coefficients = chebyshev.chebvander(chebyshev.chebpts1(count), count - 1).T @ known * (2 / count)
        coefficients[0] /= 2
        if np.all(np.abs(coefficients[-count // 4 :]) <= _TOLERANCE * (1 + np.abs(known).max(axis=0))):
            values = chebyshev.chebvander((log - middle) / half, count - 1) @ coefficients
            return np.exp(values[:, 0]), values[:, 1:]
    return at(scales)


def _finite(activation: Activation, moments: Array, r: float) -> Array:
    if not np.isfinite(moments).all():
        raise ValueError(
            f"the Gaussian moments of activation {activation.name!r} overflow for rows of length {r:.3g}; divide W by "
            "a number"
        )
    return moments
