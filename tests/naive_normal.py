"""The normals of fastlazy, one at a time: Python integers for Philox, float64 library functions after it.

Layout. Positions come in groups of 128. For float32, group g takes the 32 counters 32 g + i, i < 32. Counter
c of stream s under key k gives the four words x0..x3 = Philox4x32-7 of (c mod 2^32, c div 2^32, s mod 2^32,
s div 2^32). Its integers are words[2 i] = x1, words[2 i + 1] = x0, words[64 + 2 i] = x3,
words[64 + 2 i + 1] = x2. For float64, group g takes the 64 counters 64 g + i, and words[i] = 2^32 x0 + x1,
words[64 + i] = 2^32 x2 + x3. In both, u = words[j] and v = words[64 + j] give positions j and 64 + j.

Pair. float32: r = sqrt(-2 log(a 2^-31)), a = floor(u / 2) with its last bit set, rounded to float32;
t = v 2^-32, v signed, rounded to float32. float64: r = sqrt(-2 log((n + 1/2) 2^-52)), n the 52 high bits of
u; t = n' 2^-52 - 1/2, n' the 52 high bits of v. Then x = r cos(pi t / 2), y = r sin(pi t / 2); bit 0 of u
negates x, and bit 1 swaps x and y.

Signs. The four fair signs of a stream are bits 0 to 3 of x1 of the counter 2^64 - 1: 1 where a bit is set, -1 else.
"""

import numpy as np

GROUP = 128
LOW = 0xFFFFFFFF


def philox(counter, key, rounds):
    """The four output words of Philox4x32 for four counter words and two key words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & LOW, (p0 >> 32) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + 0x9E3779B9) & LOW, (k1 + 0xBB67AE85) & LOW
    return c0, c1, c2, c3


def normals(key, stream, start, size, dtype):
    """Positions start to start + size - 1 of a stream, (size,) float64; 128 divides start."""
    groups = range(start // GROUP, (start + size + GROUP - 1) // GROUP)
    group = _group32 if np.dtype(dtype) == np.float32 else _group64
    return np.concatenate([np.empty(0), *(group(key, stream, g) for g in groups)])[:size]


def signs(key, stream):
    """The four fair signs of a stream."""
    word = _words(key, stream, 2**64 - 1)[1]
    return [1.0 if word >> s & 1 else -1.0 for s in range(4)]


def _words(key, stream, counter):
    return philox((counter & LOW, counter >> 32, stream & LOW, stream >> 32), (key & LOW, key >> 32), rounds=7)


def _group32(key, stream, group):
    words = np.empty(GROUP, np.int64)
    for i in range(32):
        words[[2 * i + 1, 2 * i, 65 + 2 * i, 64 + 2 * i]] = _words(key, stream, 32 * group + i)
    u, v = words[:64], words[64:]
    a = ((u >> 1) | 1).astype(np.float32).astype(np.float64)
    t = np.where(v < 2**31, v, v - 2**32).astype(np.float32).astype(np.float64) / 2**32
    return _pairs(a / 2**31, t, u & 1, u & 2)


def _group64(key, stream, group):
    words = np.empty(GROUP, np.uint64)
    for i in range(64):
        x0, x1, x2, x3 = _words(key, stream, 64 * group + i)
        words[i], words[64 + i] = (x0 << 32) + x1, (x2 << 32) + x3
    u, v = words[:64], words[64:]
    uniform = ((u >> np.uint64(12)).astype(np.float64) + 0.5) / 2**52
    t = (v >> np.uint64(12)).astype(np.float64) / 2**52 - 0.5
    return _pairs(uniform, t, u & np.uint64(1), u & np.uint64(2))


def _pairs(uniform, t, negate, swap):
    radius = np.sqrt(-2 * np.log(uniform))
    x = radius * np.cos(np.pi / 2 * t) * np.where(negate, -1, 1)
    y = radius * np.sin(np.pi / 2 * t)
    return np.concatenate([np.where(swap, y, x), np.where(swap, x, y)])
