"""The gradient for two classes: against its definition, and against differences of the exact risk."""

import naive_flow
import numpy as np
import pytest
from drawn_mixtures import drawn_mixture

import fastlazy
from fastlazy.activations.builtin import get_activation
from fastlazy.risk.mixture_gradient import class_gradient

SLOPES = {
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "softplus": (lambda z: np.logaddexp(0, z), lambda z: 1 / (1 + np.exp(-z))),
}


def network(N, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, d)), rng.standard_normal(N), 0.3


def in_rows(mixture, W, a, c, name):
    """The gradient with that in W = R A^-1 in the place of that in R."""
    A = mixture.modes.A
    found = class_gradient(mixture.modes, W @ A, a, c, get_activation(name))
    return found.risk, found.W @ A.T, found.a, found.c


def assert_same(found, wanted, tolerance):
    for part, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(part, other, rtol=tolerance, atol=tolerance * np.abs(other).max())


@pytest.mark.parametrize("name", [*SLOPES])
def test_any_sigma_by_definition(name):
    mixture, (W, a, c) = drawn_mixture(2), network(3, 2)
    wanted = naive_flow.class_gradient(mixture.Sigma, mixture.Delta, W, a, c, *SLOPES[name])
    assert_same(in_rows(mixture, W, a, c, name), wanted, 1e-9)


@pytest.mark.parametrize("N", [1, 4, 5, 11])
@pytest.mark.parametrize("common", [True, False])
def test_squares_by_definition(N, common):
    mixture, (W, a, c) = drawn_mixture(5), network(N, 5)
    a = np.full(N, -0.7) if common else a
    wanted = naive_flow.class_square_gradient(mixture.Sigma, mixture.Delta, W, a, c)
    assert_same(in_rows(mixture, W, a, c, "square"), wanted, 1e-12)


@pytest.mark.parametrize("name", ["square", "relu", "softplus", "tanh", "gelu"])
@pytest.mark.parametrize("N", [3, 9])
def test_differences_of_the_risk(name, N):
    mixture, (W, a, c) = drawn_mixture(4), network(N, 4)
    risk, in_W, in_a, in_c = in_rows(mixture, W, a, c, name)
    assert risk == pytest.approx(fastlazy.network_risk(mixture, W, a, c, name), rel=1e-12)
    (move, push, _), h = network(N, 4, seed=1), 1e-5
    ahead, behind = (fastlazy.network_risk(mixture, W + t * move, a + t * push, c + t, name) for t in (h, -h))
    slope = np.vdot(in_W, move) + in_a @ push + in_c
    assert (ahead - behind) / (2 * h) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("name", ["square", "relu", "softplus"])
def test_a_class_without_spread(name):
    """Delta = Sigma: x = 0 for y = 1, where a network is a number, and its rows have no gradient."""
    mixture, (W, a, c) = fastlazy.GaussianMixture(np.ones(3), np.ones(3)), network(4, 3)
    risk, in_W, in_a, in_c = in_rows(mixture, W, a, c, name)
    assert risk == pytest.approx(fastlazy.network_risk(mixture, W, a, c, name), rel=1e-12)
    (move, push, _), h = network(4, 3, seed=1), 1e-5
    ahead, behind = (fastlazy.network_risk(mixture, W + t * move, a + t * push, c + t, name) for t in (h, -h))
    assert (ahead - behind) / (2 * h) == pytest.approx(np.vdot(in_W, move) + in_a @ push + in_c, rel=1e-6)
