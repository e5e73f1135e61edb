"""Gram matrices, kernels and normal equations under asv: time, share of the machine's peak, memory.

The sizes stand here, where the tests replace them by small ones.
"""

from __future__ import annotations

import os

import numpy as np

import fastlazy
from benchmarks import machine
from benchmarks.bench_sgd import fastest
from benchmarks.side_by_side.gram_ours import FastlazyGram
from benchmarks.side_by_side.gram_problem import Problem

D = 450
N = 4500
SAMPLES = 4096
STREAMED = 10_000  # samples of the normal equations
ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Gram:
    """Calls of the public functions, by function, activation, dtype and threads (1: parallel=False)."""

    params = (
        [
            "rf_gram square",
            "rf_gram relu",
            "rf_gram tanh",
            "rf_kernel relu",
            "rf_kernel tanh",
            "nt_kernel square",
            "nt_kernel relu",
            "rf_normal_equations relu",
        ],
        ["float32", "float64"],
        sorted({1, ALL}),
    )
    param_names = ("call", "dtype", "threads")
    timeout = 300

    def setup(self, call, dtype, threads):
        work, activation = call.split()
        n = {"rf_gram": 0, "rf_normal_equations": STREAMED}.get(work, SAMPLES)
        self.problem = Problem(work, activation, n, dtype, N, D)
        FastlazyGram(self.problem.small(), threads).call()  # compiles
        self.ours = FastlazyGram(self.problem, threads)

    def time_call(self, *_):
        self.ours.call()

    def peakmem_call(self, *_):
        self.ours.call()

    def track_gflops(self, *_):
        return self.problem.flops() / fastest(self.ours.call, repeats=3) / 1e9

    track_gflops.unit = "GFLOP/s"

    def track_of_peak(self, call, dtype, threads):
        return 100 * self.track_gflops() / machine.peak_gflops(dtype, threads)

    track_of_peak.unit = "% of measured peak"


class Tangent:
    """The operator of the tangent model: one product with it, and the risk that it gives."""

    params = (["float32", "float64"],)
    param_names = ("dtype",)
    timeout = 300

    def setup(self, dtype):
        W = fastlazy.draw_weights(N, D, rng=0).astype(dtype)
        self.K = fastlazy.nt_gram(W, "relu", center=True)
        self.b = np.random.default_rng(1).standard_normal(N * D).astype(dtype)
        self.K @ self.b  # compiles

    def time_product(self, _):
        self.K @ self.b

    def track_of_peak(self, dtype):
        flops = 6 * N * N * D  # three products of N x N x D
        return 100 * flops / fastest(lambda: self.K @ self.b, repeats=3) / 1e9 / machine.peak_gflops(dtype, ALL)

    track_of_peak.unit = "% of measured peak"


class TangentRisk:
    """The exact risk of the tangent model of ReLU."""

    timeout = 600

    def setup(self):
        self.target, self.W = fastlazy.exponential_target(D, rng=0), fastlazy.draw_weights(N, D, rng=1)
        fastlazy.nt_risk(self.target, self.W[:100], "relu")  # compiles

    def time_risk(self):
        fastlazy.nt_risk(self.target, self.W, "relu")

    def peakmem_risk(self):
        fastlazy.nt_risk(self.target, self.W, "relu")
