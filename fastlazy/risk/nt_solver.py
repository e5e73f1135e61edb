"""The exact risk of the tangent model for any non-linearity: a least-squares problem in N d unknowns.

With K the centred Gram matrix of the features and V their covariance with the target, the best coefficients solve
(K + ridge) b = V: small ones by the eigenvalues of K, larger ones by conjugate gradients.
"""

from __future__ import annotations

import math

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy._support.rounding import check_risk
from fastlazy._support.singular import (
    EPS,
    PROMISE,
    distinct_rows,
    hidden_gain,
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
    assemble,
    dense,
    rotate,
    tangent_gram,
    tangent_product,
    tangent_rounding,
    tangent_slopes,
)
from fastlazy.risk.conjugate import TOO_LARGE, Problem, add_multiple, minimise, warn_of_convergence
from fastlazy.risk.graded import check_digits, graded_gain, ridge_over
from fastlazy.risk.nt_preconditioner import inverse, model_of
from fastlazy.targets.quadratic import QuadraticFunction

_TINY = 1e-75  # the size of a feature below which squares and products may underflow
SMALL = 1500  # N d up to which K is factorized


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
    if hidden_share > 0 and W.size <= SMALL:
        risk = _short_rows_risk(target, slopes, ridge)
        if risk is not None:
            return risk
    warn_of_short_rows("nt_risk", hidden_share, 3)
    V = target_covariances(slopes.g, target, slopes.unit)
    gram = tangent_gram(slopes, np.dtype(np.float64), True, parallel)
    if W.size <= SMALL:
        b, hidden = solve_dense(dense(gram), gram.squares, V, ridge)
        image = tangent_product(gram, b)
        risk = check_risk("nt_risk", null_risk - 2 * float(np.vdot(b, V)) + float(np.vdot(b, image)), TOO_LARGE)
    else:
        model = model_of(gram, ridge)
        gram, V = rotate(gram, model.basis), V @ model.basis
        del slopes  # the directions before they were rotated

        def product(b: Array) -> Array:
            image = tangent_product(gram, b)
            add_multiple(b, image, ridge)
            return image

        def penalty(b: Array) -> float:
            return ridge * float(np.vdot(b, b))

        problem = Problem(product, penalty, V, null_risk, tolerance, max_iterations, model.margin)
        best = minimise(problem, inverse(model, gram))
        b, risk, hidden = best.b, best.risk, 0.0
        if warn_of_convergence(problem, best, 3):
            return risk
    if ridge == 0 and merged(gram.unit):
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
    return check_risk("nt_risk", target.null_risk - gain, TOO_LARGE)


def solve_dense(K: Array, squares: Array, V: Array, ridge: float) -> tuple[Array, float]:
    """The minimum-norm b (N, d) of (K + ridge) b = V, and what directions that count as zero may be worth.

    By the eigenvalues of K + ridge, scaled so that the features of short rows are not lost beside those of long ones;
    *squares* (N,) are the sizes of the features of a row, squared.
    """
    size = np.hypot(np.sqrt(squares), math.sqrt(ridge))
    scale = np.repeat(1 / np.where(size > 0, size, 1), V.shape[1])
    K = scale[:, None] * K * scale
    K.flat[:: len(K) + 1] += ridge * scale**2
    values, vectors = np.linalg.eigh(K)
    kept = values > zero_level(values[-1], len(K))
    shares = (scale * V.ravel()) @ vectors
    solution = shares[kept] / values[kept]
    left = hidden_gain(shares[~kept], float(np.linalg.norm(solution) * values[-1]), len(K)) / float(values[-1])
    return (scale * (vectors[:, kept] @ solution)).reshape(V.shape), left if ridge == 0 else 0.0


def merged(unit: Array) -> bool:
    """Whether some rows of norm one differ, or differ from another's opposite, but count as parallel."""
    rounding = 4 * math.sqrt(unit.shape[1]) * EPS
    angles = (np.minimum(theta, np.pi - theta) for _, _, theta in steep_pairs(unit, 1.0))
    return any(np.any((angle > rounding) & (angle < PARALLEL)) for angle in angles)
