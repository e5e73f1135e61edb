"""Networks of any sigma as estimators: scikit-learn's checks, the steps of plain SGD, learning, what they refuse."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastlazy
from fastlazy.estimators import NetworkRegressor, QuadraticNetworkRegressor
from tests import naive_epochs

ESTIMATORS = [
    NetworkRegressor(20, max_epochs=20),
    NetworkRegressor(20, activation="tanh", max_epochs=20, second_layer="scalar"),
    NetworkRegressor(20, activation="gelu", max_epochs=20, second_layer="signs", parallel=False),
    NetworkRegressor(5, activation="square", max_epochs=5),
    NetworkRegressor(5, activation="square", max_epochs=5, second_layer="signs", batch_size=100),
]
SIGMAS = ("relu", "tanh", "gelu", "softplus", "cos")


@pytest.mark.sampled(75)
@parametrize_with_checks(ESTIMATORS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def draw(n=400, d=6, noise=0.0, seed=0, dtype=np.float64):
    """A function of two directions with odd and even parts, and samples with a constant."""
    rng = np.random.default_rng([n, d, seed])
    directions = np.linalg.qr(np.random.default_rng(d).standard_normal((d, 2)))[0]
    X = rng.standard_normal((n, d))
    u = X @ directions
    y = 3 * np.maximum(u[:, 0], 0) + u[:, 1] + 20 + noise * rng.standard_normal(n)
    return np.c_[X, np.ones(n)].astype(dtype), y.astype(dtype)


def tanh_plus(x):
    return math.tanh(x) + 0.1 * x


def tanh_plus_slope(x):
    return 1.1 - math.tanh(x) ** 2


@pytest.mark.sampled(4)
@pytest.mark.parametrize("activation", [*SIGMAS, fastlazy.Activation("mine", tanh_plus, tanh_plus_slope)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_it_learns(activation, dtype):
    X, y = draw(2000, dtype=dtype)
    new, wanted = draw(500, seed=1, dtype=dtype)
    model = NetworkRegressor(40, activation=activation, random_state=0, max_epochs=100).fit(X, y)
    assert model.score(new, wanted) > 0.95
    assert model.predict(new).dtype == model.weights_.dtype == model.second_layer_.dtype == dtype
    assert model.loss_ == model.loss_curve_[-1] < 0.1 * model.loss_curve_[0]
    assert not model.diverged_


@pytest.mark.parametrize("second_layer", ["free", "scalar", "signs", "ones"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "cos"])
@pytest.mark.parametrize("b", [1, 7])
def test_an_epoch_is_that_of_plain_sgd(activation, second_layer, b):
    X, y = draw(50)
    y = y - 19.0
    W = np.random.default_rng(0).standard_normal((5, 7)) / 3
    model = NetworkRegressor(
        activation=activation, weights=W, second_layer=second_layer, step_size=1e-3, batch_size=b, max_epochs=1,
        shuffle=False, random_state=0, early_stopping=False,
    )  # fmt: skip
    start = clone(model).set_params(step_size=0.0).fit(X, y)
    model.fit(X, y)
    rates = model._steps.rates(b, 0.0, 1e-3)
    assert (rates > 0).all()
    a = np.broadcast_to(start.second_layer_, 5)
    W_end, a_end, c_end, loss = naive_epochs.epoch(W, a, start.intercept_, X, y, b, rates, second_layer, activation)
    assert np.abs(W_end - W).max() > 1e-5
    np.testing.assert_allclose(start.weights_, W)
    np.testing.assert_allclose(model.weights_, W_end, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.broadcast_to(model.second_layer_, 5), a_end, rtol=0, atol=1e-12)
    assert model.intercept_ == pytest.approx(c_end, abs=1e-12)
    assert model.loss_ == pytest.approx(loss / 2)
    sigma, _ = naive_epochs.SIGMAS[activation]
    np.testing.assert_allclose(model.predict(X), sigma(X @ W_end.T) @ a_end + c_end, rtol=1e-12)


def test_the_quadratic_network_is_that_of_squares():
    X, y = draw(300)
    options = {"second_layer": "signs", "batch_size": 100, "random_state": 0, "max_epochs": 10}
    one, other = QuadraticNetworkRegressor(20, **options), NetworkRegressor(20, activation="square", **options)
    np.testing.assert_array_equal(one.fit(X, y).predict(X), other.fit(X, y).predict(X))
    np.testing.assert_array_equal(one.weights_, other.weights_)


@pytest.mark.parametrize("activation", ["relu", "square"])
def test_parts_and_warm_starts_go_on(activation):
    X, y = draw(120)
    options = {"step_size": 1e-4, "random_state": 0, "shuffle": False, "early_stopping": "auto", "batch_size": 16}
    options |= {"validation_fraction": 0.01, "activation": activation, "n_neurons": 6}
    whole = NetworkRegressor(max_epochs=4, **options).fit(X, y)
    parts = NetworkRegressor(**options)
    for _ in range(4):
        parts.partial_fit(X, y)
    warm = NetworkRegressor(max_epochs=2, warm_start=True, **options).fit(X, y).fit(X, y)
    for other in (parts, warm):
        np.testing.assert_allclose(other.predict(X), whole.predict(X), rtol=1e-9)
    copied = pickle.loads(pickle.dumps(parts))
    np.testing.assert_array_equal(copied.partial_fit(X, y).weights_, parts.partial_fit(X, y).weights_)
    for change, match in (
        ({"activation": "tanh"}, "activation is 'tanh', but training began with"),
        ({}, "y has shape"),
    ):
        with pytest.raises(ValueError, match=match):
            warm.set_params(**change).fit(X, y if change else np.c_[y, y])
        with pytest.raises(ValueError, match=match):
            parts.set_params(**change).partial_fit(X, y if change else np.c_[y, y])
        for model in (warm, parts):
            model.set_params(activation=activation)


def test_a_users_function_is_cloned_and_pickled():
    scale = 0.7
    sigma = fastlazy.Activation("bent", lambda x: math.sin(scale * x), lambda x: scale * math.cos(scale * x))
    X, y = draw(200)
    model = NetworkRegressor(10, activation=sigma, random_state=0, max_epochs=5)
    wanted = model.fit(X, y).predict(X)
    for other in (clone(model).fit(X, y), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict(X), wanted)
    assert model.set_params(activation="tanh").activation_ == sigma
    np.testing.assert_array_equal(model.predict(X), wanted)


def test_early_stopping_returns_the_best():
    X, y = draw(120, noise=2.0)
    model = NetworkRegressor(50, max_epochs=300, validation_fraction=0.25, n_iter_no_change=5, random_state=0).fit(X, y)
    assert len(model.validation_scores_) == model.n_iter_ < 300
    held = np.random.default_rng(np.random.RandomState(0).randint(np.iinfo(np.int32).max)).permutation(120)[:30]
    assert model.score(X[held], y[held]) == pytest.approx(max(model.validation_scores_))


def test_the_mean_comes_back_where_no_epoch_is_better():
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((400, 40)), rng.standard_normal(400)  # pure noise
    model = NetworkRegressor(batch_size=20, random_state=3)
    with pytest.warns(ConvergenceWarning, match="no epoch did better than a constant on the samples held back"):
        model.fit(X, y)
    assert model.best_validation_score_ > max(model.validation_scores_)
    np.testing.assert_allclose(model.predict(X), y.mean(), rtol=0, atol=0.1)


def test_divergence_is_undone():
    X, y = draw()
    with pytest.warns(ConvergenceWarning, match="training diverged in epoch 1"):
        model = NetworkRegressor(8, step_size=100.0, max_epochs=5, random_state=0).fit(X, y)
    assert model.diverged_
    assert model.n_iter_ == 0
    np.testing.assert_allclose(model.predict(X), y.mean(), rtol=0, atol=1)
    model = NetworkRegressor(8, batch_size=10, random_state=0, early_stopping=False, max_epochs=40)
    X[0] *= 300  # beyond what the others tell of steps
    assert not model.partial_fit(X[1:], y[1:]).diverged_
    for _ in range(5):
        model.partial_fit(X, y)
    assert np.isfinite(model.predict(X)).all()


def test_a_constant_response():
    X, _ = draw()
    for activation in SIGMAS:
        model = NetworkRegressor(3, activation=activation, max_epochs=2).fit(X, np.full(400, 7.0))
        np.testing.assert_allclose(model.predict(X), 7.0)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("of_X", "of_y"), [(1e-12, 1.0), (1e12, 1.0), (1.0, 1e-13), (1.0, 1e13), (1e-9, 1e-9), (1e9, 1e9)]
)
def test_any_size_is_learned(of_X, of_y, dtype):
    X, y = draw(1000)
    X, y = (of_X * X).astype(dtype), (of_y * (y - 20)).astype(dtype)
    model = NetworkRegressor(30, random_state=0, max_epochs=40).fit(X, y)
    plain = NetworkRegressor(30, random_state=0, max_epochs=40).fit(*draw(1000))
    assert model.score(X, y) == pytest.approx(plain.score(*draw(1000)), abs=0.01)


@pytest.mark.parametrize(
    ("parameters", "error", "match"),
    [
        ({"activation": "swish"}, ValueError, "activation = 'swish' is not known|name = 'swish' is not known"),
        ({"activation": 3}, TypeError, "activation"),
        ({"activation": "step"}, ValueError, "activation 'step' jumps"),
        ({"activation": fastlazy.Activation("f", lambda x: x)}, ValueError, "activation 'f' has no derivative"),
        ({"batch_size": 0}, ValueError, "batch_size == 0, must be >= 1"),
        ({"second_layer": "two"}, ValueError, "second_layer = 'two' is not known"),
        ({"step_size": "fast"}, TypeError, "step_size must be an instance of"),
        ({"weights": np.ones((3, 2))}, ValueError, "weights has rows of length 2, but X has 7 features"),
        ({"early_stopping": True, "validation_fraction": 0.999}, ValueError, None),
    ],
)
def test_bad_parameters(parameters, error, match):
    X, y = draw(20)
    if match is None:
        X, y, match = X[:1], y[:1], "early_stopping=True holds back 1 of 1 samples"
    with pytest.raises(error, match=match):
        NetworkRegressor(**parameters).fit(X, y)


def test_values_beyond_numbers_are_refused():
    X, y = draw(100)
    model = NetworkRegressor(5, activation="exp", max_epochs=3, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="values overflow float64"):
        model.predict(1e5 * X)
    options = {"max_epochs": 3, "early_stopping": False, "random_state": 0}
    for squares in (QuadraticNetworkRegressor(5, **options), NetworkRegressor(5, activation="square", **options)):
        with pytest.raises(ValueError, match="values overflow float64"):
            squares.fit(X, y).predict(1e200 * X)
