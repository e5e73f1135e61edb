"""Networks of ReLU and of x^2 as they come: the second table of defaults in docs/estimators.md."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from fastlazy.estimators import NetworkRegressor

DOCS = Path(__file__).resolve().parents[2] / "docs" / "estimators.md"
DATA = {
    "diabetes": lambda: datasets.load_diabetes(return_X_y=True),
    "friedman1": lambda: datasets.make_friedman1(4000, noise=1.0, random_state=0),
    "friedman1, 90 columns of noise": lambda: datasets.make_friedman1(4000, 100, noise=1.0, random_state=0),
    "friedman2": lambda: datasets.make_friedman2(4000, noise=50.0, random_state=0),
    "friedman3": lambda: datasets.make_friedman3(4000, noise=0.1, random_state=0),
    "make_regression": lambda: datasets.make_regression(1000, 50, n_informative=10, noise=50.0, random_state=0),
}
SIGMAS = ("relu", "square")


def score(name, **parameters):
    """R^2 on a quarter of the data, held out."""
    X_train, X_test, y_train, y_test = train_test_split(*DATA[name](), random_state=0)
    network = NetworkRegressor(**{"random_state": 0} | parameters)
    return make_pipeline(StandardScaler(), PolynomialFeatures(1), network).fit(X_train, y_train).score(X_test, y_test)


def table():
    """The rows of the table: name -> the scores of SIGMAS and of the perceptron."""
    row = r"^\| ([a-z0-9_, ]+) \| (\.\d+) \| (\.\d+) \| (\.\d+) \|$"
    rows = re.findall(row, DOCS.read_text(), re.MULTILINE)
    return {name: [float(value) for value in values] for name, *values in rows}


def test_the_table_is_complete():
    """The perceptron's numbers are those of the first table, which are tested there."""
    assert list(table()) == list(DATA)
    first = re.findall(
        r"^\| ([a-z0-9_, ]+) \| \d+ \| \d+ \| \S+ \| \S+ \| ([.\d]+) \|$", DOCS.read_text(), re.MULTILINE
    )
    assert {name: float(value) for name, value in first} == {name: row[2] for name, row in table().items()}


@pytest.mark.sampled(5)
@pytest.mark.parametrize(("name", "activation"), list(itertools.product(DATA, SIGMAS)))
def test_defaults_are_as_the_table_says(name, activation):
    found = score(name, activation=activation)
    assert found == pytest.approx(table()[name][SIGMAS.index(activation)], abs=0.011)


@pytest.mark.parametrize("name", DATA)
def test_relu_is_as_good_as_the_perceptron(name):
    relu, _, perceptron = table()[name]
    assert relu >= perceptron - 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize(("second_layer", "seed"), [("signs", 1)])
def test_other_seeds_and_fixed_signs_generalise(name, second_layer, seed):
    assert score(name, second_layer=second_layer, random_state=seed) > table()[name][2] - 0.05
