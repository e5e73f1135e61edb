"""The training loop: where it stops, how it goes on, and that drawn and gathered samples make the same run."""

from __future__ import annotations

import numpy as np
import pytest

from fastlazy._core import sgd as core
from fastlazy.training import loop
from tests.sgd_samples import drawn_samples

KEY = np.uint64(5)
BETA = np.linspace(-1, 2, 6)


def rates(first, count):
    return np.outer(1 / np.arange(first + 1, first + count + 1), (1e-3, 1e-3, 1e-2))


def setup(b, second_layer, N=4):
    rows = np.random.default_rng(N).standard_normal((N, len(BETA))) / 3
    network = core.pack(rows, np.where(np.arange(N) % 2, -1.0, 1.0), 1.0, 0.1, np.dtype(float))
    return loop.Setup(network, loop.TRAINED[second_layer], b, min(N, len(BETA)), BETA, 0.2)


def trained(setting, course, data=None):
    """The stops of a run, and the state that it ends in."""
    with loop.training_loop(setting, 1) as run:
        if data is not None:
            run.gather(*data)
        stops = list(run.run(course))
    return stops, core.unpack(setting.network, 4, len(BETA))


def assert_same(state, other):
    for part, twin in zip(state, other, strict=True):
        assert np.asarray(part).tobytes() == np.asarray(twin).tobytes()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("second_layer", ["signs", "scalar", "free"])
@pytest.mark.parametrize("b", [1, 3, 30])
def test_gathered_samples_make_the_run_of_drawn_ones(b, second_layer):
    n = 205
    X = drawn_samples(KEY, n, b, len(BETA), 4, second_layer, float)
    y = X**2 @ BETA + 0.2
    _, drawn = trained(setup(b, second_layer), loop.Course(n, rates, KEY))
    _, gathered = trained(
        setup(b, second_layer), loop.Course(n, rates), (X[::-1].copy(), y[::-1].copy(), np.arange(n)[::-1].copy())
    )
    for part, twin in zip(drawn, gathered, strict=True):
        np.testing.assert_allclose(part, twin, rtol=0, atol=1e-12)


@pytest.mark.parametrize("b", [1, 3, 30])
def test_a_record_is_due_at_the_first_stop_past_each_mark(b):
    setting, marks = setup(b, "free"), [50, 51, 130, 205]
    stops, _ = trained(setting, loop.Course(205, rates, KEY, marks))
    block = b * setting.m
    assert stops[-1] == (205, True)
    for seen, due in stops:
        before = max([0, *(stop for stop, _ in stops if stop < seen)])
        assert due == any(before < mark <= seen for mark in marks)
        assert seen == 205 or seen % block == 0 or seen > 205 // block * block


@pytest.mark.parametrize("b", [1, 3, 30])
def test_a_run_goes_on_where_it_stood(b, monkeypatch):
    monkeypatch.setattr(loop, "CHUNK", 1.0)  # it stops after every block
    whole = trained(setup(b, "free"), loop.Course(205, rates, KEY))
    for cut in range(len(whole[0]) - 1):
        setting = setup(b, "free")
        with loop.training_loop(setting, 1) as run:
            for k, (_, _) in enumerate(run.run(loop.Course(205, rates, KEY))):
                if k == cut:
                    break
        stops, state = trained(setting, loop.Course(205, rates, KEY, seen=whole[0][cut][0]))
        assert stops == whole[0][cut + 1 :]
        assert_same(state, whole[1])


def test_numbers_that_are_not_finite_are_due_at_once(monkeypatch):
    monkeypatch.setattr(loop, "CHUNK", 1.0)
    stops, _ = trained(setup(3, "free"), loop.Course(205, lambda first, count: np.full((count, 3), 1e200), KEY, [205]))
    assert stops[0][1]
