"""Sums over the columns of a panel, one in each lane of a register; adding across a vector is left to the end.

LLVM does not make vectors of loops of two or three of them, so they are written out.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastlazy._core.geometry import NARROW, WIDE
from fastlazy._core.jit import jit_inline
from fastlazy._core.layout import pointer, vectors_of
from fastlazy._core.moves import vector_type


@jit_inline
def sum_lanes(squared, a, Z, s, f):  # type: ignore[no-untyped-def]
    """Fill row s of f (rows, lanes) with the sums over v of a z, or a z^2, of the vectors v of a and of row s of Z."""
    weights, numbers, sums = pointer(a, 0), pointer(Z, s * Z.shape[1]), pointer(f, s * f.shape[1])
    if vectors_of(Z) == WIDE:
        if squared:
            _wide_squares(weights, numbers, sums)
        else:
            _wide(weights, numbers, sums)
    elif squared:
        _narrow_squares(weights, numbers, sums)
    else:
        _narrow(weights, numbers, sums)


def _summed(vectors: int, squared: bool) -> Any:
    """The intrinsic for so many *vectors*: pointers to weights, numbers and the sums."""

    @intrinsic  # type: ignore[untyped-decorator]
    def sums(typingctx, a, z, f):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            vector, lanes, size = vector_type(z.dtype)
            suffix = f"v{lanes}f{8 * size}"
            fma = builder.module.declare_intrinsic(f"llvm.fmuladd.{suffix}", (), ir.FunctionType(vector, [vector] * 3))

            def load(pointer, v):  # type: ignore[no-untyped-def]
                place = builder.gep(pointer, [ir.IntType(64)(v * lanes)])
                return builder.load(builder.bitcast(place, vector.as_pointer()), align=size)

            total = ir.Constant(vector, [0.0] * lanes)
            for v in range(vectors):
                weight, number = load(args[0], v), load(args[1], v)
                total = builder.call(fma, [builder.fmul(weight, number) if squared else weight, number, total])
            builder.store(total, builder.bitcast(args[2], vector.as_pointer()), align=size)
            return context.get_dummy_value()

        return types.void(a, z, f), codegen

    return sums


_wide, _narrow = (_summed(vectors, False) for vectors in (WIDE, NARROW))
_wide_squares, _narrow_squares = (_summed(vectors, True) for vectors in (WIDE, NARROW))
