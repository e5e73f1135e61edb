"""Quadratic targets whose inputs have a covariance."""

import copy
import pickle

import numpy as np
import pytest

import fastlazy
from fastlazy import QuadraticFunction, QuadraticTarget, draw_weights


def drawn_target(d=4, b0=0.7):
    rng = np.random.default_rng(d)
    B, A = rng.standard_normal((2, d, d))
    cov = A @ A.T
    return QuadraticTarget(B + B.T, b0, input_cov=(cov + cov.T) / 2)


def test_moments_of_samples():
    target = drawn_target()
    X, y = target.sample(400_000, rng=0)
    spread = np.sqrt(target.input_cov.diagonal())
    error = 4 * np.sqrt(2 / len(X)) * np.outer(spread, spread)
    assert (np.abs(X.T @ X / len(X) - target.input_cov) < error).all()
    np.testing.assert_array_equal(y, target(X))
    np.testing.assert_allclose(y, np.einsum("ij,jk,ik->i", X, target.B, X) + 0.7, rtol=1e-9, atol=1e-9)
    assert y.mean() == pytest.approx(target.mean, abs=4 * y.std() / np.sqrt(len(y)))
    squares = (y - y.mean()) ** 2
    assert squares.mean() == pytest.approx(target.null_risk, abs=4 * squares.std() / np.sqrt(len(y)))


def test_moments_are_those_of_isserlis():
    target = drawn_target()
    product = target.B @ target.input_cov
    assert target.mean == pytest.approx(np.trace(product) + 0.7)
    assert target.null_risk == pytest.approx(2 * np.trace(product @ product))


def test_the_whitened_target_is_the_same_function():
    target = drawn_target()
    z = np.random.default_rng(0).standard_normal((5, 4))
    np.testing.assert_allclose(target.root @ target.root.T, target.input_cov, rtol=1e-12)
    np.testing.assert_allclose(target.whitened(z), target(z @ target.root.T), rtol=1e-10)
    plain = QuadraticTarget([2.0, 1.0], b0=-1.0)
    assert plain.input_cov is plain.root is None
    np.testing.assert_array_equal(plain.whitened.B, plain.B)
    assert plain.whitened.b0 == -1


def test_identity_is_the_default():
    one, other = QuadraticTarget([3.0, 1.0], 2.0), QuadraticTarget([3.0, 1.0], 2.0, input_cov=np.eye(2))
    assert (one.mean, one.null_risk) == (other.mean, other.null_risk)
    assert QuadraticTarget([3.0, 1.0], input_cov=[4.0, 0.0]).null_risk == 2 * 12**2


def test_inputs_without_full_rank():
    target = QuadraticTarget(np.ones((3, 3)), input_cov=[1.0, 0.0, 4.0])
    assert target.root.shape == (3, 2)
    X, _ = target.sample(10, rng=0)
    assert not X[:, 1].any()
    assert X[:, [0, 2]].all()


def test_copies_keep_the_covariance():
    target = drawn_target()
    for other in (copy.deepcopy(target), pickle.loads(pickle.dumps(target))):
        np.testing.assert_array_equal(other.input_cov, target.input_cov)
        assert other.null_risk == target.null_risk
    with pytest.raises(ValueError, match="read-only"):
        target.input_cov[0] = 1


@pytest.mark.parametrize(
    ("cov", "says"),
    [
        ([1.0, -1.0], "input_cov must be a covariance matrix, .* got eigenvalues from -1 to 1"),
        ([0.0, 0.0], "input_cov must be a covariance matrix"),
        ([1e200, 1.0], "input_cov must be a covariance matrix"),
        ([1.0, 1.0, 1.0], "input_cov has d = 3, but B has d = 2"),
        ([[1.0, 2.0], [0.0, 1.0]], "input_cov must be symmetric"),
        ([np.inf, 1.0], "input_cov must be finite"),
    ],
)
def test_what_is_no_covariance(cov, says):
    with pytest.raises(ValueError, match=says):
        QuadraticTarget([1.0, 2.0], input_cov=cov)


def test_sizes_beyond_floating_point():
    with pytest.raises(ValueError, match=r"input_cov, with entries of size 1e\+100, times B, of size 1e\+100"):
        QuadraticTarget([1e100, 1.0], input_cov=[1e100, 1.0])
    with pytest.raises(ValueError, match=r"x has entries of size .*, beyond the range of dtype float32"):
        QuadraticTarget([1.0], input_cov=[1e100]).sample(3, rng=0, dtype=np.float32)


@pytest.mark.parametrize(
    "refuses",
    [
        lambda t: fastlazy.fit_nn(t, 2, n_samples=100),
        lambda t: fastlazy.nn_flow(t, 2),
        lambda t: fastlazy.rf_function(t, draw_weights(2, 4)),
        lambda t: fastlazy.nt_function(t, draw_weights(2, 4)),
        lambda t: fastlazy.captured_share(t, QuadraticFunction(np.eye(4))),
        lambda t: fastlazy.rf_captured_limit(t, 2),
        lambda t: fastlazy.nt_captured_limit(t, 2),
        lambda t: fastlazy.lazy_risk(t, draw_weights(2, 4), scale=1.0),
    ],
)
def test_what_takes_standard_inputs_alone_says_so(refuses):
    with pytest.raises(ValueError, match=r"target has an input_cov, .*; pass target\.whitened"):
        refuses(drawn_target())


def test_functions_with_other_inputs_have_no_distance():
    with pytest.raises(ValueError, match="has an input_cov"):
        fastlazy.population_distance(QuadraticFunction(np.eye(4)), drawn_target())


def test_the_remedy_trains():
    target = QuadraticTarget([1.0, 0.5], input_cov=[2.0, 1.0])
    fit = fastlazy.fit_nn(target.whitened, 3, n_samples=20_000, rng=0)
    assert fit.risk[-1] < 0.05 * target.null_risk
