"""Kernels of infinitely many neurons between samples: what `rf_kernel` and `nt_kernel` tend to for rows N(0, cov).

For a row w the numbers <w, x> and <w, y> are normals r u and s v with r^2 = <x, cov x>, s^2 = <y, cov y> and
E[u v] = cos(theta) = <x, cov y> / (r s), so that

    RF    k(x, y) = E[sigma(r u) sigma(s v)]
    NT    k(x, y) = <x, y> E[sigma'(r u) sigma'(s v)]

They are taken from the closed form that the activation's row names; where it names none, from Mehler's series, which
ends by itself for a polynomial, and for pairs of samples that are nearly parallel or opposite from the integrals of
`fastlazy.activations.rf_pairs` and `nt_pairs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_array, check_columns
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import ActivationLike, check_activation
from fastlazy.activations.closed_forms import PairMoments
from fastlazy.activations.moments import expansion, unit_coefficients
from fastlazy.activations.nt_pairs import block_moments
from fastlazy.activations.rf_pairs import Indices, pair_moments, unit_rows
from fastlazy.activations.units import in_own_unit, times_power
from fastlazy.kernels.operands import dtype_of
from fastlazy.targets.weights import cov_spectrum

Rows: TypeAlias = tuple[Array, Array]
"""Directions (n, d) and lengths (n,)."""

_TERMS = 64  # of Mehler's series
_TOLERANCE = 1e-15  # the sum of the terms left out, relative to the norms of both features
_ENTRIES = 1 << 20  # pairs of samples at a time, to save memory
_FLAT = 0.9  # the |cosine| up to which it has all digits of its angle


def rf_kernel_limit(
    X: ArrayLike, activation: ActivationLike = "square", *, Y: ArrayLike | None = None, cov: ArrayLike | None = None
) -> Array:
    """Random features kernel of infinitely many neurons, k(x, y) = E[sigma(<w, x>) sigma(<w, y>)], w ~ N(0, cov).

    Parameters
    ----------
    X : array_like, shape (n, d)
        Samples, one per row. If X and Y are float32 so is the result, else float64.
    activation : str, Activation or function
        The non-linearity sigma.
    Y : array_like, shape (m, d), optional
        Other samples; X itself if it is not given.
    cov : array_like, shape (d, d) or (d,), optional
        Covariance of a row of W, or the diagonal of one; default I/d, as `draw_weights` has it.

    Returns
    -------
    ndarray, shape (n, m)
        Symmetric to the bit without Y. With an error of about 1e-13 sqrt(k(x, x) k(y, y)).

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, an entry overflows, the activation is not known or has no finite
        Gaussian moments, or cov is no covariance.

    See Also
    --------
    rf_kernel : For given weights; it tends to this for many.

    References
    ----------
    Cho and Saul, Kernel methods for deep learning (2009), for step and relu; Williams, Computing with infinite networks
    (1996), for erf; Mehler's formula for any sigma.

    Examples
    --------
    >>> from fastlazy import rf_kernel_limit
    >>> rf_kernel_limit([[1.0, 0.0], [0.0, 1.0]], "relu").round(4)
    array([[0.25  , 0.0796],
           [0.0796, 0.25  ]])
    """
    return _kernel("rf_kernel_limit", X, activation, Y, cov, 0)


def nt_kernel_limit(
    X: ArrayLike, activation: ActivationLike = "square", *, Y: ArrayLike | None = None, cov: ArrayLike | None = None
) -> Array:
    """Neural tangent kernel of infinitely many neurons, k(x, y) = <x, y> E[sigma'(<w, x>) sigma'(<w, y>)].

    The kernel of the first-layer weights w ~ N(0, cov), second layer 1. With both layers, the second of N(0, 1), it is
    the sum of this one and `rf_kernel_limit`.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Samples, one per row. If X and Y are float32 so is the result, else float64.
    activation : str, Activation or function
        The non-linearity sigma, without jumps.
    Y : array_like, shape (m, d), optional
        Other samples; X itself if it is not given.
    cov : array_like, shape (d, d) or (d,), optional
        Covariance of a row of W, or the diagonal of one; default I/d, as `draw_weights` has it.

    Returns
    -------
    ndarray, shape (n, m)
        Symmetric to the bit without Y. With an error of about 1e-13 sqrt(k(x, x) k(y, y)).

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, an entry overflows, the activation is not known, jumps or has no
        finite Gaussian moments, or cov is no covariance.

    See Also
    --------
    nt_kernel : For given weights; it tends to this for many.

    References
    ----------
    Jacot, Gabriel, Hongler, Neural tangent kernel (2018), for one hidden layer; arXiv:1906.08899, the class NT of
    eq. (1).

    Examples
    --------
    >>> from fastlazy import nt_kernel_limit
    >>> nt_kernel_limit([[1.0, 0.0], [1.0, 1.0]], "relu").round(4)
    array([[0.5  , 0.375],
           [0.375, 1.   ]])
    """
    return _kernel("nt_kernel_limit", X, activation, Y, cov, 1)


def _kernel(
    name: str, X: ArrayLike, activation: ActivationLike, Y: ArrayLike | None, cov: ArrayLike | None, derivative: int
) -> Array:
    """The kernel of sigma, or of sigma' times <x, y>, (n, m)."""
    sigma, exponent = in_own_unit(check_activation(activation))
    dtype = dtype_of(X) if Y is None else dtype_of(X, Y)
    samples = check_array("X", X, 2)
    others = samples if Y is None else check_columns("Y", check_array("Y", Y, 2), samples.shape[1], of="X")
    variances, basis = cov_spectrum(cov, samples.shape[1])
    overflow = f"{name} overflows {dtype} for samples of such a size; divide X, Y or cov by a number"
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # infinities are looked for
        R, S = ((Z if basis is None else Z @ basis) * np.sqrt(variances) for Z in (samples, others))
        if not (np.isfinite(R).all() and np.isfinite(S).all()):
            raise ValueError(overflow)
        try:
            result = _moments(sigma, R, S, derivative, Y is None)
        except ValueError as error:
            raise ValueError(f"{name} takes samples times the root of cov for the rows of W: {error}") from None
        if derivative:
            result *= samples @ others.T
        result = times_power(result, 2 * exponent).astype(dtype, copy=False)
    if not np.isfinite(result).all():
        raise ValueError(overflow)
    return np.tril(result) + np.tril(result, -1).T if Y is None else result


