"""The network as a classifier: scikit-learn's checks, networks of signs, training in parts, what is held back."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastlazy.estimators import NetworkClassifier, NetworkRegressor

RNG = np.random.default_rng(0)
X = np.c_[RNG.standard_normal((200, 3)), np.ones(200)]
INDEX = np.digitize(X[:, 0] + np.abs(X[:, 1]), [0.5, 1.5])
NAMES = np.array(["a", "bb", "c"])


@pytest.mark.sampled(6)
@parametrize_with_checks([NetworkClassifier(10, max_epochs=20, parallel=False)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_every_class_has_the_network_of_its_signs():
    weight = np.random.default_rng(1).exponential(size=200)
    options = {"max_epochs": 8, "random_state": 0, "parallel": False}
    model = NetworkClassifier(6, **options).fit(X, NAMES[INDEX], sample_weight=weight)
    signs = NetworkRegressor(6, **options).fit(X, 2.0 * (INDEX[:, None] == np.arange(3)) - 1, sample_weight=weight)
    np.testing.assert_array_equal(model.decision_function(X), signs.predict(X))
    assert model.validation_scores_ == signs.validation_scores_
    assert model.weights_.shape == (3, 6, 4)
    two = NetworkClassifier(6, **options).fit(X, INDEX > 0)
    one = NetworkRegressor(6, **options).fit(X, 2.0 * (INDEX > 0) - 1)
    np.testing.assert_array_equal(two.decision_function(X), one.predict(X))
    assert two.n_iter_ == one.n_iter_


def test_parts_and_warm_starts_go_on_with_the_same_classes():
    options = {"step_size": 1e-3, "random_state": 0, "shuffle": False, "early_stopping": False, "parallel": False}
    whole = NetworkClassifier(6, max_epochs=4, **options).fit(X, NAMES[INDEX])
    parts, warm = NetworkClassifier(6, **options), NetworkClassifier(6, max_epochs=2, warm_start=True, **options)
    parts.partial_fit(X, NAMES[INDEX], classes=NAMES[::-1])
    for _ in range(3):
        parts.partial_fit(X, NAMES[INDEX])
    warm.fit(X, NAMES[INDEX]).fit(X, NAMES[INDEX])
    for model in (parts, warm):
        np.testing.assert_allclose(model.decision_function(X), whole.decision_function(X), rtol=1e-9)
    few = INDEX > 0
    assert parts.partial_fit(X[few], NAMES[INDEX[few]]).classes_.tolist() == NAMES.tolist()
    for method in (parts.partial_fit, warm.fit):
        with pytest.raises(
            ValueError, match=r"y has the label .*'d'.*, which is none of the classes \['a', 'bb', 'c'\]"
        ):
            method(X, np.where(INDEX == 0, "d", "a"))
        with pytest.raises(ValueError, match=r"y has the label .*0.*, which is none of the classes"):
            method(X, INDEX)


def test_what_parts_cannot_know_is_asked_for():
    with pytest.raises(ValueError, match=r"classes must be passed to the first call of partial_fit; pass e\.g\."):
        NetworkClassifier(3).partial_fit(X, INDEX)
    with pytest.raises(ValueError, match="class_weight = 'balanced' is not for partial_fit, which sees a part"):
        NetworkClassifier(3, class_weight="balanced").partial_fit(X, INDEX, classes=[0, 1, 2])
    assert not hasattr(NetworkClassifier(early_stopping=True), "partial_fit")
    weighted = NetworkClassifier(3, class_weight={0: 2.0}, random_state=0, parallel=False).partial_fit(
        X, INDEX, classes=[0, 1, 2]
    )
    by_sample = NetworkClassifier(3, random_state=0, parallel=False)
    by_sample.partial_fit(X, INDEX, [0, 1, 2], np.where(INDEX == 0, 2.0, 1.0))
    np.testing.assert_array_equal(weighted.decision_function(X), by_sample.decision_function(X))


def test_callbacks_see_labels():
    pytest.importorskip("sklearn.callback")
    seen = []

    class Watch:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, *, y):
            seen.append(set(y))

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            seen.append(set(fitted_estimator.predict(X)) <= {"no", "yes"})

    model = NetworkClassifier(4, max_epochs=1, random_state=0, parallel=False).set_callbacks(Watch())
    model.fit(X, np.where(INDEX > 0, "yes", "no"))
    assert seen == [{"no", "yes"}, {"no", "yes"}, True, True]


def test_other_classes_than_those_of_the_first_part_are_refused():
    model = NetworkClassifier(3, random_state=0).partial_fit(X, INDEX, classes=[0, 1, 2])
    assert model.partial_fit(X, INDEX, classes=[2, 1, 0]).classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"classes are \[0, 1\], but the training that goes on has \[0, 1, 2\]"):
        model.partial_fit(X, INDEX, classes=[0, 1])
