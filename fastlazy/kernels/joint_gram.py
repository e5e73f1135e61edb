"""Features sigma(<w_i, x>) and tangent features sigma'(<v_j, x>) x together: second moments of what they make.

f(x) = sum_i a_i sigma(<w_i, x>) + sum_j <b_j, x> sigma'(<v_j, x>) has the variance <a, U a> + 2 <a, M b> + <b, K b>,
with U of `rf_gram`, K of `nt_gram`, and between both (`fastlazy.activations.mixed_pairs`)

    M_ij = p_ij e_i + q_ij f_j,    e_i and f_j the directions of w_i and v_j.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy._support.rounding import check_finite
from fastlazy.activations.activation import Activation
from fastlazy.activations.mixed_pairs import mixed_moments, mixed_tables, unresolved
from fastlazy.activations.moments import unit_coefficients
from fastlazy.activations.rf_pairs import Indices, unit_rows
from fastlazy.activations.slopes import Slopes, slopes_at
from fastlazy.kernels.nt_gram import TangentGram, tangent_gram, tangent_product, tangent_rounding
from fastlazy.kernels.rf_gram import rf_gram

_TERMS = 64
_TOLERANCE = 1e-15  # the sum of the terms left out, relative to the norms of both features
_TOO_LARGE = "divide W or the coefficients by a number"
_ROWS = 512  # rows of features whose moments are computed at a time
_ROUNDING = 1e-14  # of a second moment, over that of single features: what it was at most for weights that stay


class JointGram(NamedTuple):
    """Means and covariances of n features and m tangent features, in float64."""

    unit: Array  # (n, d) directions of the rows of the features
    means: Array  # (n,) of the features
    U: Array  # (n, n) covariances of the features
    p: Array  # (n, m) the numbers of M, means taken out
    q: Array  # (n, m)
    tangents: Tangents | None  # None: m = 0

    def mean(self, a: Array, b: Array) -> float:
        """E f for coefficients *a* (n,) and *b* (m, d)."""
        return float(self.means @ a) + (0.0 if self.tangents is None else float(np.vdot(self.tangents.gram.mean, b)))

    def moment(self, a: Array, b: Array, c: float = 0.0) -> tuple[float, float]:
        """E (f + c)^2 for coefficients *a* (n,) and *b* (m, d), and by how much rounding may change it.

        Rounding of U, M and K, each relative to the norms of single features, is what is counted: it is up to 1e-14
        times the sum of the second moments of all neurons, mostly a tenth of it, however small E f^2 itself is.
        """
        variance = float(a @ self.U @ a)
        rounding = _ROUNDING * float(a**2 @ (self.U.diagonal() + self.means**2))
        if self.tangents is not None:
            gram = self.tangents.gram
            across = float(np.einsum("i,ij,ij->", a, self.p, self.unit @ b.T))
            along = float((a @ self.q) @ np.einsum("jk,jk->j", gram.unit, b))
            variance += 2 * (across + along) + float(np.vdot(b, tangent_product(gram, b)))
            rounding += 4 * tangent_rounding(gram, b)
        mean = self.mean(a, b) + c
        return max(check_finite("a second moment", variance, _TOO_LARGE), 0.0) + mean * mean, rounding


class Tangents(NamedTuple):
    """Tangent features at fixed rows, ready for any number of joint Gram matrices."""

    slopes: Slopes
    gram: TangentGram


def tangents_at(V: Array, activation: Activation, parallel: bool = True) -> Tangents:
    """The tangent features at the rows of V (m, d)."""
    slopes = slopes_at(V, activation, _TERMS + 2)
    return Tangents(slopes, tangent_gram(slopes, np.dtype(np.float64), True, parallel))


def joint_gram(W: Array, tangents: Tangents | None, activation: Activation, parallel: bool = True) -> JointGram:
    """The joint Gram matrix of the features of W (n, d), n >= 0, and of *tangents*, if there are any.

    Raises
    ------
    ValueError
        If a moment of sigma does not converge or overflows.
    """
    n = len(W)
    if n == 0:
        none = np.zeros((0, 0 if tangents is None else len(tangents.slopes.r)))
        return JointGram(W, np.zeros(0), np.zeros((0, 0)), none, none, tangents)
    unit, r = unit_rows(W)
    means = unit_coefficients(activation, r, 0)[:, 0]
    U = rf_gram(W, activation, center=True, parallel=parallel)
    if tangents is None:
        return JointGram(unit, means, U, np.zeros((n, 0)), np.zeros((n, 0)), None)
    return JointGram(unit, means, U, *_mixed(W, means, tangents.slopes), tangents)


def _mixed(W: Array, means: Array, slopes: Slopes) -> tuple[Array, Array]:
    """The numbers p and q (n, m) of M."""
    activation = slopes.activation
    own = slopes_at(W, activation, _TERMS + 2)
    unit, r = own.unit, own.r
    p, q = np.empty((2, len(W), len(slopes.r)))
    # By Cauchy and Schwarz, what is left out is at most 2 r cos^64 times the root of both shares that are not resolved.
    share = max(float(unresolved(part.g[:, :_TERMS], part.squares).max()) for part in (own, slopes))
    cut = min(1.0, (_TOLERANCE / (2 * share)) ** (1 / _TERMS)) if share > 0 else 1.0
    values, bent = mixed_tables(means, own.g, r)[0], mixed_tables(slopes.g[:, 0], slopes.g, slopes.r)[1]
    values[:, 0] = 0  # covariances: the means are the terms of degree zero of q
    for first in range(0, len(W), _ROWS):
        part = slice(first, first + _ROWS)
        cosine = unit[part] @ slopes.unit.T
        sums = np.zeros((2, *cosine.shape))
        for k in range(_TERMS, -1, -1):
            sums *= cosine
            sums[0] += np.outer(own.g[part, k], slopes.g[:, k])
            sums[1] += np.outer(values[part, k], bent[:, k])
        p[part], q[part] = r[part, None] * sums[0], sums[1]
    if cut < 1:
        for i, j, theta in _steep(unit, slopes.unit, cut):
            p[i, j], q[i, j] = mixed_moments(activation, r[i], slopes.r[j], theta)
            q[i, j] -= means[i] * slopes.g[j, 1]
    return p, q


def _steep(left: Array, right: Array, cut: float) -> Iterator[tuple[Indices, Indices, Array]]:
    """Pairs of rows of *left* (n, d) and *right* (m, d) whose |cosine| is beyond the *cut*, and their angles."""
    for first in range(0, len(left), _ROWS):
        i, j = np.nonzero(np.abs(left[first : first + _ROWS] @ right.T) > cut * (1 - 1e-6))
        if len(i):
            i += first
            same, opposite = (np.linalg.norm(left[i] - sign * right[j], axis=1) for sign in (1, -1))
            yield i, j, 2 * np.arctan2(same, opposite)
