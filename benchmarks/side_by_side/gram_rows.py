"""Gram matrices, kernels and normal equations at d = 450, N = 4500: fastlazy, NumPy, scikit-learn, PyTorch, JAX.

Every row first shows, at a small size, that it gives what the formulas give in plain float64 NumPy. A time is that
of a call that makes its results anew. Memory is measured in processes of their own.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from benchmarks import machine
from benchmarks.side_by_side.gram_ours import FastlazyGram, peak_memory
from benchmarks.side_by_side.gram_problem import Problem
from benchmarks.side_by_side.gram_theirs import JaxGram, NumpyGram, SklearnGram, TorchGram
from benchmarks.side_by_side.processes import Child, duration, markdown, medians


class Case(NamedTuple):
    """A problem, and how many times faster than the best peer we mean to be."""

    problem: Problem
    wanted: float | None


CASES = [
    Case(Problem("rf_gram", "square", 0), 2.2),
    Case(Problem("rf_gram", "square", 0, "float32"), 1.8),
    Case(Problem("rf_gram", "relu", 0), 3.5),
    Case(Problem("rf_gram", "tanh", 0), None),  # no peer has a formula for it; beside ReLU's time
    Case(Problem("nt_kernel", "square", 4096), 2.4),
    Case(Problem("nt_kernel", "relu", 4096), 5.0),
    Case(Problem("rf_kernel", "relu", 4096), 1.8),
    Case(Problem("rf_normal_equations", "relu", 50_000), 1.8),
    # what autodiff, which knows no structure, can still do in a few seconds
    Case(Problem("nt_kernel", "relu", 256), None),
    Case(Problem("nt_kernel", "relu", 256, "float32"), None),
]
QUICK_SAMPLES = 10_000  # at most, with --quick
AUTODIFF_SAMPLES = 256  # at most: half a minute and more for a few thousand
MEMORY = [
    (Problem("rf_normal_equations", "relu", 50_000), "under 0.5 GB above inputs and results"),
    (Problem("nt_kernel", "relu", 20_000, "float32"), "under 4 GB in all"),
]
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}  # of each entry, relative to the largest
LIBRARIES = ["numpy", "scipy", "numba", "scikit-learn", "torch", "jax"]
PEERS = {"numpy": NumpyGram, "scikit-learn": SklearnGram, "torch": TorchGram, "jax": JaxGram}
HOPELESS = 1.5  # times as long as the best peer in the first round: not timed again
LONG = {False: 0.5, True: 5.0}  # seconds of a peer's call, or ours, with all threads: not timed with one


@dataclass(frozen=True)
class Row:
    """One way to make the call; `variant` is what the library's class makes of it."""

    library: str
    variant: str
    threads: int

    @property
    def name(self) -> str:
        """How the row is called in the tables."""
        return ", ".join(filter(None, [self.library, self.variant]))


def rows(problem: Problem, threads: int) -> list[Row]:
    """The rows of a case with all threads, ours first."""
    variants: dict[str, list[str]] = {library: [""] for library in ["fastlazy", *PEERS]}
    if problem.work == "rf_gram" and problem.activation != "square":
        variants["scikit-learn"] = []
    if problem.activation == "tanh":
        return [Row("fastlazy", "", threads)]
    if problem.work == "rf_normal_equations":
        variants["numpy"], variants["scikit-learn"] = ["matmul", "blas"], []
    elif problem.work == "nt_kernel" and problem.activation == "square":
        variants["numpy"] += ["cholesky"]
    elif problem.work == "nt_kernel":
        if problem.dtype == "float64":
            for library in PEERS:
                variants[library] += ["float32 counts"]
        if problem.n <= AUTODIFF_SAMPLES:
            for library in ("torch", "jax"):
                variants[library] += ["autodiff"]
    return [Row(library, variant, threads) for library, of_library in variants.items() for variant in of_library]


