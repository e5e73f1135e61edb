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

from fastlazy._validate import Array
from fastlazy.activations import Activation
from fastlazy.tangent import TangentGram, rotate, tangent_gram, tangent_product
from fastlazy.targets import QuadraticTarget

_FLOOR = 1e-3  # of E sigma'^2, the least that counts as noise
_ROUNDING = 1e-13  # of the null risk, which no iteration can resolve


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
    gram = tangent_gram(W, activation, True, parallel)
    V = _covariance(target, gram)
    if not V.any():
        return target.null_risk
    model = _model(gram, ridge)
    gram = rotate(gram, model.basis)
    precondition = _inverse(model, gram.unit)
    solution = _solve(gram, V @ model.basis, precondition, ridge, target.null_risk, tolerance, max_iterations)
    if solution.excess > max(tolerance * solution.risk, _ROUNDING * target.null_risk):
        warnings.warn(
            f"nt_risk did not converge in {solution.iterations} iterations: the risk returned, {solution.risk:.6g}, may "
            f"be off by {solution.excess:.1e}; pass a larger max_iterations or tolerance, or a ridge",
            RuntimeWarning,
            stacklevel=3,
        )
    return solution.risk


class _Solution(NamedTuple):
    """Where conjugate gradients ended."""

    risk: float
    excess: float  # estimated, by which the risk may be off
    iterations: int


def _covariance(target: QuadraticTarget, gram: TangentGram) -> Array:
    """V_i = E[(f* - E f*) sigma'(<w_i, x>) x] = 2 h_1 B u_i + h_3 <u_i, B u_i> u_i, h_k of sigma': (N, d)."""
    image = gram.unit @ target.B
    h_1, h_3 = gram.g[:, 1:2], math.sqrt(6) * gram.g[:, 3:4]
    return 2 * h_1 * image + h_3 * np.sum(gram.unit * image, axis=1, keepdims=True) * gram.unit


def _solve(
    gram: TangentGram,
    V: Array,
    precondition: Callable[[Array], Array],
    ridge: float,
    null_risk: float,
    tolerance: float,
    max_iterations: int,
) -> _Solution:
    """Conjugate gradients, until what is left of the excess risk seems to be below the tolerance."""
    b, residual = np.zeros_like(V), V.copy()
    direction = correction = precondition(residual)
    size = float(np.vdot(residual, correction))
    gains: list[float] = []
    risk, excess = null_risk, math.inf
    while len(gains) < max_iterations and excess > max(tolerance * risk, _ROUNDING * null_risk):
        image = tangent_product(gram, direction)
        image += ridge * direction
        curvature = float(np.vdot(direction, image))
        if not curvature > 0 or size <= 0:  # nothing but rounding is left
            break
        step = size / curvature
        b += step * direction
        residual -= step * image
        gains.append(step * size)
        norm = float(np.vdot(b, b))
        risk = null_risk - float(np.vdot(V, b)) - float(np.vdot(residual, b)) - ridge * norm
        excess = _excess(gains, ridge * norm)
        correction = precondition(residual)
        size, before = float(np.vdot(residual, correction)), size
        direction = correction + (size / before) * direction
    return _Solution(max(risk, 0.0), excess, len(gains))


def _excess(gains: list[float], penalty: float) -> float:
    """How far the risk may be off after steps that lowered the penalised risk by *gains*.

    What the last three gained stands for what is left, or a multiple of it where steps gain little less than those
    before. The risk itself differs from the penalised risk by ridge |b|^2, the *penalty*, which is off by the root.
    """
    if len(gains) < 6:
        return math.inf
    last, before = math.fsum(gains[-3:]), math.fsum(gains[-6:-3])
    ratio = min((last / before) ** (1 / 3), 0.98)
    rest = last * max(1.0, ratio / (1 - ratio))
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
    gain = 1 / (1 + (values[:, None] + values) / 2)
    drift = unit.T @ (g_0 * g_1 / noise)
    # F_1 D^-1 F_1^T is a number, less what F_2 takes of it
    taken = (np.diag(gain @ drift**2) + gain * np.outer(drift, drift)) / 2
    inner = np.linalg.inv((1 + np.sum(g_0**2 / noise)) * np.eye(len(values)) - taken)

    def precondition(R: Array) -> Array:
        Q = R / noise[:, None]
        T = unit.T @ (g_1[:, None] * Q)
        T = gain * (T + T.T) / 2
        v = inner @ (g_0 @ Q - T @ drift)
        pair = np.outer(drift, v)
        T -= gain * (pair + pair.T) / 2
        Q -= (g_1 / noise)[:, None] * (unit @ T) + (g_0 / noise)[:, None] * v
        return Q

    return precondition
