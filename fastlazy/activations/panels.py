"""Panels of x > 0 on each of which sigma(r x) and sigma(-r x) are polynomials, to rounding, and their nodes."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.kinks import NODES, PROBES, TO_DEFECT, TO_LEGENDRE, WEIGHTS, kinks, power_series
from fastlazy.activations.short_rows import short

JUMPS = "activation {!r} jumps, so its derivative is no function and it has no tangent model; pass one without jumps"

_WIDTH = 0.5
_MOST_PANELS = 20_000
_FARTHEST = 50.0  # the largest x considered; e^(-x^2 / 4) does not underflow up to here
_NEGLIGIBLE = -75.0  # integrals end where the log of sigma^2 e^(-x^2 / 2), over its largest value, is below this
_LEAST_RADIUS = 2.0**-60  # the radius that stands for that of a sigma without a power series at zero
_LONG = 8  # if the first panel is wider than the radius of the power series by more octaves, it may hide a layer
_TOLERANCE = 1e-14  # the error of the integral over a panel, relative to sqrt(E sigma^2)
_TO_SLOPE = legendre.legval(NODES, legendre.legder(np.eye(16))).T @ TO_LEGENDRE[:16]


def root_density(x: Array) -> Array:
    """The square root of the normal density."""
    return np.exp(-x * x / 4) / (2 * math.pi) ** 0.25


def nodes_of(edges: Array) -> tuple[Array, Array]:
    """The nodes (m,) of the panels between *edges*, and their weights (m,)."""
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + NODES)).ravel(), (half * WEIGHTS).ravel()


def weighted(activation: Activation, edges: Array, t: float, derivative: int) -> Array:
    """sigma(t x) sqrt(phi(x)) at the nodes of panels, (m,), or sigma' likewise."""
    x, _ = nodes_of(edges)
    if derivative == 0 or activation.derivative is not None:
        return activation.values(t * x, derivative) * root_density(x)
    radius, even, odd, _ = power_series(activation, 1)
    if abs(t) <= radius / 10:  # a row so short sees no difference of values, only the power series
        return np.polynomial.polynomial.polyval(t * x, even + math.copysign(1.0, t) * odd) * root_density(x)
    product = activation.values(t * x) * root_density(x)
    slope = (product.reshape(-1, 32) @ _TO_SLOPE.T * (2 / np.diff(edges)[:, None])).ravel()
    return (slope + x / 2 * product) / t  # slope = t sigma'(t x) sqrt(phi) - x / 2 sigma(t x) sqrt(phi)


@lru_cache(maxsize=256)
@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def panels(activation: Activation, r: float, derivative: int) -> Array:
    """Edges 0 = e_0 < e_1 < ... of panels on each of which sigma(r x) and sigma(-r x) are polynomials, to rounding."""
    numerical = bool(derivative) and activation.derivative is None
    end = _extent(activation, r, 0 if numerical else derivative)
    edges = np.linspace(0, end, math.ceil(end / _WIDTH) + 1)
    places = np.abs(kinks(activation, derivative, r * end)) / r if r > 0 else np.zeros(1)
    edges = np.unique(np.concatenate([edges, places[places < end], _layer(activation, r, derivative)]))
    if short(activation, np.array([r]), derivative)[0]:
        return edges
    left, right = edges[:-1], edges[1:]
    finished, count, norm, known, steepest = [np.zeros(1)], 0, 0.0, 0.0, 0.0
    while left.size:
        width = right - left
        x = left[:, None] + width[:, None] / 2 * (1 + PROBES)
        g = np.stack([_values(activation, t * x, 0 if numerical else derivative) for t in (r, -r)]) * root_density(x)
        squares = width / 2 * (WEIGHTS * g[..., 1:-1] ** 2).sum(axis=(0, 2))
        # Only narrow panels see a narrow layer, so the norm may still grow.
        norm = max(norm, math.sqrt(known + squares.sum()))
        missed = g @ TO_DEFECT.T
        for row, edge in ((16, left), (17, right)):  # at a kink, sigma may have its value from the other side
            missed[:, np.isin(edge, places), row] = 0
        defect = np.sqrt((missed**2).sum(axis=(0, 2)))
        # An integral is off by the defect times the width, a numerical derivative by the defect alone.
        error = defect * (0.2 if numerical else width)
        done = (error <= _TOLERANCE * norm) | (width < 8 * np.spacing(right))
        finished.append(right[done])
        known += float(squares[done].sum())
        steepest += np.sum(np.ptp(g, axis=2)[:, done & (width < 1e-9)] ** 2 / width[done & (width < 1e-9)])
        left, right = left[~done], right[~done]
        middle = (left + right) / 2
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
        count += len(x)
        if count > _MOST_PANELS:
            raise ValueError(
                f"activation {activation.name!r} cannot be integrated for rows of length {r:.3g}: it oscillates too "
                "fast, or is noisy (computed in float32?); divide W by a number, or pass a smoother function"
            )
    if numerical and steepest > 1e-6 * norm**2:  # a slope that lives on panels of no width is that of a jump
        raise ValueError(JUMPS.format(activation.name))
    return np.sort(np.concatenate(finished))


def _layer(activation: Activation, r: float, derivative: int) -> Array:
    """Edges in octaves from zero to the first wide panel: sigma(r x) may be steep before its first node."""
    narrowest = max(power_series(activation, derivative).radius, _LEAST_RADIUS)
    octaves = math.log2(_WIDTH) + math.log2(max(r, narrowest)) - math.log2(narrowest)
    return _WIDTH * 2.0 ** -np.arange(1.0, octaves + 1) if octaves > _LONG else np.zeros(0)


def _extent(activation: Activation, r: float, derivative: int) -> float:
    """The x > 0 beyond which sigma(r x)^2 e^(-x^2 / 2) is negligible."""
    x = np.arange(0, _FARTHEST, 1 / 8)
    size = np.maximum(*(np.abs(activation.values(t * x, derivative)) for t in (r, -r)))
    known = int(np.argmin(np.append(np.isfinite(size), False)))
    log = 2 * np.log(size[:known]) - x[:known] ** 2 / 2
    seen = np.flatnonzero(log > log.max(initial=-math.inf) + _NEGLIGIBLE)
    last = int(seen.max(initial=0))
    if last + 2 < known:
        return float(x[last + 2])
    if known < len(x):
        reason = f"its values overflow at x = {r * x[known]:.3g}"
    else:
        reason = f"its square times e^(-x^2 / {2 * r * r:.3g}) does not decay"
    raise ValueError(
        f"activation {activation.name!r} has no finite Gaussian moments for rows of length {r:.3g} that could be "
        f"computed: {reason}; divide W by a number, or pass a function that grows more slowly"
    )


def _values(activation: Activation, x: Array, derivative: int = 0) -> Array:
    """The values of sigma or sigma', if finite everywhere."""
    values = activation.values(x, derivative)
    if not np.isfinite(values).all():
        worst = float(x[~np.isfinite(values)][0])
        raise ValueError(
            f"activation {activation.name!r} gives NaN or infinity at x = {worst:.6g}; define it there, or divide W "
            "by a number that keeps it out of reach"
        )
    return values
