"""Fit and predict in the neural tangent model at n = 10,000, N = 4500, d = 450: fastlazy, NumPy with KernelRidge.

Every row first shows, at a small size, that it predicts what the explicit Jacobian and a solve predict. A time is that
of a fit and of the prediction of as many samples more. Memory is measured in a process of its own.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from benchmarks import machine
from benchmarks.side_by_side.data_ours import FastlazyData
from benchmarks.side_by_side.data_problem import Problem
from benchmarks.side_by_side.data_theirs import KernelRidgeData
from benchmarks.side_by_side.gram_ours import most_held
from benchmarks.side_by_side.processes import Child, duration, markdown
from benchmarks.side_by_side.roofline import selected


class Case(NamedTuple):
    """A problem, and how many times faster than KernelRidge we mean to be."""

    problem: Problem
    wanted: float | None


CASES = [Case(Problem("relu"), 2.5), Case(Problem("square"), 2.5)]
QUICK_SAMPLES = 4000  # with --quick
TOLERANCE = 1e-8
ASKED = "under 60 s and 4 GB"
LIBRARIES = ["numpy", "scipy", "numba", "scikit-learn"]
_MAKERS: dict[str, Any] = {"fastlazy": FastlazyData, "KernelRidge": KernelRidgeData}


@dataclass(frozen=True)
class Row:
    """One way to fit and predict; `variant` is what the library's class makes of it."""

    library: str
    variant: str
    threads: int

    @property
    def name(self) -> str:
        """How the row is called in the tables."""
        return ", ".join(filter(None, [self.library, self.variant]))


def rows(problem: Problem, threads: int) -> list[Row]:
    """The rows of a case, ours first."""
    variants = [""] if problem.activation == "square" else ["", "float32 counts"]
    return [Row("fastlazy", "", threads), *(Row("KernelRidge", variant, threads) for variant in [*variants, "own b"])]


def compare(threads: int, quick: bool, only: str = "") -> tuple[str, dict[str, Any]]:
    """The tables as markdown, and all that they show as plain numbers, of cases whose name contains *only*."""
    chosen = selected(CASES, [case.problem.name for case in CASES], only)
    facts = machine.facts(LIBRARIES)
    cases = []
    for case in chosen:
        problem = replace(case.problem, n=min(case.problem.n, QUICK_SAMPLES)) if quick else case.problem
        print(f"timing {problem.name}", file=sys.stderr)
        times, held = _timed(problem, threads, 1 if quick else 3)
        cases.append({**asdict(problem), "name": problem.name, "wanted": case.wanted, "rows": times, "held": held})
    said = ", ".join(f"{name} {fact}" for name, fact in facts.items())
    heading = (
        f"# The neural tangent model on data: fit, and predict as many more, {threads} threads\n\n"
        f"{time.strftime('%Y-%m-%d')}; {said}. Medians of rounds in turn; float64, no offset. Wanted is a factor over "
        'KernelRidge with a kernel for the new samples; "own b" is KernelRidge for the fit alone.'
    )
    report = "\n\n".join([heading, *map(_table, cases)])
    return report, {"machine": facts, "threads": threads, "cases": cases}


def _timed(problem: Problem, threads: int, rounds: int) -> tuple[list[dict[str, Any]], float]:
    """The rows with their seconds, and the most bytes that our process held."""
    several = rows(problem, threads)
    answers: dict[Row, list[float]] = {row: [] for row in several}
    held = 0.0
    with ExitStack() as stack:
        children = {row: stack.enter_context(Child(__name__, threads)) for row in several}
        for _ in range(rounds):
            for row in several:
                answer = children[row].ask({"row": asdict(row), "problem": asdict(problem)})
                answers[row].append(answer["call"])
                if row.library == "fastlazy":
                    held = answer["held"]
    return [{**asdict(row), "name": row.name, "call": statistics.median(times)} for row, times in answers.items()], held


def _table(case: dict[str, Any]) -> str:
    ours = case["rows"][0]["call"]
    lines = [[row["name"], duration(row["call"]), f"{row['call'] / ours:.2f}"] for row in case["rows"]]
    factor = min(row["call"] for row in case["rows"][1:] if row["variant"] != "own b") / ours
    verdict = "" if case["wanted"] is None or factor >= case["wanted"] else ": short"
    said = f"{factor:.2f} times faster than KernelRidge, wanted {case['wanted']}{verdict}"
    return (
        f"{case['name']}\n\n{markdown(['', 'fit and predict', '/ ours'], lines)}\n\n"
        f"{said}; {case['held'] / 1e9:.2f} GB at most in our process, data included (asked: {ASKED})."
    )


_ready: dict[tuple[Problem, Row], Any] = {}


def answer(request: dict[str, Any], threads: int) -> dict[str, float]:
    """Seconds of one call of the row and problem asked for, checked and compiled before, and the most bytes held."""
    row, problem = Row(**request["row"]), Problem(**request["problem"])
    if (problem, row) not in _ready:
        _ready[problem, row] = prepare(row, problem)
    start = time.perf_counter()
    _ready[problem, row].call()
    return {"call": time.perf_counter() - start, "held": most_held()}


def prepare(row: Row, problem: Problem) -> Any:
    """What makes the call, ready to do so.

    Raises
    ------
    RuntimeError
        If the row does not predict what the Jacobian predicts.
    """
    error = problem.small().error(_MAKERS[row.library](problem.small(), row.variant, row.threads).call())
    if not error < TOLERANCE:
        raise RuntimeError(f"{row.name} does not give {problem.name}: relative error {error:.2g}")
    return _MAKERS[row.library](problem, row.variant, row.threads)
