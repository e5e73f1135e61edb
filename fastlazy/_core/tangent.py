"""The product of the neural tangent model's population Gram matrix with coefficients, never the matrix itself.

For rows u_i of norm 1 the block between neurons i and j is

    A_ij I + b_ij u_i u_i^T + b_ji u_j u_j^T + D_ij (u_i u_j^T + u_j u_i^T),

so that with P_ij = <u_i, x_j> the product with coefficients x_j is

    y_i = sum_j A_ij x_j + sum_j (b_ji P_jj + D_ij P_ij) u_j + (sum_j b_ij P_ij + D_ij P_jj) u_i:

three products of N x N x d. They are made for `ROWS` neurons i and `CHUNK` neurons j at a time, and the numbers
between them never leave the second cache. The arrays A, b, b^T and D hold their entries in the order in which the
products want them: A interleaved by i (groups, j, 4), as it stands on the left of one; the others in panels of i,
(panels, j, width), as P^T comes out of another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastlazy._core.gram import ROWS
from fastlazy._core.jit import jit, jit_inline
from fastlazy._core.layout import aligned_zeros, ceil_div, copy_from_panel, groups_of, padded
from fastlazy._core.series import largest_cosine, sum_series
from fastlazy._core.team import meet, take
from fastlazy._core.tile import multiply

CHUNK = 256  # neurons j at a time
_PART = 64  # neurons j of a chunk whose coefficients are computed at a time, and used while in cache


class Coefficients(NamedTuple):
    """The numbers A_ij, b_ij, b_ji and D_ij of the blocks."""

    A: np.ndarray  # (groups of i, j, 4)
    own: np.ndarray  # (panels of i, j, width): b_ij
    other: np.ndarray  # b_ji
    cross: np.ndarray  # D_ij


class Scratch(NamedTuple):
    """Temporary memory for one block of each member of a team."""

    P: np.ndarray  # (members, CHUNK, width)
    H: np.ndarray  # (members, ROWS / 4, CHUNK, 4)
    Y: np.ndarray  # (members, panels of columns, ROWS, width)
    sums: np.ndarray  # (members, ROWS)


def allocate_coefficients(N: int, width: int, dtype: Any) -> Coefficients:
    """Memory for the coefficients of N neurons, in whole blocks of `ROWS`, all zero."""
    rows, k4 = ROWS * ceil_div(N, ROWS), padded(N)
    panels = (aligned_zeros((rows // width, k4, width), dtype) for _ in range(3))
    return Coefficients(aligned_zeros((rows // 4, k4, 4), dtype), *panels)


def allocate_scratch(width: int, columns: tuple[int, int], members: int, dtype: Any) -> Scratch:
    """Scratch for the blocks; *columns* are the panels of a result's columns, and their width."""
    return Scratch(
        P=aligned_zeros((members, CHUNK, width), dtype),
        H=aligned_zeros((members, ROWS // 4, CHUNK, 4), dtype),
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
        last = groups_of(stop)
        multiply(unit.rows, start // 4, last, unit.panels[p], 0, unit.panels.shape[1], False, C)
        largest = largest_cosine(C, start, stop, p * width)
        terms = 1
        while terms < len(cuts) and cuts[terms - 1] < largest:
            terms += 1
        steep[member] += largest > cuts[len(cuts) - 1]
        rows = stop - start
        for which in range(4):
            j, i = ((0, 0), (0, 2), (2, 0), (1, 1))[which]
            copy_rows(C, rows, S, 0)
            sum_series(S, left[j], right[i, p], start, stop, terms)
            if which == 0:
                copy_from_panel(S, p, 0, rows, coefficients.A, start)
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

    *unit* is the operand of the rows u_i, *X* (groups, d4, 4) the x_j interleaved; *unit_columns* and *X_columns*
    (panels, k4, width) are the columns of both in panels; along (k4,) holds <u_j, x_j>.
    """
    N, d = Y.shape
    k4, width = X_columns.shape[1], unit.panels.shape[2]
    P, H, block, sums = scratch.P[member], scratch.H[member], scratch.Y[member], scratch.sums[member]
    items = ceil_div(N, ROWS)
    item = take(board, items, member, members)
    while item < items:
        first = item * ROWS
        groups = groups_of(min(ROWS, N - first))
        p0 = first // width
        p1 = p0 + ceil_div(4 * groups, width)
        sums[:] = 0
        for start in range(0, k4, CHUNK):
            stop = min(start + CHUNK, k4)
            for j in range(start, stop, _PART):
                end = min(j + _PART, stop)
                for p in range(p0, p1):
                    last = groups_of(end)
                    multiply(X, j // 4, last, unit.panels[p], 0, unit.panels.shape[1], False, P)
                    combine(coefficients, p, j, end, along, P, sums[(p - p0) * width :])
                    copy_from_panel(P, p - p0, 0, end - j, H, j - start)
            for q in range(len(block)):
                A, g = coefficients.A, first // 4
                multiply(A, g, g + groups, X_columns[q], start, stop - start, start > 0, block[q])
                multiply(H, 0, groups, unit_columns[q][start:], 0, stop - start, True, block[q])
        columns = block.shape[2]
        for i in range(min(ROWS, N - first)):
            g, s = divmod(first + i, 4)
            for q in range(len(block)):
                for column in range(q * columns, min((q + 1) * columns, d)):
                    Y[first + i, column] = block[q, i, column - q * columns] + sums[i] * unit.rows[g, column, s]
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
