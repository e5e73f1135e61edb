"""A simple operator near the Gram matrix of tangent features, whose inverse preconditions conjugate gradients (ours).

It knows what a feature's parts of degree one and two in x do exactly, and takes the rest for noise, that
of features along their own rows apart. The small system that this leaves is solved in `fastlazy.risk.nt_coarse`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from scipy.linalg import lapack
from scipy.sparse.csgraph import connected_components

from fastlazy._support.arguments import Array
from fastlazy._support.singular import EPS, solve_factored
from fastlazy.activations.rf_pairs import steep_pairs
from fastlazy.kernels.nt_gram import TangentGram, block_numbers, directions_times, times_directions
from fastlazy.risk.nt_coarse import Low, near_inverse, solved

_FLOOR = 1e-3  # the least noise of the preconditioner, as a share of E sigma'^2
_MARGIN = 0.01  # with clusters the iteration goes on to this share of its goal: differences within them gain late
_NEAR = 0.97  # the |cosine| beyond which two rows are in one cluster of the preconditioner


class Model(NamedTuple):
    """The simple operator M = D + F_1^T F_1 + 2 F_2^T F_2, near K + ridge.

    F_1 b = sum_i g_0 b_i + sqrt(2) g_2 <u_i, b_i> u_i and F_2 b = sum_i g_1 sym(u_i b_i^T) + sqrt(3/2) g_3 <u_i, b_i>
    u_i u_i^T are what the tangent model has of degree one and two. D is what the norms of single features have beyond
    these degrees: c across u_i, e along u_i. Rows that nearly agree have their covariances in its place.
    """

    g: Array  # (N, 4) normalised Hermite coefficients of sigma' of degrees 0 to 3
    clusters: Clusters
    values: Array  # (d,) eigenvalues of G = sum_i g_1^2 / c u_i u_i^T
    basis: Array  # (d, d) its eigenvectors, in columns

    @property
    def margin(self) -> float:
        """The share of the goal at which conjugate gradients end."""
        return _MARGIN if self.clusters.rows else 1.0


class Clusters(NamedTuple):
    """What D^-1 is made of: numbers for single rows, and factors for clusters of rows that nearly agree."""

    across: Array  # (N,) c
    along: Array  # (N,) e
    rows: list[np.ndarray[Any, np.dtype[np.intp]]]  # the rows of each cluster
    factors: list[tuple[Array, Array]]  # Cholesky factors of their covariances across and along, for each cluster

    def solve(self, unit: Array, R: Array) -> Array:
        """D^-1 R for R (N, d)."""
        Q = R / self.across[:, None]
        beta = np.einsum("ij,ij->i", unit, R)
        # 1 / e along u_i, where 1 / c is there already
        add = beta * (1 / self.along - 1 / self.across)
        for rows, (across, along) in zip(self.rows, self.factors, strict=True):
            Q[rows] = solve_factored(across, R[rows])
            add[rows] = solve_factored(along, beta[rows])
        Q += add[:, None] * unit
        return Q


def model_of(gram: TangentGram, ridge: float) -> Model:
    """The operator that is near the Gram matrix plus the *ridge*."""
    clusters = _clusters(gram, ridge)
    weighted = gram.unit * gram.g[:, 1:2]
    return Model(gram.g[:, :4], clusters, *np.linalg.eigh(weighted.T @ (weighted / clusters.across[:, None])))


def _clusters(gram: TangentGram, ridge: float) -> Clusters:
    N, every = len(gram.unit), np.arange(len(gram.unit))
    g_0, g_1 = gram.g[:, 0], gram.g[:, 1]
    h_1, h_2 = _along(gram.g)
    own = gram.squares - g_0**2 - g_1**2
    across = np.maximum(own, _FLOOR * gram.squares)
    across[across == 0] = 1  # a neuron with sigma' = 0 has no features
    raised = np.sqrt(across / np.where(own > 0, own, 1))
    A, one, other, cross = block_numbers(gram, every, every)
    squares = A + one + other + 2 * cross
    along = np.maximum(squares - g_1**2 - h_1**2 - 2 * h_2**2, _FLOOR * np.where(squares > 0, squares, across))
    pairs = list(steep_pairs(gram.unit, _NEAR))
    if not pairs:
        return Clusters(across + ridge, along + ridge, [], [])
    i, j, theta = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    A, one, other, cross = block_numbers(gram, i, j)
    cosine = np.cos(theta)
    left = raised[i] * raised[j] * (A - g_0[i] * g_0[j] - g_1[i] * g_1[j] * cosine)
    together = cosine * (A + one + other) + cross * (1 + cosine**2) - g_1[i] * g_1[j]
    together -= h_1[i] * h_1[j] * cosine + 2 * h_2[i] * h_2[j] * cosine**2
    # The rounding of the sum *together*, whose terms cancel.
    lost = 4 * EPS * (np.abs(one) + np.abs(other) + 2 * np.abs(cross))
    jitter = np.bincount(np.append(i, j), np.append(lost, lost), N)
    C, H = (
        scipy.sparse.coo_array((values, (i, j)), shape=(N, N)).tocsr() + scipy.sparse.diags_array(diagonal / 2)
        for values, diagonal in ((left, across + ridge), (together, along + ridge + jitter))
    )
    count, cluster = connected_components(C, directed=False)
    sizes = np.bincount(cluster, minlength=count)
    rows = [part for part in np.split(np.argsort(cluster, kind="stable"), np.cumsum(sizes)[:-1]) if len(part) > 1]
    of_C, of_H = ([_factor(part + part.T) for part in (M[r][:, r].toarray() for r in rows)] for M in (C, H))
    return Clusters(across + ridge, along + ridge, rows, list(zip(of_C, of_H, strict=True)))


def _along(g: Array) -> tuple[Array, Array]:
    """What a feature along u_i has of degree one, times u_i, and of degree two, times u_i u_i^T: (N,) each."""
    return g[:, 0] + math.sqrt(2) * g[:, 2], g[:, 1] + math.sqrt(1.5) * g[:, 3]


def _factor(C: Array) -> Array:
    """A lower Cholesky factor of C (n, n), or of C with as little more on its diagonal as it takes."""
    jitter = len(C) * EPS
    while True:
        factor, info = lapack.dpotrf(C + np.diag(jitter * C.diagonal()), lower=1)
        if info == 0:
            return factor
        jitter *= 10


def inverse(model: Model, gram: TangentGram) -> Callable[[Array], Array]:
    """The function R -> M^-1 R, R (N, d) and *gram* in the eigenbasis of G.

    By Woodbury's formula M^-1 = D^-1 - D^-1 F^T S^-1 F D^-1, F = (F_1, sqrt(2) F_2) and S = I + F D^-1 F^T, an operator
    on vectors v (d,) and symmetric T (d, d). S is nearly diagonal, and is inverted by conjugate gradients.
    """
    g_0, g_1, g_2, g_3 = model.g.T
    unit = gram.unit
    solve = model.clusters.solve

    def low(b: Array) -> Low:
        along = np.einsum("ij,ij->i", unit, b)
        T = directions_times(gram, g_1, b, math.sqrt(1.5) * g_3 * along)
        return Low(g_0 @ b + (math.sqrt(2) * g_2 * along) @ unit, (T + T.T) / math.sqrt(2))

    def high(part: Low) -> Array:
        image = times_directions(gram, math.sqrt(2) * part.T)
        along = math.sqrt(1.5) * g_3 * np.einsum("ij,ij->i", unit, image) + math.sqrt(2) * g_2 * (unit @ part.v)
        image *= g_1[:, None]
        image += along[:, None] * unit
        image += np.outer(g_0, part.v)
        return image

    def small(part: Low) -> Low:
        return part.plus(1.0, low(solve(unit, high(part))))

    across, along = model.clusters.across, model.clusters.along
    h_1, h_2 = _along(model.g)
    beyond = np.maximum(h_1**2 / along - g_0**2 / across, 0), np.maximum(h_2**2 / along - g_1**2 / across, 0)
    constant = float(np.sum(g_0**2 / across)), beyond[0]
    near = near_inverse(unit, model.values, (g_0 * g_1 / across) @ unit, constant, beyond[1])

    def precondition(R: Array) -> Array:
        Q = solve(unit, R)
        Q -= solve(unit, high(solved(small, near, low(Q))))
        return Q

    return precondition