def compare(threads: int, quick: bool) -> tuple[str, dict[str, Any]]:
    """The tables as markdown, and all that they show as plain numbers."""
    facts = machine.facts(LIBRARIES)
    numbers = {"machine": facts, "threads": threads, **_measured(threads, quick)}
    peaks = numbers["peak_gflops"]
    tables, summary = zip(*(_tables(case, peaks, threads) for case in numbers["cases"]), strict=True)
    peak_lines = [f"- {name}: {gflops:.1f} GFLOP/s" for name, gflops in sorted(peaks.items())]
    head = ["case", "fastlazy", "best peer", "its time", "faster by", "wanted", ""]
    report = [
        _heading(threads, facts),
        *tables,
        "Measured peak (multiply-adds in registers only)\n\n" + "\n".join(peak_lines),
        "Memory of fastlazy at its most, in GB, each in a fresh process\n\n" + _memory_table(numbers["memory"]),
        "Summary\n\n" + markdown(head, list(summary)),
    ]
    return "\n\n".join(report), numbers


def _measured(threads: int, quick: bool) -> dict[str, Any]:
    """The rows of all cases, the peaks, and the memory."""
    cases: list[dict[str, Any]] = []
    memory: list[dict[str, Any]] = []
    peaks: dict[str, float] = {}
    with ExitStack() as stack:
        children = {
            (library, count): stack.enter_context(Child(__name__, count))
            for library in ["fastlazy", *PEERS]
            for count in {threads, 1}
        }
        for case in CASES:
            problem = _shortened(case.problem, quick)
            print(f"timing {problem.name}", file=sys.stderr)
            timed = _timed(problem, children, threads, quick)
            cases.append({**asdict(problem), "name": problem.name, "wanted": case.wanted, "rows": timed})
            for count in {threads, 1}:
                # between the cases, and the best of all: an upper bound must not come from a slow moment
                peak = children["fastlazy", count].ask({"peak": problem.dtype})["gflops"]
                name = f"{problem.dtype} x{count}"
                peaks[name] = max(peak, peaks.get(name, 0.0))
    for largest, asked in MEMORY:
        problem = _shortened(largest, quick)
        print(f"measuring the memory of {problem.name}", file=sys.stderr)
        with Child(__name__, threads) as child:
            held = child.ask({"memory": asdict(problem)})
        memory.append({**asdict(problem), "name": problem.name, "asked": asked, **held})
    return {"cases": cases, "memory": memory, "peak_gflops": peaks}


def _timed(problem: Problem, children: dict[tuple[str, int], Child], threads: int, quick: bool) -> list[dict[str, Any]]:
    """Each row with the seconds of a call: the median of as many rounds as are worth their time.

    A first round is for all, one thread after all threads, and without it where all threads take long already;
    after it, peers that no further round would make the best keep what they took.
    """
    least, enough, seconds = (2, 3.0, 0.05) if quick else (3, 15.0, 0.2)
    answers: dict[Row, list[float]] = {}

    def ask(row: Row) -> None:
        request = {"row": asdict(row), "problem": asdict(problem), "seconds": seconds}
        call = medians({row.name: (children[row.library, row.threads], request)}, 1)[row.name]["call"]
        answers.setdefault(row, []).append(call)

    several = rows(problem, threads)
    names = [row.name for row in several]
    for row in several:
        ask(row)
    for row in several:
        if threads > 1 and answers[row][0] < LONG[row.library == "fastlazy"]:
            ask(replace(row, threads=1))
    limit = HOPELESS * min([calls[0] for row, calls in answers.items() if row.library != "fastlazy"], default=0.0)
    again = [row for row, calls in answers.items() if row.library == "fastlazy" or calls[0] <= limit]
    a_round = sum(max(answers[row][0], seconds) for row in again)
    for _ in range(1, min(max(math.ceil(enough / a_round), least), 7)):
        for row in again:
            ask(row)
    return [
        {**asdict(row), "name": row.name, "rounds": len(calls), "call": statistics.median(calls)}
        for row, calls in sorted(answers.items(), key=lambda item: names.index(item[0].name))
    ]


def _shortened(problem: Problem, quick: bool) -> Problem:
    return replace(problem, n=min(problem.n, QUICK_SAMPLES)) if quick else problem


