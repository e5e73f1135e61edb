"""Matrices moved between their rows and panels (see `layout`), through registers.

A matrix that lies by rows and is wanted by columns is turned in squares of as many rows as a register has numbers: each
row of a square is one load, and so is each column one store. What fills no square goes number by number.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastlazy._core.geometry import NARROW, REGISTER_BYTES, WIDE
from fastlazy._core.jit import jit, jit_inline
from fastlazy._core.layout import pointer, vectors_of


@jit
def fill_panel(A, p, panel):  # type: ignore[no-untyped-def]
    """Write rows p width, p width + 1, ... of A (n, k), as far as there are, as columns of *panel* (k4, width)."""
    width = panel.shape[1]
    turn(A, p * width, 0, min(width, A.shape[0] - p * width), A.shape[1], panel, 0, 0)


@jit
def turn(A, row, column, rows, columns, B, i, j):  # type: ignore[no-untyped-def]
    """Write *columns* columns of A from *column* on, of so many *rows* from *row* on, as rows of B from (i, j) on."""
    lanes = REGISTER_BYTES // A.itemsize
    whole = rows // lanes * lanes
    for x in range(0, whole, lanes):
        for y in range(0, columns - lanes + 1, lanes):
            source = pointer(A, (row + x) * A.shape[1] + column + y)
            _turn_square(source, A.shape[1], pointer(B, (i + y) * B.shape[1] + j + x), B.shape[1])
    for x in range(rows):
        for y in range(columns // lanes * lanes if x < whole else 0, columns):
            B[i + y, j + x] = A[row + x, column + y]


@jit_inline
def copy_row(panel, i, B, row, column):  # type: ignore[no-untyped-def]
    """Write row i of a *panel* to row *row* of B, from *column* on, in place."""
    _copy(vectors_of(panel), pointer(panel, i * panel.shape[1]), pointer(B, row * B.shape[1] + column))


@jit_inline
def copy_to_row(B, row, column, panel, i):  # type: ignore[no-untyped-def]
    """Write to row i of a *panel* what row *row* of B holds from *column* on, in place."""
    _copy(vectors_of(panel), pointer(B, row * B.shape[1] + column), pointer(panel, i * panel.shape[1]))


@jit_inline
def _copy(vectors, source, target):  # type: ignore[no-untyped-def]
    if vectors == WIDE:
        _copy_wide(source, target)
    else:
        _copy_narrow(source, target)


def vector_type(number: Any) -> tuple[Any, int, int]:
    """The LLVM type of a register of numbers of a numba type, how many it holds, and their bytes."""
    bytes_each = number.bitwidth // 8
    lanes = REGISTER_BYTES // bytes_each
    return ir.VectorType(ir.DoubleType() if bytes_each == 8 else ir.FloatType(), lanes), lanes, bytes_each


def _copied(vectors: int) -> Any:
    """The intrinsic that copies so many *vectors* from one pointer to another."""

    @intrinsic  # type: ignore[untyped-decorator]
    def copy(typingctx, source, target):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            vector, lanes, size = vector_type(source.dtype)
            for j in range(vectors):
                at_source, at_target = (
                    builder.bitcast(builder.gep(arg, [ir.IntType(64)(j * lanes)]), vector.as_pointer()) for arg in args
                )
                builder.store(builder.load(at_source, align=size), at_target, align=size)
            return context.get_dummy_value()

        return types.void(source, target), codegen

    return copy


_copy_wide, _copy_narrow = _copied(WIDE), _copied(NARROW)


@intrinsic  # type: ignore[untyped-decorator]
def _turn_square(typingctx, source, source_row, target, target_row):  # type: ignore[no-untyped-def]
    """Write the rows of a square at *source* as the columns of one at *target*; rows lie so many numbers apart.

    In rounds of s = 1, 2, 4, ..., rows i and i + s exchange their off-diagonal squares of s x s.
    """

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source_at, source_apart, target_at, target_apart = args
        vector, lanes, size = vector_type(source.dtype)
        i64, i32 = ir.IntType(64), ir.IntType(32)

        def place(pointer, apart, i):  # type: ignore[no-untyped-def]
            return builder.bitcast(builder.gep(pointer, [builder.mul(apart, i64(i))]), vector.as_pointer())

        rows = [builder.load(place(source_at, source_apart, i), align=size) for i in range(lanes)]
        s = 1
        while s < lanes:
            kept = [e if e & s == 0 else lanes + e - s for e in range(lanes)]
            moved = [e + s if e & s == 0 else lanes + e for e in range(lanes)]
            masks = [ir.Constant(ir.VectorType(i32, lanes), mask) for mask in (kept, moved)]
            for i in range(lanes):
                if i & s == 0:
                    pair = rows[i], rows[i + s]
                    rows[i], rows[i + s] = (builder.shuffle_vector(*pair, mask) for mask in masks)
            s *= 2
        for i, row in enumerate(rows):
            builder.store(row, place(target_at, target_apart, i), align=size)
        return context.get_dummy_value()

    return types.void(source, types.int64, target, types.int64), codegen
