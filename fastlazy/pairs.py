"""E[sigma(r_i G) sigma(r_j G')] for single pairs of rows, at any angle: what a short power series cannot do.

The angle itself is given, not its cosine, so that nearly parallel and nearly opposite rows keep their digits.
Closed forms where we know one; else the series of Mehler with many terms, if it converges; else an integral
in polar coordinates, whose panels shrink towards the lines on which an argument of sigma is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import legendre

from fastlazy._validate import Array
from fastlazy.activations import Activation, get_activation
from fastlazy.hermite import hermite_coefficients, square_moments
from fastlazy.pieces import kinks

_TERMS = 1000
_TOLERANCE = 1e-13  # relative to the norms of both features
_CHUNK = 4096  # pairs at a time
_ROWS = 1024  # at a time, where pairs are looked for

Form = Callable[[Array, Array, Array], Array]
Indices = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]


def unit_rows(W: Array) -> tuple[Array, Array]:
    """The directions (N, d) of the rows of W, zero for a zero row, and their norms (N,)."""
    rows = W.astype(np.float64, copy=False)
    with np.errstate(over="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    if squares.min() > 1e-200 and squares.max() < 1e200:  # as ever, but for zero rows and extreme ones
        norms = np.sqrt(squares)
        return rows / norms[:, None], norms
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = rows / np.where(largest > 0, largest, 1)  # first to order one: squares neither over- nor underflow
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
    closed = _CLOSED.get(activation.name)
    if closed is not None and activation is get_activation(activation.name):
        return closed(r, s, theta)
    moments = np.empty(len(r))
    for first in range(0, len(r), _CHUNK):
        part = slice(first, first + _CHUNK)
        moments[part] = _series_or_integral(activation, r[part], s[part], theta[part])
    return moments


def _series_or_integral(activation: Activation, r: Array, s: Array, theta: Array) -> Array:
    rows = np.concatenate([r, s])
    coefficients = hermite_coefficients(activation, rows, _TERMS)
    squares = square_moments(activation, rows)
    tails = np.sqrt(np.maximum(squares - np.sum(coefficients**2, axis=1), 1e-16 * squares))
    scale = np.sqrt(squares)
    left, right = np.split(coefficients, 2)
    tail, norm = (np.multiply(*np.split(values, 2)) for values in (tails, scale))
    cosine = np.cos(theta)
    total = np.zeros(len(r))
    for k in range(_TERMS, -1, -1):
        total = total * cosine + left[:, k] * right[:, k]
    for p in np.flatnonzero(tail * np.abs(cosine) ** (_TERMS + 1) > _TOLERANCE * norm):
        total[p] = _polar(activation, float(r[p]), float(s[p]), float(theta[p]))
    return total


def _polar(activation: Activation, r: float, s: float, theta: float) -> float:
    nodes = polar_nodes(theta, kinks(activation, r), kinks(activation, s))
    return float(np.sum(activation.values(r * nodes.u) * activation.values(s * nodes.v) * nodes.weights))


class PolarNodes(NamedTuple):
    """Nodes that integrate over the plane, x ~ N(0, I): angles times radii."""

    angles: Array  # (m,)
    radii: Array  # (m, n)
    weights: Array  # (m, n)
    u: Array  # (m, n) component along the direction 0
    v: Array  # (m, n) along the direction theta


def polar_nodes(theta: float, u_kinks: Array, v_kinks: Array) -> PolarNodes:
    """Nodes for a function of u and v with kinks at u = 0, v = 0, u = +- u_kinks and v = +- v_kinks.

    Sectors between the two lines through the origin, and the directions in which two others cross, are graded towards
    both their ends; radii are cut where they meet a line.
    """
    breaks = [np.pi / 2, 3 * np.pi / 2, np.pi / 2 + theta, 3 * np.pi / 2 + theta]
    if np.sin(theta) > 0:
        a, b = np.meshgrid([*u_kinks, *-u_kinks], [*v_kinks, *-v_kinks])
        breaks = [*breaks, *np.arctan2((b - a * np.cos(theta)) / np.sin(theta), a).ravel()]
    starts = np.unique(np.mod(breaks, 2 * np.pi))
    width = np.diff(np.append(starts, starts[0] + 2 * np.pi))[:, None]
    angles, angle_weights = (starts[:, None] + width * _GRADED[0]).ravel(), (width * _GRADED[1]).ravel()
    along = np.cos(angles)[:, None], np.cos(angles - theta)[:, None]
    with np.errstate(divide="ignore"):
        cuts = np.concatenate([np.abs(k / c) for k, c in zip((u_kinks, v_kinks), along, strict=True)], axis=1)
    edges = np.concatenate([np.broadcast_to(_RADII, (len(angles), len(_RADII))), np.clip(cuts, 0, _RADII[-1])], axis=1)
    radii, weights = _panel_nodes(np.sort(edges, axis=1))
    weights *= radii * np.exp(-radii * radii / 2) * angle_weights[:, None] / (2 * np.pi)
    return PolarNodes(angles, radii, weights, radii * along[0], radii * along[1])


def _panel_nodes(edges: Array) -> tuple[Array, Array]:
    """Nodes and weights (..., 12 panels) on the panels between *edges* (..., panels + 1)."""
    nodes, weights = legendre.leggauss(12)
    half = np.diff(edges)[..., None] / 2
    places = edges[..., :-1, None] + half * (1 + nodes)
    shape = (*edges.shape[:-1], -1)
    return places.reshape(shape), (half * weights).reshape(shape)


def _graded_nodes() -> tuple[Array, Array]:
    """Nodes and weights on (0, 1), on panels that shrink by half towards both ends."""
    half = np.concatenate([[0.0], 2.0 ** np.arange(-14, 0)])
    return _panel_nodes(np.concatenate([half, 1 - half[-2::-1]]))


_GRADED = _graded_nodes()
_RADII = np.concatenate([[0.0], 2.0 ** np.arange(-8, -1), np.arange(0.5, 9.25, 0.25)])  # edges that shrink towards 0


def _relu(r: Array, s: Array, theta: Array) -> Array:
    return r * s * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)


def _leaky_relu(r: Array, s: Array, theta: Array) -> Array:
    a = 0.01  # relu with weight 1 - a, and a times the identity
    return (1 - a) ** 2 * _relu(r, s, theta) + a * r * s * np.cos(theta)


def _erf(r: Array, s: Array, theta: Array) -> Array:
    p, q = 1 + 2 * r * r, 1 + 2 * s * s
    return 2 / np.pi * np.arcsin(2 * r * s * np.cos(theta) / np.sqrt(p * q))


def _hyperbolic(function: Callable[[Array], Array], sign: int, r: Array, s: Array, theta: Array) -> Array:
    """e^(-(r^2 + s^2) / 2) times cosh or sinh of r s cos(theta)."""
    inner = r * s * np.cos(theta)
    near, far = (np.exp(-((r * r + s * s) / 2 - side * inner)) for side in (1, -1))
    return np.where(
        np.abs(inner) < 1, np.exp(-(r * r + s * s) / 2) * function(np.clip(inner, -1, 1)), (near + sign * far) / 2
    )


_CLOSED: dict[str, Form] = {
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "step": lambda r, s, theta: (np.pi - theta) / (2 * np.pi),
    "erf": _erf,
    "exp": lambda r, s, theta: np.exp((r * r + s * s) / 2 + r * s * np.cos(theta)),
    "cos": lambda r, s, theta: _hyperbolic(np.cosh, 1, r, s, theta),
    "sin": lambda r, s, theta: _hyperbolic(np.sinh, -1, r, s, theta),
}
