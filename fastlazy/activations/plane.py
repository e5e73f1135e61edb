"""Nodes that integrate over the plane of two rows at a small angle, whatever kinks and layers their functions have.

With u = <e, x> along the first row and v = u cos(theta) + w sin(theta) along the second, u and w are independent and
normal. For each u the integral over w is cut where sigma has a kink in v. What it leaves is smooth in u, on the scale
of tan(theta), and the integral over u is cut on that scale about the kinks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial import legendre

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.kinks import kinks
from fastlazy.activations.panels import panels

_FARTHEST = 12.0  # the |w| beyond which e^(-w^2 / 4) is rounding
# Edges in w; at angles up to 0.3 they are no wider, in v, than panels of sigma.
_STEPS = np.linspace(-_FARTHEST, _FARTHEST, 17)
_MOST_NODES = 30_000_000
_NODES, _WEIGHTS = legendre.leggauss(16)


class PlaneNodes(NamedTuple):
    """Nodes (m, 1) in u and (m, n) in v and w, and their weights (m, n)."""

    u: Array
    v: Array
    w: Array
    weights: Array


def plane_nodes(activation: Activation, r: float, s: float, theta: float, derivative: int = 0) -> PlaneNodes:
    """Nodes for sigma(r u) sigma(s v), or sigma' likewise, with sin(theta) > 0 and at most 0.3.

    Raises
    ------
    ValueError
        If there are too many, or as `unit_coefficients`.
    """
    cosine, sine = float(np.cos(theta)), float(np.sin(theta))
    first, second = (panels(activation, length, derivative) for length in (r, s))
    bends = kinks(activation, derivative, s * second[-1]) / s
    fine = np.diff(second) < 0.9 * np.diff(second).max()  # where sigma needs narrower panels than elsewhere
    layers = np.unique(np.concatenate([second[:-1][fine], second[1:][fine]]))
    moved = np.unique(np.concatenate([-layers, layers, bends]))
    step = 1.5 * sine / abs(cosine)
    about = np.unique(np.round(bends[:, None] / (cosine * step)) + np.arange(-6, 7)) * step
    outer = np.concatenate([-first, first, moved / cosine, about])
    u, u_weights = _nodes(np.unique(np.clip(outer, -first[-1], first[-1])))
    centre = (cosine * u)[:, None]
    begin, stop = (np.searchsorted(moved, centre[:, 0] + side * sine * _FARTHEST) for side in (-1, 1))
    most = int(np.max(stop - begin))
    if len(u) * (len(_STEPS) + most) * len(_NODES) > _MOST_NODES:
        raise ValueError(
            f"activation {activation.name!r} oscillates too fast, or has too many kinks, for two rows of W of lengths "
            f"{r:.3g} and {s:.3g} at an angle of {theta:.3g}; divide W by a number, or pass a smoother function"
        )
    near = moved[np.minimum(begin[:, None] + np.arange(most), len(moved) - 1)]
    with np.errstate(over="ignore"):
        edges = np.concatenate([np.broadcast_to(_STEPS, (len(u), len(_STEPS))), (near - centre) / sine], axis=1)
        low, high = ((side * second[-1] - centre) / sine for side in (-1, 1))
    edges = np.clip(edges, np.maximum(low, -_FARTHEST), np.maximum(np.minimum(high, _FARTHEST), -_FARTHEST))
    w, weights = _nodes(np.sort(edges, axis=1))
    weights *= np.exp(-w * w / 2) * (u_weights * np.exp(-u * u / 2))[:, None] / (2 * np.pi)
    return PlaneNodes(u[:, None], centre + sine * w, w, weights)


def _nodes(edges: Array) -> tuple[Array, Array]:
    """Nodes and weights (..., 16 panels) on the panels between *edges* (..., panels + 1)."""
    half = np.diff(edges)[..., None] / 2
    places = edges[..., :-1, None] + half * (1 + _NODES)
    shape = (*edges.shape[:-1], -1)
    return places.reshape(shape), (half * _WEIGHTS).reshape(shape)
