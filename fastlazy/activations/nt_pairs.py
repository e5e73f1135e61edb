"""The block of the tangent model's population Gram matrix between single pairs of neurons, at any angle.

For rows u, v of norm 1 at an angle theta, E[sigma'(r <u, x>) sigma'(s <v, x>) x x^T] is

    A I + b u u^T + b' v v^T + D (u v^T + v u^T),

with A = E[sigma' sigma'] and, where sigma is smooth, b = r^2 E[sigma''' sigma'], b' = s^2 E[sigma' sigma'''] and
D = r s E[sigma'' sigma'']. They are taken from the closed form that the activation's row names; where it names none,
from series of many terms, if these converge; else from integrals of sigma' sigma' against the second moments of the
plane. These integrals stay finite at the angles 0 and pi of a function with kinks, where b, b' and D do not.
"""

from __future__ import annotations

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.closed_forms import PARALLEL
from fastlazy.activations.moments import line_gram, square_moments, unit_coefficients
from fastlazy.activations.plane import plane_nodes

_TERMS = 1000
_TOLERANCE = 1e-13  # the error of a moment, relative to the norms of both derivatives
_CHUNK = 4096  # pairs whose series are summed at a time, to save memory


def block_moments(activation: Activation, r: Array, s: Array, theta: Array) -> Array:
    """The numbers A, b, b' and D of blocks for pairs of rows of norms r_p, s_p at angles theta_p.

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
        Blocks come out with an error of about 1e-13 sqrt(E sigma'^2 E sigma'^2). Less than 1e-7 from the angles 0 and
        pi, rows count as parallel.

    Raises
    ------
    ValueError
        If the moments do not converge.
    """
    closed = activation.known.block_moments
    if closed is None:
        parts = [slice(first, first + _CHUNK) for first in range(0, len(r), _CHUNK)]
        return np.concatenate([_series_or_integral(activation, r[p], s[p], theta[p]) for p in parts], axis=1)
    return np.stack(np.broadcast_arrays(*closed(r, s, theta)))


def differentiated(coefficients: Array) -> tuple[Array, Array, Array]:
    """The numbers g_k, sqrt(k + 1) g_{k+1}, sqrt((k + 1) (k + 2)) g_{k+2}, (n, K - 1) each, of coefficients (n, K + 1).

    For sigma' with normalised Hermite coefficients g_k at a scale r, these are those of sigma', r sigma'' and
    r^2 sigma'''.
    """
    k = np.arange(coefficients.shape[1] - 2)
    return (
        coefficients[:, :-2],
        np.sqrt(k + 1) * coefficients[:, 1:-1],
        np.sqrt((k + 1) * (k + 2)) * coefficients[:, 2:],
    )


def _series_or_integral(activation: Activation, r: Array, s: Array, theta: Array) -> Array:
    rows = np.concatenate([r, s])
    coefficients = unit_coefficients(activation, rows, _TERMS + 2, derivative=1)
    squares = square_moments(activation, rows, derivative=1)
    tails = squares - np.sum(coefficients[:, : _TERMS - 1] ** 2, axis=1)
    tails[tails < 1e-14 * squares] = 0  # differences that small are rounding
    tail, norm = (np.sqrt(np.multiply(*np.split(values, 2))) for values in (tails, squares))
    tables = [np.split(table, 2) for table in differentiated(coefficients)]
    cosine = np.cos(theta)
    moments = np.zeros((4, len(r)))
    for k in range(_TERMS, -1, -1):
        (g, h), (g1, h1), (g2, h2) = ((left[:, k], right[:, k]) for left, right in tables)
        moments = moments * cosine + [g * h, g2 * h, g * h2, g1 * h1]
    rest = tail * _TERMS**2 * np.abs(cosine) ** _TERMS / np.maximum(1 - np.abs(cosine), 1 / _TERMS)
    for p in np.flatnonzero(rest > _TOLERANCE * norm):
        integral = _integral if np.sin(theta[p]) > PARALLEL else _line
        moments[:, p] = integral(activation, float(r[p]), float(s[p]), float(theta[p]))
    return moments


def _integral(activation: Activation, r: float, s: float, theta: float) -> tuple[float, float, float, float]:
    """The block's numbers from the moments of the plane along u and across."""
    if activation.derivative is None:
        raise ValueError(
            f"activation {activation.name!r} has no derivative, which two rows of W at an angle of {theta:.3g} need; "
            "pass Activation(name, function, derivative=...)"
        )
    nodes = plane_nodes(activation, r, s, theta, 1)
    product = activation.values(s * nodes.v, 1) * nodes.weights
    left = activation.values(r * nodes.u, 1)[:, 0]
    u = nodes.u[:, 0]
    sums = [np.sum(product * nodes.w**k, axis=1) for k in range(3)]
    A = float(left @ sums[0])
    first, mixed, second = float(left * u**2 @ sums[0]) - A, float(left * u @ sums[1]), float(left @ sums[2]) - A
    cosine, sine = np.cos(theta), np.sin(theta)
    other = second / sine**2
    cross = mixed / sine - other * cosine
    return A, first - other * cosine**2 - 2 * cross * cosine, other, cross


def _line(activation: Activation, r: float, s: float, theta: float) -> tuple[float, float, float, float]:
    """The block's numbers for rows that are parallel, or opposite."""
    ends = np.array([r, s if theta < 1 else -s])
    A, second = (float(line_gram(activation, ends, derivative=1, power=power)[0, 1]) for power in (0, 2))
    return A, (second - A) / 2, (second - A) / 2, 0.0
