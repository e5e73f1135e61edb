"""Given networks and tangent models on a mixture, against slow twins."""

import naive
import naive_mixture
import numpy as np
import pytest
from drawn_mixtures import SIGMAS, drawn_covariances, drawn_mixture, naive_moments_of

from fastlazy import Activation, GaussianMixture, draw_weights, network_risk, nn_risk, rf_risk, tangent_risk
from fastlazy.activations.moments import unit_coefficients


@pytest.mark.sampled(2)
@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize(("N", "d"), [(3, 4), (4, 3), (1, 1)])
def test_given_functions_by_their_moments(sigma, N, d):
    Sigma, Delta = drawn_covariances(d)
    rng = np.random.default_rng(N)
    W, b = rng.standard_normal((2, N, d))
    mixture = GaussianMixture(Sigma, Delta)
    plus, minus = naive_moments_of(sigma, Sigma, Delta, W)
    wanted = naive_mixture.network_risk(plus, minus, b[:, 0], 0.4)
    assert network_risk(mixture, W, b[:, 0], 0.4, sigma) == pytest.approx(wanted, rel=1e-10)
    plus, minus = naive_moments_of(sigma, Sigma, Delta, W, tangent=True)
    wanted = naive_mixture.network_risk(plus, minus, b.ravel(), 0.4)
    assert tangent_risk(mixture, W, b, 0.4, sigma) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("function", [lambda x: x * x, lambda x: x * x + 1.0])
def test_one_formula_is_the_other(function):
    mixture, W = drawn_mixture(4), draw_weights(5, 4, rng=0)
    a, b = np.linspace(-1, 1, 5), np.random.default_rng(0).standard_normal((5, 4))
    other = Activation("other", function)
    shift = float(function(0.0)) * a.sum()
    assert network_risk(mixture, W, a, 0.3 - shift, other) == pytest.approx(network_risk(mixture, W, a, 0.3), rel=1e-10)
    assert tangent_risk(mixture, W, b, 0.3, other) == pytest.approx(tangent_risk(mixture, W, b, 0.3), rel=1e-10)


def test_networks_with_constants():
    """he2 is x^2 less one: its constant is in the network's mean."""
    mixture, W, a = drawn_mixture(3), draw_weights(2, 3, rng=0), np.array([0.5, -1.0])
    wanted = network_risk(mixture, W, a, 0.1 - a.sum())
    assert network_risk(mixture, W, a, 0.1, "he2") == pytest.approx(wanted, rel=1e-12)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("sigma", ["square", "relu", "softplus"])
def test_the_best_network_has_the_risk_of_random_features(sigma):
    Sigma, Delta = drawn_covariances(5)
    mixture, W = GaussianMixture(Sigma, Delta), draw_weights(4, 5, rng=0)

    def at(a):
        """The risk at the best offset, which is where it is stationary: a parabola in c."""
        low, middle, high = (network_risk(mixture, W, a, c, sigma) for c in (-1.0, 0.0, 1.0))
        c = (low - high) / (2 * (low + high - 2 * middle))
        return network_risk(mixture, W, a, c, sigma)

    eye = np.eye(4)
    value, ahead, behind = at(np.zeros(4)), [at(e) for e in eye], [at(-e) for e in eye]
    slope, curvature = np.subtract(ahead, behind) / 2, np.empty((4, 4))
    for i in range(4):
        for j in range(i + 1):
            curvature[i, j] = curvature[j, i] = at(eye[i] + eye[j]) - ahead[i] - ahead[j] + value
    best = np.linalg.solve(curvature, -slope)
    assert at(best) == pytest.approx(rf_risk(mixture, W, sigma), rel=1e-8)
    assert at(1.1 * best) > at(best)


@pytest.mark.parametrize("N", [1, 2, 3])
def test_no_quadratic_network_is_better_than_the_infimum(N):
    Sigma, Delta = drawn_covariances(3)
    mixture = GaussianMixture(Sigma, Delta)
    assert naive_mixture.quadratic_optimum(Sigma, Delta, N) == pytest.approx(nn_risk(mixture, N), abs=1e-8)


def test_a_network_of_the_modes_reaches_the_infimum():
    mixture = drawn_mixture(6)
    A, delta = mixture.modes
    for N in (1, 3, 6):
        chosen = np.argsort(-np.abs(delta))[:N]
        W = np.linalg.inv(A).T[:, chosen].T  # <w, x> is an entry of z
        t = -delta[chosen] / (2 * (1 + delta[chosen] ** 2))
        a = t / (1 - t @ delta[chosen])
        assert network_risk(mixture, W, a, -a.sum()) == pytest.approx(nn_risk(mixture, N), rel=1e-10)


def test_coefficients_that_drown_are_named():
    mixture, W = drawn_mixture(3), draw_weights(2, 3, rng=0)
    pair, a = np.vstack([W, W * (1 + 1e-13)]), np.array([1.0, 1.0, -1.0, -1.0])
    with pytest.warns(RuntimeWarning, match="network_risk may be off by"):
        network_risk(mixture, pair, 1e7 * a, 0.0, "softplus")
    with pytest.warns(RuntimeWarning, match="tangent_risk may be off by"):
        tangent_risk(mixture, pair, 1e7 * a[:, None] * np.ones((4, 3)), 0.0, "softplus")


def test_what_overflows_is_an_error():
    mixture, W = drawn_mixture(2), draw_weights(2, 2, rng=0)
    for sigma in ("square", "softplus"):
        with pytest.raises(ValueError, match="overflow"):
            network_risk(mixture, W, 1e200, 0.0, sigma)
        with pytest.raises(ValueError, match="overflow"):
            tangent_risk(mixture, W, 1e200 * np.ones((2, 2)), 0.0, sigma)


def test_means_and_forms_are_those_of_the_twins():
    """The twins themselves, against Hermite coefficients and sums over indices."""
    Sigma, Delta = drawn_covariances(3)
    W = draw_weights(2, 3, rng=0)
    (mean, _), _ = naive_moments_of("softplus", Sigma, Delta, W)
    r = np.sqrt(np.einsum("ij,jk,ik->i", W, Sigma - Delta, W))
    from fastlazy import get_activation

    np.testing.assert_allclose(mean, unit_coefficients(get_activation("softplus"), r, 0)[:, 0], rtol=1e-12)
    _, covariance = naive_mixture.form_moments(Sigma, naive.rf_forms(W))
    np.testing.assert_allclose(covariance, 2 * (W @ Sigma @ W.T) ** 2, rtol=1e-12)
