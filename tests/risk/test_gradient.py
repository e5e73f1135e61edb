"""The gradient of the population risk: against differences of the risk, against its definition, and its symmetries."""

import math
from functools import partial

import naive_flow
import numpy as np
import pytest
from scipy import special

import fastlazy
from fastlazy.activations.builtin import get_activation
from fastlazy.risk.gradient import population_gradient

NAMES = ["square", "relu", "leaky_relu", "softplus", "gelu", "tanh", "erf", "cos", "silu", "he2", "he3", "sigmoid"]
NAMES += ["sin", "exp"]
BENT = fastlazy.Activation(
    "bent", lambda x: max(abs(x) - 0.5, 0.0), lambda x: math.copysign(1.0, x) if abs(x) > 0.5 else 0.0
)


def network(N, d, seed=0):
    """Rows of several lengths, two of them nearly parallel and two nearly opposite; all else random."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((N, d)) * rng.uniform(0.1, 0.6, N)[:, None]
    W[1] = 1.3 * W[0] + 0.01 * rng.standard_normal(d)
    W[3] = -W[2] + 0.001 * rng.standard_normal(d)
    B = rng.standard_normal((d, d))
    return fastlazy.QuadraticTarget((B + B.T) / 4, b0=0.3), W, rng.standard_normal(N), 0.7


def difference(f, h=1e-4):
    """The derivative of f at 0, to order h^4."""
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("sigma", "N", "d"), [(name, *shape) for name in NAMES for shape in [(4, 6), (6, 3)]] + [(BENT, 4, 6)], ids=str
)
def test_gradient_is_that_of_the_risk(sigma, N, d):
    target, W, a, c = network(N, d)
    sigma = get_activation(sigma) if isinstance(sigma, str) else sigma
    got = population_gradient(target, W, a, c, sigma)

    def risk(W, a, c):
        return fastlazy.network_risk(target, W, a, c, sigma)

    rng = np.random.default_rng(1)
    size = float(np.linalg.norm(got.W) + np.linalg.norm(got.a) + abs(got.c))
    for _ in range(4 if sigma is not BENT else 1):  # the pairs of BENT are integrals, which take a while
        V, b, e = rng.standard_normal((N, d)), rng.standard_normal(N), rng.standard_normal()

        def along(t, V=0.0, b=0.0, e=0.0):
            return risk(W + t * V, a + t * b, c + t * e)

        assert np.vdot(V, got.W) == pytest.approx(difference(partial(along, V=V)), abs=1e-8 * size)
        assert b @ got.a == pytest.approx(difference(partial(along, b=b)), abs=1e-9 * size)
        assert e * got.c == pytest.approx(difference(partial(along, e=e)), abs=1e-9 * size)
    assert got.risk == pytest.approx(risk(W, a, c), rel=1e-12)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("name", "function", "slope"),
    [
        ("square", np.square, lambda z: 2 * z),
        ("tanh", np.tanh, lambda z: 1 / np.cosh(z) ** 2),
        ("softplus", lambda z: np.logaddexp(0, z), special.expit),
        ("sin", np.sin, np.cos),
    ],
)
def test_gradient_is_the_mean_over_inputs(name, function, slope):
    rng = np.random.default_rng(3)
    W, a, B = rng.standard_normal((4, 2)), rng.standard_normal(4), np.array([[1.0, 0.3], [0.3, -0.5]])
    W[3] = 0  # a neuron without a direction
    want = naive_flow.gradient(B, 0.2, W, a, -0.4, function, slope)
    got = population_gradient(fastlazy.QuadraticTarget(B, 0.2), W, a, -0.4, get_activation(name))
    for value, expected in zip(got, want, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-10)


def test_gradient_needs_no_derivative():
    target, W, a, c = network(5, 4)
    given = get_activation("softplus")
    without = fastlazy.Activation("softplus", lambda x: math.log1p(math.exp(-abs(x))) + max(x, 0.0))
    for value, expected in zip(*(population_gradient(target, W, a, c, s) for s in (without, given)), strict=True):
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-9 * abs(np.asarray(expected)).max())


@pytest.mark.parametrize(("name", "degree"), [("relu", 1), ("leaky_relu", 1), ("square", 2)])
def test_a_homogeneous_neuron_gains_alike_by_both_layers(name, degree):
    """Euler: <w, dR/dw> = p a dR/da, for parallel and opposite rows too."""
    target, W, a, c = network(60, 5)
    W[4], W[5] = 2 * W[0], -0.5 * W[0]
    got = population_gradient(target, W, a, c, get_activation(name))
    np.testing.assert_allclose(
        np.sum(W * got.W, axis=1), degree * a * got.a, rtol=0, atol=1e-11 * np.abs(a * got.a).max()
    )


@pytest.mark.parametrize("N", [3, 9])
@pytest.mark.parametrize("common", [True, False])
def test_square_gradient_is_its_formula(N, common):
    target, W, a, c = network(max(N, 4), 6)
    W, a = W[:N], np.full(N, -0.7) if common else a[:N]
    got = population_gradient(target, W, a, c, get_activation("square"))
    want = naive_flow.square_gradient(target.B, target.b0, W, a, c)
    for value, expected in zip(got, want, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["relu", "gelu"])
def test_gradient_turns_with_its_rows(name):
    target, W, a, c = network(40, 8)
    Q = np.linalg.qr(np.random.default_rng(2).standard_normal((8, 8)))[0]
    turned = fastlazy.QuadraticTarget(Q.T @ target.B @ Q, target.b0)
    order = np.random.default_rng(4).permutation(40)
    plain = population_gradient(target, W, a, c, get_activation(name))
    moved = population_gradient(turned, (W @ Q)[order], a[order], c, get_activation(name), parallel=False)
    size = np.abs(plain.W).max()
    np.testing.assert_allclose(moved.W, (plain.W @ Q)[order], rtol=0, atol=1e-11 * size)
    np.testing.assert_allclose(moved.a, plain.a[order], rtol=0, atol=1e-11 * np.abs(plain.a).max())


def test_gradient_has_the_same_bits_for_any_number_of_threads():
    target, W, a, c = network(300, 40)
    one, many = (population_gradient(target, W, a, c, get_activation("gelu"), parallel) for parallel in (False, True))
    assert all(np.array_equal(x, y) for x, y in zip(one, many, strict=True))


def test_gradient_refuses_jumps():
    target, W, a, c = network(5, 4)
    with pytest.raises(ValueError, match="jumps"):
        population_gradient(target, W, a, c, get_activation("step"))


@pytest.mark.parametrize("name", ["gelu", "sin", "exp"])
def test_lengths_that_are_tabulated_are_those_that_are_computed(name):
    """More lengths than a table has nodes, over several octaves."""
    from fastlazy.activations import radial

    sigma = get_activation(name)
    r = np.geomspace(1e-3, 3.7, 9)
    table, direct = radial.radial_moments(sigma, r, 64), radial._columns(sigma, r, 64)
    size = np.sqrt(direct[:, 67:69])
    np.testing.assert_allclose(table.slopes / size[:, 1:], direct[:, :65] / size[:, 1:], rtol=0, atol=1e-13)
    np.testing.assert_allclose(table.squares.T, direct[:, 67:70], rtol=1e-12)
    np.testing.assert_allclose(table.own, direct[:, -1], rtol=0, atol=1e-12 * size.max() ** 2)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("sigma", ["relu", "leaky_relu", "erf", "exp", "gelu", "tanh", BENT], ids=str)
def test_moments_along_a_row_are_derivatives_in_its_length(sigma):
    """Of pairs of rows that nearly agree, or are nearly opposite."""
    from fastlazy.activations.radial import radial_pairs
    from fastlazy.activations.rf_pairs import pair_moments

    sigma = get_activation(sigma) if isinstance(sigma, str) else sigma
    r, s, theta = np.array([0.7, 1.1, 0.9]), np.array([1.3, 0.6, 0.9]), np.array([0.02, 3.1, 0.1])
    values, along, other, _ = radial_pairs(sigma, r, s, theta)
    np.testing.assert_allclose(values, pair_moments(sigma, r, s, theta), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(along, difference(lambda t: pair_moments(sigma, r + t, s, theta)), rtol=0, atol=1e-8)
    np.testing.assert_allclose(other, difference(lambda t: pair_moments(sigma, r, s + t, theta)), rtol=0, atol=1e-8)
