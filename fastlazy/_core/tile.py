"""The register tile: a small matrix product that never leaves the processor's registers.

Everything fast in this package is a loop around one product, ``C[r, j] (+)= sum_k A[r, k] P[k, j]``,
for a few rows r and one panel of columns j. The sums stay in ``height x vectors`` vector registers; for
each k the tile loads ``vectors`` vectors of P, broadcasts ``height`` numbers of A and does one fused
multiply-add per register. That is few enough loads per multiply-add to keep both multipliers of a core
busy in every cycle. LLVM does not keep such a block of sums in registers by itself, so the tile is
written as LLVM vectors, through `numba.extending.intrinsic`.

The layouts of A, P and C, and how they are padded, are those of `layout`. All that is compiled multiplies through the
three functions at the end, `multiply_panels`, `multiply` and `add_transposed`: they alone know how tall a tile is.

A panel is read once for each tile of a block, the first time from memory. So that this first tile need not wait, those
of the panel before ask for it ahead of time, one line of the cache every four steps.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastlazy._core.geometry import HEIGHT, NARROW, REGISTER_BYTES, WIDE
from fastlazy._core.jit import jit, jit_inline
from fastlazy._core.layout import INTERLEAVE, pointer, vectors_of

TALL = HEIGHT // INTERLEAVE  # groups of four rows of a tile


def _tile(height: int, vectors: int, layout: str, accumulate: bool) -> Any:
    """The intrinsic for tiles of *height* rows and *vectors* vectors of columns.

    The rows of A are those of an "interleaved" X, of X^T ("transposed"), or columns of "panels". With *accumulate*
    the product is added to C; else it replaces C. Arguments, pointers and int64:
    a (first number of A), a_rows (from one group of four rows of A to the next), a_steps (from one group
    of four k to the next), panel (first number of P), k (a multiple of 4), c (first number of C;
    its rows are a panel's width apart), ahead (a number whose line of the cache will be wanted soon), stride (from it
    to the next one, of the next group of four k). The last two are for panels.
    """
    row, step = (INTERLEAVE, 1) if layout == "transposed" else (1, INTERLEAVE)

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(typingctx, a, a_rows, a_steps, panel, k, c, ahead, stride):  # type: ignore[no-untyped-def]
        bits = c.dtype.bitwidth
        lanes = REGISTER_BYTES * 8 // bits
        i64, i32, i8 = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
        # Integers may come as literals of any width; the signature makes them one type.
        signature = types.void(a, types.int64, types.int64, panel, types.int64, c, ahead, types.int64)

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            a, a_rows, a_steps, panel, k, c, ahead, stride = args
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

            def fetch(pointer):  # type: ignore[no-untyped-def]
                kind = ir.FunctionType(ir.VoidType(), [i8, i32, i32, i32])
                name = "llvm.prefetch.p0i8"
                prefetch = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
                # to be read, into all caches, as data
                builder.call(prefetch, [builder.bitcast(pointer, i8), i32(0), i32(3), i32(1)])

            entry = builder.block
            loop = builder.append_basic_block("tile.loop")
            done = builder.append_basic_block("tile.done")
            # from one k to the next
            between = builder.sdiv(a_steps, i64(INTERLEAVE)) if layout == "panels" else i64(step)
            builder.branch(loop)

            builder.position_at_end(loop)
            at_k, at_a, at_panel, at_ahead = (builder.phi(kind) for kind in (i64, a.type, panel.type, ahead.type))
            sums = [[builder.phi(vector) for _ in range(vectors)] for _ in range(height)]
            groups = [builder.gep(at_a, [builder.mul(a_rows, i64(g))]) for g in range(height // 4)]
            new = sums
            if layout == "panels":
                fetch(at_ahead)
            for u in range(INTERLEAVE):
                at_u = builder.mul(between, i64(u))
                columns = [builder.load(vector_at(at_panel, u * vectors + j), align=bits // 8) for j in range(vectors)]
                old, new = new, []
                for r in range(height):
                    place = builder.gep(builder.gep(groups[r // 4], [at_u]), [i64(r % 4 * row)])
                    value = broadcast(builder.load(place))
                    new.append([builder.call(fma, [value, columns[j], old[r][j]]) for j in range(vectors)])
            next_k = builder.add(at_k, i64(INTERLEAVE))
            next_a = builder.gep(at_a, [a_steps])
            next_panel = builder.gep(at_panel, [i64(INTERLEAVE * vectors * lanes)])
            next_ahead = builder.gep(at_ahead, [stride])
            builder.cbranch(builder.icmp_signed("<", next_k, k), loop, done)
            starts = [(at_k, i64(0), next_k), (at_a, a, next_a), (at_panel, panel, next_panel)]
            starts += [(at_ahead, ahead, next_ahead)]
            starts += [(sums[r][j], zero, new[r][j]) for r in range(height) for j in range(vectors)]
            for phi, start, following in starts:
                phi.add_incoming(start, entry)
                phi.add_incoming(following, loop)

            builder.position_at_end(done)
            for r in range(height):
                for j in range(vectors):
                    place = vector_at(c, r * vectors + j)
                    value = new[r][j]
                    if accumulate:
                        value = builder.fadd(value, builder.load(place, align=bits // 8))
                    builder.store(value, place, align=bits // 8)
            return context.get_dummy_value()

        return signature, codegen

    return tile


def _dispatched(height: int, layout: str, accumulate: bool) -> Any:
    """The compiled function that calls the tile for wide or narrow panels, as its first argument says."""
    wide = _tile(height, WIDE, layout, accumulate)
    narrow = _tile(height, NARROW, layout, accumulate)

    @jit_inline
    def tile(vectors, a, a_rows, a_steps, panel, k, c, ahead, stride):  # type: ignore[no-untyped-def]
        if vectors == WIDE:
            wide(a, a_rows, a_steps, panel, k, c, ahead, stride)
        else:
            narrow(a, a_rows, a_steps, panel, k, c, ahead, stride)

    return tile


# C = A P and C += A P with rows of A from panels or from an interleaved X; C += A P with rows of A from X^T. Short ones
# take what fills no tall tile.
_fill, _tall_fill = (_dispatched(height, "panels", False) for height in (INTERLEAVE, HEIGHT))
_add, _tall_add = (_dispatched(height, "panels", True) for height in (INTERLEAVE, HEIGHT))
_product, _tall_product = (_dispatched(height, "interleaved", False) for height in (INTERLEAVE, HEIGHT))
_add_product, _tall_add_product = (_dispatched(height, "interleaved", True) for height in (INTERLEAVE, HEIGHT))
_add_product_t, _tall_add_product_t = (_dispatched(height, "transposed", True) for height in (INTERLEAVE, HEIGHT))


@jit
def multiply_panels(A, first, last, panel, start, depth, accumulate, C, ahead, ahead_start):  # type: ignore[no-untyped-def]
    """Fill C (rows, width) with the products of columns of A, in panels, and one *panel*, or add them to it, in place.

    Columns *first* to *last* of A (panels, k4, its width), multiples of four, are the rows of C; the sum is over
    *depth* numbers, a multiple of four, from *start* on. From row *ahead_start* on, *ahead* (k4, width) is the panel
    that is multiplied next, or the same one.
    """
    k4, own = A.shape[1:]
    width, vectors, p = panel.shape[1], vectors_of(panel), pointer(panel, start * panel.shape[1])
    stride = max(1, INTERLEAVE * width * HEIGHT // max(last - first, HEIGHT))  # all of the panel in all of these tiles
    place = ahead_start * width
    row = first
    while row < last:
        q, column = divmod(row, own)
        a, c = pointer(A, (q * k4 + start) * own + column), pointer(C, (row - first) * width)
        next_line = pointer(ahead, place)
        if row + HEIGHT <= last and column + HEIGHT <= own:
            if accumulate:
                _tall_add(vectors, a, 4, 4 * own, p, depth, c, next_line, stride)
            else:
                _tall_fill(vectors, a, 4, 4 * own, p, depth, c, next_line, stride)
            row += HEIGHT
        else:
            if accumulate:
                _add(vectors, a, 4, 4 * own, p, depth, c, next_line, stride)
            else:
                _fill(vectors, a, 4, 4 * own, p, depth, c, next_line, stride)
            row += INTERLEAVE
        place += depth // INTERLEAVE * stride


@jit
def multiply(X, first, last, panel, start, depth, accumulate, C):  # type: ignore[no-untyped-def]
    """Fill C (rows, width) with the products of rows of X and one panel, or add them to it, in place.

    The rows are groups *first* to *last* of X (groups, k4, 4) interleaved; the sum is over *depth* numbers, a multiple
    of four, from *start* on, of each row and of the *panel* (k4, width). Rows 0 to 4 (last - first) of C are written.
    """
    k4, width = X.shape[1], panel.shape[1]
    vectors, p = vectors_of(panel), pointer(panel, start * width)
    g = first
    while g + TALL <= last:
        x, c = pointer(X, (g * k4 + start) * 4), pointer(C, (g - first) * 4 * width)
        if accumulate:
            _tall_add_product(vectors, x, 4 * k4, 16, p, depth, c, p, 0)
        else:
            _tall_product(vectors, x, 4 * k4, 16, p, depth, c, p, 0)
        g += TALL
    while g < last:
        x, c = pointer(X, (g * k4 + start) * 4), pointer(C, (g - first) * 4 * width)
        if accumulate:
            _add_product(vectors, x, 4 * k4, 16, p, depth, c, p, 0)
        else:
            _product(vectors, x, 4 * k4, 16, p, depth, c, p, 0)
        g += 1


@jit
def add_transposed(X, panel, first, last, C):  # type: ignore[no-untyped-def]
    """Add X^T times one panel to rows 4 first to 4 last of C (k4, width), in place.

    X (groups, k4, 4) interleaved, *panel* (4 groups, width): the sum is over the rows of both.
    """
    groups, k4, _ = X.shape
    width, vectors, p = panel.shape[1], vectors_of(panel), pointer(panel, 0)
    i = first
    while i + TALL <= last:
        _tall_add_product_t(vectors, pointer(X, i * 16), 16, 4 * k4, p, 4 * groups, pointer(C, i * 4 * width), p, 0)
        i += TALL
    while i < last:
        _add_product_t(vectors, pointer(X, i * 16), 16, 4 * k4, p, 4 * groups, pointer(C, i * 4 * width), p, 0)
        i += 1
