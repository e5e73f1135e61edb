"""The trained network on streams whose first block is no sample of what follows, and the attributes it leaves."""

from __future__ import annotations

import numpy as np
import pytest

from fastlazy.estimators import QuadraticNetworkRegressor

D = 8
DIRECTIONS = np.linalg.qr(np.random.default_rng(0).standard_normal((D, 3)))[0]


def draw(n, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, D))
    y = (X @ DIRECTIONS) ** 2 @ [1.0, -1.0, 0.5] + 5 + 0.1 * rng.standard_normal(n)
    return X.astype(dtype), y.astype(dtype)


X_FIRST, Y_FIRST = draw(200, 1)
FIRSTS = {
    "as the rest": (X_FIRST, Y_FIRST),
    "constant y": (X_FIRST, np.full(200, 7.0)),
    "constant X": (np.ones((200, D)), Y_FIRST),
    "X zero": (np.zeros((200, D)), Y_FIRST),
    "both constant": (np.ones((200, D)), np.full(200, 7.0)),
    "one sample": (X_FIRST[:1], Y_FIRST[:1]),
    "five samples": (X_FIRST[:5], Y_FIRST[:5]),
    "X far off": (X_FIRST + 100, Y_FIRST),
    "y far off": (X_FIRST, Y_FIRST + 1e4),
    **{f"X times {s:g}": (s * X_FIRST, Y_FIRST) for s in (1e-6, 1e-3, 1e3)},
    **{f"y times {s:g}": (X_FIRST, s * Y_FIRST) for s in (1e-6, 1e-3, 1e3)},
    **{f"both times {s:g}": (s * X_FIRST, s * Y_FIRST) for s in (1e-6, 1e-3, 1e3)},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "second_layer", "dtype"), [(100, "free", np.float64), (1500, "signs", np.float32)], ids=str
)
@pytest.mark.parametrize("first", FIRSTS)
def test_a_first_block_of_another_kind_does_no_harm(first, size, second_layer, dtype):
    X, y = draw(4500, 2, dtype)
    new, wanted = draw(2000, 3, dtype)
    model = QuadraticNetworkRegressor(16, second_layer=second_layer, batch_size=20, random_state=0, parallel=False)
    model.partial_fit(*(part.astype(dtype) for part in FIRSTS[first]))
    for start in range(0, len(X), size):
        model.partial_fit(X[start : start + size], y[start : start + size])
    assert model.score(new, wanted) > 0.95
    assert model.step_size_ > 0


@pytest.mark.slow
def test_single_samples_are_a_stream():
    X, y = draw(800, 4)
    model = QuadraticNetworkRegressor(16, random_state=0, parallel=False)
    for start in range(len(X)):
        model.partial_fit(X[start : start + 1], y[start : start + 1])
    assert model.score(*draw(2000, 3)) > 0.9


def test_given_steps_wait_for_samples_that_tell_their_proportions():
    X, y = draw(2000, 5)
    model = QuadraticNetworkRegressor(16, step_size=3e-3, batch_size=20, random_state=0)
    model.partial_fit(X[:50], np.full(50, 7.0))
    for _ in range(10):
        model.partial_fit(X, y)
    assert model.step_size_ == pytest.approx(3e-3)
    assert model.score(*draw(2000, 3)) > 0.9


def test_a_stream_that_goes_on_keeps_what_it_has_learned():
    """No block of the same kind, however small or quiet, starts the network anew."""
    X, y = draw(6000, 6)
    model = QuadraticNetworkRegressor(16, batch_size=20, random_state=0)
    for start in range(0, len(X), 500):
        model.partial_fit(X[start : start + 500], y[start : start + 500])
    new, wanted = draw(2000, 3)
    before = model.score(new, wanted)
    quiet = np.argsort(np.abs(y - np.median(y)))[:60]
    for rows in (slice(0, 1), slice(1, 4), quiet, slice(4, 5)):
        model.partial_fit(X[rows], y[rows])
        assert model.score(new, wanted) > before - 0.1
    loudest = int(np.argmax(np.abs(y - y.mean())))
    outlier = y[loudest] + 1000 * y.std()
    model.partial_fit(X[[loudest]], [outlier])
    for start in range(0, 2000, 500):
        model.partial_fit(X[start : start + 500], y[start : start + 500])
    assert model.score(new, wanted) > 0.9
