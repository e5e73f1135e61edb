"""What a number may be that is known to be positive: no clamp here takes NaN or infinity for zero."""

from __future__ import annotations

import math


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
