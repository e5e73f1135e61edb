"""The Bayes risk of a mixture: integrals in one dimension, limits, and what no function goes below."""

import math

import numpy as np
import pytest

import fastlazy
from fastlazy import GaussianMixture, bayes_risk


@pytest.mark.parametrize(("Sigma", "Delta"), [(1.0, 0.5), (4.0, -3.0), (0.1, 0.09)])
def test_one_dimension_is_an_integral(Sigma, Delta):
    x = np.linspace(-12, 12, 200_001) * math.sqrt(2 * Sigma)
    densities = [np.exp(-(x**2) / (2 * v)) / math.sqrt(2 * math.pi * v) for v in (Sigma - Delta, Sigma + Delta)]
    both = np.maximum(sum(densities), 1e-300)
    exact = np.sum(both / 2 * (1 - ((densities[0] - densities[1]) / both) ** 2)) * (x[1] - x[0])
    risk, error = bayes_risk(GaussianMixture([Sigma], [Delta]), n_samples=200_000, rng=0)
    assert risk == pytest.approx(exact, abs=4 * error)
    assert 0 < error < 0.001


def test_it_is_that_of_the_densities():
    """A dense pair: E[y|x] by the two densities, written out."""
    A = np.random.default_rng(0).standard_normal((4, 4))
    Sigma = A @ A.T
    Delta = 0.4 * A @ np.diag([1.0, -0.5, 0.3, 2.0]) @ A.T
    mixture = GaussianMixture(Sigma, Delta)
    X, _ = mixture.sample(100_000, rng=1)
    logs = []
    for covariance in (Sigma - Delta, Sigma + Delta):
        logs.append(
            -np.einsum("ni,ij,nj->n", X, np.linalg.inv(covariance), X) / 2 - np.linalg.slogdet(covariance)[1] / 2
        )
    losses = 1 - np.tanh((logs[0] - logs[1]) / 2) ** 2
    risk, error = bayes_risk(mixture, rng=2)
    assert risk == pytest.approx(losses.mean(), abs=5 * error)


def test_ends():
    assert bayes_risk(GaussianMixture(np.ones(3), np.zeros(3)), n_samples=100, rng=0) == (1.0, 0.0)
    assert bayes_risk(GaussianMixture([1.0, 1.0], [1.0, 0.1]), n_samples=100, rng=0).risk == 0  # one class has x_1 = 0
    assert bayes_risk(GaussianMixture([1.0], [-1 + 1e-12]), n_samples=1000, rng=0).risk < 1e-3


def test_it_is_below_every_network_of_squares():
    for seed in range(3):
        mixture = fastlazy.exponential_mixture(100, rng=seed)
        risk, error = bayes_risk(mixture, n_samples=20_000, rng=seed)
        assert risk + 4 * error < fastlazy.nn_risk(mixture, 100)


def test_the_same_seed_gives_the_same_estimate(monkeypatch):
    mixture = fastlazy.exponential_mixture(50, strength=0.5, rng=0)
    whole = bayes_risk(mixture, n_samples=1000, rng=3)
    assert whole == bayes_risk(mixture, n_samples=1000, rng=3)
    monkeypatch.setattr("fastlazy.risk.bayes._BLOCK", 50 * 300)  # in blocks, which draw other samples
    parts = bayes_risk(mixture, n_samples=1000, rng=3)
    assert parts.risk == pytest.approx(whole.risk, abs=5 * whole.error)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"target": fastlazy.exponential_target(3, rng=0)},
            TypeError,
            "target must be a GaussianMixture, got Quadratic",
        ),
        ({"n_samples": 1}, ValueError, "n_samples must be at least 2"),
        ({"rng": "seed"}, TypeError, "rng must be None"),
    ],
)
def test_bad_arguments_are_named(given, error, message):
    with pytest.raises(error, match=message):
        bayes_risk(**{"target": GaussianMixture([1.0], [0.5]), **given})
