"""Starts and steps of networks of any sigma: sizes, curvature against gradients written out, what is forgotten."""

from __future__ import annotations

import numpy as np
import pytest

from fastlazy.activations.builtin import get_activation
from fastlazy.training import sigma_steps
from tests import naive_epochs

LAYERS = ("free", "scalar", "signs", "ones")


def draw(n=400, d=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, 3 * np.maximum(X[:, 0], 0) + 5, rng


def steps_of(X, y, rng, N=20, sigma="relu", second_layer="free", weight=None):
    rows = sigma_steps.block_directions(N, X.shape[1], second_layer in ("signs", "free"), rng)
    steps = sigma_steps.SigmaSteps(rows, get_activation(sigma), second_layer)
    steps.see(X, y, weight, rng)
    return steps


@pytest.mark.parametrize("second_layer", LAYERS)
@pytest.mark.parametrize("sigma", ["relu", "tanh", "cos"])
@pytest.mark.parametrize("weighted", [False, True])
def test_curvature_is_that_of_gradients_written_out(sigma, second_layer, weighted):
    X, y, rng = draw(40)
    weight = rng.exponential(size=40) if weighted else np.ones(40)
    W, a = rng.standard_normal((5, 6)), np.array([1.0, -1.0, 2.0, -2.0, 1.0])
    function, slope = naive_epochs.SIGMAS[sigma]
    g = np.stack([np.outer(a * slope(W @ x), x).ravel() for x in X])
    h = np.stack([function(W @ x) if second_layer == "free" else [np.sign(a) @ function(W @ x)] for x in X])
    share = weight / weight.sum()
    norms = np.sum(g**2, axis=1)
    found = sigma_steps.curvature(sigma_steps.Seen(X, y, weight), W, a, get_activation(sigma), second_layer)
    assert pytest.approx(np.linalg.eigvalsh((g.T * share) @ g)[-1]) == found.L
    assert pytest.approx(share @ norms**2 / (share @ norms)) == found.G
    assert pytest.approx(share @ np.sum(h**2, axis=1)) == found.F
    eta = found.rates(7)
    assert eta[0] == pytest.approx(1 / (2 * (found.L + found.G / 7)))
    np.testing.assert_allclose(eta[1:], [eta[0] * found.L / (8 * found.F), eta[0] * found.L / 4])


@pytest.mark.parametrize("second_layer", LAYERS)
@pytest.mark.parametrize("sigma", ["relu", "tanh", "cos"])
@pytest.mark.parametrize("N", [1, 6, 15])
def test_the_start_is_nearly_the_mean(sigma, second_layer, N):
    X, y, rng = draw()
    state = steps_of(X, y, rng, N, sigma, second_layer).start()
    function, _ = naive_epochs.SIGMAS[sigma]
    values = function(X @ state.W.T) @ (state.gain * state.a) + state.c
    assert np.mean(values) == pytest.approx(0, abs=1e-9)
    assert values.std() < 0.4 * y.std()
    if second_layer in ("signs", "free") and N % 2 == 0:
        np.testing.assert_allclose(values, 0, atol=1e-12)
    if second_layer in ("free", "scalar"):
        assert np.mean((X @ state.W.T) ** 2) == pytest.approx(1)
        size = np.sum(function(X @ state.W.T) ** 2) / len(X) * (state.gain * state.a[0]) ** 2
        assert np.sqrt(size) == pytest.approx(0.1 * y.std())


def test_rows_are_orthogonal_in_blocks():
    rows = sigma_steps.block_directions(11, 4, False, np.random.default_rng(0))
    for block in (rows[:4], rows[4:8], rows[8:]):
        np.testing.assert_allclose(block @ block.T, np.eye(len(block)), atol=1e-14)
    pairs = sigma_steps.block_directions(7, 4, True, np.random.default_rng(0))
    np.testing.assert_array_equal(pairs[0:6:2], pairs[1:6:2])


def test_the_far_past_is_forgotten():
    X, y, rng = draw(600)
    stream, clean = steps_of(1e6 * X[:100], 1e6 * y[:100], rng), steps_of(X[100:], y[100:], rng)
    for first in range(100, 600, 100):
        assert stream.moments.y_variance > 1e8
        stream.see(X[first : first + 100], y[first : first + 100], None, rng)
    assert stream.moments.y_variance == pytest.approx(clean.moments.y_variance)
    np.testing.assert_array_equal(np.sort(stream.moments.y), np.sort(clean.moments.y))


def test_a_constant_response_takes_no_steps():
    X, _, rng = draw(20)
    steps = steps_of(X, np.full(20, 3.0), rng)
    state = steps.start()
    assert not state.a.any()
    steps.suit(state.W, state.a, 0.0)
    assert not steps.rates(5, 0.0, "auto").any()
    assert not steps.rates(5, 0.0, 0.1).any()


def test_weights_that_are_too_large_are_told():
    from fastlazy.estimators import NetworkRegressor

    X, y = np.random.default_rng(0).standard_normal((20, 3)), np.arange(20.0)
    with pytest.raises(ValueError, match=r"weights and X are so large that squares of activation 'relu' overflow"):
        NetworkRegressor(2, weights=np.full((2, 3), 1e299), early_stopping=False).fit(X, y)
