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

from benchmarks import machine, peers  # noqa: E402  (the path comes first)
from benchmarks.side_by_side import (  # noqa: E402  (as above)
    data_problem,
    data_rows,
    gram_problem,
    gram_rows,
    gram_theirs,
    mkl,
    mkl_peers,
    processes,
    sgd_ours,
    sgd_rows,
)
from benchmarks.side_by_side.sgd_problem import Problem  # noqa: E402  (as above)

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
    from benchmarks import bench_curves, bench_gram, bench_sgd, bench_sweep, bench_team

    monkeypatch.setattr(machine, "_TURNS", 100)
    monkeypatch.setattr(machine, "_MEETINGS", 100)
    monkeypatch.setattr(bench_team, "ENTRIES", 2**12)
    for name, value in {"D": 6, "FLOPS": 1e5, "NORMALS": 10_000, "FIRST_STEP": "import fastlazy"}.items():
        monkeypatch.setattr(bench_sgd, name, value)
    threads = {"Workers": ThreadPoolExecutor}  # which start faster
    for name, value in {"CELLS": 20, "TRIVIAL": 10, "EQUAL": 2, "SAMPLES": 1000, **threads}.items():
        monkeypatch.setattr(bench_sweep, name, value)
    for name, value in {"D": 6, "N": 30, "SAMPLES": 20, "STREAMED": 50}.items():
        monkeypatch.setattr(bench_gram, name, value)
    for name, value in {"D": 6, "N": 9, "LARGE": 8, "SIZES": 4}.items():
        monkeypatch.setattr(bench_curves, name, value)


@pytest.mark.sampled(5)
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


def test_asv_finds_its_way():
    settings = json.loads((ROOT / "benchmarks" / "asv.conf.json").read_text())
    assert (ROOT / "benchmarks" / settings["repo"]).resolve() == ROOT
    assert (ROOT / "benchmarks" / settings["benchmark_dir"]).resolve() == ROOT / "benchmarks"


@pytest.mark.sampled(6)
@pytest.mark.parametrize(("N", "b"), [(3, 100), (30, 7), (30, 1)])
@pytest.mark.parametrize(
    ("scalar", "activation"), [(False, "square"), (True, "square"), (False, "relu"), (False, "tanh")]
)
def test_ours_takes_the_steps_of_plain_numpy(N, b, scalar, activation):
    problem = Problem(N, b, d=12, scalar=scalar, activation=activation)
    row = sgd_rows.Row("fastlazy", "", 1, scalar=scalar)
    seconds, chunk = sgd_rows.prepare(row, problem)
    assert sgd_rows.steps_taking(1e-3, seconds, chunk) % chunk == 0


@pytest.mark.parametrize("variant", ["matmul", "blas"])
@pytest.mark.parametrize(("N", "b"), [(3, 100), (30, 7), (30, 1)])
@pytest.mark.parametrize("activation", ["square", "relu", "tanh"])
def test_numpy_takes_the_same_steps(variant, activation, N, b):
    problem = Problem(N, b, d=12, activation=activation)
    seconds, chunk = sgd_rows.prepare(sgd_rows.Row("numpy", variant, 1), problem)
    assert seconds(2 * chunk)[0] > 0


