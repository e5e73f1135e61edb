"""SGD under asv: time of a step, share of the machine's peak, memory, normals, and the way to the first step.

The sizes stand here, where the tests replace them by small ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fastlazy
from benchmarks import machine
from benchmarks.side_by_side.sgd_ours import FastlazySgd
from benchmarks.side_by_side.sgd_problem import Problem
from fastlazy._core.layout import aligned_zeros, panel_width
from fastlazy._core.normal import fill_normals
from fastlazy._core.tile import multiply

PACKAGE = Path(fastlazy.__file__).parent
D = 450
FLOPS = 2e10  # of one timing: a few tenths of a second
NORMALS = 1_000_000
ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# What `fastlazy figure` needs compiled, at the smallest size.
FIRST_STEP = """
import fastlazy
target = fastlazy.exponential_target(50, rng=0)
fastlazy.fit_nn(target, 100, n_samples=200, batch_size=100)
"""


def fastest(call, *arguments, repeats):
    """Seconds of the fastest of *repeats* calls."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call(*arguments)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


class Step:
    """Steps of `fit_nn`, data drawn inside, by width, batch, dtype, second layer and threads."""

    params = ([30, 450, 4500], [1, 100], ["float32", "float64"], ["ones", "free"], sorted({1, ALL}))
    param_names = ("N", "batch", "dtype", "second_layer", "threads")

    def setup(self, N, batch, dtype, second_layer, threads):
        self.problem = Problem(N, batch, D, dtype)
        self.neurons = N if second_layer == "free" else min(N, D)
        self.steps = max(1, round(FLOPS / self.problem.flops(self.neurons)))
        self.ours = FastlazySgd(self.problem, threads, second_layer=second_layer)
        self.ours.run(1)  # compiles

    def time_run(self, *_):
        self.ours.run(self.steps)

    def peakmem_run(self, *_):
        self.ours.run(self.steps)

    def track_step(self, *_):
        return 1e6 * self.ours.seconds(self.steps)[0] / self.steps

    track_step.unit = "us"

    def track_gflops(self, *_):
        seconds, _once = self.ours.seconds(self.steps)
        return self.steps * self.problem.flops(self.neurons) / seconds / 1e9

    track_gflops.unit = "GFLOP/s"

    def track_of_peak(self, N, batch, dtype, second_layer, threads):
        peak = machine.peak_gflops(dtype, threads)
        return 100 * self.track_gflops() / peak

    track_of_peak.unit = "% of measured peak"


class Peak:
    """What the machine gives at most, beside the history of what we take of it."""

    params = (["float32", "float64"], sorted({1, ALL}))
    param_names = ("dtype", "threads")

    def track_peak(self, dtype, threads):
        return machine.peak_gflops(dtype, threads)

    track_peak.unit = "GFLOP/s"


class Tile:
    """One panel of W times 100 samples, on one thread: what the tile reaches with its operands near."""

    params = (["float32", "float64"],)
    param_names = ("dtype",)

    def setup(self, dtype):
        width, d4, rows = panel_width(1000, dtype), 4 * -(-D // 4), 100
        self.X, self.W = aligned_zeros((rows // 4, d4, 4), dtype), aligned_zeros((d4, width), dtype)
        self.Z = np.ones((rows, width), dtype)
        self.flops = 2 * rows * d4 * width
        self.time_products(dtype)

    def time_products(self, dtype):
        multiply(self.X, 0, len(self.X), self.W, 0, len(self.W), False, self.Z)

    def track_of_peak(self, dtype):
        best = fastest(self.time_products, dtype, repeats=2000)
        return 100 * self.flops / best / 1e9 / machine.peak_gflops(dtype)

    track_of_peak.unit = "% of measured peak"


class Normals:
    """Standard normals drawn on one thread."""

    params = (["float32", "float64"],)
    param_names = ("dtype",)

    def setup(self, dtype):
        self.out = np.empty(4096, dtype)  # as the run draws them: into the nearest cache
        fill_normals(np.uint64(0), np.uint64(0), self.out)

    def time_fill(self, dtype):
        for stream in range(NORMALS // self.out.size):
            fill_normals(np.uint64(0), np.uint64(stream), self.out)

    def track_each(self, dtype):
        best = fastest(self.time_fill, dtype, repeats=20)
        return 1e9 * best / (NORMALS // self.out.size * self.out.size)

    track_each.unit = "ns"


class FirstStep:
    """From the interpreter's prompt to the first step, in processes of their own."""

    timeout = 300

    def setup(self):
        self.cache = tempfile.TemporaryDirectory()

    def teardown(self):
        self.cache.cleanup()

    def track_import(self):
        return 1e3 * min(self.elapsed("import fastlazy") for _ in range(5))

    track_import.unit = "ms"

    def track_cold_process(self):
        return self.elapsed(FIRST_STEP)

    track_cold_process.unit = "s"

    def track_second_process(self):
        self.elapsed(FIRST_STEP)
        return min(self.elapsed(FIRST_STEP) for _ in range(3))

    track_second_process.unit = "s"

    def elapsed(self, program):
        """Seconds that *program* takes in a fresh interpreter that is up already, with this object's cache."""
        timed = f"import time\nstart = time.perf_counter()\n{program}\nprint(time.perf_counter() - start)"
        child = subprocess.run(
            [sys.executable, "-c", timed],
            # asv keeps its own way of finding the package to itself
            env={**os.environ, "NUMBA_CACHE_DIR": self.cache.name, "PYTHONPATH": str(PACKAGE.parent)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return float(child.stdout)
