"""Exact risks of given models: any network, any tangent model of x^2."""

from __future__ import annotations

import numpy as np
import pytest

import fastlazy
import fastlazy.activations.moments
from fastlazy import network_risk, rf_risk, tangent_risk
from tests import naive, naive_fits


def draw(N=4, d=3, seed=0):
    rng = np.random.default_rng([N, d, seed])
    target = fastlazy.QuadraticTarget(rng.standard_normal(d), b0=0.7)
    return target, rng.standard_normal((N, d)), rng.standard_normal(N), rng


@pytest.mark.parametrize("activation", ["relu", "tanh", "step", "cos", "linear", "he2"])
def test_any_network_by_monte_carlo(activation):
    target, W, a, rng = draw()
    X = rng.standard_normal((400_000, 3))
    squares = (fastlazy.get_activation(activation).values(X @ W.T) @ a + 0.3 - target(X)) ** 2
    error = squares.std() / np.sqrt(len(X))
    assert network_risk(target, W, a, 0.3, activation) == pytest.approx(squares.mean(), abs=4 * error)


def test_one_formula_is_the_other():
    """x^2 by its forms and, under another name, by means and covariances."""
    target, W, a, _ = draw()
    same = fastlazy.Activation("x times x", lambda x: x * x)
    assert network_risk(target, W, a, 0.3, same) == pytest.approx(network_risk(target, W, a, 0.3), rel=1e-10)
    shifted = fastlazy.Activation("x times x less one", lambda x: x * x - 1)
    moved = network_risk(target, W, a, 0.3 + float(a @ np.sum(W**2, axis=1)), "he2")
    assert moved != network_risk(target, W, a, 0.3)
    assert network_risk(target, W, a, 0.3 + a.sum(), shifted) == pytest.approx(network_risk(target, W, a, 0.3))


@pytest.mark.parametrize("activation", ["relu", "square", "gelu"])
def test_the_best_network_has_the_risk_of_random_features(activation):
    target, W, _, _ = draw(N=5, d=6)
    U = fastlazy.rf_gram(W, activation, center=True)
    steps = np.eye(5)
    # V by differences of a quadratic function: no formula of it is used twice; the offset leaves the mean alone
    mean = fastlazy.activations.moments.unit_coefficients(
        fastlazy.get_activation(activation), np.linalg.norm(W, axis=1), 0
    )[:, 0]
    V = [
        (
            network_risk(target, W, -e, target.mean + mean @ e, activation)
            - network_risk(target, W, e, target.mean - mean @ e, activation)
        )
        / 4
        for e in steps
    ]
    a = np.linalg.solve(U, V)
    found = network_risk(target, W, a, target.mean - float(mean @ a), activation)
    assert found == pytest.approx(rf_risk(target, W, activation), rel=1e-9)
    assert network_risk(target, W, a + 0.01, target.mean - float(mean @ (a + 0.01)), activation) > found


def test_a_perfect_fit_has_no_risk():
    target = fastlazy.QuadraticTarget([2.0, 1.0], b0=-3.0)
    same = fastlazy.Activation("x times x", lambda x: x * x)
    assert network_risk(target, np.eye(2), [2.0, 1.0], -3.0) == 0
    assert 0 <= network_risk(target, np.eye(2), [2.0, 1.0], -3.0, same) < 1e-12


@pytest.mark.parametrize(("N", "d"), [(1, 3), (4, 3), (2, 5)])
def test_tangent_models(N, d):
    target, W, _, rng = draw(N, d)
    b = rng.standard_normal((N, d))
    S = sum(np.outer(w, move) + np.outer(move, w) for w, move in zip(W, b, strict=True))
    wanted = naive.quadratic_risk(S, 0.4, target.B, target.b0)
    assert tangent_risk(target, W, b, 0.4) == pytest.approx(wanted)
    X = rng.standard_normal((10, d))
    J = naive_fits.jacobian(lambda z: 2 * z, W, X)
    np.testing.assert_allclose(J @ b.ravel(), np.einsum("ni,ij,nj->n", X, S, X))


def test_moving_along_the_weights_is_scaling_them():
    """b = W / 2 gives f(x) = sum <w_i, x>^2."""
    target, W, _, _ = draw()
    assert tangent_risk(target, W, W / 2, 0.1) == pytest.approx(network_risk(target, W, 1.0, 0.1))


def test_bad_input():
    target, W, a, _ = draw()
    with pytest.raises(ValueError, match=r"b has shape \(3, 3\), but W \(4, 3\)"):
        tangent_risk(target, W, W[:3])
    with pytest.raises(ValueError, match="jumps"):
        tangent_risk(target, W, W, activation="step")
    with pytest.raises(ValueError, match="a has 3 entries, but W has 4 rows"):
        network_risk(target, W, a[:3], activation="relu")
    with pytest.raises(ValueError, match="activation = 'rlu' is not known"):
        network_risk(target, W, a, activation="rlu")
