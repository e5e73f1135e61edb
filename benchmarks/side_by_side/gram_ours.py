"""`fastlazy`'s Gram matrices, kernels and normal equations, called as those of the other libraries are."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from unittest import mock

import numpy as np

import fastlazy
from benchmarks.side_by_side.gram_problem import Problem
from fastlazy._support import threads


class FastlazyGram:
    """Calls of the public function on a problem; one thread is parallel=False.

    "out= given": the kernel's result goes to the same array in every call; "prepared W": W is laid out before, as
    for a W that stays the same over many calls.
    """

    def __init__(self, problem: Problem, threads: int, variant: str = "") -> None:
        self.problem, self.threads = problem, threads
        self.inputs = problem.inputs()
        self.weights = fastlazy.prepare_weights(self.inputs.W) if variant == "prepared W" else self.inputs.W
        self.out = np.empty((problem.n, problem.n), problem.dtype) if variant == "out= given" else None

    def call(self) -> tuple[np.ndarray, ...]:
        """The results, in arrays of their own."""
        work, activation, parallel = self.problem.work, self.problem.activation, self.threads > 1
        X, W, y = self.inputs
        # The public call takes every core of the process: here as many as the peers may use.
        with mock.patch.object(threads, "thread_limit", return_value=self.threads):
            if work == "rf_gram":
                return (fastlazy.rf_gram(W, activation, parallel=parallel),)
            if work == "rf_normal_equations":
                return fastlazy.rf_normal_equations(X, y, W, activation, parallel=parallel)
            kernel = fastlazy.rf_kernel if work == "rf_kernel" else fastlazy.nt_kernel
            return (kernel(X, self.weights, activation, out=self.out, parallel=parallel),)


def peak_memory(problem: Problem, small: Problem, threads: int) -> dict[str, float]:
    """Bytes that this process, a fresh one, has held at most: in all, and before; and those of inputs and results.

    Before is after a call on a *small* problem: the interpreter, libraries and compiled code.
    """
    FastlazyGram(small, threads).call()
    before = most_held()
    ours = FastlazyGram(problem, threads)
    arrays = [*ours.inputs, *ours.call()]
    return {"in_all": most_held(), "before": before, "arrays": float(sum(array.nbytes for array in arrays))}


def most_held() -> float:
    """Bytes that this process has held at most."""
    status = Path("/proc/self/status")
    if status.exists():  # elsewhere, and in what getrusage says, the process that started this one counts, too
        return 1024 * float(status.read_text().split("VmHWM:")[1].split()[0])
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(held if sys.platform == "darwin" else 1024 * held)
