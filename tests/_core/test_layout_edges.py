"""Every compiled computation at awkward sizes: against its slow twin, and the same bits for any number of threads."""

from __future__ import annotations

import edges
import numpy as np
import pytest

from fastlazy._core import gram
from fastlazy.kernels import operands
from fastlazy.training import loop


@pytest.fixture(autouse=True)
def smaller_parts(monkeypatch):
    """Features are made for fewer neurons at a time, so that smaller sizes go in several parts."""
    monkeypatch.setattr(gram, "INNER", 20 * gram.ROWS)


TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}  # relative to the largest entry
DTYPES = [np.float32, np.float64]


def cases(dtype, sizes):
    """Sizes (n, m, N, d): each edge in each place, beside other edges, at most one of them far.

    Near ones stand in four shifts of one cycle: what stands in one place stands in each of the others in another case.
    Most have fewer neurons than dimensions; backwards, more.
    """
    near = edges.edges(dtype)
    if sizes != "far":
        shift = len(near) // 4 * (-1 if sizes == "backwards" else 1)
        for k in range(len(near)):
            yield tuple(near[(k + place * shift) % len(near)] for place in range(4))
        return
    rng = np.random.default_rng(1)
    for place in range(4):
        for edge in edges.far_edges(dtype):
            case = rng.choice(near[:6], 4).tolist()
            case[place] = edge
            yield tuple(case)


def assert_close(found, twin, dtype, case):
    assert found.dtype == dtype or found.dtype == np.float64
    assert found.shape == twin.shape
    error = np.abs(found - twin).max() / max(np.abs(twin).max(), np.finfo(float).tiny)
    assert error <= TOLERANCE[dtype], (case, error)


def twins():
    """Near edges in both dtypes, far ones in one of them; the rest is slow."""
    for name in edges.COMPUTATIONS:
        for sizes in ("near", "backwards", "far"):
            for dtype in DTYPES:
                default = sizes == "near" or (sizes == "far" and (name, dtype) in edges.half(0))
                marks = () if default else pytest.mark.slow
                yield pytest.param(name, sizes, dtype, id=f"{name}-{sizes}-{dtype.__name__}", marks=marks)


@pytest.mark.parametrize(("name", "sizes", "dtype"), [*twins()])
def test_equals_its_slow_twin(name, sizes, dtype):
    for case in cases(dtype, sizes):
        for found, twin in edges.COMPUTATIONS[name](*case, dtype, parallel=False):
            assert_close(found, twin, dtype, case)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", edges.COMPUTATIONS)
def test_same_bits_for_any_number_of_threads(name, dtype, monkeypatch):
    """Every piece of work is taken to be worth a thread, however small."""
    monkeypatch.setattr(operands, "_SHARE", 1e-9)
    monkeypatch.setattr(loop, "SHARE", 1e-9)
    for case in list(cases(dtype, "near"))[::5] + list(cases(dtype, "far"))[::7]:
        results = []
        for threads in (1, 2, 3):
            monkeypatch.setattr("fastlazy._support.threads.thread_limit", lambda threads=threads: threads)
            results.append([found for found, _ in edges.COMPUTATIONS[name](*case, dtype)])
        for alone, *others in zip(*results, strict=True):
            assert all(alone.tobytes() == other.tobytes() for other in others), case
