"""Print what more threads are expected to give, from constants measured here: `python benchmarks/scaling.py`.

A model and not a measurement, but for its constants, on one thread and two.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numba
import numpy as np

if __name__ == "__main__":
    # A script finds only its own folder; first, so that what is measured is the checkout, installed or not.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import machine
from benchmarks.side_by_side.gram_ours import FastlazyGram
from benchmarks.side_by_side.gram_problem import Problem as GramProblem
from benchmarks.side_by_side.processes import duration, markdown
from benchmarks.side_by_side.sgd_ours import FastlazySgd
from benchmarks.side_by_side.sgd_problem import Problem as SgdProblem
from fastlazy._core import sgd
from fastlazy._core.block import fill_coefficients
from fastlazy._core.samples import draw_block
from fastlazy._core.tile import TALL
from fastlazy._support.threads import Team
from fastlazy.activations.builtin import get_activation
from fastlazy.training.loop import SHARE, Loop, Setup, training_loop

THREADS = (2, 16, 64)
SECONDS = 0.5  # of one timing
SGD = [SgdProblem(450, 100), SgdProblem(450, 1), SgdProblem(4500, 100, activation="relu")]
KERNELS = [GramProblem("rf_kernel", "relu", 4096), GramProblem("nt_kernel", "tanh", 4096)]


class Work(NamedTuple):
    """A block of SGD steps, or a call, on one thread."""

    name: str
    seconds: float  # in all
    serial: float  # of it, what is one thread's work
    drawn: float  # of it, what the others do meanwhile: the next block's samples
    items: float  # of the rest, which any thread may take; infinitely many: it divides evenly
    barriers: int
    most: float  # threads that it takes at most


def seconds(work: Work, threads: int, two: float) -> float:
    """Seconds that *work* is expected to take, if two threads meet in *two* seconds: each thread more adds as much."""
    members = min(threads, work.most)
    divided = work.seconds - work.serial - work.drawn
    largest = 1 / members if math.isinf(work.items) else math.ceil(work.items / members) / work.items
    meanwhile = max(work.serial, (work.serial + work.drawn) / members)
    return divided * largest + meanwhile + work.barriers * two * (members - 1)


def step(problem: SgdProblem) -> Work:
    """A block of steps of SGD in float32, measured.

    Raises
    ------
    ValueError
        If small minibatches go by rows, which this model knows nothing of.
    """
    square = problem.activation == "square"
    rows = np.zeros((min(problem.N, problem.d) if square else problem.N, problem.d))
    network = sgd.pack(rows, np.ones(len(rows)), 1.0, 0.0, np.dtype(problem.dtype))
    activation = get_activation(problem.activation)
    setup = Setup(network, sgd.FIXED, problem.b, len(rows), problem.beta, problem.b0, activation)
    if setup.m > 1 and not setup.by_coefficients:
        raise ValueError(f"the model is of blocks that go by coefficients, got {problem}; pass x^2 and more neurons")
    with training_loop(setup, 1) as loop:
        drawn, serial = _drawing(loop), _scalars(loop)
    ours = FastlazySgd(problem, 1)
    ours.run(1)  # compiles
    steps = max(setup.m, round(SECONDS * 3e10 / problem.flops(len(rows))))
    taken = min(ours.seconds(steps)[0] for _ in range(3)) * setup.m / steps
    panels, d4, width = network.W.shape
    groups = loop.samples.X.shape[1]
    chunk = max(TALL, sgd._ITEM // (4 * width * d4) // TALL * TALL)
    name = f"SGD {problem.activation}, N = {len(rows)}, batch {problem.b}"
    items, barriers = panels * math.ceil(groups / chunk), 3 if setup.m == 1 else 4
    return Work(name, taken, serial, drawn, items, barriers, max(1, setup.block_work // SHARE))


def call(problem: GramProblem) -> Work:
    """A call on one thread, measured; what is outside the team's calls is serial."""
    ours, inside = FastlazyGram(problem, 1), 0.0
    ours.call()  # compiles
    run = Team.__call__

    def timed(team: Team, *arguments: Any) -> None:
        nonlocal inside
        start = time.perf_counter()
        run(team, *arguments)
        inside += time.perf_counter() - start

    with mock.patch.object(Team, "__call__", timed):
        start = time.perf_counter()
        ours.call()
        taken = time.perf_counter() - start
    return Work(problem.name, taken, taken - inside, 0.0, math.inf, 0, math.inf)


def table(works: list[Work], two: float) -> str:
    """How many times faster than one thread each work is expected to be."""
    head = ["", "one thread", "serial", "drawn", "items", *(f"x{count}" for count in THREADS)]
    lines = []
    for work in works:
        sizes = [duration(part) for part in (work.seconds, work.serial, work.drawn)]
        ratios = [f"{work.seconds / seconds(work, count, two):.2f}" for count in THREADS]
        lines.append([work.name, *sizes, "many" if math.isinf(work.items) else str(work.items), *ratios])
    return markdown(head, lines)


def main() -> None:
    """Measure, and print the model."""
    two = machine.barrier(2)
    print(f"{machine.processor_name()}; a barrier of two threads takes {1e9 * two:.0f} ns")
    print(table([*map(step, SGD), *map(call, KERNELS)], two))


def _drawing(loop: Loop) -> float:
    """Seconds in which one thread draws the samples of a block."""

    @numba.njit
    def draw(count: int, board: np.ndarray, samples: Any) -> None:
        for k in range(count):
            board[:] = 0
            draw_block(board, 0, 1, np.uint64(0), k, 0, samples)

    return _each(draw, np.zeros_like(loop.together.board), loop.samples)


def _scalars(loop: Loop) -> float:
    """Seconds in which one thread finds the errors of a block, and the coefficients of its samples."""
    setup, y, state = loop.setup, loop.samples.y[0], loop.setup.network.state.copy()
    rates = np.zeros((setup.m, 3))

    @numba.njit
    def errors(count: int, y: np.ndarray, work: Any) -> None:
        for _ in range(count):
            sgd.step_scalars(setup_b, rates[0], sgd.FIXED, y, work, state.copy())

    @numba.njit
    def coefficients(count: int, y: np.ndarray, block: Any) -> None:
        for _ in range(count):
            fill_coefficients(setup_b, rates, sgd.FIXED, y, block, state.copy())

    setup_b = setup.b
    return _each(errors, y, loop.work) if setup.m == 1 else _each(coefficients, y, loop.work.block)


def _each(repeat: Any, *arguments: Any) -> float:
    """Seconds of one turn of a compiled loop *repeat*, the fewest seen."""
    repeat(1, *arguments)
    start = time.perf_counter()
    repeat(10, *arguments)
    count = max(10, int(10 * SECONDS / 5 / (time.perf_counter() - start)))
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        repeat(count, *arguments)
        best = min(best, (time.perf_counter() - start) / count)
    return best


if __name__ == "__main__":
    main()
