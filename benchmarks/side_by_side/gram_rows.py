"""Gram matrices, kernels and normal equations at d = 450, N = 4500: fastlazy, NumPy, scikit-learn, PyTorch, JAX, MKL.

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
from benchmarks.side_by_side import mkl, roofline
from benchmarks.side_by_side.gram_ours import FastlazyGram, peak_memory
from benchmarks.side_by_side.gram_problem import Problem
from benchmarks.side_by_side.gram_theirs import JaxGram, NumpyGram, SklearnGram, TorchGram
from benchmarks.side_by_side.mkl_peers import MklGram
from benchmarks.side_by_side.processes import Child, duration, markdown, medians
from benchmarks.side_by_side.roofline import selected


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
    Case(Problem("nt_kernel", "tanh", 4096), None),
    Case(Problem("rf_kernel", "relu", 4096), 1.8),
    Case(Problem("rf_normal_equations", "relu", 50_000), 1.8),
    # what autodiff, which knows no structure, can still do in a few seconds
    Case(Problem("nt_kernel", "relu", 256), None),
    Case(Problem("nt_kernel", "relu", 256, "float32"), None),
]
QUICK_SAMPLES = 5000  # at most, with --quick
AUTODIFF_SAMPLES = 256  # at most: half a minute and more for a few thousand; not with --quick
MEMORY = [
    (Problem("rf_normal_equations", "relu", 50_000), "under 0.5 GB above inputs and results"),
    (Problem("nt_kernel", "relu", 20_000, "float32"), "under 4 GB in all"),
]
MEMORY_SAID = "Memory of fastlazy at its most, in GB, each in a fresh process"
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}  # of each entry, relative to the largest
LIBRARIES = ["numpy", "scipy", "numba", "scikit-learn", "torch", "jax"]
PEERS = {"numpy": NumpyGram, "mkl": MklGram, "scikit-learn": SklearnGram, "torch": TorchGram, "jax": JaxGram}
OUT_GIVEN = [("rf_kernel", "relu"), ("nt_kernel", "tanh")]  # the tile alone counts: timed without new arrays, too
SMALL = 256  # samples up to which it counts that W may be prepared
HOPELESS = 1.5  # times as long as the best peer in the first round: not timed again
LONG = {False: 0.5, True: 20.0}  # seconds of a peer's call, or ours, with all threads: not timed with one


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
    variants["mkl"] = ["blas"] if mkl.library() else []
    if (problem.work, problem.activation) in OUT_GIVEN and problem.n > SMALL:
        variants["fastlazy"] += ["out= given"]
    if problem.work == "nt_kernel" and problem.n <= SMALL:
        variants["fastlazy"] += ["prepared W"]
    if problem.work == "rf_gram" and problem.activation != "square":
        variants["scikit-learn"] = []
    if problem.work == "rf_gram" and problem.activation == "tanh":
        return [Row("fastlazy", "", threads)]
    if problem.work == "rf_normal_equations":
        variants["numpy"], variants["scikit-learn"] = ["matmul", "blas"], []
    elif problem.work == "nt_kernel" and problem.activation == "square":
        for library in ("numpy", "mkl"):
            variants[library] += ["cholesky"] if variants[library] else []
    elif problem.work == "nt_kernel" and problem.activation == "relu":
        if problem.dtype == "float64":
            for library in PEERS:
                variants[library] += ["float32 counts"] if variants[library] else []
        if problem.n <= AUTODIFF_SAMPLES:
            for library in ("torch", "jax"):
                variants[library] += ["autodiff"]
    return [Row(library, variant, threads) for library, of_library in variants.items() for variant in of_library]


def compare(threads: int, quick: bool, only: str = "") -> tuple[str, dict[str, Any]]:
    """The tables as markdown, and all that they show as plain numbers, of cases whose name contains *only*."""
    names = [case.problem.name for case in CASES]
    chosen = selected(CASES, names, only)
    facts = machine.facts(LIBRARIES + (["mkl"] if mkl.library() else []))
    numbers = {"machine": facts, "threads": threads, **_measured(chosen, threads, quick, only)}
    limits = roofline.Limits(numbers["peak_gflops"], numbers["bandwidth_gbytes"])
    tables = [_table(case, limits.gflops, threads) for case in numbers["cases"]]
    summary = [line for case in numbers["cases"] for line in _summary(case, threads)]
    bounds = [line for case in numbers["cases"] for line in _bounds(case, limits)]
    head = ["case", "fastlazy", "best peer", "its time", "faster by", "wanted", ""]
    report = [
        _heading(threads, facts),
        *tables,
        limits.said(),
        roofline.table(bounds),
        *([f"{MEMORY_SAID}\n\n{_memory_table(numbers['memory'])}"] if numbers["memory"] else []),
        "Summary\n\n" + markdown(head, summary),
    ]
    return "\n\n".join(report), numbers


def _measured(chosen: list[Case], threads: int, quick: bool, only: str) -> dict[str, Any]:
    """The rows of the *chosen* cases, what the machine gives at most, and the memory."""
    cases: list[dict[str, Any]] = []
    memory: list[dict[str, Any]] = []
    limits = roofline.Limits({}, {})
    with ExitStack() as stack:
        children = {
            (library, count): stack.enter_context(Child(__name__, count))
            for library in ["fastlazy", *PEERS]
            if library != "mkl" or mkl.library()
            for count in {threads, 1}
        }
        for case in chosen:
            problem = _shortened(case.problem, quick)
            print(f"timing {problem.name}", file=sys.stderr)
            timed = _timed(problem, children, threads, quick)
            cases.append({**asdict(problem), "name": problem.name, "wanted": case.wanted, "rows": timed})
            limits.measure(children, problem.dtype)
    for largest, asked in MEMORY:
        if only not in largest.name:
            continue
        problem = _shortened(largest, quick)
        print(f"measuring the memory of {problem.name}", file=sys.stderr)
        with Child(__name__, threads) as child:
            held = child.ask({"memory": asdict(problem)})
        memory.append({**asdict(problem), "name": problem.name, "asked": asked, **held})
    return {"cases": cases, "memory": memory, "peak_gflops": limits.gflops, "bandwidth_gbytes": limits.gbytes}


def _timed(problem: Problem, children: dict[tuple[str, int], Child], threads: int, quick: bool) -> list[dict[str, Any]]:
    """Each row with the seconds of a call: the median of as many rounds as are worth their time.

    A first round is for all, one thread after all threads, and without it where all threads take long already;
    after it, peers that no further round would make the best keep what they took.
    """
    least, enough, seconds = (2, 1.5, 0.05) if quick else (3, 15.0, 0.2)
    answers: dict[Row, list[float]] = {}

    def ask(row: Row) -> None:
        request = {"row": asdict(row), "problem": asdict(problem), "seconds": seconds}
        call = medians({row.name: (children[row.library, row.threads], request)}, 1)[row.name]["call"]
        answers.setdefault(row, []).append(call)

    several = [row for row in rows(problem, threads) if not (quick and row.variant == "autodiff")]
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


def _best(case: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The rows of a case, ours all and each peer at the better of its thread counts; and the best peer."""
    best: dict[str, dict[str, Any]] = {}
    for row in case["rows"]:
        key = f"{row['name']} x{row['threads']}" if row["library"] == "fastlazy" else row["name"]
        best[key] = min(best.get(key, row), row, key=lambda row: row["call"])
    peers = [row for row in best.values() if row["library"] != "fastlazy"]
    return list(best.values()), min(peers, key=lambda row: row["call"], default=None)


