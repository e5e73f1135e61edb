"""The named non-linearities and their derivatives, for the inside of compiled loops, where they vectorise.

Each takes a float32 or float64 and gives that dtype back. Those that jump take the left value where they do,
so that the derivative of relu is `step`, one and the same function: kernels may test for it.
`scalar` makes the like of them from a user's function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numba

from fastlazy._core import elementary
from fastlazy._core.constants import LEAKY_SLOPE
from fastlazy._core.jit import jit_inline

erf = elementary.erf
tanh = elementary.tanh
sigmoid = elementary.sigmoid
softplus = elementary.log1p_exp
sin = elementary.sin
cos = elementary.cos
exp = elementary.exp


@jit_inline
def linear(x):
    """The identity."""
    return x


@jit_inline
def square(x):
    """x^2."""
    return x * x


@jit_inline
def he2(x):
    """x^2 - 1."""
    return x * x - type(x)(1)


@jit_inline
def he3(x):
    """x^3 - 3 x."""
    return x * (x * x - type(x)(3))


@jit_inline
def step(x):
    """1 for x > 0, else 0."""
    return type(x)(1) if x > type(x)(0) else type(x)(0)


@jit_inline
def relu(x):
    """max(x, 0)."""
    return type(x)(0) if x < type(x)(0) else x


@jit_inline
def leaky_relu(x):
    """The argument for x > 0, else LEAKY_SLOPE times it."""
    return x if x > type(x)(0) else type(x)(LEAKY_SLOPE) * x


@jit_inline
def silu(x):
    """The product of x and its sigmoid."""
    return x * sigmoid(x)


@jit_inline
def gelu(x):
    """The product of x and the normal distribution function; its error is some units in the last place of x."""
    return x * _normal_distribution(x)


@jit_inline
def _normal_distribution(x):
    return type(x)(0.5) + type(x)(0.5) * erf(x * type(x)(math.sqrt(0.5)))


# Derivatives.

d_relu = step
d_softplus = sigmoid
d_sin = cos
d_exp = exp


@jit_inline
def d_linear(x):
    """1."""
    return type(x)(1)


@jit_inline
def d_square(x):
    """2 x."""
    return x + x


d_he2 = d_square


@jit_inline
def d_he3(x):
    """3 x^2 - 3."""
    return type(x)(3) * (x * x - type(x)(1))


@jit_inline
def d_leaky_relu(x):
    """1 for x > 0, else LEAKY_SLOPE."""
    return type(x)(1) if x > type(x)(0) else type(x)(LEAKY_SLOPE)


@jit_inline
def d_erf(x):
    """2 / sqrt(pi) e^(-x^2)."""
    return type(x)(2 / math.sqrt(math.pi)) * elementary.exp_minus_square(x)


@jit_inline
def d_sigmoid(x):
    """The product of sigmoid(x) and sigmoid(-x)."""
    e = exp(-abs(x))
    return e / ((type(x)(1) + e) * (type(x)(1) + e))


@jit_inline
def d_tanh(x):
    """1 / cosh(x)^2."""
    return type(x)(4) * d_sigmoid(x + x)


@jit_inline
def d_silu(x):
    """The derivative of x sigmoid(x)."""
    s = sigmoid(x)
    return s * (type(x)(1) + x * (type(x)(1) - s))


@jit_inline
def d_gelu(x):
    """Phi(x) + x Phi'(x)."""
    return _normal_distribution(x) + type(x)(1 / math.sqrt(2 * math.pi)) * x * elementary.gaussian(x)


@jit_inline
def d_cos(x):
    """-sin(x)."""
    return -sin(x)


# A user's function.


def scalar(function: Callable[[float], float]) -> Any:
    """The compiled form of a user's *function* of one number: as the functions above, and nothing is reordered in it.

    Not cached on disk: what the function calls or refers to may change without a trace.
    """
    inner = function
    if isinstance(function, FunctionType):  # else it is compiled already, or known to numba, as np.tanh is
        inner = numba.njit(nogil=True, error_model="numpy", forceinline=True)(function)

    @jit_inline
    def compiled(x):
        return type(x)(inner(x))

    return compiled


def evaluator(compiled: Any) -> Any:
    """The compiled loop that writes the values of *compiled* on *x* (n,) into *out* (n,)."""

    @numba.njit(nogil=True, error_model="numpy")
    def evaluate(x, out):
        for i in range(x.size):
            out[i] = compiled(x[i])

    return evaluate
