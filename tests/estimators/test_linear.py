"""Estimators: scikit-learn's own checks, its Ridge, KernelRidge and RidgeCV, population risks, bad input."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastlazy
from fastlazy.estimators import NTRegressor, RFRegressor, RFTransformer

# Of several alphas leave-one-out takes 1 here, for the weighted samples of a check and for the repeated ones. It need
# not be the same: a sample is left out with all its weight, of repeated ones the others stay.
ESTIMATORS = [
    RFRegressor(40),
    RFRegressor(60, activation="tanh", alpha=[1.0, 1e9], fit_intercept=False, parallel=False),
    NTRegressor(5),
    NTRegressor(3, activation="square", include_rf=True, alpha=1e-3, fit_intercept=False),
    NTRegressor(4, activation="square", alpha=[1.0, 1e9], fit_intercept=False),
    NTRegressor(6, activation="erf", include_rf=True, alpha=(1.0, 1e9), fit_intercept=False),
    RFTransformer(9, activation="cos"),
    RFTransformer(5, activation="step", parallel=False),
]


@pytest.mark.sampled(250)
@parametrize_with_checks(ESTIMATORS)
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


def draw(n=60, d=5, t=None, seed=0, dtype=np.float64):
    rng = np.random.default_rng([n, d, seed])
    X = rng.standard_normal((n, d))
    y = rng.standard_normal((n, t) if t else n) + X[:, :1].reshape((n, 1) if t else n)
    return X.astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("t", [None, 3])
@pytest.mark.parametrize("N", [20, 200])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_random_features_are_ridge_on_features(N, t, fit_intercept):
    X, y = draw(t=t)
    new = draw(seed=1)[0]
    made = RFTransformer(N, random_state=0).fit(X)
    theirs = Ridge(0.7, fit_intercept=fit_intercept).fit(made.transform(X), y)
    ours = RFRegressor(N, alpha=0.7, fit_intercept=fit_intercept, random_state=0).fit(X, y)
    np.testing.assert_allclose(ours.predict(new), theirs.predict(made.transform(new)), rtol=0, atol=1e-8)
    np.testing.assert_allclose(ours.rf_coef_, theirs.coef_, rtol=0, atol=1e-8)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(ours.weights_, made.weights_)


@pytest.mark.parametrize("activation", ["relu", "square", "gelu"])
@pytest.mark.parametrize("t", [None, 2])
def test_the_tangent_model_is_kernel_ridge(activation, t):
    X, y = draw(n=80, t=t)
    new = draw(seed=1)[0]
    W = fastlazy.draw_weights(30, 5, rng=0)
    J, J_new = (
        (fastlazy.get_activation(activation).values(Z @ W.T, 1)[:, :, None] * Z[:, None, :]).reshape(len(Z), -1)
        for Z in (X, new)
    )
    for parts in (False, True):
        F, F_new = (fastlazy.get_activation(activation).values(Z @ W.T) for Z in (X, new))
        A, A_new = (np.hstack([J, F]), np.hstack([J_new, F_new])) if parts else (J, J_new)
        theirs = KernelRidge(alpha=2.0, kernel="precomputed").fit(A @ A.T, y)
        ours = NTRegressor(weights=W, activation=activation, alpha=2.0, include_rf=parts, fit_intercept=False)
        predictions = ours.fit(X, y).predict(new)
        np.testing.assert_allclose(predictions, theirs.predict(A_new @ A.T), rtol=0, atol=1e-8)
        centred = Ridge(2.0).fit(A, y).predict(A_new)
        predictions = ours.set_params(fit_intercept=True).fit(X, y).predict(new)
        np.testing.assert_allclose(predictions, centred, rtol=0, atol=1e-8)


def test_alphas_are_chosen_as_by_ridge_cv():
    X, y = draw()
    alphas = np.geomspace(1e-3, 1e3, 7)
    features = RFTransformer(30, random_state=1).fit(X).transform(X)
    theirs = RidgeCV(alphas).fit(features, y)
    ours = RFRegressor(30, alpha=alphas, random_state=1).fit(X, y)
    assert ours.alpha_ == theirs.alpha_
    assert ours.best_score_ == pytest.approx(theirs.best_score_)
    assert not hasattr(ours.set_params(alpha=1.0).fit(X, y), "best_score_")
    assert RFRegressor(30, alpha=[3.0], random_state=1).fit(X, y).alpha_ == 3.0


@pytest.mark.parametrize("kind", [RFRegressor, NTRegressor])
def test_single_precision_is_kept(kind):
    X, y = draw(dtype=np.float32)
    model = kind(10, random_state=0).fit(X, y)
    coefficients = model.rf_coef_ if kind is RFRegressor else model.nt_coef_
    assert model.predict(X).dtype == model.weights_.dtype == coefficients.dtype == np.float32
    assert model.predict(X.astype(float)).dtype == np.float64


@pytest.mark.parametrize("kind", [RFRegressor, NTRegressor])
@pytest.mark.parametrize("parallel", [True, False])
def test_the_same_state_gives_the_same_result(kind, parallel):
    X, y = draw()
    first, second = (kind(10, random_state=3, parallel=parallel).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.predict(X), second.predict(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(first)).predict(X), first.predict(X))
    assert np.any(kind(10, random_state=4).fit(X, y).weights_ != first.weights_)


def test_pipelines_and_grids():
    X, y = draw(n=90)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), RFRegressor(15, random_state=0, parallel=False)),
        {"rfregressor__alpha": [0.1, 10.0], "rfregressor__activation": ["relu", "tanh"]},
        cv=2,
    )
    assert search.fit(X, y).best_params_["rfregressor__alpha"] in (0.1, 10.0)
    assert clone(search.best_estimator_[-1]).get_params()["n_neurons"] == 15
    assert RFTransformer(3).fit(X).get_feature_names_out().tolist() == [f"rftransformer{i}" for i in range(3)]


def test_a_singular_problem_is_answered_and_told():
    X, y = draw(n=20)
    twice, y_twice = np.vstack([X, X]), np.r_[y, y]
    for model in (RFRegressor(100, alpha=0.0, random_state=0), NTRegressor(30, alpha=0.0, random_state=0)):
        with pytest.warns(scipy.linalg.LinAlgWarning, match="jitter of") as caught:
            model.fit(twice, y_twice)
        assert model.jitter_ > 0
        assert f"{model.jitter_:.3g}" in str(caught[0].message)
        np.testing.assert_allclose(model.predict(X), y, atol=1e-3)
        assert model.set_params(alpha=1.0).fit(twice, y_twice).jitter_ == 0


@pytest.mark.parametrize("regime", ["RF", "RF relu", "NT"])
def test_the_risk_falls_to_that_of_the_population(regime):
    """d = 20: what a fit to n samples loses tends to zero like 1 / n."""
    target = fastlazy.exponential_target(20, rng=0)
    W = fastlazy.draw_weights(12 if regime == "NT" else 60, 20, rng=1)
    activation = "relu" if regime == "RF relu" else "square"
    limit = fastlazy.nt_risk(target, W) if regime == "NT" else fastlazy.rf_risk(target, W, activation)
    risks = []
    for n in (1000, 4000, 16000):
        X, y = target.sample(n, rng=n)
        if regime == "NT":
            model = NTRegressor(weights=W, activation="square", alpha=1e-3).fit(X, y)
            risks.append(fastlazy.tangent_risk(target, W, model.nt_coef_, model.intercept_))
        else:
            model = RFRegressor(weights=W, activation=activation, alpha=1e-3).fit(X, y)
            risks.append(fastlazy.network_risk(target, W, model.rf_coef_, model.intercept_, activation))
    losses = np.array(risks) / limit - 1
    assert np.all(losses > 0)
    assert np.all(losses[1:] < 0.4 * losses[:-1])
    assert losses[-1] < 0.03


@pytest.mark.parametrize("kind", [RFRegressor, NTRegressor])
@pytest.mark.parametrize(
    ("parameters", "error", "match"),
    [
        ({"n_neurons": 0}, ValueError, "n_neurons == 0, must be >= 1"),
        ({"n_neurons": 2.5}, TypeError, "n_neurons must be an instance of"),
        ({"alpha": -1.0}, ValueError, "alpha == -1.0, must be >= 0"),
        ({"alpha": [1.0, -1.0]}, ValueError, "alpha == -1, must be >= 0"),
        ({"alpha": []}, ValueError, "alpha is empty"),
        ({"alpha": "much"}, TypeError, "alpha must hold real numbers"),
        ({"activation": "rlu"}, ValueError, "activation = 'rlu' is not known"),
        ({"weights": np.ones((4, 3))}, ValueError, "weights has rows of length 3, but X has 5 features"),
    ],
)
def test_bad_parameters(kind, parameters, error, match):
    X, y = draw()
    with pytest.raises(error, match=match):
        kind(**parameters).fit(X, y)


def test_bad_data():
    X, y = draw()
    model = NTRegressor(4).fit(X, y)
    with pytest.raises(ValueError, match="X has 4 features, but NTRegressor is expecting 5"):
        model.predict(X[:, :4])
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(X * np.nan, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[:-1])
    with pytest.raises(ValueError, match="has no tangent model"):
        NTRegressor(4, activation="step").fit(X, y)


def test_verbose_says_what_was_done(capsys):
    X, y = draw()
    RFRegressor(5, verbose=True, random_state=0).fit(X, y)
    assert "[RFRegressor] alpha 1: " in capsys.readouterr().out


def test_callbacks_see_the_fit():
    pytest.importorskip("sklearn.callback")
    X, y = draw()
    seen = []

    class Watch:
        def setup(self, estimator, context):
            seen.append("setup")

        def teardown(self, estimator, context):
            seen.append("teardown")

        def on_fit_task_begin(self, estimator, context):
            seen.append(context.task_name)

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            seen.append(fitted_estimator.predict(X).shape)

    RFRegressor(5, random_state=0).set_callbacks(Watch()).fit(X, y)
    assert seen == ["setup", "fit", (60,), "teardown"]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("version", [None, "1.5.2"])
def test_without_scikit_learn(version):
    block = "sys.modules['sklearn'] = None" if version is None else f"import sklearn; sklearn.__version__ = '{version}'"
    code = f"import sys; {block}\nimport fastlazy.estimators"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert child.returncode == 1
    assert "needs scikit-learn 1.6 or later" in child.stderr
    assert "pip install 'fastlazy[sklearn]'" in child.stderr
