"""Where a non-linearity sigma is smooth: its kinks and jumps, and its power series on both sides of zero.

Both belong to sigma in its own variable z, so they are found once, and rows of length r use them at x = z / r. A
function is smooth on an interval if a polynomial of degree 15 meets it there to rounding.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.polynomial import legendre

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation

_DEGREE = 15
_OCTAVES = 60  # octaves below the largest |z|; on each of them sigma is examined by itself
_PARTS = 4  # intervals into which each octave is divided at the start
_MOST_PANELS = 100_000
# The defect of an interval is the distance of sigma from a polynomial there, relative to the size of sigma.
_SMOOTH = 3e-14  # the largest defect of an interval without a kink
_NARROWEST = 1e-12  # the defect at which an interval with a kink is no longer halved: below, rounding hides the kink
_NOISE = 1e-9  # the largest defect that rounding of sigma alone may cause, where sigma is steep or noisy
_FAINT = 5e-15  # the part of a defect that is rounding in any case
_SLOW = 2.0**-5  # halving an interval leaves 2^-16 of its defect if it is smooth, 2^-3 or more with a kink in sigma''
_SERIES = 2e-14  # the largest defect of an interval on which a power series counts as exact
_ROUNDING = 4 * np.finfo(float).eps

# An interval has 32 Gauss-Legendre nodes. Matrices act on the values at the nodes, or at the nodes and both ends, which
# the polynomial must meet too: a jump may lie between an end and the first node.
NODES, WEIGHTS = legendre.leggauss(32)
TO_LEGENDRE = np.linalg.inv(legendre.legvander(NODES, 31))
PROBES = np.array([-1, *NODES, 1])
# The defect consists of the tail of the series, in L^2, where rounding weighs least, and of the errors at both ends.
TO_DEFECT = np.zeros((18, 34))
TO_DEFECT[:16, 1:-1] = TO_LEGENDRE[16:] / np.sqrt(np.arange(16, 32) + 0.5)[:, None]
TO_DEFECT[16:, 1:-1] = legendre.legvander(PROBES[[0, -1]], 15) @ TO_LEGENDRE[:16]
TO_DEFECT[[16, 17], [0, -1]] = -1
# Coefficients of powers about the middle of [-1, 1], and about its left end, from those of Legendre polynomials.
_ABOUT_MIDDLE = np.stack([np.pad(legendre.leg2poly(row), (0, 15 - n)) for n, row in enumerate(np.eye(16))], axis=1)
_ABOUT_END = np.array(
    [
        [
            (-1.0) ** (n + j) * math.factorial(n + j) / (2**j * math.factorial(j) ** 2 * math.factorial(n - j))
            if n >= j
            else 0.0
            for n in range(16)
        ]
        for j in range(16)
    ]
)


def kinks(activation: Activation, derivative: int, reach: float) -> Array:
    """The z at which sigma or sigma' has a kink or a jump, |z| at most about *reach*, in ascending order, with zero.

    Parameters
    ----------
    activation : Activation
    derivative : {0, 1}
        1: of sigma' in place of sigma; where sigma' is not given, those of sigma.
    reach : float
        > 0.

    Returns
    -------
    ndarray, shape (m,)
        Zero is always among them, whether or not sigma is smooth there.

    Raises
    ------
    ValueError
        If there are too many, or sigma oscillates too fast.
    """
    if activation.known.kinks is not None:
        return np.unique([*activation.known.kinks, 0.0])
    given = derivative if activation.derivative is not None else 0
    if reach <= power_series(activation, given).radius:
        return np.zeros(1)
    return _kinks(activation, given, 2.0 ** math.ceil(min(math.log2(reach), 1023)))


class Series(NamedTuple):
    """sigma(z) = sum_j even_j z^j + odd_j sign(z) z^j for |z| up to a radius, where *odd* is what zero's kink adds."""

    radius: float
    even: Array  # (16,) coefficients of z^j
    odd: Array  # (16,) coefficients of sign(z) z^j, zero if sigma is smooth at zero
    noise: Array  # (16,) the size up to which a coefficient is rounding, and counts as zero


