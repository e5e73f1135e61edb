"""The product of the neural tangent model's population Gram matrix with coefficients, never the matrix itself.

For rows u_i of norm 1 the block between neurons i and j is

    A_ij I + b_ij u_i u_i^T + b_ji u_j u_j^T + D_ij (u_i u_j^T + u_j u_i^T),

so that with P_ij = <u_i, x_j> the product with coefficients x_j is

    y_i = sum_j A_ij x_j + sum_j (b_ji P_jj + D_ij P_ij) u_j + (sum_j b_ij P_ij + D_ij P_jj) u_i:

three products of N x N x d. They are made for `ROWS` neurons i and `CHUNK` neurons j at a time, and the numbers
between them never leave the second cache. The arrays A, b, b^T and D hold their entries in the order in which the
products want them, in panels of i, (panels, j, width): so A stands on the left of one, and so P^T comes out of another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastlazy._core.gram import ROWS
from fastlazy._core.jit import jit, jit_inline
from fastlazy._core.layout import aligned_zeros, ceil_div, padded
from fastlazy._core.series import largest_cosine, sum_series
from fastlazy._core.team import meet, take
from fastlazy._core.tile import multiply_panels

CHUNK = 256  # neurons j at a time
_PART = 64  # neurons j of a chunk whose coefficients are computed at a time, and used while in cache


class Coefficients(NamedTuple):
    """The numbers A_ij, b_ij, b_ji and D_ij of the blocks."""

    A: np.ndarray  # (panels of i, j, width)
    own: np.ndarray  # b_ij
    other: np.ndarray  # b_ji
    cross: np.ndarray  # D_ij


class Scratch(NamedTuple):
    """Temporary memory for one block of each member of a team."""

    H: np.ndarray  # (members, panels of ROWS, CHUNK, width)
    Y: np.ndarray  # (members, panels of columns, ROWS, width)
    sums: np.ndarray  # (members, ROWS)


def allocate_coefficients(N: int, width: int, dtype: Any) -> Coefficients:
    """Memory for the coefficients of N neurons, in whole blocks of `ROWS`, all zero."""
    rows, k4 = ROWS * ceil_div(N, ROWS), padded(N)
    return Coefficients(*(aligned_zeros((rows // width, k4, width), dtype) for _ in range(4)))


def allocate_scratch(width: int, columns: tuple[int, int], members: int, dtype: Any) -> Scratch:
    """Scratch for the blocks; *columns* are the panels of a result's columns, and their width."""
    return Scratch(
        H=aligned_zeros((members, ROWS // width, CHUNK, width), dtype),
        Y=aligned_zeros((members, columns[0], ROWS, columns[1]), dtype),
        sums=aligned_zeros((members, ROWS), dtype),
    )


@jit
def fill_coefficients(member, members, board, unit, left, right, cuts, scratch, coefficients, steep):
    """Fill the *coefficients* off the diagonal by power series in the cosines <u_i, u_j>, in place.

    *unit* is the operand of the rows. left (3, N, K) and right (3, panels, K, width) hold the numbers g_k,
    sqrt(k + 1) g_{k+1} and sqrt((k + 1) (k + 2)) g_{k+2} of every row; k terms are enough for cosines up to
    cuts[k - 1], which do not fall with k. *scratch* is (members, 2 or more, ROWS, width). Each member counts in *steep*
    (members,) the pieces with a cosine beyond the last cut. The diagonal is undefined: the caller fills it.
    """
    N, width = left.shape[1], right.shape[3]
    panels, chunks = ceil_div(N, width), ceil_div(N, ROWS)
    C, S = scratch[member, 0], scratch[member, 1]
    item = take(board, panels * chunks, member, members)
    while item < panels * chunks:
        p, chunk = divmod(item, chunks)
        start, stop = chunk * ROWS, min((chunk + 1) * ROWS, N)
        multiply_panels(unit, start, padded(stop), unit[p], 0, unit.shape[1], False, C, unit[p], 0)
        largest = largest_cosine(C, start, stop, p * width)
        terms = 1
        while terms < len(cuts) and cuts[terms - 1] < largest:
            terms += 1
        steep[member] += largest > cuts[len(cuts) - 1]
        rows = stop - start
        for which in range(4):
            j, i = ((0, 0), (0, 2), (2, 0), (1, 1))[which]
            copy_rows(C, rows, S, 0)
            sum_series(S, left[j], right[i, p], start, stop, terms, 0)
            if which == 0:
                copy_rows(S, rows, coefficients.A[p], start)
            elif which == 1:
                copy_rows(S, rows, coefficients.own[p], start)
            elif which == 2:
                copy_rows(S, rows, coefficients.other[p], start)
            else:
                copy_rows(S, rows, coefficients.cross[p], start)
        item = take(board, panels * chunks, member, members)
    meet(board, members)


@jit
def copy_rows(block, count, out, at):
    """Copy *count* rows of a block into *out* from row *at* on, in place, by loops: slices would compile for long."""
    for i in range(count):
        for j in range(block.shape[1]):
            out[at + i, j] = block[i, j]


@jit
def add_tangent(member, members, board, coefficients, unit, unit_columns, X, X_columns, along, scratch, Y):
    """Fill Y (N, d) with the product of the Gram matrix and the coefficients x_j, in place.

    *unit* and *X* are the operands of the rows u_i and x_j, *unit_columns* and *X_columns* those of the columns of
    both; along (k4,) holds <u_j, x_j>.
    """
    N, d = Y.shape
    k4, (d4, width) = X_columns.shape[1], unit.shape[1:]
    H, block, sums = scratch.H[member], scratch.Y[member], scratch.sums[member]
    items = ceil_div(N, ROWS)
    item = take(board, items, member, members)
    while item < items:
        first = item * ROWS
        rows = padded(min(ROWS, N - first))
        p0 = first // width
        p1 = p0 + ceil_div(rows, width)
        sums[:] = 0
        for start in range(0, k4, CHUNK):
            stop = min(start + CHUNK, k4)
            for j in range(start, stop, _PART):
                end = min(j + _PART, stop)
                for p in range(p0, p1):
                    P, ahead = H[p - p0, j - start :], unit[min(p + 1, p1 - 1)]
                    multiply_panels(X, j, end, unit[p], 0, d4, False, P, ahead, 0)
                    combine(coefficients, p, j, end, along, P, sums[(p - p0) * width :])
            depth = stop - start
            for q in range(len(block)):
                turned = unit_columns[q, start:]
                multiply_panels(
                    coefficients.A, first, first + rows, X_columns[q], start, depth, start > 0, block[q], turned, 0
                )
                after = X_columns[min(q + 1, len(block) - 1)]
                multiply_panels(H, 0, rows, turned, 0, depth, True, block[q], after, start)
        columns = block.shape[2]
        for i in range(min(ROWS, N - first)):
            p, j = divmod(first + i, width)
            for q in range(len(block)):
                for column in range(q * columns, min((q + 1) * columns, d)):
                    Y[first + i, column] = block[q, i, column - q * columns] + sums[i] * unit[p, column, j]
        item = take(board, items, member, members)
    meet(board, members)


@jit_inline
def combine(coefficients, p, start, stop, along, P, sums):
    """Turn P^T (j, width) into b_ji P_jj + D_ij P_ij, in place, and add b_ij P_ij + D_ij P_jj to *sums* (width,)."""
    own, other, cross = coefficients.own[p], coefficients.other[p], coefficients.cross[p]
    for j in range(start, stop):
        row, t = P[j - start], along[j]
        for i in range(P.shape[1]):
            value = row[i]
            sums[i] += own[j, i] * value + cross[j, i] * t
            row[i] = other[j, i] * t + cross[j, i] * value
