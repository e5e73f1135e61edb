"""Gram matrices and kernels, block by block, in place.

Each is a sum over an inner index k of products L[i, k] R[j, k], then a function of each entry. Both sides are operands:
matrices (n, k) whose rows are the columns of panels (panels, k4, width). The result is cut into blocks of `ROWS` rows
and one panel of columns. A block is computed by register tiles, finished while it is in the cache, and copied out; of a
symmetric result only blocks that reach the diagonal or lie below it are computed, and mirrored on their way out. Where
features sigma(<w_i, x>) are summed over i, they are made for some thousand i at a time, and the sums wait in the result
itself.

Every function is called by all members of a team with their own numbers (see `team`), and ends with a meeting.
Which member takes a block does not matter to it, nor how many there are: the results are the same to the bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from fastlazy._core.jit import jit
from fastlazy._core.layout import aligned_zeros, allocate_panels, ceil_div, padded, pointer
from fastlazy._core.loops import call_loop
from fastlazy._core.moves import copy_row, copy_to_row, fill_panel, turn
from fastlazy._core.team import meet, take
from fastlazy._core.tile import multiply_panels

ROWS = 96  # rows of a block, whole panels of any width: a panel that is read from memory is used for so many rows
INNER = 40 * ROWS  # features made at a time, at most
DEPTH = 256  # features multiplied at a time: those of ROWS rows and of two panels stay in the second cache
WORD = 64  # bits of a word of signs

PANELS = 8  # panels of one item
PLAIN, SQUARED, TIMES = 0, 1, 2  # how a sum becomes an entry: see `Entry`


class Terms(NamedTuple):
    """What is summed: S_ij = sum_k L[i, k] R[j, k], or the number of bits that row i and row j share."""

    left: np.ndarray  # L, an operand
    right: np.ndarray  # R
    k: int  # numbers k to sum over
    bits: tuple[np.ndarray, np.ndarray]  # of the rows of L and of R, see `fill_bits`; empty: numbers are summed


class Part(NamedTuple):
    """Which part of the sums is added."""

    begin: bool  # it is the first: what the result held is overwritten
    finish: bool  # it is the last: the sums become entries


class Entry(NamedTuple):
    """How a sum S_ij becomes an entry.

    PLAIN     scale S_ij
    SQUARED   scale S_ij^2
    TIMES     scale S_ij times sum_k of the two others

    and shift_i shift_j is added if there is a shift.
    """

    how: int
    scale: float
    others: tuple[np.ndarray, np.ndarray]  # operands as L and R, for TIMES
    shift: np.ndarray  # (n,), or empty


def allocate_blocks(width: int, members: int, dtype: Any) -> np.ndarray:
    """Scratch (members, PANELS + 1, ROWS, width) for the blocks of an item and one more."""
    return aligned_zeros((members, PANELS + 1, ROWS, width), dtype)


def allocate_turned(d: int, members: int, dtype: Any) -> np.ndarray:
    """Scratch (members, panels, d4, width): `ROWS` rows of length d as the columns of panels, for each member."""
    return aligned_zeros((members, *allocate_panels(ROWS, d, dtype).shape), dtype)


@jit
def turn_rows(A, start, stop, panels):
    """Write rows start to stop of A (n, d) as columns of *panels* (panels, d4, width), in place."""
    width = panels.shape[2]
    for p in range(ceil_div(stop - start, width)):
        first = start + p * width
        turn(A, first, 0, min(width, stop - first), A.shape[1], panels[p], 0, 0)


@jit
def fill_operand(member, members, board, A, operand):
    """Fill *operand* with A (n, k), in place."""
    p = take(board, len(operand), member, members)
    while p < len(operand):
        fill_panel(A, p, operand[p])
        p = take(board, len(operand), member, members)
    meet(board, members)


@jit
def fill_features(member, members, board, inner, begin, count, outer, loop, turned, features, errors):
    """Fill the operand *features* (outer, inner) with sigma of the inner products of two sets of rows, in place.

    The matrix *inner* (rows, d) holds *count* of them from row *begin* on, the inner index of the features; the operand
    *outer* holds the others. *loop* is the address of sigma's loop (see `loops`), and *turned* scratch (see
    `allocate_turned`). Each member counts in *errors* (members,) the errors that sigma raised for it.
    """
    outers, d4, width = outer.shape
    chunks = ceil_div(count, ROWS)
    rows, held = turned[member], -1
    item = take(board, outers * chunks, member, members)
    while item < outers * chunks:
        # In this order inner rows stay in the cache while panels, which are smaller, come and go.
        chunk, p = divmod(item, outers)
        start, stop = chunk * ROWS, min((chunk + 1) * ROWS, count)
        if chunk != held:
            turn_rows(inner, begin + start, begin + stop, rows)
            held = chunk
        panel, end = features[p], padded(stop)
        ahead = outer[min(p + 1, outers - 1)]
        multiply_panels(rows, 0, end - start, outer[p], 0, d4, False, panel[start:], ahead, 0)
        if not call_loop(loop, pointer(panel, start * width), (stop - start) * width):
            errors[member] += 1
        for k in range(stop, end):
            panel[k] = 0
        item = take(board, outers * chunks, member, members)
    meet(board, members)


@jit
def fill_bits(member, members, board, inner, outer, turned, scratch, signs, bits):
    """Set bit i % 64 of bits[j, i // 64] where row i of *inner* and row j of *outer* have a product > 0, in place.

    *inner*, *outer*, *turned* as in `fill_features`; scratch (members, 64, width); signs (members, width) and bits
    (rows of outer, words) uint64.
    """
    outers, d4, width = outer.shape
    count = len(inner)
    words = ceil_div(count, WORD)
    rows, held = turned[member], -1
    item = take(board, outers * words, member, members)
    while item < outers * words:
        word, p = divmod(item, outers)  # the order is that of `fill_features`, for the same reason
        start, stop = word * WORD, min((word + 1) * WORD, count)
        if word != held:
            turn_rows(inner, start, stop, rows)
            held = word
        Z, ahead = scratch[member], outer[min(p + 1, outers - 1)]
        multiply_panels(rows, 0, padded(stop - start), outer[p], 0, d4, False, Z, ahead, 0)
        row = signs[member]
        row[:] = 0
        for i in range(stop - start):
            for j in range(width):  # all words of the panel at a time: so it becomes vectors
                row[j] |= np.uint64(Z[i, j] > 0) << np.uint64(i)
        for j in range(width):
            bits[p * width + j, word] = row[j]
        item = take(board, outers * words, member, members)
    meet(board, members)


@jit
def fill_blocks(member, members, board, symmetric, terms, stage, entry, scratch, out, errors):
    """Add the sums of *terms* to *out* (n, m), in place; with the last part, they become what *entry* says.

    Of a *symmetric* result only the lower half is filled until the last part comes. Each member counts in *errors*
    the panels of a block that have an entry that is not finite.
    """
    left, right, k, bits = terms
    begin, finish = stage
    n, m = out.shape
    width = scratch.shape[3]
    panels = ceil_div(m, width)
    C, D = scratch[member], scratch[member, PANELS]
    chunks = ceil_div(panels, PANELS)
    items = ceil_div(n, ROWS) * chunks
    item = take(board, items, member, members)
    while item < items:
        block, chunk = divmod(item, chunks)
        start, stop = block * ROWS, min((block + 1) * ROWS, n)
        last = padded(stop)
        p0, p1 = chunk * PANELS, min((chunk + 1) * PANELS, panels)
        if symmetric:
            p1 = min(p1, ceil_div(stop, width))
        if not begin:
            copy_in(symmetric, start, stop, p0, p1, out, C)
        counted = bits[0].size > 0
        parts = 1 if counted else max(1, ceil_div(k, DEPTH))
        for part in range(parts):
            done = part * DEPTH
            for p in range(p0, p1):
                first = p * width
                low = first_row(symmetric, start, first)
                block = C[p - p0, low - start :]
                if counted:
                    count_common_bits(bits, low, stop, first, block)
                elif done < k:
                    # what is multiplied next: the next panel, or the first one's next numbers
                    after, following = (p + 1, done) if p + 1 < p1 else (p0, done + DEPTH)
                    if following >= k:
                        after, following = p, done
                    depth, add = min(DEPTH, k - done), part > 0 or not begin
                    multiply_panels(left, low, last, right[p], done, depth, add, block, right[after], following)
                if part == parts - 1:  # the panel is in the first cache
                    if finish:
                        if entry.how == TIMES:
                            one, other = entry.others
                            ahead = other[min(p + 1, p1 - 1)]
                            multiply_panels(one, low, last, other[p], 0, other.shape[1], False, D, ahead, 0)
                        errors[member] += not finish_block(entry, low, stop, first, min(width, m - first), D, block)
                    write_block(symmetric and finish, low, stop, first, block, out)
        item = take(board, items, member, members)
    meet(board, members)


@jit
def first_row(symmetric, start, column):
    """The first row of a block from row *start* on that a panel from *column* on needs: none above the diagonal."""
    return max(start, column) if symmetric else start


@jit
def add_moments(member, members, board, features, count, y, out):
    """Add sum_s y_s features_s to *out* (t, columns), in place; *features* an operand, y (t, count)."""
    panels, _, width = features.shape
    p = take(board, panels, member, members)
    while p < panels:
        for t in range(len(y)):
            for s in range(count):
                for j in range(width):
                    out[t, p * width + j] += y[t, s] * features[p, s, j]
        p = take(board, panels, member, members)
    meet(board, members)


@jit
def mirror(member, members, board, scale, out):
    """Multiply the lower part of *out* (n, n) by *scale* and copy it to the upper, in place."""
    n, factor = len(out), out.dtype.type(scale)
    blocks = ceil_div(n, ROWS)
    item = take(board, blocks * blocks, member, members)
    while item < blocks * blocks:
        row, column = divmod(item, blocks)
        start, stop, first = row * ROWS, min((row + 1) * ROWS, n), column * ROWS
        if column <= row:
            for i in range(start, stop):
                for j in range(first, min(first + ROWS, i + 1)):
                    out[i, j] *= factor
        if column < row:
            turn(out, start, first, stop - start, ROWS, out, first, start)
        elif column == row:
            for i in range(start, stop):
                for j in range(first, i):
                    out[j, i] = out[i, j]
        item = take(board, blocks * blocks, member, members)
    meet(board, members)


@jit
def finish_block(entry, start, stop, first, columns, D, C):
    """Turn the sums C into what *entry* says, in place; True if all entries are finite. D holds sums of the others."""
    how, scale, _, shift = entry
    entries, others = C.reshape(C.size), D.reshape(D.size)
    size = (stop - start) * C.shape[1]
    factor, zero = C.dtype.type(scale), C.dtype.type(0)
    if how == PLAIN:
        for e in range(size):
            entries[e] *= factor
            zero += entries[e] * C.dtype.type(0)  # NaN for what is not finite
    elif how == SQUARED:
        for e in range(size):
            entries[e] *= factor * entries[e]
            zero += entries[e] * C.dtype.type(0)
    else:
        for e in range(size):
            entries[e] *= factor * others[e]
            zero += entries[e] * C.dtype.type(0)
    if shift.size > 0:
        for i in range(stop - start):
            for j in range(columns):
                C[i, j] += shift[start + i] * shift[first + j]
                zero += C[i, j] * C.dtype.type(0)
    return zero == 0


@jit
def copy_in(symmetric, start, stop, p0, p1, out, C):
    """Fill C (panels, rows, width) with what rows start to stop of *out* hold for panels p0 to p1, in place."""
    width = C.shape[2]
    for i in range(start, stop):  # row by row: neighbours in memory come at once
        for p in range(p0, p1):
            if i < first_row(symmetric, start, p * width):
                break
            if (p + 1) * width <= out.shape[1]:
                copy_to_row(out, i, p * width, C[p - p0], i - start)
            else:
                for j in range(out.shape[1] - p * width):
                    C[p - p0, i - start, j] = out[i, p * width + j]


@jit
def write_block(mirrored, start, stop, first, C, out):
    """Write C (rows, width) to rows start to stop of *out*, from column *first* on, in place.

    Of a *mirrored* block what is above the diagonal is left out, and the rest is written there, too.
    """
    width = C.shape[1]
    columns = min(width, out.shape[1] - first)
    for i in range(start, stop):
        count = min(columns, i + 1 - first) if mirrored else columns
        if count == width:
            copy_row(C, i - start, out, i, first)
        else:
            for j in range(count):
                out[i, first + j] = C[i - start, j]
    if not mirrored:
        return
    if first + columns <= start:
        turn(C, 0, 0, stop - start, columns, out, first, start)
    else:
        for column in range(first, first + columns):
            for i in range(max(start, column), stop):
                out[column, i] = C[i - start, column - first]


@jit
def count_common_bits(bits, start, stop, first, C):
    """Fill C (rows, width) with how many bits rows start to stop share with the rows from *first* on, in place."""
    left, right = bits
    words = left.shape[1]
    for i in range(start, stop):
        for j in range(0, C.shape[1], 2):  # two at a time share the words of row i
            here = there = np.uint64(0)
            for word in range(words):
                here += ones(left[i, word] & right[first + j, word])
                there += ones(left[i, word] & right[first + j + 1, word])
            C[i - start, j] = here
            C[i - start, j + 1] = there


@intrinsic
def ones(typingctx, word):
    """Number of ones among the bits of a word."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen
