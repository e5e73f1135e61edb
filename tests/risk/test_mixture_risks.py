"""Risks of a mixture: the numbers of the theory, Monte Carlo, and what holds for every regime."""

import numpy as np
import pytest
from drawn_mixtures import SIGMAS, drawn_covariances, drawn_mixture

from fastlazy import (
    GaussianMixture,
    QuadraticTarget,
    draw_weights,
    network_risk,
    nn_risk,
    nn_risk_limit,
    nt_risk,
    nt_risk_limit,
    rf_risk,
    rf_risk_limit,
    tangent_risk,
)

LAZY = pytest.mark.parametrize("risk", [rf_risk, nt_risk], ids=["RF", "NT"])
SIGMA = pytest.mark.parametrize("sigma", SIGMAS)


def paper_mixture():
    """Sigma = I and Delta the spectrum of the headline figure over sqrt(d)."""
    spectrum = np.random.RandomState(100).exponential(1, 450)
    return GaussianMixture(np.ones(450), spectrum / np.sqrt(450))


@pytest.mark.parametrize(
    ("N", "rf", "nt", "nn"),
    [(30, 0.9688, 0.9075, 0.6639), (150, 0.8866, 0.6862, 0.5187), (450, 0.7945, 0.4940, 0.4940)],
)
def test_the_numbers_of_a_quadratic_sigma(N, rf, nt, nn):
    """Means of three draws at d = 450, checked elsewhere by an independent program."""
    mixture = paper_mixture()
    draws = [draw_weights(N, 450, rng=seed) for seed in range(3)]
    assert round(float(np.mean([rf_risk(mixture, W) for W in draws])), 4) == rf
    assert round(float(np.mean([nt_risk(mixture, W) for W in draws])), 4) == nt
    assert round(nn_risk(mixture, N), 4) == nn


@pytest.mark.parametrize(("N", "mean", "limit"), [(30, 0.9916, 0.9919), (150, 0.9565, 0.9580), (450, 0.8682, 0.8736)])
def test_the_numbers_of_relu(N, mean, limit):
    mixture = paper_mixture()
    found = np.mean([rf_risk(mixture, draw_weights(N, 450, rng=seed), "relu") for seed in range(3)])
    assert found == pytest.approx(mean, abs=6e-5)
    assert rf_risk_limit(mixture, N, "relu") == pytest.approx(limit, abs=6e-5)


@pytest.mark.parametrize(("N", "relu", "square"), [(8, 0.93518, 0.89686), (24, 0.86485, 0.81622)])
def test_the_numbers_of_the_tangent_model(N, relu, square):
    spectrum = np.random.RandomState(100).exponential(1, 24)
    mixture, W = GaussianMixture(np.ones(24), 0.5 * spectrum / np.sqrt(24)), draw_weights(N, 24, rng=0)
    assert round(nt_risk(mixture, W, "relu"), 5) == relu
    assert round(nt_risk(mixture, W), 5) == square


def features_of(risk, sigma, W, X):
    function, slope = SIGMAS[sigma]
    if risk in (rf_risk, network_risk):
        return function(X @ W.T)
    return (slope(X @ W.T)[:, :, None] * X[:, None, :]).reshape(len(X), -1)


