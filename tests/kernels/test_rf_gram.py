"""Population Gram matrices of any non-linearity, and the risk of random features with it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from row_pairs import PAIRS

import fastlazy
from fastlazy._support import threads
from fastlazy.activations.builtin import _BUILTINS
from fastlazy.activations.rf_pairs import pair_moments
from tests import naive_gram as naive

OWN = fastlazy.Activation("shifted tanh", lambda x: math.tanh(x + 0.5))
EVERY = [*(pytest.param(activation, id=name) for name, activation in _BUILTINS.items()), pytest.param(OWN, id="own")]

PAIRS += [(0.7, 1e-6, 1.0), (2.0, 3.0, 10.0), (0.2, 10.0, 10.0), (1.0, 0.0, 1.0)]


def rows(theta, r, s):
    return np.array([[r, 0.0, 0.0], [s * math.cos(theta), 0.0, s * math.sin(theta)]])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("activation", EVERY)
def test_rf_gram_is_the_integral_over_the_plane(activation):
    for theta, r, s in PAIRS:
        if activation.name == "exp":
            r, s = min(r, 1.0), min(s, 1.0)
        U = fastlazy.rf_gram(rows(theta, r, s), activation)
        (expected,) = naive.plane_moment(activation.values, r, s, theta)
        size = math.sqrt(U[0, 0] * U[1, 1])
        assert U[0, 1] == pytest.approx(expected, rel=0, abs=1e-11 * size), theta
        assert U[0, 1] == U[1, 0]


@pytest.mark.parametrize("activation", EVERY)
def test_series_and_single_pairs_agree(activation):
    """The diagonal aside, entries come from the series or, nearly parallel, pair by pair: no step between the two."""
    theta = np.linspace(0.2, math.pi - 0.2, 60)
    W = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    i, j = np.tril_indices(len(W), -1)
    pairs = pair_moments(activation, np.ones(len(i)), np.ones(len(i)), theta[i] - theta[j])
    U = fastlazy.rf_gram(W, activation)
    np.testing.assert_allclose(U[i, j], pairs, rtol=0, atol=2e-13 * U[0, 0])
    spectrum = np.linalg.eigvalsh(U)
    assert spectrum[0] > -1e-13 * spectrum[-1]


def test_square_agrees_with_the_same_function_under_another_name():
    W = np.random.default_rng(0).standard_normal((40, 12))
    other = fastlazy.Activation("another square", lambda x: x * x)
    for center in (False, True):
        U = fastlazy.rf_gram(W, center=center)
        np.testing.assert_allclose(fastlazy.rf_gram(W, other, center=center), U, rtol=0, atol=1e-13 * U.max())


@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus"])
def test_centering_takes_the_means_out(activation):
    W = np.random.default_rng(0).standard_normal((30, 20))
    U, centred = fastlazy.rf_gram(W, activation), fastlazy.rf_gram(W, activation, center=True)
    x = np.random.default_rng(1).standard_normal((200_000, 20))
    features = fastlazy.get_activation(activation)(x @ W.T)
    means, errors = features.mean(axis=0), features.std(axis=0) / math.sqrt(len(x))
    bound = 5 * (np.abs(np.outer(means, errors)) + np.abs(np.outer(errors, means)) + 1e-4)
    assert np.all(np.abs(U - centred - np.outer(means, means)) < bound)


def test_single_precision():
    W = np.random.default_rng(0).standard_normal((50, 30)).astype(np.float32)
    for activation in ("relu", "tanh"):
        U = fastlazy.rf_gram(W, activation)
        assert U.dtype == np.float32
        np.testing.assert_allclose(U, fastlazy.rf_gram(W.astype(float), activation), rtol=0, atol=1e-5 * U.max())
        assert np.array_equal(U, U.T)


def test_same_bits_for_any_number_of_threads(monkeypatch):
    W = np.random.default_rng(0).standard_normal((300, 200))
    W[7] = 2 * W[3]
    one = fastlazy.rf_gram(W, "tanh", parallel=False)
    for cores in (2, 3):
        monkeypatch.setattr(threads, "thread_limit", lambda cores=cores: cores)
        assert fastlazy.rf_gram(W, "tanh").tobytes() == one.tobytes()


def test_function_without_gaussian_moments_is_refused():
    fast = fastlazy.Activation("fast", lambda x: math.exp(x * x / 3))
    with pytest.raises(ValueError, match="'fast' has no finite Gaussian moments for rows of length 3"):
        fastlazy.rf_gram(3 * np.eye(2), fast)


@pytest.mark.parametrize("activation", ["tanh", "erf", "sin", "linear", "he3"])
def test_odd_functions_learn_nothing_of_a_quadratic_target(activation):
    target = fastlazy.exponential_target(30, rng=0)
    W = fastlazy.draw_weights(50, 30, rng=1)
    assert fastlazy.rf_risk(target, W, activation) == pytest.approx(target.null_risk, rel=1e-12)


@pytest.mark.parametrize("activation", ["relu", "softplus", OWN])
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_rf_risk_is_that_of_a_regression_on_many_samples(activation, ridge):
    """Least squares on 400,000 samples: nearly optimal, and its risk is known to some permille."""
    d, N = 6, 9
    target, rng = fastlazy.exponential_target(d, rng=0), np.random.default_rng(1)
    W = fastlazy.draw_weights(N, d, rng=2)
    X, y = target.sample(400_000, rng=rng)
    features = (OWN if activation is OWN else fastlazy.get_activation(activation))(X @ W.T)
    features = features - features.mean(axis=0)
    a = np.linalg.solve(features.T @ features / len(X) + ridge * np.eye(N), features.T @ y / len(X))
    residual = y - y.mean() - features @ a
    error = 4 * np.std(residual**2) / math.sqrt(len(X))
    assert fastlazy.rf_risk(target, W, activation, ridge=ridge) == pytest.approx(np.mean(residual**2), abs=error)


def test_rf_risk_with_duplicates_zeros_and_opposite_rows():
    target = fastlazy.exponential_target(12, rng=0)
    W = fastlazy.draw_weights(10, 12, rng=1)
    once = fastlazy.rf_risk(target, W, "relu")
    assert fastlazy.rf_risk(target, np.vstack([W, W[:3], np.zeros((2, 12))]), "relu") == pytest.approx(once, rel=1e-6)
    assert fastlazy.rf_risk(target, np.vstack([W, -W]), "relu") <= once
    assert fastlazy.rf_risk(target, np.zeros((3, 12)), "softplus") == target.null_risk


@pytest.mark.parametrize("activation", ["relu", "softplus", OWN])
def test_mean_risk_is_near_its_refined_prediction(activation):
    d, draws = 150, 6
    target = fastlazy.exponential_target(d, rng=0)
    for N in (50, 150, 450):
        risks = [fastlazy.rf_risk(target, fastlazy.draw_weights(N, d, rng=k), activation) for k in range(draws)]
        predicted = fastlazy.rf_risk_limit(target, N, activation, refined=True)
        assert abs(np.mean(risks) - predicted) / target.null_risk < 0.03


def test_rows_that_see_a_constant_alone_give_its_square_without_a_warning(recwarn):
    """Higher degrees are so small that a quotient by them overflows."""
    heavy = fastlazy.Activation("heavy", lambda x: math.exp(x * x / 3))
    W = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32) * np.float32(5e-21)
    np.testing.assert_allclose(fastlazy.rf_gram(W, heavy), np.ones((4, 4)), rtol=1e-6)
    assert not recwarn.list


@pytest.mark.parametrize("center", [True, False])
def test_steep_pairs_of_a_function_that_ends(center):
    """Against sums over a grid: the mean does not end where exp(-x^2) does. Some rows are parallel, some opposite."""
    bump = fastlazy.Activation("bump", lambda x: math.exp(-x * x))
    W = np.array([[-4.0, 4.0], [-5.0, 4.0], [1.0, 1.0], [1.0, 2.0], [-8.0, 8.0], [3.0, -3.0], [-0.3, 0.3]])
    x = np.linspace(-9, 9, 2001)
    weight = np.exp(-x * x / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    features = np.exp(-((W[:, 0, None, None] * x[:, None] + W[:, 1, None, None] * x) ** 2)).reshape(len(W), -1)
    weights = np.outer(weight, weight).ravel()
    means = features @ weights
    want = (features * weights) @ features.T - center * np.outer(means, means)
    np.testing.assert_allclose(fastlazy.rf_gram(W, bump, center=center), want, rtol=0, atol=1e-12)
