"""One step of SGD at d = 450, of the quadratic network and of others: fastlazy, NumPy, PyTorch, JAX, MKL.

Every row first shows that it takes the same steps as plain float64 NumPy on given samples. A time is that of one
step, its samples drawn, its errors and its update, in a run of many.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.side_by_side import mkl, roofline
from benchmarks.side_by_side.mkl_peers import MklSgd
from benchmarks.side_by_side.processes import Child, duration, markdown, medians
from benchmarks.side_by_side.roofline import selected
from benchmarks.side_by_side.sgd_ours import FastlazySgd, bytes_moved
from benchmarks.side_by_side.sgd_problem import Problem
from benchmarks.side_by_side.sgd_theirs import JaxSgd, NumpySgd, TorchSgd

# sigma, neurons, batch, and how many times faster than the best peer we mean to be
CASES = [
    ("square", 30, 100, 4.0),
    ("square", 450, 100, 1.7),
    ("square", 4500, 100, 10.0),
    ("square", 450, 1, 15.0),
    ("square", 4500, 1, 150.0),
    *((name, N, b, 3.0 if b == 1 else 1.3) for name in ("relu", "tanh") for b in (100, 1) for N in (450, 4500)),
]
# Relative to the way W went: float32 leaves some 1e-6; any difference of formula, rate or sample far more.
TOLERANCE = 1e-4
# Of ReLU, a share of some 1e-6 of the slopes flips where float32 does not tell the sign: its root of the way.
KINKED = 5e-3
LIBRARIES = ["numpy", "scipy", "numba", "torch", "jax"]
PEERS = {"numpy": NumpySgd, "mkl": MklSgd, "torch": TorchSgd, "jax": JaxSgd}


@dataclass(frozen=True)
class Row:
    """One way to take the step; `variant` is what the library's class makes of it, for fastlazy: reduce."""

    library: str
    variant: str
    threads: int
    dtype: str = "float32"
    scalar: bool = False

    @property
    def name(self) -> str:
        """How the row is called in the tables."""
        protocol = "authors' protocol" if self.scalar else ""
        dtype = "" if self.dtype == "float32" else self.dtype
        return ", ".join(filter(None, [self.library, self.variant, dtype, protocol]))


def rows(N: int, d: int, threads: int, activation: str = "square") -> list[Row]:
    """The rows of a case, ours first; peers once for one thread and once for all."""
    if activation != "square":
        return [row for row in rows(N, d, threads) if row.variant != "reduce=False" and not row.scalar]
    several = sorted({threads, 1}, reverse=True)
    ours = [Row("fastlazy", "", count, dtype) for dtype in ("float32", "float64") for count in several]
    ours += [Row("fastlazy", "reduce=False", threads)] if d < N else []
    ours += [Row("fastlazy", "", threads, scalar=True)]
    peers = [
        Row(library, variant, 0)
        for library, variants in {
            "numpy": ["matmul", "blas"],
            "mkl": ["blas"] if mkl.library() else [],
            "torch": ["by hand", "autograd"],
            "jax": ["threefry2x32", "rbg", "unsafe_rbg"],
        }.items()
        for variant in variants
    ]
    peers += [Row("jax", "rbg", 0, scalar=True)]
    return ours + [replace(row, threads=count) for row in peers for count in several]


