"""Population Gram matrices of any non-linearity: a power series in the cosine of two rows, entry by entry.

No function is called for an entry. Off the diagonal cosines are of order 1 / sqrt(d), so a dozen terms are as good
as all; each panel of a block takes as many as its largest cosine needs.
"""

from __future__ import annotations

from fastlazy._core.gram import PANELS, ROWS, copy_out, copy_transposed, multiply
from fastlazy._core.jit import jit
from fastlazy._core.team import meet, take
from fastlazy._core.tile import ceil_div


@jit
def fill_series(member, members, board, unit, left, right, cuts, room, steep, out):
    """Fill *out* (N, N) with sum_k left[i, k] right[j, k] <u_i, u_j>^k off the diagonal, in place.

    *unit* is the operand of rows u_i of norm 1 or 0. left (N, K) and right (panels, K, width) hold the
    coefficients; k terms are enough for cosines up to cuts[k - 1], which do not fall with k. Each member counts in
    *steep* (members,) the panels with a cosine beyond the last cut. What the diagonal holds is not meant.
    """
    n, width = len(out), room.shape[3]
    panels = ceil_div(n, width)
    C, sums = room[member], room[member, PANELS]
    chunks = ceil_div(panels, PANELS)
    items = ceil_div(n, ROWS) * chunks
    item = take(board, items, member, members)
    while item < items:
        block, chunk = divmod(item, chunks)
        start, stop = block * ROWS, min((block + 1) * ROWS, n)
        p0, p1 = chunk * PANELS, min((chunk + 1) * PANELS, panels, ceil_div(stop, width))
        for p in range(p0, p1):
            multiply(
                unit.rows, start // 4, ceil_div(stop, 4), unit.panels[p], 0, unit.panels.shape[1], False, C[p - p0]
            )
            largest = largest_cosine(C[p - p0], start, stop, p * width)
            terms = 1
            while terms < len(cuts) and cuts[terms - 1] < largest:
                terms += 1
            steep[member] += largest > cuts[len(cuts) - 1]
            sum_series(C[p - p0], left, right[p], start, stop, terms, sums)
        copy_out(True, start, stop, p0, p1, C, out)
        copy_transposed(start, stop, p0, p1, C, out)
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
def sum_series(C, left, right, start, stop, terms, sums):
    """Replace cosines C (rows, width) by their series, in place; *sums* (rows, width) is work."""
    width = C.shape[1]
    for i in range(start, stop):
        t, total = C[i - start], sums[0]
        for j in range(width):
            total[j] = 0
        for k in range(terms - 1, -1, -1):
            for j in range(width):
                total[j] = total[j] * t[j] + left[i, k] * right[k, j]
        for j in range(width):
            t[j] = total[j]
