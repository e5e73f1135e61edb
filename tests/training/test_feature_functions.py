"""Networks of any sigma and their linearisations as functions, and exact distances between them."""

import naive_networks
import numpy as np
import pytest

import fastlazy
from fastlazy.kernels import joint_gram
from fastlazy.training.feature_functions import gram_at

D, N = 5, 3
RNG = np.random.default_rng(0)
W0, MOVE = RNG.standard_normal((N, D)), 0.3 * RNG.standard_normal((N, D))
A0, A_MOVE = np.array([1.0, -0.5, 2.0]), np.array([0.2, 0.1, -0.3])
W, A, C0, C = W0 + MOVE, A0 + A_MOVE, 0.3, 0.7
A_MATRIX = RNG.standard_normal((D, D))
TARGET = fastlazy.QuadraticTarget(A_MATRIX + A_MATRIX.T, b0=0.4)
NAMES = ("relu", "gelu", "tanh", "cos")


def functions(name):
    """Pairs of functions, exact distance known to `population_distance`, and both on samples by the plainest means."""
    model = fastlazy.linearize(W0, A0, C0, name)

    def f(X):
        return naive_networks.network(name, W, A, X) + C

    def start(X):
        return naive_networks.network(name, W0, A0, X) + C0

    def rf(X):
        return naive_networks.network(name, W0, A_MOVE, X) + C - C0

    def nt(X):
        return naive_networks.tangent(name, W0, A0[:, None] * MOVE, X)

    def y(X):
        return np.einsum("ij,jk,ik->i", X, TARGET.B, X) + 0.4

    def zero(X):
        return np.zeros(len(X))

    network, none = fastlazy.network_function(W, A, C, name), fastlazy.QuadraticTarget(np.zeros(D))
    return {
        "network and linearisation": (network, model.both(W, A, C), f, lambda X: start(X) + rf(X) + nt(X)),
        "two networks": (network, model.start, f, start),
        "network and target": (network, TARGET, f, y),
        "target and linearisation": (TARGET, model.both(W, A, C), y, lambda X: start(X) + rf(X) + nt(X)),
        "RF part": (model.rf(A, C), none, rf, zero),
        "NT part": (none, model.nt(W), zero, nt),
        "both parts": (model.rf(A, C), model.nt(W), rf, nt),
    }


