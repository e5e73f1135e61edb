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
from typing import NamedTuple

import numpy as np
import scipy.linalg

from fastlazy._validate import Array
from fastlazy.activations import Activation
from fastlazy.graded import check_digits, graded_gain, ridge_over
from fastlazy.hermite import expansion, hermite_coefficients
from fastlazy.pairs import unit_rows
from fastlazy.short_rows import Expansion, short
from fastlazy.tangent import TangentGram, assemble, dense, rotate, tangent_gram, tangent_product
from fastlazy.tangent_pairs import differentiated
from fastlazy.targets import QuadraticTarget

_FLOOR = 1e-3  # of E sigma'^2, the least that counts as noise
_ROUNDING = 1e-13  # of the null risk, which no iteration can resolve
_DROWNED = 1e-9  # of the null risk, of which a warning tells
_TINY = 1e-75  # sizes whose squares and products come near to what a number can hold
_SMALL = 1500  # N d up to which K is factorized


def solve_nt_risk(
    target: QuadraticTarget,
    W: Array,
    activation: Activation,
    ridge: float,
    tolerance: float,
    max_iterations: int,
    parallel: bool,
) -> float:
    """The risk of the best tangent model for checked arguments, as `nt_risk` describes it."""
    unit, r = unit_rows(W)
    expanded = expansion(activation, r, 3, first=1, derivative=1)
    if not _in_terms_of(expanded.table, target, unit).any():
        return target.null_risk
    drowned = _drowned(expanded)
    if drowned > 0 and W.size <= _SMALL:
        risk = _short_rows_risk(target, W, activation, ridge)
        if risk is not None:
            return risk
    if drowned > _DROWNED:
        warnings.warn(
            f"rows of W are so short that rounding may change what nt_risk returns by {min(drowned, 1.0):.1e} of the "
            "null risk; multiply W by a number, of which it hardly depends",
            RuntimeWarning,
            stacklevel=3,
        )
    V = _covariance(target, W, activation)
    gram = tangent_gram(W, activation, True, parallel)
    if W.size <= _SMALL:
        return _solve_dense(dense(gram), V.ravel(), target.null_risk, ridge)
    model = _model(gram, ridge)
    problem = _Problem(rotate(gram, model.basis), V @ model.basis, ridge, target.null_risk, tolerance, max_iterations)
    risk, excess, iterations = _solve(problem, _inverse(model, problem.gram.unit))
    if excess > problem.goal(risk):
        warnings.warn(
            f"nt_risk did not converge in {iterations} iterations: the risk returned, {risk:.6g}, may be off by "
            f"{min(excess, target.null_risk):.1e}; pass a larger max_iterations or tolerance, or a ridge",
            RuntimeWarning,
            stacklevel=3,
        )
    return risk


def function_moments(
    target: QuadraticTarget, W: Array, activation: Activation, b: Array, parallel: bool
) -> tuple[float, float, float]:
    """Mean of f = sum_i <b_i, x> sigma'(<w_i, x>), its covariance with the target, and its variance."""
    covariance = float(np.vdot(_covariance(target, W, activation), b))
    gram = tangent_gram(W, activation, True, parallel)
    return float(np.vdot(gram.mean, b)), covariance, float(np.vdot(b, tangent_product(gram, b)))


class _Problem(NamedTuple):
    """(K + ridge) b = V, to be solved to a tolerance."""

    gram: TangentGram
    V: Array  # (N, d)
    ridge: float
    null_risk: float
    tolerance: float
    max_iterations: int

    def goal(self, risk: float) -> float:
        """The excess that is small enough."""
        return max(self.tolerance * risk, _ROUNDING * self.null_risk)


def _covariance(target: QuadraticTarget, W: Array, activation: Activation) -> Array:
    """V_i = E[(f* - E f*) sigma'(<w_i, x>) x] = 2 h_1 B u_i + h_3 <u_i, B u_i> u_i, h_k of sigma': (N, d)."""
    unit, r = unit_rows(W)
    return _in_terms_of(hermite_coefficients(activation, r, 3, derivative=1), target, unit)


def _in_terms_of(g: Array, target: QuadraticTarget, unit: Array) -> Array:
    image = unit @ target.B
    along = np.sum(unit * image, axis=1, keepdims=True)
    return 2 * g[:, 1:2] * image + math.sqrt(6) * g[:, 3:4] * along * unit


def _drowned(expanded: Expansion) -> float:
    """The share of the null risk that rounding of sigma'(0)^2 may drown, as short rows see little else of sigma'."""
    there = expanded.present(1)
    if (expanded.scale[there] < _TINY).any():
        return 1.0
    return 10 * np.finfo(float).eps * float(np.abs(expanded.table[there, 0]).max(initial=0)) ** 2


def _short_rows_risk(target: QuadraticTarget, W: Array, activation: Activation, ridge: float) -> float | None:
    """The risk if all rows see a power series of sigma only, which is smooth at zero, or None."""
    unit, r = unit_rows(W)
    if not short(activation, r, 1).all():
        return None
    expanded = expansion(activation, r, 17, first=1, derivative=1)
    if expanded.rest.any() or not expanded.present(1).all():
        return None
    check_digits("nt_risk", activation, expanded.doubt)
    N, d = W.shape
    g = expanded.table.copy()
    g[:, 0] = 0  # what is linear in x is F, but for the terms of g_2 alone
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
    V = _in_terms_of(g, target, unit)
    penalty = np.repeat(ridge_over(ridge, expanded, 1), d)
    return max(0.0, target.null_risk - graded_gain("nt_risk", F, R, V.ravel(), penalty, target.null_risk))


