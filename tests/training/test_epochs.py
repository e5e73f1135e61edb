"""SGD on a data set: the steps of the slow twin in any order of rows, and step sizes that need no tuning."""

from __future__ import annotations

import numpy as np
import pytest

from fastlazy.training import epochs, loop, stream_steps
from tests import naive

LAYERS = ("ones", "signs", "scalar", "free")


def draw(n, N, d, second_layer, dtype=np.float64):
    rng = np.random.default_rng([n, N, d])
    X = rng.standard_normal((n, d)).astype(dtype)
    y = np.sum(X[:, : d // 2 + 1] ** 2, axis=1)
    y = (y - y.mean()).astype(dtype)
    rows = rng.standard_normal((N, d)) / np.sqrt(d)
    return X, y, stream_steps.initial_state(X, rows, second_layer), rng


# whole minibatches and a rest, blocks of several by rows and by coefficients, N above d, fewer samples than a batch
@pytest.mark.sampled(20)
@pytest.mark.parametrize("second_layer", LAYERS)
@pytest.mark.parametrize(
    ("n", "N", "d", "b"), [(50, 4, 6, 7), (61, 9, 3, 2), (500, 130, 150, 8), (70, 130, 60, 16), (40, 5, 4, 99)]
)
@pytest.mark.parametrize("parallel", [True, False])
def test_the_steps_are_those_of_plain_sgd(n, N, d, b, second_layer, parallel):
    X, y, start, rng = draw(n, N, d, second_layer)
    rates = 0.3 * stream_steps.moments(X, y, start.W, 0.0, rng).rates(b, 1.0)
    W, a, c = start.W, start.a, start.c
    size = min(b, n)
    with epochs.training(X, y, start, second_layer, b, parallel=parallel) as run:
        for _ in range(2):
            order = rng.permutation(n)
            squares = []
            for first in range(0, n, size):
                part = order[first : first + size]
                squares.append(len(part) * naive.loss(W, a, c, X[part], y[part]))
                W, a, c = naive.sgd(W, a, c, X[part], y[part], size, rates[None], second_layer)
            assert run.epoch(order, rates) == pytest.approx(sum(squares) / n, rel=1e-10)
        found = run.state()
    np.testing.assert_allclose(found.W, W, rtol=0, atol=1e-11 * np.abs(W).max())
    np.testing.assert_allclose(found.gain * found.a, a, rtol=0, atol=1e-11)
    assert found.c == pytest.approx(c, abs=1e-11)


def test_an_epoch_can_be_taken_back():
    X, y, start, _ = draw(30, 4, 5, "free")
    with epochs.training(X, y, start, "free", 5) as run:
        saved = run.saved()
        run.epoch(np.arange(30), np.full(3, 1e9))
        assert not run.finite()
        run.restore(saved)
        assert run.finite()
        np.testing.assert_allclose(run.state().W, start.W)


def test_long_epochs_return_to_the_interpreter(monkeypatch):
    X, y, start, _ = draw(100, 4, 5, "signs")
    rates = np.full(3, 1e-4)
    states = []
    for chunk in (loop.CHUNK, 1.0):
        monkeypatch.setattr(loop, "CHUNK", chunk)
        with epochs.training(X, y, start, "signs", 3) as run:
            run.epoch(np.arange(100), rates)
            states.append(run.state())
    assert np.array_equal(states[0].W, states[1].W)


@pytest.mark.parametrize(("N", "d"), [(3, 7), (9, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values(N, d, dtype):
    rng = np.random.default_rng(0)
    X, W, a = rng.standard_normal((5000, d)), rng.standard_normal((N, d)), rng.standard_normal(N)
    values = epochs.network_values(X.astype(dtype), W.astype(dtype), a.astype(dtype), 3.0)
    assert values.dtype == dtype
    np.testing.assert_allclose(
        values, naive.features(W, X) @ a + 3, rtol=0, atol=1e-4 if dtype == np.float32 else 1e-11
    )
    np.testing.assert_allclose(epochs.network_values(X, W, 2.0, 0.0), 2 * naive.features(W, X).sum(axis=1))
