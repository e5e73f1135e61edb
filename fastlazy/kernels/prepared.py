"""Weights checked once for kernels of many sets of samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_array, largest_entry
from fastlazy._support.summaries import Facts, html_table, one_line
from fastlazy.kernels.operands import dtype_of


@dataclass(frozen=True, eq=False)
class PreparedWeights:
    """Weights that are known to be right, from `prepare_weights`; pass them where W is asked for.

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
    rows: Array  # the same memory as compiled functions take it

    def __repr__(self) -> str:
        return one_line(self, self._facts)

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, self._facts)

    @property
    def _facts(self) -> Facts:
        N, d = self.W.shape
        return {"N": N, "d": d, "dtype": self.dtype}

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
    """Weights, checked once for `rf_kernel` and `nt_kernel`, to be passed as W to any number of calls.

    Checks read all of W, which is a tenth of the time of a call with n = 256, N = 4500, d = 450, and the tangent kernel
    of x^2 takes W^T W alone, which is kept.

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
    weights = rows.view()
    weights.flags.writeable = False
    return PreparedWeights(weights, rows)


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
    return W.rows
