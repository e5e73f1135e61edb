"""The exact risk of random features for a mixture of two Gaussians, and any non-linearity.

The features' moments of each class are those of the rows W A times the class's standard deviations, for inputs N(0, I);
`fastlazy.risk.mixture` has the risk of these moments. For x^2 V_i = -<w_i, Delta w_i> and H_ij = 2 <w_i, Sigma w_j>^2 +
2 <w_i, Delta w_j>^2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.special

from fastlazy._support.arguments import Array
from fastlazy._support.rounding import check_risk, check_size
from fastlazy._support.singular import (
    EPS,
    PROMISE,
    WELL,
    distinct_rows,
    solve_positive,
    warn_of_rounding,
    warn_of_short_rows,
    zero_level,
)
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import get_activation
from fastlazy.activations.kinks import power_series
from fastlazy.activations.moments import expansion, square_moments, unit_coefficients
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.activations.short_rows import short
from fastlazy.activations.units import in_own_unit, ridge_in_unit
from fastlazy.risk.graded import SHORT, check_digits, graded_gain
from fastlazy.risk.inputs import rows_through
from fastlazy.targets.mixture import GaussianMixture, Modes

_TOO_LARGE = "W or the ridge is too large; divide it by a number"
_FEATURE_ENTRIES = 20_000_000  # the 2 N k^2 up to which a singular problem of x^2 is solved by least squares
_TINY = 1e-75  # the length of a row below which squares of moments may underflow
_SERIES_ERROR = 1e-12  # the error of a coefficient of a power series, over its size
_MEAN_ERROR = 50 * EPS  # the error of a feature's mean, over the root of its mean square


class FeatureMoments(NamedTuple):
    """Moments of features of N neurons; their covariance over both classes is H + V V^T."""

    mean: Array  # (N,) over both classes
    H: Array  # (N, N) the mean of the classes' covariances
    V: Array  # (N,) half the mean given y = 1 less the mean given y = -1: the covariance with y
    error: Array  # (N,) how far off V may be


def rf_risk(mixture: GaussianMixture, W: Array, activation: Activation, ridge: float, parallel: bool) -> float:
    """The risk of random features for checked arguments, as the public `rf_risk` describes it."""
    rows = rows_through(mixture.modes.A, W)
    if ridge == 0:
        if activation.is_quadratic or activation.degree is not None:  # a length multiplies a feature by a number
            rows = unit_rows(rows)[0]
        rows = distinct_rows(rows)
    elif activation.is_quadratic:
        check_size(rows, 1e75, "ridge by its fourth power")
    sigma, exponent = in_own_unit(activation)
    ridge = ridge_in_unit(ridge, exponent)
    if not activation.has_closed_gram:
        length = unit_rows(rows)[1]
        if np.any((length > 0) & (length < _TINY)):
            warn_of_short_rows("rf_risk", 1.0, 3)
            return 1.0
        parts = _curved_parts(mixture.modes, rows, sigma)
        if parts is not None:
            return check_risk("rf_risk", 1 - _short_rows_gain(parts, sigma, ridge, parallel), _TOO_LARGE)
    moments = feature_moments(mixture.modes, rows, sigma, parallel)
    if not moments.V.any():
        return 1.0
    spread = np.sqrt(moments.H.diagonal() + moments.V**2)
    size = np.hypot(spread, math.sqrt(ridge))
    size[size == 0] = 1
    U, V = moments.H, moments.V / size
    U /= size
    U /= size[:, None]
    U += np.outer(V, V)
    np.fill_diagonal(U, 1)  # with the ridge; a feature that is constant is by itself
    a, condition, hidden = solve_positive(U, V)
    if condition <= WELL and activation.is_quadratic and 2 * rows.size * rows.shape[1] <= _FEATURE_ENTRIES:
        risk, error = _solve_features(mixture.modes, rows, size, ridge)
    else:
        np.fill_diagonal(U, (spread / size) ** 2)
        risk = check_risk("rf_risk", 1 - 2 * float(a @ V) + float(a @ U @ a), _TOO_LARGE)
        n = len(U)
        error = 4 * EPS * float(a @ a) * (1 + 100 * n * EPS / max(condition, zero_level(1.0, n))) + min(hidden, risk)
    error += 2 * float(np.linalg.norm(a * moments.error / size))
    warn_of_rounding("risk of random features", error, PROMISE, 3)
    return risk


def feature_moments(modes: Modes, rows: Array, sigma: Activation, parallel: bool) -> FeatureMoments:
    """The moments of sigma(<w, z>) for the *rows* W A (N, k), in units of an ordinary sigma.

    Raises
    ------
    ValueError
        If the activation has no finite Gaussian moments, or a moment overflows.
    """
    from fastlazy.kernels.rf_gram import rf_gram  # which loads the compiler

    classes = [rows * spread for spread in modes.spreads]
    if sigma.is_quadratic:  # what a constant adds to x^2, an offset takes in
        square = get_activation("square")
        H, other = (rf_gram(part, square, center=True, parallel=parallel) for part in classes)
        squares = rows**2
        constant = float(sigma.known.constant or 0.0)
        mean: Array = squares.sum(axis=1) + constant
        V: Array = -(squares @ modes.delta)
        error: Array = EPS * (squares @ np.abs(modes.delta))
    else:
        H, other = (rf_gram(part, sigma, center=True, parallel=parallel) for part in classes)
        mean, V, error = _means(classes, sigma)
    H += other
    H /= 2
    return FeatureMoments(mean, H, V, error)


def _means(classes: Sequence[Array], sigma: Activation) -> tuple[Array, Array, Array]:
    """The means (N,) of the features, V (N,), and how far off that may be (N,), for the rows of both *classes*."""
    lengths = [unit_rows(part)[1] for part in classes]
    first, second = (unit_coefficients(sigma, r, 0)[:, 0] for r in lengths)
    size = np.max([np.sqrt(square_moments(sigma, r)) for r in lengths], axis=0)
    V, error = (first - second) / 2, _MEAN_ERROR * size
    V[np.abs(V) <= error / 10] = 0
    few = np.all([short(sigma, r, 0) for r in lengths], axis=0)
    V[few], error[few] = _short_gaps(sigma, *(r[few] for r in lengths))
    return (first + second) / 2, V, np.where(V == 0, 0, error)


def _short_gaps(sigma: Activation, first: Array, second: Array) -> tuple[Array, Array]:
    """V (n,) for rows of these lengths (n,) in the two classes, and its error: by the power series of sigma.

    E sigma(r G) is a sum of terms r^j E|G|^j, whose differences keep their digits however short the rows are: those of
    the means would be lost in the rounding of sigma(0).
    """
    _, even, odd, _ = power_series(sigma, 0)
    j = np.arange(1, 16)
    terms = np.where(j % 2 == 0, even[1:], odd[1:]) * 2.0 ** (j / 2) * scipy.special.gamma((j + 1) / 2)
    terms /= 2 * math.sqrt(math.pi)
    one, other = first[:, None] ** j, second[:, None] ** j
    return (one - other) @ terms, _SERIES_ERROR * (one + other) @ np.abs(terms)


class _Curved(NamedTuple):
    """Both classes of features of short rows, in units of what they have of degrees two and above."""

    rows: Sequence[Array]  # (N, k) times the standard deviations of a class
    unit: Array  # (N,) the larger one of what a feature has of these degrees in the classes
    linear: Sequence[Array]  # (N, k) the linear functions of the features
    V: Array  # (N,)


def _curved_parts(modes: Modes, rows: Array, sigma: Activation) -> _Curved | None:
    """The features of the *rows* W A (N, k), if some see so little but a line that moments would lose their digits."""
    classes = [rows * spread for spread in modes.spreads]
    polar = [unit_rows(part) for part in classes]
    whole, curved = ([expansion(sigma, r, 2, first=first) for _, r in polar] for first in (1, 2))
    size, unit = (np.max([part.scale for part in parts], axis=0) for parts in (whole, curved))
    if not (unit < SHORT * size).any():
        return None
    for part in curved:
        check_digits("rf_risk", sigma, part.doubt[part.table[:, 2] != 0])
    unit = np.where(unit > 0, unit, np.where(size > 0, size, 1))
    linear = [
        (part.scale * part.table[:, 1] / unit)[:, None] * direction
        for part, (direction, _) in zip(whole, polar, strict=True)
    ]
    _, V, error = _means(classes, sigma)
    warn_of_short_rows("rf_risk", float((error / unit).max()), 4)
    return _Curved(classes, unit, linear, V / unit)


def _short_rows_gain(parts: _Curved, sigma: Activation, ridge: float, parallel: bool) -> float:
    """What the features gain: `graded_gain` keeps their linear parts, which learn nothing, apart from the rest."""
    from fastlazy.kernels.rf_gram import rf_correlations  # which loads the compiler

    R = np.outer(parts.V, parts.V)
    for rows in parts.rows:
        correlations, expanded = rf_correlations(rows, sigma, 2, parallel)
        share = expanded.scale / parts.unit
        R += correlations * np.outer(share, share) / 2
    with np.errstate(over="ignore"):  # a feature whose penalty is infinite is not used
        penalty = ridge / parts.unit / parts.unit
    return graded_gain("rf_risk", np.column_stack(parts.linear) / math.sqrt(2), R, parts.V, penalty, 1.0)


def _solve_features(modes: Modes, rows: Array, size: Array, ridge: float) -> tuple[float, float]:
    """The risk of x^2, and by how much it may be off: least squares in the features, over their *size*.

    The variance of <z, T z> in a class of standard deviations s is 2 |s T s|_F^2, so the risk is a sum of squares of
    linear functions of a, and no condition number is squared.
    """
    j, k = np.triu_indices(rows.shape[1])
    weight = np.where(j == k, 1.0, math.sqrt(2))
    parts = [rows[:, j] * rows[:, k] * (weight * spread[j] * spread[k]) for spread in modes.spreads]
    F = np.column_stack([*parts, rows**2 @ modes.delta]) / size[:, None]
    wanted = np.zeros(F.shape[1])
    wanted[-1] = -1
    A, b = F.T, wanted
    if ridge > 0:
        A, b = np.vstack([A, np.diag(math.sqrt(ridge) / size)]), np.append(b, np.zeros(len(rows)))
    a = scipy.linalg.lstsq(A, b, cond=10 * zero_level(1.0, max(A.shape)), lapack_driver="gelsy")[0]
    residual = F.T @ a - wanted
    moved = EPS * float(np.abs(a).sum())
    return float(residual @ residual), 4 * moved * float(np.linalg.norm(residual)) + 2 * moved**2