@pytest.mark.slow
@LAZY
@SIGMA
@pytest.mark.parametrize(("N", "ridge"), [(3, 0.2), (6, 0.0)])
def test_a_million_samples(risk, sigma, ridge, N):
    """Least squares on them, in chunks; d = 4, so N is below and above d."""
    mixture, W = drawn_mixture(4), draw_weights(N, 4, rng=N)
    rng, n = np.random.default_rng(5), 10**6
    chunks = [mixture.sample(n // 10, rng=rng) for _ in range(10)]
    phi = [np.column_stack([features_of(risk, sigma, W, X), np.ones(len(X))]) for X, _ in chunks]
    gram = sum(part.T @ part for part in phi) / n
    right = sum(part.T @ y for part, (_, y) in zip(phi, chunks, strict=True)) / n
    penalty = np.diag([ridge] * (len(gram) - 1) + [0.0])
    theta = np.linalg.lstsq(gram + penalty, right, rcond=1e-10)[0]
    # The penalised risk does not change to first order with theta, but the risk does, by -2 ridge <theta, change>.
    direction = -2 * np.linalg.lstsq(gram + penalty, penalty @ theta, rcond=1e-10)[0]
    losses, influence = [], []
    for part, (_, y) in zip(phi, chunks, strict=True):
        residual = part @ theta - y
        losses.append(residual**2)
        influence.append(residual**2 - (part @ direction) * residual)
    error = 3 * np.concatenate(influence).std() / np.sqrt(n) + len(theta) / n
    assert risk(mixture, W, sigma, ridge=ridge) == pytest.approx(np.mean(losses), abs=error)


@pytest.mark.slow
@SIGMA
@pytest.mark.parametrize("N", [3, 6])
@pytest.mark.parametrize("risk", [network_risk, tangent_risk])
def test_a_million_losses_of_a_given_function(risk, sigma, N):
    mixture, W = drawn_mixture(4), draw_weights(N, 4, rng=N)
    b = np.random.default_rng(N).standard_normal((N, 4)) / 3
    theta = b[:, 0] if risk is network_risk else b
    X, y = mixture.sample(10**6, rng=6)
    losses = (features_of(risk, sigma, W, X) @ theta.ravel() - 0.3 - y) ** 2
    error = 3 * losses.std() / np.sqrt(len(X))
    assert risk(mixture, W, theta, -0.3, sigma) == pytest.approx(losses.mean(), abs=error)


@LAZY
@SIGMA
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_equal_classes_teach_nothing(risk, sigma, ridge):
    Sigma, _ = drawn_covariances(4)
    mixture = GaussianMixture(Sigma, np.zeros((4, 4)))
    for N in (3, 30):
        assert risk(mixture, draw_weights(N, 4, rng=0), sigma, ridge=ridge) == 1
    assert nn_risk(mixture, 3) == nn_risk_limit(mixture, 3) == 1
    assert rf_risk_limit(mixture, 5, sigma) == nt_risk_limit(mixture, 5) == 1


@LAZY
@SIGMA
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_turning_everything_changes_nothing(risk, sigma, ridge):
    Sigma, Delta = drawn_covariances(5)
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    W, turned = draw_weights(4, 5, rng=0), GaussianMixture(Q @ Sigma @ Q.T, Q @ Delta @ Q.T)
    wanted = risk(GaussianMixture(Sigma, Delta), W, sigma, ridge=ridge)
    assert risk(turned, W @ Q.T, sigma, ridge=ridge) == pytest.approx(wanted, rel=1e-10)
    assert wanted < 1


@LAZY
@SIGMA
@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("scale", [1e-3, 7.0, 1e40])
def test_the_unit_of_x_changes_nothing(risk, sigma, ridge, scale):
    """x in another unit, and W in its inverse; NT's features are x times slopes, so their penalty has a unit."""
    Sigma, Delta = drawn_covariances(4)
    W = draw_weights(6, 4, rng=0)
    wanted = risk(GaussianMixture(Sigma, Delta), W, sigma, ridge=ridge)
    other = ridge * scale**2 if risk is nt_risk else ridge
    found = risk(GaussianMixture(scale**2 * Sigma, scale**2 * Delta), W / scale, sigma, ridge=other)
    assert found == pytest.approx(wanted, rel=1e-9)


@LAZY
@SIGMA
def test_the_names_of_the_classes_do_not_matter(risk, sigma):
    Sigma, Delta = drawn_covariances(4)
    W, a = draw_weights(6, 4, rng=0), np.arange(-2.0, 4.0) / 9
    one, other = GaussianMixture(Sigma, Delta), GaussianMixture(Sigma, -Delta)
    assert risk(other, W, sigma) == pytest.approx(risk(one, W, sigma), rel=1e-10)
    assert network_risk(other, W, -a, -0.2, sigma) == pytest.approx(network_risk(one, W, a, 0.2, sigma), rel=1e-10)
    assert nn_risk(other, 2) == pytest.approx(nn_risk(one, 2), rel=1e-12)


@LAZY
@pytest.mark.parametrize("sigma", [*SIGMAS, "step", "gelu", "cos", "he2"])
def test_a_class_at_a_point(risk, sigma):
    """Delta = Sigma: x = 0 given y = 1. The risk is the limit of that of a class with less and less spread."""
    if risk is nt_risk and sigma == "step":
        pytest.skip("step has no tangent model")
    Sigma, _ = drawn_covariances(4)
    W = draw_weights(6, 4, rng=0)
    found = risk(GaussianMixture(Sigma, Sigma), W, sigma)
    if sigma == "step":  # without spread, x = 0 is told from all other x: sigma(w x) + sigma(-w x) is 0 there, else 1
        assert risk(GaussianMixture(Sigma, Sigma), np.vstack([W, -W]), sigma) == pytest.approx(0, abs=1e-12)
        return
    assert found == pytest.approx(risk(GaussianMixture(Sigma, (1 - 1e-5) * Sigma), W, sigma), abs=1e-2)
    assert 0 < found < 1
    flipped = risk(GaussianMixture(Sigma, -Sigma), W, sigma)
    assert found == pytest.approx(flipped, rel=1e-10)


@pytest.mark.parametrize("risk", [rf_risk, nt_risk, lambda m, W, *_: nn_risk(m, len(W))], ids=["RF", "NT", "NN"])
def test_all_quadratic_functions(risk):
    """With enough neurons every regime of x^2 reaches the best quadratic function."""
    mixture = drawn_mixture(5)
    delta = mixture.modes.delta
    wanted = 1 / (1 + np.sum(delta**2 / (1 + delta**2)) / 2)
    for N in (15, 40):
        assert risk(mixture, draw_weights(N, 5, rng=0)) == pytest.approx(wanted, rel=1e-9)


def test_regimes_are_in_their_order():
    mixture, W = drawn_mixture(8), draw_weights(5, 8, rng=0)
    assert nn_risk(mixture, 5) < nt_risk(mixture, W) < rf_risk(mixture, W) < 1


@LAZY
@pytest.mark.parametrize("sigma", ["linear", "tanh", "erf", "sin"])
def test_odd_functions_learn_nothing(risk, sigma):
    mixture = drawn_mixture(4)
    assert risk(mixture, draw_weights(6, 4, rng=0), sigma) == pytest.approx(1, abs=1e-12)


@LAZY
@SIGMA
def test_sigma_without_full_rank(risk, sigma):
    """Directions in which x is always zero do not matter."""
    Sigma, Delta = drawn_covariances(3)
    A = np.random.default_rng(2).standard_normal((5, 3))
    W = draw_weights(4, 5, rng=0)
    wide = GaussianMixture(A @ Sigma @ A.T, A @ Delta @ A.T)
    wanted = risk(GaussianMixture(Sigma, Delta), W @ A, sigma)
    assert risk(wide, W, sigma) == pytest.approx(wanted, rel=1e-9)
    if risk is nt_risk:  # the penalty is on coefficients of x itself
        Q, R = np.linalg.qr(A)
        inner = GaussianMixture(R @ Sigma @ R.T, R @ Delta @ R.T)
        assert risk(wide, W, sigma, ridge=0.1) == pytest.approx(risk(inner, W @ Q, sigma, ridge=0.1), rel=1e-9)
    else:
        assert risk(wide, W, sigma, ridge=0.1) == pytest.approx(
            risk(GaussianMixture(Sigma, Delta), W @ A, sigma, ridge=0.1), rel=1e-9
        )


@pytest.mark.parametrize(
    "call",
    [
        lambda target: rf_risk(target, [[1.0, 2.0]]),
        lambda target: nt_risk(target, [[1.0, 2.0]]),
        lambda target: network_risk(target, [[1.0, 2.0]]),
        lambda target: tangent_risk(target, [[1.0, 2.0]], [[1.0, 2.0]]),
        lambda target: nn_risk(target, 1),
        lambda target: nn_risk_limit(target, 1),
        lambda target: rf_risk_limit(target, 1),
        lambda target: nt_risk_limit(target, 1),
    ],
)
def test_targets_that_are_none(call):
    with pytest.raises(TypeError, match="target must be a QuadraticTarget or a GaussianMixture, got list; pass"):
        call([1.0])
    for target in (QuadraticTarget([1.0, 2.0]), GaussianMixture([1.0, 2.0], [0.5, 0.5])):
        assert 0 <= call(target) < np.inf


@LAZY
def test_weights_that_are_none(risk):
    mixture = drawn_mixture(3)
    with pytest.raises(ValueError, match="W has rows of length 2"):
        risk(mixture, [[1.0, 2.0]])
    with pytest.raises(ValueError, match="W must be finite"):
        risk(mixture, [[1.0, 2.0, np.nan]])
    with pytest.raises(ValueError, match="ridge must be a finite number"):
        risk(mixture, [[1.0, 2.0, 3.0]], ridge=-1)
    large = GaussianMixture(1e140 * mixture.Sigma, 1e140 * mixture.Delta)
    with pytest.raises(ValueError, match=r"W has entries of size 1e\+300, whose products .* overflow; divide W"):
        risk(large, [[1e300, 1e300, 1.0]])