def compare(threads: int, quick: bool, only: str = "") -> tuple[str, dict[str, Any]]:
    """The tables as markdown, and all that they show as plain numbers, of cases whose name contains *only*."""
    rounds, seconds = (3, 0.05) if quick else (7, 0.5)
    chosen = selected(CASES, [_name(activation, N, b) for activation, N, b, _ in CASES], only)
    facts = machine.facts(LIBRARIES + (["mkl"] if mkl.library() else []))
    report, numbers = [_heading(threads, facts)], {"machine": facts, "threads": threads, "cases": []}
    summary = []
    with ExitStack() as stack:
        children = {
            (library, count): stack.enter_context(Child(__name__, count))
            for library in ["fastlazy", *PEERS]
            if library != "mkl" or mkl.library()
            for count in {threads, 1}
        }
        limits = roofline.Limits({}, {})
        for activation, N, b, wanted in chosen:
            print(f"timing {_name(activation, N, b)}", file=sys.stderr)
            jobs = {}
            for row in rows(N, Problem.d, threads, activation):
                problem = Problem(N, b, dtype=row.dtype, scalar=row.scalar, activation=activation)
                request = {"row": asdict(row), "problem": asdict(problem), "seconds": seconds}
                jobs[f"{row.name} x{row.threads}"] = row, children[row.library, row.threads], request
            for dtype in ("float32", "float64"):
                limits.measure(children, dtype)
            timed = medians({name: (child, request) for name, (_, child, request) in jobs.items()}, rounds)
            results = [{**asdict(row), "name": row.name, **timed[name]} for name, (row, _, _) in jobs.items()]
            case = {"activation": activation, "N": N, "b": b, "wanted": wanted, "rows": results}
            numbers["cases"].append(case)
    numbers["peak_gflops"], numbers["bandwidth_gbytes"] = limits
    for case in numbers["cases"]:
        table, verdict = _tables(case, limits.gflops, threads)
        report.append(table)
        summary.append(verdict)
    report.append(limits.said())
    report.append(roofline.table([line for case in numbers["cases"] for line in _bounds(case, limits)]))
    head = ["case", "fastlazy", "best peer", "its time", "faster by", "wanted", ""]
    report.append("Summary, float32\n\n" + markdown(head, summary))
    return "\n\n".join(report), numbers


def _tables(case: dict[str, Any], peaks: dict[str, float], threads: int) -> tuple[str, list[str]]:
    """The table of one case, with each peer at the better of its thread counts, and its line of the summary."""
    activation, N, b = case["activation"], case["N"], case["b"]
    best: dict[str, dict[str, Any]] = {}
    for row in case["rows"]:
        key = f"{row['name']} x{row['threads']}" if row["library"] == "fastlazy" else row["name"]
        best[key] = min(best.get(key, row), row, key=lambda row: row["step"])
    ours = {scalar: _ours(case, threads, scalar) for scalar in {row["scalar"] for row in case["rows"]}}
    peer = min((row for row in best.values() if _is_rival(row)), key=lambda row: row["step"])
    lines = []
    for row in best.values():
        mine = row["library"] == "fastlazy"
        neurons = _neurons(row, activation, N)
        gflops = Problem(N, b).flops(neurons) / row["step"] / 1e9
        peak = peaks[f"{row['dtype']} x{row['threads']}"]
        lines.append([
            f"**{row['name']}**" if row is peer else row["name"],
            str(row["threads"]),
            duration(row["step"]),
            f"{row['step'] / ours[row['scalar']]['step']:.2f}",
            f"{gflops:.0f}" if mine else "",
            (f"{gflops / peak:.0%}" if gflops <= 1.05 * peak else "INVALID: above peak") if mine else "",
            duration(row["once"]) if mine else "",
        ])  # fmt: skip
    head = ["", "threads", "step", "/ ours", "GFLOP/s", "of peak", "once a run"]
    name = _name(activation, N, b)
    table = f"{name}\n\n" + markdown(head, lines)
    factor = peer["step"] / ours[False]["step"]
    verdict = "LOSES" if factor < 1 else "short" if factor < case["wanted"] else ""
    times = [duration(ours[False]["step"]), peer["name"], duration(peer["step"])]
    return table, [name, *times, f"{factor:.2f}", f"{case['wanted']:g}", verdict]


def _bounds(case: dict[str, Any], limits: roofline.Limits) -> list[list[str]]:
    """The lines of our rows in the table of bounds, each of one step."""
    activation, N, b = case["activation"], case["N"], case["b"]
    lines = []
    for row in case["rows"]:
        if row["library"] == "fastlazy" and not row["scalar"]:
            neurons = _neurons(row, activation, N)
            problem = Problem(N, b, dtype=row["dtype"], activation=activation)
            dtype = "" if row["dtype"] == "float32" else row["dtype"]
            name = ", ".join(filter(None, [_name(activation, N, b), row["variant"], dtype]))
            flops, moved = problem.flops(neurons), bytes_moved(problem, neurons)
            lines.append(roofline.line(name, row["threads"], row["dtype"], flops, moved, row["step"], limits))
    return lines


