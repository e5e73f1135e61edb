"""Input that estimators take or refuse: masks, pandas, sizes of arrays and of numbers, parameters of another kind."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.feature_selection import RFE, SelectFromModel

import fastlazy
from fastlazy.estimators import NetworkRegressor, NTRegressor, QuadraticNetworkRegressor, RFRegressor, RFTransformer

MODELS = {
    "RF primal": RFRegressor(10, random_state=0),
    "RF dual": RFRegressor(200, random_state=0),
    "NT primal": NTRegressor(2, random_state=0),
    "NT dual": NTRegressor(60, random_state=0),
    "NT forms": NTRegressor(30, activation="square", random_state=0),
    "NT forms, several": NTRegressor(30, activation="square", alpha=[1.0, 2.0], random_state=0),
    "network": QuadraticNetworkRegressor(6, max_epochs=3, early_stopping=False, random_state=0),
    "ReLU network": NetworkRegressor(6, max_epochs=3, early_stopping=False, random_state=0),
}
ALL = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 4))
Y = X[:, 0] + X[:, 1] ** 2


@ALL
def test_masks_are_not_ignored(model):
    masked_X, masked_y = (np.ma.masked_array(part, np.zeros(part.shape, bool)) for part in (X, Y))
    np.testing.assert_array_equal(model.fit(masked_X, masked_y).predict(X), model.fit(X, Y).predict(X))
    masked_X[3, 1] = masked_y[2] = np.ma.masked
    with pytest.raises(ValueError, match="X is a masked array with masked entries"):
        model.fit(masked_X, Y)
    with pytest.raises(ValueError, match="y is a masked array with masked entries"):
        model.fit(X, masked_y)
    with pytest.raises(ValueError, match="X is a masked array with masked entries"):
        model.predict(masked_X)


@ALL
def test_nullable_columns_of_pandas(model):
    frame, series = pd.DataFrame(X, columns=list("abcd")), pd.Series(Y)
    wanted = model.fit(frame, series).predict(frame)
    found = model.fit(frame.astype("Float64"), series.astype("Float64")).predict(frame.astype("Float64"))
    np.testing.assert_array_equal(found, wanted)
    whole = frame.round().astype("Int64")
    np.testing.assert_array_equal(model.fit(whole, series).predict(whole), model.fit(frame.round(), Y).predict(whole))
    missing = frame.astype("Float64")
    missing.iloc[3, 1] = pd.NA
    with pytest.raises(ValueError, match="X contains NaN"):
        model.fit(missing, series)
    responses = series.astype("Float64")
    responses[3] = pd.NA
    with pytest.raises(ValueError, match="y contains NaN"):
        model.fit(frame, responses)


@ALL
def test_what_is_no_dense_array(model):
    with pytest.raises(TypeError, match=r"\.toarray\(\)"):
        model.fit(scipy.sparse.csr_matrix(X), Y)
    with pytest.raises(ValueError, match=r"y is no array .*pass numbers in rows of equal length"):
        model.fit(X, [[1.0], [1.0, 2.0]] * 45)
    with pytest.raises(ValueError, match=r"X is no array .*pass numbers in rows of equal length"):
        model.fit([[1.0], [1.0, 2.0]] * 45, Y)


@ALL
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("exponent", [15, 18, 30, 100, 154, 300])
def test_large_samples_are_fitted_or_refused(model, exponent, dtype):
    if dtype == np.float32 and exponent > 30:
        pytest.skip("beyond float32")
    rows = (X * 10.0**exponent).astype(dtype)
    refused = ""
    try:
        found = model.fit(rows, Y).predict(rows)
    except ValueError as error:
        refused = str(error)
    if refused:  # by an error that does not advise float64 where it is at hand
        assert "flow" in refused
        assert "pass float64" not in refused or dtype == np.float32
    else:
        assert np.mean((found - Y) ** 2) < 1.1 * Y.var()


@ALL
@pytest.mark.parametrize("factor", [1e300, 1e160, 1e-160, 1e-300])
def test_responses_beyond_squares_are_refused(model, factor):
    with pytest.raises(ValueError, match=r"y has entries of size .*over- or underflow float64; scale y to between"):
        model.fit(X, Y * factor)


@ALL
def test_constant_samples(model):
    for rows in (np.ones((90, 4)), np.zeros((90, 4))):
        np.testing.assert_allclose(model.fit(rows, Y).predict(rows), Y.mean(), rtol=0, atol=0.2)


@ALL
@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("n_neurons", True, "n_neurons must be an instance of int, got True"),
        ("parallel", np.array([True, False]), "parallel must be True or False, got array"),
        ("parallel", "no", "parallel must be True or False, got 'no'"),
    ],
)
def test_parameters_of_another_kind(model, name, value, match):
    kind = type(model)
    with pytest.raises(TypeError, match=match):
        kind(**{name: value}).fit(X, Y)
    with pytest.raises(TypeError, match=match):
        RFTransformer(**{name: value}).fit(X)


@pytest.mark.parametrize("kind", [RFRegressor, NTRegressor, NetworkRegressor, QuadraticNetworkRegressor, RFTransformer])
def test_parameters_that_given_weights_leave_unused_are_checked(kind):
    weights = np.eye(4)
    for bad in (iter([1, 2]), "a", -1, 1.5):
        with pytest.raises(ValueError, match=r"^random_state must be None, an int .* or a RandomState, got "):
            kind(weights=weights, random_state=bad).fit(X, Y)
    with pytest.raises((TypeError, ValueError), match=r"^n_neurons"):
        kind("many", weights=weights).fit(X, Y)


def test_given_weights_draw_nothing():
    source = np.random.RandomState(0)
    for kind in (RFRegressor, NTRegressor, RFTransformer):
        kind(weights=np.eye(4), random_state=source).fit(X, Y)
    assert source.randint(10**9) == np.random.RandomState(0).randint(10**9)


@ALL
@pytest.mark.parametrize(
    ("samples", "responses", "match"),
    [
        (slice(3), Y, r"X must hold real numbers \(float\(\) argument"),
        ([["a", "b"]] * 90, Y, r"X must hold real numbers \(could not convert"),
        (X, pd.NA, "y (must hold real numbers .boolean value of NA|should be a 1d array)"),
        (X, scipy.sparse.csr_matrix(Y[:, None]), r"y is a sparse array; pass y.toarray\(\)"),
        (X, np.array(["1.0"] * 90), "y must hold real numbers, got an array of dtype <U3"),
        (X, ["1.0"] * 90, "y must hold real numbers, got an array of dtype <U3"),
    ],
)
def test_data_without_numbers_is_named(model, samples, responses, match):
    with pytest.raises((TypeError, ValueError), match=f"^{match}"):
        model.fit(samples, responses)


def test_weights_of_zeros_learn_the_mean():
    model = QuadraticNetworkRegressor(6, weights=np.zeros((6, 4)), max_epochs=1, early_stopping=False)
    np.testing.assert_allclose(model.fit(X, Y).predict(X), Y.mean(), rtol=0, atol=0.2)


def test_more_parameters_of_another_kind():
    for name in ("batch_size", "max_epochs", "n_iter_no_change", "tol", "validation_fraction", "step_size"):
        for value in (True, None):
            with pytest.raises(TypeError, match=f"{name} must be an instance of .*, got {value}; pass a number"):
                QuadraticNetworkRegressor(**{name: value}).fit(X, Y)
    for name in ("shuffle", "warm_start", "early_stopping"):
        with pytest.raises(TypeError, match=f"{name} must be True or False"):
            QuadraticNetworkRegressor(**{name: 2}).fit(X, Y)
    with pytest.raises(ValueError, match="early_stopping = 'yes' is not known"):
        QuadraticNetworkRegressor(early_stopping="yes").fit(X, Y)
    for endless in (np.nan, 10**400):
        with pytest.raises(ValueError, match="tol must be finite"):
            QuadraticNetworkRegressor(tol=endless).fit(X, Y)
    for name in ("n_neurons", "max_epochs", "batch_size"):
        with pytest.raises(ValueError, match=rf"^{name} must be at most 1e\+15, got a number of 401 digits"):
            QuadraticNetworkRegressor(**{name: 10**400}).fit(X, Y)
    with pytest.raises(TypeError, match="alpha must be an instance of float, got True"):
        RFRegressor(alpha=True).fit(X, Y)
    for name in ("fit_intercept", "include_rf"):
        with pytest.raises(TypeError, match=f"{name} must be True or False"):
            NTRegressor(**{name: 1}).fit(X, Y)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 23, 24, 25, 63, 64, 65, 95, 96, 97, 100, 101])
def test_any_number_of_samples(n):
    """Samples are written to tiles of 8 rows and blocks of 96, whatever is left over."""
    rng = np.random.default_rng(n)
    rows, y = rng.standard_normal((n, 5)), rng.standard_normal(n)
    W = rng.standard_normal((50, 5))
    np.testing.assert_allclose(RFTransformer(weights=W).fit_transform(rows), np.maximum(rows @ W.T, 0), atol=1e-13)
    J = ((rows @ W.T > 0)[:, :, None] * rows[:, None, :]).reshape(n, -1)
    K = J @ J.T
    center = np.eye(n) - 1 / n
    u = center @ np.linalg.solve(center @ K @ center + np.eye(n), y - y.mean())
    found = NTRegressor(weights=W, activation="relu").fit(rows, y)
    np.testing.assert_allclose(found.predict(rows), center @ K @ u + y.mean(), rtol=0, atol=1e-9)


@ALL
def test_fitted_attributes_are_what_predicts(model):
    before = model.fit(X, Y).predict(X)
    model.intercept_ += 100
    np.testing.assert_allclose(model.predict(X), before + 100)
    model.intercept_ -= 100
    for name in ("rf_coef_", "nt_coef_", "second_layer_"):
        if hasattr(model, name):
            setattr(model, name, 2 * getattr(model, name))
    np.testing.assert_allclose(model.predict(X) - model.intercept_, 2 * (before - model.intercept_), atol=1e-9)
    model.weights_ = 0 * model.weights_
    assert np.ptp(model.predict(X)) == 0 or "NT" in type(model).__name__


@ALL
def test_parameters_set_later_wait_for_a_fit(model):
    if hasattr(model, "activation"):
        before, activation = model.fit(X, Y).predict(X), model.activation
        np.testing.assert_array_equal(model.set_params(activation="tanh").predict(X), before)
        model.set_params(activation=activation)


@ALL
def test_no_coefficients_of_another_meaning(model):
    """scikit-learn takes coef_ for one number for each column of X, and selects by it."""
    assert not hasattr(model.fit(X, Y), "coef_")
    for selector in (RFE(model, n_features_to_select=2), SelectFromModel(model)):
        with pytest.raises(ValueError, match="coef_"):
            selector.fit(X, Y).transform(X)


def test_empty_blocks_add_nothing():
    W = fastlazy.draw_weights(6, 4, rng=0)
    nothing = (np.zeros((0, 4)), np.zeros(0))
    wanted = fastlazy.rf_normal_equations(X, Y, W, "relu")
    found = fastlazy.rf_normal_equations(
        [nothing, (X[:40], Y[:40]), nothing, (X[40:], Y[40:]), ([], [])], None, W, "relu"
    )
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"X has no samples: .* pass at least one block with rows"):
        fastlazy.rf_normal_equations([nothing], None, W, "relu")
    with pytest.raises(ValueError, match="X is empty"):
        fastlazy.rf_normal_equations([(np.zeros((0, 4)), Y)], None, W, "relu")
