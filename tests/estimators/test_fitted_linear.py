"""Estimators with a user's non-linearity, saved and loaded: by joblib and pickle, in another process, as clones."""

from __future__ import annotations

import math
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.base import clone

import fastlazy
from fastlazy.estimators import (
    NetworkClassifier,
    NetworkRegressor,
    NTClassifier,
    NTRegressor,
    RFClassifier,
    RFRegressor,
    RFTransformer,
)

SLOPE = 0.5
X = np.random.default_rng(0).standard_normal((40, 3))
Y = X[:, 0] + np.abs(X[:, 1])
LABELS = np.where(Y > 0.5, "high", "low")

LOAD = """
import sys
import joblib
import numpy as np
X, found = joblib.load(sys.argv[1])
assert "test_fitted_linear" not in str(list(sys.modules))
for unfitted, model, values in found:
    np.testing.assert_array_equal((model.predict if hasattr(model, "predict") else model.transform)(X), values)
    assert unfitted.activation == model.activation_ and not hasattr(unfitted, "weights_")
print(len(found))
"""


def bent(x):
    return math.sin(x) if x > 0 else SLOPE * x


def bent_slope(x):
    return math.cos(x) if x > 0 else SLOPE


@pytest.fixture(scope="module")
def sigmas():
    """One of functions of this module, and one of lambdas that refer to a local variable."""
    power = 0.25
    lambdas = fastlazy.Activation("lambda", lambda x: power * x * x + x, lambda x: 2 * power * x + 1)
    return [fastlazy.Activation("module", bent, bent_slope), lambdas]


@pytest.fixture(scope="module")
def fitted(sigmas):
    options, trained = {"random_state": 0, "parallel": False}, {"max_epochs": 2}
    module, lambdas = sigmas
    return [
        kind(4, activation=sigma, **options, **(trained if "Network" in kind.__name__ else {})).fit(X, y)
        for kind, sigma, y in [
            (RFRegressor, module, Y),
            (RFTransformer, lambdas, None),
            (RFClassifier, lambdas, LABELS),
            (NTRegressor, module, Y),
            (NTClassifier, module, LABELS),
            (NetworkRegressor, lambdas, np.c_[Y, -Y]),
            (NetworkClassifier, lambdas, LABELS),
        ]
    ]


def values(model):
    return model.predict(X) if hasattr(model, "predict") else model.transform(X)


def test_another_process_loads_what_joblib_wrote(fitted, tmp_path):
    """It need not have the module that the functions are from."""
    path = tmp_path / "models.joblib"
    joblib.dump((X, [(clone(model), model, values(model)) for model in fitted]), path)
    child = subprocess.run([sys.executable, "-c", LOAD, path], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert child.stdout == "7\n"


def test_a_clone_has_the_same_function(fitted, sigmas):
    for model in fitted:
        assert clone(model).activation is model.activation
    assert joblib.hash(fitted[0]) == joblib.hash(clone(fitted[0]).fit(X, Y))
    assert joblib.hash(clone(fitted[0])) != joblib.hash(clone(fitted[0]).set_params(activation=sigmas[1]))
