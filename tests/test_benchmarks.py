"""Every benchmark runs, at small size; and what is timed side by side takes the same steps."""

import importlib
import inspect
import itertools
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # the benchmarks are no part of the package

from benchmarks import machine, peers, peers_sgd, side_by_side  # noqa: E402  (found only now)
from benchmarks.sgd_problem import Problem  # noqa: E402  (as above)

KINDS = ("time_", "track_", "peakmem_")
BENCHMARKS = [
    pytest.param(module, name, id=f"{module}.{name}")
    for module in sorted(path.stem for path in (ROOT / "benchmarks").glob("bench_*.py"))
    for name, value in vars(importlib.import_module(f"benchmarks.{module}")).items()
    if inspect.isclass(value) and value.__module__ == f"benchmarks.{module}"
    if any(method.startswith(KINDS) for method in vars(value))
]


@pytest.fixture
def _small(monkeypatch):
    from benchmarks import bench_sgd, bench_sweep

    monkeypatch.setattr(machine, "_TURNS", 100)
    for name, value in {"D": 6, "FLOPS": 1e5, "NORMALS": 10_000, "FIRST_STEP": "import fastlazy"}.items():
        monkeypatch.setattr(bench_sgd, name, value)
    threads = {"Workers": ThreadPoolExecutor}  # which start faster
    for name, value in {"CELLS": 20, "TRIVIAL": 10, "EQUAL": 2, "SAMPLES": 1000, **threads}.items():
        monkeypatch.setattr(bench_sweep, name, value)


@pytest.mark.parametrize(("module", "name"), BENCHMARKS)
@pytest.mark.usefixtures("_small")
def test_benchmark_runs(module, name):
    kind = getattr(importlib.import_module(f"benchmarks.{module}"), name)
    methods = [method for method in vars(kind) if method.startswith(KINDS)]
    params = getattr(kind, "params", ())
    assert len(params) == len(getattr(kind, "param_names", ()))
    all_values = list(itertools.product(*params))
    for values, method in itertools.product({all_values[0], all_values[-1]}, methods):
        benchmark = kind()
        getattr(benchmark, "setup", lambda *_: None)(*values)
        result = getattr(benchmark, method)(*values)
        getattr(benchmark, "teardown", lambda *_: None)(*values)
        if method.startswith("track_"):
            assert np.isfinite(result)
            assert getattr(kind, method).unit


def test_peak_bounds_a_matrix_product():
    peak = machine.peak_gflops("float32", repeats=5)
    assert 0 < machine.peak_gflops("float64", repeats=5) < 0.7 * peak
    assert peak > 1


def test_asv_finds_its_way():
    settings = json.loads((ROOT / "benchmarks" / "asv.conf.json").read_text())
    assert (ROOT / "benchmarks" / settings["repo"]).resolve() == ROOT
    assert (ROOT / "benchmarks" / settings["benchmark_dir"]).resolve() == ROOT / "benchmarks"


@pytest.mark.parametrize(("N", "b"), [(3, 100), (30, 7), (30, 1)])
@pytest.mark.parametrize("scalar", [False, True])
def test_ours_takes_the_steps_of_plain_numpy(N, b, scalar):
    problem = Problem(N, b, d=12, scalar=scalar)
    row = peers_sgd.Row("fastlazy", "", 1, scalar=scalar)
    seconds, chunk = peers_sgd.prepare(row, problem)
    assert peers_sgd.steps_taking(1e-3, seconds, chunk) % chunk == 0


@pytest.mark.parametrize("variant", ["matmul", "blas"])
@pytest.mark.parametrize(("N", "b"), [(3, 100), (30, 7), (30, 1)])
def test_numpy_takes_the_same_steps(variant, N, b):
    seconds, chunk = peers_sgd.prepare(peers_sgd.Row("numpy", variant, 1), Problem(N, b, d=12))
    assert seconds(2 * chunk)[0] > 0


def test_a_wrong_step_is_not_timed(monkeypatch):
    monkeypatch.setattr(Problem, "error", lambda *_: 1e-3)
    with pytest.raises(RuntimeError, match=r"numpy, blas does not take the same step: relative error 0\.001"):
        peers_sgd.prepare(peers_sgd.Row("numpy", "blas", 1), Problem(3, 10, d=12))


def test_a_process_answers():
    problem = {"N": 3, "b": 10, "d": 6, "dtype": "float32", "scalar": False}
    row = {"library": "numpy", "variant": "matmul", "threads": 1, "dtype": "float32", "scalar": False}
    request = {"row": row, "problem": problem, "seconds": 1e-3}
    with side_by_side.Child("benchmarks.peers_sgd", 1) as child:
        found = side_by_side.medians({"numpy": (child, request)}, 2)
        assert found["numpy"]["step"] > 0
        with pytest.raises(RuntimeError, match="ended with code 1"):
            child.ask({"row": {}})


@pytest.fixture
def _instant(monkeypatch):
    """Children that answer at once, the slower the later they are asked."""
    asked = itertools.count(1)

    class Instant:
        def __init__(self, module, threads):
            self.threads = threads

        def ask(self, request):
            return {"gflops": 100.0} if "peak" in request else {"step": 1e-4 * next(asked), "once": 0.5}

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(peers_sgd, "Child", Instant)
    monkeypatch.setattr(peers_sgd, "_version", lambda _: "1.0")


@pytest.mark.usefixtures("_instant")
def test_the_report_shows_all(tmp_path, capsys):
    file = tmp_path / "numbers.json"
    peers.main(["sgd", "--quick", "--threads", "2", "--json", str(file)])
    report = capsys.readouterr().out
    for N, b, _ in peers_sgd.CASES:
        assert f"N = {N}, batch {b}\n" in report
    for text in (
        "torch, autograd",
        "jax, rbg, authors' protocol",
        "fastlazy, reduce=False",
        "**numpy, matmul**",
        "short",
    ):
        assert text in report
    numbers = json.loads(file.read_text())
    assert numbers["peak_gflops"] == {f"{dtype} x{k}": 100.0 for dtype in ("float32", "float64") for k in (1, 2)}
    assert [case["N"] for case in numbers["cases"]] == [30, 450, 4500, 450, 4500]
