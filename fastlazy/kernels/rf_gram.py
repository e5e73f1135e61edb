"""Population Gram matrices of random features for any non-linearity (Mehler's formula)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._core import gram as core
from fastlazy._core.series import fill_series
from fastlazy._support.arguments import Array, check_array, check_flag
from fastlazy._support.threads import Team
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import ActivationLike, check_activation
from fastlazy.activations.moments import expansion
from fastlazy.activations.rf_pairs import pair_correlations, steep_pairs, unit_rows
from fastlazy.activations.short_rows import Expansion
from fastlazy.activations.units import in_own_unit, times_power
from fastlazy.kernels.operands import (
    Blocks,
    check_out,
    dtype_of,
    in_panels,
    operand,
    scratch,
    threads,
)


def rf_gram(
    W: ArrayLike,
    activation: ActivationLike = "square",
    *,
    center: bool = False,
    out: Array | None = None,
    parallel: bool = True,
) -> Array:
    """Population Gram matrix of random features, U_ij = E[sigma(<w_i, x>) sigma(<w_j, x>)], x ~ N(0, I).

    Parameters
    ----------
    W : array_like, shape (N, d)
        First-layer weights, one neuron per row. float32 gives a float32 result, all else float64.
    activation : str, Activation or function
        The non-linearity sigma.
    center : bool
        Whether the fitted offset is taken out: covariances, U_ij - E[sigma(<w_i, x>)] E[sigma(<w_j, x>)].
    out : ndarray, shape (N, N), optional
        Where to write the result, of its dtype, C-contiguous; a memory map, for example.
    parallel : bool
        False: on the calling thread alone, for use inside sweeps.

    Returns
    -------
    ndarray, shape (N, N)
        Symmetric to the bit. For x^2: 2 <w_i, w_j>^2, and |w_i|^2 |w_j|^2 more unless centred.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array or so large that an entry overflows, the activation is not known or has no
        finite Gaussian moments, or out does not fit.

    Notes
    -----
    For a general sigma the sum over k of h_k(|w_i|) h_k(|w_j|) cos^k / k! (Mehler's formula), with an error of
    about 1e-13 relative to the roots of the diagonal; nearly parallel and opposite rows by closed forms or integrals.

    References
    ----------
    arXiv:1906.08899, the class RF of eq. (1).

    Examples
    --------
    >>> import fastlazy
    >>> fastlazy.rf_gram([[1.0, 0.0], [0.0, 2.0]], "relu", center=True).round(3)
    array([[0.341, 0.   ],
           [0.   , 1.363]])
    >>> fastlazy.rf_gram([[1.0, 0.0], [0.0, 2.0]])  # of x^2: E G^4 = 3 on the diagonal of a row of length one
    array([[ 3.,  4.],
           [ 4., 48.]])
    """
    dtype = dtype_of(W)
    weights = check_array("W", W, 2, dtype)
    sigma = check_activation(activation)
    N, d = weights.shape
    centred = check_flag("center", center)
    result = check_out(out, (N, N), dtype)
    with threads(N * N * d / 2, parallel) as together:
        if sigma.is_square:
            norms = np.zeros(0, dtype) if centred else np.einsum("ij,ij->i", weights, weights)
            W_operand = operand(together, weights)
            blocks = Blocks(together, result, symmetric=True)
            blocks.add(W_operand, W_operand, how=core.SQUARED, scale=2.0, shift=norms)
            overflown = blocks.failed
        else:
            sigma, exponent = in_own_unit(sigma)
            fill_rf_gram(together, weights, sigma, centred, result)
            if exponent:
                result[...] = times_power(result, 2 * exponent)
            overflown = not np.isfinite(result.diagonal()).all()
    if overflown:
        raise ValueError(f"rf_gram overflows {dtype} for rows of W of size {np.abs(weights).max():.3g}; divide W first")
    return result


_TERMS = 64


# The sum of the terms left out, relative to the norms of both features.
_TOLERANCE = {np.dtype(np.float64): 1e-15, np.dtype(np.float32): 1e-8}


def fill_rf_gram(together: Team, W: Array, activation: Activation, center: bool, out: Array) -> None:
    """Fill *out* (N, N) with E[sigma(<w_i, x>) sigma(<w_j, x>)], less the product of the means if centred, in place."""
    unit, r = unit_rows(W)
    first = 1 if center else 0
    expanded = expansion(activation, r, _TERMS, first=first)
    fill_products(together, (unit, r), activation, first, expanded, expanded.scale, out)


def _lowest(table: Array, tolerance: float) -> int:
    """The degree from which on the features (N, K), of norms up to 1, have every second degree alone: 2, 1, or 0.

    It is 2 for an even function and a linear one, 1 for an odd one and a constant, 0 for others. A degree of size s
    adds s^2 at most.
    """
    absent = np.abs(table).max(axis=0) ** 2 * table.shape[1] < tolerance
    return next((low for low in (2, 1) if absent[low + 1 :: 2].all()), 0)


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
    # By Cauchy and Schwarz, an entry summed to degree k lacks at most the sum of hn_j^2 over j > k, times cos^(k + 1).
    later = np.cumsum(table[:, :0:-1] ** 2, axis=1)[:, ::-1]
    share = np.max(expanded.rest[:, None] + np.pad(later, ((0, 0), (0, 1))), axis=0)
    terms = np.arange(1, _TERMS + 2)
    with np.errstate(divide="ignore", over="ignore"):
        cuts = np.minimum((_TOLERANCE[out.dtype] / share) ** (1 / terms), 1.0)
    cuts = np.maximum.accumulate(cuts)
    unit_operand = operand(together, unit.astype(out.dtype))
    coefficients = scale[:, None] * table
    right = in_panels(coefficients, unit_operand)
    blocks = scratch(together, unit_operand.shape[2], out.dtype)
    steep = np.zeros(len(blocks), np.int64)
    left, low = coefficients.astype(out.dtype), _lowest(table, _TOLERANCE[out.dtype])
    together(fill_series, unit_operand, left, right, cuts.astype(out.dtype), low, blocks, steep, out)
    with np.errstate(over="ignore"):  # the caller looks for infinities
        np.fill_diagonal(out, scale**2)
    if steep.any() and cuts[-1] < 1:
        for i, j, theta in steep_pairs(unit, float(cuts[-1])):
            with np.errstate(over="ignore"):  # the caller looks for infinities
                values = scale[i] * scale[j] * pair_correlations(activation, r[i], r[j], theta, first)
            out[i, j] = values
            out[j, i] = values
