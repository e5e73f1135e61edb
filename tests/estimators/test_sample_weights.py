"""Weights of samples in every estimator: repeated rows, rows left out, scikit-learn's Ridge and RidgeCV, scales."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import accuracy_score, r2_score

import fastlazy
from fastlazy.estimators import (
    NetworkClassifier,
    NetworkRegressor,
    NTClassifier,
    NTRegressor,
    QuadraticNetworkRegressor,
    RFClassifier,
    RFRegressor,
    RFTransformer,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((70, 4))
Y = X[:, 0] + X[:, 1] ** 2 + 0.1 * RNG.standard_normal(70)
LABELS = np.array(["low", "middle", "high"])[np.digitize(Y, [0.3, 1.5])]
WHOLE = RNG.integers(0, 4, 70)
# one minibatch, and no part held back: weights are then repeated samples for networks, too
TRAINED = {"max_epochs": 10, "batch_size": 1000, "early_stopping": False, "random_state": 0}
MODELS = {
    "RF primal": RFRegressor(10, random_state=0),
    "RF dual": RFRegressor(200, random_state=0),
    "RF classes": RFClassifier(10, random_state=0),
    "RF balanced classes": RFClassifier(200, class_weight="balanced", random_state=0),
    "NT primal": NTRegressor(2, include_rf=True, random_state=0),
    "NT dual": NTRegressor(60, random_state=0),
    "NT forms": NTRegressor(30, activation="square", random_state=0),
    "NT classes": NTClassifier(30, class_weight={"low": 2.0}, random_state=0),
    "network": NetworkRegressor(8, **TRAINED),
    "quadratic network": QuadraticNetworkRegressor(6, **TRAINED),
    "classes of a network": NetworkClassifier(5, class_weight="balanced", **TRAINED),
}
ALL = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
EXACT = pytest.mark.parametrize("model", [MODELS["RF primal"], MODELS["RF dual"], MODELS["NT dual"]], ids=str)


def responses(model):
    return LABELS if hasattr(model, "decision_function") else Y


def values(model):
    return model.decision_function(X) if hasattr(model, "decision_function") else model.predict(X)


@ALL
def test_whole_weights_are_repeated_samples(model):
    y = responses(model)
    repeated = values(model.fit(X.repeat(WHOLE, axis=0), y.repeat(WHOLE)))
    weighted = values(model.fit(X, y, sample_weight=WHOLE))
    trained = hasattr(model, "max_epochs")
    np.testing.assert_allclose(weighted, repeated, rtol=0, atol=1e-8 if trained else 1e-10)


@ALL
def test_weights_of_zero_leave_out(model):
    y, kept, hidden = responses(model), WHOLE > 0, X.copy()
    hidden[~kept] = 1e6
    left_out = values(model.fit(X[kept], y[kept], sample_weight=WHOLE[kept]))
    np.testing.assert_array_equal(values(model.fit(hidden, y, sample_weight=WHOLE)), left_out)


@ALL
def test_weights_of_one_are_none(model):
    y = responses(model)
    plain = values(model.fit(X, y))
    for weight in (np.ones(70), [1] * 70, pd.Series(np.ones(70)), 1.0):
        np.testing.assert_allclose(values(model.fit(X, y, sample_weight=weight)), plain, rtol=0, atol=1e-9)


@ALL
def test_a_score_weighs_samples(model):
    y, judge = responses(model), accuracy_score if hasattr(model, "decision_function") else r2_score
    model.fit(X, y)
    assert model.score(X, y, sample_weight=WHOLE) == judge(y, model.predict(X), sample_weight=WHOLE)


@ALL
@pytest.mark.parametrize(
    ("weight", "error", "match"),
    [
        (np.zeros(70), ValueError, "Sample weights must contain at least one non-zero number"),
        (-np.ones(70), ValueError, "Negative values in data passed to `sample_weight`"),
        (np.ones(69), ValueError, r"sample_weight.shape == \(69,\), expected \(70,\)"),
        (np.full(70, np.nan), ValueError, "Input sample_weight contains NaN"),
        (["1"] * 70, TypeError, "sample_weight must hold one number >= 0 for each sample"),
    ],
)
def test_bad_weights(model, weight, error, match):
    with pytest.raises(error, match=match):
        model.fit(X, responses(model), sample_weight=weight)


@pytest.mark.parametrize("N", [20, 200])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_weights_are_those_of_ridge(N, fit_intercept):
    weight = np.random.default_rng(1).exponential(size=70)
    made = RFTransformer(N, random_state=0).fit(X)
    both = np.c_[Y, -Y]
    theirs = Ridge(0.7, fit_intercept=fit_intercept).fit(made.transform(X), both, sample_weight=weight)
    ours = RFRegressor(N, alpha=0.7, fit_intercept=fit_intercept, random_state=0).fit(X, both, sample_weight=weight)
    np.testing.assert_allclose(ours.rf_coef_, theirs.coef_, rtol=0, atol=1e-8)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=1e-8)


def test_alphas_are_chosen_as_by_ridge_cv():
    """A sample is left out with all its weight; the score is the weighted mean, theirs the mean of weighted squares."""
    weight, alphas = np.random.default_rng(2).exponential(size=70), np.geomspace(1e-3, 1e3, 7)
    features = RFTransformer(30, random_state=1).fit(X).transform(X)
    theirs = RidgeCV(alphas).fit(features, Y, sample_weight=weight)
    ours = RFRegressor(30, alpha=alphas, random_state=1).fit(X, Y, sample_weight=weight)
    assert ours.alpha_ == theirs.alpha_
    assert ours.best_score_ == pytest.approx(theirs.best_score_ / weight.mean())


@EXACT
def test_the_penalty_stands_beside_the_weighted_sum(model):
    """Weights c s and a penalty c alpha are the same problem, and the size of weights does no harm."""
    weight = np.random.default_rng(3).exponential(size=70)
    wanted = model.fit(X, Y, sample_weight=weight).predict(X)
    for size in (3.0, 1e-200, 1e200):
        scaled = model.set_params(alpha=size).fit(X, Y, sample_weight=size * weight)
        assert scaled.alpha_ == size
        np.testing.assert_allclose(scaled.predict(X), wanted, rtol=0, atol=1e-9)
    one = model.set_params(alpha=2.0).fit(X, Y, sample_weight=4.0).predict(X)
    np.testing.assert_array_equal(model.set_params(alpha=0.5).fit(X, Y).predict(X), one)
    unequal = model.set_params(alpha=1.0).fit(X, Y, sample_weight=np.where(np.arange(70) < 35, 1e-300, 1.0))
    np.testing.assert_allclose(unequal.predict(X), model.fit(X[35:], Y[35:]).predict(X), rtol=0, atol=1e-9)


def test_the_quadratic_network_weighs_as_that_of_squares():
    """Minibatches, too: what a weight means is held by the tests of `NetworkRegressor`."""
    both, weight = np.c_[Y, -Y], np.random.default_rng(4).exponential(size=70)
    options = {"second_layer": "signs", "batch_size": 10, "random_state": 0, "max_epochs": 3}
    one, other = QuadraticNetworkRegressor(6, **options), NetworkRegressor(6, activation="square", **options)
    for _ in range(2):
        for model in (one, other):
            model.partial_fit(X, both, sample_weight=weight)
    np.testing.assert_array_equal(one.predict(X), other.predict(X))
    assert one.weights_.shape == (2, 6, 4)


def test_weights_that_fit_the_noise_lower_the_risk():
    """What a weighted fit is worth is judged by exact risks: a heavier half that is clean beats a noisy whole."""
    target = fastlazy.exponential_target(6, rng=0)
    clean, W = target.sample(400, rng=1), fastlazy.draw_weights(20, 6, rng=2)
    noise = np.where(np.arange(400) % 2, 30.0, 0.0)
    y = clean[1] + noise * np.random.default_rng(0).standard_normal(400)
    risks = []
    for weight in (None, 1 / (1 + noise**2)):
        model = RFRegressor(weights=W, activation="square", alpha=1e-2).fit(clean[0], y, sample_weight=weight)
        risks.append(fastlazy.network_risk(target, W, model.rf_coef_, model.intercept_))
    limit = fastlazy.rf_risk(target, W)
    assert limit < risks[1] < 0.1 * risks[0] + limit
