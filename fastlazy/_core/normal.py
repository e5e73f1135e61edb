"""Independent standard normals from a counter: the same numbers for any order, thread or machine.

Position i of a stream depends on (key, stream, i) and the dtype alone. Positions come in groups of 128.
A group takes consecutive 128-bit Philox counters (32 of them for float32, 64 for float64): words 0 and 1
count, words 2 and 3 are the stream. The words of a group are first laid down as 128 integers of the
dtype's own width; then integers j and 64 + j make one Box-Muller pair, which lands at positions j and
64 + j. So no value ever crosses a vector lane, whatever the vector's width.

Every operation is exactly rounded IEEE or integer arithmetic in a fixed order, and logarithm, sine and
cosine are polynomials in it: hence the same bits on every (little-endian) machine, with FMA or without.

References
----------
J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
G. Box, M. Muller, "A note on the generation of random normal deviates", 1958.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numba.np.numpy_support import carray

from fastlazy._core.jit import jit_exact, jit_exact_inline

_F = np.float32
_I = np.int32
_U = np.uint64

_GROUP = 128
_HALF = _U(_GROUP // 2)

# The fewest rounds that pass all of TestU01's BigCrush (Salmon et al. 2011). Their default of 10 adds a
# margin and would take a quarter of a nanosecond, or a fifth of the time, more for each float32 normal.
_ROUNDS = 7
_MULTIPLIERS = _U(0xD2511F53), _U(0xCD9E8D57)
_WEYL = _U(0x9E3779B9), _U(0xBB67AE85)
_LOW = _U(0xFFFFFFFF)
_WORD = _U(32)


@jit_exact
def fill_normals(key, stream, out):
    """Fill *out* in place with the first normals of a stream.

    Parameters
    ----------
    key, stream : uint64
        Any two different pairs give independent sequences.
    out : array (m,), float32 or float64
        Receives positions 0 to m - 1. A shorter array gets the start of a longer one; the two dtypes
        share no values. Largest magnitude possible: 6.55 in float32, 8.57 in float64.
    """
    key, stream = _U(key), _U(stream)
    whole = _U(out.size) // _U(_GROUP) * _U(_GROUP)
    _fill_groups(key, stream, _U(0), out)
    if whole < _U(out.size):
        last = carray(_stack(), _GROUP, out.dtype)
        _fill_groups(key, stream, whole, last)
        for i in range(_U(out.size) - whole):
            out[whole + i] = last[i]


@jit_exact
def fill_signs(key, stream, out):
    """Fill *out* (4,) in place with fair signs, 1 or -1, of a stream: the same four for either dtype.

    They are bits of the last counter there is, which no array of normals is long enough to reach.
    """
    key, stream = _U(key), _U(stream)
    word, _ = philox(_LOW, _LOW, stream & _LOW, stream >> _WORD, key & _LOW, key >> _WORD)
    for s in range(4):
        out[s] = np.int64((word >> _U(s)) & _U(1)) * 2 - 1


@jit_exact_inline
def philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-7 of a counter under a key: output words 0 and 1, and 2 and 3, as two uint64.

    Words go in as uint64 below 2^32: in a lane of 64 bits a round is two multiplications, two shifts and
    four exclusive ors, with no shuffle; what piles up in the high halves is masked by the multiplication
    itself. The lower-numbered word comes out in the high half of its uint64, where the last round has it.
    """
    # The count is a constant so that LLVM unrolls it; without that nothing here vectorises, and a fill takes
    # four times as long (test_normal.py looks).
    for _ in range(_ROUNDS - 1):
        p0, p1 = _MULTIPLIERS[0] * (c0 & _LOW), _MULTIPLIERS[1] * (c2 & _LOW)
        c0, c1, c2, c3 = (p1 >> _WORD) ^ c1 ^ k0, p1, (p0 >> _WORD) ^ c3 ^ k1, p0
        k0, k1 = k0 + _WEYL[0], k1 + _WEYL[1]
    p0, p1 = _MULTIPLIERS[0] * (c0 & _LOW), _MULTIPLIERS[1] * (c2 & _LOW)
    return p1 ^ ((c1 ^ k0) << _WORD), p0 ^ ((c3 ^ k1) << _WORD)