@lru_cache(maxsize=256)
@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # where sigma is not finite it has no series
def power_series(activation: Activation, derivative: int) -> Series:
    """The power series of sigma or sigma' on both sides of zero, as far as one of degree 15 is exact to rounding."""
    if derivative and activation.derivative is None:
        series, j = power_series(activation, 0), np.arange(1, 16)
        return Series(series.radius, *(np.append(j * part[1:], 0.0) for part in series[1:]))
    radius = 2.0 ** np.arange(-_OCTAVES, 5)
    sides = np.stack([_at(activation, derivative, side * radius / 2, side * radius) for side in (1, -1)])
    inside = np.maximum.accumulate(np.abs(sides).max(axis=(0, 2)))
    size = np.maximum(inside, inside[_OCTAVES])  # never less than the size of sigma on [-1, 1]
    good = (_defect(sides) <= _SERIES * size).all(axis=0)
    last = int(np.argmin(np.append(good, False))) - 1
    if last < 5:
        return Series(0.0, *np.zeros((3, 16)))
    whole = _at(activation, derivative, np.zeros_like(radius), 2 * radius)
    smooth = np.flatnonzero(_defect(whole[last - 2 : last + 1]) <= _SERIES * size[last - 2 : last + 1])
    if len(smooth):
        last += int(smooth[-1]) - 2
        found = [_about_zero(whole[at, 1:-1], radius[at], size[at]) for at in range(last - 3, last + 1)]
    else:
        found = [_beside_zero(sides[:, at, 1:-1], radius[at], size[at]) for at in range(last - 3, last + 1)]
    even, odd, noise = (np.stack(part) for part in zip(*found, strict=True))
    best = np.argmin(noise, axis=0), np.arange(16)
    return Series(float(radius[last]), even[best], odd[best], noise[best])


def _about_zero(values: Array, radius: float, size: float) -> tuple[Array, Array, Array]:
    """The series (even, odd and noise) of a smooth function, from its values (32,) at nodes on [-radius, radius]."""
    coefficients, noise = np.zeros(16), np.zeros(16)
    for first, part in enumerate([(values + values[::-1]) / 2, (values - values[::-1]) / 2]):
        series, rounding = _powers(_ABOUT_MIDDLE, part, size)
        if part.any():  # a part that is zero says that sigma is odd, or even, to the bit
            coefficients[first::2], noise[first::2] = series[first::2], rounding[first::2]
    powers = radius ** np.arange(16)
    coefficients[np.abs(coefficients) <= noise] = 0
    return coefficients / powers, np.zeros(16), noise / powers


def _beside_zero(sides: Array, radius: float, size: float) -> tuple[Array, Array, Array]:
    """The series (even, odd and noise) of a function with a kink at 0, from sigma(z) and sigma(-z) on (0, radius)."""
    (right, noise), (left, other) = (_powers(_ABOUT_END, values, size) for values in sides)
    left, noise = (-1.0) ** np.arange(16) * left, noise + other
    parts = (right + left) / 2, (right - left) / 2
    powers = (radius / 2) ** np.arange(16)
    even, odd = (np.where(np.abs(part) <= noise, 0, part) / powers for part in parts)
    return even, odd, noise / powers


def _powers(matrix: Array, values: Array, size: float) -> tuple[Array, Array]:
    """Coefficients (16,) of powers, from values (32,) at the nodes, and how much of them is rounding."""
    series = TO_LEGENDRE[:16] @ values
    count = int(np.flatnonzero(np.abs(series) > _ROUNDING * size).max(initial=0)) + 1
    noise = _ROUNDING * size * np.sqrt(np.sum(matrix[:, :count] ** 2, axis=1))
    return matrix[:, :count] @ series[:count], np.maximum(noise, _ROUNDING * size)


def _at(activation: Activation, derivative: int, middle: Array, width: Array, size: Array | float = 1.0) -> Array:
    """The values of sigma over a *size* at the nodes and ends of intervals, (m, 34)."""
    values = activation.values(middle[:, None] + width[:, None] / 2 * PROBES, derivative)
    return values / np.reshape(size, (-1, 1))


def _defect(values: Array) -> Array:
    """How far values (..., 34) on intervals are from polynomials of degree 15, (...)."""
    return np.sqrt(((values @ TO_DEFECT.T) ** 2).sum(axis=-1))


