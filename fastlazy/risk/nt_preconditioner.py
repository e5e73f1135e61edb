"""A simple operator near the Gram matrix of tangent features, whose inverse preconditions conjugate gradients (ours).

It knows what a feature's parts of degree one and two in x do exactly, and takes the rest for noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from scipy.linalg import lapack
from scipy.sparse.csgraph import connected_components

from fastlazy._support.arguments import Array
from fastlazy._support.singular import EPS, solve_factored
from fastlazy.activations.rf_pairs import steep_pairs
from fastlazy.kernels.nt_gram import TangentGram, block_numbers

_FLOOR = 1e-3  # the least noise of the preconditioner, as a share of E sigma'^2
_MARGIN = 0.01  # with clusters the iteration goes on to this share of its goal: differences within them gain late
_NEAR = 0.97  # the |cosine| beyond which two rows are in one cluster of the preconditioner


class Model(NamedTuple):
    """The simple operator M = D + F_1^T F_1 + F_2^T F_2, near K + ridge.

    F_1 b = sum_i g_0 b_i and F_2 b = sum_i g_1 sym(u_i b_i^T) are what the tangent model has of degree one and two,
    but for terms along u_i; F_2 has half its weight here, as along u_i there is less. D = C x I, with C_ij what is
    left of E[sigma' sigma'], doubled likewise, between rows that nearly agree, and zero between others.
    F_2 D^-1 F_2^T T = (G T + T G) / 2, diagonal in the eigenbasis of G (d, d).
    """

    g_0: Array  # (N,) normalised Hermite coefficients of sigma' of degree 0
    g_1: Array  # (N,) and of degree 1
    clusters: Clusters
    values: Array  # (d,) eigenvalues of G
    basis: Array  # (d, d) its eigenvectors, in columns

    @property
    def margin(self) -> float:
        """The share of the goal at which conjugate gradients end."""
        return _MARGIN if self.clusters.rows else 1.0


class Clusters(NamedTuple):
    """Clusters of rows that nearly agree, and the factors of the covariances of their features."""

    noise: Array  # (N,) the diagonal of C
    rows: list[np.ndarray[Any, np.dtype[np.intp]]]  # the rows of each cluster
    across: list[Array]  # Cholesky factors of C for each cluster
    along: list[Array]  # Cholesky factors of u_i^T K_ij u_j, which is smaller where sigma has kinks

    def solve(self, X: Array) -> Array:
        """C^-1 X for X (N, m)."""
        Y = X / self.noise[:, None]
        for rows, factor in zip(self.rows, self.across, strict=True):
            Y[rows] = solve_factored(factor, X[rows])
        return Y

    def add_along(self, unit: Array, R: Array, Q: Array) -> None:
        """Add to Q (N, d), in place, the solution for R (N, d) within b_i = beta_i u_i of each cluster."""
        for rows, factor in zip(self.rows, self.along, strict=True):
            u = unit[rows]
            Q[rows] += solve_factored(factor, np.einsum("ij,ij->i", u, R[rows]))[:, None] * u


def model_of(gram: TangentGram, ridge: float) -> Model:
    """The operator that is near the Gram matrix plus the *ridge*."""
    g_0, g_1 = gram.g[:, 0], gram.g[:, 1]
    clusters = _clusters(gram, ridge)
    weighted = gram.unit * g_1[:, None]
    return Model(g_0, g_1, clusters, *np.linalg.eigh(weighted.T @ clusters.solve(weighted)))


def _clusters(gram: TangentGram, ridge: float) -> Clusters:
    N = len(gram.unit)
    g_0, g_1 = gram.g[:, 0], gram.g[:, 1]
    own = 2 * (gram.squares - g_0**2 - g_1**2)
    noise = np.maximum(own, _FLOOR * gram.squares)
    noise[noise == 0] = 1  # a neuron with sigma' = 0 has no features
    raised = np.sqrt(noise / np.where(own > 0, own, 1))
    noise = noise + ridge
    pairs = list(steep_pairs(gram.unit, _NEAR))
    if not pairs:
        return Clusters(noise, [], [], [])
    i, j, theta = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    A, one, other, cross = block_numbers(gram, i, j)
    cosine = np.cos(theta)
    left = 2 * raised[i] * raised[j] * (A - g_0[i] * g_0[j] - g_1[i] * g_1[j] * cosine)
    together = cosine * (A + one + other) + cross * (1 + cosine**2) - g_1[i] * g_1[j]
    # The rounding of the sum *together*, whose terms cancel.
    lost = 4 * EPS * (np.abs(one) + np.abs(other) + 2 * np.abs(cross))
    jitter = np.bincount(np.append(i, j), np.append(lost, lost), N)
    A, one, other, _ = block_numbers(gram, np.arange(N), np.arange(N))
    C, H = (
        scipy.sparse.coo_array((values, (i, j)), shape=(N, N)).tocsr() + scipy.sparse.diags_array(diagonal / 2)
        for values, diagonal in ((left, noise), (together, A + one + other - g_1**2 + ridge + jitter))
    )
    count, cluster = connected_components(C, directed=False)
    sizes = np.bincount(cluster, minlength=count)
    rows = [part for part in np.split(np.argsort(cluster, kind="stable"), np.cumsum(sizes)[:-1]) if len(part) > 1]
    across, along = ([_factor(part + part.T) for part in (M[r][:, r].toarray() for r in rows)] for M in (C, H))
    return Clusters(noise, rows, across, along)


def _factor(C: Array) -> Array:
    """A lower Cholesky factor of C (n, n), or of C with as little more on its diagonal as it takes."""
    jitter = len(C) * EPS
    while True:
        factor, info = lapack.dpotrf(C + np.diag(jitter * C.diagonal()), lower=1)
        if info == 0:
            return factor
        jitter *= 10


def inverse(model: Model, unit: Array) -> Callable[[Array], Array]:
    """The function R -> M^-1 R, R (N, d) and *unit* (N, d) in the eigenbasis of G, by the formula of Woodbury."""
    g_0, g_1, clusters, values, _ = model
    d = len(values)
    gain = 1 / (1 + (values[:, None] + values) / 2)
    weighted = clusters.solve(np.column_stack([unit * g_1[:, None], g_0]))
    drift, constant = weighted[:, :d].T @ g_0, 1 + float(weighted[:, d] @ g_0)
    # F_1 D^-1 F_1^T is a number times I, from which the part that F_2 accounts for is subtracted
    taken = (np.diag(gain @ drift**2) + gain * np.outer(drift, drift)) / 2
    inner = np.linalg.inv(constant * np.eye(d) - taken)
    taken_back = np.empty_like(unit)  # at this size new memory costs as much as the arithmetic

    def precondition(R: Array) -> Array:
        parts = weighted.T @ R  # F_2 D^-1 R before it is made symmetric, and F_1 D^-1 R
        T = gain * (parts[:d] + parts[:d].T) / 2
        v = inner @ (parts[d] - T @ drift)
        pair = np.outer(drift, v)
        T -= gain * (pair + pair.T) / 2
        np.matmul(weighted, np.vstack([T, v]), out=taken_back)
        Q = clusters.solve(R)
        Q -= taken_back
        clusters.add_along(unit, R, Q)
        return Q

    return precondition
