"""The exact risk of the tangent model with a ridge, for a quadratic target whose inputs have a covariance.

The ridge is on the coefficients of x, not on those of z, x = A z. Without one the whitened problem has the same risk.
"""

from __future__ import annotations

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy._support.blas import same_bits
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import get_activation
from fastlazy.activations.units import in_own_unit, ridge_in_unit
from fastlazy.risk.inputs import rows_through
from fastlazy.risk.nt_classes import best_risk, square_rows, tangent_features
from fastlazy.risk.nt_solver import target_covariances
from fastlazy.targets.quadratic import QuadraticFunction, QuadraticTarget, scaled


def nt_risk(
    target: QuadraticTarget,
    W: Array,
    activation: Activation,
    ridge: float,
    tolerance: float,
    max_iterations: int,
    parallel: bool,
) -> float:
    """The risk of the best tangent model for checked arguments, as the public `nt_risk` describes it."""
    assert target.root is not None
    with same_bits(W.size, 1):
        size, unit = scaled(target.whitened)
        if activation.is_quadratic:
            activation, W = get_activation("square"), square_rows(W)
        rows = rows_through(target.root, W)
        sigma, exponent = in_own_unit(activation)
        ridge = ridge_in_unit(ridge, exponent)
        frame = np.asarray(np.linalg.qr(target.root, mode="r"))
        features = tangent_features([np.ones(len(frame))], rows, sigma, frame, parallel)
        (part,) = features.classes
        V = features.back(part, target_covariances(part.g, QuadraticFunction(unit.B), part.unit))
        risk = best_risk(features, V, unit.null_risk, rows, sigma, ridge, tolerance, max_iterations, parallel)
        return size**2 * risk
