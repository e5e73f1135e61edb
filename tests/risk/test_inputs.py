"""Risks for inputs with a covariance, against least squares on moments by slow twins, and samples."""

import naive
import naive_mixture
import naive_moments
import numpy as np
import pytest
from drawn_mixtures import SIGMAS, drawn_covariances

from fastlazy import (
    Activation,
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
from fastlazy.risk import nt_classes

LAZY = pytest.mark.parametrize("risk", [rf_risk, nt_risk], ids=["RF", "NT"])
SIGMA = pytest.mark.parametrize("sigma", SIGMAS)


def drawn_target(d, b0=0.0):
    B = np.random.default_rng(d).standard_normal((d, d))
    return QuadraticTarget(B + B.T, b0, input_cov=drawn_covariances(d)[0])


def moments_of(risk, sigma, target, W):
    """Means and covariances of the features, and their covariances with the target."""
    C, tangent = target.input_cov, risk in (nt_risk, tangent_risk)
    if sigma == "square":
        forms = naive.nt_forms(W) if tangent else naive.rf_forms(W)
        mean, U = naive_mixture.form_moments(C, [*forms, target.B])
        return mean[:-1], U[:-1, :-1], U[:-1, -1]
    function = SIGMAS[sigma][int(tangent)]

    def mean(r, p):
        return naive_moments.line(function, r, powers=(p,))[0]

    def pair(r, s, cosine, powers):
        return naive_moments.plane(function, r, s, cosine, powers=powers)

    L = np.linalg.cholesky(C)
    inner = L.T @ target.B @ L
    V = []
    for row in W @ L:
        r = np.linalg.norm(row)
        u = row / r
        q = u @ inner @ u
        if tangent:  # f* - E f* is q (G^2 - 1) + 2 G <across, g> + what is independent of G, across u
            V.append(L @ (2 * mean(r, 1) * (inner @ u - q * u) + q * (mean(r, 3) - mean(r, 1)) * u))
        else:
            V.append([q * (mean(r, 2) - mean(r, 0))])
    moments = naive_mixture.nt_moments if tangent else naive_mixture.rf_moments
    return *moments(C, W, mean, pair), np.concatenate(V)


@LAZY
@SIGMA
@pytest.mark.parametrize("ridge", [0.0, 0.1, 30.0])
@pytest.mark.parametrize(("N", "d"), [(3, 4), (4, 3), (1, 1)])
def test_risks_are_least_squares_on_moments(risk, sigma, ridge, N, d):
    target = drawn_target(d)
    W = np.random.default_rng(N).standard_normal((N, d))
    _, U, V = moments_of(risk, sigma, target, W)
    a = np.linalg.lstsq(U + ridge * np.eye(len(U)), V, rcond=1e-13)[0]
    wanted = target.null_risk - 2 * a @ V + a @ U @ a
    found = risk(target, W, sigma, ridge=ridge)
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-10 * target.null_risk)


@pytest.mark.parametrize("ridge", [0.1, 30.0])
@pytest.mark.parametrize("sigma", ["relu", "softplus"])
def test_a_ridge_by_iteration(monkeypatch, sigma, ridge):
    target, W = drawn_target(15), draw_weights(30, 15, rng=0)
    wanted = nt_risk(target, W, sigma, ridge=ridge)
    monkeypatch.setattr(nt_classes, "SMALL", 0)
    assert nt_risk(target, W, sigma, ridge=ridge) == pytest.approx(wanted, rel=3e-8)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_any_square_is_the_square(ridge):
    target, W = drawn_target(6), draw_weights(4, 6, rng=0)
    own = Activation("other", lambda x: x * x + 1.0)
    for risk in (rf_risk, nt_risk):
        wanted = risk(target, W, ridge=ridge)
        assert risk(target, W, "he2", ridge=ridge) == pytest.approx(wanted, rel=1e-12)
        assert risk(target, W, own, ridge=ridge) == pytest.approx(wanted, rel=1e-8)


@SIGMA
@pytest.mark.parametrize(("N", "d"), [(3, 4), (4, 3)])
@pytest.mark.parametrize("risk", [network_risk, tangent_risk])
def test_given_functions(risk, sigma, N, d):
    target = drawn_target(d, b0=0.7)
    W, b = np.random.default_rng(N).standard_normal((2, N, d))
    theta = b[:, 0] if risk is network_risk else b
    mean, U, V = moments_of(risk, sigma, target, W)
    flat = theta.ravel()
    wanted = target.null_risk - 2 * flat @ V + flat @ U @ flat + (mean @ flat + 0.4 - target.mean) ** 2
    assert risk(target, W, theta, 0.4, sigma) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.slow
