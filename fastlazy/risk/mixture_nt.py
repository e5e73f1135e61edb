"""The exact risk of the neural tangent model for a mixture of two Gaussians, and any non-linearity.

In the modes x = A z of the mixture the features sigma'(<w_i, x>) x with coefficients b are sigma'(<u_i, z>) z with
coefficients b A, u_i the rows of W A. Given y, z is s times a standard normal vector, s the standard deviations of the
class. So with K_y the centred Gram matrix of the tangent features of the rows u s, and m_y the means of these features,

    H = (1/2) sum_y s K_y s,    V = (s_+ m_+ - s_- m_-) / 2,

where s multiplies the entries of each coefficient, and (H + V V^T + ridge) b = V. With a ridge, which is on the
coefficients of x, these are expressed in an orthonormal basis of the range of A: b A = beta L with |b| = |beta|.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy._support.blas import same_bits
from fastlazy._support.rounding import check_risk
from fastlazy._support.singular import EPS, PROMISE, distinct_rows, warn_of_rounding, warn_of_short_rows
from fastlazy.activations.activation import Activation
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.activations.units import in_own_unit, ridge_in_unit
from fastlazy.kernels.nt_gram import (
    TangentGram,
    dense,
    tangent_gram,
    tangent_product,
    tangent_rounding,
    tangent_slopes,
)
from fastlazy.risk.conjugate import TOO_LARGE, Problem, add_multiple, minimise, warn_of_convergence
from fastlazy.risk.mixture import rows_in_modes
from fastlazy.risk.mixture_nt_square import square_risk
from fastlazy.risk.nt_preconditioner import inverse, model_of
from fastlazy.risk.nt_solver import SMALL, drowned_share, merged, solve_dense
from fastlazy.targets.mixture import GaussianMixture, Modes

_MEAN_ERROR = 50 * EPS  # the error of a feature's mean, over the root of its mean square


def nt_risk(
    mixture: GaussianMixture,
    W: Array,
    activation: Activation,
    ridge: float,
    tolerance: float,
    max_iterations: int,
    parallel: bool,
) -> float:
    """The risk of the best tangent model for checked arguments, as the public `nt_risk` describes it."""
    with same_bits(W.size, 1):
        rows = rows_in_modes(mixture, W)
        if activation.is_quadratic:
            return square_risk(mixture, W, rows, ridge, max_iterations)
        if ridge == 0:
            if activation.degree is not None:  # a length multiplies features by a number, which no risk sees
                rows = unit_rows(rows)[0]
            rows = distinct_rows(rows)
        sigma, exponent = in_own_unit(activation)
        ridge = ridge_in_unit(ridge, exponent)
        classes, drowned = _classes(mixture.modes, rows, sigma, parallel)
        frame: Array | None = None if ridge == 0 else np.asarray(np.linalg.qr(mixture.modes.A, mode="r"))
        V = (_back(classes[0], frame, classes[0].mean) - _back(classes[1], frame, classes[1].mean)) / 2
        if not V.any():
            return 1.0
        warn_of_short_rows("nt_risk", drowned, 3)
        hidden = 0.0
        if rows.size <= SMALL:
            H = _dense(classes, frame)
            H += np.outer(V, V)
            squares = H.diagonal().reshape(V.shape).max(axis=1)
            b, hidden = solve_dense(H, squares, V, ridge)
            risk = check_risk("nt_risk", 1 - 2 * float(np.vdot(b, V)) + float(b.ravel() @ H @ b.ravel()), TOO_LARGE)
        else:
            precondition, margin = _preconditioner(rows, sigma, frame, ridge, parallel)

            def product(b: Array) -> Array:
                return _product(classes, frame, V, ridge, b)

            def penalty(b: Array) -> float:
                return ridge * float(np.vdot(b, b))

            problem = Problem(product, penalty, V, 1.0, tolerance, max_iterations, margin)
            best = minimise(problem, precondition)
            b, risk = best.b, best.risk
            if warn_of_convergence(problem, best, 3):
                return risk
        if ridge == 0 and any(merged(part.unit) for part in classes):
            hidden = math.inf
        error = 0.0 if drowned > PROMISE else _rounding(classes, frame, b) + min(hidden, risk)
        warn_of_rounding("risk of the tangent model", error, max(tolerance * risk, PROMISE), 3)
        return risk


def class_moments(
    modes: Modes, rows: Array, sigma: Activation, moves: Array, parallel: bool
) -> tuple[tuple[float, float], float, float]:
    """Of f = sum_i <b_i, z> sigma'(<u_i, z>): both classes' means, their mean variance, and that one's error.

    The *rows* are the u_i, and the *moves* the b_i, both (N, k).
    """
    classes, _ = _classes(modes, rows, sigma, parallel)
    first, second = (float(np.vdot(part.mean, moves * part.spread)) for part in classes)
    within = sum(float(np.vdot(b, part.product(b))) / 2 for part in classes for b in [moves * part.spread])
    return (first, second), within, _rounding(classes, None, moves)


class _Class(NamedTuple):
    """The tangent features of one class, for standard normal inputs; without any if the class has no spread."""

    gram: TangentGram | None
    spread: Array  # (k,) the standard deviations
    mean: Array  # (N, k) means of the features
    unit: Array  # (N, k) directions of the rows

    def product(self, b: Array) -> Array:
        """Their Gram matrix times b (N, k)."""
        return np.zeros_like(b) if self.gram is None else tangent_product(self.gram, b)


def _classes(modes: Modes, rows: Array, sigma: Activation, parallel: bool) -> tuple[list[_Class], float]:
    """Both classes, and the share of the null risk that short rows may drown."""
    classes, drowned = [], 1.0
    for spread in modes.spreads:
        if not spread.any():  # x = 0, and so are the features
            classes.append(_Class(None, spread, np.zeros_like(rows), np.zeros_like(rows)))
            continue
        slopes = tangent_slopes(rows * spread, sigma)
        drowned = min(drowned, drowned_share(slopes.varying))  # a class that sees sigma' vary is enough
        gram = tangent_gram(slopes, np.dtype(np.float64), True, parallel)
        classes.append(_Class(gram, spread, gram.mean, slopes.unit))
    return classes, drowned


def _forth(part: _Class, frame: Array | None, b: Array) -> Array:
    """Coefficients of the standard normal inputs of a class for the coefficients b (N, k) that are solved for."""
    return (b if frame is None else b @ frame) * part.spread


def _back(part: _Class, frame: Array | None, b: Array) -> Array:
    """The transpose of `_forth`."""
    moved = b * part.spread
    return moved if frame is None else moved @ frame.T


def _product(classes: list[_Class], frame: Array | None, V: Array, ridge: float, b: Array) -> Array:
    """(H + V V^T + ridge) b for b (N, k)."""
    result = float(np.vdot(V, b)) * V
    for part in classes:
        result += _back(part, frame, part.product(_forth(part, frame, b))) / 2
    add_multiple(b, result, ridge)
    return result


def _dense(classes: list[_Class], frame: Array | None) -> Array:
    """The matrix H (N k, N k)."""
    N, k = classes[0].mean.shape
    H = np.zeros((N, k, N, k))
    for part in classes:
        if part.gram is not None:
            K = dense(part.gram).reshape(H.shape) * part.spread[:, None, None] * part.spread / 2
            H += K if frame is None else np.einsum("pj,ijlm,qm->iplq", frame, K, frame, optimize=True)
    H = H.reshape(N * k, N * k)
    return (H + H.T) / 2


def _preconditioner(
    rows: Array, sigma: Activation, frame: Array | None, ridge: float, parallel: bool
) -> tuple[Callable[[Array], Array], float]:
    """The inverse of what H nearly is if both classes are N(0, I) in the modes, and the margin of the iteration."""
    gram = tangent_gram(tangent_slopes(rows, sigma), np.dtype(np.float64), True, parallel)
    back = None if frame is None else np.linalg.inv(frame)
    model = model_of(gram, ridge if back is None else ridge * float(np.sum(back**2)) / len(back))
    undo = inverse(model, gram.unit @ model.basis)

    def precondition(R: Array) -> Array:
        if back is None:
            return undo(R @ model.basis) @ model.basis.T
        return undo(R @ back.T @ model.basis) @ model.basis.T @ back

    return precondition, model.margin


def _rounding(classes: list[_Class], frame: Array | None, b: Array) -> float:
    """How far off the risk of the coefficients b (N, k) may be."""
    total = 0.0
    for part in classes:
        if part.gram is not None:
            moved = _forth(part, frame, b)
            total += tangent_rounding(part.gram, moved) / 2
            total += _MEAN_ERROR * float(np.linalg.norm(np.linalg.norm(moved, axis=1) * np.sqrt(part.gram.squares)))
    return total
