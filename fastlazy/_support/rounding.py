"""Overflow, before and after: what may be multiplied, and results, none of which takes NaN or infinity for zero."""

from __future__ import annotations

import math

import numpy as np

from fastlazy._support.arguments import Array


def check_finite(name: str, value: float, remedy: str) -> float:
    """*value*, the result called *name*, if it is finite.

    Raises
    ------
    ValueError
        If it is infinite or NaN: something overflowed on the way. The *remedy* says what is too large.
    """
    if not math.isfinite(value):
        raise ValueError(f"{name} overflows floating point: {remedy}")
    return value


def check_risk(name: str, value: float, remedy: str) -> float:
    """*value*, or 0 where rounding has made it negative, for a result that cannot be.

    Raises
    ------
    ValueError
        As `check_finite`.
    """
    return max(check_finite(name, value, remedy), 0.0)


def check_size(W: Array, largest: float, remedy: str) -> None:
    """Raise ValueError if products of the entries of W would overflow."""
    size = float(np.abs(W).max())
    if size > largest:
        raise ValueError(
            f"W has entries of size {size:.3g}, whose products overflow; the limit is {largest:g}. Divide W by a "
            f"number and the {remedy}, which gives the same risk"
        )
