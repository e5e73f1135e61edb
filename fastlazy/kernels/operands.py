"""What the public functions on Gram matrices and kernels share: operands, threads, checks, a result in blocks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastlazy._core import gram as core
from fastlazy._core.layout import allocate_panels
from fastlazy._support.arguments import Array, check_flag, largest_entry
from fastlazy._support.threads import Team, share_threads, team

_SHARE = 2e6  # multiply-adds that are worth starting a thread for
_LONG = 1e10  # multiply-adds that take so long that a user may want to interrupt them


class Blocks:
    """A result that is filled block by block (see `fastlazy._core.gram.fill_blocks`)."""

    def __init__(self, together: Team, out: Array, symmetric: bool) -> None:
        self.together, self.out, self.symmetric = together, out, symmetric
        self.errors = np.zeros(together.members, np.int64)

    @property
    def failed(self) -> bool:
        """Whether sigma raised an error, or an entry was not finite."""
        return bool(self.errors.any())

    def add(
        self,
        left: Array,
        right: Array,
        *,
        k: int | None = None,
        begin: bool = True,
        finish: bool = True,
        how: int = core.PLAIN,
        scale: float = 1.0,
        bits: tuple[Any, Any] | None = None,
        others: tuple[Array, Array] | None = None,
        shift: Array | None = None,
    ) -> None:
        """Add left right^T to the result, in place; finish it with the last part."""
        dtype, width = self.out.dtype, right.shape[2]
        nothing = _nothing(dtype)
        terms = core.Terms(left, right, right.shape[1] if k is None else k, bits or nothing.bits)
        entry = core.Entry(how, scale, others or (nothing.operand,) * 2, nothing.shift if shift is None else shift)
        blocks = scratch(self.together, width, dtype)
        part = core.Part(begin, finish)
        self.together(core.fill_blocks, self.symmetric, terms, part, entry, blocks, self.out, self.errors)


class _Nothing(NamedTuple):
    """Empty arrays, of the types that stand for what a product does not have."""

    operand: Array
    bits: tuple[Any, Any]
    shift: Array


@cache
def _nothing(dtype: np.dtype[Any]) -> _Nothing:
    no_bits = np.zeros((0, 0), np.uint64)
    return _Nothing(allocate_panels(0, 0, dtype), (no_bits, no_bits), np.zeros(0, dtype))


@contextmanager
def threads(work: float, parallel: bool) -> Iterator[Team]:
    """A team for so much *work* (multiply-adds)."""
    members = share_threads(work, _SHARE) if check_flag("parallel", parallel) else 1
    # Only the main thread sees Ctrl-C, and not while it runs compiled code.
    interruptible = work > _LONG and threading.current_thread() is threading.main_thread()
    with team(members, interruptible=interruptible) as together:
        yield together


def scratch(together: Team, width: int, dtype: Any) -> Array:
    """Temporary memory for the blocks of every member of a team."""
    return core.allocate_blocks(width, together.members, dtype)


def matrix(rows: Array) -> Array:
    """A matrix as the core takes it: a copy of one that has gaps, or that cannot be written to, another type there."""
    return np.require(rows, requirements=["C", "W"])


def operand(together: Team, rows: Array) -> Array:
    """A matrix (n, k) as an operand of the core: its rows as the columns of panels (panels, k4, width)."""
    n, k = rows.shape
    result = allocate_panels(n, k, rows.dtype)
    together(core.fill_operand, matrix(rows), result)
    return result


def in_panels(table: Array, rows: Array) -> Array:
    """The numbers (n, K) of the n rows of an operand as (panels, K, width), one column for each, of its dtype."""
    panels, _, width = rows.shape
    columns = np.zeros((panels * width, table.shape[1]), rows.dtype)
    columns[: len(table)] = table
    return np.ascontiguousarray(columns.reshape(panels, width, -1).transpose(0, 2, 1))


def dtype_of(*arrays: Any) -> np.dtype[Any]:
    """float32 if all arrays are, else float64."""
    single = all(getattr(array, "dtype", None) == np.float32 for array in arrays if array is not None)
    return np.dtype(np.float32 if single else np.float64)


def check_products(X: Array, W: Array, size: float | None = None) -> None:
    """Raise if an inner product could overflow: that must not look like a large feature.

    *size* is W's largest entry, where it is known.
    """
    sizes = largest_entry(X), largest_entry(W) if size is None else size
    if sizes[0] * sizes[1] * X.shape[1] > float(np.finfo(W.dtype).max):
        raise ValueError(
            f"entries of size {sizes[0]:.3g} in the samples and {sizes[1]:.3g} in W have inner products that overflow "
            f"{W.dtype}; divide one of them by a number{overflow_remedy(W.dtype)}"
        )


def overflow_remedy(dtype: Any) -> str:
    """What else helps against an overflow of *dtype*, to end a message with."""
    return ", or pass float64" if np.dtype(dtype) == np.float32 else ""


def check_out(out: Any, shape: tuple[int, int], dtype: np.dtype[Any]) -> Array:
    """Where to write a result: *out*, or a new array."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, got {type(out).__name__}; pass np.empty({shape}, np.{dtype})")
    fits = out.shape == shape and out.dtype == dtype and out.flags.c_contiguous and out.flags.writeable
    if not fits:
        raise ValueError(
            f"out must be a writeable C-contiguous array of shape {shape} and dtype {dtype}, got shape {out.shape}, "
            f"dtype {out.dtype}, strides {out.strides}; pass np.empty({shape}, np.{dtype})"
        )
    return out