def _neurons(row: dict[str, Any], activation: str, N: int) -> int:
    """Rows of weights that a run of ours works on."""
    return N if row["variant"] == "reduce=False" or activation != "square" else min(N, Problem.d)


def _name(activation: str, N: int, b: int) -> str:
    return f"{activation}, N = {N}, batch {b}"


def _ours(case: dict[str, Any], threads: int, scalar: bool) -> dict[str, Any]:
    """Our float32 row with all threads."""
    wanted = asdict(Row("fastlazy", "", threads, scalar=scalar))
    return next(row for row in case["rows"] if wanted.items() <= row.items())


def _is_rival(row: dict[str, Any]) -> bool:
    return row["library"] != "fastlazy" and not row["scalar"]


def _heading(threads: int, facts: dict[str, str]) -> str:
    said = ", ".join(f"{name} {fact}" for name, fact in facts.items())
    return (
        f"# One step of SGD, d = {Problem.d}, data drawn inside, float32 unless said, up to {threads} threads\n\n"
        f"{time.strftime('%Y-%m-%d')}; {said}. Medians of rounds in turn. GFLOP/s count 4 b d min(N, d) operations a "
        "step of x^2 (4 b d N for reduce=False, and for another sigma); a peer is shown with the thread count it is "
        "fastest with, the best in bold."
    )


_ready: dict[tuple[tuple[str, int, int], Row], tuple[Callable[[int], tuple[float, float]], int]] = {}


def answer(request: dict[str, Any], threads: int) -> dict[str, float]:
    """Seconds of one step, and once a run, of the row and problem asked for; or a limit of the machine.

    A row that is asked for the first time is checked and compiled, and the number of steps found that take the
    seconds wanted; then it stays ready, until another case comes.
    """
    if "peak" in request:
        return {"gflops": machine.peak_gflops(request["peak"], threads)}
    if "bandwidth" in request:
        return {"gbytes": machine.bandwidth(request["bandwidth"])}
    row, problem = Row(**request["row"]), Problem(**request["problem"])
    case = problem.activation, problem.N, problem.b
    if any(ready_case != case for ready_case, _ in _ready):
        _ready.clear()
    if (case, row) not in _ready:
        seconds, chunk = prepare(row, problem)
        _ready[case, row] = seconds, steps_taking(request["seconds"], seconds, chunk)
    seconds, steps = _ready[case, row]
    taken, once = seconds(steps)
    return {"step": taken / steps, "once": once}


def prepare(row: Row, problem: Problem) -> tuple[Callable[[int], tuple[float, float]], int]:
    """The function that takes a number of steps to (seconds, seconds once a run), and what the number must divide by.

    Raises
    ------
    RuntimeError
        If the row does not take the same steps as plain float64 NumPy.
    """
    if row.library == "fastlazy":
        ours = FastlazySgd(problem, row.threads, reduce=row.variant != "reduce=False")
        _check(row, problem, ours.error())
        return ours.seconds, 1
    make = PEERS[row.library]
    peer = make(problem, row.variant, row.threads)
    shape = (2 * peer.chunk, problem.b, problem.d)
    batches = np.random.default_rng(2).standard_normal(shape).astype(problem.dtype)
    _check(row, problem, problem.error(peer.after(batches), batches))
    peer = make(problem, row.variant, row.threads)
    peer.run(peer.chunk)

    def seconds(steps: int) -> tuple[float, float]:
        start = time.perf_counter()
        peer.run(steps)
        return time.perf_counter() - start, 0.0

    return seconds, peer.chunk


def steps_taking(wanted: float, seconds: Callable[[int], tuple[float, float]], chunk: int) -> int:
    """A number of steps, in whole chunks, that takes about *wanted* seconds."""
    steps = chunk
    while (taken := seconds(steps)[0]) < wanted / 4:
        steps *= 2
    return max(1, round(steps * wanted / taken / chunk)) * chunk


def _check(row: Row, problem: Problem, error: float) -> None:
    if not error < (KINKED if (problem.activation, problem.dtype) == ("relu", "float32") else TOLERANCE):
        raise RuntimeError(f"{row.name} does not take the same step: relative error {error:.2g}")