@pytest.mark.skipif(not mkl.library(), reason="the wheel mkl is not installed")
@pytest.mark.parametrize(("N", "b"), [(3, 100), (30, 7), (30, 1)])
@pytest.mark.parametrize("activation", ["square", "relu", "tanh"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mkl_takes_the_same_steps(dtype, activation, N, b):
    problem = Problem(N, b, d=12, dtype=dtype, activation=activation)
    seconds, chunk = sgd_rows.prepare(sgd_rows.Row("mkl", "blas", 1, dtype), problem)
    assert seconds(2 * chunk)[0] > 0


@pytest.mark.skipif(not mkl.library(), reason="the wheel mkl is not installed")
def test_mkl_draws_standard_normals():
    peer = mkl_peers.MklSgd(Problem(30, 100, d=450), "blas", 1)
    peer.draw()
    first = peer.X.copy()
    peer.draw()
    size = first.size
    assert abs(first.mean()) < 5 / size**0.5
    assert abs(first.var() - 1) < 5 * (2 / size) ** 0.5
    assert abs(np.vdot(first, peer.X)) < 5 * size**0.5


def test_without_mkl_its_rows_are_left_out(monkeypatch):
    monkeypatch.setattr(mkl, "library", lambda: None)
    assert all(row.library != "mkl" for case in gram_rows.CASES for row in gram_rows.rows(case.problem, 2))
    assert all(row.library != "mkl" for row in sgd_rows.rows(450, 450, 2))
    with pytest.raises(RuntimeError, match="the wheel `mkl` is not installed: pip install mkl"):
        mkl._loaded()


def test_a_wrong_step_is_not_timed(monkeypatch):
    monkeypatch.setattr(Problem, "error", lambda *_: 1e-3)
    with pytest.raises(RuntimeError, match=r"numpy, blas does not take the same step: relative error 0\.001"):
        sgd_rows.prepare(sgd_rows.Row("numpy", "blas", 1), Problem(3, 10, d=12))


def test_a_process_answers():
    problem = {"N": 3, "b": 10, "d": 6, "dtype": "float32", "scalar": False}
    row = {"library": "numpy", "variant": "matmul", "threads": 1, "dtype": "float32", "scalar": False}
    request = {"row": row, "problem": problem, "seconds": 1e-3}
    with processes.Child("benchmarks.side_by_side.sgd_rows", 1) as child:
        found = processes.medians({"numpy": (child, request)}, 2)
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
            if "peak" in request:
                return {"gflops": 1e6}
            if "bandwidth" in request:
                return {"gbytes": 1e3}
            if "memory" in request:
                return {"in_all": 3e9, "arrays": 2e9, "before": 1e8}
            if "scalar" in request["problem"]:
                return {"step": 1e-4 * next(asked), "once": 0.5}
            if "activation" in request["problem"] and "work" not in request["problem"]:
                return {"call": float(next(asked)), "held": 3e9}
            return {"call": 1e-2 * next(asked)}

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    for comparison in (sgd_rows, gram_rows, data_rows):
        monkeypatch.setattr(comparison, "Child", Instant)
    monkeypatch.setattr(machine, "facts", lambda _: {"processor": "AB 1"})


@pytest.mark.usefixtures("_instant")
def test_the_report_shows_all(tmp_path, capsys):
    file = tmp_path / "numbers.json"
    peers.main(["sgd", "--quick", "--threads", "2", "--json", str(file)])
    report = capsys.readouterr().out
    for activation, N, b, _ in sgd_rows.CASES:
        assert f"{activation}, N = {N}, batch {b}\n" in report
    for text in (
        "torch, autograd",
        "jax, rbg, authors' protocol",
        "fastlazy, reduce=False",
        "**numpy, matmul**",
        "short",
    ):
        assert text in report
    numbers = json.loads(file.read_text())
    assert numbers["peak_gflops"] == {f"{dtype} x{k}": 1e6 for dtype in ("float32", "float64") for k in (1, 2)}
    assert [case["N"] for case in numbers["cases"]] == [case[1] for case in sgd_rows.CASES]


GRAM_ROWS = [
    pytest.param(row, case.problem, id=f"{row.name}-{case.problem.name}-{row.threads}")
    for case in gram_rows.CASES
    for threads in (1, 2)
    for row in gram_rows.rows(case.problem, threads)
]


@pytest.mark.parametrize(("row", "problem"), GRAM_ROWS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the other libraries
def test_every_row_gives_what_the_formulas_give(row, problem, monkeypatch):
    if row.library != "mkl":  # whose rows are there only if it is
        pytest.importorskip({"scikit-learn": "sklearn"}.get(row.library, row.library))
    monkeypatch.setattr(gram_theirs, "SAMPLES", 20)  # so that there are several blocks here, too
    N = 31 if (problem.work, problem.activation) == ("rf_gram", "tanh") else 231  # its integrals take their time
    problem = gram_problem.Problem(problem.work, problem.activation, min(problem.n, 47), problem.dtype, N, d=13)
    ready = gram_rows.prepare(row, problem)
    first, second = ready.call(), ready.call()
    for results in (first, second):
        assert problem.error(results) < gram_rows.TOLERANCE[problem.dtype]
    given = row.variant == "out= given"
    assert all((one is other) == given for one, other in zip(first, second, strict=True))
    assert str(first[0].dtype).endswith(problem.dtype)


def test_a_wrong_result_is_not_timed(monkeypatch):
    monkeypatch.setattr(gram_problem.Problem, "error", lambda *_: 1e-3)
    problem = gram_problem.Problem("rf_gram", "square", 0, N=30, d=5)
    with pytest.raises(
        RuntimeError, match=r"numpy does not give rf_gram square, N = 30, float64: relative error 0\.001"
    ):
        gram_rows.prepare(gram_rows.Row("numpy", "", 1), problem)


def test_error_sees_each_result():
    problem = gram_problem.Problem("rf_normal_equations", "relu", 40, N=20, d=5)
    Gram, vector = problem.plain()
    assert problem.error((Gram, vector)) == 0
    assert problem.error((Gram, vector + 0.01 * vector.max())) == pytest.approx(0.01)
    Gram[3, 4] += 0.1 * Gram.max()
    assert problem.error((Gram, vector)) == pytest.approx(0.1, rel=0.01)
    with pytest.raises(ValueError, match="gives 2 arrays, got 1"):
        problem.error((Gram,))


def test_useful_operations():
    def flops(work, activation):
        return gram_problem.Problem(work, activation, n=3, N=5, d=2).flops()

    assert flops("rf_gram", "square") == 2 * 5 * 5 * 2 / 2
    assert flops("rf_kernel", "relu") == 2 * (3 * 5 * 2 + 3 * 3 * 5 / 2)
    assert flops("nt_kernel", "square") == 2 * (2 * 2 * 5 / 2 + 3 * 2 * 2 + 2 * 3 * 3 * 2 / 2)
    assert flops("nt_kernel", "relu") == 2 * (3 * 5 * 2 + 3 * 3 * 2 / 2)
    assert flops("nt_kernel", "tanh") == 2 * (3 * 5 * 2 + 3 * 3 * 2 / 2 + 3 * 3 * 5 / 2)
    assert flops("rf_normal_equations", "relu") == 2 * (3 * 5 * 2 + 5 * 5 * 3 / 2)


def test_bytes_that_must_move():
    def entries(work, activation, **sizes):
        return gram_problem.Problem(work, activation, **{"n": 3, "N": 5, "d": 2, **sizes}).bytes_moved() / 8

    assert entries("rf_gram", "square", n=0) == 5 * 2 + 5 * 5
    assert entries("nt_kernel", "relu") == 3 * 2 + 5 * 2 + 3 * 3
    part = gram_problem.INNER
    assert entries("rf_kernel", "relu", N=part) == 3 * 2 + part * 2 + 3 * 3
    assert entries("rf_kernel", "relu", N=part + 1) == 3 * 2 + (part + 1) * 2 + 2 * 3 * 3
    assert entries("nt_kernel", "tanh", N=3 * part) == 3 * 2 + 3 * part * 2 + 3 * 3 * 3
    assert entries("rf_normal_equations", "relu", n=2 * part) == 2 * part * 2 + 5 * 2 + 2 * 5 * 5
    float32 = gram_problem.Problem("rf_gram", "square", 0, "float32", N=5, d=2)
    assert float32.bytes_moved() == 4 * (5 * 2 + 5 * 5)


def test_bytes_of_a_step():
    assert sgd_ours.bytes_moved(Problem(450, 100), 450) == 2 * 450 * 450 * 4
    assert sgd_ours.bytes_moved(Problem(450, 1), 450) == 2 * 450 * 450 * 4 / 48
    assert sgd_ours.bytes_moved(Problem(900, 1, activation="relu"), 900) == 2 * 900 * 450 * 4 / 24


def test_a_process_says_what_it_held():
    problem = {"work": "rf_kernel", "activation": "relu", "n": 4000, "dtype": "float64", "N": 10, "d": 5}
    with processes.Child("benchmarks.side_by_side.gram_rows", 1) as child:
        held = child.ask({"memory": problem})
        row = {"library": "numpy", "variant": "", "threads": 1}
        assert child.ask({"row": row, "problem": problem, "seconds": 1e-3})["call"] > 0
    assert held["arrays"] == 8 * (4000 * 5 + 10 * 5 + 4000 + 4000**2)
    assert held["in_all"] >= held["before"] + held["arrays"] / 2  # what was freed before may be used again


@pytest.mark.usefixtures("_instant")
def test_the_gram_report_shows_all(tmp_path, capsys):
    file = tmp_path / "numbers.json"
    peers.main(["gram", "--quick", "--threads", "2", "--json", str(file)])
    report = capsys.readouterr().out
    for case in gram_rows.CASES:
        assert case.problem.name.replace("50000", "5000") + "\n" in report
    texts = ("**numpy**", "jax, float32 counts", "numpy, cholesky", "fastlazy, prepared W", "out= given", "short")
    for text in (*texts, "1.00 |", "float32, prepared W |", "1000.0 GB/s", "operations"):
        assert text in report
    numbers = json.loads(file.read_text())
    assert len(numbers["cases"]) == len(gram_rows.CASES)
    first = numbers["cases"][0]["rows"]
    assert [(row["name"], row["threads"]) for row in first[:3]] == [("fastlazy", 2), ("fastlazy", 1), ("numpy", 2)]
    rounds = {(row["name"], row["threads"]): row["rounds"] for row in first}
    assert rounds["fastlazy", 1] == rounds["numpy", 2] > rounds["jax", 2] == 1  # jax: over 1.5 times numpy's time
    late = numbers["cases"][6]["rows"]
    assert {row["threads"] for row in late if row["library"] != "fastlazy"} == {2}  # by then half a second each


@pytest.mark.usefixtures("_instant")
def test_rows_are_selected(capsys):
    peers.main(["gram", "--only", "nt_kernel relu, n = 256"])
    report = capsys.readouterr().out
    assert "torch, autodiff" in report
    assert "rf_" not in report
    peers.main(["sgd", "--only", "tanh, N = 450,"])
    report = capsys.readouterr().out
    assert "tanh, N = 450, batch 1\n" in report
    assert "square, N" not in report
    peers.main(["data", "--only", "square"])
    assert "relu" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        peers.main(["gram", "--only", "rf_kernels"])
    assert (
        "no row contains 'rf_kernels'; pass a part of one of these: rf_gram square, N = 4500" in capsys.readouterr().err
    )


DATA_ROWS = [
    pytest.param(row, case.problem, id=f"{row.name}-{case.problem.activation}-{row.threads}")
    for case in data_rows.CASES
    for threads in (1, 2)
    for row in data_rows.rows(case.problem, threads)
]


@pytest.mark.parametrize(("row", "problem"), DATA_ROWS)
def test_every_row_predicts_what_the_jacobian_predicts(row, problem):
    small = data_problem.Problem(problem.activation, n=50, N=30, d=7)
    assert small.error(data_rows.prepare(row, small).call()) < data_rows.TOLERANCE


def test_wrong_predictions_are_not_timed(monkeypatch):
    monkeypatch.setattr(data_problem.Problem, "error", lambda *_: 1e-3)
    problem = data_problem.Problem("relu", n=20, N=5, d=3)
    with pytest.raises(RuntimeError, match=r"KernelRidge does not give NT relu, n = 20, .* relative error 0\.001"):
        data_rows.prepare(data_rows.Row("KernelRidge", "", 1), problem)


@pytest.mark.usefixtures("_instant")
def test_the_data_report_shows_all(tmp_path, capsys):
    file = tmp_path / "numbers.json"
    peers.main(["data", "--quick", "--threads", "2", "--json", str(file)])
    report = capsys.readouterr().out
    for text in ("NT relu, n = 4000", "KernelRidge, float32 counts", "KernelRidge, own b", "2.00", "short", "3.00 GB"):
        assert text in report
    assert [len(case["rows"]) for case in json.loads(file.read_text())["cases"]] == [4, 3]


def test_a_process_fits_and_predicts():
    problem = {"activation": "square", "n": 40, "N": 9, "d": 5}
    with processes.Child("benchmarks.side_by_side.data_rows", 1) as child:
        found = child.ask({"row": {"library": "fastlazy", "variant": "", "threads": 1}, "problem": problem})
    assert found["call"] > 0
    assert found["held"] > 1e7
