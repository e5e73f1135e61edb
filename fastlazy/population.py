"""Population Gram matrices of random features for any non-linearity (Mehler's formula)."""

from __future__ import annotations

import numpy as np

from fastlazy._blocks import in_panels, operand, scratch
from fastlazy._core.series import fill_series
from fastlazy._team import Team
from fastlazy._validate import Array
from fastlazy.activations import Activation
from fastlazy.hermite import hermite_coefficients, square_moments
from fastlazy.pairs import pair_moments, steep_pairs, unit_rows

_TERMS = 64
_TOLERANCE = {np.dtype(np.float64): 1e-15, np.dtype(np.float32): 1e-8}  # of a term left out, relative to norms


def fill_rf_gram(together: Team, W: Array, activation: Activation, center: bool, out: Array) -> None:
    """Fill *out* (N, N) with E[sigma(<w_i, x>) sigma(<w_j, x>)], less the product of the means if centred, in place.

    The sum over k of hn_k(r_i) hn_k(r_j) cos^k, with as many terms as a cosine needs; pairs for which 64 are not
    enough, and the diagonal, by themselves.
    """
    unit, r = unit_rows(W)
    coefficients, squares = hermite_coefficients(activation, r, _TERMS), square_moments(activation, r)
    # What is left of E sigma^2 after k terms bounds what an entry lacks, by Cauchy and Schwarz.
    tails = squares[:, None] - np.cumsum(coefficients**2, axis=1)
    share = np.max(np.maximum(tails, 0) / np.where(squares > 0, squares, 1)[:, None], axis=0)
    terms = np.arange(1, _TERMS + 2)
    with np.errstate(divide="ignore"):
        cuts = np.minimum((_TOLERANCE[out.dtype] / share) ** (1 / terms), 1.0)
    cuts = np.maximum.accumulate(cuts)
    means = coefficients[:, 0].copy()
    if center:
        coefficients[:, 0] = 0
    unit_operand = operand(together, unit.astype(out.dtype))
    right = in_panels(coefficients, unit_operand)
    blocks = scratch(together, unit_operand.panels.shape[2], out.dtype)
    steep = np.zeros(len(blocks), np.int64)
    together(
        fill_series, unit_operand, coefficients.astype(out.dtype), right, cuts.astype(out.dtype), blocks, steep, out
    )
    np.fill_diagonal(out, squares - means**2 if center else squares)
    if steep.any():
        _fill_steep(activation, unit, r, means if center else np.zeros_like(r), float(cuts[-1]), out)


def _fill_steep(activation: Activation, unit: Array, r: Array, means: Array, cut: float, out: Array) -> None:
    """Fill the entries of *out* whose |cosine| is beyond the *cut*, in place."""
    for i, j, theta in steep_pairs(unit, cut):
        values = pair_moments(activation, r[i], r[j], theta) - means[i] * means[j]
        out[i, j] = values
        out[j, i] = values
