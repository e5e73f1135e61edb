"""E[sigma(r_i G) sigma(r_j G')] for single pairs of rows, at any angle: what a short power series cannot do.

The angle itself is given, not its cosine, so that nearly parallel and nearly opposite rows keep their digits.
The moments are taken from the closed form that the activation's row names; where it names none, from Mehler's series
with many terms, if it converges; else, which only angles near 0 and pi need, from an integral over the plane
(`fastlazy.activations.plane`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import expansion, line_nodes
from fastlazy.activations.panels import panels
from fastlazy.activations.plane import plane_nodes
from fastlazy.activations.short_rows import short, short_function

_TERMS = 1000
_FEW = 200  # terms that are tried first, as they are enough for rows that see sigma smooth
_MANY_PANELS = 400  # a sigma that needs more panels oscillates too fast for 1000 terms of its series
_TOLERANCE = 1e-13  # the error of a moment, relative to the norms of both features
_CHUNK = 4096  # pairs whose series are summed at a time, to save memory
_ROWS = 1024  # rows whose cosines with all others are computed at a time
_PARALLEL = 1e-14  # the sine of an angle that counts as zero or pi
_END = 8.0  # the |x| beyond which a standard normal variable lies with probability 1e-15
_ROOT = np.sqrt(2 * np.pi)

Indices = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]


def unit_rows(W: Array) -> tuple[Array, Array]:
    """The directions (N, d) of the rows of W, zero for a zero row, and their norms (N,)."""
    rows = W.astype(np.float64, copy=False)
    with np.errstate(over="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    if squares.min() > 1e-200 and squares.max() < 1e200:  # no row is zero or extreme, which is the usual case
        norms = np.sqrt(squares)
        return rows / norms[:, None], norms
    largest = np.abs(rows).max(axis=1, keepdims=True)
    # Entries of order one have squares that neither over- nor underflow.
    scaled = rows / np.where(largest > 0, largest, 1)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled / np.where(norms > 0, norms, 1), (norms * largest)[:, 0]


def steep_pairs(unit: Array, cut: float) -> Iterator[tuple[Indices, Indices, Array]]:
    """Pairs i > j of rows of *unit* (N, d) whose |cosine| is beyond the *cut*, and their angles: i, j, theta (m,)."""
    for start in range(0, len(unit), _ROWS):
        block = unit[start : start + _ROWS]
        i, j = np.nonzero(np.abs(block @ unit[: start + len(block)].T) > cut * (1 - 1e-6))
        i += start
        i, j = i[j < i], j[j < i]
        if len(i):
            same = np.linalg.norm(unit[i] - unit[j], axis=1)
            opposite = np.linalg.norm(unit[i] + unit[j], axis=1)
            yield i, j, 2 * np.arctan2(same, opposite)


def pair_moments(activation: Activation, r: Array, s: Array, theta: Array) -> Array:
    """The moments E[sigma(r_p u) sigma(s_p v)] of standard normals u, v at angles theta_p.

    Parameters
    ----------
    activation : Activation
    r, s : ndarray, shape (m,)
        Norms of the two rows, > 0.
    theta : ndarray, shape (m,)
        Angles between them, in [0, pi].

    Returns
    -------
    ndarray, shape (m,)
        With an error of about 1e-13 sqrt(E sigma(r G)^2 E sigma(s G)^2).

    Raises
    ------
    ValueError
        If the moments do not converge.
    """
    scales = expansion(activation, np.concatenate([r, s]), 0).scale
    return pair_correlations(activation, r, s, theta, 0) * np.multiply(*np.split(scales, 2))


def pair_correlations(activation: Activation, r: Array, s: Array, theta: Array, first: int) -> Array:
    """E[f(u) g(v)] (m,) for f and g what sigma(r_p u) and sigma(s_p v) have of degrees >= *first*, of unit norm."""
    closed = activation.known.pair_moments
    if closed is None:
        parts = [slice(first_of, first_of + _CHUNK) for first_of in range(0, len(r), _CHUNK)]
        return np.concatenate([_series_or_integral(activation, r[p], s[p], theta[p], first) for p in parts])
    if activation.degree is not None:  # lengths drop out of correlations, so extreme ones do no harm
        r = s = np.ones_like(theta)
    expanded = expansion(activation, np.concatenate([r, s]), first, first=first)
    scale = np.multiply(*np.split(expanded.scale, 2))
    values = np.divide(closed(r, s, theta), scale, out=np.zeros_like(theta), where=scale > 0)
    left, right = np.split(expanded.table, 2)
    for k in range(first):
        values -= left[:, k] * right[:, k] * np.cos(theta) ** k
    return values


def _series_or_integral(activation: Activation, r: Array, s: Array, theta: Array, first: int) -> Array:
    cosine = np.cos(theta)
    rows, most = np.concatenate([r, s]), terms_needed(activation, np.concatenate([r, s]), np.abs(cosine), _TOLERANCE)
    for terms in sorted({min(most, _FEW), most}):
        expanded = expansion(activation, rows, terms, first=first)
        rest = np.sqrt(np.multiply(*np.split(expanded.rest, 2)))
        if not (rest * np.abs(cosine) ** (terms + 1) > _TOLERANCE).any():
            break
    left, right = np.split(expanded.table, 2)
    total = np.zeros(len(r))
    for k in range(terms, first - 1, -1):
        total = total * cosine + left[:, k] * right[:, k]
    total *= cosine**first
    for p in np.flatnonzero(rest * np.abs(cosine) ** (terms + 1) > _TOLERANCE):
        # Nodes end where sigma does, but its lower degrees do not: a function that ends keeps them. Where the other has
        # none, they add nothing; where both keep them, what they add is known.
        ends = [panels(activation, float(length), 0)[-1] < _END for length in (r[p], s[p])]
        f, g = (
            _unit_function(activation, float(length[p]), 0 if end else first, float(scale[p]), table[p, :first])
            for length, end, scale, table in zip((r, s), ends, np.split(expanded.scale, 2), (left, right), strict=True)
        )
        total[p] = _integral(activation, float(r[p]), float(s[p]), float(theta[p]), f, g)
        if all(ends):
            total[p] -= (left[p, :first] * right[p, :first]) @ cosine[p] ** np.arange(first)
    return total


def terms_needed(activation: Activation, lengths: Array, cosine: Array, tolerance: float) -> int:
    """How many terms of the series are worth their time, for pairs with those |cosines| (m,)."""
    with np.errstate(divide="ignore"):
        needed = np.log(tolerance) / np.log(np.minimum(cosine, 1 - 1e-16))
    close = needed > _TERMS
    if close.any() and len(panels(activation, float(lengths.max()), 0)) < _MANY_PANELS:
        return _TERMS  # sigma may be smooth, and its series then short
    return int(needed[~close].max(initial=64)) + 1


def _unit_function(
    activation: Activation, r: float, first: int, scale: float, lower: Array
) -> Callable[[Array], Array]:
    """The function x -> sigma(r x) / scale without its degrees below *first*, whose coefficients are *lower*."""
    if short(activation, np.array([r]), 0)[0]:
        return short_function(activation, r, first)

    def values(x: Array) -> Array:
        result = activation.values(r * x) / scale
        for k, coefficient in enumerate(lower[:first]):  # he_0 = 1 and he_1 = x
            result -= coefficient * x**k
        return result

    return values


def _integral(
    activation: Activation,
    r: float,
    s: float,
    theta: float,
    f: Callable[[Array], Array],
    g: Callable[[Array], Array],
) -> float:
    if np.sin(theta) < _PARALLEL:
        x, weights = line_nodes(activation, np.array([r, s]), 0)
        sign = 1.0 if theta < 1 else -1.0
        return float(np.sum(weights * (f(x) * g(sign * x) + f(-x) * g(-sign * x)) * np.exp(-x * x / 2)) / _ROOT)
    nodes = plane_nodes(activation, r, s, theta)
    return float(np.sum(f(nodes.u) * np.sum(g(nodes.v) * nodes.weights, axis=1, keepdims=True)))
