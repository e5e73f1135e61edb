"""Fits to data whose mean is large beside its spread: as good as scikit-learn's Ridge on the same features."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import fastlazy
from fastlazy.estimators import NTRegressor, RFRegressor
from fastlazy.kernels import centred
from tests import naive_fits as naive

USERS = fastlazy.Activation("cubic", lambda x: x * x * x / 3 + x, lambda x: x * x + 1)
ACTIVATIONS = pytest.mark.parametrize("activation", ["relu", "tanh", "square", "gelu", USERS], ids=str)
# (n, N) for RF primal and dual; NT primal and dual
SHAPES = {"RF": [(300, 30), (120, 200)], "NT": [(300, 3), (120, 40)], "NT and RF": [(300, 3), (120, 40)]}
CASES = pytest.mark.parametrize(("kind", "n", "N"), [(kind, *shape) for kind in SHAPES for shape in SHAPES[kind]])


def sigma_of(activation):
    return activation if isinstance(activation, fastlazy.Activation) else fastlazy.get_activation(activation)


def features(kind, activation, X, W):
    """All features, stored, of the dtype of X."""
    sigma = sigma_of(activation)
    F = sigma.values(X @ W.T)
    if kind == "RF":
        return F.astype(X.dtype)
    J = (sigma.values(X @ W.T, 1)[:, :, None] * X[:, None, :]).reshape(len(X), -1)
    return (J if kind == "NT" else np.hstack([J, F])).astype(X.dtype)


def problem(kind, activation, n, N, spread, dtype):
    """Samples, new ones, weights, responses and a penalty that lets a quadratic function be learned."""
    rng = np.random.default_rng([n, N])
    d, mean = 5, rng.standard_normal(5)
    Z = rng.standard_normal((n + 50, d))
    y = Z[:n, 0] + 0.3 * Z[:n, 1] ** 2 + 0.5 * Z[:n, 2] * Z[:n, 3] + 0.1 * rng.standard_normal(n)
    X = (mean + spread * Z).astype(dtype)
    W = (rng.standard_normal((N, d)) / np.sqrt(d)).astype(dtype)
    centred_features = features(kind, activation, X[:n].astype(float), W.astype(float))
    centred_features -= centred_features.mean(axis=0)
    alpha = 1e-3 * float(np.sum(centred_features**2)) / min(centred_features.shape)
    return X[:n], X[n:], W, y.astype(dtype), alpha


def ours(kind, activation, W, alpha):
    if kind == "RF":
        return RFRegressor(weights=W, activation=activation, alpha=alpha)
    return NTRegressor(weights=W, activation=activation, alpha=alpha, include_rf=kind == "NT and RF")


@pytest.mark.sampled(40)
@CASES
@ACTIVATIONS
@pytest.mark.parametrize("spread", [1e-2, 1e-3])
@pytest.mark.parametrize("several", [False, True])
def test_single_precision_is_as_good_as_ridge(kind, n, N, activation, spread, several):
    X, new, W, y, alpha = problem(kind, activation, n, N, spread, np.float32)
    F, F_new = features(kind, activation, X, W), features(kind, activation, new, W)
    exact = Ridge(alpha).fit(F.astype(float), y.astype(float)).predict(F_new.astype(float))
    theirs = np.abs(Ridge(alpha).fit(F, y).predict(F_new) - exact).max()
    model = ours(kind, activation, W, [alpha, alpha] if several else alpha).fit(X, y)
    error = np.abs(model.predict(new) - exact).max()
    # eigenvectors, which several penalties need, are less exact than a factor; RidgeCV computes in float64
    assert error < (10 * theirs + 1e-3 * y.std() if several else 2 * theirs + 2e-4 * y.std())
    assert model.jitter_ == 0


@CASES
@ACTIVATIONS
@pytest.mark.parametrize("spread", [1e-4, 1e-6])
def test_double_precision_loses_what_the_features_lose(kind, n, N, activation, spread):
    """The features themselves have a relative error of 2e-16 / spread, which is amplified by some 50."""
    X, new, W, y, alpha = problem(kind, activation, n, N, spread, np.float64)
    F, F_new = features(kind, activation, X, W), features(kind, activation, new, W)
    F -= F.mean(axis=0)
    wanted = Ridge(alpha).fit(F, y).predict(F_new - features(kind, activation, X, W).mean(axis=0))
    found = ours(kind, activation, W, alpha).fit(X, y).predict(new)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14 / spread)


@pytest.mark.sampled(6)
@ACTIVATIONS
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("N", [7, 2100])
def test_kernels_of_centred_features(activation, dtype, N):
    """Any origin gives the same kernel up to what centring takes out; N beyond what is made at a time, too."""
    rng = np.random.default_rng(N)
    X = (rng.standard_normal((37, 4)) + 2).astype(dtype)
    W = (rng.standard_normal((N, 4)) / 2).astype(dtype)
    sigma = sigma_of(activation)
    F = sigma.values(X.astype(float) @ W.T.astype(float))
    G = sigma.values(X.astype(float) @ W.T.astype(float), 1)
    J = naive.jacobian(lambda z: sigma.values(z, 1), W.astype(float), X.astype(float))
    o, m = F.mean(axis=0).astype(dtype), X[3]
    slopes = G.mean(axis=0).astype(dtype)
    H = np.eye(37) - 1 / 37
    for K, A in [
        (centred.centred_rf_kernel(X, W, sigma, o), F),
        (centred.centred_nt_kernel(X, W, sigma, slopes, m), J),
        (centred.centred_nt_kernel(X, W, sigma, slopes, m, parallel=False), J),
    ]:
        assert K.dtype == dtype
        np.testing.assert_array_equal(K, K.T)
        wanted = H @ A @ A.T @ H
        np.testing.assert_allclose(H @ K @ H, wanted, rtol=0, atol=(1e-13 if dtype == np.float64 else 1e-5) * N * 100)


def test_centred_kernels_overflow_with_an_error():
    X = np.full((3, 2), 1e3)
    W, exp = np.full((4, 2), 1e3), fastlazy.get_activation("exp")
    for kernel in (centred.centred_rf_kernel, lambda X, *a: centred.centred_nt_kernel(X, *a, X[0])):
        with pytest.raises(ValueError, match=r"overflows float64, .*divide X or W by a number$"):
            kernel(X, W, exp, np.zeros(4))
        with pytest.raises(ValueError, match=r"overflows float32, .*or pass float64$"):
            kernel(X.astype(np.float32), W.astype(np.float32), exp, np.zeros(4, np.float32))
