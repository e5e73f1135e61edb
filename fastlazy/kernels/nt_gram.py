"""The population Gram matrix of the neural tangent model, (N d, N d), as an operator: its matrix is never formed."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.linalg import LinearOperator

from fastlazy._core import tangent as core
from fastlazy._support.arguments import Array, check_array, check_flag
from fastlazy._support.threads import Team
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import ActivationLike, check_activation
from fastlazy.activations.moments import line_gram
from fastlazy.activations.nt_pairs import differentiated
from fastlazy.activations.rf_pairs import Indices, steep_pairs, unit_rows
from fastlazy.activations.slopes import Slopes, slopes_at
from fastlazy.activations.units import in_own_unit, times_power
from fastlazy.kernels.operands import Blocks, dtype_of, in_panels, operand, scratch, threads

_TERMS = 64
_NEEDLE = 1e-2  # E[G^2 sigma'^2] over E sigma'^2
_AT_ONCE = 32  # rows whose panels are united
# The sum of the terms left out, relative to the norms of both features.
_TOLERANCE = {np.dtype(np.float64): 1e-15, np.dtype(np.float32): 1e-8}


def nt_gram(
    W: ArrayLike, activation: ActivationLike = "square", *, center: bool = False, parallel: bool = True
) -> LinearOperator:
    """Population Gram matrix of the tangent features sigma'(<w_i, x>) x, x ~ N(0, I), as a linear operator.

    Parameters
    ----------
    W : array_like, shape (N, d)
        Weights at the initialisation, one neuron per row. float32 gives a float32 operator, all else float64.
    activation : str, Activation or function
        The non-linearity sigma. One without a derivative is differentiated numerically, to about 1e-11.
    center : bool
        Whether the fitted offset is taken out: covariances of the features.
    parallel : bool
        False: products on the calling thread alone, for use inside sweeps.

    Returns
    -------
    LinearOperator, shape (N d, N d)
        Symmetric, for coefficients b (N, d) in row-major order: <b, K b> is E f^2, or Var f, of the function
        f(x) = sum_i <b_i, x> sigma'(<w_i, x>). It holds some 4 N^2 numbers, or 3 N^2 where sigma sees
        all rows alike; a product takes about 6 N^2 d operations and gives the same bits for any number of threads.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array, the activation is not known, jumps or has no finite Gaussian moments, or
        a moment overflows.

    Notes
    -----
    With r_i = |w_i|, u_i = w_i / r_i and derivatives of sigma at <w_i, x> and <w_j, x>, block (i, j) is A I +
    b_ij u_i u_i^T + b_ji u_j u_j^T + D (u_i u_j^T + u_j u_i^T), where A = E[sigma' sigma'], b_ij = r_i^2 E[sigma'''
    sigma'] and D = r_i r_j E[sigma'' sigma''], by Mehler's formula, to about 1e-13 of the roots of the diagonal. Where
    sigma has kinks, the numbers of two rows at a small angle theta grow as 1 / theta, and entries are good to about
    1e-16 / theta. Rows that differ in direction by less than 1e-7 count as parallel, or opposite, there.

    References
    ----------
    arXiv:1906.08899, the class NT of eq. (1).

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> K = fastlazy.nt_gram(W, "relu", center=True)
    >>> K.shape, (K @ W.ravel()).shape  # products; the matrix is never stored
    ((200, 200), (200,))
    """
    weights = check_array("W", W, 2, dtype_of(W))
    return _Operator(
        weights, check_activation(activation), check_flag("center", center), check_flag("parallel", parallel)
    )


class _Operator(LinearOperator):
    """The Gram matrix as an operator; pickled by its arguments, and made again from them."""

    def __init__(self, W: Array, activation: Activation, center: bool, parallel: bool) -> None:
        self._arguments = W.copy(), activation, center, parallel
        sigma, exponent = in_own_unit(activation)
        self._gram = _in_unit(tangent_gram(tangent_slopes(W, sigma), W.dtype, center, parallel), exponent)
        _check_blocks(self._gram.blocks, float(unit_rows(W)[1].max()), activation.name)
        super().__init__(W.dtype, (W.size, W.size))  # type: ignore[call-arg]  # as SciPy documents it

    def __reduce__(self) -> tuple[Any, ...]:
        return _Operator, self._arguments

    def _matvec(self, v: Array) -> Array:
        if np.iscomplexobj(v):
            return self._matvec(v.real) + 1j * self._matvec(v.imag)
        return tangent_product(self._gram, np.reshape(v, self._gram.mean.shape)).ravel()

    def _matmat(self, V: Array) -> Array:
        return np.stack([self._matvec(v) for v in V.T], axis=1)

    def _adjoint(self) -> LinearOperator:
        return self

    _transpose = _adjoint


class TangentGram(NamedTuple):
    """What a product with the Gram matrix takes, and what was found on the way."""

    unit: Array  # (N, d) directions of the rows
    g: Array  # (N, K) normalised Hermite coefficients of sigma' at the lengths of the rows
    squares: Array  # (N,) E sigma'^2
    mean: Array  # (N, d) means of the features, zero if not centred; its dtype is the operator's
    blocks: core.Coefficients
    operand: Array  # the directions as an operand
    columns: Array  # (panels, k4, width) the columns of the directions, in panels
    parallel: bool


def tangent_slopes(W: Array, activation: Activation) -> Slopes:
    """What `tangent_gram` takes of sigma' and checked W (N, d)."""
    return slopes_at(W, activation, _TERMS + 2)


def tangent_gram(slopes: Slopes, dtype: np.dtype[Any], center: bool, parallel: bool) -> TangentGram:
    """The Gram matrix of the tangent features, ready for `tangent_product`."""
    unit, g, squares = slopes.unit, slopes.g, slopes.squares
    N, d = unit.shape
    rows = unit.astype(dtype)
    with threads(N * N * d, parallel) as together:
        unit_operand = operand(together, rows)
        columns = operand(together, rows.T)
        blocks, cut = _fill(together, unit_operand, g, squares)
    own = (slopes.along - squares) / 2
    _set(blocks, np.arange(N), np.arange(N), np.stack([squares, own, own, np.zeros(N)]))
    if cut < 1:
        for i, j, theta in steep_pairs(unit, cut):
            A, own, other, cross = slopes.steep_blocks(i, j, theta)
            _set(blocks, i, j, np.stack([A, own, other, cross]))
            _set(blocks, j, i, np.stack([A, other, own, cross]))
    if d == 1:
        _fill_needles(blocks, slopes)
    _check_blocks(blocks, float(slopes.r.max()), slopes.activation.name)
    mean = (g[:, 1:2] * unit if center else np.zeros_like(unit)).astype(dtype)
    return TangentGram(unit, g, squares, mean, blocks, unit_operand, columns, parallel)


def _fill_needles(blocks: core.Coefficients, slopes: Slopes) -> None:
    """Set blocks of rows in one dimension that see sigma' as a needle, in place.

    Such a block is E[sigma' sigma' G^2] alone, far smaller than the E[sigma' sigma'] to which its errors are relative
    elsewhere.
    """
    N, t = len(slopes.r), slopes.r * slopes.unit[:, 0]
    needles = np.flatnonzero(slopes.along < _NEEDLE * slopes.squares)
    for first in range(0, len(needles), _AT_ONCE):
        rows = needles[first : first + _AT_ONCE]
        for start in range(0, N, _AT_ONCE):
            others = np.arange(start, min(start + _AT_ONCE, N))
            moments = line_gram(slopes.activation, t[np.concatenate([rows, others])], derivative=1, power=2)
            i, j = (part.ravel() for part in np.meshgrid(rows, others, indexing="ij"))
            numbers = np.stack([moments[: len(rows), len(rows) :].ravel(), *np.zeros((3, i.size))])
            _set(blocks, i, j, numbers)
            _set(blocks, j, i, numbers)


def _in_unit(gram: TangentGram, exponent: int) -> TangentGram:
    """The matrix of 2^exponent sigma."""
    if exponent == 0:
        return gram
    blocks = core.Coefficients(*(times_power(part, 2 * exponent) for part in gram.blocks))
    g, mean = (times_power(part, exponent) for part in (gram.g, gram.mean))
    return gram._replace(g=g, squares=times_power(gram.squares, 2 * exponent), mean=mean, blocks=blocks)


def _check_blocks(blocks: core.Coefficients, r: float, name: str) -> None:
    if not all(np.isfinite(part).all() for part in blocks):
        raise ValueError(
            f"the moments of activation {name!r} overflow {blocks.A.dtype} for rows of W of length {r:.3g}; divide W "
            "by a number"
        )


def tangent_product(gram: TangentGram, b: Array) -> Array:
    """K b for coefficients b (N, d), as (N, d)."""
    X = np.ascontiguousarray(b, gram.mean.dtype)
    N, d = X.shape
    panels, k4, width = gram.columns.shape
    along = np.zeros(k4, X.dtype)
    along[:N] = np.einsum("ij,ij->i", gram.unit, X)
    result = np.empty_like(X)
    with threads(3 * N * N * d, gram.parallel) as together:
        space = core.allocate_scratch(gram.operand.shape[2], (panels, width), together.members, X.dtype)
        columns = operand(together, X.T)
        rows = operand(together, X)
        together(core.add_tangent, gram.blocks, gram.operand, gram.columns, rows, columns, along, space, result)
    result -= gram.mean * np.vdot(gram.mean, X)
    return result


def tangent_rounding(gram: TangentGram, b: Array) -> float:
    """How far <b, K b> may be off for coefficients b (N, d), if the numbers of each block are off by rounding.

    Blocks of rows that nearly agree have numbers that grow as 1 / angle and cancel; b grows as well where K is nearly
    singular. Errors of different blocks are taken for independent.
    """
    size, largest = (float(max(max(part.max(), -part.min()) for part in parts)) for parts in ([b], gram.blocks))
    if 0 in (size, largest):
        return 0.0
    squares = np.zeros(gram.blocks.A.shape[0] * gram.blocks.A.shape[2])
    squares[: len(b)] = np.einsum("ij,ij->i", b / size, b / size)
    total = 0.0
    for part in gram.blocks:  # (panels of i, j, i within the panel)
        for numbers, rows in zip(part, squares.reshape(len(part), part.shape[2]), strict=True):
            share = numbers / largest  # the fourth power of b may overflow
            total += float(squares[: part.shape[1]] @ (share * share @ rows))
    return 4 * float(np.finfo(gram.mean.dtype).eps) * math.sqrt(total) * size * largest * size


def rotate(gram: TangentGram, basis: Array) -> TangentGram:
    """The Gram matrix for coefficients b_i in an orthonormal *basis* (d, d), its columns."""
    unit = gram.unit @ basis
    rows = unit.astype(gram.mean.dtype)
    with threads(unit.size, gram.parallel) as together:
        both = operand(together, rows), operand(together, rows.T)
    return gram._replace(unit=unit, mean=(gram.mean @ basis).astype(gram.mean.dtype), operand=both[0], columns=both[1])


def times_directions(gram: TangentGram, T: Array) -> Array:
    """U T for the directions U (N, d) and a symmetric T (d, d)."""
    out = np.empty_like(gram.unit)
    with threads(out.size * float(len(T)), gram.parallel) as together:
        Blocks(together, out, symmetric=False).add(gram.operand, operand(together, T))
    return out


def directions_times(gram: TangentGram, left: Array, b: Array, right: Array) -> Array:
    """U^T Y (d, d), Y = diag(left) b + diag(right) U, for the directions U (N, d), b (N, d), left and right (N,)."""
    d, Y, width = b.shape[1], np.zeros_like(gram.columns), gram.columns.shape[2]
    for first in range(0, d, width):  # what is written stays in the cache for the second term
        columns, panel = slice(first, min(first + width, d)), Y[first // width, : len(b), : min(width, d - first)]
        np.multiply(left[:, None], b[:, columns], out=panel)
        panel += right[:, None] * gram.unit[:, columns]
    out = np.empty((d, d), b.dtype)
    with threads(b.size * float(d), gram.parallel) as together:
        Blocks(together, out, symmetric=False).add(gram.columns, Y)
    return out


def dense(gram: TangentGram) -> Array:
    """The whole matrix K, (N d, N d); for small ones."""
    N = len(gram.mean)
    numbers = (part.transpose(0, 2, 1).reshape(-1, part.shape[1])[:N, :N] for part in gram.blocks)
    return assemble(gram.unit, *numbers) - np.outer(gram.mean, gram.mean)


def assemble(u: Array, A: Array, own: Array, other: Array, cross: Array) -> Array:
    """The matrix (N d, N d) of blocks, from directions u (N, d) and their numbers A, b_ij, b_ji and D (N, N)."""
    N, d = u.shape
    K = np.einsum("ij,kl->ikjl", A, np.eye(d))
    K += np.einsum("ij,ik,il->ikjl", own, u, u) + np.einsum("ij,jk,jl->ikjl", other, u, u)
    K += np.einsum("ij,ik,jl->ikjl", cross, u, u) + np.einsum("ij,jk,il->ikjl", cross, u, u)
    return K.reshape(N * d, N * d)


def _fill(together: Team, unit: Array, g: Array, squares: Array) -> tuple[core.Coefficients, float]:
    """The coefficients off the diagonal, and the |cosine| beyond which they are not good, or 1 if there is none."""
    N, dtype = len(g), unit.dtype
    tables = differentiated(g)
    # |g_{k+2} g_k| is at most the sum of g_j^2 over j >= k, the *tails*, and k^2 cos^k bounds the rest of a term.
    rest = np.maximum(squares - np.sum(g**2, axis=1), 0)
    rest[rest < 1e-14 * squares] = 0  # differences that small are rounding
    tails = rest[:, None] + np.cumsum(g[:, ::-1] ** 2, axis=1)[:, ::-1]
    share = np.max(tails / np.where(squares > 0, squares, 1)[:, None], axis=0)[1 : _TERMS + 2]
    terms = np.arange(1, _TERMS + 2)
    with np.errstate(divide="ignore", over="ignore"):
        cuts = np.minimum((_TOLERANCE[dtype] / (10 * (terms + 2) ** 2 * share)) ** (1 / terms), 1.0)
    cuts = np.maximum.accumulate(cuts).astype(dtype)
    blocks = core.allocate_coefficients(N, unit.shape[2], dtype)
    if np.array_equal(g, np.broadcast_to(g[:1], g.shape)):
        blocks = blocks._replace(other=blocks.own)  # the same numbers, once in memory
    spaces = scratch(together, unit.shape[2], dtype)
    steep = np.zeros(len(spaces), np.int64)
    with np.errstate(over="ignore"):  # the caller looks for infinities
        left = np.stack(tables).astype(dtype)
        right = np.stack([in_panels(table, unit) for table in tables])
    together(core.fill_coefficients, unit, left, right, cuts, spaces, blocks, steep)
    return blocks, float(cuts[-1]) if steep.any() else 1.0


def block_numbers(gram: TangentGram, i: Indices, j: Indices) -> Array:
    """The numbers A, b_ij, b_ji and D of the blocks (i, j), shape (4, m)."""
    width = gram.blocks.own.shape[2]
    return np.stack([part[i // width, j, i % width] for part in gram.blocks])


def _set(blocks: core.Coefficients, i: Indices, j: Indices, values: Array) -> None:
    """Set entries (i, j) of A, b_ij, b_ji and D to *values* (4, m), in place."""
    width = blocks.own.shape[2]
    with np.errstate(over="ignore"):  # the caller looks for infinities
        for part, value in zip(blocks, values, strict=True):
            part[i // width, j, i % width] = value
