"""The steps of `fastlazy.fit_nn`, timed and checked as those of the other libraries are."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from unittest import mock

import numpy as np

import fastlazy
from benchmarks.side_by_side.sgd_problem import Problem
from fastlazy._core.normal import fill_normals
from fastlazy._core.sgd import FIXED, has_coefficients, minibatches_per_block
from fastlazy.training.loop import Course, Loop


class FastlazySgd:
    """Runs of `fit_nn` on a problem: data, risk at the start and the end, everything included."""

    def __init__(self, problem: Problem, threads: int, reduce: bool = True, second_layer: str = "") -> None:
        self.problem = problem
        self.target = fastlazy.QuadraticTarget(problem.beta, problem.b0)
        (W, a, c), rates = problem.start(), problem.rates
        self.arguments = {
            "activation": problem.activation,
            "batch_size": problem.b,
            # one number is enough where the problem's other two rates are those that fit_nn makes of it
            "step_size": (lambda _: rates) if problem.scalar or problem.activation != "square" else rates[0],
            "second_layer": second_layer or ("scalar" if problem.scalar else "ones"),
            "W0": W,
            "a0": a if problem.scalar else None,
            "c0": c,
            "dtype": problem.dtype,
            "rng": 0,
            "n_records": 2,
            "reduce": reduce,
            "n_threads": threads,
        }

    def run(self, steps: int) -> fastlazy.Fit:
        """The network after *steps* steps from the start."""
        with warnings.catch_warnings():  # an odd sigma is timed, too
            warnings.filterwarnings("ignore", "activation '.*' has no part of degree two", UserWarning)
            return fastlazy.fit_nn(self.target, self.problem.N, n_samples=steps * self.problem.b, **self.arguments)

    def seconds(self, steps: int) -> tuple[float, float]:
        """Seconds of *steps* steps, and of what a run does once: QR for N > d, exact risks, the result.

        Both from one run: the first is what passes in the training loop, data and step sizes included. The
        difference of two runs would do without a patch of the loop, but for N > d what is done once takes
        as long as hundreds of steps, and its scatter would swamp them.
        """
        run, inside = Loop.run, 0.0

        def timed(loop: Loop, course: Course) -> Iterator[tuple[int, bool]]:
            nonlocal inside
            start = time.perf_counter()
            for stop in run(loop, course):
                inside += time.perf_counter() - start
                yield stop
                start = time.perf_counter()
            inside += time.perf_counter() - start

        start = time.perf_counter()
        with mock.patch.object(Loop, "run", timed):
            fit = self.run(steps)
        if fit.status != "finished":
            raise RuntimeError(f"fit_nn {fit.status} after {fit.samples[-1]} samples: the timing means nothing")
        return inside, time.perf_counter() - start - inside

    def error(self) -> float:
        """Relative error of a few steps against plain float64 steps on the same samples."""
        # A group of four samples is one stream of normals; a block of minibatches begins a new group.
        b, d = self.problem.b, self.problem.d
        square = self.problem.activation == "square"
        steps = minibatches_per_block(b, square and has_coefficients(min(self.problem.N, d), FIXED))
        key = np.random.default_rng(0).integers(2**64, dtype=np.uint64)
        groups = np.empty((-(-steps * b // 4), 4 * d), self.problem.dtype)
        for stream, numbers in enumerate(groups):
            fill_normals(key, np.uint64(stream), numbers)
        samples = groups.reshape(-1, d, 4).transpose(0, 2, 1).reshape(-1, d)
        return self.problem.error(self.run(steps).W, samples[: steps * b].reshape(steps, b, d))


def bytes_moved(problem: Problem, neurons: int) -> float:
    """Bytes of weights that pass by in a step on *neurons* rows: all read and written, once for a block of steps.

    As if none stayed in a cache, as small W do.
    """
    coefficients = problem.activation == "square" and has_coefficients(neurons, FIXED)
    entries = 2 * neurons * problem.d / minibatches_per_block(problem.b, coefficients)
    return float(entries * np.dtype(problem.dtype).itemsize)
