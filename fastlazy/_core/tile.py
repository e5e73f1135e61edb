"""The register tile: a small matrix product that never leaves the processor's registers.

Everything fast in this package is a loop around one product, ``C[r, j] (+)= scale sum_k A[r, k] P[k, j]``,
for a few rows r and one panel of columns j. The sums stay in ``height x vectors`` vector registers; for
each k the tile loads ``vectors`` vectors of P, broadcasts ``height`` numbers of A and does one fused
multiply-add per register. That is few enough loads per multiply-add to keep both multipliers of a core
busy in every cycle. LLVM does not keep such a block of sums in registers by itself, so the tile is
written as LLVM vectors, through `numba.extending.intrinsic`.

Two layouts make every access contiguous:

panel
    P[p, k, j]: the columns of a matrix in groups of two or three vectors, side by side for each k.
interleaved
    X[s // 4, i, s % 4]: the rows s of a matrix (n, d) in groups of four. A 4 x 4 corner of the matrix
    is 16 neighbours in memory, so a tile reads A = X (rows s, sums over i) and A = X^T (rows i, sums
    over s) equally well.

Both are padded with zeros, to whole panels and to multiples of four, so no tile ever has an edge.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastlazy._core.jit import jit, jit_inline

INTERLEAVE = 4
_LINE = 64  # bytes
WIDE, NARROW = 3, 2  # vectors in a row of a panel: wide ones pass over X less often, narrow ones pad less


def _host_registers() -> tuple[int, int]:
    """Bytes of a vector register that numba compiles for, and how many of them there are."""
    flags = numba.config.CPU_FEATURES
    if flags is None:
        flags = llvm.get_host_cpu_features().flatten()
    present = set(flags.split(","))
    if "+avx512f" in present:
        return 64, 32
    if {"+avx2", "+fma"} <= present:
        return 32, 16
    if llvm.get_process_triple().startswith(("aarch64", "arm64")):
        return 16, 32
    return 16, 16


CPU = numba.config.CPU_NAME or llvm.get_host_cpu_name()
REGISTER_BYTES, _REGISTERS = _host_registers()
# Rows of a tile: height * WIDE sums, WIDE columns and a broadcast must fit in the registers.
HEIGHT = 8 if _REGISTERS == 32 else 4


def panel_width(columns: int, dtype: Any) -> int:
    """Columns of one panel of numbers of *dtype*: wide, unless narrow panels save more than a few percent."""
    lanes = REGISTER_BYTES // np.dtype(dtype).itemsize
    wide, narrow = (vectors * lanes * -(-columns // (vectors * lanes)) for vectors in (WIDE, NARROW))
    return lanes * (NARROW if narrow < 0.95 * wide else WIDE)


def aligned_zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Zeros (*shape*) that begin on a line of the cache: a vector that straddles two lines costs two loads."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.zeros(size + _LINE, np.uint8)
    start = -room.ctypes.data % _LINE
    return room[start : start + size].view(dtype).reshape(shape)


@jit
def ceil_div(n: int, k: int) -> int:
    """The least whole number that is at least n / k."""
    return -(-n // k)


def _tile(height: int, vectors: int, transposed: bool, accumulate: bool) -> Any:
    """The intrinsic for tiles of *height* rows and *vectors* vectors of columns.

    The rows of A are those of an interleaved X, or with *transposed* those of X^T. With *accumulate*
    the product, times scale, is added to C; else it replaces C. Arguments, pointers and int64:
    a (first number of A), a_rows (from one group of four rows of A to the next), a_steps (from one group
    of four k to the next), panel (first number of P), k (a multiple of 4), scale, c (first number of C;
    its rows are a panel's width apart).
    """
    row, step = (INTERLEAVE, 1) if transposed else (1, INTERLEAVE)

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(typingctx, a, a_rows, a_steps, panel, k, scale, c):  # type: ignore[no-untyped-def]
        number = c.dtype
        bits = number.bitwidth
        lanes = REGISTER_BYTES * 8 // bits
        i64 = ir.IntType(64)
        # Integers may come as literals of any width; the signature makes them one type.
        signature = types.void(a, types.int64, types.int64, panel, types.int64, number, c)

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            a, a_rows, a_steps, panel, k, scale, c = args
            vector = ir.VectorType(ir.DoubleType() if bits == 64 else ir.FloatType(), lanes)
            # fused where the machine can, a product and a sum where it cannot
            fma = builder.module.declare_intrinsic(
                f"llvm.fmuladd.v{lanes}f{bits}", (), ir.FunctionType(vector, [vector] * 3)
            )
            undefined = ir.Constant(vector, ir.Undefined)
            zero = ir.Constant(vector, [0.0] * lanes)

            def broadcast(value):  # type: ignore[no-untyped-def]
                first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
                mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
                return builder.shuffle_vector(first, undefined, mask)

            def vector_at(pointer, j):  # type: ignore[no-untyped-def]
                return builder.bitcast(builder.gep(pointer, [i64(j * lanes)]), vector.as_pointer())

            entry = builder.block
            loop = builder.append_basic_block("tile.loop")
            done = builder.append_basic_block("tile.done")
            builder.branch(loop)

            builder.position_at_end(loop)
            at_k, at_a, at_panel = builder.phi(i64), builder.phi(a.type), builder.phi(panel.type)
            sums = [[builder.phi(vector) for _ in range(vectors)] for _ in range(height)]
            groups = [builder.gep(at_a, [builder.mul(a_rows, i64(g))]) for g in range(height // 4)]
            new = sums
            for u in range(INTERLEAVE):
                columns = [builder.load(vector_at(at_panel, u * vectors + j), align=bits // 8) for j in range(vectors)]
                old, new = new, []
                for r in range(height):
                    place = builder.gep(groups[r // 4], [i64(u * step + r % 4 * row)])
                    value = broadcast(builder.load(place))
                    new.append([builder.call(fma, [value, columns[j], old[r][j]]) for j in range(vectors)])
            next_k = builder.add(at_k, i64(INTERLEAVE))
            next_a = builder.gep(at_a, [a_steps])
            next_panel = builder.gep(at_panel, [i64(INTERLEAVE * vectors * lanes)])
            builder.cbranch(builder.icmp_signed("<", next_k, k), loop, done)
            starts = [(at_k, i64(0), next_k), (at_a, a, next_a), (at_panel, panel, next_panel)]
            starts += [(sums[r][j], zero, new[r][j]) for r in range(height) for j in range(vectors)]
            for phi, start, following in starts:
                phi.add_incoming(start, entry)
                phi.add_incoming(following, loop)

            builder.position_at_end(done)
            factor = broadcast(scale)
            for r in range(height):
                for j in range(vectors):
                    place = vector_at(c, r * vectors + j)
                    value = new[r][j]
                    if accumulate:
                        value = builder.call(fma, [factor, value, builder.load(place, align=bits // 8)])
                    builder.store(value, place, align=bits // 8)
            return context.get_dummy_value()

        return signature, codegen

    return tile


def _dispatched(height: int, transposed: bool, accumulate: bool) -> Any:
    """The compiled function that calls the tile for wide or narrow panels, as its first argument says."""
    wide = _tile(height, WIDE, transposed, accumulate)
    narrow = _tile(height, NARROW, transposed, accumulate)

    @jit_inline
    def tile(vectors, a, a_rows, a_steps, panel, k, scale, c):  # type: ignore[no-untyped-def]
        if vectors == WIDE:
            wide(a, a_rows, a_steps, panel, k, scale, c)
        else:
            narrow(a, a_rows, a_steps, panel, k, scale, c)

    return tile


# C = A P, rows of A from X: the forward pass, Gram matrices
product = _dispatched(4, transposed=False, accumulate=False)
tall_product = _dispatched(HEIGHT, transposed=False, accumulate=False)
# C += scale A P
add_product = _dispatched(4, transposed=False, accumulate=True)
tall_add_product = _dispatched(HEIGHT, transposed=False, accumulate=True)
# C += scale A P, rows of A from X^T: the update
add_product_t = _dispatched(4, transposed=True, accumulate=True)
tall_add_product_t = _dispatched(HEIGHT, transposed=True, accumulate=True)


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
    if column + 4 <= panels.shape[2]:
        for k in range(start, stop):
            for s in range(4):
                panels[p, k, column + s] = X[k, s]
    else:  # a panel need not hold whole groups
        for s in range(4):
            p, column = divmod(4 * g + s, panels.shape[2])
            for k in range(start, stop):
                panels[p, k, column] = X[k, s]
