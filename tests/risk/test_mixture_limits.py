"""Predictions for a mixture: the theory's formulas, and means over drawn weights."""

import numpy as np
import pytest
from drawn_mixtures import drawn_covariances

from fastlazy import (
    GaussianMixture,
    draw_weights,
    exponential_mixture,
    nn_risk,
    nn_risk_limit,
    nt_risk,
    nt_risk_limit,
    rf_risk,
    rf_risk_limit,
)


def small_mixture(d, seed=0):
    """A dense pair whose modes are of the order of d^(-1/2)."""
    Sigma, Delta = drawn_covariances(d, seed)
    return GaussianMixture(Sigma, Delta / np.sqrt(d))


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("N", [1, 10, 200])
def test_rf_of_the_square_is_theorem_4(given, N):
    mixture = small_mixture(12)
    Sigma, Delta = mixture.Sigma, mixture.Delta
    cov = drawn_covariances(12, 5)[0] if given else None
    Gamma = np.eye(12) / 12 if cov is None else cov
    overlap, size = np.sum(Gamma * Delta), np.sum(Gamma * Sigma)
    spread = np.trace(Gamma @ Sigma @ Gamma @ Sigma)
    wanted = 1 / (1 + N * overlap**2 / (2 * (size**2 + N * spread)))
    assert rf_risk_limit(mixture, N, cov=cov) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("N", [3, 40])
def test_rf_of_relu_is_theorem_4(N):
    """The equation for psi, solved by halving; lam_1 = 1/2, lam_2 = 1 / sqrt(2 pi)."""
    d, mixture = 20, small_mixture(20)
    Gamma = drawn_covariances(d, 5)[0]
    Gamma /= np.sum(Gamma * mixture.Sigma)
    root = np.linalg.cholesky(mixture.Sigma)
    t = d * np.linalg.eigvalsh(root.T @ Gamma @ root)
    lam1, lam2 = 0.25, 1 / (2 * np.pi)  # squares
    rest = 0.5 - 1 / (2 * np.pi) - lam1
    low, high = 0.0, N / d / rest
    for _ in range(200):
        psi = (low + high) / 2
        excess = rest * psi + np.mean(lam1 * t * psi / (1 + lam1 * t * psi)) - N / d
        low, high = (psi, high) if excess < 0 else (low, psi)
    gain = lam2 * psi * d
    spread = np.trace(Gamma @ mixture.Sigma @ Gamma @ mixture.Sigma)
    wanted = 1 / (1 + gain * np.sum(Gamma * mixture.Delta) ** 2 / (4 + 2 * gain * spread))
    assert rf_risk_limit(mixture, N, "relu", cov=Gamma) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("N", [5, 15, 25, 40])
def test_nt_of_the_square_is_theorem_5(N):
    """Sigma = I: the mean of |P Delta P|^2 over the projectors P off isotropic rows."""
    d = 30
    mixture = exponential_mixture(d, rng=0)
    Delta, k = mixture.Delta, max(d - N, 0)
    norm, trace = np.sum(Delta**2), np.trace(Delta)
    left = (k * (k * d + d - 2) * norm + k * (d - k) * trace**2) / (d * (d - 1) * (d + 2))
    wanted = 1 / (1 + (norm - left) / 2)
    assert nt_risk_limit(mixture, N, refined=True) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("N", [1, 4, 40])
def test_nn_is_the_sum_over_modes(N):
    mixture = small_mixture(10)
    delta = np.linalg.eigvals(np.linalg.solve(mixture.Sigma, mixture.Delta)).real
    squares = np.sort(delta**2)[::-1][:N]
    assert nn_risk_limit(mixture, N) == pytest.approx(1 / (1 + squares.sum() / 2), rel=1e-10)
    assert nn_risk(mixture, N) == pytest.approx(1 / (1 + (squares / (1 + squares)).sum() / 2), rel=1e-10)
    assert nn_risk_limit(mixture, N) < nn_risk(mixture, N)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("sigma", "N"), [("square", 20), ("square", 60), ("relu", 20), ("relu", 60), ("softplus", 60)])
def test_means_over_draws(sigma, N):
    """d = 40: predictions lack terms of relative order delta^2, here 1 / d."""
    d = 40
    mixture = exponential_mixture(d, strength=0.5, rng=0)
    for risk, limit in ((rf_risk, rf_risk_limit), (nt_risk, nt_risk_limit)):
        found = [risk(mixture, draw_weights(N, d, rng=seed), sigma) for seed in range(6)]
        error = 3 * np.std(found) / np.sqrt(6) + (1 - np.mean(found)) / 10
        assert limit(mixture, N, sigma, refined=True) == pytest.approx(np.mean(found), abs=error)
        assert 1 - np.mean(found) > 0.01


def test_predictions_get_better_as_the_classes_come_together():
    d, N = 30, 20
    off = []
    for strength in (0.8, 0.4, 0.2):
        mixture = exponential_mixture(d, strength=strength, rng=0)
        found = np.mean([nt_risk(mixture, draw_weights(N, d, rng=seed)) for seed in range(40)])
        off.append(abs(nt_risk_limit(mixture, N, refined=True) - found) / (1 - found))
    assert off[0] > 0.03
    assert off[2] < off[0] / 4


def test_a_dense_mixture_with_its_own_weights():
    """Covariances of weights enter as A^T Gamma A."""
    d, N = 30, 25
    mixture = small_mixture(d)
    for Gamma in (None, np.linalg.inv(mixture.Sigma)):
        for risk, limit in ((rf_risk, rf_risk_limit), (nt_risk, nt_risk_limit)):
            found = [risk(mixture, draw_weights(N, d, cov=Gamma, rng=seed)) for seed in range(10)]
            error = 3 * np.std(found) / np.sqrt(10) + (1 - np.mean(found)) / 5
            assert limit(mixture, N, cov=Gamma, refined=True) == pytest.approx(np.mean(found), abs=error)


def test_weights_that_see_nothing():
    mixture = GaussianMixture([1.0, 0.0, 2.0], [0.5, 0.0, 0.5])
    for limit in (rf_risk_limit, nt_risk_limit):
        assert limit(mixture, 5, cov=[0.0, 1.0, 0.0]) == 1
        assert limit(mixture, 5, cov=[1.0, 7.0, 2.0]) == pytest.approx(limit(mixture, 5, cov=[1.0, 0.0, 2.0]))


def test_what_has_no_prediction():
    mixture = small_mixture(5)
    with pytest.raises(ValueError, match="no prediction is known with this cov"):
        nt_risk_limit(mixture, 3, "relu")
    inverse = np.linalg.inv(mixture.Sigma)
    assert 0 < nt_risk_limit(mixture, 3, "relu", cov=(inverse + inverse.T) / 2) < 1
    for limit in (rf_risk_limit, nt_risk_limit):
        for options in ({"n_samples": 50}, {"ridge": 0.1}, {"ridge": "best"}):
            with pytest.raises(
                ValueError, match="for a GaussianMixture no prediction is known with a finite n_samples"
            ):
                limit(mixture, 3, **options)
    with pytest.raises(ValueError, match="cov must be a covariance matrix"):
        rf_risk_limit(mixture, 3, cov=-np.eye(5))
