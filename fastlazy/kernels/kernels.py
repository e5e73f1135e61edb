"""Gram matrices between features, and kernels between samples for given weights, in blocks.

"Gram" is the population's, under x ~ N(0, I); "kernel" is of samples. Features are never stored for all samples
and neurons, and the same call gives the same bits for any number of threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._core import gram as core
from fastlazy._core.layout import padded
from fastlazy._support.arguments import Array, check_array, check_columns
from fastlazy._support.threads import Team
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import ActivationLike, check_activation
from fastlazy.kernels.feature_operands import features_of_neurons, slope_bits
from fastlazy.kernels.operands import Blocks, check_out, check_products, dtype_of, operand, overflow_remedy, threads
from fastlazy.kernels.prepared import PreparedWeights, checked_weights


def rf_kernel(
    X: ArrayLike,
    W: ArrayLike | PreparedWeights,
    activation: ActivationLike = "square",
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
    W : array_like or PreparedWeights, shape (N, d)
        First-layer weights, one neuron per row; from `prepare_weights` if many calls share them. If X, W and Y are
        float32 so is the result, else float64.
    activation : str, Activation or function
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

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> X, y = target.sample(5, rng=2)
    >>> fastlazy.rf_kernel(X, W, "relu").shape
    (5, 5)
    >>> fastlazy.rf_kernel(X, W, "relu", Y=X[:2]).shape
    (5, 2)
    """
    problem = _check_kernel(X, W, activation, Y, out)
    with threads(_kernel_work(problem), parallel) as together:
        blocks = Blocks(together, problem.out, problem.Y is None)
        _add_features(together, problem, problem.activation.compiled, blocks, how=core.PLAIN)
    _check_blocks("rf_kernel", problem, blocks)
    return problem.out


def nt_kernel(
    X: ArrayLike,
    W: ArrayLike | PreparedWeights,
    activation: ActivationLike = "square",
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
    W : array_like or PreparedWeights, shape (N, d)
        Weights at the initialisation, one neuron per row; from `prepare_weights` if many calls share them. If X, W and
        Y are float32 so is the result, else float64.
    activation : str, Activation or function
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

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> X, y = target.sample(5, rng=2)
    >>> fastlazy.nt_kernel(X, W, "relu").shape
    (5, 5)
    >>> fastlazy.nt_kernel(X, W, "relu", Y=X[:2]).shape
    (5, 2)
    """
    problem = _check_kernel(X, W, activation, Y, out)
    sigma = problem.activation
    derivative = sigma.compiled_derivative
    with threads(_kernel_work(problem), parallel) as together:
        blocks = Blocks(together, problem.out, problem.Y is None)
        if sigma.is_quadratic:
            M = problem.given.moment if isinstance(problem.given, PreparedWeights) else problem.W.T @ problem.W
            M = M * M.dtype.type(4 / len(problem.W))
            left = operand(together, problem.X)
            right = left if problem.Y is None else operand(together, problem.Y)
            moved = operand(together, (problem.X if problem.Y is None else problem.Y) @ M)
            blocks.add(left, moved, how=core.TIMES, others=(left, right))
        elif sigma.known.binary_slope:
            _count_bits(together, problem, blocks)
        else:
            _add_features(together, problem, derivative, blocks, how=core.TIMES)
    _check_blocks("nt_kernel", problem, blocks)
    return problem.out


class _Problem(NamedTuple):
    """The checked arguments of a kernel."""

    X: Array
    W: Array
    given: ArrayLike | PreparedWeights  # as W was given
    Y: Array | None
    activation: Activation
    dtype: np.dtype[Any]
    out: Array


def _add_features(together: Team, problem: _Problem, function: Any, blocks: Blocks, *, how: int) -> None:
    """Fill the result with (1/N) sum_i f(<w_i, x>) f(<w_i, y>), times <x, y> if *how* says so, in place."""
    N = len(problem.W)
    sets = [(operand(together, rows), len(rows)) for rows in (problem.X, problem.Y) if rows is not None]
    others = sets[0][0], sets[-1][0]
    for neurons, held in features_of_neurons(together, function, problem.W, sets, blocks.errors):
        first, last = neurons.start == 0, neurons.stop == N
        k = padded(neurons.stop - neurons.start)
        blocks.add(held[0], held[-1], k=k, begin=first, finish=last, how=how, scale=1 / N, others=others)


def _count_bits(together: Team, problem: _Problem, blocks: Blocks) -> None:
    """Fill the result with <x, y> times the share of neurons that both x and y switch on, in place."""
    X = operand(together, problem.X)
    Y = X if problem.Y is None else operand(together, problem.Y)
    left = slope_bits(together, problem.W, X)
    right = left if Y is X else slope_bits(together, problem.W, Y)
    blocks.add(X, Y, how=core.TIMES, scale=1 / len(problem.W), bits=(left, right), others=(X, Y))


def _kernel_work(problem: _Problem) -> float:
    n, m = problem.out.shape
    return float(len(problem.W)) * problem.X.shape[1] * (n + m) + float(n) * m * problem.X.shape[1]


def _check_kernel(
    X: ArrayLike, W: ArrayLike | PreparedWeights, activation: Any, Y: ArrayLike | None, out: Any
) -> _Problem:
    sigma = check_activation(activation)
    dtype = dtype_of(X, W, Y)
    weights = checked_weights(W, dtype)
    samples = check_columns("X", check_array("X", X, 2, dtype), weights.shape[1], of="W")
    others = None if Y is None else check_columns("Y", check_array("Y", Y, 2, dtype), weights.shape[1], of="W")
    for rows in (samples, others):
        if rows is not None:
            check_products(rows, weights, W.size if isinstance(W, PreparedWeights) else None)
    shape = len(samples), len(samples if others is None else others)
    return _Problem(samples, weights, W, others, sigma, dtype, check_out(out, shape, dtype))


def _check_blocks(name: str, problem: _Problem, blocks: Blocks) -> None:
    if blocks.failed:
        raise ValueError(
            f"{name} overflows {problem.dtype}, or activation {problem.activation.name!r} raised an error or gave NaN; "
            f"divide X or W by a number{overflow_remedy(problem.dtype)}"
        )
