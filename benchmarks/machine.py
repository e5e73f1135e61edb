"""What this machine can do at most: multiply-adds a second in registers, bytes a second to and from memory."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import math
import platform
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
import threadpoolctl
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

import fastlazy
from fastlazy._core.geometry import REGISTER_BYTES
from fastlazy._core.team import board_size, meet
from fastlazy._support.threads import team

# Independent chains: a core starts 2 (some: 4) multiply-adds a cycle and each takes 4 cycles, so 8 to 16 must be
# under way; with a factor and a summand, 12 leave room in the 16 registers of AVX2.
_CHAINS = 12
_ROUNDS = 8  # of all chains between two tests of the loop's end
_MEETINGS = 100_000  # of a team in one timing
_TURNS = 200_000  # of the loop in one timing: some 10 ms, against which starting a thread is nothing


def peak_gflops(dtype: Any, threads: int = 1, repeats: int = 20) -> float:
    """The most GFLOP/s seen in *repeats* timings of a loop that does nothing but multiply-adds.

    Counted as two operations for each number of a vector. All *threads* run the same loop at once, and the time
    is from the first one's start to the last one's end.
    """
    spin = _spin(np.dtype(dtype).name)
    sink = np.zeros((threads, 1024), dtype)  # rows far apart: no two threads write one cache line
    spin(sink[0], 1)
    gate = threading.Barrier(threads)

    def timed(member: int) -> tuple[float, float]:
        gate.wait()
        start = time.perf_counter()
        spin(sink[member], _TURNS)
        return start, time.perf_counter()

    flops = 2.0 * threads * _TURNS * _ROUNDS * _CHAINS * (REGISTER_BYTES // np.dtype(dtype).itemsize)
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            starts, ends = zip(*pool.map(timed, range(threads)), strict=True)
            best = max(best, flops / (max(ends) - min(starts)))
    return best / 1e9


def bandwidth(threads: int = 1, entries: int = 3 * 2**24, repeats: int = 5) -> float:
    """The most GB/s seen in *repeats* timings of x <- y + 2 z on float64 arrays of so many *entries*, in all.

    Each thread has its part of them, 24 bytes an entry in all: what the processor reads of x before it writes there
    does not count. The default, .4 GB an array, is far larger than the caches.
    """
    triad = _triad()
    parts = [tuple(np.ones(entries // threads) for _ in range(3)) for _ in range(threads)]
    triad(*(array[:1] for array in parts[0]))
    gate = threading.Barrier(threads)

    def timed(member: int) -> tuple[float, float]:
        gate.wait()
        start = time.perf_counter()
        triad(*parts[member])
        return start, time.perf_counter()

    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            starts, ends = zip(*pool.map(timed, range(threads)), strict=True)
            best = max(best, 24.0 * (entries // threads) * threads / (max(ends) - min(starts)))
    return best / 1e9


def barrier(threads: int, repeats: int = 10) -> float:
    """The fewest seconds of one barrier of `_core.team`, of a team of so many threads, in *repeats* timings."""
    meetings = _meetings()
    meetings(0, 1, np.zeros(board_size(1), np.int64), 1)
    best = math.inf
    with team(threads) as together:
        for _ in range(repeats):
            start = time.perf_counter()
            together(meetings, _MEETINGS)
            best = min(best, (time.perf_counter() - start) / _MEETINGS)
    return best


def processor_name() -> str:
    """What the machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def facts(libraries: list[str]) -> dict[str, str]:
    """The processor's name, and the versions of fastlazy and *libraries*."""
    kernels = blas_kernels()
    versions = {
        name: " ".join(filter(None, [importlib.metadata.version(name), kernels.get(name, "")])) for name in libraries
    }
    return {"processor": processor_name(), "fastlazy": fastlazy.__version__, **versions}


def blas_kernels() -> dict[str, str]:
    """The BLAS of NumPy and of SciPy, and which of its kernels it picked for this processor, in brackets.

    Wheels have one each, in a folder of that name; others share one.
    """
    importlib.import_module("scipy.linalg")  # loads SciPy's
    own: dict[str, str] = {}
    shared = ""
    for pool in threadpoolctl.threadpool_info():
        if pool["user_api"] == "blas":
            said = f"({pool['internal_api']} {pool['version']}, {pool.get('architecture', 'kernel not named')})"
            owners = [name for name in ("numpy", "scipy") if f"{name}.libs" in pool["filepath"]]
            own.update(dict.fromkeys(owners, said))
            shared = shared or said
    return {name: own.get(name, shared) for name in ("numpy", "scipy")}


@functools.cache
def _triad() -> Any:
    @numba.njit(nogil=True)
    def triad(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
        for i in range(x.size):
            x[i] = y[i] + 2 * z[i]

    return triad


@functools.cache
def _meetings() -> Any:
    @numba.njit(nogil=True)
    def meetings(member: int, members: int, board: np.ndarray, count: int) -> None:
        for _ in range(count):
            meet(board, members)

    return meetings


@functools.cache
def _spin(name: str) -> Any:
    """The compiled loop of *turns* times _ROUNDS multiply-adds of each chain; writes their sum to *sink* (1024,)."""
    chains = _multiply_adds(np.dtype(name).itemsize * 8)

    @numba.njit(nogil=True)
    def spin(sink: np.ndarray, turns: int) -> None:
        # x/2 + 1/2 has the fixed point 1: nothing overflows or becomes subnormal. Read from memory, the two
        # numbers are not known to the compiler.
        sink[1], sink[2] = 0.5, 0.5
        sink[0] = chains(turns, sink[1], sink[2])

    return spin


def _multiply_adds(bits: int) -> Any:
    """The intrinsic that iterates x <- x * factor + summand in each chain and returns a sum of all."""
    lanes = REGISTER_BYTES * 8 // bits
    i64, i32 = ir.IntType(64), ir.IntType(32)

    @intrinsic
    def chains(typingctx: Any, turns: Any, factor: Any, summand: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            turns, factor, summand = args
            vector = ir.VectorType(factor.type, lanes)
            fma = builder.module.declare_intrinsic(
                f"llvm.fmuladd.v{lanes}f{bits}", (), ir.FunctionType(vector, [vector] * 3)
            )

            def broadcast(value: Any) -> Any:
                undefined = ir.Constant(vector, ir.Undefined)
                first = builder.insert_element(undefined, value, i32(0))
                return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(i32, lanes), [0] * lanes))

            factor, summand = broadcast(factor), broadcast(summand)
            entry = builder.block
            loop, done = builder.append_basic_block("chains.loop"), builder.append_basic_block("chains.done")
            builder.branch(loop)
            builder.position_at_end(loop)
            turn = builder.phi(i64)
            starts = [builder.phi(vector) for _ in range(_CHAINS)]
            values = starts
            for _ in range(_ROUNDS):
                values = [builder.call(fma, [value, factor, summand]) for value in values]
            following = builder.add(turn, i64(1))
            builder.cbranch(builder.icmp_signed("<", following, turns), loop, done)
            turn.add_incoming(i64(0), entry)
            turn.add_incoming(following, loop)
            for k, (start, value) in enumerate(zip(starts, values, strict=True)):
                # different starts: chains that are known to be equal would be computed once
                start.add_incoming(ir.Constant(vector, [1.0 + k] * lanes), entry)
                start.add_incoming(value, loop)

            builder.position_at_end(done)
            total = values[0]
            for value in values[1:]:
                total = builder.fadd(total, value)
            return builder.extract_element(total, i32(0))

        return factor(types.int64, factor, factor), codegen

    return chains