def _moments(sigma: Activation, R: Array, S: Array, derivative: int, lower: bool) -> Array:
    """E[f(<R_i, g>) f(<S_j, g>)] for rows of R (n, d) and S (m, d), g ~ N(0, I), f sigma or sigma'; float64.

    At least the *lower* triangle, if so asked.
    """
    left, right = unit_rows(R), unit_rows(S)
    if sigma.is_quadratic:
        inner, c = R @ S.T, float(sigma.known.constant or 0)
        return 4 * inner if derivative else 2 * inner**2 + np.outer(left[1] ** 2 + c, right[1] ** 2 + c)
    closed = _closed_form(sigma, derivative)
    if closed is None:
        return _by_series(sigma, left, right, derivative, lower)
    return _by_formula(sigma, left, right, closed)


def _closed_form(sigma: Activation, derivative: int) -> PairMoments | None:
    """The closed form of the moments at lengths r, s and angles, if the row of sigma names one."""
    known = sigma.known
    if not derivative:
        return known.pair_moments
    blocks = known.block_moments
    return known.slope_moments if blocks is None else lambda r, s, theta: blocks(r, s, theta)[0]


def _by_formula(sigma: Activation, left: Rows, right: Rows, closed: PairMoments) -> Array:
    """The moments (n, m) by a closed form."""
    (unit, r), (other, s) = left, right
    out = np.empty((len(r), len(s)))
    for part in _parts(out):
        out[part] = closed(r[part, None], s, _angles(unit[part], other))
    if closed is sigma.known.pair_moments and not (r.all() and s.all()):  # a sigma that jumps does so at zero
        means = [unit_coefficients(sigma, lengths, 0)[:, 0] for lengths in (r, s)]
        out = np.where(np.logical_and.outer(r > 0, s > 0), out, np.outer(*means))
    return out