@lru_cache(maxsize=256)
@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # where sigma is not finite nothing is looked for
def _kinks(activation: Activation, derivative: int, reach: float) -> Array:
    octaves = np.append(0.0, reach * 2.0 ** np.arange(-_OCTAVES, 1.0))
    parts = [np.linspace(low, high, _PARTS, endpoint=False) for low, high in pairwise(octaves)]
    edges = np.append(np.concatenate(parts), reach)
    sizes = _sizes(activation, derivative, edges)
    ends = np.concatenate([-edges[::-1], edges[1:]])
    size = np.concatenate([sizes[::-1], sizes])
    left, right, top = ends[:-1], ends[1:], np.diff(ends)
    found: list[tuple[Array, Array]] = []  # places of kinks, and how far off each may be
    finished: list[tuple[Array, ...]] = []
    count = 0
    while left.size:
        count += left.size
        if count > _MOST_PANELS:
            raise ValueError(
                f"activation {activation.name!r} cannot be integrated between {-reach:.3g} and {reach:.3g}: it has too "
                "many kinks, oscillates too fast, or is noisy (computed in float32?); divide W by a number, or pass a "
                "smoother function"
            )
        width, middle = right - left, (left + right) / 2
        values = _at(activation, derivative, middle, width, size)
        defect = _defect(values)
        jitter = 2 * np.spacing(np.abs(middle)) * np.ptp(values, axis=1) / width  # what the rounding of z does to sigma
        jitter[jitter > _NOISE] = 0  # so large a change is a jump of sigma, not rounding
        smooth = ~(defect > _SMOOTH + jitter)  # an interval where sigma is not finite counts as smooth, too
        small = np.flatnonzero(~smooth & ((defect <= _NOISE) | (width < 8 * np.spacing(np.abs(middle)))))
        halves = _halves(activation, derivative, middle[small], width[small], size[small]) / defect[small]
        least = halves[[0, 2]].min(axis=0)  # a kink lies in one half, so the other half has a defect of rounding only
        smooth[small[least > 0.25]] = True
        end = (defect[small] <= _NARROWEST) | (defect[small] > _NOISE)
        narrow = np.zeros_like(smooth)
        narrow[small[end]] = True
        least = np.maximum(6 * least, (_FAINT + jitter[small]) / defect[small])
        kinked = small[end & ~smooth[small] & (halves.max(axis=0) > np.maximum(_SLOW, least))]
        found.append((middle[kinked], width[kinked] / 2))
        done = smooth | narrow
        finished.append((left[done], right[done], size[done], defect[done]))
        rest = ~done
        middle, size, top = middle[rest], np.tile(size[rest], 2), np.tile(top[rest], 2)
        left, right = np.concatenate([left[rest], middle]), np.concatenate([middle, right[rest]])
    found.append(_at_edges(activation, derivative, *(np.concatenate(part) for part in zip(*finished, strict=True))))
    places, spread = (np.concatenate(part) for part in zip(*found, strict=True))
    places = _polished(activation, derivative, places, spread)
    return _apart(np.append(places, 0.0), np.append(spread, 0.0))


def _sizes(activation: Activation, derivative: int, edges: Array) -> Array:
    """The largest |sigma| between each right edge and its opposite, for right edges below 1 that on [-1, 1]."""
    values = np.stack(
        [_at(activation, derivative, side * (edges[:-1] + edges[1:]) / 2, np.diff(edges)) for side in (1, -1)]
    )
    values = np.where(np.isfinite(values), np.abs(values), 0)
    largest = np.maximum.accumulate(values.max(axis=(0, 2)))
    unit = min(int(np.searchsorted(edges[1:], 1.0)), len(largest) - 1)
    sizes = np.maximum(largest, largest[unit])
    return np.where(sizes > 0, sizes, 1)


def _halves(activation: Activation, derivative: int, middle: Array, width: Array, size: Array) -> Array:
    """The defects (3, m) of intervals of half the width: the left half, the one about the middle, and the right."""
    places = [middle + shift * width for shift in (-0.25, 0.0, 0.25)]
    return np.stack([_defect(_at(activation, derivative, place, width / 2, size)) for place in places])


def _at_edges(
    activation: Activation, derivative: int, left: Array, right: Array, size: Array, defect: Array
) -> tuple[Array, Array]:
    """Kinks on edges between intervals that are smooth themselves, and how far off they may be."""
    order = np.argsort(left)
    left, right, size, defect = left[order], right[order], size[order], defect[order]
    places, width = right[:-1], np.minimum(np.diff(left), np.diff(right))
    size, beside = np.maximum(size[:-1], size[1:]), np.fmax(defect[:-1], defect[1:])
    across = _defect(_at(activation, derivative, places, width, size))
    seen = across > np.maximum(2 * _SMOOTH, 10 * beside)
    places, width, size, across = places[seen], width[seen], size[seen], across[seen]
    kinked = _defect(_at(activation, derivative, places, width / 2, size)) > np.maximum(_SLOW * across, _FAINT)
    return places[kinked], width[kinked] / 2


def _polished(activation: Activation, derivative: int, places: Array, spread: Array) -> Array:
    """Places of kinks (m,), moved to where the lines from both sides meet, if that is within their spread (m,)."""
    step = 1000 * spread[:, None] * np.arange(1, 4)
    right, left = (activation.values(places[:, None] + side * step, derivative) for side in (1, -1))
    # values and slopes at the place by quadratic polynomials through three points on each side
    values, slopes = (right - left) @ [3.0, -3.0, 1.0], (right + left) @ [-5.0, 8.0, -3.0] / (2000 * spread)
    shift = -values / slopes
    good = (np.abs(shift) <= spread) & (spread < 1e-7 * np.abs(places))
    return places + np.where(good, shift, 0)


def _apart(places: Array, spread: Array) -> Array:
    """The places, in ascending order, of each cluster that may be one the best known."""
    order = np.argsort(places, kind="stable")
    places, spread = places[order], spread[order]
    chosen: list[int] = []
    for i in range(len(places)):
        if chosen and places[i] - places[chosen[-1]] <= spread[i] + spread[chosen[-1]]:
            if spread[i] < spread[chosen[-1]]:
                chosen[-1] = i
        else:
            chosen.append(i)
    return places[chosen]