def _ours(case: dict[str, Any], threads: int, variant: str = "") -> dict[str, Any] | None:
    wanted = asdict(Row("fastlazy", variant, threads))
    return next((row for row in case["rows"] if wanted.items() <= row.items()), None)


def _problem(case: dict[str, Any]) -> Problem:
    return Problem(**{name: case[name] for name in Problem.__dataclass_fields__})


def _table(case: dict[str, Any], peaks: dict[str, float], threads: int) -> str:
    """The table of one case."""
    problem, ours = _problem(case), _ours(case, threads)
    assert ours is not None
    best, peer = _best(case)
    lines = []
    for row in best:
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
    return f"{problem.name}\n\n" + markdown(head, lines)


def _summary(case: dict[str, Any], threads: int) -> list[list[str]]:
    """The case's line of the summary, and that with prepared weights if there is one."""
    _, peer = _best(case)
    lines = []
    for variant in ("", "prepared W"):
        ours = _ours(case, threads, variant)
        if ours is None:
            continue
        name = ", ".join(filter(None, [case["name"], variant]))
        if peer is None:
            lines.append([name, duration(ours["call"]), *[""] * 5])
            continue
        factor, wanted = peer["call"] / ours["call"], case["wanted"]
        verdict = "LOSES" if factor < 1 else "short" if factor < (wanted or 0) else ""
        times = [duration(ours["call"]), peer["name"], duration(peer["call"])]
        lines.append([name, *times, f"{factor:.2f}", "" if wanted is None else f"{wanted:g}", verdict])
    return lines


def _bounds(case: dict[str, Any], limits: roofline.Limits) -> list[list[str]]:
    """The lines of our rows in the table of bounds."""
    problem = _problem(case)
    return [
        roofline.line(
            ", ".join(filter(None, [problem.name, row["variant"]])),
            row["threads"],
            problem.dtype,
            problem.flops(),
            problem.bytes_moved(),
            row["call"],
            limits,
        )
        for row in case["rows"]
        if row["library"] == "fastlazy"
    ]


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
        f"{time.strftime('%Y-%m-%d')}; {said}. Results are new arrays in every call but those with "
        'out= given; "prepared W" is laid out once, for a W that stays the same over calls. Medians of rounds in turn; '
        "a peer "
        f"that took over {HOPELESS:g} times as long as the best one in a first round was not timed again, and one that "
        f"took over {LONG[False]:g} s (fastlazy: {LONG[True]:g} s) not with one thread. GFLOP/s count the useful "
        "operations of products, the half of symmetric ones, and nothing else: not the counting of bits. A peer is "
        "shown with the thread count it is fastest with, the best in bold."
    )


_ready: dict[tuple[Problem, Row], Any] = {}


def answer(request: dict[str, Any], threads: int) -> dict[str, float]:
    """Seconds of one call of the row and problem asked for; or a limit of the machine; or the memory of a problem.

    A row that is asked for the first time is checked and compiled; then it stays ready, until another problem comes.
    """
    if "peak" in request:
        return {"gflops": machine.peak_gflops(request["peak"], threads)}
    if "bandwidth" in request:
        return {"gbytes": machine.bandwidth(request["bandwidth"])}
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
        return FastlazyGram(problem, row.threads, row.variant)
    return PEERS[row.library](problem, row.variant, row.threads)