@pytest.mark.sampled(5)
@pytest.mark.parametrize("pair", functions("relu"))
@pytest.mark.parametrize("name", NAMES)
def test_distances_agree_with_a_million_samples(name, pair):
    f, g, plain_f, plain_g = functions(name)[pair]
    X = np.random.default_rng(1).standard_normal((1_000_000, D))
    squares = (plain_f(X) - plain_g(X)) ** 2
    exact = fastlazy.population_distance(f, g)
    assert exact > 0
    assert abs(squares.mean() - exact) < 3 * squares.std() / 1000
    assert exact == pytest.approx(fastlazy.population_distance(g, f), rel=1e-12)
    np.testing.assert_allclose(f(X[:9]), plain_f(X[:9]), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(g(X[:9]), plain_g(X[:9]), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_distance_to_the_target_is_the_risk(name):
    f, nt = fastlazy.network_function(W, A, C, name), fastlazy.linearize(W0, A0, 0.0, name).nt(W)
    risk = fastlazy.network_risk(TARGET, W, A, C, name)
    assert fastlazy.population_distance(f, TARGET) == pytest.approx(risk, rel=1e-12)
    risk = fastlazy.tangent_risk(TARGET, W0, A0[:, None] * MOVE, 0.0, name)
    assert fastlazy.population_distance(nt, TARGET) == pytest.approx(risk, rel=1e-12)
    assert fastlazy.population_distance(f, f) == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_linearisation_is_the_derivative(name):
    model, h = fastlazy.linearize(W0, A0, C0, name), 1e-6
    X = RNG.standard_normal((7, D))
    ends = [fastlazy.network_function(W0 + s * MOVE, A0 + s * A_MOVE, C0 + s * 0.4, name)(X) for s in (h, -h)]
    slope = (ends[0] - ends[1]) / (2 * h)
    np.testing.assert_allclose(model.rf(A, C)(X) + model.nt(W)(X), slope, rtol=1e-8, atol=1e-8)
    both = model.both(W, A, C)(X)
    np.testing.assert_allclose(both, model.start(X) + model.rf(A, C)(X) + model.nt(W)(X), rtol=1e-12)


@pytest.mark.parametrize(("name", "order"), [("relu", 3), ("gelu", 4), ("tanh", 4), ("cos", 4)])
def test_the_linearisation_error_is_of_second_order(name, order):
    """Where sigma has a kink it is made at the kink alone, on a share of all x that is of first order."""
    model = fastlazy.linearize(W0, A0, C0, name)
    assert fastlazy.population_distance(model.both(W0, A0, C0), model.start) == 0
    errors = [
        fastlazy.population_distance(
            model.both(W0 + h * MOVE, A0 + h * A_MOVE, C0),
            fastlazy.network_function(W0 + h * MOVE, A0 + h * A_MOVE, C0, name),
        )
        for h in (1e-1, 1e-2)
    ]
    assert errors[0] / errors[1] == pytest.approx(10**order, rel=0.2)


def test_no_digits_are_told():
    model = fastlazy.linearize(W0, A0, C0, "gelu")
    moved = W0 + 1e-5 * MOVE
    with pytest.warns(RuntimeWarning, match="population_distance may be off by .* small difference of large") as told:
        fastlazy.population_distance(model.both(moved, A0, C0), fastlazy.network_function(moved, A0, C0, "gelu"))
    assert told[0].filename == __file__


@pytest.mark.parametrize("name", [*NAMES, "softplus", "exp"])
def test_mixed_moments_are_those_of_samples_and_of_each_other(name, monkeypatch):
    """By the whole series, by pairs, and against the derivative of the Gram matrix of features, which M is."""
    rows, moving = RNG.standard_normal((4, D)) / 3, RNG.standard_normal((2, D)) / 3
    rows[3] = 2 * moving[0]
    sigma = fastlazy.get_activation(name)
    gram = gram_at(sigma, rows, moving)
    monkeypatch.setattr(joint_gram, "_TOLERANCE", 0.0)  # every pair by itself
    monkeypatch.setattr(joint_gram, "unresolved", lambda g, squares: np.ones(len(g)))
    by_pairs = gram_at(sigma, rows, moving)
    direction, h = RNG.standard_normal((2, D)), 1e-5
    M = gram.p * (gram.unit @ direction.T) + gram.q * np.einsum("jk,jk->j", direction, unit(moving))
    ends = [
        fastlazy.rf_gram(np.vstack([rows, moving + sign * h * direction]), name, center=True)[:4, 4:]
        for sign in (1, -1)
    ]
    np.testing.assert_allclose(M, (ends[0] - ends[1]) / (2 * h), atol=2e-9)
    np.testing.assert_allclose(by_pairs.p, gram.p, atol=1e-13)
    np.testing.assert_allclose(by_pairs.q, gram.q, atol=1e-13)


@pytest.mark.slow
def test_a_users_function_with_a_kink():
    """Nothing is known of it, so that pairs at small angles, and parallel and opposite ones, are integrals."""
    own = fastlazy.Activation("own relu", lambda x: max(x, 0.0), lambda x: 1.0 if x > 0 else 0.0)
    moved = W0 + np.diag([1e-3, 1e-1, 0]) @ MOVE
    moved[2] = -1.5 * W0[2]
    distances = [
        fastlazy.population_distance(
            fastlazy.linearize(W0, A0, C0, sigma).both(moved, A, C), fastlazy.network_function(moved, A, C, sigma)
        )
        for sigma in (own, "relu")
    ]
    assert distances[0] == pytest.approx(distances[1], rel=1e-10)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_rows_of_zeros_and_repeated_rows():
    rows = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [-2.0, 0.0]])
    a, b = np.array([1.0, 2.0, -1.0, 0.5]), np.array([[1.0, 0.0], [0.5, 1.0], [0.0, 2.0], [1.0, 1.0]])
    X = np.random.default_rng(3).standard_normal((1_000_000, 2))
    for name in NAMES:
        model = fastlazy.linearize(rows, a, 0.1, name)
        moved = rows + b / a[:, None]
        values = naive_networks.network(name, rows, a, X) + naive_networks.tangent(name, rows, b, X) + 0.1
        exact = fastlazy.population_distance(model.both(moved, a, 0.1), fastlazy.QuadraticTarget(np.zeros(2)))
        assert abs((values**2).mean() - exact) < 3 * (values**2).std() / 1000


