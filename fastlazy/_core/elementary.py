"""Elementary functions that vectorise: exp, tanh, erf and their kin as polynomials without a branch.

A call of np.tanh inside a compiled loop stays a call, one value at a time. Each function here is short
straight code, written once for both dtypes, which LLVM inlines and turns into vector instructions: write
the loop over the array, and call the function on its elements.

The argument is a float32 or float64, and so is the result: nothing is promoted. Errors are below 4 units
in the last place (test_elementary.py measures them); a machine without FMA loses digits of a gaussian where
it is small. Subnormal results come out as zero. Zeros keep their sign where the function is odd, infinities
give the limit, NaN stays NaN.

The coefficients are minimax fits in the monomials (Remez's algorithm in 60 digits, the weight being the
relative error of the function that is asked for), rounded to the dtype. Their own errors stand beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastlazy._core.jit import jit_exact_inline

# Instructions and constants of either dtype. A Python number would promote a float32, type(x)(number) does not.


def _floats_only(generate: Callable[[Any, types.Float, Sequence[Any]], Any]) -> Callable[..., Any]:
    """What an intrinsic answers for arguments of one float dtype: a result of that dtype, and its instructions."""

    def answer(*arguments: Any) -> Any:
        dtype = arguments[0]
        if not isinstance(dtype, types.Float) or any(other != dtype for other in arguments):
            return None
        return dtype(*arguments), lambda context, builder, signature, values: generate(builder, dtype, values)

    return answer


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """The value a b + c: one instruction, rounded once, where the machine has it."""
    fmuladd = builder.module.declare_intrinsic("llvm.fmuladd", [a.type], ir.FunctionType(a.type, [a.type] * 3))
    return builder.call(fmuladd, [a, b, c])


@intrinsic
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """The number a b + c, in one instruction where the machine has it."""
    return _floats_only(lambda builder, dtype, values: _multiply_add(builder, *values))(a, b, c)


@intrinsic
def copysign(typing_context: Any, size: Any, sign: Any) -> Any:
    """The size of the first number with the sign of the second."""

    def generate(builder: Any, dtype: types.Float, values: Sequence[Any]) -> Any:
        number = values[0].type
        function = builder.module.declare_intrinsic("llvm.copysign", [number], ir.FunctionType(number, [number] * 2))
        return builder.call(function, values)

    return _floats_only(generate)(size, sign)


def _constant(float32: float, float64: float) -> Any:
    """Make the compiled function that gives the one or the other number, by the dtype of its argument."""

    @intrinsic
    def constant(typing_context: Any, x: Any) -> Any:
        return _floats_only(
            lambda builder, dtype, values: values[0].type(float32 if dtype == types.float32 else float64)
        )(x)

    return constant


def _polynomial(float32: Sequence[float], float64: Sequence[float]) -> Any:
    """Make the compiled polynomial with these coefficients, lowest power first.

    Neighbours are paired to linear terms, these to quadratic ones in x^2, and so on (Estrin's scheme): a chain of
    five products instead of 22 for the longest, which a processor could not overlap enough to hide. The constant
    comes last, on its own, so that it alone is rounded where it dominates.
    """

    @intrinsic
    def polynomial(typing_context: Any, x: Any) -> Any:
        def generate(builder: Any, dtype: types.Float, values: Sequence[Any]) -> Any:
            x = power = values[0]
            constant, *terms = (x.type(c) for c in (float32 if dtype == types.float32 else float64))
            while len(terms) > 1:
                pairs = zip(terms[::2], terms[1::2], strict=False)
                terms = [_multiply_add(builder, high, power, low) for low, high in pairs] + terms[len(terms) & ~1 :]
                power = builder.fmul(power, power)
            return _multiply_add(builder, terms[0], x, constant)

        return _floats_only(generate)(x)

    return polynomial


def _remainder(float32: Sequence[float], float64: Sequence[float]) -> Any:
    """Make the compiled x - k c for a constant c given in parts, their sum, that leave it nothing to round.

    The first parts are so short that their products with k are exact, and so are the differences if k is
    about x / c (Cody and Waite's reduction).
    """

    @intrinsic
    def remainder(typing_context: Any, x: Any, k: Any) -> Any:
        def generate(builder: Any, dtype: types.Float, values: Sequence[Any]) -> Any:
            rest, k = values
            for part in float32 if dtype == types.float32 else float64:
                rest = _multiply_add(builder, k, k.type(-part), rest)
            return rest

        return _floats_only(generate)(x, k)

    return remainder


def _on_bits(generate: Callable[..., Any]) -> Callable[..., Any]:
    """Let *generate* work on the bits of its arguments, as integers; it also gets the width of the fraction."""

    def on_floats(builder: Any, dtype: types.Float, values: Sequence[Any]) -> Any:
        integer = ir.IntType(dtype.bitwidth)
        fraction = integer(23 if dtype == types.float32 else 52)
        bits = generate(builder, fraction, *(builder.bitcast(value, integer) for value in values))
        return builder.bitcast(bits, values[0].type)

    return on_floats


# Adding 1.5 times 2^52 (2^23) to a number rounds it to a whole one, which then sits in its lowest bits. With
# the exponent's bias added as well, those bits are the exponent of a power of two.
_rounder = _constant(1.5 * 2**23, 1.5 * 2**52)
_biased_rounder = _constant(1.5 * 2**23 + 127, 1.5 * 2**52 + 1023)


@intrinsic
def _power_of_two(typing_context: Any, shifted: Any) -> Any:
    """2^k, for k + _biased_rounder; zero for the k below all exponents, infinity for the one above."""
    return _floats_only(_on_bits(lambda builder, fraction, bits: builder.shl(bits, fraction)))(shifted)


@intrinsic
def _negate_if_odd(typing_context: Any, y: Any, shifted: Any) -> Any:
    """(-1)^k y, for k + _rounder."""

    def generate(builder: Any, fraction: Any, y: Any, shifted: Any) -> Any:
        return builder.xor(y, builder.shl(shifted, y.type(y.type.width - 1)))

    return _floats_only(_on_bits(generate))(y, shifted)


# The exponential: e^x = 2^k e^r with k = floor(x / log 2), so that 2^k is a float whenever e^x is.

_least = _constant(-88.0, -709.0)
_largest = _constant(89.0, 710.0)
_minus_log2 = _remainder(
    (0.693115234375, 3.194618329871446e-05),
    (0.6931471805598903, 5.497923018708371e-14),
)
_exp_series = _polynomial(  # on [0, log 2]; 1.9e-9 and 3.1e-18
    (1.0, 0.9999997162167, 0.50000692913515, 0.16660431127472, 0.041929670296338, 0.0077746808793153,
     0.0019568225148627),
    (1.0, 1.0000000000000013, 0.49999999999990424, 0.16666666666933783, 0.04166666662838831, 0.008333333655301853,
     0.0013888871804674482, 0.00019841863612455292, 2.4787899687345862e-05, 2.7764098672708673e-06,
     2.560246673731201e-07, 3.534733452371301e-08),
)  # fmt: skip


@jit_exact_inline
def exp(x):
    """e^x."""
    x = _largest(x) if x > _largest(x) else x
    x = _least(x) if x < _least(x) else x
    shifted = fma(x, type(x)(1 / math.log(2)), type(x)(-0.5)) + _biased_rounder(x)
    r = _minus_log2(x, shifted - _biased_rounder(x))
    return _exp_series(r) * _power_of_two(shifted)


_gaussian_is_zero = _constant(14.0, 39.0)


@jit_exact_inline
def gaussian(x):
    """e^(-x^2 / 2)."""
    return _exp_minus_square(x, type(x)(0.5))


@jit_exact_inline
def exp_minus_square(x):
    """e^(-x^2)."""
    return _exp_minus_square(x, type(x)(1))


@jit_exact_inline
def _exp_minus_square(x, factor):
    """e^(-factor x^2), without the error that x^2 has when rounded, which is large beside 1 where x is."""
    size = abs(x)
    size = _gaussian_is_zero(x) if size > _gaussian_is_zero(x) else size
    square = size * size
    return exp(-factor * square) * (type(x)(1) - factor * fma(size, size, -square))


@jit_exact_inline
def sigmoid(x):
    """1 / (1 + e^-x)."""
    return type(x)(1) / (type(x)(1) + exp(-x))


_atanh_series = _polynomial(  # (2 atanh(s) - 2 s) / s^3 in s^2 on [0, 1/9]; 4.0e-9 and 4.6e-17 of atanh(s)
    (0.66666314561841, 0.40024917645015, 0.27960471402082, 0.28179032437817),
    (0.6666666666668305, 0.39999999995173796, 0.285714291222517, 0.22222190367645536, 0.1818287271643407,
     0.15363477850353713, 0.13593080984093864, 0.0987222318703523, 0.17797978688783517),
)  # fmt: skip


@jit_exact_inline
def log1p_exp(x):
    """log(1 + e^x), also known as softplus."""
    e = exp(-abs(x))
    s = e / (type(x)(2) + e)  # 2 atanh(s) = log(1 + e)
    return (x if x > type(x)(0) else type(x)(0)) + fma(s * s * s, _atanh_series(s * s), s + s)


# tanh and erf from e^x - 1 = 2^k (e^r - 1) + (2^k - 1) with k = round(x / log 2): nothing is lost near zero.

_expm1_series = _polynomial(  # (e^r - 1 - r) / r^2 on [-log(2) / 2, log(2) / 2]; 2.2e-8 and 3.5e-17 of e^r - 1
    (0.4999999955200862, 0.16666577213999562, 0.04166685342981011, 0.008363154149373348, 0.001390129729948096),
    (0.5000000000000001, 0.16666666666666644, 0.041666666666624254, 0.008333333333356209, 0.0013888888917160792,
     0.00019841269784670452, 2.4801521366452146e-05, 2.755735547747803e-06, 2.7620059101008136e-07,
     2.506818680051837e-08),
)  # fmt: skip


@jit_exact_inline
def _expm1(x):
    """e^x - 1 for |x| < 80."""
    shifted = fma(x, type(x)(1 / math.log(2)), _biased_rounder(x))
    r = _minus_log2(x, shifted - _biased_rounder(x))
    power = _power_of_two(shifted)
    return fma(power, fma(r * r, _expm1_series(r), r), power - type(x)(1))


_tanh_is_one = _constant(10.0, 20.0)


@jit_exact_inline
def tanh(x):
    """The hyperbolic tangent; odd to the last bit."""
    size = abs(x)
    size = _tanh_is_one(x) if size > _tanh_is_one(x) else size
    e = _expm1(size + size)
    return copysign(e / (e + type(x)(2)), x)


_erf_is_one = _constant(4.0, 5.95)
_erf_series = _polynomial(  # -log(1 - erf x) / x up to 4 and 5.95; 4.0e-9 and 2.2e-17 of erf x
    (1.1283791716082787, 0.6366193821687275, 0.10277782846011607, -0.01915305649404488, -0.00016040793103924488,
     0.001667036320011874, -0.000632839472793359, 0.00011764122924906047, -9.256161283184115e-06),
    (1.1283791670955126, 0.6366197723675909, 0.10277260330131553, -0.01912844699309665, -0.00020919485389951794,
     0.0016962076696844367, -0.0005901324291749024, 2.5904495989258556e-05, 6.442048270362915e-05,
     -2.9575689989541242e-05, 3.169706756567256e-06, 3.1329207338556903e-06, -2.0371504692429235e-06,
     5.706050572944048e-07, -1.1692487588963339e-08, -6.574074405185953e-08, 3.458746897232855e-08,
     -1.0774099620190474e-08, 2.3606807540533087e-09, -3.76098973383273e-10, 4.302126512152748e-11,
     -3.3646366930127777e-12, 1.6150194250173218e-13, -3.592550375060308e-15),
)  # fmt: skip


@jit_exact_inline
def erf(x):
    """The error function; odd to the last bit."""
    size = abs(x)
    size = _erf_is_one(x) if size > _erf_is_one(x) else size
    return copysign(_expm1(-size * _erf_series(size)), x)


# Sine and cosine from the sine on [-pi/2, pi/2]. Up to |x| = 1e6 (float32: 1e5, without FMA 1e4) they are as exact as
# the rest, near their zeros too; beyond, the parts of pi no longer suffice and the phase is slowly lost. Where nothing
# is left of it, r is far from [-pi/2, pi/2], where the series is of any size: the result is NaN, which callers refuse.

_minus_pi = _remainder(
    (3.140625, 0.0009675025939941406, 1.5099578831723193e-07, 1.0780605906948477e-14),
    (3.1415926534682512, 1.2154201012607932e-10, 4.044532497591901e-21),
)
_sin_series = _polynomial(  # sin(r) / r in r^2; 5.3e-9 and 2.6e-19
    (1.0, -0.16666656675928, 0.0083330249521432, -0.00019807405108704, 2.6018724219415e-06),
    (1.0, -0.16666666666666666, 0.008333333333333165, -0.0001984126984120176, 2.7557319210138886e-06,
     -2.5052106797008315e-08, 1.605893642638373e-10, -7.642916125582972e-13, 2.7204611804236264e-15),
)  # fmt: skip


@jit_exact_inline
def sin(x):
    """The sine; odd to the last bit."""
    shifted = fma(x, type(x)(1 / math.pi), _rounder(x))
    r = _minus_pi(x, shifted - _rounder(x))
    r = r if abs(r) < type(x)(2) else type(x)(math.nan)
    return _negate_if_odd(r * _sin_series(r * r), shifted)


@jit_exact_inline
def cos(x):
    """The cosine; even to the last bit."""
    size = abs(x)  # is r + (k + 1/2) pi
    shifted = fma(size, type(x)(1 / math.pi), type(x)(-0.5)) + _rounder(x)
    r = _minus_pi(size, shifted - _rounder(x) + type(x)(0.5))
    r = r if abs(r) < type(x)(2) else type(x)(math.nan)
    return _negate_if_odd(-r * _sin_series(r * r), shifted)
