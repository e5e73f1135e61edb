"""The forces of neurons on each other: products of the Gram matrices of sigma and sigma' with a second layer.

For rows w_i = r_i u_i these are the sums over j of a_j times Cov(sigma_i, sigma_j), Cov(u sigma'_i, sigma_j), u =
<u_i, x>, and E[sigma'_i sigma'_j] w_j: all that the gradient of a network's risk asks of pairs of neurons.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastlazy._core import tangent as core
from fastlazy._support.arguments import Array
from fastlazy._support.threads import Team
from fastlazy.activations.activation import Activation
from fastlazy.activations.radial import RadialMoments, radial_pairs
from fastlazy.activations.rf_pairs import Indices, steep_pairs
from fastlazy.kernels.operands import Blocks, in_panels, operand, scratch, threads

K = 64  # the highest degree of the moments that go in
_TOLERANCE = 1e-15  # the sum of the terms left out, relative to the norms of both functions


class Forces(NamedTuple):
    """Sums over neurons j, each times a_j."""

    values: Array  # (N,) of Cov(sigma_i, sigma_j)
    along: Array  # (N,) of Cov(u sigma'_i, sigma_j)
    pull: Array  # (N, d) of E[sigma'_i sigma'_j] w_j but for j = i, whose part is along u_i


def forces(
    rows: tuple[Array, Array], a: Array, activation: Activation, moments: RadialMoments, parallel: bool
) -> Forces:
    """The forces on each neuron, for *rows* by directions (N, d) and lengths (N,) and a second layer *a* (N,).

    Raises
    ------
    ValueError
        If the moments of two rows do not converge.
    """
    unit, r = rows
    N, d = unit.shape
    with threads(2 * N * N * d, parallel) as together:
        blocks, cut = _fill(together, unit, moments)
        neurons = np.arange(N)
        _set(blocks, neurons, neurons, np.stack([*own_covariances(moments), np.zeros(N)]))
        if cut < 1:
            for i, j, theta in steep_pairs(unit, cut):
                _fill_steep(blocks, (i, j, theta), r, activation, moments)
        layer = np.zeros(blocks.A.shape[1])
        layer[:N] = a
        along, values = ((layer @ part).reshape(-1)[:N] for part in (blocks.A, blocks.own))
        slopes = blocks.cross.transpose(0, 2, 1).reshape(-1, blocks.cross.shape[1])[:N, :N]
        pull = np.empty((N, d))
        product = Blocks(together, pull, symmetric=False)
        weighted = (a * r)[:, None] * unit
        product.add(operand(together, slopes), operand(together, weighted.T))
    return Forces(values, along, pull)


def _fill(together: Team, unit: Array, moments: RadialMoments) -> tuple[core.Coefficients, float]:
    """The three matrices off the diagonal, and the |cosine| beyond which they are not good, or 1 if there is none.

    They take the places A, own and cross of the tangent model's coefficients, the fourth of which is left out.
    """
    unit_operand = operand(together, unit)
    values = moments.values.copy()
    values[:, 0] = 0  # covariances
    nothing = np.zeros_like(values)
    # With their places swapped, entry (i, j) is left of j times right of i.
    left = np.stack([values, moments.slopes, nothing])
    right = np.stack([in_panels(table, unit_operand) for table in (moments.along, moments.slopes, values)])
    width = unit_operand.shape[2]
    blocks = core.allocate_coefficients(len(unit), width, unit.dtype)
    spaces = scratch(together, width, unit.dtype)
    steep = np.zeros(len(spaces), np.int64)
    cuts = _cuts(moments)
    together(core.fill_coefficients, unit_operand, left, right, cuts, spaces, blocks, steep)
    return blocks, float(cuts[-1]) if steep.any() else 1.0


def own_covariances(moments: RadialMoments) -> tuple[Array, Array]:
    """Cov(G sigma', sigma) and Var sigma of each row, (N,) each: by sums, as squares less means would lose digits."""
    values, along, squares = moments.values, moments.along, moments.squares
    sizes = np.sqrt(squares[2] * squares[0]), squares[0]
    covariances = []
    for table, whole, size in zip((along, values), (moments.own, squares[0]), sizes, strict=True):
        products = table * values
        rest = whole - products.sum(axis=1)
        rest[np.abs(rest) < 1e-14 * size] = 0  # differences that small are rounding
        covariances.append(products[:, 1:].sum(axis=1) + rest)
    return covariances[0], covariances[1]


def _cuts(moments: RadialMoments) -> Array:
    """The |cosines| up to which 1, 2, ..., K + 1 terms are enough: by Cauchy and Schwarz, from what squares lack."""
    share = np.zeros(K + 1)
    for table, squares in zip(moments[:3], moments.squares, strict=True):
        rest = np.maximum(squares - np.sum(table**2, axis=1), 0)
        rest[rest < 1e-14 * squares] = 0  # differences that small are rounding
        later = rest[:, None] + np.pad(np.cumsum(table[:, :0:-1] ** 2, axis=1)[:, ::-1], ((0, 0), (0, 1)))
        share = np.maximum(share, np.max(later / np.where(squares > 0, squares, 1)[:, None], axis=0))
    with np.errstate(divide="ignore"):
        cuts = np.minimum((_TOLERANCE / share) ** (1 / np.arange(1, K + 2)), 1.0)
    return np.maximum.accumulate(cuts)


def _fill_steep(
    blocks: core.Coefficients,
    pairs: tuple[Indices, Indices, Array],
    r: Array,
    activation: Activation,
    moments: RadialMoments,
) -> None:
    """Set the entries of *pairs* i, j of rows at angles theta, in place."""
    i, j, theta = pairs
    numbers = radial_pairs(activation, r[i], r[j], theta)
    mean, along = moments.values[:, 0], moments.along[:, 0]
    values = numbers[0] - mean[i] * mean[j]
    _set(blocks, i, j, np.stack([numbers[1] - along[i] * mean[j], values, numbers[3]]))
    _set(blocks, j, i, np.stack([numbers[2] - along[j] * mean[i], values, numbers[3]]))


def _set(blocks: core.Coefficients, i: Indices, j: Indices, numbers: Array) -> None:
    """Set entries (i, j) to *numbers* (3, m): of G sigma' and sigma, of sigma, of sigma'; in place."""
    width = blocks.own.shape[2]
    for part, values in zip((blocks.A, blocks.own, blocks.cross), numbers, strict=True):
        part[i // width, j, i % width] = values
