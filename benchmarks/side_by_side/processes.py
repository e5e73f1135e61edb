"""Libraries side by side: each in a process of its own, timed in turns, so that all meet the same machine.

A process serves one module and one number of threads. The module's `answer(request, threads)` takes and returns
what JSON can carry. Thread counts go in by the environment, before any library is loaded. A process that waits for
its turn is stopped by a signal: the thread pools of some libraries spin for a while after their work is done, and would
take the cores from whoever is timed next.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class Child:
    """A process that answers requests by *module* (its full name), with libraries set to *threads*."""

    def __init__(self, module: str, threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.side_by_side.processes", module, str(threads)],
            cwd=ROOT,
            env={**os.environ, **_environment(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The module's answer; it waits."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process asked for {request} ended with code {self.process.wait()}; see above")
        self.process.send_signal(signal.SIGSTOP)
        return json.loads(line)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.communicate()


def medians(jobs: dict[str, tuple[Child, dict[str, Any]]], rounds: int) -> dict[str, dict[str, float]]:
    """The median of every number in the answers of each job, over *rounds* rounds of all jobs in turn."""
    answers: dict[str, list[dict[str, float]]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, (child, request) in jobs.items():
            answers[name].append(child.ask(request))
    return {
        name: {key: statistics.median(answer[key] for answer in of_job) for key in of_job[0]}
        for name, of_job in answers.items()
    }


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table with its columns aligned: the first to the left, the others to the right."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]

    def line(cells: list[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "-" * (widths[0] + 2) + "|" + "".join("-" * (width + 1) + ":|" for width in widths[1:])
    return "\n".join([line(head), rule, *map(line, rows)])


def duration(seconds: float) -> str:
    """Seconds as a table shows them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def _environment(threads: int) -> dict[str, str]:
    counts = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), str(threads))
    # XLA sizes its pool by NPROC; Eigen within it must be told to stay on one thread
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen={str(threads > 1).lower()}"
    return {**counts, "XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu"}


def _serve(module: str, threads: int) -> None:
    """Answer each line of the input; what libraries print goes to the errors, not between the answers."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    answer = importlib.import_module(module).answer
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), threads)), file=replies)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
