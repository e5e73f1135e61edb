"""Population Gram matrices of any non-linearity: a power series in the cosine of two rows, entry by entry.

No function is called for an entry. Off the diagonal cosines are of order 1 / sqrt(d), so a dozen terms are as good
as all; each panel of a block takes as many as its largest cosine needs.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastlazy._core.geometry import NARROW, REGISTER_BYTES, WIDE
from fastlazy._core.gram import PANELS, ROWS, first_row, write_block
from fastlazy._core.jit import jit, jit_inline
from fastlazy._core.layout import ceil_div, padded, pointer, vectors_of
from fastlazy._core.team import meet, take
from fastlazy._core.tile import multiply_panels


@jit
def fill_series(member, members, board, unit, left, right, cuts, low, scratch, steep, out):
    """Fill *out* (N, N) with sum_k left[i, k] right[j, k] <u_i, u_j>^k off the diagonal, in place.

    *unit* is the operand of rows u_i of norm 1 or 0. left (N, K) and right (panels, K, width) hold the coefficients,
    *low* says which of them are zero (see `sum_series`); k terms are enough for cosines up to cuts[k - 1], which do not
    fall with k. Each member counts in *steep* (members,) the panels with a cosine beyond the last cut. The diagonal is
    undefined: the caller fills it.
    """
    n, width = len(out), scratch.shape[3]
    panels = ceil_div(n, width)
    chunks = ceil_div(panels, PANELS)
    items = ceil_div(n, ROWS) * chunks
    item = take(board, items, member, members)
    while item < items:
        block, chunk = divmod(item, chunks)
        start, stop = block * ROWS, min((block + 1) * ROWS, n)
        p0, p1 = chunk * PANELS, min((chunk + 1) * PANELS, panels, ceil_div(stop, width))
        for p in range(p0, p1):
            first = p * width
            begin = first_row(True, start, first)
            C, ahead = scratch[member, 0], unit[min(p + 1, p1 - 1)]
            multiply_panels(unit, begin, padded(stop), unit[p], 0, unit.shape[1], False, C, ahead, 0)
            largest = largest_cosine(C, begin, stop, first)
            terms = 1
            while terms < len(cuts) and cuts[terms - 1] < largest:
                terms += 1
            steep[member] += largest > cuts[len(cuts) - 1]
            sum_series(C, left, right[p], begin, stop, terms, low)
            write_block(True, begin, stop, first, C, out)
        item = take(board, items, member, members)
    meet(board, members)


@jit
def largest_cosine(C, start, stop, first):
    """The largest |cosine| in C (rows, width), not counting those of a row with itself."""
    largest = C.dtype.type(0)
    for i in range(start, stop):
        own = i - first
        if 0 <= own < C.shape[1]:
            C[i - start, own] = 0
        for j in range(C.shape[1]):
            largest = max(largest, abs(C[i - start, j]))
    return largest


@jit
def sum_series(C, left, right, start, stop, terms, low):
    """Replace cosines C (rows, width) of rows *start* to *stop* by their series, in place.

    left (N, K) holds the coefficients of all rows, right (K, width) those of the panel's columns. Of the degrees from
    *low* on only every second has a coefficient, if *low* is 1 or 2, as for odd and even functions; if 0, all may.
    """
    width, vectors, i = C.shape[1], vectors_of(C), start
    step = 1 if low == 0 else 2
    top = terms - 1 - (terms - 1 - low) % step
    row, columns = left.shape[1], pointer(right, 0)
    while i + 2 <= stop:
        sum_two(vectors, pointer(left, i * row), row, columns, top, low, step, pointer(C, (i - start) * width))
        i += 2
    if i < stop:
        sum_one(vectors, pointer(left, i * row), row, columns, top, low, step, pointer(C, (i - start) * width))


def _horner(height: int, vectors: int) -> Any:
    """The intrinsic that sums the series of *height* rows of *vectors* vectors in registers, by Horner's rule.

    Arguments, pointers and int64: left (first coefficient of the first row), left_row (from one row's to the next),
    right (first coefficients of the columns), top (the highest degree), low and step (degrees top, top - step, ... down
    to low are summed, then all below low), c (first cosine; its rows are a panel's width apart).
    """

    @intrinsic
    def horner(typingctx, left, left_row, right, top, low, step, c):
        bits = c.dtype.bitwidth
        lanes = REGISTER_BYTES * 8 // bits
        i64 = ir.IntType(64)
        signature = types.void(left, types.int64, right, types.int64, types.int64, types.int64, c)

        def codegen(context, builder, signature, args):
            left, left_row, right, top, low, step, c = args
            vector = ir.VectorType(ir.DoubleType() if bits == 64 else ir.FloatType(), lanes)
            fma = builder.module.declare_intrinsic(
                f"llvm.fmuladd.v{lanes}f{bits}", (), ir.FunctionType(vector, [vector] * 3)
            )
            undefined, zero = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0.0] * lanes)
            mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)

            def broadcast(value):
                first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
                return builder.shuffle_vector(first, undefined, mask)

            def vector_at(pointer, j):
                return builder.bitcast(builder.gep(pointer, [j]), vector.as_pointer())

            def descend(first, last, by, powers, starts):
                """The sums after degrees first, first - by, ... down to last; powers are those of the cosine by by."""
                entry = builder.block
                test, body, done = (builder.append_basic_block(f"horner.{name}") for name in ("test", "body", "done"))
                builder.branch(test)
                builder.position_at_end(test)
                k, sums = builder.phi(i64), [builder.phi(vector) for _ in starts]
                builder.cbranch(builder.icmp_signed(">=", k, last), body, done)

                builder.position_at_end(body)
                at = builder.mul(k, i64(vectors * lanes))
                places = [vector_at(right, builder.add(at, i64(j * lanes))) for j in range(vectors)]
                columns = [builder.load(place, align=bits // 8) for place in places]
                new = []
                for r in range(height):
                    value = broadcast(builder.load(builder.gep(left, [builder.add(k, builder.mul(left_row, i64(r)))])))
                    for j, column in enumerate(columns):
                        e = r * vectors + j
                        new.append(builder.call(fma, [sums[e], powers[e], builder.fmul(value, column)]))
                following = builder.sub(k, by)
                builder.branch(test)
                k.add_incoming(first, entry)
                k.add_incoming(following, body)
                for phi, start, after in zip(sums, starts, new, strict=True):
                    phi.add_incoming(start, entry)
                    phi.add_incoming(after, body)
                builder.position_at_end(done)
                return sums

            places = [vector_at(c, i64(e * lanes)) for e in range(height * vectors)]
            t = [builder.load(place, align=bits // 8) for place in places]
            one = builder.icmp_signed("==", step, i64(1))
            powers = [builder.select(one, x, builder.fmul(x, x)) for x in t]
            sums = descend(top, low, step, powers, [zero] * len(t))
            sums = descend(builder.sub(low, i64(1)), i64(0), i64(1), t, sums)
            for place, value in zip(places, sums, strict=True):
                builder.store(value, place, align=bits // 8)
            return context.get_dummy_value()

        return signature, codegen

    return horner


def _dispatched(height: int) -> Any:
    """The compiled function that sums series of wide or narrow panels, as its first argument says."""
    wide, narrow = _horner(height, WIDE), _horner(height, NARROW)

    @jit_inline
    def horner(vectors, left, left_row, right, top, low, step, c):
        if vectors == WIDE:
            wide(left, left_row, right, top, low, step, c)
        else:
            narrow(left, left_row, right, top, low, step, c)

    return horner


sum_one, sum_two = _dispatched(1), _dispatched(2)
