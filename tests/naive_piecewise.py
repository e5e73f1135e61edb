"""Gaussian moments of piecewise polynomials without any quadrature in the plane: slow twins of hermite and pairs.

Coefficients are sums of truncated normal moments in mpmath, with as many digits as are asked for. A pair is one
integral in double precision over the first variable, of a function that is known in closed form, cut where it is steep.
"""

from __future__ import annotations

import math

import mpmath
import numpy as np
from scipy.special import ndtr


class Piecewise:
    """A polynomial on each of the intervals between *breaks*; *pieces* hold coefficients, the constant first."""

    def __init__(self, breaks, pieces):
        assert len(pieces) == len(breaks) + 1
        self.breaks, self.pieces = list(breaks), [list(piece) for piece in pieces]

    def intervals(self):
        ends = [-mpmath.inf, *map(mpmath.mpf, self.breaks), mpmath.inf]
        return zip(ends, ends[1:], self.pieces, strict=False)

    def __call__(self, z):
        piece = self.pieces[sum(z > b for b in self.breaks)]
        return sum(mpmath.mpf(c) * z**j for j, c in enumerate(piece))

    def values(self, z):
        """The values at an array, in double precision."""
        index = np.searchsorted(np.array(self.breaks, float), z, side="left")
        pieces = [np.polynomial.polynomial.polyval(z, np.array(piece, float)) for piece in self.pieces]
        return np.choose(index, pieces)

    def squared(self):
        def square(piece):
            result = [mpmath.mpf(0)] * (2 * len(piece) - 1)
            for i, a in enumerate(piece):
                for j, b in enumerate(piece):
                    result[i + j] += mpmath.mpf(a) * mpmath.mpf(b)
            return result

        return Piecewise(self.breaks, [square(piece) for piece in self.pieces])


def truncated_moments(low, high, most):
    """The integrals of x^j phi(x) from low to high, j = 0 .. most, by parts."""

    def edge(x, j):
        return mpmath.mpf(0) if mpmath.isinf(x) else x**j * mpmath.npdf(x)

    values = [mpmath.ncdf(-low) - mpmath.ncdf(-high) if low > 0 else mpmath.ncdf(high) - mpmath.ncdf(low)]
    for j in range(1, most + 1):
        value = edge(low, j - 1) - edge(high, j - 1)
        values.append(value + (j - 1) * values[j - 2] if j > 1 else value)
    return values


def coefficient(function, r, k):
    """E[function(r G) he_k(G)], he_k of unit norm."""
    hermite = mpmath.taylor(lambda x: mpmath.hermite(k, x / mpmath.sqrt(2)) / mpmath.sqrt(2) ** k, 0, k)
    r, total = mpmath.mpf(r), mpmath.mpf(0)
    for low, high, piece in function.intervals():
        moments = truncated_moments(low / r, high / r, len(piece) - 1 + k)
        for j, c in enumerate(piece):
            total += c * r**j * sum(h * moments[i + j] for i, h in enumerate(hermite))
    return total / mpmath.sqrt(mpmath.factorial(k))


def smoothed(function, mean, spread):
    """E function(mean + spread G) in double precision, for an array of means."""
    total = np.zeros_like(mean)
    ends = [-np.inf, *map(float, function.breaks), np.inf]
    for low, high, piece in zip(ends, ends[1:], function.pieces, strict=False):
        a, b = (low - mean) / spread, (high - mean) / spread
        moments = [np.where(a > 0, ndtr(-a) - ndtr(-b), ndtr(b) - ndtr(a))]
        for j in range(1, len(piece)):
            edges = [
                np.where(np.isinf(x), 0, np.where(np.isinf(x), 0, x) ** (j - 1) * np.exp(-x * x / 2)) for x in (a, b)
            ]
            value = (edges[0] - edges[1]) / math.sqrt(2 * math.pi)
            moments.append(value + (j - 1) * moments[j - 2] if j > 1 else value)
        for j, c in enumerate(piece):
            for i in range(j + 1):
                total += c * math.comb(j, i) * mean ** (j - i) * spread**i * moments[i]
    return total


def pair(function, r, s, theta):
    """E[function(r u) function(s v)] of standard normals at an angle theta, in double precision."""
    cosine, sine = math.cos(theta), math.sin(theta)
    steps = np.arange(-16, 17) * sine / cosine
    cuts = [np.arange(-14, 14.1, 0.5), *([b / r] for b in function.breaks)]
    cuts += [b / (s * cosine) + steps for b in function.breaks]
    edges = np.unique(np.clip(np.concatenate(cuts), -14, 14))
    nodes, weights = np.polynomial.legendre.leggauss(24)
    half = np.diff(edges)[:, None] / 2
    u, weights = (edges[:-1, None] + half * (1 + nodes)).ravel(), (half * weights).ravel()
    density = np.exp(-u * u / 2) / math.sqrt(2 * math.pi)
    return float(np.sum(weights * density * function.values(r * u) * smoothed(function, s * cosine * u, s * sine)))
