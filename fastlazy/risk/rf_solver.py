"""The exact risk of random features for any non-linearity: a linear system in N unknowns."""

from __future__ import annotations

import math

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy._support.rounding import check_risk, check_size
from fastlazy._support.singular import (
    EPS,
    PROMISE,
    distinct_rows,
    solve_positive,
    warn_of_rounding,
    zero_level,
)
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import expansion, unit_coefficients
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.risk.graded import SHORT, check_digits, graded_gain, ridge_over
from fastlazy.targets.quadratic import QuadraticFunction

_TOO_LARGE = "W or the ridge is too large; divide it by a number"


def solve_rf_risk(target: QuadraticFunction, W: Array, sigma: Activation, ridge: float, parallel: bool) -> float:
    """The risk of random features for any sigma and a target of size one."""
    if not target.B.any():
        return 0.0
    if ridge == 0:
        W = distinct_rows(W)
    unit, r = unit_rows(W)
    along = np.einsum("ij,ij->i", unit @ target.B, unit)
    whole, curved = (expansion(sigma, r, 2, first=first) for first in (1, 2))
    from fastlazy.kernels.rf_gram import rf_correlations  # which loads the compiler

    if (curved.scale < SHORT * whole.scale).any():
        check_digits("rf_risk", sigma, curved.doubt[curved.table[:, 2] != 0])
        U, expanded = rf_correlations(W, sigma, 2, parallel)
        size, penalty = expanded.table[:, 1].copy(), ridge_over(ridge, expanded, 2)
        # Features that are straight learn nothing themselves, but take out the linear parts of others. They are in
        # units in which they are as large as any of those.
        straight = whole.present(1) & np.logical_not(expanded.present(2))
        size[straight] = np.abs(size).max(initial=0) or 1.0
        penalty[straight] = ridge_over(ridge, whole, 1)[straight] * size[straight] ** 2
        linear, V = size[:, None] * unit, math.sqrt(2) * expanded.table[:, 2] * along
        gain = graded_gain("rf_risk", linear, U, V, penalty, target.null_risk)
        return check_risk("rf_risk", target.null_risk - gain, _TOO_LARGE)
    check_digits("rf_risk", sigma, whole.doubt[whole.table[:, 2] != 0])
    U, expanded = rf_correlations(W, sigma, 1, parallel)
    V = math.sqrt(2) * expanded.table[:, 2] * along
    learns = expanded.present(1)  # which features are more than a constant
    with np.errstate(divide="ignore"):
        share = expanded.scale / np.hypot(expanded.scale, math.sqrt(ridge)) if ridge > 0 else learns.astype(float)
    V *= share
    U *= share
    U *= share[:, None]
    np.fill_diagonal(U, 1)
    a, condition, hidden = solve_positive(U, V)
    np.fill_diagonal(U, np.where(learns, share**2, 0))
    risk = check_risk("rf_risk", target.null_risk - 2 * float(a @ V) + float(a @ U @ a), _TOO_LARGE)
    n = len(U)
    error = 4 * EPS * float(a @ a) * (1 + 100 * n * EPS / max(condition, zero_level(1.0, n))) + min(hidden, risk)
    warn_of_rounding("risk of random features", error / target.null_risk, PROMISE, 3)
    return risk


def feature_moments(
    target: QuadraticFunction, W: Array, sigma: Activation, parallel: bool
) -> tuple[Array, Array, Array]:
    """Means (N,), covariances (N, N), and covariances with y (N,) of the features sigma(<w_i, x>)."""
    check_size(W, 1e150, "argument of sigma by its inverse")
    from fastlazy.kernels.rf_gram import rf_gram  # which loads the compiler

    U = rf_gram(W, sigma, center=True, parallel=parallel)
    unit, r = unit_rows(W)
    h = unit_coefficients(sigma, r, 2)
    return h[:, 0], U, math.sqrt(2) * h[:, 2] * np.einsum("ij,ij->i", unit @ target.B, unit)
