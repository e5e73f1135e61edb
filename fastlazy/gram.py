"""Gram matrices between features, and kernels between samples for given weights, in blocks.

"Gram" is the population's, under x ~ N(0, I); "kernel" is of samples. Features are never stored for all samples
and neurons, and the same call gives the same bits for any number of threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._blocks import Blocks, check_out, check_products, dtype_of, operand, overflow_remedy, threads
from fastlazy._core import activation as named
from fastlazy._core import gram as core
from fastlazy._core.layout import aligned_zeros, padded
from fastlazy._core.loops import loop_address
from fastlazy._team import Team
from fastlazy._validate import Array, check_array, check_columns, check_flag
from fastlazy.activations import Activation, check_activation, get_activation
from fastlazy.population import fill_rf_gram
from fastlazy.units import in_own_unit, times_power


def rf_gram(
    W: ArrayLike,
    activation: str | Activation = "square",
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
    activation : str or Activation
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
    """
    dtype = dtype_of(W)
    weights = check_array("W", W, 2, dtype)
    sigma = check_activation(activation)
    N, d = weights.shape
    centred = check_flag("center", center)
    result = check_out(out, (N, N), dtype)
    with threads(N * N * d / 2, parallel) as together:
        if sigma is get_activation("square"):
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


def rf_kernel(
    X: ArrayLike,
    W: ArrayLike,
    activation: str | Activation = "square",
    *,
    Y: ArrayLike | None = None,
    out: Array | None = None,
    parallel: bool = True,
) -> Array:
    """Random features kernel between samples, k(x, y) = (1/N) sum_i sigma(<w_i, x>) sigma(<w_i, y>).

    Parameters
    ----------
    X : array_like, shape (n, d)
        Samples, one per row.
    W : array_like, shape (N, d)
        First-layer weights, one neuron per row. If X, W and Y are float32 so is the result, else float64.
    activation : str or Activation
        The non-linearity sigma.
    Y : array_like, shape (m, d), optional
        Other samples; X itself if it is not given, at half the work.
    out : ndarray, shape (n, m), optional
        Where to write the result, of its dtype, C-contiguous; a memory map, for example.
    parallel : bool
        False: on the calling thread alone, for use inside sweeps.

    Returns
    -------
    ndarray, shape (n, m)
        Symmetric to the bit without Y.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, an entry overflows, the activation is not known or
        raises an error itself, or out does not fit.

    References
    ----------
    arXiv:1906.08899, the class RF of eq. (1).
    """
    problem = _check_kernel(X, W, activation, Y, out)
    loop = loop_address(problem.activation.compiled, problem.dtype)
    with threads(_kernel_work(problem), parallel) as together:
        blocks = Blocks(together, problem.out, problem.Y is None)
        _add_features(together, problem, loop, blocks, how=core.PLAIN)
    _check_blocks("rf_kernel", problem, blocks)
    return problem.out


def nt_kernel(
    X: ArrayLike,
    W: ArrayLike,
    activation: str | Activation = "square",
    *,
    Y: ArrayLike | None = None,
    out: Array | None = None,
    parallel: bool = True,
) -> Array:
    """Neural tangent kernel between samples, k(x, y) = <x, y> (1/N) sum_i sigma'(<w_i, x>) sigma'(<w_i, y>).

    Parameters
    ----------
    X : array_like, shape (n, d)
        Samples, one per row.
    W : array_like, shape (N, d)
        Weights at the initialisation, one neuron per row. If X, W and Y are float32 so is the result, else
        float64.
    activation : str or Activation
        The non-linearity sigma, with a derivative.
    Y : array_like, shape (m, d), optional
        Other samples; X itself if it is not given, at half the work.
    out : ndarray, shape (n, m), optional
        Where to write the result, of its dtype, C-contiguous; a memory map, for example.
    parallel : bool
        False: on the calling thread alone, for use inside sweeps.

    Returns
    -------
    ndarray, shape (n, m)
        Symmetric to the bit without Y.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, an entry overflows, the activation is not known, has no
        derivative or raises an error itself, or out does not fit.

    Notes
    -----
    The kernel of the first-layer weights, second layer 1. sigma = x^2 needs N only for W^T W; a derivative
    that is 0 or 1 (ReLU) is kept as bits, 64 neurons to a word, and counted.

    References
    ----------
    arXiv:1906.08899, the class NT of eq. (1).
    """
    problem = _check_kernel(X, W, activation, Y, out)
    derivative = problem.activation.compiled_derivative
    with threads(_kernel_work(problem), parallel) as together:
        blocks = Blocks(together, problem.out, problem.Y is None)
        if derivative is named.d_square:
            M = problem.W.T @ problem.W
            M *= M.dtype.type(4 / len(problem.W))
            left = operand(together, problem.X)
            right = left if problem.Y is None else operand(together, problem.Y)
            moved = operand(together, (problem.X if problem.Y is None else problem.Y) @ M)
            blocks.add(left, moved, how=core.TIMES, others=(left, right))
        elif derivative is named.step:
            _count_bits(together, problem, blocks)
        else:
            _add_features(together, problem, loop_address(derivative, problem.dtype), blocks, how=core.TIMES)
    _check_blocks("nt_kernel", problem, blocks)
    return problem.out