def _angles(unit: Array, other: Array) -> Array:
    """The angles (n, m) of directions (n, d) and (m, d), which small ones and those near pi keep to all digits."""
    cosines = unit @ other.T
    theta = np.arccos(np.clip(cosines, -1, 1))
    steep = np.nonzero(np.abs(cosines) > _FLAT)
    theta[steep] = _angles_of_pairs(unit, other, *steep)
    return theta


def _angles_of_pairs(unit: Array, other: Array, i: Indices, j: Indices) -> Array:
    """The angles (p,) of directions unit_i and other_j, pair by pair."""
    theta = np.empty(len(i))
    step = max(1, _ENTRIES // unit.shape[1])
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        u, v = unit[i[part]], other[j[part]]
        theta[part] = 2 * np.arctan2(np.linalg.norm(u - v, axis=1), np.linalg.norm(u + v, axis=1))
    return theta


def _by_series(sigma: Activation, left: Rows, right: Rows, derivative: int, lower: bool) -> Array:
    """The moments (n, m) by Mehler's series: sum_k hn_k(r) hn_k(s) cos(theta)^k.

    At least the *lower* triangle, if so asked.
    """
    (unit, r), (other, s) = left, right
    one, two = (expansion(sigma, lengths, _TERMS, derivative=derivative) for lengths in (r, s))
    # By Cauchy and Schwarz the sum lacks at most this share of the norms, times |cos|^(terms + 1).
    share = np.sqrt(one.rest.max() * two.rest.max())
    with np.errstate(divide="ignore"):
        cut = (_TOLERANCE / share) ** (1 / (_TERMS + 1))
    sizes = np.abs(one.table).max(axis=0) * np.abs(two.table).max(axis=0)
    degrees = range(int(np.flatnonzero(sizes).max(initial=0)), -1, -1)
    out = np.empty((len(r), len(s)))
    for part in _parts(out):
        cosines = unit[part] @ other.T
        total = np.zeros_like(cosines)
        for k in degrees:
            total *= cosines
            total += one.table[part, k, None] * two.table[:, k]
        out[part] = one.scale[part, None] * two.scale * total
        if cut < 1:
            i, j = np.nonzero(np.abs(cosines) > cut * (1 - 1e-6))
            i += part.start
            kept = i >= j if lower else np.ones(len(i), bool)
            out[i[kept], j[kept]] = _steep_pairs(sigma, left, right, derivative, (i[kept], j[kept]))
    return out


def _steep_pairs(sigma: Activation, left: Rows, right: Rows, derivative: int, pairs: tuple[Indices, Indices]) -> Array:
    """The moments (p,) of pairs of rows that are nearly parallel or opposite."""
    i, j = pairs
    theta, r, s = _angles_of_pairs(left[0], right[0], i, j), left[1][i], right[1][j]
    values = np.empty(len(i))
    same = (theta == 0) & (r == s)
    if same.any():
        values[same] = expansion(sigma, r[same], 0, derivative=derivative).scale ** 2
    if not same.all():
        r, s, theta = r[~same], s[~same], theta[~same]
        values[~same] = block_moments(sigma, r, s, theta)[0] if derivative else pair_moments(sigma, r, s, theta)
    return values


def _parts(out: Array) -> Iterator[slice]:
    """Some rows of *out* (n, m) at a time, to save memory."""
    step = max(1, _ENTRIES // out.shape[1])
    for start in range(0, len(out), step):
        yield slice(start, min(start + step, len(out)))
