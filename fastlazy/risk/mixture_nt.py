"""The exact risk of the neural tangent model for a mixture of two Gaussians, and any non-linearity.

In the modes x = A z of the mixture the features sigma'(<w_i, x>) x with coefficients b are sigma'(<u_i, z>) z with
coefficients b A, u_i the rows of W A. Their moments in both classes are those of `fastlazy.risk.nt_classes`, and the
risk of these moments is in `fastlazy.risk.mixture`.
"""

from __future__ import annotations

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy._support.blas import same_bits
from fastlazy._support.singular import distinct_rows
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import get_activation
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.activations.units import in_own_unit, ridge_in_unit
from fastlazy.risk.inputs import rows_through
from fastlazy.risk.mixture_nt_square import square_risk
from fastlazy.risk.nt_classes import best_risk, square_rows, tangent_features
from fastlazy.targets.mixture import GaussianMixture, Modes


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
        rows, modes = rows_through(mixture.modes.A, W), mixture.modes
        if activation.is_quadratic:
            if ridge == 0:
                return square_risk(modes, rows, max_iterations)
            activation, rows = get_activation("square"), rows_through(modes.A, square_rows(W))
        if ridge == 0:
            if activation.degree is not None:  # a length multiplies features by a number, which no risk sees
                rows = unit_rows(rows)[0]
            rows = distinct_rows(rows)
        sigma, exponent = in_own_unit(activation)
        ridge = ridge_in_unit(ridge, exponent)
        frame: Array | None = None if ridge == 0 else np.asarray(np.linalg.qr(modes.A, mode="r"))
        features = tangent_features(modes.spreads, rows, sigma, frame, parallel)
        return best_risk(features, features.between, 1.0, rows, sigma, ridge, tolerance, max_iterations, parallel)


def class_moments(
    modes: Modes, rows: Array, sigma: Activation, moves: Array, parallel: bool
) -> tuple[tuple[float, float], float, float]:
    """Of f = sum_i <b_i, z> sigma'(<u_i, z>): both classes' means, their mean variance, and that one's error.

    The *rows* are the u_i, and the *moves* the b_i, both (N, k).
    """
    features = tangent_features(modes.spreads, rows, sigma, None, parallel)
    inner = [(part, moves * part.spread) for part in features.classes]
    first, second = (float(np.vdot(part.mean, b)) for part, b in inner)
    within = sum(float(np.vdot(b, part.product(b))) / 2 for part, b in inner)
    return (first, second), within, features.rounding(moves)
