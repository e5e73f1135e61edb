"""Normal equations of ridge regression on random features, streamed over the samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._core import gram as core
from fastlazy._core.layout import padded
from fastlazy._support.arguments import Array, check_array, check_columns, largest_entry, shown
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import ActivationLike, check_activation
from fastlazy.kernels.feature_operands import FeaturesOfSamples
from fastlazy.kernels.operands import Blocks, check_products, dtype_of, overflow_remedy, threads


def rf_normal_equations(
    X: ArrayLike | Iterable[tuple[ArrayLike, ArrayLike]],
    y: ArrayLike | None,
    W: ArrayLike,
    activation: ActivationLike = "square",
    *,
    parallel: bool = True,
) -> tuple[Array, Array]:
    """Phi^T Phi / n and Phi^T y / n for the features Phi = sigma(X W^T), which are never stored.

    Parameters
    ----------
    X : array_like, shape (n, d), or iterable of pairs (array_like (s, d), array_like (s,) or (s, t))
        Samples, one per row: an array, a memory map, of which a part is read at a time, or, with y = None, blocks
        (X, y) of any sizes; those without rows are passed over. The result does not depend on how samples are divided
        into blocks.
    y : array_like, shape (n,) or (n, t), or None
        Responses.
    W : array_like, shape (N, d)
        First-layer weights, one neuron per row. If X and W are float32 so is the result, else float64.
    activation : str, Activation or function
        The non-linearity sigma.
    parallel : bool
        False: on the calling thread alone, for use inside sweeps.

    Returns
    -------
    tuple of ndarray, shapes (N, N) and (N,) or (N, t)
        The first is symmetric to the bit.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, there are no samples, an entry overflows, or the
        activation is not known or raises an error itself.

    References
    ----------
    arXiv:1906.08899, the class RF of eq. (1), fitted to samples.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> import numpy as np
    >>> X, y = target.sample(1000, rng=2)
    >>> A, b = fastlazy.rf_normal_equations(X, y, W, "relu")
    >>> Phi = np.maximum(X @ W.T, 0)
    >>> bool(np.allclose(A, Phi.T @ Phi / 1000)), bool(np.allclose(b, Phi.T @ y / 1000))
    (True, True)
    >>> blocks = ((X[k : k + 300], y[k : k + 300]) for k in range(0, 1000, 300))
    >>> bool((fastlazy.rf_normal_equations(blocks, None, W, "relu")[0] == A).all())
    True
    """
    sigma = check_activation(activation)
    stream = iter(_blocks_of(X, y))
    first = next(stream, None)
    if first is None:
        raise ValueError("X has no samples: the iterable of blocks (X, y) has none; pass at least one block with rows")
    dtype = dtype_of(W, first[0])
    weights = check_array("W", W, 2, dtype)
    Gram, sums = _sums(first, stream, weights, sigma, None, parallel)
    vector = sums.astype(dtype)
    return Gram, vector[0] if np.ndim(first[1]) == 1 else np.ascontiguousarray(vector.T)


def centred_normal_equations(
    X: Array, y: Array, W: Array, sigma: Activation, origin: Array, *, parallel: bool = True
) -> tuple[Array, Array]:
    """Phi^T Phi / n and Phi^T y / n for features Phi = sigma(X W^T) less an *origin* near their means (see `centred`).

    Parameters
    ----------
    X : ndarray, shape (n, d)
    y : ndarray, shape (n, t)
    W : ndarray, shape (N, d)
        Of the dtype of X, as *origin*.
    sigma : Activation
    origin : ndarray, shape (N,)
    parallel : bool
        False: on the calling thread alone.

    Returns
    -------
    tuple of ndarray, shapes (N, N) and (N, t)
        The second is float64.

    Raises
    ------
    ValueError
        As `rf_normal_equations`.
    """
    stream = iter(_blocks_of(X, y))
    Gram, sums = _sums(next(stream), stream, W, sigma, origin, parallel)
    return Gram, sums.T


def _sums(
    first: tuple[Any, Any],
    stream: Iterator[tuple[Any, Any]],
    W: Array,
    sigma: Activation,
    origin: Array | None,
    parallel: bool,
) -> tuple[Array, Array]:
    """Means over all samples of products of features, (N, N), and of features and responses, (t, N), float64."""
    (N, d), dtype = W.shape, W.dtype
    targets = np.atleast_2d(check_array("y", first[1], (1, 2)).T).shape[0]
    Gram, n = np.zeros((N, N), dtype), 0
    with threads(N * N * float(core.INNER) / 2, parallel) as together:
        maker = FeaturesOfSamples(together, sigma.compiled, W, origin, core.INNER)
        moments = np.zeros((targets, maker.columns))
        blocks = Blocks(together, Gram, symmetric=True)
        for rows, responses in _chunks(first, stream, d, targets, dtype, W):
            count = len(rows)
            features = maker.fill(rows, blocks.errors)
            blocks.add(features, features, k=padded(count), begin=n == 0, finish=False)
            together(core.add_moments, features, count, responses, moments)
            n += count
        together(core.mirror, 1 / n, Gram)
    sums = moments[:, :N] / n
    if blocks.failed or not (np.isfinite(Gram.diagonal()).all() and np.abs(sums).max() <= np.finfo(dtype).max):
        raise ValueError(
            f"the normal equations overflow {dtype}, or activation {sigma.name!r} raised an error or gave NaN; "
            f"divide X or W by a number{overflow_remedy(dtype)}"
        )
    return Gram, sums


def _blocks_of(X: Any, y: Any) -> Iterator[tuple[Any, Any]]:
    """The samples as blocks (X, y) that are not empty."""
    if y is None:
        if not isinstance(X, Iterable) or isinstance(X, (str, bytes, memoryview)):
            raise TypeError(
                f"with y = None X must be an iterable of pairs (X, y), got {shown(X)}; pass y, or such an iterable"
            )
        for block in X:
            if not isinstance(block, (tuple, list)) or len(block) != 2:
                raise TypeError(
                    f"with y = None X must give pairs (X, y), got {type(block).__name__}; pass y, or such an iterable"
                )
            if _length(block[0]) > 0 or _length(block[1]) > 0:
                yield tuple(block)
        return
    rows = X if isinstance(X, np.ndarray) else check_array("X", X, 2, dtype_of(X))
    responses = y if isinstance(y, np.ndarray) else check_array("y", y, (1, 2))
    if np.ndim(rows) != 2 or np.ndim(responses) not in (1, 2) or len(responses) != len(rows):
        raise ValueError(
            f"X must have shape (n, d) and y (n,) or (n, t), got {np.shape(rows)} and {np.shape(responses)}; "
            "pass one response for each row of X"
        )
    for start in range(0, len(rows), core.INNER):
        yield rows[start : start + core.INNER], responses[start : start + core.INNER]


def _length(part: Any) -> int:
    """The length of X or y of a block; 1 of what has none, which is refused later."""
    shape = getattr(part, "shape", None)
    if shape is None:
        return len(part) if isinstance(part, (list, tuple)) else 1
    return shape[0] if shape else 1


def _chunks(
    first: tuple[Any, Any], rest: Iterator[tuple[Any, Any]], d: int, targets: int, dtype: np.dtype[Any], W: Array
) -> Iterator[tuple[Array, Array]]:
    """The samples (s, d), checked, and their responses (t, s), with s the same for all but the last."""
    rows, responses, held = np.empty((core.INNER, d), dtype), np.empty((targets, core.INNER)), 0
    size = largest_entry(W)
    block: tuple[Any, Any] | None = first
    while block is not None:
        X = check_columns("X", check_array("X", block[0], 2, dtype), d, of="W")
        y = check_array("y", block[1], (1, 2))
        if len(y) != len(X) or (1 if y.ndim == 1 else y.shape[1]) != targets:
            raise ValueError(
                f"a block of samples has X of shape {X.shape} and y of shape {y.shape}; "
                f"pass as many responses as rows, {targets} for each"
            )
        check_products(X, W, size)
        done = 0
        while done < len(X):
            count = min(core.INNER - held, len(X) - done)
            rows[held : held + count] = X[done : done + count]
            responses[:, held : held + count] = y.reshape(len(y), -1)[done : done + count].T
            held, done = held + count, done + count
            if held == core.INNER:
                yield rows, responses
                held = 0
        block = next(rest, None)
    if held:
        yield rows[:held], np.ascontiguousarray(responses[:, :held])
