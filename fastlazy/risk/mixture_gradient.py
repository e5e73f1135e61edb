"""The gradient of a network's population risk for a mixture of two Gaussians, exact for any non-linearity.

In the modes of the mixture the rows are R = W A. For sigma = x^2, with S = R^T diag(a) R, D = diag(delta),
g = 1 + <S, D> and m the mean of the network, the risk is g^2 + 2 |S|^2 + 2 tr(S D S D) + m^2. With
M = 2 (S + D S D) + g D + m its gradient in r_i is 4 a_i M r_i, that in a_i 2 <r_i, M r_i>, and that in c 2 m.

For any other sigma, y = 1 or -1 is a constant within a class, and the inputs of a class are standard normal if the
rows are multiplied by its standard deviations. So the gradient is the mean of two of those of
`fastlazy.risk.gradient`.
"""

from __future__ import annotations

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy._support.blas import same_bits
from fastlazy.activations.activation import Activation
from fastlazy.risk.gradient import Gradient, population_gradient, weighted_form
from fastlazy.targets.mixture import Modes
from fastlazy.targets.quadratic import QuadraticFunction


def class_gradient(
    modes: Modes, rows: Array, a: Array, c: float, activation: Activation, parallel: bool = True
) -> Gradient:
    """The gradient at checked *rows* W A (N, k), in these rows, the second layer a (N,) and the offset c.

    Numbers are infinite or NaN where they overflow.

    Raises
    ------
    ValueError
        If sigma jumps or its Gaussian moments do not converge or overflow.
    """
    with same_bits(*rows.shape), np.errstate(over="ignore", invalid="ignore"):
        if activation.is_square:
            return _square_gradient(modes.delta, rows, a, c)
        risk, in_rows, in_a, in_c = 0.0, np.zeros_like(rows), np.zeros(len(rows)), 0.0
        for y, spread in zip((1.0, -1.0), modes.spreads, strict=True):
            constant = QuadraticFunction(np.zeros(len(spread)), y)
            part = population_gradient(constant, rows * spread, a, c, activation, parallel)
            risk += part.risk / 2
            in_rows += part.W * (spread / 2)
            in_a += part.a / 2
            in_c += part.c / 2
        return Gradient(risk, in_rows, in_a, in_c)


def _square_gradient(delta: Array, R: Array, a: Array, c: float) -> Gradient:
    squares = R**2
    gap, mean = 1 + float(a @ (squares @ delta)), float(a @ squares.sum(axis=1)) + c
    if R.shape[1] > len(R):
        scaled, weighted = R * delta, a[:, None] * R
        gram, other = R @ R.T, scaled @ R.T
        within = 2 * float(a @ (gram**2 + other**2) @ a)
        moved = 2 * (gram @ weighted + (other @ weighted) * delta) + gap * scaled + mean * R
    else:
        S = weighted_form(R, a)
        M = 2 * S * (1 + np.outer(delta, delta))
        within = float(np.vdot(S, M))
        M.flat[:: len(M) + 1] += gap * delta + mean
        moved = R @ M
    in_a = 2 * np.einsum("ij,ij->i", R, moved)
    moved *= 4 * a[:, None]
    return Gradient(gap * gap + within + mean * mean, moved, in_a, 2 * mean)
