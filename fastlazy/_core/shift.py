"""Features less what does not depend on the sample, in place: float32 has few digits for products of large means."""

from __future__ import annotations

from fastlazy._core.jit import jit
from fastlazy._core.team import meet, take


@jit
def shift_features(member, members, board, inner, outer, features):
    """Take inner_k + outer_j out of feature k of row j of *features* (see `gram.fill_features`), in place.

    *inner* (count,) and *outer* (rows of the operand,), of the dtype of the features; what lies beyond *count* stays.
    """
    panels, _, width = features.shape
    count = len(inner)
    p = take(board, panels, member, members)
    while p < panels:
        panel = features[p]
        for k in range(count):
            for j in range(width):
                panel[k, j] -= inner[k] + outer[p * width + j]
        p = take(board, panels, member, members)
    meet(board, members)
