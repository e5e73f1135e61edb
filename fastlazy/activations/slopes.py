"""What the tangent model asks of sigma' at the rows of W, gathered once for its Gram matrix, covariances and risk."""

from __future__ import annotations

from typing import NamedTuple

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import expansion, square_moments, unit_coefficients
from fastlazy.activations.nt_pairs import block_moments
from fastlazy.activations.rf_pairs import Indices, unit_rows
from fastlazy.activations.short_rows import Expansion

_VARYING = 17  # the highest degree of *varying*: short rows see a power series of 16 terms


class Slopes(NamedTuple):
    """Rows of W in polar form, and moments of sigma'(r G), G ~ N(0, 1), at their lengths r."""

    activation: Activation
    unit: Array  # (N, d) directions of the rows
    r: Array  # (N,) their lengths
    g: Array  # (N, K + 1) Hermite coefficients E[sigma'(r G) He_k(G)] / sqrt(k!)
    squares: Array  # (N,) E sigma'(r G)^2
    along: Array  # (N,) E sigma'(r G)^2 G^2
    varying: Expansion  # coefficients in units of what degrees one and above hold, which keeps digits of short rows

    def steep_blocks(self, i: Indices, j: Indices, theta: Array) -> Array:
        """The numbers (4, m) of the blocks (i, j) of the Gram matrix, of rows at angles theta (m,): `block_moments`."""
        return block_moments(self.activation, self.r[i], self.r[j], theta)


def slopes_at(W: Array, activation: Activation, K: int) -> Slopes:
    """What sigma' is at the rows of W (N, d), with K + 1 Hermite coefficients.

    Raises
    ------
    ValueError
        If sigma jumps, its derivative is wrong, or its Gaussian moments do not converge or overflow.
    """
    unit, r = unit_rows(W)
    squares, along = (square_moments(activation, r, derivative=1, power=power) for power in (0, 2))
    return Slopes(
        activation,
        unit,
        r,
        unit_coefficients(activation, r, K, derivative=1),
        squares,
        along,
        expansion(activation, r, _VARYING, first=1, derivative=1),
    )
