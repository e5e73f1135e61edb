"""Weights laid out once for kernels of many sets of samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_array
from fastlazy._support.threads import Team
from fastlazy.kernels.operands import dtype_of, largest_entry, operand, threads


@dataclass(frozen=True, eq=False)
class PreparedWeights:
    """Weights as the compiled kernels read them, from `prepare_weights`; pass them where W is asked for.

    Attributes
    ----------
    W : ndarray, shape (N, d)
        The weights, in a copy that cannot be written to.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> prepared = fastlazy.prepare_weights(W)
    >>> prepared.W.shape, prepared.W.flags.writeable
    ((10, 20), False)
    """

    W: Array
    neurons: Array = field(repr=False)  # the rows of W as an operand

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of kernels with these weights: float32 or float64."""
        return self.W.dtype

    @cached_property
    def size(self) -> float:
        """The largest modulus of an entry of W."""
        return largest_entry(self.W)

    @cached_property
    def moment(self) -> Array:
        """W^T W (d, d), all that the tangent kernel of x^2 takes of W."""
        return self.W.T @ self.W


def prepare_weights(W: ArrayLike) -> PreparedWeights:
    """Weights, checked and laid out for `rf_kernel` and `nt_kernel`, to be passed as W to any number of calls.

    A call with a few hundred samples then need not read and turn W anew, which is a seventh of its time at n = 256,
    N = 4500, d = 450.

    Parameters
    ----------
    W : array_like, shape (N, d)
        First-layer weights, one neuron per row. float32 stays float32, and asks for samples in float32; all else
        becomes float64.

    Returns
    -------
    PreparedWeights
        With a copy of W: what happens to W later makes no difference.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite array of that shape.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> X, y = target.sample(5, rng=2)
    >>> prepared = fastlazy.prepare_weights(W)
    >>> bool((fastlazy.rf_kernel(X, prepared) == fastlazy.rf_kernel(X, W)).all())
    True
    """
    rows = np.array(check_array("W", W, 2, dtype_of(W)))
    rows.flags.writeable = False
    with threads(float(rows.size), True) as together:
        neurons = operand(together, rows)
    neurons.flags.writeable = False
    return PreparedWeights(rows, neurons)


def checked_weights(W: ArrayLike | PreparedWeights, dtype: np.dtype[Any]) -> Array:
    """The rows of W (N, d) in *dtype*.

    Raises
    ------
    TypeError, ValueError
        If they are no finite array of that shape, or were prepared in float32 for samples that are not.
    """
    if not isinstance(W, PreparedWeights):
        return check_array("W", W, 2, dtype)
    if W.dtype != dtype:
        raise ValueError(
            f"W was prepared in {W.dtype}, and the samples are {dtype}; pass samples in float32, or prepare "
            "W.astype(float)"
        )
    return W.W


def neurons_of(together: Team, W: ArrayLike | PreparedWeights, rows: Array) -> Array:
    """The operand of W, whose checked *rows* are given: the one that was prepared, if it was."""
    return W.neurons if isinstance(W, PreparedWeights) else operand(together, rows)
