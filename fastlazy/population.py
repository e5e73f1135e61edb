"""Population Gram matrices of random features for any non-linearity (Mehler's formula)."""

from __future__ import annotations

import numpy as np

from fastlazy._blocks import in_panels, operand, scratch, threads
from fastlazy._core.series import fill_series
from fastlazy._team import Team
from fastlazy._validate import Array
from fastlazy.activations import Activation
from fastlazy.hermite import expansion
from fastlazy.pairs import pair_correlations, steep_pairs, unit_rows
from fastlazy.short_rows import Expansion

_TERMS = 64
_TOLERANCE = {np.dtype(np.float64): 1e-15, np.dtype(np.float32): 1e-8}  # of a term left out, relative to norms


def fill_rf_gram(together: Team, W: Array, activation: Activation, center: bool, out: Array) -> None:
    """Fill *out* (N, N) with E[sigma(<w_i, x>) sigma(<w_j, x>)], less the product of the means if centred, in place."""
    unit, r = unit_rows(W)
    first = 1 if center else 0
    expanded = expansion(activation, r, _TERMS, first=first)
    fill_products(together, (unit, r), activation, first, expanded, expanded.scale, out)


def rf_correlations(W: Array, activation: Activation, first: int, parallel: bool) -> tuple[Array, Expansion]:
    """Correlations (N, N) of what features have of degrees >= *first*, and the expansion of sigma at their lengths.

    They are as good for rows of any length. The diagonal of a feature that has nothing of such a degree is zero.
    """
    unit, r = unit_rows(W)
    expanded = expansion(activation, r, _TERMS, first=first)
    result = np.empty((len(r), len(r)))
    with threads(len(r) * W.size / 2, parallel) as together:
        fill_products(together, (unit, r), activation, first, expanded, expanded.present(first).astype(float), result)
    return result, expanded


def fill_products(
    together: Team,
    rows: tuple[Array, Array],
    activation: Activation,
    first: int,
    expanded: Expansion,
    scale: Array,
    out: Array,
) -> None:
    """Fill *out* (N, N) with the correlations times scale_i scale_j, in place; rows by directions and lengths.

    The sum over k of hn_k(r_i) hn_k(r_j) cos^k, with as many terms as a cosine needs; pairs for which 64 are not
    enough, and the diagonal, by themselves.
    """
    unit, r = rows
    table = expanded.table.copy()
    table[:, :first] = 0
    # What is left of the squares after k terms bounds what an entry lacks, by Cauchy and Schwarz.
    later = np.cumsum(table[:, :0:-1] ** 2, axis=1)[:, ::-1]
    share = np.max(expanded.rest[:, None] + np.pad(later, ((0, 0), (0, 1))), axis=0)
    terms = np.arange(1, _TERMS + 2)
    with np.errstate(divide="ignore"):
        cuts = np.minimum((_TOLERANCE[out.dtype] / share) ** (1 / terms), 1.0)
    cuts = np.maximum.accumulate(cuts)
    unit_operand = operand(together, unit.astype(out.dtype))
    coefficients = scale[:, None] * table
    right = in_panels(coefficients, unit_operand)
    blocks = scratch(together, unit_operand.panels.shape[2], out.dtype)
    steep = np.zeros(len(blocks), np.int64)
    together(
        fill_series, unit_operand, coefficients.astype(out.dtype), right, cuts.astype(out.dtype), blocks, steep, out
    )
    with np.errstate(over="ignore"):  # looked for by the caller
        np.fill_diagonal(out, scale**2)
    if steep.any() and cuts[-1] < 1:
        for i, j, theta in steep_pairs(unit, float(cuts[-1])):
            with np.errstate(over="ignore"):  # as above
                values = scale[i] * scale[j] * pair_correlations(activation, r[i], r[j], theta, first)
            out[i, j] = values
            out[j, i] = values
