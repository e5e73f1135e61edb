"""The small system in the preconditioner of the tangent model: degrees one and two, as vectors and symmetric matrices.

With F_1, F_2 and D as in `fastlazy.risk.nt_preconditioner`, and F = (F_1, sqrt(2) F_2), it is S = 1 + F D^-1 F^T, with
d + d (d + 1) / 2 unknowns. If D were c on all of a row, and features along u_i had nothing of degrees one and two but
g_0 and g_1, S would be diagonal on matrices in the eigenbasis of G = sum_i g_1^2 / c u_i u_i^T, apart from a coupling
to vectors that is solved in closed form. What rows have along u_i beyond that is near to a multiple of one matrix t.
This is what preconditions conjugate gradients with S itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastlazy._support.arguments import Array

# The size of a residual over the first one. What is left is taken out of D^-1, so 1 / |S| must be far above it.
_EXACT = 1e-9
_MOST = 200  # steps


class Low(NamedTuple):
    """What a function has of degree one and two."""

    v: Array  # (d,)
    T: Array  # (d, d) symmetric

    def dot(self, other: Low) -> float:
        """The inner product."""
        return float(self.v @ other.v + np.vdot(self.T, other.T))

    def plus(self, factor: float, other: Low) -> Low:
        """The sum of it and *factor* times the *other*."""
        return Low(self.v + factor * other.v, self.T + factor * other.T)


Map = Callable[[Low], Low]


def solved(S: Map, near: Map, right: Low) -> Low:
    """The solution of S x = right by conjugate gradients; *near* is the inverse of an operator near S."""
    x, residual = Low(np.zeros_like(right.v), np.zeros_like(right.T)), right
    correction = direction = near(residual)
    size = first = residual.dot(correction)
    for _ in range(_MOST):
        if not size > _EXACT**2 * first:
            break
        image = S(direction)
        step = size / direction.dot(image)
        x, residual = x.plus(step, direction), residual.plus(-step, image)
        correction = near(residual)
        before, size = size, residual.dot(correction)
        direction = correction.plus(size / before, direction)
    return x


def near_inverse(unit: Array, values: Array, drift: Array, constant: tuple[float, Array], along: Array) -> Map:
    """The inverse of an operator near S.

    Parameters
    ----------
    unit : ndarray, shape (N, d)
        The u_i in the eigenbasis of G.
    values : ndarray, shape (d,)
        The eigenvalues of G.
    drift : ndarray, shape (d,)
        sum_i g_0 g_1 / c u_i.
    constant : tuple of float and ndarray, shape (N,)
        sum_i g_0^2 / c, and what features along u_i have of degree one beyond that, >= 0.
    along : ndarray, shape (N,)
        What they have of degree two beyond g_1^2 / c, >= 0.
    """
    gain = 1 / (1 + values[:, None] + values)
    taken = np.diag(gain @ drift**2) + gain * np.outer(drift, drift)
    more = (unit * constant[1][:, None]).T @ unit
    inner = np.linalg.inv((1 + constant[0]) * np.eye(len(values)) + more - taken)

    def diagonal(right: Low) -> Low:
        v = inner @ (right.v - math.sqrt(2) * ((gain * right.T) @ drift))
        pair = np.outer(drift, v)
        return Low(v, gain * (right.T - (pair + pair.T) / math.sqrt(2)))

    t = Low(np.zeros_like(values), (unit * along[:, None]).T @ unit)
    norm = t.dot(t)
    if not norm > 0:
        return diagonal
    strength = 2 * float(along @ np.einsum("ij,ij->i", unit @ t.T, unit) ** 2) / norm**2
    moved = diagonal(t)
    share = strength / (1 + strength * t.dot(moved))
    return lambda right: (x := diagonal(right)).plus(-share * t.dot(x), moved)
