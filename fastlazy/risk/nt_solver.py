"""The exact risk of the tangent model for any non-linearity: a least-squares problem in N d unknowns.

With K the centred Gram matrix of the features and V their covariance with the target, the best coefficients solve
(K + ridge) b = V. Conjugate gradients decrease the penalised risk, whose excess over the best is |b - b*|^2 in the
norm of the operator, by known amounts; how these fall says how much is left. The preconditioner (ours) knows
what a feature's parts of degree one and two in x do exactly, and takes the rest for noise.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from scipy.linalg import blas, lapack
from scipy.sparse.csgraph import connected_components

from fastlazy._support.arguments import Array
from fastlazy._support.rounding import check_risk
from fastlazy._support.singular import (
    EPS,
    PROMISE,
    distinct_rows,
    hidden_gain,
    solve_factored,
    warn_of_rounding,
    warn_of_short_rows,
    zero_level,
)
from fastlazy.activations.activation import Activation
from fastlazy.activations.closed_forms import PARALLEL
from fastlazy.activations.nt_pairs import differentiated
from fastlazy.activations.rf_pairs import steep_pairs
from fastlazy.activations.short_rows import Expansion, short
from fastlazy.activations.slopes import Slopes
from fastlazy.kernels.nt_gram import (
    TangentGram,
    assemble,
    block_numbers,
    dense,
    rotate,
    tangent_gram,
    tangent_product,
    tangent_rounding,
    tangent_slopes,
)
from fastlazy.risk.graded import check_digits, graded_gain, ridge_over
from fastlazy.targets.quadratic import QuadraticFunction

_FLOOR = 1e-3  # the least noise of the preconditioner, as a share of E sigma'^2
_ROUNDING = 1e-13  # the share of the null risk below which no iteration can resolve an excess
_NEAR = 0.97  # the |cosine| beyond which two rows are in one cluster of the preconditioner
_MARGIN = 0.01  # with clusters the iteration goes on to this share of its goal: differences within them gain late
_TOO_LARGE = "W or the ridge is too large; divide it by a number"
_TINY = 1e-75  # the size of a feature below which squares and products may underflow
_SMALL = 1500  # N d up to which K is factorized


def solve_nt_risk(
    target: QuadraticFunction,
    W: Array,
    activation: Activation,
    ridge: float,
    tolerance: float,
    max_iterations: int,
    parallel: bool,
) -> float:
    """The risk of the best tangent model for checked arguments, as `nt_risk` describes it, and a target of size one."""
    null_risk = target.null_risk
    if ridge == 0:
        W = distinct_rows(W)
    slopes = tangent_slopes(W, activation)
    if not target_covariances(slopes.varying.table, target, slopes.unit).any():
        return null_risk
    hidden_share = drowned(slopes.varying)
    if hidden_share > 0 and W.size <= _SMALL:
        risk = _short_rows_risk(target, slopes, ridge)
        if risk is not None:
            return risk
    warn_of_short_rows("nt_risk", hidden_share, 3)
    V = target_covariances(slopes.g, target, slopes.unit)
    gram = tangent_gram(slopes, np.dtype(np.float64), True, parallel)
    if W.size <= _SMALL:
        b, hidden = _solve_dense(gram, V, ridge)
        image = tangent_product(gram, b)
        risk = check_risk("nt_risk", null_risk - 2 * float(np.vdot(b, V)) + float(np.vdot(b, image)), _TOO_LARGE)
    else:
        model = _model(gram, ridge)
        gram = rotate(gram, model.basis)
        margin = _MARGIN if model.clusters.rows else 1.0
        problem = _Problem(gram, V @ model.basis, ridge, null_risk, tolerance, max_iterations, margin)
        b, risk, excess, iterations = _solve(problem, _inverse(model, gram.unit))
        hidden = 0.0
        if excess > problem.goal(risk):
            warnings.warn(
                f"nt_risk did not converge in {iterations} iterations: the risk is {risk / null_risk:.6g} of the null "
                f"risk, and may be off by {min(excess / null_risk, 1.0):.1e} of it; pass a larger max_iterations or "
                "tolerance, or a ridge",
                RuntimeWarning,
                stacklevel=3,
            )
            return risk
    if ridge == 0 and _merged(gram.unit):
        hidden = math.inf
    error = (tangent_rounding(gram, b) + min(hidden, risk)) / null_risk
    warn_of_rounding("risk of the tangent model", error, max(tolerance * risk / null_risk, PROMISE), 3)
    return risk


def function_moments(
    target: QuadraticFunction, W: Array, activation: Activation, b: Array, parallel: bool
) -> tuple[float, float, float, float]:
    """Of f = sum_i <b_i, x> sigma'(<w_i, x>): mean, covariance with the target, variance, and that one's error."""
    slopes = tangent_slopes(W, activation)
    covariance = float(np.vdot(target_covariances(slopes.g, target, slopes.unit), b))
    gram = tangent_gram(slopes, np.dtype(np.float64), True, parallel)
    variance = float(np.vdot(b, tangent_product(gram, b)))
    return float(np.vdot(gram.mean, b)), covariance, variance, tangent_rounding(gram, b)


class _Problem(NamedTuple):
    """(K + ridge) b = V, to be solved to a tolerance."""

    gram: TangentGram
    V: Array  # (N, d) covariances of the features with the target
    ridge: float
    null_risk: float
    tolerance: float
    max_iterations: int
    margin: float  # the share of the goal at which the iteration ends, as the excess is only estimated

    def goal(self, risk: float) -> float:
        """The excess over the least risk at which the iteration may end."""
        return max(self.tolerance * risk, _ROUNDING * self.null_risk)


def target_covariances(g: Array, target: QuadraticFunction, unit: Array) -> Array:
    """V_i = E[(f* - E f*) sigma'(<w_i, x>) x] = 2 h_1 B u_i + h_3 <u_i, B u_i> u_i, (N, d), h_k = sqrt(k!) g_k."""
    image = unit @ target.B
    along = np.sum(unit * image, axis=1, keepdims=True)
    return 2 * g[:, 1:2] * image + math.sqrt(6) * g[:, 3:4] * along * unit


def drowned(expanded: Expansion) -> float:
    """The share of the null risk that rounding of sigma'(0)^2 may drown, as short rows see little else of sigma'."""
    there = expanded.present(1)
    if (expanded.scale[there] < _TINY).any():
        return 1.0
    return 10 * np.finfo(float).eps * float(np.abs(expanded.table[there, 0]).max(initial=0)) ** 2


def _short_rows_risk(target: QuadraticFunction, slopes: Slopes, ridge: float) -> float | None:
    """The risk if all rows see a power series of sigma only, which is smooth at zero, or None."""
    unit, expanded = slopes.unit, slopes.varying
    if not short(slopes.activation, slopes.r, 1).all():
        return None
    if expanded.rest.any() or not expanded.present(1).all():
        return None
    check_digits("nt_risk", slopes.activation, expanded.doubt)
    N, d = unit.shape
    g = expanded.table.copy()
    g[:, 0] = 0  # F holds what is linear in x; the terms of g_2 in it are taken out of R below
    cosine = unit @ unit.T
    A, own, cross = np.zeros((3, N, N))
    tables = differentiated(g)
    for k in range(tables[0].shape[1] - 1, -1, -1):
        zeroth, first, second = (table[:, k] for table in tables)
        A = A * cosine + np.outer(zeroth, zeroth)
        own = own * cosine + np.outer(second, zeroth)
        cross = cross * cosine + np.outer(first, first)
    along = np.einsum("ij,ik->ijk", unit, unit)
    bent = math.sqrt(2) * g[:, 2, None, None] * along
    F = expanded.table[:, 0, None, None] * np.eye(d) + bent
    R = assemble(unit, A, own, own.T, cross)
    R -= np.outer(g[:, 1:2] * unit, g[:, 1:2] * unit)
    bent, F = bent.reshape(N * d, d), F.reshape(N * d, d)
    R -= bent @ bent.T
    V = target_covariances(g, target, unit)
    penalty = np.repeat(ridge_over(ridge, expanded, 1), d)
    gain = graded_gain("nt_risk", F, R, V.ravel(), penalty, target.null_risk)
    return check_risk("nt_risk", target.null_risk - gain, _TOO_LARGE)


def _solve_dense(gram: TangentGram, V: Array, ridge: float) -> tuple[Array, float]:
    """The minimum-norm b (N, d), and what directions that count as zero may be worth.

    By the eigenvalues of K + ridge, scaled so that the features of short rows are not lost beside those of long ones.
    """
    size = np.hypot(np.sqrt(gram.squares), math.sqrt(ridge))
    scale = np.repeat(1 / np.where(size > 0, size, 1), V.shape[1])
    K = scale[:, None] * dense(gram) * scale
    K.flat[:: len(K) + 1] += ridge * scale**2
    values, vectors = np.linalg.eigh(K)
    kept = values > zero_level(values[-1], len(K))
    shares = (scale * V.ravel()) @ vectors
    solution = shares[kept] / values[kept]
    left = hidden_gain(shares[~kept], float(np.linalg.norm(solution) * values[-1]), len(K)) / float(values[-1])
    return (scale * (vectors[:, kept] @ solution)).reshape(V.shape), left if ridge == 0 else 0.0


def _merged(unit: Array) -> bool:
    """Whether some rows of norm one differ, or differ from another's opposite, but count as parallel."""
    rounding = 4 * math.sqrt(unit.shape[1]) * EPS
    angles = (np.minimum(theta, np.pi - theta) for _, _, theta in steep_pairs(unit, 1.0))
    return any(np.any((angle > rounding) & (angle < PARALLEL)) for angle in angles)


def _solve(problem: _Problem, precondition: Callable[[Array], Array]) -> tuple[Array, float, float, int]:
    """b, its risk, how much that is off, and the iterations: conjugate gradients until it is close enough."""
    b, residual = np.zeros_like(problem.V), problem.V.copy()
    correction = precondition(residual)
    direction = correction.copy()
    gains: list[float] = []  # by how much each step decreased the penalised risk
    sizes = [float(np.vdot(residual, correction))]  # squared sizes <R, M^-1 R> of the residuals R
    risk, excess = problem.null_risk, math.inf
    while excess > problem.margin * problem.goal(risk) and len(gains) < problem.max_iterations:
        image = tangent_product(problem.gram, direction)
        _axpy(direction, image, problem.ridge)
        curvature = float(np.vdot(direction, image))
        if not curvature > 0:  # the direction is rounding
            break
        step = sizes[-1] / curvature
        _axpy(direction, b, step)
        _axpy(image, residual, -step)
        correction = precondition(residual)
        gains.append(step * sizes[-1])
        sizes.append(float(np.vdot(residual, correction)))
        direction *= sizes[-1] / sizes[-2]
        direction += correction
        penalty = problem.ridge * float(np.vdot(b, b))
        # 2 <V, b> - <b, K b> = <V, b> + <residual, b> + ridge |b|^2
        risk = problem.null_risk - float(np.vdot(problem.V, b) + np.vdot(residual, b)) - penalty
        risk = check_risk("nt_risk", risk, _TOO_LARGE)
        excess = _excess(gains, sizes, penalty)
    return b, risk, excess, len(gains)


def _axpy(x: Array, y: Array, factor: float) -> None:
    """Add *factor* x to y, in place and without a copy."""
    blas.daxpy(x.reshape(-1), y.reshape(-1), a=factor)


def _excess(gains: list[float], sizes: list[float], penalty: float) -> float:
    """The estimated excess of the risk over the least one, from the *gains* of all steps and the *sizes* of residuals.

    The penalised risk exceeds its minimum by the sum of all later gains. For each past residual the gains made
    since then are a lower bound of its excess; the bound over its size is a ratio. The excess of the last residual is
    taken to be its size times three times the largest ratio, as the gains to come are not in the bounds.

    The risk itself is the penalised risk less ridge |b|^2, the *penalty*. If the penalised risk is off by e, the
    penalty is off by 2 sqrt(penalty e) at most, to first order.
    """
    since = np.cumsum(gains[::-1])[::-1]
    rest = 3 * float(np.max(since / sizes[:-1])) * sizes[-1]
    return rest + 2 * math.sqrt(penalty * rest)


class _Model(NamedTuple):
    """The simple operator M = D + F_1^T F_1 + F_2^T F_2, near K + ridge.

    F_1 b = sum_i g_0 b_i and F_2 b = sum_i g_1 sym(u_i b_i^T) are what the tangent model has of degree one and two,
    but for terms along u_i; F_2 has half its weight here, as along u_i there is less. D = C x I, with C_ij what is
    left of E[sigma' sigma'], doubled likewise, between rows that nearly agree, and zero between others.
    F_2 D^-1 F_2^T T = (G T + T G) / 2, diagonal in the eigenbasis of G (d, d).
    """

    g_0: Array  # (N,) normalised Hermite coefficients of sigma' of degree 0
    g_1: Array  # (N,) and of degree 1
    clusters: _Clusters
    values: Array  # (d,) eigenvalues of G
    basis: Array  # (d, d) its eigenvectors, in columns


class _Clusters(NamedTuple):
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


def _model(gram: TangentGram, ridge: float) -> _Model:
    g_0, g_1 = gram.g[:, 0], gram.g[:, 1]
    clusters = _clusters(gram, ridge)
    weighted = gram.unit * g_1[:, None]
    return _Model(g_0, g_1, clusters, *np.linalg.eigh(weighted.T @ clusters.solve(weighted)))


def _clusters(gram: TangentGram, ridge: float) -> _Clusters:
    N = len(gram.unit)
    g_0, g_1 = gram.g[:, 0], gram.g[:, 1]
    own = 2 * (gram.squares - g_0**2 - g_1**2)
    noise = np.maximum(own, _FLOOR * gram.squares)
    noise[noise == 0] = 1  # a neuron with sigma' = 0 has no features
    raised = np.sqrt(noise / np.where(own > 0, own, 1))
    noise = noise + ridge
    pairs = list(steep_pairs(gram.unit, _NEAR))
    if not pairs:
        return _Clusters(noise, [], [], [])
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
    return _Clusters(noise, rows, across, along)


def _factor(C: Array) -> Array:
    """A lower Cholesky factor of C (n, n), or of C with as little more on its diagonal as it takes."""
    jitter = len(C) * EPS
    while True:
        factor, info = lapack.dpotrf(C + np.diag(jitter * C.diagonal()), lower=1)
        if info == 0:
            return factor
        jitter *= 10


def _inverse(model: _Model, unit: Array) -> Callable[[Array], Array]:
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
