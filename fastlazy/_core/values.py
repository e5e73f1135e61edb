"""Values of fitted models on samples, panel by panel of samples, in place; features are made and summed in the cache.

Every function is called by all members of a team (see `team`) and ends with a meeting; an item is one panel, whose
sum has a fixed order: the results are the same to the bit for any number of members.
"""

from __future__ import annotations

import numpy as np

from fastlazy._core.gram import ROWS
from fastlazy._core.jit import jit
from fastlazy._core.layout import padded, pointer
from fastlazy._core.loops import call_loop
from fastlazy._core.team import meet, take
from fastlazy._core.tile import multiply_panels


@jit
def add_rf_values(member, members, board, W, count, X, loop, a, scratch, out, errors):
    """Add sum_i a_ti sigma(<w_i, x>) to *out* (t, samples), in place.

    The operand W holds *count* neurons, X the samples (see `gram`), a (t, count) float64. *loop* is the address of
    sigma's loop (see `loops`), scratch (members, >= ROWS, width). Each member counts in *errors* (members,) the errors
    that sigma raised for it.
    """
    panels, d4, width = X.shape
    C = scratch[member]
    p = take(board, panels, member, members)
    while p < panels:
        columns = min(width, out.shape[1] - p * width)
        for start in range(0, count, ROWS):
            stop = min(start + ROWS, count)
            multiply_panels(W, start, padded(stop), X[p], 0, d4, False, C, X[p], 0)
            if not call_loop(loop, pointer(C, 0), (stop - start) * width):
                errors[member] += 1
            for t in range(len(a)):
                for i in range(start, stop):
                    for j in range(columns):
                        out[t, p * width + j] += a[t, i] * C[i - start, j]
        p = take(board, panels, member, members)
    meet(board, members)


@jit
def add_nt_values(member, members, board, W, b, count, X, loop, scratch, out, errors):
    """Add sum_i <b_ti, x> sigma'(<w_i, x>) to *out* (t, samples), in place; *b* holds t operands, the rest is as above.

    *loop* is that of sigma', scratch (members, >= 2 ROWS, width).
    """
    panels, d4, width = X.shape
    C, D = scratch[member, :ROWS], scratch[member, ROWS:]
    p = take(board, panels, member, members)
    while p < panels:
        columns = min(width, out.shape[1] - p * width)
        for start in range(0, count, ROWS):
            stop = min(start + ROWS, count)
            multiply_panels(W, start, padded(stop), X[p], 0, d4, False, C, X[p], 0)
            if not call_loop(loop, pointer(C, 0), (stop - start) * width):
                errors[member] += 1
            for t in range(len(b)):
                multiply_panels(b[t], start, padded(stop), X[p], 0, d4, False, D, X[p], 0)
                for i in range(stop - start):
                    for j in range(columns):
                        out[t, p * width + j] += np.float64(C[i, j]) * np.float64(D[i, j])
        p = take(board, panels, member, members)
    meet(board, members)