@SIGMA
@pytest.mark.parametrize("N", [3, 6])
def test_a_million_losses(sigma, N):
    """A given network, a given tangent model, and the best tangent model with a penalty, d = 4."""
    target, W = drawn_target(4, b0=0.3), draw_weights(N, 4, rng=N)
    b = np.random.default_rng(N).standard_normal((N, 4)) / 3
    X, y = target.sample(10**6, rng=6)
    function, slope = SIGMAS[sigma]
    slopes = slope(X @ W.T)
    for risk, theta, values in (
        (network_risk, b[:, 0], function(X @ W.T) @ b[:, 0]),
        (tangent_risk, b, np.sum(slopes * (X @ b.T), axis=1)),
    ):
        losses = (values - 0.3 - y) ** 2
        error = 3 * losses.std() / 1e3
        assert risk(target, W, theta, -0.3, sigma) == pytest.approx(losses.mean(), abs=error)
    phi = (slopes[:, :, None] * X[:, None, :]).reshape(len(X), -1)
    phi -= phi.mean(axis=0)
    gram, ridge = phi.T @ phi / 1e6 + 0.5 * np.eye(4 * N), 0.5
    theta = np.linalg.solve(gram, phi.T @ y / 1e6)
    residual = phi @ theta - (y - y.mean())
    direction = np.linalg.solve(gram, -2 * ridge * theta)  # the risk moves with theta to first order
    influence = residual**2 - (phi @ direction) * residual
    error = 3 * influence.std() / 1e3 + 4 * N * target.null_risk / 1e6
    assert nt_risk(target, W, sigma, ridge=ridge) == pytest.approx(np.mean(residual**2), abs=error)


@SIGMA
@LAZY
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_the_identity_is_the_default(risk, sigma, ridge):
    B = np.random.default_rng(0).standard_normal((5, 5))
    W = draw_weights(4, 5, rng=0)
    wanted = risk(QuadraticTarget(B + B.T), W, sigma, ridge=ridge)
    assert risk(QuadraticTarget(B + B.T, input_cov=np.eye(5)), W, sigma, ridge=ridge) == pytest.approx(wanted, rel=1e-9)


@LAZY
@SIGMA
@pytest.mark.parametrize("scale", [1e-4, 30.0, 1e40])
def test_the_unit_of_x_changes_nothing(risk, sigma, scale):
    target, W = drawn_target(4), draw_weights(5, 4, rng=0)
    for ridge in (0.0, 0.1):
        wanted = risk(target, W, sigma, ridge=ridge)
        other = QuadraticTarget(target.B / scale**2, input_cov=scale**2 * target.input_cov)
        penalty = ridge * scale**2 if risk is nt_risk else ridge
        assert risk(other, W / scale, sigma, ridge=penalty) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("N", [1, 3, 9])
def test_nn_is_the_whitened_spectrum(N):
    target = drawn_target(6)
    L = np.linalg.cholesky(target.input_cov)
    squares = np.sort(np.linalg.eigvalsh(L.T @ target.B @ L) ** 2)
    wanted = 2 * squares[: max(6 - N, 0)].sum()
    assert nn_risk(target, N) == pytest.approx(wanted, rel=1e-10)
    assert nn_risk_limit(target, N) == nn_risk(target, N)


def test_predictions_are_those_of_the_whitened_problem():
    d, N = 30, 25
    target = drawn_target(d)
    for Gamma in (None, np.linalg.inv(target.input_cov) / d):
        for risk, limit in ((rf_risk, rf_risk_limit), (nt_risk, nt_risk_limit)):
            found = np.array([risk(target, draw_weights(N, d, cov=Gamma, rng=s)) for s in range(12)]) / target.null_risk
            error = 3 * found.std() / np.sqrt(12) + 0.02
            assert limit(target, N, cov=Gamma, refined=True) / target.null_risk == pytest.approx(
                found.mean(), abs=error
            )
    with pytest.raises(ValueError, match="no prediction is known with this cov"):
        nt_risk_limit(target, N, "relu")
    assert 0 < nt_risk_limit(target, N, "relu", cov=np.linalg.inv(target.input_cov)) < target.null_risk


def test_finite_samples_of_the_tangent_model_are_refused():
    target = drawn_target(4)
    for options in ({"n_samples": 50}, {"ridge": 0.1}):
        with pytest.raises(ValueError, match="for a target with an input_cov no prediction is known with a finite"):
            nt_risk_limit(target, 3, **options)
        assert 0 < rf_risk_limit(target, 3, **options) < np.inf  # features of x are those of z


def test_inputs_without_full_rank():
    C, _ = drawn_covariances(3)
    A = np.random.default_rng(2).standard_normal((5, 3))
    B = np.random.default_rng(3).standard_normal((5, 5))
    W, target = draw_weights(4, 5, rng=0), QuadraticTarget(B + B.T, input_cov=A @ C @ A.T)
    small = QuadraticTarget(A.T @ (B + B.T) @ A, input_cov=C)
    for sigma in SIGMAS:
        for risk in (rf_risk, nt_risk):
            assert risk(target, W, sigma) == pytest.approx(risk(small, W @ A, sigma), rel=1e-8, abs=1e-9)
    assert nn_risk(target, 2) == pytest.approx(nn_risk(small, 2), rel=1e-9)
    flat = QuadraticTarget([1.0, 2.0], input_cov=[1.0, 0.0])
    with pytest.raises(ValueError, match="cov has rows of W that see only directions in which x is zero"):
        rf_risk_limit(flat, 3, cov=[0.0, 1.0])
    assert nt_risk_limit(flat, 1, "relu") < flat.null_risk


def test_weights_that_overflow():
    target = QuadraticTarget([1e-140, 1e-140], input_cov=[1e140, 1e140])
    with pytest.raises(ValueError, match=r"W has entries of size 1e\+300, whose products .* overflow; divide W"):
        rf_risk(target, [[1e300, 1.0]])
