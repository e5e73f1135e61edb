"""What the gradient of a network's risk asks of sigma: moments of sigma and sigma' at one length, and of pairs of rows.

With u_i the direction of a row and r_i its length, the force of neuron j on neuron i is E[sigma(r_j v) sigma'(r_i u)
x], u = <u_i, x> and v = <u_j, x>. By Stein's lemma its part along u_i is E[u sigma'(r_i u) sigma(r_j v)], and the rest
is that of r_j E[sigma'(r_i u) sigma'(r_j v)] u_j. So three functions of one normal variable are expanded: sigma, sigma'
and u sigma'(r u); all of them are square integrable, kinks or not.

A run asks for them at ever new lengths, which differ little: each octave of lengths is tabulated once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import square_moments, unit_coefficients
from fastlazy.activations.nt_pairs import block_moments
from fastlazy.activations.panels import nodes_of, panels, weighted
from fastlazy.activations.plane import plane_nodes
from fastlazy.activations.rf_pairs import Indices, pair_moments

_DEGREES = (256, 1000)  # of expansions for pairs of rows that nearly agree: the first that is enough
_TOLERANCE = 1e-13  # the error of a moment, relative to the norms of its two functions
_AT_ONCE = 256  # pairs of rows, whose terms stay in the cache
_INTERPOLATED = 1e-14  # that of a tabulated number, likewise


class RadialMoments(NamedTuple):
    """Moments of sigma(r G), sigma'(r G) and G sigma'(r G), G ~ N(0, 1), at n lengths r."""

    values: Array  # (n, K + 1) Hermite coefficients E[sigma(r G) He_k(G)] / sqrt(k!)
    slopes: Array  # (n, K + 1) those of sigma'(r G)
    along: Array  # (n, K + 1) those of G sigma'(r G)
    squares: Array  # (3, n) E sigma^2, E sigma'^2 and E G^2 sigma'^2
    own: Array  # (n,) E[G sigma(r G) sigma'(r G)]


def radial_moments(activation: Activation, r: Array, K: int) -> RadialMoments:
    """The moments at lengths r (n,) >= 0, to degree K, to about 1e-13 of the norms of the functions.

    Raises
    ------
    ValueError
        If sigma jumps, its derivative is wrong, or its Gaussian moments do not converge or overflow.
    """
    columns = np.empty((len(r), K + 7))
    if activation.degree is not None:
        columns[:] = _columns(activation, np.ones(1), K)
        p = activation.degree
        powers = [p - 1] * (K + 2) + [p, 2 * p, 2 * p - 2, 2 * p - 2, 2 * p - 1]
        with np.errstate(divide="ignore", over="ignore"):  # the caller looks for infinities
            columns *= r[:, None] ** np.array(powers, float)
    else:
        octaves = np.floor(np.log2(np.where(r > 0, r, 1.0))).astype(int)
        for octave in np.unique(octaves[r > 0]):
            chosen = (octaves == octave) & (r > 0)
            table = _octave(activation, int(octave), K)
            columns[chosen] = _columns(activation, r[chosen], K) if table is None else _interpolated(table, r[chosen])
        if (r == 0).any():
            columns[r == 0] = _columns(activation, np.zeros(1), K)
    g, mean = columns[:, : K + 2], columns[:, K + 2]
    values, radial = _expansions(g, mean, r)
    return RadialMoments(values, g[:, : K + 1], radial, columns[:, K + 3 : K + 6].T, columns[:, K + 6])


def radial_pairs(activation: Activation, r: Array, s: Array, theta: Array) -> Array:
    """Moments of pairs of rows that may nearly agree, or be opposite.

    Parameters
    ----------
    activation : Activation
    r, s : ndarray, shape (m,)
        Norms of the two rows, > 0.
    theta : ndarray, shape (m,)
        Angles between them, in [0, pi].

    Returns
    -------
    ndarray, shape (4, m)
        E[sigma(r u) sigma(s v)], E[u sigma'(r u) sigma(s v)], E[sigma(r u) v sigma'(s v)] and E[sigma'(r u)
        sigma'(s v)] of standard normals u, v at these angles: by closed forms, long series, or integrals.

    Raises
    ------
    ValueError
        If the moments do not converge.
    """
    closed = _closed(activation, r, s, theta)
    if closed is not None:
        return closed
    numbers = np.empty((4, len(theta)))
    left = np.arange(len(theta))
    for K in _DEGREES:
        lengths, places = np.unique(np.concatenate([r[left], s[left]]), return_inverse=True)
        rows = radial_moments(activation, lengths, K)
        i, j = np.split(places, 2)
        numbers[:, left], missed = _series(rows, i, j, np.cos(theta[left]))
        left = left[missed > _TOLERANCE]
        if len(left) == 0:
            return numbers
    for p in left:
        numbers[:, p] = _integrals(activation, float(r[p]), float(s[p]), float(theta[p]))
    return numbers


def _closed(activation: Activation, r: Array, s: Array, theta: Array) -> Array | None:
    """The numbers (4, m) by closed forms, or None where sigma has none."""
    known = activation.known
    if known.pair_moments is None or known.block_moments is None:
        return None
    values = known.pair_moments(r, s, theta)
    along: list[Array]
    if activation.degree is not None:  # Euler: r u sigma'(r u) = p sigma(r u)
        along = [activation.degree * values / length for length in (r, s)]
    elif known.along_moments is not None:
        along = [known.along_moments(r, s, theta), known.along_moments(s, r, theta)]
    else:
        return None
    return np.stack([values, *along, known.block_moments(r, s, theta)[0]])


def _series(rows: RadialMoments, i: Indices, j: Indices, cosine: Array) -> tuple[Array, Array]:
    """The numbers (4, m) of rows i, j (m,) by series, and what these may lack, relative to norms (m,)."""
    later, rest = np.zeros(rows.values.shape[1]), np.zeros(len(rows.values))
    for table, squares in zip(rows[:3], rows.squares, strict=True):
        size = np.where(squares > 0, squares, 1)
        shares = table**2 / size[:, None]
        lacking = np.maximum(squares / size - np.sum(shares, axis=1), 0)
        rest = np.maximum(rest, np.where(lacking < 1e-14, 0, lacking))  # differences that small are rounding
        later = np.maximum(later, np.cumsum(shares[:, ::-1], axis=1)[:, ::-1].max(axis=0))
    # By Cauchy and Schwarz, what follows a term is below these tails times a power of the cosine.
    power = np.abs(cosine).max() ** np.arange(len(later))
    terms = int(np.flatnonzero(later * power > 1e-16).max(initial=0)) + 1
    values, slopes, along = (table[:, :terms] for table in rows[:3])
    sums = np.empty((4, len(cosine)))
    for first in range(0, len(cosine), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        left, right = i[some], j[some]
        powers = cosine[some, None] ** np.arange(terms)
        for k, (one, other) in enumerate([(values, values), (along, values), (values, along), (slopes, slopes)]):
            sums[k, some] = np.einsum("mk,mk,mk->m", one[left], other[right], powers)
    return sums, np.sqrt(rest[i] * rest[j]) * np.abs(cosine) ** len(later)


def _expansions(g: Array, mean: Array, r: Array) -> tuple[Array, Array]:
    """The coefficients of sigma and of G sigma', (n, k) each, from those of sigma' (n, k + 1) and E sigma (n,)."""
    k = np.arange(g.shape[1] - 1)
    values = np.column_stack([mean, r[:, None] * g[:, :-2] / np.sqrt(k[1:])])
    along = np.sqrt(k + 1) * g[:, 1:]
    along[:, 1:] += np.sqrt(k[1:]) * g[:, :-2]
    return values, along


def _columns(activation: Activation, r: Array, K: int) -> Array:
    """Coefficients of sigma' to degree K + 1, E sigma, three squares and E[G sigma sigma'], (n, K + 7)."""
    return np.column_stack(
        [
            unit_coefficients(activation, r, K + 1, derivative=1),
            unit_coefficients(activation, r, 0),
            square_moments(activation, r),
            square_moments(activation, r, derivative=1),
            square_moments(activation, r, derivative=1, power=2),
            [_own(activation, float(length)) for length in r],
        ]
    )


def _own(activation: Activation, r: float) -> float:
    if r == 0:
        return 0.0
    edges = np.unique(np.concatenate([panels(activation, r, derivative) for derivative in (0, 1)]))
    x, weight = nodes_of(edges)
    plus, minus = (weighted(activation, edges, t, 0) * weighted(activation, edges, t, 1) for t in (r, -r))
    return float(np.sum(weight * x * (plus - minus)))


@lru_cache(maxsize=256)
def _octave(activation: Activation, octave: int, K: int) -> Array | None:
    """Chebyshev coefficients (m, K + 7) of the columns, over their norms, in log2 of lengths; None: too many."""
    for count in (32, 64, 128):
        columns = _columns(activation, 2.0 ** (octave + (1 + chebyshev.chebpts1(count)) / 2), K)
        _scale(columns, 1 / np.maximum(np.sqrt(columns[:, K + 3 : K + 5]), 1e-300))
        columns[:, K + 3 : K + 5] = np.log(np.maximum(columns[:, K + 3 : K + 5], 1e-300))
        table = chebyshev.chebvander(chebyshev.chebpts1(count), count - 1).T @ columns * (2 / count)
        table[0] /= 2
        if np.all(np.abs(table[-count // 4 :]) <= _INTERPOLATED * (1 + np.abs(columns).max(axis=0))):
            return table
    return None


def _interpolated(table: Array, r: Array) -> Array:
    """The columns at lengths r (n,) of the octave that *table* is of."""
    K = table.shape[1] - 7
    place = 2 * np.remainder(np.log2(r), 1) - 1
    columns = chebyshev.chebvander(place, len(table) - 1) @ table
    columns[:, K + 3 : K + 5] = np.exp(columns[:, K + 3 : K + 5])
    _scale(columns, np.sqrt(columns[:, K + 3 : K + 5]))
    return columns


def _scale(columns: Array, norms: Array) -> None:
    """Multiply the columns by the norms (n, 2) of sigma and sigma', in place, but for the squares of these."""
    values, slopes = norms.T
    K = columns.shape[1] - 7
    columns[:, : K + 2] *= slopes[:, None]
    columns[:, K + 2] *= values
    columns[:, K + 5] *= slopes**2
    columns[:, K + 6] *= values * slopes


