"""Networks of any sigma on streams whose first block is no sample of what follows."""

from __future__ import annotations

import numpy as np
import pytest

from fastlazy.estimators import NetworkRegressor

D = 8


def draw(n, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = np.c_[rng.standard_normal((n, D)), np.ones(n)]
    y = 3 * np.abs(X[:, 0]) + 2 * X[:, 1] + 5 + 0.1 * rng.standard_normal(n)
    return X.astype(dtype), y.astype(dtype)


X_FIRST, Y_FIRST = draw(200, 1)
FIRSTS = {
    "as the rest": (X_FIRST, Y_FIRST),
    "constant y": (X_FIRST, np.full(200, 7.0)),
    "constant X": (np.ones((200, D + 1)), Y_FIRST),
    "X zero": (np.zeros((200, D + 1)), Y_FIRST),
    "both constant": (np.ones((200, D + 1)), np.full(200, 7.0)),
    "one sample": (X_FIRST[:1], Y_FIRST[:1]),
    "five samples": (X_FIRST[:5], Y_FIRST[:5]),
    "X far off": (X_FIRST + 100, Y_FIRST),
    "y far off": (X_FIRST, Y_FIRST + 1e4),
    **{f"X times {s:g}": (s * X_FIRST, Y_FIRST) for s in (1e-6, 1e-3, 1e3)},
    **{f"y times {s:g}": (X_FIRST, s * Y_FIRST) for s in (1e-6, 1e-3, 1e3)},
    **{f"both times {s:g}": (s * X_FIRST, s * Y_FIRST) for s in (1e-6, 1e-3, 1e3)},
}


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu"])
@pytest.mark.parametrize(("k", "first"), [*enumerate(FIRSTS)][::3])
def test_a_first_block_of_another_kind_does_no_harm(k, first, activation):
    size, dtype = [(100, np.float64), (1500, np.float32)][k % 2]
    X, y = draw(9000, 2, dtype)
    new, wanted = draw(2000, 3, dtype)
    model = NetworkRegressor(40, activation=activation, batch_size=10, random_state=0, parallel=False)
    model.partial_fit(*(part.astype(dtype) for part in FIRSTS[first]))
    for start in range(0, len(X), size):
        model.partial_fit(X[start : start + size], y[start : start + size])
    assert model.score(new, wanted) > 0.85
    assert model.step_size_ > 0


@pytest.mark.slow
def test_single_samples_are_a_stream():
    X, y = draw(1500, 4)
    model = NetworkRegressor(16, random_state=0, parallel=False)
    for start in range(len(X)):
        model.partial_fit(X[start : start + 1], y[start : start + 1])
    assert model.score(*draw(2000, 3)) > 0.6


@pytest.mark.slow
def test_a_stream_that_goes_on_keeps_what_it_has_learned():
    X, y = draw(12000, 6)
    model = NetworkRegressor(40, batch_size=10, random_state=0)
    for start in range(0, len(X), 500):
        model.partial_fit(X[start : start + 500], y[start : start + 500])
    new, wanted = draw(2000, 3)
    before = model.score(new, wanted)
    assert before > 0.9
    quiet = np.argsort(np.abs(y - np.median(y)))[:60]
    for rows in (slice(0, 1), slice(1, 4), quiet, slice(4, 5)):
        model.partial_fit(X[rows], y[rows])
        assert model.score(new, wanted) > before - 0.1
    loudest = int(np.argmax(np.abs(y - y.mean())))
    model.partial_fit(X[[loudest]], [y[loudest] + 1000 * y.std()])
    for start in range(0, 4000, 500):
        model.partial_fit(X[start : start + 500], y[start : start + 500])
    assert model.score(new, wanted) > 0.85


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("size", [1e200, 1e308])
@pytest.mark.parametrize("name", ["erf", "tanh"])
def test_a_network_that_a_step_made_huge_starts_anew(name, size):
    """What overflows, squared errors or the steps themselves, is no warning of NumPy's; the next block begins again."""
    X, y = draw(12, 5)
    model = NetworkRegressor(1, activation=name, step_size=size, random_state=0)
    for _ in range(3):
        model.partial_fit(X, 1e4 * y)
    assert np.isfinite(model.predict(X)).all()
    assert np.isfinite(model.fit(X, 1e4 * y).predict(X)).all()
