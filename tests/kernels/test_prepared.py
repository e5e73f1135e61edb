"""Weights that are checked once give the bits of those that are checked in each call."""

import numpy as np
import pytest

import fastlazy


def draw(dtype, n=30, N=70, d=9):
    rng = np.random.default_rng(3)
    return (rng.standard_normal(shape).astype(dtype) for shape in ((n, d), (N, d), (5, d)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["square", "relu", "tanh"])
def test_kernels_have_the_same_bits(dtype, activation):
    X, W, Y = draw(dtype)
    prepared = fastlazy.prepare_weights(W)
    for kernel in (fastlazy.rf_kernel, fastlazy.nt_kernel):
        for other in (None, Y):
            for _ in range(2):  # a call must leave the weights as they were
                found = kernel(X, prepared, activation, Y=other)
                np.testing.assert_array_equal(found, kernel(X, W, activation, Y=other), strict=True)


def test_prepared_weights_are_a_copy():
    X, W, _ = draw(float)
    prepared, before = fastlazy.prepare_weights(W), fastlazy.rf_kernel(X, W, "relu")
    W[:] = 0
    np.testing.assert_array_equal(fastlazy.rf_kernel(X, prepared, "relu"), before)
    with pytest.raises(ValueError, match="read-only"):
        prepared.W[0, 0] = 1


def test_float32_samples_meet_float64_weights_in_float64():
    X, W, _ = draw(np.float32)
    found = fastlazy.nt_kernel(X, fastlazy.prepare_weights(W.astype(float)), "relu")
    np.testing.assert_array_equal(found, fastlazy.nt_kernel(X.astype(float), W.astype(float), "relu"), strict=True)


def test_float64_samples_are_refused_beside_float32_weights():
    X, W, _ = draw(np.float32)
    with pytest.raises(ValueError, match="W was prepared in float32, and the samples are float64"):
        fastlazy.rf_kernel(X.astype(float), fastlazy.prepare_weights(W), "relu")


def test_what_is_refused():
    X, W, _ = draw(float)
    for bad in (np.array([[1.0, np.nan]]), np.ones(3), "W"):
        with pytest.raises((TypeError, ValueError), match="W"):
            fastlazy.prepare_weights(bad)
    with pytest.raises(ValueError, match="X has rows of length 4"):
        fastlazy.rf_kernel(X[:, :4], fastlazy.prepare_weights(W), "relu")
    with pytest.raises(ValueError, match="overflow"):
        fastlazy.rf_kernel(1e200 * X, fastlazy.prepare_weights(1e200 * W), "relu")
