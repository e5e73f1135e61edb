"""What the benchmarks say that the machine can do at most, and what bounds a call on it."""

import importlib.metadata
import sys
from pathlib import Path

import pytest
import threadpoolctl

sys.path.append(str(Path(__file__).resolve().parents[1]))  # the benchmarks are no part of the package

from benchmarks import machine  # noqa: E402  (the path comes first)
from benchmarks.side_by_side import roofline  # noqa: E402  (as above)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_peak_counts_multiply_adds(dtype):
    """Any processor with vectors does more than one a nanosecond, and none a million."""
    assert 1 < machine.peak_gflops(dtype, repeats=5) < 1e6


@pytest.mark.parametrize("threads", [1, 2])
def test_bandwidth_counts_bytes(threads):
    """Any memory gives more than a tenth of a byte a nanosecond, and no cache a thousand."""
    assert 0.1 < machine.bandwidth(threads, entries=2**16, repeats=2) < 1e4


@pytest.mark.parametrize("threads", [1, 2])
def test_barrier_times_one_meeting(threads, monkeypatch):
    """An atomic addition takes more than a tenth of a nanosecond, and nobody sleeps a tenth of a second each time."""
    monkeypatch.setattr(machine, "_MEETINGS", 100)
    assert 1e-10 < machine.barrier(threads, repeats=2) < 0.1


def test_facts_name_the_kernels_of_blas():
    facts = machine.facts(["numpy", "scipy", "numba"])
    assert facts["numba"] == importlib.metadata.version("numba")
    for name in ("numpy", "scipy"):
        found = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
        assert facts[name].startswith(importlib.metadata.version(name))
        if found:
            assert any(pool.get("architecture", "not named") in facts[name] for pool in found)


@pytest.mark.parametrize(
    ("flops", "moved", "wanted"),
    [(8e9, 1e9, (2.0, "operations")), (1e9, 50e9, (5.0, "memory")), (4e9, 10e9, (1.0, "operations"))],
)
def test_the_bound_is_the_longer_of_both(flops, moved, wanted):
    assert roofline.bound(flops, moved, gflops=4.0, gbytes=10.0) == wanted


def test_a_line_of_the_roofline():
    limits = roofline.Limits({"float64 x2": 4.0}, {"x2": 10.0})
    line = roofline.line("a", 2, "float64", 8e9, 1e9, 4.0, limits)
    assert line == ["a", "2", "8", "1e+03", "8", "operations", "2 s", "4 s", "50%"]
    assert roofline.line("a", 2, "float64", 8e9, 1e9, 1.0, limits)[-1] == "INVALID: below the bound"
