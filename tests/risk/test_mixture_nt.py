"""The tangent model on a mixture, against slow twins and a second solver."""

import warnings

import naive_mixture
import numpy as np
import pytest
from drawn_mixtures import SIGMAS, drawn_covariances, drawn_mixture, naive_moments_of

from fastlazy import Activation, GaussianMixture, draw_weights, exponential_mixture, nt_risk
from fastlazy.risk import nt_classes

ITERATE = pytest.mark.parametrize("iterate", [False, True], ids=["dense", "iteration"])


@pytest.fixture
def solver(monkeypatch, iterate):
    if iterate:
        monkeypatch.setattr(nt_classes, "SMALL", 0)


@pytest.mark.sampled(4)
@ITERATE
@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize(("N", "d"), [(3, 4), (4, 3), (1, 2)])
def test_nt_is_least_squares_on_moments(sigma, ridge, N, d, iterate):
    Sigma, Delta = drawn_covariances(d)
    W = np.random.default_rng(N).standard_normal((N, d))
    wanted = naive_mixture.best_risk(*naive_moments_of(sigma, Sigma, Delta, W, tangent=True), ridge)
    assert nt_risk(GaussianMixture(Sigma, Delta), W, sigma, ridge=ridge) == pytest.approx(wanted, rel=2e-8)


@ITERATE
@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_any_square_is_the_square(ridge, iterate):
    mixture = drawn_mixture(9)
    W = draw_weights(5, 9, rng=0) * np.linspace(0.5, 2, 5)[:, None]
    wanted = nt_risk(mixture, W, ridge=ridge)
    assert nt_risk(mixture, W, "he2", ridge=ridge) == wanted
    for function in (lambda x: x * x, lambda x: x * x + 1.0):
        assert nt_risk(mixture, W, Activation("other", function), ridge=ridge) == pytest.approx(wanted, rel=1e-7)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("sigma", ["relu", "softplus", "cos"])
@pytest.mark.parametrize("ridge", [0.0, 0.01])
def test_both_solvers_agree(monkeypatch, sigma, ridge):
    mixture, W = drawn_mixture(20), draw_weights(50, 20, rng=0)
    wanted = nt_risk(mixture, W, sigma, ridge=ridge)
    monkeypatch.setattr(nt_classes, "SMALL", 0)
    assert nt_risk(mixture, W, sigma, ridge=ridge) == pytest.approx(wanted, rel=3e-8)


def test_iteration_without_convergence_warns_and_is_an_upper_bound(monkeypatch):
    monkeypatch.setattr(nt_classes, "SMALL", 0)
    mixture, W = exponential_mixture(30, rng=0), draw_weights(60, 30, rng=0)
    exact = nt_risk(mixture, W, "relu")
    for sigma, least in (("relu", exact), ("square", nt_risk(mixture, W[:20]))):
        rows = W if sigma == "relu" else W[:20]
        for most in (1, 2):
            with pytest.warns(RuntimeWarning, match=f"did not converge in {most} iterations: .* may be off by"):
                assert nt_risk(mixture, rows, sigma, max_iterations=most) > least * (1 + 1e-8)
    loose = nt_risk(mixture, W, "relu", tolerance=1e-3)
    assert exact < loose < exact * (1 + 1e-3)


def test_preconditioning_spares_products(monkeypatch):
    mixture, W = exponential_mixture(40, rng=0), draw_weights(200, 40, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nt_risk(mixture, W, "relu", max_iterations=40)
    monkeypatch.setattr(nt_classes, "inverse", lambda *_: np.copy)
    with pytest.warns(RuntimeWarning, match="did not converge in 60 iterations"):
        nt_risk(mixture, W, "relu", max_iterations=60)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("ridge", [0.1, 1.0])
@pytest.mark.parametrize("sigma", ["square", "softplus"])
def test_preconditioning_knows_the_ridge(monkeypatch, sigma, ridge):
    """Variances of the inputs from 1e-6 to 1: their smallest are below the ridge, their largest above."""
    monkeypatch.setattr(nt_classes, "SMALL", 0)
    d = 20
    Q, R = np.linalg.qr(np.random.default_rng(0).standard_normal((2, d, d)))[0]
    root = Q * np.geomspace(1e-3, 1, d)
    Delta = (root @ R * np.linspace(0, 0.5, d)) @ (root @ R).T
    mixture = GaussianMixture(root @ root.T, Delta)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 0 < nt_risk(mixture, draw_weights(60, d, rng=0), sigma, ridge=ridge, max_iterations=120) < 1


@pytest.mark.parametrize("most", [25])
def test_the_square_takes_few_steps(most):
    mixture, W = exponential_mixture(60, rng=0), draw_weights(30, 60, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 0 < nt_risk(mixture, W, max_iterations=most) < 1


@ITERATE
@pytest.mark.usefixtures("solver")
def test_duplicates_zeros_and_lengths_of_rows_change_nothing(iterate):
    mixture, W = drawn_mixture(6), draw_weights(4, 6, rng=1)
    once = nt_risk(mixture, W, "relu")
    more = np.vstack([W, W[:2], np.zeros((2, 6))])
    for scale in (1.0, 1e-100, 1e100):
        assert nt_risk(mixture, scale * more, "relu") == pytest.approx(once, rel=1e-7)
    assert nt_risk(mixture, np.zeros((3, 6)), "relu") == 1


def test_rows_too_short_for_rounding_are_named():
    shifted = Activation("shifted", lambda x: np.tanh(x + 0.5))
    with pytest.warns(RuntimeWarning, match="rows of W are so short"):
        assert 0 <= nt_risk(drawn_mixture(3), 1e-7 * draw_weights(2, 3, rng=0), shifted) <= 1
