"""Labels of any kind, weights of classes, and what is refused, in all classifiers."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastlazy.estimators import NetworkClassifier, NTClassifier, RFClassifier

MODELS = {
    "RF": RFClassifier(20, random_state=0),
    "NT": NTClassifier(8, random_state=0),
    "network": NetworkClassifier(6, max_epochs=5, batch_size=1000, early_stopping=False, random_state=0),
}
ALL = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3))
INDEX = np.digitize(X[:, 0] + X[:, 1] ** 2, [0.0, 1.0])
DAYS = np.array(["2019-06-20", "2019-12-08", "2020-01-01"], "datetime64[D]")
KINDS = {
    "strings": ["a", "bb", "c"],
    "strings as objects": np.array(["a", "bb", "c"], object),
    "whole floats": [-1.0, 0.0, 7.0],
    "bytes of numbers": np.array([3, 100, 255], np.uint8),
    "days": DAYS,
}


@pytest.fixture(autouse=True)
def unweighted():
    yield
    for model in MODELS.values():
        model.set_params(class_weight=None)


@pytest.mark.sampled(6)
@ALL
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_labels_of_any_kind(model, kind):
    names = np.asarray(kind)
    wanted = model.fit(X, INDEX).predict(X)
    values = model.decision_function(X)
    assert model.fit(X, names[INDEX]).classes_.tolist() == names.tolist()
    assert model.classes_.dtype == names.dtype
    np.testing.assert_array_equal(model.predict(X), names[wanted])
    np.testing.assert_array_equal(model.decision_function(X), values)
    np.testing.assert_array_equal(values.argmax(axis=1), wanted)


@ALL
@pytest.mark.parametrize("names", [[False, True], [3, 7], [0.5, 1.0]])
def test_numbers_in_objects_are_numbers(model, names):
    y = np.array(names)[1 * (INDEX > 0)]
    if names == [0.5, 1.0]:
        with pytest.raises(ValueError, match="Unknown label type: continuous"):
            model.fit(X, y.astype(object))
        return
    wanted = model.fit(X, y).predict(X)
    found = model.fit(X, y.astype(object)).predict(X)
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == wanted.dtype


@ALL
def test_labels_of_several_kinds_are_refused(model):
    with pytest.raises(TypeError, match=r"y has labels that cannot be sorted .*; pass labels of one kind"):
        model.fit(X, np.array(["a", 1, 2], object)[INDEX[np.argsort(INDEX)]])


@ALL
def test_two_classes_have_one_output(model):
    y = np.where(INDEX > 0, "yes", "no")
    model.fit(pd.DataFrame(X), pd.Series(y, dtype="category"))
    values = model.decision_function(pd.DataFrame(X))
    assert values.shape == (60,)
    assert model.weights_.ndim == 2
    assert isinstance(model.intercept_, float)
    np.testing.assert_array_equal(model.predict(pd.DataFrame(X)), np.where(values > 0, "yes", "no"))


@ALL
def test_weights_of_classes_are_weights_of_samples(model):
    y = np.array(["a", "bb", "c"])[INDEX]
    of_class, weight = {"a": 3.0, "c": 0.5}, np.random.default_rng(1).exponential(size=60)
    by_sample = weight * np.array([of_class.get(label, 1.0) for label in y])
    wanted = model.fit(X, y, sample_weight=by_sample).decision_function(X)
    model.set_params(class_weight=of_class).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(model.decision_function(X), wanted, rtol=0, atol=1e-12)
    sums = {label: weight[y == label].sum() for label in of_class | {"bb": 0}}
    even = {label: weight.sum() / (3 * total) for label, total in sums.items()}
    wanted = model.set_params(class_weight=even).fit(X, y, sample_weight=weight).decision_function(X)
    model.set_params(class_weight="balanced").fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(model.decision_function(X), wanted, rtol=0, atol=1e-11)
    model.set_params(class_weight={"a": 0.0}).fit(X, y)
    assert model.classes_.tolist() == ["a", "bb", "c"]
    assert "a" not in model.predict(X)


@ALL
def test_a_class_without_weight_is_none(model):
    y = np.array(["a", "bb", "c"])[INDEX]
    model.fit(X, y, sample_weight=1.0 * (INDEX > 0))
    assert model.classes_.tolist() == ["bb", "c"]
    with pytest.raises(ValueError, match=r"y has samples of one class alone, \['c'\], of weight above zero; pass"):
        model.fit(X, y, sample_weight=1.0 * (INDEX > 1))


@ALL
@pytest.mark.parametrize(
    ("y", "error", "match"),
    [
        (X[:, 0], ValueError, "Unknown label type: continuous"),
        (np.zeros(60), ValueError, r"y has samples of one class alone, \[0.0\]"),
        (np.full(60, np.nan), ValueError, "y contains NaN"),
        (INDEX[:-1], ValueError, "inconsistent numbers of samples"),
        (np.eye(3)[INDEX], ValueError, "y should be a 1d array"),
        ([["a"], ["b", "c"]] * 30, ValueError, "y is no array"),
    ],
)
def test_bad_labels(model, y, error, match):
    with pytest.raises(error, match=match):
        model.fit(X, y)


@ALL
@pytest.mark.parametrize(
    ("class_weight", "error", "match"),
    [
        ("even", ValueError, "class_weight must be None, 'balanced' or a dict from labels to numbers, got 'even'"),
        ([1, 2, 3], ValueError, r"class_weight must be None, 'balanced' or a dict .*, got \[1, 2, 3\]"),
        ({3: 1.0}, ValueError, r"class_weight has a weight for 3, which is none of the classes \[0, 1, 2\]"),
        ({1: -1.0}, ValueError, "class_weight.* == -1.0, must be >= 0"),
        ({1: "a"}, TypeError, "class_weight.* must be an instance of"),
    ],
)
def test_bad_weights_of_classes(model, class_weight, error, match):
    with pytest.raises(error, match=match):
        model.set_params(class_weight=class_weight).fit(X, INDEX)


@pytest.mark.sampled(1)
@ALL
def test_searches_calibrations_and_copies(model):
    y = np.where(INDEX > 0, "yes", "no")
    pipeline = make_pipeline(StandardScaler(), clone(model))
    search = GridSearchCV(pipeline, {f"{pipeline.steps[-1][0]}__class_weight": [None, "balanced"]}, cv=2)
    assert search.fit(X, y).best_score_ > 0.5
    assert CalibratedClassifierCV(clone(model), cv=2).fit(X, y).predict_proba(X).shape == (60, 2)
    copied = pickle.loads(pickle.dumps(model.fit(X, y)))
    np.testing.assert_array_equal(copied.predict(X), model.predict(X))
