"""Mixtures of two Gaussians: what is a pair of covariances, their modes, samples."""

import copy
import pickle

import numpy as np
import pytest
from drawn_mixtures import drawn_covariances, drawn_mixture

import fastlazy
from fastlazy import GaussianMixture, draw_weights, exponential_mixture


@pytest.mark.parametrize("d", [1, 2, 5, 70])
def test_modes_make_both_covariances_diagonal(d):
    Sigma, Delta = drawn_covariances(d)
    A, delta = GaussianMixture(Sigma, Delta).modes
    np.testing.assert_allclose(A @ A.T, Sigma, atol=1e-13 * d)
    np.testing.assert_allclose((A * delta) @ A.T, Delta, atol=1e-13 * d)
    assert np.abs(delta).max() <= 1


@pytest.mark.parametrize("dense", [False, True])
def test_modes_leave_out_what_has_no_spread(dense):
    Sigma, Delta = np.array([2.0, 0.0, 1.0, 0.0]), np.array([1.0, 0.0, -1.0, 0.0])
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0] if dense else np.eye(4)
    mixture = GaussianMixture((turn * Sigma) @ turn.T, (turn * Delta) @ turn.T)
    A, delta = mixture.modes
    assert A.shape == (4, 2)
    np.testing.assert_allclose(np.sort(delta), [-1, 0.5], rtol=1e-12)
    assert delta.min() == -1  # a class without spread has none to the bit
    np.testing.assert_allclose(A @ A.T, mixture.Sigma, atol=1e-14)


def test_diagonals_are_matrices():
    given, same = GaussianMixture([2, 1], [1, 0]), GaussianMixture(np.diag([2.0, 1.0]), np.diag([1.0, 0.0]))
    np.testing.assert_array_equal(given.Sigma, same.Sigma)
    np.testing.assert_array_equal(given.Delta, same.Delta)
    np.testing.assert_array_equal(given.modes.delta, [0.5, 0])
    assert (given.d, given.mean, given.null_risk) == (2, 0, 1)
    assert repr(given) == "GaussianMixture(d=2, trace=3)"


def test_a_mixture_is_frozen_and_can_be_copied():
    mixture = drawn_mixture(3)
    with pytest.raises(AttributeError):
        mixture.Sigma = np.eye(3)
    for array in (mixture.Sigma, mixture.Delta, *mixture.modes):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    for other in (copy.deepcopy(mixture), pickle.loads(pickle.dumps(mixture))):
        np.testing.assert_array_equal(other.Sigma, mixture.Sigma)
        np.testing.assert_array_equal(other.Delta, mixture.Delta)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_have_the_classes_covariances(dtype):
    mixture = drawn_mixture(3)
    X, y = mixture.sample(400_000, rng=0, dtype=dtype)
    assert X.dtype == y.dtype == dtype
    assert {*np.unique(y)} == {-1, 1}
    assert np.mean(y) == pytest.approx(0, abs=3 / np.sqrt(len(y)))
    for sign in (1, -1):
        covariance = mixture.Sigma - sign * mixture.Delta
        found = X[y == sign].astype(float)
        spread = np.sqrt(np.outer(covariance.diagonal(), covariance.diagonal()))
        error = 4 * np.sqrt(2 / len(found))
        assert (np.abs(found.T @ found / len(found) - covariance) < error * spread).all()
        assert (np.abs(found.mean(axis=0)) < 4 * np.sqrt(covariance.diagonal() / len(found))).all()
    np.testing.assert_array_equal(mixture.sample(7, rng=3)[0], mixture.sample(7, rng=3)[0])


def test_a_class_at_a_point_is_sampled_there():
    X, y = GaussianMixture([1.0, 2.0], [1.0, 2.0]).sample(50, rng=0)
    assert not X[y == 1].any()
    assert X[y == -1].all()


