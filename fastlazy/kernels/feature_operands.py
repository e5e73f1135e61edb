"""Features made as operands of the next product: for some neurons, or for some samples, at a time; slopes as bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from fastlazy._core import gram as core
from fastlazy._core.layout import aligned_zeros, allocate_panels
from fastlazy._core.loops import loop_address
from fastlazy._core.shift import shift_features
from fastlazy._support.arguments import Array
from fastlazy._support.threads import Team
from fastlazy.kernels.operands import matrix, operand

Counts: TypeAlias = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]


def features_of_neurons(
    together: Team, function: Any, W: Array, samples: list[tuple[Array, int]], errors: Counts
) -> Iterator[tuple[slice, list[Array]]]:
    """The features function(<w_i, x>) of all samples, for at most `core.INNER` neurons at a time.

    Parameters
    ----------
    together : Team
    function : compiled function of one number
    W : ndarray, shape (N, d)
    samples : list of (operand, int)
        One or two sets of samples, and how many samples each has.
    errors : ndarray, shape (members,)
        Counts the errors that *function* raises, in place.

    Yields
    ------
    slice, list of operands
        Which neurons, and their features for each set: with a row for each sample, and a column for each of
        these neurons. The next step overwrites them.
    """
    (N, d), dtype, rows = W.shape, W.dtype, matrix(W)
    loop = loop_address(function, dtype)
    most = core.ROWS * -(-N // (core.ROWS * -(-N // core.INNER)))  # all parts as large as the last one
    held = [allocate_panels(n, min(N, most), dtype) for _, n in samples]
    turned = core.allocate_turned(d, together.members, dtype)
    for start in range(0, N, most):
        stop = min(start + most, N)
        for (points, _), features in zip(samples, held, strict=True):
            together(core.fill_features, rows, start, stop - start, points, loop, turned, features, errors)
        yield slice(start, stop), held


class FeaturesOfSamples:
    """The features function(<w_i, x>) - o_i of all neurons, for some samples at a time.

    Parameters
    ----------
    together : Team
    function : compiled function of one number
    W : ndarray, shape (N, d)
    origin : ndarray, shape (N,), or None
        o, or nothing to take off.
    most : int
        The largest number of samples at a time.
    """

    def __init__(self, together: Team, function: Any, W: Array, origin: Array | None, most: int) -> None:
        self.together, self.loop, self.W = together, loop_address(function, W.dtype), operand(together, W)
        self.held = allocate_panels(len(W), most, W.dtype)
        self.turned = core.allocate_turned(W.shape[1], together.members, W.dtype)
        self.columns = self.held.shape[0] * self.held.shape[2]  # N, and padding
        self.origin = None if origin is None else np.append(origin, np.zeros(self.columns - len(W), W.dtype))

    def fill(self, samples: Array, errors: Counts) -> Array:
        """The operand whose columns are the features of *samples* (count, d); the next call overwrites it.

        *errors* (members,) counts what the function raises, in place.
        """
        rows, count = matrix(samples), len(samples)
        self.together(core.fill_features, rows, 0, count, self.W, self.loop, self.turned, self.held, errors)
        if self.origin is not None:
            self.together(shift_features, np.zeros(count, self.origin.dtype), self.origin, self.held)
        return self.held


def slope_bits(together: Team, W: Array, samples: Array) -> Any:
    """The slopes step(<w_i, x>) as bits, (samples and padding, words), `core.WORD` neurons to a word.

    *samples* is the operand of the samples x.
    """
    panels, _, width = samples.shape
    bits = np.zeros((panels * width, -(-len(W) // core.WORD)), np.uint64)
    products = aligned_zeros((together.members, core.WORD, width), W.dtype)
    signs = aligned_zeros((together.members, width), np.uint64)
    turned = core.allocate_turned(W.shape[1], together.members, W.dtype)
    together(core.fill_bits, matrix(W), samples, turned, products, signs, bits)
    return bits