class _Problem(NamedTuple):
    """The checked arguments of a kernel."""

    X: Array
    W: Array
    Y: Array | None
    activation: Activation
    dtype: np.dtype[Any]
    out: Array


def _add_features(together: Team, problem: _Problem, loop: int, blocks: Blocks, *, how: int) -> None:
    """Fill the result with (1/N) sum_i loop(<w_i, x>) loop(<w_i, y>), times <x, y> if *how* says so, in place."""
    N = len(problem.W)
    W, X = operand(together, problem.W, left_only=True), operand(together, problem.X)
    Y = X if problem.Y is None else operand(together, problem.Y)
    inner = min(N, core.INNER)
    left = core.allocate_operand(len(problem.X), inner, problem.dtype)
    right = left if problem.Y is None else core.allocate_operand(len(problem.Y), inner, problem.dtype)
    for start in range(0, N, core.INNER):
        count = min(core.INNER, N - start)
        neurons = W.rows[start // 4 :]
        together(core.fill_features, neurons, count, X.panels, loop, left, blocks.errors)
        if right is not left:
            together(core.fill_features, neurons, count, Y.panels, loop, right, blocks.errors)
        last = start + count == N
        blocks.add(left, right, k=padded(count), begin=start == 0, finish=last, how=how, scale=1 / N, others=(X, Y))


def _count_bits(together: Team, problem: _Problem, blocks: Blocks) -> None:
    """Fill the result with <x, y> times the share of neurons that both x and y switch on, in place."""
    N = len(problem.W)
    W, X = operand(together, problem.W, left_only=True), operand(together, problem.X)
    Y = X if problem.Y is None else operand(together, problem.Y)

    def bits_of(samples: core.Operand) -> Any:
        panels, _, width = samples.panels.shape
        bits = np.zeros((panels * width, -(-N // core.WORD)), np.uint64)
        products = aligned_zeros((together.members, core.WORD, width), problem.dtype)
        together(core.fill_bits, W.rows, N, samples.panels, products, bits)
        return bits

    left = bits_of(X)
    right = left if Y is X else bits_of(Y)
    blocks.add(X, Y, how=core.TIMES, scale=1 / N, bits=(left, right), others=(X, Y))


def _kernel_work(problem: _Problem) -> float:
    n, m = problem.out.shape
    return float(len(problem.W)) * problem.X.shape[1] * (n + m) + float(n) * m * problem.X.shape[1]


def _check_kernel(X: ArrayLike, W: ArrayLike, activation: Any, Y: ArrayLike | None, out: Any) -> _Problem:
    sigma = check_activation(activation)
    dtype = dtype_of(X, W, Y)
    weights = check_array("W", W, 2, dtype)
    samples = check_columns("X", check_array("X", X, 2, dtype), weights.shape[1], of="W")
    others = None if Y is None else check_columns("Y", check_array("Y", Y, 2, dtype), weights.shape[1], of="W")
    for rows in (samples, others):
        if rows is not None:
            check_products(rows, weights)
    shape = len(samples), len(samples if others is None else others)
    return _Problem(samples, weights, others, sigma, dtype, check_out(out, shape, dtype))


def _check_blocks(name: str, problem: _Problem, blocks: Blocks) -> None:
    if blocks.failed:
        raise ValueError(
            f"{name} overflows {problem.dtype}, or activation {problem.activation.name!r} raised an error or gave NaN; "
            f"divide X or W by a number{overflow_remedy(problem.dtype)}"
        )
