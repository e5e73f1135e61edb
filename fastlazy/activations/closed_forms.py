"""Gaussian moments of pairs of features that have a closed form, for the rows of `fastlazy.activations.builtin`.

Two rows of lengths r and s at an angle theta see standard normals u and v of correlation cos(theta). A function named
`*_pair` is E[sigma(r u) sigma(s v)], and `*_along` its derivative in r, E[u sigma'(r u) sigma(s v)]. A function named
`*_block` gives the numbers A, b, b' and D of

    E[sigma'(r u) sigma'(s v) x x^T] = A I + b e e^T + b' f f^T + D (e f^T + f e^T),

e and f being the directions of the two rows. All arguments and results have shape (m,), one entry for each pair.

References
----------
Cho and Saul, Kernel methods for deep learning (2009), for step and relu; Williams, Computing with infinite networks
(1996), for erf.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastlazy._core.constants import LEAKY_SLOPE
from fastlazy._support.arguments import Array

PARALLEL = 1e-7  # the sine of an angle up to which the blocks of two rows are those of parallel, or opposite, rows

PairMoments = Callable[[Array, Array, Array], Array]
BlockMoments = Callable[[Array, Array, Array], tuple[Array, Array, Array, Array]]

_HALF, _ROOT = np.sqrt(0.5), np.sqrt(2)


def step_pair(r: Array, s: Array, theta: Array) -> Array:
    """The probability that both normals are positive."""
    return (np.pi - theta) / (2 * np.pi)


def relu_pair(r: Array, s: Array, theta: Array) -> Array:
    """The arc-cosine kernel of degree one."""
    return r * s * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)


def relu_block(r: Array, s: Array, theta: Array) -> tuple[Array, Array, Array, Array]:
    """As theta goes to 0 or pi, b, b' and D grow like 1 / sin(theta) but cancel in the block; there they are zero."""
    sine = np.where(np.sin(theta) > PARALLEL, np.sin(theta), np.inf)
    own = -np.cos(theta) / (2 * np.pi * sine)
    return (np.pi - theta) / (2 * np.pi), own, own, 1 / (2 * np.pi * sine)


def leaky_relu_pair(r: Array, s: Array, theta: Array) -> Array:
    """With a the slope for x < 0, leaky_relu is (1 - a) relu plus a times the identity."""
    a = LEAKY_SLOPE
    return (1 - a) ** 2 * relu_pair(r, s, theta) + a * r * s * np.cos(theta)


def leaky_relu_block(r: Array, s: Array, theta: Array) -> tuple[Array, Array, Array, Array]:
    """With a the slope for x < 0, the derivative is (1 - a) step plus a."""
    a = LEAKY_SLOPE
    A, own, other, cross = ((1 - a) ** 2 * value for value in relu_block(r, s, theta))
    return A + a * (1 - a) + a * a, own, other, cross


def erf_pair(r: Array, s: Array, theta: Array) -> Array:
    """The arcsine of p q cos(theta) times 2 / pi, with p = r / sqrt(r^2 + 1/2) and q = s / sqrt(s^2 + 1/2).

    The arcsine is taken from its tangent, which keeps the digits that p q cos(theta) loses near 1.
    """
    (a, p), (b, q) = ((length / np.hypot(length, _HALF), _HALF / np.hypot(length, _HALF)) for length in (r, s))
    rest = p * p + (a * q) ** 2 + (a * b * np.sin(theta)) ** 2
    return 2 / np.pi * np.arctan2(a * b * np.cos(theta), np.sqrt(rest))


def erf_along(r: Array, s: Array, theta: Array) -> Array:
    """A s cos(theta) / (1 + 2 r^2), A that of `erf_block`."""
    return erf_block(r, s, theta)[0] * s * np.cos(theta) / np.hypot(1, _ROOT * r) ** 2


def erf_block(r: Array, s: Array, theta: Array) -> tuple[Array, Array, Array, Array]:
    """Derivatives of the arcsine of `erf_pair`."""
    p, q = np.hypot(1, _ROOT * r), np.hypot(1, _ROOT * s)
    a, b = _ROOT * r / p, _ROOT * s / q
    rest = 1 / p**2 + (a / q) ** 2 + (a * b * np.sin(theta)) ** 2  # 1 - (a b cos(theta))^2
    A = 4 / np.pi / p / q / np.sqrt(rest)
    return A, -A * a**2 / rest, -A * b**2 / rest, A * a**2 * b**2 * np.cos(theta) / rest


def exp_pair(r: Array, s: Array, theta: Array) -> Array:
    """The moment generating function of r u + s v."""
    return np.exp((r * r + s * s) / 2 + r * s * np.cos(theta))


def exp_along(r: Array, s: Array, theta: Array) -> Array:
    """The derivative of the exponent is r + s cos(theta)."""
    return (r + s * np.cos(theta)) * exp_pair(r, s, theta)


def exp_block(r: Array, s: Array, theta: Array) -> tuple[Array, Array, Array, Array]:
    """As exp is its own derivative, A is `exp_pair`, and the others are A times r^2, s^2 and r s."""
    A = exp_pair(r, s, theta)
    return A, r * r * A, s * s * A, r * s * A


def cos_pair(r: Array, s: Array, theta: Array) -> Array:
    """e^(-(r^2 + s^2) / 2) cosh(r s cos(theta))."""
    return _hyperbolic(np.cosh, 1, r, s, theta)


def sin_pair(r: Array, s: Array, theta: Array) -> Array:
    """e^(-(r^2 + s^2) / 2) sinh(r s cos(theta))."""
    return _hyperbolic(np.sinh, -1, r, s, theta)


def _hyperbolic(function: Callable[[Array], Array], sign: int, r: Array, s: Array, theta: Array) -> Array:
    """e^(-(r^2 + s^2) / 2) times cosh or sinh of r s cos(theta).

    The exponents are written as whole squares, (r - s)^2 and r s sin(theta / 2)^2: long rows would lose them in the
    difference of r s cos(theta) and (r^2 + s^2) / 2.
    """
    sine, cosine = np.sin(theta / 2) ** 2, np.cos(theta / 2) ** 2
    near, far = np.exp(-((r - s) ** 2) / 2 - 2 * r * s * sine), np.exp(-((r - s) ** 2) / 2 - 2 * r * s * cosine)
    inner = r * s * np.cos(theta)
    small = np.exp(-(r * r + s * s) / 2) * function(np.clip(inner, -1, 1))
    return np.where(np.abs(inner) < 1, small, (near + sign * far) / 2)