def _integrals(activation: Activation, r: float, s: float, theta: float) -> tuple[float, float, float, float]:
    """The numbers of one pair by integrals over the plane."""
    one = np.array([r]), np.array([s]), np.array([theta])
    values = float(pair_moments(activation, *one)[0])
    along, other = _integral(activation, r, s, theta), _integral(activation, s, r, theta)
    return values, along, other, float(block_moments(activation, *one)[0, 0])


def _integral(activation: Activation, r: float, s: float, theta: float) -> float:
    """The moment E[u sigma'(r u) sigma(s v)]."""
    if np.sin(theta) < 1e-14:
        edges = np.unique(np.concatenate([panels(activation, r, 1), panels(activation, s, 0)]))
        x, weight = nodes_of(edges)
        sign = 1.0 if theta < 1 else -1.0
        plus, minus = (
            weighted(activation, edges, t * r, 1) * weighted(activation, edges, t * sign * s, 0) for t in (1, -1)
        )
        return float(np.sum(weight * x * (plus - minus)))
    nodes = plane_nodes(activation, r, s, theta)
    slopes = nodes.u * activation.values(r * nodes.u, 1)
    return float(np.sum(slopes * np.sum(activation.values(s * nodes.v) * nodes.weights, axis=1, keepdims=True)))
