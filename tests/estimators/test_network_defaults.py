"""The trained network as it comes, on data that scikit-learn ships or makes: the table of docs/estimators.md."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from fastlazy.estimators import QuadraticNetworkRegressor

DOCS = Path(__file__).resolve().parents[2] / "docs" / "estimators.md"
DATA = {
    "diabetes": lambda: datasets.load_diabetes(return_X_y=True),
    "friedman1": lambda: datasets.make_friedman1(4000, noise=1.0, random_state=0),
    "friedman1, 90 columns of noise": lambda: datasets.make_friedman1(4000, 100, noise=1.0, random_state=0),
    "friedman2": lambda: datasets.make_friedman2(4000, noise=50.0, random_state=0),
    "friedman3": lambda: datasets.make_friedman3(4000, noise=0.1, random_state=0),
    "make_regression": lambda: datasets.make_regression(1000, 50, n_informative=10, noise=50.0, random_state=0),
}
MODELS = {
    "network": lambda: make_pipeline(
        StandardScaler(), PolynomialFeatures(1), QuadraticNetworkRegressor(random_state=0)
    ),
    "ridge": lambda: make_pipeline(StandardScaler(), PolynomialFeatures(2), RidgeCV(np.geomspace(0.1, 1e4, 6))),
    "perceptron": lambda: TransformedTargetRegressor(
        make_pipeline(StandardScaler(), MLPRegressor(early_stopping=True, random_state=0)), transformer=StandardScaler()
    ),
}


def score(model, name):
    """R^2 on a quarter of the data, held out."""
    X_train, X_test, y_train, y_test = train_test_split(*DATA[name](), random_state=0)
    return model.fit(X_train, y_train).score(X_test, y_test)


def table():
    """The rows of the table: name -> the scores of MODELS."""
    row = r"^\| ([a-z0-9_, ]+) \| \d+ \| \d+ \| ([.\d]+) \| ([.\d]+) \| ([.\d]+) \|$"
    rows = re.findall(row, DOCS.read_text(), re.MULTILINE)
    return {name: [float(value) for value in values] for name, *values in rows}


def test_the_table_is_complete():
    assert list(table()) == list(DATA)


# Thousands of features for ridge, and as many rows for the perceptron: a minute for what is not ours.
LONG = [
    ("friedman1, 90 columns of noise", "ridge"),
    ("friedman1, 90 columns of noise", "perceptron"),
    ("make_regression", "ridge"),
]


@pytest.mark.sampled(5)
@pytest.mark.parametrize(("name", "model"), [pair for pair in itertools.product(DATA, MODELS) if pair not in LONG])
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")
def test_defaults_are_as_the_table_says(name, model):
    assert score(MODELS[model](), name) == pytest.approx(table()[name][list(MODELS).index(model)], abs=0.011)


@pytest.mark.parametrize("name", DATA)
def test_defaults_are_as_good_as_ridge_on_quadratic_features(name):
    network, ridge, _ = table()[name]
    assert network >= ridge - 0.01


@pytest.mark.parametrize("name", DATA)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_without_a_linear_part_nothing_is_made_up(name):
    """An even function of columns that are centred sees little of these; the rest is not fitted to noise."""
    assert score(make_pipeline(StandardScaler(), QuadraticNetworkRegressor(random_state=0)), name) > -0.01


def test_the_mean_comes_back_where_no_epoch_is_better():
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((400, 40)), rng.standard_normal(400)  # pure noise
    model = QuadraticNetworkRegressor(batch_size=20, step_size=1e-3, max_epochs=40, random_state=0)
    with pytest.warns(ConvergenceWarning, match="no epoch did better than a constant"):
        model.fit(X, y)
    assert model.best_validation_score_ > max(model.validation_scores_)
    np.testing.assert_allclose(model.predict(X), y.mean(), rtol=0, atol=0.1)


def test_parts_held_back_are_for_many_samples():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 3))
    y = X[:, 0] ** 2
    assert QuadraticNetworkRegressor(4, max_epochs=2, random_state=0).fit(X, y).validation_scores_ is not None
    assert QuadraticNetworkRegressor(4, max_epochs=2, random_state=0).fit(X[:99], y[:99]).validation_scores_ is None
    assert hasattr(QuadraticNetworkRegressor(), "partial_fit")