def test_functions_of_different_sigma_or_dimension_are_refused():
    relu, gelu = (fastlazy.network_function(W, A, C, name) for name in ("relu", "gelu"))
    with pytest.raises(ValueError, match="f has activation 'relu', but g 'gelu'"):
        fastlazy.population_distance(relu, gelu)
    with pytest.raises(ValueError, match="f has d = 5, but g has d = 2"):
        fastlazy.population_distance(relu, fastlazy.QuadraticTarget(np.ones(2)))
    with pytest.raises(ValueError, match="'step' jumps"):
        fastlazy.linearize(W, A, C, "step")
    with pytest.raises(ValueError, match="W has 2 rows, but the initialisation has 3"):
        fastlazy.linearize(W, A, C, "relu").both(W[:2])
    model = fastlazy.linearize(W, A, C, "relu")
    with pytest.raises(ValueError, match="read-only"):
        model.start.W[0] = 1


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", NAMES)
def test_the_linearisation_error_by_the_slow_way_and_how_many_digits_hold(name):
    """In the plane, where sums over a grid know it; the digits are those that the docstring promises."""
    rows, a = np.array([[1.0, 0.2], [-0.3, 0.8], [0.5, -0.6]]), np.array([1.0, -0.7, 1.5])
    move = np.array([[0.3, 0.9], [1.0, -0.2], [-0.4, 0.7]])
    mean, loss = (naive_networks.ray_mean, 1e-5) if name == "relu" else (naive_networks.plane_mean, 0.0)
    model = fastlazy.linearize(rows, a, 0.0, name)
    for step, tolerance in ((0.3, 1e-11), (1e-2, 1e-6), (1e-3, 1e-2)):
        moved, second = rows + step * move, a + step * np.array([0.5, 0.2, -1.0])
        want = mean(lambda X, W=moved, s=second: naive_networks.left_out(name, W, s, rows, a, X)[0] ** 2)
        f = fastlazy.network_function(moved, second, 0.0, name)
        found = fastlazy.population_distance(f, model.both(moved, second))
        assert found == pytest.approx(want, rel=tolerance + loss / step)


@pytest.mark.sampled(6)
@pytest.mark.parametrize("length", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("name", [*NAMES, "softplus"])
def test_rounding_is_not_more_than_is_said(name, length):
    """Of weights that have moved by 1e-6 nothing but rounding is left."""
    rng = np.random.default_rng(0)
    rows, move = length / np.sqrt(20) * rng.standard_normal((2, 10, 20))
    a = np.tile(rng.standard_normal(10), 2) * np.repeat([1, -1], 10)
    gram = gram_at(fastlazy.get_activation(name), np.vstack([rows + 1e-6 * move, rows]), rows)
    value, rounding = gram.moment(a, -1e-6 * a[:10, None] * move)
    assert value < rounding < 1e-12 * max(1.0, length**2) * len(a)