@pytest.mark.parametrize(
    ("Sigma", "Delta", "says"),
    [
        (
            [1.0, 1.0],
            [0.5, 1.5],
            r"Sigma - Delta, .* given y = 1, has 1 negative eigenvalues, .* -0\.5; multiply Delta",
        ),
        ([1.0, 1.0], [-3.0, -1.5], r"Sigma \+ Delta, .* given y = -1, has 2 negative eigenvalues, .* -2"),
        (np.eye(2), [[0.0, 1.25], [1.25, 0.0]], r"Sigma - Delta, .* 1 negative eigenvalues, .* -0\.25"),
        ([1.0, 0.0], [0.0, 1e-9], r"Sigma - Delta, .* -1e-09"),
        ([-1.0, 1.0], [0.0, 0.0], r"Sigma - Delta, .* 1 negative eigenvalues, .* -1"),
        ([1.0, 1.0, 1.0], [0.5, 0.5], "Sigma has d = 3, but Delta has d = 2"),
        ([0.0, 0.0], [0.0, 0.0], "Sigma has entries of size 0; it must not be zero"),
        ([1e200, 1.0], [0.0, 0.0], r"Sigma has entries of size 1e\+200"),
        (np.ones((2, 3)), [0.0, 0.0], "Sigma must be square"),
        (np.eye(2), [[0.0, 0.5], [0.0, 0.0]], "Delta must be symmetric"),
        (np.eye(2), [np.nan, 0.0], "Delta must be finite"),
    ],
)
def test_what_is_no_pair_of_covariances(Sigma, Delta, says):
    with pytest.raises(ValueError, match=says):
        GaussianMixture(Sigma, Delta)


def test_covariances_at_the_edge_are_allowed():
    """Rounding of a singular covariance is no negative eigenvalue."""
    A = np.random.default_rng(0).standard_normal((30, 4))
    Sigma = A @ A.T
    for sign in (1, -1):
        mixture = GaussianMixture(Sigma, sign * Sigma)
        np.testing.assert_array_equal(mixture.modes.delta, np.full(4, sign))


def test_sizes_of_samples():
    with pytest.raises(ValueError, match="n must be at least 1"):
        drawn_mixture(2).sample(0)
    with pytest.raises(ValueError, match=r"x has entries of size .*, beyond the range of dtype float32"):
        GaussianMixture([1e100], [0.0]).sample(3, rng=0, dtype=np.float32)


def test_an_exponential_mixture():
    mixture = exponential_mixture(450, rng=3)
    spectrum = np.random.default_rng(3).exponential(size=450)
    np.testing.assert_array_equal(mixture.Sigma, np.eye(450))
    np.testing.assert_allclose(mixture.Delta.diagonal(), spectrum / np.sqrt(450), rtol=1e-15)
    np.testing.assert_allclose(exponential_mixture(450, strength=0.25, rng=3).Delta, mixture.Delta / 4, rtol=1e-15)
    for seed in range(50):  # whatever is drawn, it is a pair of covariances
        small = exponential_mixture(2, rng=seed).modes.delta
        assert small.max() <= 1
    assert not exponential_mixture(3, strength=0, rng=0).Delta.any()
    with pytest.raises(ValueError, match="strength must be at most 1, got 2"):
        exponential_mixture(3, strength=2)
    with pytest.raises(ValueError, match="d must be at least 1"):
        exponential_mixture(0)


@pytest.mark.parametrize(
    "refuses",
    [
        lambda m: fastlazy.rf_function(m, draw_weights(2, 3)),
        lambda m: fastlazy.nt_function(m, draw_weights(2, 3)),
        lambda m: fastlazy.captured_share(m, fastlazy.exponential_target(3)),
        lambda m: fastlazy.rf_captured_limit(m, 2),
        lambda m: fastlazy.nt_captured_limit(m, 2),
        lambda m: fastlazy.lazy_risk(m, draw_weights(2, 3), scale=1.0),
    ],
)
def test_what_takes_no_mixture_says_so(refuses):
    with pytest.raises(TypeError, match="target must be a QuadraticTarget, got GaussianMixture"):
        refuses(drawn_mixture(3))
