"""The exact risk of a given network, or of a given tangent model, for a mixture of two Gaussians.

With the classes' moments of its features it is (1 - <a, V>)^2 + <a, H a> + (mean of f)^2 (`fastlazy.risk.mixture`); for
f = <x, S x> + c: (1 + <S, Delta>)^2 + 2 tr(S Sigma S Sigma) + 2 tr(S Delta S Delta) + (<S, Sigma> + c)^2.
"""

from __future__ import annotations

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy._support.blas import same_bits
from fastlazy._support.rounding import check_finite, check_size
from fastlazy._support.singular import EPS
from fastlazy.activations.activation import Activation
from fastlazy.activations.units import in_own_unit, times_power
from fastlazy.risk.inputs import rows_through
from fastlazy.risk.mixture_rf import feature_moments
from fastlazy.risk.projections import symmetric_form
from fastlazy.targets.mixture import GaussianMixture

_TOO_LARGE = "W, the coefficients, the offset, Sigma or Delta are too large; divide them by a number"


def network_risk(
    mixture: GaussianMixture, W: Array, a: Array, c: float, activation: Activation, parallel: bool
) -> tuple[float, float]:
    """The risk of sum_i a_i sigma(<w_i, x>) + c for checked arguments, and what rounding may have done to it."""
    with same_bits(*W.shape), np.errstate(over="ignore", invalid="ignore"):  # check_finite looks for infinities
        rows = rows_through(mixture.modes.A, W)
        if activation.is_square:
            return _form_risk("network_risk", mixture, symmetric_form(rows, a), c), 0.0
        check_size(rows, 1e150, "argument of sigma by its inverse")
        sigma, exponent = in_own_unit(activation)
        layer = times_power(a, exponent)
        moments = feature_moments(mixture.modes, rows, sigma, parallel)
        within = max(float(layer @ moments.H @ layer), 0.0)
        gap, mean = 1 - float(layer @ moments.V), float(layer @ moments.mean) + c
        rounding = 4 * EPS * float(np.sum(layer**2 * moments.H.diagonal()))
    return check_finite("network_risk", gap * gap + within + mean * mean, _TOO_LARGE), rounding


def tangent_risk(
    mixture: GaussianMixture, W: Array, b: Array, c: float, activation: Activation, parallel: bool
) -> tuple[float, float]:
    """The risk of sum_i <b_i, x> sigma'(<w_i, x>) + c for checked arguments, and what rounding may have done to it."""
    with same_bits(*W.shape), np.errstate(over="ignore", invalid="ignore"):  # check_finite looks for infinities
        rows, moves = rows_through(mixture.modes.A, W), b @ mixture.modes.A
        if activation.is_square:
            S = moves.T @ rows
            return _form_risk("tangent_risk", mixture, S + S.T, c), 0.0
        from fastlazy.risk.mixture_nt import class_moments  # which loads the compiler

        sigma, exponent = in_own_unit(activation)
        moves = times_power(moves, exponent)
        (first, second), within, rounding = class_moments(mixture.modes, rows, sigma, moves, parallel)
        gap, mean = 1 - (first - second) / 2, (first + second) / 2 + c
    return check_finite("tangent_risk", gap * gap + max(within, 0.0) + mean * mean, _TOO_LARGE), rounding


def _form_risk(name: str, mixture: GaussianMixture, T: Array, c: float) -> float:
    """The risk of <z, T z> + c in the modes."""
    delta = mixture.modes.delta
    gap, mean = 1 + float(T.diagonal() @ delta), float(np.trace(T)) + c
    within = 2 * float(np.sum(T**2 * (1 + np.outer(delta, delta))))
    return check_finite(name, gap * gap + within + mean * mean, _TOO_LARGE)
