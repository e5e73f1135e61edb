"""Random features on a mixture, against slow twins, and where features nearly depend on each other."""

import naive_mixture
import numpy as np
import pytest
from drawn_mixtures import SIGMAS, drawn_covariances, drawn_mixture, naive_moments_of

from fastlazy import Activation, GaussianMixture, draw_weights, rf_risk
from fastlazy.risk import mixture_rf


@pytest.mark.sampled(3)
@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize(("N", "d"), [(3, 4), (5, 3), (1, 1), (2, 6)])
def test_rf_is_least_squares_on_moments(sigma, ridge, N, d):
    Sigma, Delta = drawn_covariances(d)
    W = np.random.default_rng(N).standard_normal((N, d))
    wanted = naive_mixture.best_risk(*naive_moments_of(sigma, Sigma, Delta, W), ridge)
    assert rf_risk(GaussianMixture(Sigma, Delta), W, sigma, ridge=ridge) == pytest.approx(wanted, rel=1e-11)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_any_square_is_the_square(ridge):
    """x^2 and x^2 + 1 under other names go by the general way."""
    mixture, W = drawn_mixture(6), draw_weights(5, 6, rng=0)
    wanted = rf_risk(mixture, W, ridge=ridge)
    assert rf_risk(mixture, W, "he2", ridge=ridge) == pytest.approx(wanted, rel=1e-14)
    for function in (lambda x: x * x, lambda x: x * x + 1.0):
        assert rf_risk(mixture, W, Activation("other", function), ridge=ridge) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("factor", [1e-250, 1e250])
def test_a_sigma_of_extreme_size(factor):
    mixture, W = drawn_mixture(4), draw_weights(5, 4, rng=0)
    own = Activation("extreme", lambda x: factor * np.exp(-x * x))
    plain = Activation("plain", lambda x: np.exp(-x * x))
    assert rf_risk(mixture, W, own) == pytest.approx(rf_risk(mixture, W, plain), rel=1e-9)


def test_a_constant_is_no_feature():
    mixture, W = drawn_mixture(4), draw_weights(5, 4, rng=0)
    assert rf_risk(mixture, W, Activation("seven", lambda x: 7.0 + 0 * x)) == 1
    assert rf_risk(mixture, np.zeros((3, 4)), "softplus") == 1
    more = np.vstack([W, np.zeros((2, 4)), W[:2]])
    for sigma in SIGMAS:
        assert rf_risk(mixture, more, sigma) == pytest.approx(rf_risk(mixture, W, sigma), rel=1e-10)


@pytest.mark.parametrize("sigma", ["square", "relu"])
@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e5, 1e150])
def test_the_length_of_rows_does_not_matter_to_powers(sigma, scale):
    mixture, W = drawn_mixture(4), draw_weights(6, 4, rng=0)
    lengths = scale * np.array([[1.0], [3.0], [0.1], [1e-3], [20.0], [1.0]])
    assert rf_risk(mixture, lengths * W, sigma) == pytest.approx(rf_risk(mixture, W, sigma), rel=1e-10)


def test_a_singular_problem_is_solved_in_the_features(monkeypatch):
    """Rows that nearly agree: the Gram matrix is singular to rounding, its features are not."""
    mixture, W = drawn_mixture(6), draw_weights(3, 6, rng=0)
    step = np.random.default_rng(1).standard_normal((3, 6))
    pairs = {h: rf_risk(mixture, np.vstack([W, W + h * step])) for h in (1e-2, 1e-5)}
    assert pairs[1e-5] == pytest.approx(pairs[1e-2], abs=1e-2)
    monkeypatch.setattr(mixture_rf, "_FEATURE_ENTRIES", 0)
    with pytest.warns(RuntimeWarning, match="random features may be off by .* Leave out rows"):
        assert rf_risk(mixture, np.vstack([W, W + 1e-7 * step])) < 1


@pytest.mark.parametrize("name", ["shifted", "softplus"])
def test_short_rows_see_a_quadratic_function(name):
    """As they get shorter, what a smooth sigma has left beside constants and lines is x^2.

    Of four rows in two dimensions two combinations are free of lines: the third and the fourth less what the first two
    make of them.
    """
    mixture, W = drawn_mixture(2), draw_weights(4, 2, rng=0)
    sigma = Activation("shifted", lambda x: np.tanh(x + 0.5)) if name == "shifted" else name
    forms = np.array([np.outer(w, w) for w in W])
    shares = np.linalg.solve(W[:2].T, W[2:].T)
    free = forms[2:] - np.einsum("ij,ikl->jkl", shares, forms[:2])
    classes = [naive_mixture.form_moments(mixture.Sigma - y * mixture.Delta, free) for y in (1, -1)]
    wanted = naive_mixture.best_risk(*classes)
    found = {scale: rf_risk(mixture, scale * W, sigma) for scale in (1e-1, 1e-2, 1e-5, 1e-9, 1e-30, 1e-70)}
    assert abs(found[1e-2] - wanted) < abs(found[1e-1] - wanted) / 3
    for scale in (1e-9, 1e-30, 1e-70):
        assert found[scale] == pytest.approx(wanted, rel=1e-9)


def test_short_rows_with_a_ridge():
    """Coefficients of x^2 are larger by 1 / r^2, so a ridge of r^4 is that of rows of length one."""
    mixture, W = drawn_mixture(2), draw_weights(4, 2, rng=0)
    found = [rf_risk(mixture, r * W, "softplus", ridge=1e-3 * r**4) for r in (1e-5, 1e-30)]
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[1] > rf_risk(mixture, 1e-30 * W, "softplus") + 1e-3


@pytest.mark.sampled(1)
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_short_rows_and_long_ones(monkeypatch, ridge):
    """The way of short rows, at lengths at which the twin has its digits."""
    monkeypatch.setattr(mixture_rf, "SHORT", 1.0)
    Sigma, Delta = drawn_covariances(2)
    W = np.array([[0.1], [1.0], [0.2], [2.0], [0.0]]) * draw_weights(5, 2, rng=0)
    wanted = naive_mixture.best_risk(*naive_moments_of("softplus", Sigma, Delta, W[:4]), ridge)
    found = rf_risk(GaussianMixture(Sigma, Delta), W, "softplus", ridge=ridge)
    assert found == pytest.approx(wanted, rel=1e-9)


def test_rows_too_short_for_floating_point_are_named():
    with pytest.warns(RuntimeWarning, match="rows of W are so short"):
        assert rf_risk(drawn_mixture(2), 1e-90 * draw_weights(6, 2, rng=0), "softplus") == 1


def test_large_rows_with_a_ridge():
    with pytest.raises(ValueError, match=r"W has entries of size .* the ridge by its fourth power"):
        rf_risk(drawn_mixture(3), 1e80 * draw_weights(2, 3, rng=0), ridge=0.1)
