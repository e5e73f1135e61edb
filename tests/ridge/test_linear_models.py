"""Models fitted to data: values and coefficients against stored features, primal against dual, all activations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastlazy
from fastlazy.activations.builtin import BUILTIN_NAMES
from fastlazy.kernels import features as features_module
from fastlazy.ridge import linear_models
from tests import naive_fits as naive

TOLERANCE = {np.float64: 1e-11, np.float32: 2e-4}
ALPHA = np.array([0.3])
USERS = fastlazy.Activation("shifted tanh", lambda x: math.tanh(x + 0.5), lambda x: 1 - math.tanh(x + 0.5) ** 2)
DIFFERENTIABLE = [name for name in BUILTIN_NAMES if name != "step"]


def draw(n, N, d, t=2, dtype=np.float64, seed=0):
    rng = np.random.default_rng([n, N, d, t, seed])
    W = rng.standard_normal((N, d)) / np.sqrt(d)
    return rng.standard_normal((n, d)).astype(dtype), rng.standard_normal((n, t)), W.astype(dtype)


def sigma_of(activation):
    return activation if isinstance(activation, fastlazy.Activation) else fastlazy.get_activation(activation)


@settings(max_examples=40, deadline=None)
@given(
    n=st.sampled_from((1, 5, 70)), N=st.sampled_from((1, 3, 97, 201)), d=st.sampled_from((1, 4, 13)),
    t=st.sampled_from((1, 3)), dtype=st.sampled_from([np.float64, np.float32]),
    activation=st.sampled_from(["relu", "tanh", "square"]), parallel=st.booleans(),
)  # fmt: skip
def test_values_and_coefficients(n, N, d, t, dtype, activation, parallel):
    X, u, W = draw(n, N, d, t, dtype)
    sigma, options = sigma_of(activation), {"parallel": parallel}
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((t, N)), rng.standard_normal((t, N, d))
    Z = X.astype(float) @ W.T.astype(float)
    F, G = sigma.values(Z), sigma.values(Z, 1)
    pairs = [
        (features_module.features(X, W, sigma, **options), F),
        (features_module.features(X, W, sigma, derivative=1, **options), G),
        (features_module.rf_values(X, W, a, sigma, **options), F @ a.T),
        (features_module.nt_values(X, W, b, sigma, **options), np.einsum("ni,tid,nd->nt", G, b, X)),
        (features_module.rf_coefficients(X, u, W, sigma, **options), u.T @ F),
        (features_module.nt_coefficients(X, u, W, sigma, **options), np.einsum("st,si,sd->tid", u, G, X)),
    ]
    for fast, slow in pairs:
        assert fast.shape == slow.shape
        np.testing.assert_allclose(fast, slow, rtol=0, atol=TOLERANCE[dtype] * max(1, np.abs(slow).max()))


def test_more_samples_than_are_taken_at_a_time(monkeypatch):
    monkeypatch.setattr(features_module, "SAMPLES", 40)
    X, u, W = draw(103, 50, 7)
    sigma = sigma_of("relu")
    F, G = sigma.values(X @ W.T), sigma.values(X @ W.T, 1)
    np.testing.assert_allclose(features_module.features(X, W, sigma), F, atol=1e-12)
    np.testing.assert_allclose(
        features_module.rf_values(X, W, np.ones((1, 50)), sigma)[:, 0], F.sum(axis=1), atol=1e-11
    )
    np.testing.assert_allclose(
        features_module.nt_values(X, W, W[None], sigma)[:, 0], F.sum(axis=1), atol=1e-11
    )  # Euler
    np.testing.assert_allclose(features_module.rf_coefficients(X, u, W, sigma), u.T @ F, atol=1e-11)
    np.testing.assert_allclose(
        features_module.nt_coefficients(X, u, W, sigma), np.einsum("st,si,sd->tid", u, G, X), atol=1e-11
    )
    np.testing.assert_allclose(features_module.form_values(X, np.eye(7)[None])[:, 0], np.sum(X**2, axis=1))


def test_results_do_not_depend_on_threads():
    X, u, W = draw(300, 200, 20)
    sigma = sigma_of("tanh")
    for function in (features_module.rf_coefficients, features_module.nt_coefficients):
        assert np.array_equal(function(X, u, W, sigma), function(X, u, W, sigma, parallel=False))
    b = features_module.nt_coefficients(X, u, W, sigma)
    assert np.array_equal(
        features_module.nt_values(X, W, b, sigma), features_module.nt_values(X, W, b, sigma, parallel=False)
    )


# (n, N, d): RF primal and dual; NT primal, dual, and between; more neurons than dimensions and fewer
SHAPES = [(40, 15, 4), (15, 40, 4), (60, 2, 4), (60, 9, 4), (12, 3, 6)]


@pytest.mark.parametrize("activation", [*BUILTIN_NAMES, USERS], ids=str)
@pytest.mark.parametrize(("n", "N", "d"), SHAPES)
def test_random_features(activation, n, N, d):
    X, y, W = draw(n, N, d)
    sigma = sigma_of(activation)
    F, new = sigma.values(X @ W.T), draw(20, 1, d, seed=1)[0]
    for intercept in (True, False):
        theta, c = naive.ridge(F, y, ALPHA[0], intercept)
        fit = linear_models.fit_rf(X, y, W, sigma, ALPHA, intercept=intercept)
        np.testing.assert_allclose(fit.values(new), sigma.values(new @ W.T) @ theta + c, rtol=0, atol=1e-9)
        np.testing.assert_allclose(fit.a, theta.T, rtol=0, atol=1e-9)
        np.testing.assert_allclose(fit.offset, c, rtol=0, atol=1e-9)


@pytest.mark.sampled(50)
@pytest.mark.parametrize("include_rf", [False, True])
@pytest.mark.parametrize("activation", [*DIFFERENTIABLE, USERS], ids=str)
@pytest.mark.parametrize(("n", "N", "d"), SHAPES)
def test_the_tangent_model_is_that_of_the_jacobian(activation, n, N, d, include_rf):
    X, y, W = draw(n, N, d)
    sigma = sigma_of(activation)

    def F(rows):
        J = naive.jacobian(lambda z: sigma.values(z, 1), W, rows)
        return np.hstack([J, sigma.values(rows @ W.T)]) if include_rf else J

    new = draw(20, 1, d, seed=1)[0]
    for intercept in (True, False):
        theta, c = naive.ridge(F(X), y, ALPHA[0], intercept)
        fit = linear_models.fit_nt(X, y, W, sigma, ALPHA, include_rf=include_rf, intercept=intercept)
        np.testing.assert_allclose(fit.values(new), F(new) @ theta + c, rtol=0, atol=1e-8)
        np.testing.assert_allclose(fit.b.reshape(2, -1), theta[: N * d].T, rtol=0, atol=1e-8)
        if include_rf:
            np.testing.assert_allclose(fit.a, theta[N * d :].T, rtol=0, atol=1e-8)
        else:
            assert fit.a is None


@pytest.mark.parametrize(("n", "N", "d"), SHAPES)
@pytest.mark.parametrize("activation", ["square", "relu"])
def test_leave_one_out_picks_alpha(activation, n, N, d):
    X, y, W = draw(n, N, d)
    sigma, alphas = sigma_of(activation), np.array([0.01, 1.0, 100.0])
    J = naive.jacobian(lambda z: sigma.values(z, 1), W, X)
    F = sigma.values(X @ W.T)
    for features, fit in [
        (F, linear_models.fit_rf(X, y, W, sigma, alphas)),
        (J, linear_models.fit_nt(X, y, W, sigma, alphas)),
        (np.hstack([J, F]), linear_models.fit_nt(X, y, W, sigma, alphas, include_rf=True)),
    ]:
        losses = [np.mean(naive.leave_one_out(features, y, alpha, True) ** 2) for alpha in alphas]
        assert fit.ridge.alpha == alphas[np.argmin(losses)]
        assert fit.ridge.score == pytest.approx(-min(losses), rel=1e-8)


def test_forms_of_rows_that_do_not_span(monkeypatch):
    X, y, W = draw(60, 6, 4)
    W[3:] = W[:3] + W[[1, 2, 0]]
    W[:, 3] = 0
    J = naive.jacobian(lambda z: 2 * z, W, X)
    theta, c = naive.ridge(J, y, ALPHA[0], True)
    made = []
    inner = linear_models._Forms
    monkeypatch.setattr(linear_models, "_Forms", lambda *a: made.append(inner(*a)) or made[0])
    fit = linear_models.fit_nt(X, y, W, sigma_of("square"), ALPHA)
    assert made[0].size == 9  # ten forms, less the one of the direction that no row has
    np.testing.assert_allclose(fit.values(X), J @ theta + c, rtol=0, atol=1e-9)
    np.testing.assert_allclose(fit.b.reshape(2, -1), theta.T, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("n", "N", "d"), SHAPES)
def test_single_precision_stays(n, N, d):
    X, y, W = draw(n, N, d, dtype=np.float32)
    for activation in ("square", "tanh"):
        sigma = sigma_of(activation)
        for fit, wide in [
            (f(X, y, W, sigma, ALPHA), f(X.astype(float), y, W.astype(float), sigma, ALPHA))
            for f in (linear_models.fit_rf, linear_models.fit_nt)
        ]:
            assert fit.ridge.coefficients.dtype == np.float32
            np.testing.assert_allclose(fit.values(X), wide.values(X.astype(float)), rtol=0, atol=0.02)


def test_what_overflows_is_refused():
    X, y, W = draw(10, 4, 3)
    sigma = fastlazy.get_activation("exp")
    for function in (linear_models.fit_rf, linear_models.fit_nt):
        with pytest.raises(ValueError, match="overflow"):
            function(1e3 * X, y, 1e3 * W, sigma, ALPHA)
    with pytest.raises(ValueError, match="no tangent model"):
        linear_models.fit_nt(X, y, W, fastlazy.get_activation("step"), ALPHA)
    with pytest.raises(ValueError, match=r"features overflow|values overflow"):
        features_module.rf_values(1e3 * X, 1e3 * W, np.ones((1, 4)), sigma)
