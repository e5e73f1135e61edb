"""What the benchmarks say that the machine can do at most, and what bounds a call on it."""

import importlib.metadata
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import threadpoolctl

sys.path.append(str(Path(__file__).resolve().parents[1]))  # the benchmarks are no part of the package

from benchmarks import machine, scaling
from benchmarks.side_by_side import roofline


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


@pytest.mark.parametrize("wheels", [True, False])
def test_facts_name_the_kernels_of_blas(wheels, monkeypatch):
    """Of NumPy's BLAS and SciPy's, not of another library that is loaded, too."""
    blas = {"user_api": "blas", "internal_api": "openblas", "version": "1.2", "architecture": "Zen"}
    pools = [{"user_api": "openmp", "filepath": "/x/libgomp.so"}]
    pools += (
        [{**blas, "filepath": "/x/libblas.so"}]
        if not wheels
        else [
            {**blas, "internal_api": "mkl", "filepath": "/x/libmkl_rt.so"},
            {**blas, "filepath": "/x/numpy.libs/libopenblas.so", "architecture": "SkylakeX"},
            {**blas, "filepath": "/x/scipy.libs/libopenblas.so"},
        ]
    )
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: pools)
    facts = machine.facts(["numpy", "scipy", "numba"])
    version = importlib.metadata.version
    assert facts["numba"] == version("numba")
    assert facts["numpy"] == f"{version('numpy')} (openblas 1.2, {'SkylakeX' if wheels else 'Zen'})"
    assert facts["scipy"] == f"{version('scipy')} (openblas 1.2, Zen)"


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


@pytest.mark.parametrize(
    ("changes", "threads", "wanted"),
    [
        ({}, 1, 1.0),
        ({"serial": 0.2}, 4, 0.2 + 0.8 / 4),  # Amdahl's law
        ({"items": 3}, 2, 2 / 3),  # the slowest has two items of three
        ({"barriers": 3}, 5, 1 / 5 + 3 * 4 * 0.01),  # each thread more makes them as much longer as the second did
        ({"most": 2}, 64, 1 / 2),
        ({"serial": 0.2, "drawn": 0.1}, 4, 0.7 / 4 + 0.2),  # the others have drawn before the first is done
        ({"serial": 0.1, "drawn": 0.5}, 2, 0.4 / 2 + 0.6 / 2),  # the first then helps them
    ],
)
def test_the_model_of_more_threads(changes, threads, wanted):
    parts = {"seconds": 1.0, "serial": 0.0, "drawn": 0.0, "items": math.inf, "barriers": 0, "most": math.inf}
    work = scaling.Work("a", **{**parts, **changes})
    assert scaling.seconds(work, threads, 0.01) == pytest.approx(wanted, rel=1e-12)


def test_the_model_measures_its_parts(monkeypatch, capsys):
    """Parts are parts of the whole; a little noise aside, which is why the sizes are not the smallest."""
    monkeypatch.setattr(scaling, "SECONDS", 1e-4)
    monkeypatch.setattr(machine, "_MEETINGS", 100)
    monkeypatch.setattr(scaling, "SGD", [replace(problem, d=110, N=200) for problem in scaling.SGD])
    monkeypatch.setattr(scaling, "KERNELS", [replace(problem, d=30, N=200, n=50) for problem in scaling.KERNELS])
    works = [*map(scaling.step, scaling.SGD), *map(scaling.call, scaling.KERNELS)]
    assert [work.barriers for work in works] == [3, 4, 3, 0, 0]
    assert all(0 < work.serial < work.seconds for work in works)
    assert all(work.drawn > 0 for work in works[:3])
    scaling.main()
    report = capsys.readouterr().out
    assert "SGD square, N = 110, batch 1 " in report
    assert "x64" in report


def test_the_model_knows_its_limits():
    """Scratch of blocks by rows has no room for coefficients, and compiled code would write past its end."""
    with pytest.raises(ValueError, match=r"the model is of blocks that go by coefficients, got .*N=30.*; pass x"):
        scaling.step(replace(scaling.SGD[1], N=30))
