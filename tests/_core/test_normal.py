"""Normals: the generator's known answers, a naive twin, reproducibility, and the law itself."""

import hashlib
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import naive_normal
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fastlazy._core import normal

KEY, STREAM = 0x0123456789ABCDEF, 0xFEDCBA9876543210
DTYPES = [np.float32, np.float64]
ONES = 0xFFFFFFFF
PI_COUNTER, PI_KEY = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)

uint64s = st.integers(0, 2**64 - 1)


def fill(key, stream, size, dtype):
    out = np.empty(size, dtype)
    normal.fill_normals(np.uint64(key), np.uint64(stream), out)
    return out


def bits(values):
    return values.view(f"u{values.itemsize}")


# The generator: known answers of Random123 (kat_vectors).


@pytest.mark.parametrize(
    ("rounds", "counter", "key", "answer"),
    [
        (7, (0,) * 4, (0,) * 2, "5f6fb709 0d893f64 4f121f81 4f730a48"),
        (7, (ONES,) * 4, (ONES,) * 2, "5207ddc2 45165e59 4d8ee751 8c52f662"),
        (7, PI_COUNTER, PI_KEY, "4dfccaba 190a87f0 c47362ba b6b5242a"),
        (10, (0,) * 4, (0,) * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (10, (ONES,) * 4, (ONES,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (10, PI_COUNTER, PI_KEY, "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_known_answers(rounds, counter, key, answer):
    answer = tuple(int(word, 16) for word in answer.split())
    assert naive_normal.philox(counter, key, rounds) == answer
    if rounds == 7:
        first, second = normal.philox(*(np.uint64(word) for word in counter + key))
        assert (first >> 32, first & ONES, second >> 32, second & ONES) == answer


# The naive twin.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("key", "stream"), [(KEY, STREAM), (0, 0), (2**64 - 1, 2**64 - 1), (1, 2**32)])
def test_equals_naive_twin(key, stream, dtype):
    ours = fill(key, stream, 1000, dtype)
    np.testing.assert_allclose(
        ours, naive_normal.normals(key, stream, 0, 1000, dtype), rtol=4 * np.finfo(dtype).eps, atol=0
    )


@pytest.mark.parametrize("dtype", DTYPES)
@given(key=uint64s, stream=uint64s)
def test_signs_equal_their_naive_twin(dtype, key, stream):
    out = np.empty(4, dtype)
    normal.fill_signs(np.uint64(key), np.uint64(stream), out)
    assert out.tolist() == naive_normal.signs(key, stream)


def test_signs_are_fair_and_independent():
    signs = np.array([naive_normal.signs(KEY, stream) for stream in range(2500)])
    assert np.all(np.abs(signs) == 1)
    assert np.abs(signs.mean(axis=0)).max() < 4 / 50
    products = [signs[:, i] @ signs[:, j] / len(signs) for i in range(4) for j in range(i)]
    assert np.abs(products).max() < 4 / 50


@pytest.mark.parametrize("dtype", DTYPES)
def test_counter_continues_beyond_32_bits(dtype):
    """No array is that long, so the whole groups of a distant range are asked for directly."""
    start, out = 2**40 + 128, np.empty(256, dtype)
    fill_groups = normal._fill_groups32 if dtype == np.float32 else normal._fill_groups64
    fill_groups(np.uint64(KEY), np.uint64(STREAM), np.uint64(start), out)
    naive = naive_normal.normals(KEY, STREAM, start, 256, dtype)
    np.testing.assert_allclose(out, naive, rtol=4 * np.finfo(dtype).eps, atol=0)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_pair_is_finite_and_on_the_circle_float32(u, v):
    x, y = normal._pair32(np.uint32(u), np.uint32(v))
    square = -2 * math.log(float(np.float32((u >> 1) | 1)) / 2**31)
    assert float(x) ** 2 + float(y) ** 2 == pytest.approx(square, rel=1e-6, abs=0)


@given(uint64s, uint64s)
def test_pair_is_finite_and_on_the_circle_float64(u, v):
    x, y = normal._pair64(np.uint64(u), np.uint64(v))
    square = -2 * math.log(((u >> 12) + 0.5) / 2**52)
    assert x**2 + y**2 == pytest.approx(square, rel=2e-15, abs=0)


def test_tails_are_reached_and_finely_spaced():
    """The smallest uniforms: |x| up to 6.55 and 8.57, then down in steps that shrink with the uniform."""
    largest32 = [float(normal._pair32(np.uint32(4 * n), np.uint32(0))[0]) for n in range(4)]
    largest64 = [normal._pair64(np.uint64(n << 12), np.uint64(1 << 63))[0] for n in range(4)]
    for largest, resolution in (largest32, 30), (largest64, 52):
        expected = [math.sqrt(-2 * math.log((n + 0.5) / 2**resolution)) for n in range(4)]
        assert largest == pytest.approx(expected, rel=2e-7)


# Reproducibility.


@pytest.mark.parametrize("dtype", DTYPES)
@given(key=uint64s, stream=uint64s, size=st.integers(0, 700))
def test_shorter_is_the_start_of_longer(dtype, key, stream, size):
    guarded = np.full(size + 1, 77, dtype)
    normal.fill_normals(np.uint64(key), np.uint64(stream), guarded[:size])
    np.testing.assert_array_equal(bits(guarded[:size]), bits(fill(key, stream, 1000, dtype)[:size]))
    assert guarded[size] == 77


@pytest.mark.parametrize("dtype", DTYPES)
def test_keys_and_streams_differ(dtype):
    """Each single bit of key and stream gives a sequence that shares no more values than chance."""
    pairs = [(KEY, STREAM)]
    pairs += [(KEY ^ (1 << bit), STREAM) for bit in range(64)]
    pairs += [(KEY, STREAM ^ (1 << bit)) for bit in range(64)]
    rows = np.array([fill(key, stream, 64, dtype) for key, stream in pairs])
    assert np.unique(rows).size >= rows.size - 5
    correlation = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(correlation).max() < 6 / math.sqrt(64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_change_the_numbers(dtype):
    sizes = [50_000 + stream for stream in range(32)]
    alone = [fill(KEY, stream, size, dtype) for stream, size in enumerate(sizes)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda task: fill(KEY, *task, dtype), enumerate(sizes)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(bits(one), bits(other))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (np.float32, [0x3F6375C2, 0xBFEC3CCA, 0x3F8CE12A, 0xBF208B64, 0x3FB61685, 0xBD9FE112]),
        (
            np.float64,
            [
                0xBFF09ADD12385657,
                0xC0023F658F031A49,
                0x3FF92805C7BA63E2,
                0x3FD3F0AF47F660E7,
                0x3FE716501829C7C9,
                0xBFD6BCE1AB588F39,
            ],
        ),
    ],
)
def test_pinned_bits(dtype, expected):
    """These bits may never change: results that users have published depend on them."""
    assert bits(fill(KEY, STREAM, 1000, dtype))[[0, 1, 64, 127, 128, 999]].tolist() == expected


PLAIN_MACHINE = """
import hashlib
import numpy as np
from fastlazy._core import normal

digest = hashlib.sha256()
for dtype in np.float32, np.float64:
    out = np.empty(10_000, dtype)
    normal.fill_normals(np.uint64(3), np.uint64(4), out)
    digest.update(out.tobytes())
assembly = "".join(normal.fill_normals.inspect_asm().values())
print(digest.hexdigest(), "_ZN8fastlazy5_core6normal6philox" in assembly)
"""


@pytest.mark.slow
def test_same_bits_on_the_plainest_machine_and_no_call_per_counter(tmp_path):
    """Without FMA or AVX the bits are the same; and philox is inlined (its mangled name is not called)."""
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_MACHINE],
        env=os.environ
        | {
            "NUMBA_CPU_NAME": "generic",
            "NUMBA_CPU_FEATURES": "",
            "NUMBA_CACHE_DIR": str(tmp_path),
            "PYTHONPATH": str(Path(normal.__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    here = hashlib.sha256(b"".join(fill(3, 4, 10_000, dtype).tobytes() for dtype in DTYPES)).hexdigest()
    assert done.stdout.split() == [here, "False"]


# The law. Keys are fixed, so these pass or fail for good; each bound is one that a right generator
# crosses with probability below 1e-4.


@pytest.fixture(scope="module", params=DTYPES, ids=["float32", "float64"])
def sample(request):
    """Four million positions as float64, (32768, 128): one row a group."""
    return fill(1, 2, 128 * 2**15, request.param).astype(np.float64).reshape(-1, 128)


def test_moments(sample):
    even = {k: math.prod(range(k - 1, 0, -2)) for k in range(2, 13, 2)}
    power = np.ones(sample.size)
    for k in range(1, 7):
        power *= sample.ravel()
        mean = even.get(k, 0)
        z = (power.mean() - mean) * math.sqrt(sample.size / (even[2 * k] - mean**2))
        assert abs(z) < 4.5, k


def test_kolmogorov_smirnov(sample):
    assert stats.kstest(sample.ravel()[:1_000_000], "norm").pvalue > 1e-4
    # Each position of the group on its own, and the worst of the 128.
    pvalues = [stats.kstest(column[:4096], "norm").pvalue for column in sample.T]
    assert min(pvalues) > 1e-4 / 128


@pytest.mark.parametrize("dtype", DTYPES)
def test_tails(dtype):
    """Both tails beyond 3, 4 and 5: of 67 million values, 19 are expected beyond 5 on each side."""
    size, streams = 2**22, range(16)
    counts = np.zeros((2, 3))
    for stream in streams:
        values = fill(5, stream, size, dtype)
        values = values[np.abs(values) > 3]
        counts += [[(sign * values > bound).sum() for bound in (3, 4, 5)] for sign in (1, -1)]
    for bound, both in zip((3, 4, 5), counts.T, strict=True):
        for count in both:
            mean = size * len(streams) * stats.norm.sf(bound)
            assert stats.poisson.cdf(count, mean) > 1e-5, (bound, count)
            assert stats.poisson.sf(count - 1, mean) > 1e-5, (bound, count)


def test_positions_of_a_group_are_uncorrelated(sample):
    """All pairs of positions, in one group and in neighbouring groups, values and squares."""
    for values in sample, (sample**2 - 1) / math.sqrt(2):
        z = values.T @ values / math.sqrt(len(values))
        assert np.abs(z[np.triu_indices(128, 1)]).max() < 5.8
        z = values[:-1].T @ values[1:] / math.sqrt(len(values) - 1)
        assert np.abs(z).max() < 5.8
        mixed = sample.T @ values / math.sqrt(len(values))
        assert np.abs(mixed[np.triu_indices(128, 1)]).max() < 5.8


@pytest.mark.parametrize("dtype", DTYPES)
def test_streams_and_keys_are_uncorrelated(dtype):
    size = 2**20
    pairs = [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (1, 2**32), (2**32, 0)]
    rows = np.array([fill(key, stream, size, dtype) for key, stream in pairs], np.float64)
    for values in rows, (rows**2 - 1) / math.sqrt(2):
        z = values @ values.T / math.sqrt(size)
        assert np.abs(z[np.triu_indices(len(pairs), 1)]).max() < 5