def _solve_dense(K: Array, V: Array, null_risk: float, ridge: float) -> float:
    """The risk by the eigenvalues of K; those that are rounding count as zero, and V has nothing there."""
    values, vectors = np.linalg.eigh(K)
    kept = values > len(K) * np.finfo(float).eps * values[-1]
    values, shares = values[kept], (V @ vectors[:, kept]) ** 2
    # 2 V b - b K b for b = V / (K + ridge)
    return max(0.0, null_risk - float(np.sum(shares * (values + 2 * ridge) / (values + ridge) ** 2)))


def _solve(problem: _Problem, precondition: Callable[[Array], Array]) -> tuple[float, float, int]:
    """The risk, by how much it may be off, and the iterations: conjugate gradients until it is close enough."""
    b, residual = np.zeros_like(problem.V), problem.V.copy()
    correction = precondition(residual)
    direction = correction.copy()
    gains: list[float] = []  # of the penalised risk
    sizes = [float(np.vdot(residual, correction))]  # of the residuals
    risk, excess = problem.null_risk, math.inf
    while excess > problem.goal(risk) and len(gains) < problem.max_iterations:
        image = tangent_product(problem.gram, direction)
        _axpy(direction, image, problem.ridge)
        curvature = float(np.vdot(direction, image))
        if not curvature > 0:  # nothing but rounding is left
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
        # 2 V b - b K b, in terms of what is known
        risk = max(0.0, problem.null_risk - float(np.vdot(problem.V, b) + np.vdot(residual, b)) - penalty)
        excess = _excess(gains, sizes, penalty)
    return risk, excess, len(gains)


def _axpy(x: Array, y: Array, factor: float) -> None:
    """Add *factor* x to y, in place and without a copy."""
    scipy.linalg.blas.daxpy(x.reshape(-1), y.reshape(-1), a=factor)


def _excess(gains: list[float], sizes: list[float], penalty: float) -> float:
    """How far the risk may be off, given all *gains* of the penalised risk and all *sizes* of residuals.

    What has been gained since a residual of some size bounds from below what it was worth: its excess risk. The most
    that any was worth for its size, thrice, is what the last one is taken to be worth. The risk itself differs from the
    penalised risk by ridge |b|^2, the *penalty*, which is off by the root.
    """
    since = np.cumsum(gains[::-1])[::-1]
    rest = 3 * float(np.max(since / sizes[:-1])) * sizes[-1]
    return rest + 2 * math.sqrt(penalty * rest)


class _Model(NamedTuple):
    """The simple operator M = D + F_1^T F_1 + F_2^T F_2, near K + ridge.

    F_1 b = sum_i g_0 b_i and F_2 b = sum_i g_1 sym(u_i b_i^T) are what the tangent model has of degree one and two,
    but for terms along u_i; F_2 has half its weight here, as along u_i there is less. D = noise_i I is what is left
    of E sigma'^2, doubled likewise. F_2 D^-1 F_2^T T = (G T + T G) / 2, diagonal in the eigenbasis of G (d, d).
    """

    g_0: Array  # (N,)
    g_1: Array  # (N,)
    noise: Array  # (N,)
    values: Array  # (d,) eigenvalues of G
    basis: Array  # (d, d)


def _model(gram: TangentGram, ridge: float) -> _Model:
    g_0, g_1 = gram.g[:, 0], gram.g[:, 1]
    noise = np.maximum(2 * (gram.squares - g_0**2 - g_1**2), _FLOOR * gram.squares) + ridge
    noise[noise == 0] = 1  # sigma' is zero there
    G = (gram.unit.T * (g_1**2 / noise)) @ gram.unit
    return _Model(g_0, g_1, noise, *np.linalg.eigh(G))


def _inverse(model: _Model, unit: Array) -> Callable[[Array], Array]:
    """The function R -> M^-1 R, R (N, d) and *unit* (N, d) in the eigenbasis of G, by the formula of Woodbury."""
    g_0, g_1, noise, values, _ = model
    d = len(values)
    gain = 1 / (1 + (values[:, None] + values) / 2)
    drift = unit.T @ (g_0 * g_1 / noise)
    # F_1 D^-1 F_1^T is a number, less what F_2 takes of it
    taken = (np.diag(gain @ drift**2) + gain * np.outer(drift, drift)) / 2
    inner = np.linalg.inv((1 + np.sum(g_0**2 / noise)) * np.eye(d) - taken)
    weighted = np.column_stack([unit * g_1[:, None], g_0]) / noise[:, None]
    noise = noise[:, None]
    taken_back = np.empty_like(unit)  # at this size new memory costs as much as the arithmetic

    def precondition(R: Array) -> Array:
        parts = weighted.T @ R  # F_2 and F_1 of D^-1 R, but for the symmetry
        T = gain * (parts[:d] + parts[:d].T) / 2
        v = inner @ (parts[d] - T @ drift)
        pair = np.outer(drift, v)
        T -= gain * (pair + pair.T) / 2
        np.matmul(weighted, np.vstack([T, v]), out=taken_back)
        Q = R / noise
        Q -= taken_back
        return Q

    return precondition
