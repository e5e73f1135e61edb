"""Several outputs of a network, and weights of samples: each is what it stands for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.multioutput import MultiOutputRegressor

from fastlazy.estimators import NetworkRegressor
from tests import naive_epochs

BOTH = pytest.mark.parametrize("activation", ["relu", "square"])


def draw(n=300, t=3, seed=0):
    rng = np.random.default_rng([n, seed])
    X = np.c_[rng.standard_normal((n, 5)), np.ones(n)]
    Y = np.abs(X @ rng.standard_normal((6, t))) * 10.0 ** np.arange(t) + 0.1 * rng.standard_normal((n, t))
    return X, Y


@BOTH
@pytest.mark.parametrize("second_layer", ["free", "scalar"])
def test_each_output_is_that_of_its_column_alone(activation, second_layer):
    X, Y = draw()
    model = NetworkRegressor(12, activation=activation, second_layer=second_layer, random_state=0, max_epochs=30)
    theirs = MultiOutputRegressor(model).fit(X, Y)
    model.fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), theirs.predict(X))
    assert model.weights_.shape == (3, 12, 6)
    assert model.second_layer_.shape == ((3, 12) if second_layer == "free" else (3,))
    assert model.intercept_.shape == (3,)
    assert model.n_iter_ == max(one.n_iter_ for one in theirs.estimators_)
    for name in ("loss_", "loss_curve_", "validation_scores_", "best_validation_score_", "step_size_"):
        assert getattr(model, name) == [getattr(one, name) for one in theirs.estimators_]
    single = NetworkRegressor(12, random_state=0, max_epochs=3).fit(X, Y[:, :1])
    assert single.predict(X).shape == (300, 1)


@pytest.mark.sampled(1)
@BOTH
def test_outputs_go_on(activation):
    X, Y = draw()
    options = {"activation": activation, "random_state": 0, "step_size": 1e-6, "shuffle": False}
    parts, ones = NetworkRegressor(8, **options), [NetworkRegressor(8, **options) for _ in range(3)]
    for _ in range(3):
        parts.partial_fit(X, Y)
        for k, one in enumerate(ones):
            one.partial_fit(X, Y[:, k])
    np.testing.assert_array_equal(parts.predict(X), np.stack([one.predict(X) for one in ones], axis=1))
    before = parts.predict(X)
    parts.intercept_ = parts.intercept_ + 5.0
    np.testing.assert_allclose(parts.predict(X), before + 5)
    warm = NetworkRegressor(8, warm_start=True, early_stopping=False, max_epochs=2, **options).fit(X, Y).fit(X, Y)
    whole = NetworkRegressor(8, early_stopping=False, max_epochs=4, **options).fit(X, Y)
    np.testing.assert_allclose(warm.predict(X), whole.predict(X), rtol=1e-9)


def test_callbacks_see_every_output():
    pytest.importorskip("sklearn.callback")
    X, Y = draw(60, 2)
    ends = []

    class Watch:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            ends.append((context.task_name, fitted_estimator.predict(X).shape))

    NetworkRegressor(4, max_epochs=2, random_state=0).set_callbacks(Watch()).fit(X, Y)
    output = [("epoch", (60, 2))] * 2 + [("output", (60, 2))]
    assert ends == [*output, *output, ("fit", (60, 2))]


@BOTH
def test_weights_of_one_are_none(activation):
    X, Y = draw()
    model = NetworkRegressor(12, activation=activation, random_state=0, max_epochs=10)
    plain = model.fit(X, Y).predict(X)
    for weight in (np.ones(300), np.full(300, 0.25), [1] * 300, pd.Series(np.ones(300))):
        np.testing.assert_allclose(model.fit(X, Y, sample_weight=weight).predict(X), plain, rtol=1e-6)


@BOTH
@pytest.mark.parametrize("partial", [False, True])
def test_weights_of_zero_leave_out(activation, partial):
    X, Y = draw()
    kept = np.random.default_rng(0).random(300) < 0.7
    fit = {"weighted": NetworkRegressor(12, activation=activation, random_state=0, max_epochs=10)}
    fit["left out"] = NetworkRegressor(12, activation=activation, random_state=0, max_epochs=10)
    X[~kept] = 1e6
    for _ in range(2):
        method = "partial_fit" if partial else "fit"
        getattr(fit["weighted"], method)(X, Y, sample_weight=1.0 * kept)
        getattr(fit["left out"], method)(X[kept], Y[kept], sample_weight=np.ones(kept.sum()))
    np.testing.assert_array_equal(fit["weighted"].predict(X), fit["left out"].predict(X))


@BOTH
@pytest.mark.parametrize("second_layer", ["free", "signs", "scalar"])
def test_whole_weights_are_repeated_samples(activation, second_layer):
    X, Y = draw(60, 1)
    weight = np.random.default_rng(0).integers(0, 4, 60)
    model = NetworkRegressor(
        12, activation=activation, second_layer=second_layer, batch_size=1000, early_stopping=False, random_state=0,
        max_epochs=40,
    )  # fmt: skip
    weighted = model.fit(X, Y[:, 0], sample_weight=weight)
    found, loss = weighted.predict(X), weighted.loss_
    repeated = model.fit(X.repeat(weight, axis=0), Y[:, 0].repeat(weight))
    np.testing.assert_allclose(found, repeated.predict(X), rtol=1e-8)
    assert loss == pytest.approx(repeated.loss_)


def test_minibatches_weigh_errors():
    X, Y = draw(60, 1)
    y, weight = Y[:, 0], np.random.default_rng(0).exponential(size=60)
    W = np.random.default_rng(1).standard_normal((4, 6)) / 3
    model = NetworkRegressor(
        weights=W, step_size=1e-3, batch_size=7, max_epochs=1, shuffle=False, early_stopping=False, random_state=0
    )
    start = NetworkRegressor(**model.get_params()).set_params(step_size=0.0).fit(X, y, sample_weight=weight)
    model.fit(X, y, sample_weight=weight)
    rates = model._steps.rates(7, 0.0, 1e-3)
    W_end, a, c, loss = naive_epochs.epoch(
        W, start.second_layer_, start.intercept_, X, y, 7, rates, "free", "relu", weight / weight.mean()
    )
    np.testing.assert_allclose(model.weights_, W_end, rtol=0, atol=1e-12)
    np.testing.assert_allclose(model.second_layer_, a, rtol=0, atol=1e-12)
    assert model.intercept_ == pytest.approx(c, abs=1e-12)
    assert model.loss_ == pytest.approx(loss / 2)


@BOTH
def test_the_loss_is_the_weighted_one(activation):
    """Two populations with opposite responses: the network learns their weighted mean, half of the heavier one."""
    least = {"relu": 0.9, "square": 0.5}[activation]  # a quadratic function sees less of |x|
    X, Y = draw(2000, 1)
    y = np.sign(np.arange(2000) % 2 - 0.5) * Y[:, 0]
    weight = np.where(y > 0, 3.0, 1.0)
    model = NetworkRegressor(40, activation=activation, random_state=0)
    for size in (1.0, 1e-300, 1e300):
        assert model.fit(X, y, sample_weight=size * weight).score(X, Y[:, 0] / 2) > least


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@BOTH
def test_very_unequal_weights_do_not_diverge(activation):
    X, Y = draw(500, 1)
    weight = np.random.default_rng(0).pareto(0.7, 500) + 1e-3
    model = NetworkRegressor(20, activation=activation, batch_size=10, random_state=0, early_stopping=False)
    model.fit(X, Y[:, 0], sample_weight=weight)
    assert not model.diverged_
    assert model.score(X, Y[:, 0], sample_weight=weight) > 0.5


@pytest.mark.parametrize(
    ("weight", "error", "match"),
    [
        (np.zeros(300), ValueError, "Sample weights must contain at least one non-zero number"),
        (-np.ones(300), ValueError, "Negative values in data passed to `sample_weight`"),
        (np.ones(299), ValueError, r"sample_weight.shape == \(299,\), expected \(300,\)"),
        (np.full(300, np.nan), ValueError, "Input sample_weight contains NaN"),
        (["1"] * 300, TypeError, "sample_weight must hold one number >= 0 for each sample"),
        (np.full(300, 1j), TypeError, "sample_weight must hold"),
        (object(), TypeError, "sample_weight must hold one number >= 0 for each sample"),
    ],
)
def test_bad_weights(weight, error, match):
    X, Y = draw()
    for method in ("fit", "partial_fit"):
        with pytest.raises(error, match=match):
            getattr(NetworkRegressor(3, max_epochs=1), method)(X, Y, sample_weight=weight)


def test_one_of_several_that_diverges_is_told():
    X, Y = draw()
    with pytest.warns(ConvergenceWarning, match="training diverged in epoch 1"):
        model = NetworkRegressor(8, step_size=1e-2, random_state=0, max_epochs=3).fit(X, Y)
    assert model.diverged_
    assert np.isfinite(model.predict(X)).all()
