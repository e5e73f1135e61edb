"""How matrices lie in memory for the register tile, and how they are padded: the one place that knows.

Two layouts make every access of a tile contiguous:

panel
    P[p, k, j]: the columns of a matrix in panels of two or three vectors, side by side for each k. Columns of a panel
    are read one by one as well, as the left side of a product, four or more at a time.
interleaved
    X[s // 4, i, s % 4]: the rows s of a matrix (n, d) in groups of four. A 4 x 4 corner of the matrix
    is 16 neighbours in memory, so a tile reads A = X (rows s, sums over i) and A = X^T (rows i, sums
    over s) equally well.

Both are padded with zeros, so no tile ever has an edge: columns to whole panels, rows and depth to whole groups of
four. A product (see `tile`) writes the groups it is asked for and no more, in every register geometry; an array with
room for the groups of its rows, `padded` (rows) of them, is therefore never overrun.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from fastlazy._core.geometry import NARROW, REGISTER_BYTES, WIDE
from fastlazy._core.jit import jit

INTERLEAVE = 4
_LINE = 64  # bytes of a line of the cache
_ALIGNED = 16  # bytes: memory begins at a multiple of it


@jit
def ceil_div(n: int, k: int) -> int:
    """The least whole number that is at least n / k."""
    return -(-n // k)


@jit
def groups_of(n: int) -> int:
    """Groups of four that hold n rows."""
    return ceil_div(n, INTERLEAVE)


@jit
def padded(n: int) -> int:
    """Rows, or a depth, n in number, in whole groups of four."""
    return INTERLEAVE * ceil_div(n, INTERLEAVE)


def panel_width(columns: int, dtype: Any) -> int:
    """Columns of one panel of numbers of *dtype*: wide, unless narrow panels save more than a few percent.

    They are whole groups of four, which narrow panels always are.
    """
    lanes = REGISTER_BYTES // np.dtype(dtype).itemsize
    wide, narrow = (vectors * lanes * -(-columns // (vectors * lanes)) for vectors in (WIDE, NARROW))
    return lanes * (NARROW if narrow < 0.95 * wide or WIDE * lanes % INTERLEAVE else WIDE)


def allocate_panels(n: int, k: int, dtype: Any) -> np.ndarray:
    """Memory (panels, k4, width) for n columns of length k, all zero."""
    width = panel_width(n, dtype)
    return aligned_zeros((ceil_div(n, width), padded(k), width), dtype)


def aligned_zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Zeros (*shape*) that begin on a line of the cache: a vector that straddles two lines costs two loads."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    scratch = np.zeros(size + _LINE - _ALIGNED, np.uint8)
    start = -scratch.ctypes.data % _LINE
    return scratch[start : start + size].view(dtype).reshape(shape)


@intrinsic  # type: ignore[untyped-decorator]
def pointer(typingctx, array, offset):  # type: ignore[no-untyped-def]
    """Address of the number that lies *offset* numbers after the first of *array*."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.gep(data, [args[1]])

    return types.CPointer(array.dtype)(array, types.int64), codegen


@jit
def vectors_of(panels):  # type: ignore[no-untyped-def]
    """Vectors in a row of *panels* (..., width)."""
    return panels.shape[-1] * panels.itemsize // REGISTER_BYTES


@jit
def interleave(A, g, X):  # type: ignore[no-untyped-def]
    """Write rows 4 g, ..., 4 g + 3 of A (n, k), as far as there are, as X (k4, 4), in place."""
    for s in range(min(4, A.shape[0] - 4 * g)):
        for k in range(A.shape[1]):
            X[k, s] = A[4 * g + s, k]


@jit
def copy_to_panels(X, g, start, stop, panels):  # type: ignore[no-untyped-def]
    """Write a matrix's rows 4 g, ..., 4 g + 3, X (k, 4) interleaved, as columns of *panels*, k in a range, in place."""
    p, column = divmod(4 * g, panels.shape[2])
    for k in range(start, stop):
        for s in range(4):
            panels[p, k, column + s] = X[k, s]
