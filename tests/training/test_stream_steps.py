"""Steps that need no tuning: what a stream tells of sizes, and where training starts."""

from __future__ import annotations

import numpy as np
import pytest

from fastlazy.training import stream_steps
from fastlazy.training.epochs import network_values


@pytest.mark.parametrize("N", [3, 40])
def test_moments_of_normal_samples(N):
    """L = 4 tau, R = 4 tau d for N >= d and f of the size of y, up to what 500 samples tell and terms of order 1/d."""
    rng = np.random.default_rng(0)
    d = 30
    X = rng.standard_normal((4000, d))
    y = 2 * np.sum(X**2, axis=1) + 3
    seen = stream_steps.moments(X, y, stream_steps.directions(N, d, "ones", rng), 0.0, rng)
    tau = 2 * d
    assert seen.size(d) * d == pytest.approx(tau, rel=0.1)
    assert seen.y_mean == pytest.approx(y.mean())
    k = min(N, d)
    R, L = 4 * k * (d + 2) * (1 + 2 / k) * (1 + 4 / d), 4 * (k + 2)
    assert abs(seen.g4 / seen.g2 / R - 1) < 0.1
    assert abs(seen.L / L - 1) < 0.35
    assert seen.f2 == pytest.approx(k * (k + 2), rel=0.15)
    eta = seen.rates(10, 2.0)
    assert eta[0] == pytest.approx(1 / (2 * (seen.L + seen.g4 / seen.g2 / 10)) / 2)
    assert eta[2] == pytest.approx(eta[0] * 2 * seen.L / 4)


@pytest.mark.parametrize("cut", [[1] * 60, [20, 40], [7, 52, 1]])
def test_moments_of_blocks_are_those_of_all(cut):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 4)) + 1, rng.standard_normal(60) * 3 + 50
    rows = rng.standard_normal((5, 4))
    ends = np.cumsum(cut)
    parts = [stream_steps.moments(X[b - n : b], y[b - n : b], rows, 0.0, rng) for n, b in zip(cut, ends, strict=True)]
    found, whole = stream_steps.pooled(parts), stream_steps.moments(X, y, rows, 0.0, rng)
    assert found.L >= whole.L
    np.testing.assert_allclose(found._replace(L=0.0), whole._replace(L=0.0), rtol=1e-9)


def test_the_far_past_is_forgotten():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((100, 4)), rng.standard_normal(100)
    stream, clean = (stream_steps.Steps(np.eye(4)) for _ in range(2))
    stream.see(1e6 * X, 1e6 * y, 0.0, rng)
    for _ in range(5):
        assert stream.moments.y_variance > 1e8
        stream.see(X, y, 0.0, rng)
        clean.see(X, y, 0.0, rng)
    np.testing.assert_allclose(stream.moments, clean.moments)


@pytest.mark.parametrize("second_layer", ["signs", "free", "ones", "scalar"])
@pytest.mark.parametrize("N", [1, 6, 7, 15])
def test_the_start_is_nearly_the_mean(N, second_layer):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 6))
    y = X[:, 0] ** 2
    stream = stream_steps.Steps(stream_steps.directions(N, 6, second_layer, rng))
    stream.see(X, y, 0.0, rng)
    state = stream_steps.initial_state(X, stream.small_rows(), second_layer)
    values = network_values(X, state.W, state.gain * state.a, state.c)
    assert np.mean(values) == pytest.approx(0, abs=1e-12)
    if second_layer in ("signs", "free") and N % 2 == 0:
        np.testing.assert_allclose(values, 0, atol=1e-15)
    assert values.std() < 0.05 * y.std()
    assert np.all(np.any(state.W, axis=1))


def test_a_constant_response_takes_no_steps():
    rng = np.random.default_rng(0)
    stream = stream_steps.Steps(np.eye(4))
    stream.see(rng.standard_normal((20, 4)), np.full(20, 3.0), 0.0, rng)
    rows = stream.small_rows()
    assert not rows.any()
    stream.suit(rows, 0.0)
    assert not stream.rates(5, 0.0, "auto").any()
    assert not stream.rates(5, 0.0, 0.1).any()
