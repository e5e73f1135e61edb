"""Epochs of networks of any sigma, with weights of samples or without: the steps of the slow twin."""

from __future__ import annotations

import numpy as np
import pytest

from fastlazy.activations.builtin import get_activation
from fastlazy.training import epochs
from tests import naive_epochs

LAYERS = ("ones", "signs", "scalar", "free")


def draw(n, N, d, second_layer):
    rng = np.random.default_rng([n, N, d])
    X, y, W = rng.standard_normal((n, d)), rng.standard_normal(n), rng.standard_normal((N, d)) / np.sqrt(d)
    a = {"ones": np.ones(N), "signs": rng.choice([-1.0, 1.0], N), "scalar": np.full(N, 0.7)}
    return X, y, W, a.get(second_layer, rng.standard_normal(N)), rng


@pytest.mark.sampled(40)
@pytest.mark.parametrize("second_layer", LAYERS)
@pytest.mark.parametrize("sigma", naive_epochs.SIGMAS)
@pytest.mark.parametrize("b", [1, 7, 40])
@pytest.mark.parametrize(("n", "N", "d"), [(61, 5, 7), (50, 37, 3), (230, 110, 120)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("parallel", [True, False])
def test_an_epoch_is_that_of_plain_sgd(n, N, d, b, sigma, second_layer, weighted, parallel):
    X, y, W, a, rng = draw(n, N, d, second_layer)
    weight = rng.exponential(size=n) if weighted else None
    gain = 0.7 if second_layer == "scalar" else 1.0
    state = epochs.State(W, np.ones(N) if second_layer == "scalar" else a, gain, 0.3)
    rates, order = np.array([5e-3, 5e-4 / N, 1e-2]) / np.sqrt(N * d), rng.permutation(n)
    rates *= 0.1 if sigma == "square" else 1.0
    part = None if weight is None else weight[order]
    twin = naive_epochs.epoch(W, a, 0.3, X[order], y[order], b, rates, second_layer, sigma, part)
    options = {"activation": get_activation(sigma), "weight": weight, "parallel": parallel}
    with epochs.training(X, y, state, second_layer, b, **options) as run:
        assert run.epoch(order, rates) == pytest.approx(twin[3], rel=1e-12)
        found = run.state()
    assert np.abs(found.W - W).max() > 1e-6
    np.testing.assert_allclose(found.W, twin[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.gain * found.a, twin[1], rtol=0, atol=1e-12)
    assert found.c == pytest.approx(twin[2], abs=1e-12)


@pytest.mark.parametrize("second_layer", LAYERS)
@pytest.mark.parametrize("sigma", ["square", "relu"])
@pytest.mark.parametrize("b", [1, 7])
def test_weights_of_one_change_no_bit(sigma, second_layer, b):
    X, y, W, a, rng = draw(60, 9, 11, second_layer)
    order, states = rng.permutation(60), []
    for weight in (None, np.ones(60)):
        state, options = epochs.State(W, a, 1.0, 0.3), {"activation": get_activation(sigma), "weight": weight}
        with epochs.training(X, y, state, second_layer, b, **options) as run:
            run.epoch(order, np.full(3, 1e-4))
            states.append(run.state())
    np.testing.assert_array_equal(states[0].W, states[1].W)
    np.testing.assert_array_equal(states[0].a, states[1].a)
    assert states[0][2:] == states[1][2:]
