"""Classifiers by ridge regression: scikit-learn's checks, its RidgeClassifier, regressors of signs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier, RidgeClassifierCV
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastlazy
from fastlazy.estimators import NTClassifier, RFClassifier, RFTransformer

ESTIMATORS = [
    RFClassifier(30),
    RFClassifier(60, activation="gelu", alpha=[1.0, 1e9], fit_intercept=False, parallel=False),
    NTClassifier(5),
    NTClassifier(4, activation="gelu", include_rf=True, class_weight="balanced"),
]
RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 4))
SIZE = np.sum(X**2, axis=1) + X[:, 0]
THREE = np.array(["near", "middle", "far"])[np.digitize(SIZE, [2.0, 4.0])]
WEIGHT = RNG.exponential(size=90)
LABELS = {"three strings": THREE, "two booleans": SIZE > 3, "three numbers": 10 * np.digitize(SIZE, [2.0, 4.0]) - 5}


@pytest.mark.sampled(24)
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("N", [20, 200])
@pytest.mark.parametrize("class_weight", [None, "balanced", "each"])
def test_random_features_are_ridge_classifier_on_features(y, N, class_weight):
    weight = None if class_weight == "balanced" else WEIGHT  # theirs counts samples, not weights, to balance
    if class_weight == "each":
        class_weight = {label: 1.0 + k for k, label in enumerate(np.unique(y))}
    features = RFTransformer(N, random_state=0).fit(X).transform(X)
    theirs = RidgeClassifier(0.3, class_weight=class_weight).fit(features, y, sample_weight=weight)
    ours = RFClassifier(N, alpha=0.3, class_weight=class_weight, random_state=0).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(features), rtol=0, atol=1e-8)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(features))
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.predict(X).dtype == theirs.predict(features).dtype
    assert ours.score(X, y) == theirs.score(features, y)


def test_alphas_are_chosen_as_by_ridge_classifier_cv():
    alphas = np.geomspace(1e-3, 1e3, 7)
    features = RFTransformer(30, random_state=1).fit(X).transform(X)
    theirs = RidgeClassifierCV(alphas).fit(features, THREE, sample_weight=WEIGHT)
    ours = RFClassifier(30, alpha=alphas, random_state=1).fit(X, THREE, sample_weight=WEIGHT)
    assert ours.alpha_ == theirs.alpha_
    assert ours.best_score_ == pytest.approx(theirs.best_score_ / WEIGHT.mean())


@pytest.mark.parametrize("activation", ["square", "relu"])
def test_the_tangent_model_is_a_regressor_of_signs(activation):
    y = SIZE > 3
    options = {"activation": activation, "random_state": 0, "include_rf": True}
    regressor = fastlazy.estimators.NTRegressor(6, **options).fit(X, 2.0 * y - 1, sample_weight=WEIGHT)
    classifier = NTClassifier(6, **options).fit(X, y, sample_weight=WEIGHT)
    np.testing.assert_array_equal(classifier.decision_function(X), regressor.predict(X))
    np.testing.assert_array_equal(classifier.predict(X), regressor.predict(X) > 0)
    many = NTClassifier(6, **options).fit(X, THREE)
    signs = 2.0 * (THREE[:, None] == ["far", "middle", "near"]) - 1
    np.testing.assert_array_equal(many.decision_function(X), regressor.fit(X, signs).predict(X))
    assert many.nt_coef_.shape == (3, 6, 4)
    assert many.rf_coef_.shape == (3, 6)
    assert many.intercept_.shape == (3,)