def _tables(case: dict[str, Any], peaks: dict[str, float], threads: int) -> tuple[str, list[str]]:
    """The table of one case, with each peer at the better of its thread counts, and its line of the summary."""
    problem = Problem(**{name: case[name] for name in Problem.__dataclass_fields__})
    best: dict[str, dict[str, Any]] = {}
    for row in case["rows"]:
        key = f"{row['name']} x{row['threads']}" if row["library"] == "fastlazy" else row["name"]
        best[key] = min(best.get(key, row), row, key=lambda row: row["call"])
    ours = best[f"fastlazy x{threads}"]
    peers = [row for row in best.values() if row["library"] != "fastlazy"]
    peer = min(peers, key=lambda row: row["call"], default=None)
    lines = []
    for row in best.values():
        mine = row["library"] == "fastlazy"
        gflops = problem.flops() / row["call"] / 1e9
        peak = peaks[f"{problem.dtype} x{row['threads']}"]
        lines.append([
            f"**{row['name']}**" if row is peer else row["name"],
            str(row["threads"]),
            duration(row["call"]),
            f"{row['call'] / ours['call']:.2f}",
            f"{gflops:.0f}" if mine else "",
            (f"{gflops / peak:.0%}" if gflops <= 1.05 * peak else "INVALID: above peak") if mine else "",
            str(row["rounds"]),
        ])  # fmt: skip
    head = ["", "threads", "call", "/ ours", "GFLOP/s", "of peak", "rounds"]
    if peer is None:
        return f"{problem.name}\n\n" + markdown(head, lines), [problem.name, duration(ours["call"]), *[""] * 5]
    factor, wanted = peer["call"] / ours["call"], case["wanted"]
    verdict = "LOSES" if factor < 1 else "short" if factor < (wanted or 0) else ""
    times = [duration(ours["call"]), peer["name"], duration(peer["call"])]
    line = [problem.name, *times, f"{factor:.2f}", "" if wanted is None else f"{wanted:g}", verdict]
    return f"{problem.name}\n\n" + markdown(head, lines), line


def _memory_table(held: list[dict[str, Any]]) -> str:
    head = ["", "in all", "inputs and results", "above these", "of it before the call", "asked"]
    lines = []
    for case in held:
        in_all, arrays, before = case["in_all"], case["arrays"], case["before"]
        sizes = [f"{size / 1e9:.2f}" for size in (in_all, arrays, in_all - arrays, before)]
        lines.append([case["name"], *sizes, case["asked"]])
    return markdown(head, lines)


def _heading(threads: int, facts: dict[str, str]) -> str:
    said = ", ".join(f"{name} {fact}" for name, fact in facts.items())
    return (
        f"# Gram matrices, kernels and normal equations, d = {Problem.d}, up to {threads} threads\n\n"
        f"{time.strftime('%Y-%m-%d')}; {said}. Results are new arrays in every call. Medians of rounds in turn; a peer "
        f"that took over {HOPELESS:g} times as long as the best one in a first round was not timed again, and one that "
        f"took over {LONG[False]:g} s (fastlazy: {LONG[True]:g} s) not with one thread. GFLOP/s count the useful "
        "operations of products, the half of symmetric ones, and nothing else: not the counting of bits. A peer is "
        "shown with the thread count it is fastest with, the best in bold."
    )


_ready: dict[tuple[Problem, Row], Any] = {}


def answer(request: dict[str, Any], threads: int) -> dict[str, float]:
    """Seconds of one call of the row and problem asked for; or the peak of a dtype; or the memory of a problem.

    A row that is asked for the first time is checked and compiled; then it stays ready, until another problem comes.
    """
    if "peak" in request:
        return {"gflops": machine.peak_gflops(request["peak"], threads)}
    if "memory" in request:
        problem = Problem(**request["memory"])
        return peak_memory(problem, problem.small(), threads)
    row, problem = Row(**request["row"]), Problem(**request["problem"])
    if any(ready_problem != problem for ready_problem, _ in _ready):
        _ready.clear()
    if (problem, row) not in _ready:
        _ready[problem, row] = prepare(row, problem)
    calls, start = 0, time.perf_counter()
    while not calls or time.perf_counter() - start < request["seconds"]:
        _ready[problem, row].call()
        calls += 1
    return {"call": (time.perf_counter() - start) / calls}


def prepare(row: Row, problem: Problem) -> Any:
    """What makes the call, ready to do so.

    Raises
    ------
    RuntimeError
        If the row does not give what the formulas give.
    """
    error = problem.small().error(_make(row, problem.small()).call())
    if not error < TOLERANCE[problem.dtype]:
        raise RuntimeError(f"{row.name} does not give {problem.name}: relative error {error:.2g}")
    return _make(row, problem)


def _make(row: Row, problem: Problem) -> Any:
    if row.library == "fastlazy":
        return FastlazyGram(problem, row.threads)
    return PEERS[row.library](problem, row.variant, row.threads)
