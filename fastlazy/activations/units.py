"""Non-linearities of extreme size, such as 1e-200 x^2, in a unit of their own, so that no square of a value is lost.

A risk does not depend on the unit of sigma if the coefficients and the ridge are in the same unit. Moments are means of
squares of values, which overflow from sizes of 1e154 on, and underflow below 1e-154. Defects are squared, too, and are
smaller than the values by up to 16 digits.
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import UNKNOWN, Activation

_EXTREME = 200  # sigma gets another unit if its size is above 2^200 or below 2^-200
_LARGEST = 1e300  # the ridge that stands for a larger one


class _Scaled(Activation):
    """sigma / 2^exponent, for population quantities, which ask for values alone."""

    whole: Activation
    exponent: int

    def __init__(self, whole: Activation, exponent: int) -> None:
        fields = {"name": whole.name, "function": whole.function, "derivative": whole.derivative}
        for field, value in (fields | {"whole": whole, "exponent": exponent}).items():
            object.__setattr__(self, field, value)

    @cached_property
    def _content(self) -> Any:
        return self.whole, self.exponent

    def values(self, x: Array, derivative: int = 0) -> Array:
        with np.errstate(over="ignore", under="ignore"):
            return np.ldexp(self.whole.values(x, derivative), -self.exponent)


@lru_cache(maxsize=256)
def in_own_unit(activation: Activation) -> tuple[Activation, int]:
    """A function of ordinary size and the exponent k for which sigma is 2^k times it: 0 for all but extreme ones.

    The size is that on [-1, 1] where sigma is large, and that on [-10, 10] where it is small: a function that grows
    fast is not extreme because its values far out are.
    """
    if activation.known is not UNKNOWN:  # a named function is of ordinary size
        return activation, 0
    x = np.linspace(-10, 10, 401)  # where a function has been found to be finite
    sizes = np.abs(activation.values(x))
    near, far = float(sizes[np.abs(x) <= 1].max()), float(sizes.max())
    for size, extreme in ((near, near > 2.0**_EXTREME), (far, 0 < far < 2.0**-_EXTREME)):
        if extreme:
            exponent = math.frexp(size)[1]
            return _Scaled(activation, exponent), exponent
    return activation, 0


def times_power(values: Any, exponent: int) -> Any:
    """Numbers or arrays times 2^exponent, infinite where they overflow."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(values, exponent) if exponent else values


def ridge_in_unit(ridge: float, exponent: int) -> float:
    """A ridge beside squares of sigma / 2^exponent; one so large that nothing is learned stays a number."""
    return min(float(times_power(ridge, -2 * exponent)), _LARGEST) if exponent else ridge