def _fill_groups(key, stream, start, out):
    """Fill the whole groups of *out* (m,) in place with positions start, start + 1, ... of a stream."""
    raise TypeError("for compiled code only")


@overload(_fill_groups)
def _fill_groups_of_dtype(key, stream, start, out):
    if out.dtype == types.float32:
        return lambda key, stream, start, out: _fill_groups32(key, stream, start, out)
    return lambda key, stream, start, out: _fill_groups64(key, stream, start, out)


@jit_exact
def _fill_groups32(key, stream, start, out):
    """See _fill_groups; *out* is float32."""
    stack = _stack()
    words = carray(stack, _GROUP // 2, np.uint64)
    integers = carray(stack, _GROUP, np.uint32)
    for at in range(_U(0), _U(out.size) // _U(_GROUP) * _U(_GROUP), _U(_GROUP)):
        counter = (start + at) >> _U(2)
        c0, c1 = counter & _LOW, counter >> _WORD
        for i in range(_HALF // _U(2)):
            words[i], words[_HALF // _U(2) + i] = philox(
                c0 + i, c1, stream & _LOW, stream >> _WORD, key & _LOW, key >> _WORD
            )
        for i in range(_HALF):
            out[at + i], out[at + _HALF + i] = _pair32(integers[i], integers[_HALF + i])


@jit_exact
def _fill_groups64(key, stream, start, out):
    """See _fill_groups; *out* is float64."""
    words = carray(_stack(), _GROUP, np.uint64)
    for at in range(_U(0), _U(out.size) // _U(_GROUP) * _U(_GROUP), _U(_GROUP)):
        counter = (start + at) >> _U(1)
        c0, c1 = counter & _LOW, counter >> _WORD
        for i in range(_HALF):
            words[i], words[_HALF + i] = philox(c0 + i, c1, stream & _LOW, stream >> _WORD, key & _LOW, key >> _WORD)
        for i in range(_HALF):
            out[at + i], out[at + _HALF + i] = _pair64(words[i], words[_HALF + i])


# In both functions below, -2 log(2^e m) = -2 e log 2 + s P(s^2) with s = (m - 1) / (m + 1), m between
# sqrt(1/2) and sqrt(2); the angle is pi/2 (t + n) with t in [-1/2, 1/2): t is the integer v, and two low
# bits of u that the radius does not use choose the quarter n, by a sign and by a swap. The coefficients
# are minimax fits (Remez) of relative error 8e-10, 3e-9 and 4e-8 for float32 and 1e-18, 3e-18 and 6e-17
# for float64 (logarithm, sine, cosine). Sums are split in even and odd powers to shorten the chain.

_SQRT_HALF32, _ONE32, _FRACTION32 = _I(0x3F3504F3), _I(0x3F800000), _I(0x007FFFFF)
_SQRT_HALF64, _ONE64, _FRACTION64 = _U(0x3FE6A09E667F3BCD), _U(0x3FF0000000000000), _U(0x000FFFFFFFFFFFFF)
_TWO_52 = _U(0x4330000000000000)  # 2.0**52: whole numbers below 2**52 sit in its fraction bits


@jit_exact_inline
def _pair32(u, v):
    """Two independent float32 normals from two uint32."""
    # (2n + 1) / 2^31 with n the 30 high bits of u: never 0, and fine in the tail.
    odd = _bits_of_float32(_F(_I((u >> np.uint32(1)) | np.uint32(1)))) + _I(_ONE32 - _SQRT_HALF32)
    exponent = _F(_I((odd >> _I(23)) - _I(127 + 31)))
    m = _float32_of_bits(_I((odd & _FRACTION32) + _SQRT_HALF32))
    s = (m - _F(1)) / (m + _F(1))
    z = s * s
    series = (_F(-4) + z * _F(-1.3333355224041235)) + (z * z) * (_F(-0.7995513857697178) + z * _F(-0.5974214992819362))
    radius = math.sqrt(exponent * _F(-2 * math.log(2)) + s * series)

    t = _F(_I(v)) * _F(2**-32)
    z = t * t
    w = z * z
    sine = t * (
        (_F(1.5707963217084682) + z * _F(-0.6459634602401234))
        + w * (_F(0.07968003279769965) + z * _F(-0.004601657893953024))
    )
    cosine = (_F(1) + z * _F(-1.233697706299232)) + w * (_F(0.25360321037295647) + z * _F(-0.020417280824428893))

    cosine = _float32_of_bits(_I(_bits_of_float32(cosine) ^ _I(u << np.uint32(31))))
    swap = _I(u << np.uint32(30)) < _I(0)
    return radius * (sine if swap else cosine), radius * (cosine if swap else sine)


@jit_exact_inline
def _pair64(u, v):
    """Two independent float64 normals from two uint64."""
    # (n + 1/2) / 2^52 with n the 52 high bits of u, set as the fraction of a number in [1, 2): AVX2 has
    # no conversion between 64-bit integers and float64.
    uniform = _float64_of_bits((u >> _U(12)) | _ONE64) - (1 - 2.0**-53)
    biased = _bits_of_float64(uniform) + (_ONE64 - _SQRT_HALF64)
    exponent = _float64_of_bits((biased >> _U(52)) | _TWO_52) - (2.0**52 + 1023)
    m = _float64_of_bits((biased & _FRACTION64) + _SQRT_HALF64)
    s = (m - 1) / (m + 1)
    z = s * s
    w = z * z
    even = -4.0 + w * (-0.79999999998832 + w * (-0.4444439720202326 + w * -0.30628168244299914))
    odd = -1.3333333333333468 + w * (-0.5714285748420865 + w * (-0.36367125893811075 + w * -0.2959126143768491))
    radius = math.sqrt(exponent * (-2 * math.log(2)) + s * (even + z * odd))

    t = _float64_of_bits((v >> _U(12)) | _ONE64) - 1.5
    z = t * t
    w = z * z
    even = 1.5707963267948966 + w * (0.07969262624603957 + w * (0.00016044115029189453 + w * 5.633721075556274e-08))
    odd = -0.6459640975062443 + w * (-0.004681754132282454 + w * -3.5986417551299964e-06)
    sine = t * (even + z * odd)
    even = 1 + w * (0.2536695078999594 + w * (0.0009192599541507146 + w * 4.655337318867282e-07))
    odd = -1.2337005501361553 + w * (-0.020863480735867912 + w * -2.5200143066818604e-05)
    cosine = even + z * odd

    cosine = _float64_of_bits(_bits_of_float64(cosine) ^ (u << _U(63)))
    swap = np.int64(u << _U(62)) < 0
    return radius * (sine if swap else cosine), radius * (cosine if swap else sine)


def _bitcast(source: types.Type, target: types.Type) -> Callable[..., Any]:
    """Make the compiled function that reads the bits of a *source* number as a *target* number."""

    @intrinsic
    def cast(typing_context: Any, number: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(target))

        return target(source), generate

    return cast


_bits_of_float32 = _bitcast(types.float32, types.int32)
_float32_of_bits = _bitcast(types.int32, types.float32)
_bits_of_float64 = _bitcast(types.float64, types.uint64)
_float64_of_bits = _bitcast(types.uint64, types.float64)


def _stack_address(typing_context: Any) -> Any:
    """Address of 128 uint64 on the stack: numba's own arrays would be allocated at each call."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words = cgutils.alloca_once(builder, ir.IntType(64), size=_GROUP)
        return builder.bitcast(words, context.get_value_type(types.voidptr))

    return types.voidptr(), generate


_stack: Any = intrinsic(_stack_address)
