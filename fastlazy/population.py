"""Population Gram matrices of random features for any non-linearity (Mehler's formula)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastlazy._blocks import operand, room
from fastlazy._core.series import fill_series
from fastlazy._validate import Array
from fastlazy.activations import Activation
from fastlazy.hermite import hermite_coefficients, square_moments
from fastlazy.pairs import pair_moments

_TERMS = 64
_TOLERANCE = {np.dtype(np.float64): 1e-15, np.dtype(np.float32): 1e-8}  # of a term left out, relative to norms
_ROWS = 1024  # at a time, where pairs are looked for


def fill_rf_gram(together: Callable[..., None], W: Array, activation: Activation, center: bool, out: Array) -> None:
    """Fill *out* (N, N) with E[sigma(<w_i, x>) sigma(<w_j, x>)], less the product of the means if centred, in place.

    The sum over k of hn_k(r_i) hn_k(r_j) cos^k, with as many terms as a cosine needs; pairs for which 64 are not
    enough, and the diagonal, by themselves.
    """
    rows = W.astype(np.float64)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = rows / np.where(largest > 0, largest, 1)  # first to order one: squares neither over- nor underflow
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit, r = scaled / np.where(norms > 0, norms, 1), (norms * largest)[:, 0]
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
    panels, _, width = unit_operand.panels.shape
    columns = np.zeros((panels * width, _TERMS + 1))
    columns[: len(r)] = coefficients
    right = np.ascontiguousarray(columns.reshape(panels, width, -1).transpose(0, 2, 1), out.dtype)
    blocks = room(width, out.dtype)
    steep = np.zeros(len(blocks), np.int64)
    together(
        fill_series, unit_operand, coefficients.astype(out.dtype), right, cuts.astype(out.dtype), blocks, steep, out
    )
    np.fill_diagonal(out, squares - means**2 if center else squares)
    if steep.any():
        _fill_steep(activation, unit, r, means if center else np.zeros_like(r), float(cuts[-1]), out)


def _fill_steep(activation: Activation, unit: Array, r: Array, means: Array, cut: float, out: Array) -> None:
    """Fill the entries of *out* whose |cosine| is beyond the *cut*, in place."""
    for start in range(0, len(unit), _ROWS):
        block = unit[start : start + _ROWS]
        cosine = block @ unit[: start + len(block)].T
        i, j = np.nonzero(np.abs(cosine) > cut * (1 - 1e-6))
        i += start
        i, j = i[j < i], j[j < i]
        if len(i):
            same = np.linalg.norm(unit[i] - unit[j], axis=1)
            opposite = np.linalg.norm(unit[i] + unit[j], axis=1)
            theta = 2 * np.arctan2(same, opposite)
            values = pair_moments(activation, r[i], r[j], theta) - means[i] * means[j]
            out[i, j] = values
            out[j, i] = values
