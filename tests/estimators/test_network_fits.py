"""The trained network as an estimator: scikit-learn's checks, training, stopping, going on, divergence."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastlazy
from fastlazy.estimators import QuadraticNetworkRegressor
from fastlazy.training import stream_steps
from tests import naive

# Weighted samples are repeated ones where all are one minibatch and none is held back, which a check asks for.
ESTIMATORS = [
    QuadraticNetworkRegressor(5, max_epochs=5),
    QuadraticNetworkRegressor(20, second_layer="free", batch_size=80, max_epochs=4, shuffle=False),
    QuadraticNetworkRegressor(4, second_layer="ones", early_stopping=False, max_epochs=6),
    QuadraticNetworkRegressor(3, second_layer="scalar", step_size=1e-4, max_epochs=3, parallel=False),
]


@pytest.mark.sampled(120)
@parametrize_with_checks(ESTIMATORS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # samples of size 100 at a given step
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_no_check_is_left_out(request):
    """As many as scikit-learn has for these, none expected to fail; each is a test of its own."""
    collected = [item for item in request.session.items if item.path == request.path and "[" in item.name]
    mine = [item for item in collected if item.name.startswith("test_scikit_learn_checks[")]
    if len({str(item.callspec.params["estimator"]) for item in mine}) < len(ESTIMATORS) or len(mine) < 40 * len(
        ESTIMATORS
    ):
        pytest.skip("not all of this file was asked for")
    assert not any(item.get_closest_marker("xfail") or item.get_closest_marker("skip") for item in mine)


def draw(n=400, d=6, rank=2, noise=0.0, seed=0, dtype=np.float64):
    rng = np.random.default_rng([n, d, rank, seed])
    directions = np.linalg.qr(rng.standard_normal((d, rank)))[0]
    X = rng.standard_normal((n, d))
    y = (X @ directions) ** 2 @ np.where(np.arange(rank) % 2, -1, 1) + 5 + noise * rng.standard_normal(n)
    return X.astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("second_layer", ["signs", "free"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("batch_size", [1, 20, 1000])
def test_it_learns(second_layer, dtype, batch_size):
    X, y = draw(dtype=dtype)
    new, wanted = draw(dtype=dtype)
    model = QuadraticNetworkRegressor(
        8, batch_size=batch_size, max_epochs=1000 if batch_size == 1000 else 100, second_layer=second_layer,
        random_state=0, tol=0.0, early_stopping=False,
    ).fit(X, y)  # fmt: skip
    assert model.score(new, wanted) > 0.95
    assert model.predict(new).dtype == model.weights_.dtype == dtype
    assert len(model.loss_curve_) == model.n_iter_ == model.max_epochs
    assert model.loss_ == model.loss_curve_[-1] < 0.1 * model.loss_curve_[0]
    assert not model.diverged_


def test_only_signs_learn_what_curves_downwards():
    X, y = draw(rank=1)
    upwards = QuadraticNetworkRegressor(6, second_layer="ones", random_state=0, max_epochs=60)
    assert upwards.fit(X, y).score(X, y) > 0.9
    assert upwards.fit(X, -y).score(X, -y) < 0.3
    assert QuadraticNetworkRegressor(6, random_state=0, max_epochs=60).fit(X, -y).score(X, -y) > 0.9


def test_epochs_are_plain_sgd():
    X, y = draw(n=50)
    W = fastlazy.draw_weights(4, 6, rng=0)
    model = QuadraticNetworkRegressor(
        weights=W, second_layer="ones", step_size=1e-3, batch_size=8, max_epochs=3, shuffle=False, random_state=0
    ).fit(X, y)
    rates = np.tile(model._steps.rates(8, 0.0, 1e-3), (7, 1))
    twin, a, c = W, np.ones(4), y.mean()
    for _ in range(3):
        twin, a, c = naive.sgd(twin, a, c, X, y, 8, rates, "ones")
    np.testing.assert_allclose(model.weights_, twin, rtol=0, atol=1e-12)
    assert model.intercept_ == pytest.approx(c)
    np.testing.assert_allclose(model.predict(X), np.sum((X @ twin.T) ** 2, axis=1) + c)
    assert model.second_layer_ == 1.0
    assert model.step_size_ == pytest.approx(1e-3)


def test_partial_fits_are_epochs():
    X, y = draw(n=80)
    options = {"step_size": 1e-3, "batch_size": 16, "random_state": 0, "shuffle": False}
    whole = QuadraticNetworkRegressor(5, max_epochs=4, **options).fit(X, y)
    parts = QuadraticNetworkRegressor(5, **options)
    for _ in range(4):
        parts.partial_fit(X, y)
    np.testing.assert_allclose(parts.weights_, whole.weights_, rtol=1e-9)
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_)
    assert parts.n_iter_ == 4
    copy = pickle.loads(pickle.dumps(parts))
    np.testing.assert_array_equal(copy.partial_fit(X, y).weights_, parts.partial_fit(X, y).weights_)
    assert not hasattr(QuadraticNetworkRegressor(early_stopping=True), "partial_fit")


def test_a_warm_start_goes_on():
    X, y = draw(n=80)
    options = {"step_size": 1e-3, "batch_size": 16, "random_state": 0, "shuffle": False}
    whole = QuadraticNetworkRegressor(5, max_epochs=4, **options).fit(X, y)
    parts = QuadraticNetworkRegressor(5, max_epochs=2, warm_start=True, **options).fit(X, y).fit(X, y)
    np.testing.assert_allclose(parts.weights_, whole.weights_, rtol=1e-9)
    assert parts.n_iter_ == 2
    cold = parts.set_params(warm_start=False).fit(X, y)
    np.testing.assert_allclose(cold.loss_curve_, whole.loss_curve_[:2])
    with pytest.raises(ValueError, match="X has 5 features"):
        parts.set_params(warm_start=True).fit(X[:, :5], y)


def test_early_stopping_returns_the_best():
    X, y = draw(n=120, d=12, noise=1.0)
    model = QuadraticNetworkRegressor(
        12, max_epochs=300, early_stopping=True, n_iter_no_change=5, validation_fraction=0.25, random_state=0
    ).fit(X, y)
    scores = model.validation_scores_
    assert len(scores) == model.n_iter_ < 300
    assert model.best_validation_score_ == max(scores)
    assert max(scores[-6:]) < max(scores) + model.tol
    assert model.best_loss_ is None
    held = np.random.default_rng(np.random.RandomState(0).randint(np.iinfo(np.int32).max)).permutation(120)[:30]
    assert model.score(X[held], y[held]) == pytest.approx(max(scores))


def test_training_ends_when_nothing_is_gained():
    X, y = draw()
    options = {"max_epochs": 2000, "tol": 1e-3, "n_iter_no_change": 3, "early_stopping": False}
    model = QuadraticNetworkRegressor(8, **options, random_state=0).fit(X, y)
    assert model.n_iter_ < 500
    assert model.best_loss_ == min(model.loss_curve_)


def test_divergence_is_detected():
    X, y = draw()
    model = QuadraticNetworkRegressor(8, step_size=10.0, max_epochs=5, random_state=0)
    with pytest.warns(ConvergenceWarning, match="training diverged in epoch 1"):
        model.fit(X, y)
    assert model.diverged_
    assert model.n_iter_ == 0
    assert np.isfinite(model.predict(X)).all()
    late = QuadraticNetworkRegressor(8, step_size=lambda u: 1e-3 if u < 0.5 else 10.0, max_epochs=6, random_state=0)
    with pytest.warns(ConvergenceWarning, match="training diverged in epoch 4"):
        late.fit(X, y)
    assert late.n_iter_ == 3
    assert late.score(X, y) > -1


def test_automatic_steps_give_way(monkeypatch):
    """Steps that are far too large, as where the samples seen first were tame, are halved until training goes on."""
    X, y = draw()
    inner, tame = stream_steps.moments, {"L": 1e-3, "g2": 1.0, "g4": 1e-3, "f2": 1.0}
    monkeypatch.setattr(stream_steps, "moments", lambda *arguments: inner(*arguments)._replace(**tame))
    model = QuadraticNetworkRegressor(8, max_epochs=30, batch_size=10, random_state=2).fit(X, y)
    assert not model.diverged_
    assert model.step_size_ < model._steps.moments.rates(10, model._steps._size)[0] / 100
    assert model.score(X, y) > 0.5


def test_a_constant_response():
    X, _ = draw()
    np.testing.assert_allclose(QuadraticNetworkRegressor(3, max_epochs=2).fit(X, np.full(400, 7.0)).predict(X), 7.0)


def test_progress(capsys):
    pytest.importorskip("sklearn.callback")
    X, y = draw(n=60)
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
            return context.task_name == "epoch" and context.task_id == 2

    model = QuadraticNetworkRegressor(4, max_epochs=50, verbose=True).set_callbacks(Watch()).fit(X, y)
    assert ends == [("epoch", (60,))] * 3 + [("fit", (60,))]
    assert model.n_iter_ == 3
    assert "epoch 3, loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("parameters", "error", "match"),
    [
        ({"batch_size": 0}, ValueError, "batch_size == 0, must be >= 1"),
        ({"max_epochs": 1.5}, TypeError, "max_epochs must be an instance of"),
        ({"second_layer": "two"}, ValueError, "second_layer = 'two' is not known"),
        ({"step_size": -1.0}, ValueError, "step_size == -1.0, must be >= 0"),
        ({"step_size": "fast"}, TypeError, "step_size must be an instance of"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction == 1.0, must be < 1"),
        ({"weights": np.ones((3, 2))}, ValueError, "weights has rows of length 2, but X has 6 features"),
    ],
)
def test_bad_parameters(parameters, error, match):
    X, y = draw(n=20)
    with pytest.raises(error, match=match):
        QuadraticNetworkRegressor(**parameters).fit(X, y)
