"""The prediction for the tangent model of any non-linearity: against what it minimises, and exact risks."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastlazy
from fastlazy import tangent_limit
from fastlazy.tangent_limit import tangent_ratio

QUARTIC = fastlazy.Activation("He_4", lambda x: x**4 - 6 * x**2 + 3, lambda x: 4 * x**3 - 12 * x)


def moments(slope):
    """g_0 .. g_3, mu and nu of sigma' at length 1, by a fine sum."""
    t = np.linspace(-12, 12, 480_001)
    density = np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi) * (t[1] - t[0])
    hermite = [np.ones_like(t), t, (t**2 - 1) / math.sqrt(2), (t**3 - 3 * t) / math.sqrt(6)]
    g = [np.sum(density * slope(t) * h) for h in hermite]
    squares, own = (np.sum(density * slope(t) ** 2 * t**p) for p in (0, 2))
    kappa = g[1] + math.sqrt(1.5) * g[3]
    return g, squares - g[0] ** 2 - g[1] ** 2, own - g[1] ** 2 - (g[0] + math.sqrt(2) * g[2]) ** 2 - 2 * kappa**2, kappa


@pytest.mark.parametrize("activation", ["relu", "softplus", "gelu", "exp", QUARTIC])
@pytest.mark.parametrize(("N", "d"), [(3, 6), (9, 6)])
@pytest.mark.parametrize("common", [True, False], ids=["trace", "traceless"])
def test_it_is_the_least_penalised_distance(monkeypatch, activation, N, d, common):
    """A dense solve for B = I, where all is in the common part, and for B off the diagonal in the basis of G."""
    sigma = activation if isinstance(activation, fastlazy.Activation) else fastlazy.get_activation(activation)
    U = np.random.default_rng(N).standard_normal((N, d))
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    values, basis = np.linalg.eigh(U.T @ U)
    values = np.maximum(values, 0)
    g, mu, nu, kappa = moments(lambda t: sigma.values(t, 1))
    if common:
        B = np.eye(d)
    else:
        B = np.random.default_rng(1).standard_normal((d, d))
        B = basis @ np.where(np.eye(d), 0, B + B.T) @ basis.T
    # unknowns beta and b; rows: the distance, times sqrt(2), the costs, and the constraint with a huge weight
    rows = []
    for k in range(1 + N * d):
        b, beta = np.zeros((N, d)), float(k == 0)
        if k:
            b.flat[k - 1] = 1.0
        S = beta * kappa * U.T @ U + g[1] * (U.T @ b + b.T @ U) / 2
        costs = [*(math.sqrt(mu) * b.ravel()), math.sqrt(nu * N) * beta, 1e5 * np.sum(U * b)]
        rows.append(np.concatenate([math.sqrt(2) * S.ravel(), costs]))
    wanted = np.concatenate([math.sqrt(2) * B.ravel(), np.zeros(N * d + 2)])
    solution = np.linalg.lstsq(np.array(rows).T, wanted)[0]
    ratio = np.sum((np.array(rows).T @ solution - wanted) ** 2) / (2 * np.sum(B**2))
    if common:
        monkeypatch.setattr(tangent_limit, "_spectrum", lambda rho: (values, np.full(d, 1 / d)))
        assert tangent_ratio(sigma, 1.0, N / d, 1.0) == pytest.approx(ratio, rel=1e-6)
    else:
        ridge = mu / g[1] ** 2 if abs(g[1]) > 1e-6 else np.inf
        C = basis.T @ B @ basis
        lost = 1 / (1 + (values[:, None] + values) / ridge)
        assert np.sum(lost * C**2) / np.sum(B**2) == pytest.approx(ratio, rel=1e-6)


@pytest.mark.parametrize("rho", [0.01, 0.5, 0.999, 1.0, 1.001, 30.0])
def test_the_spectrum_is_that_of_marchenko_and_pastur(rho):
    x, weights = tangent_limit._spectrum(rho)
    moments = [weights @ x**k for k in range(4)]
    np.testing.assert_allclose(moments, [1, rho, rho + rho**2, rho + 3 * rho**2 + rho**3], rtol=1e-12)
    assert weights[-1] == pytest.approx(max(0, 1 - rho))


@pytest.mark.parametrize("function", [lambda x: x * x, lambda x: 0.1 * x * x + x + 2])
def test_square_and_what_is_linear_is_theorem_2(function):
    target = fastlazy.exponential_target(40, rng=0)
    for N in (1, 13, 39, 40, 41, 300):
        predicted = fastlazy.nt_risk_limit(target, N, fastlazy.Activation("quadratic", function))
        assert predicted == pytest.approx(fastlazy.nt_risk_limit(target, N), abs=1e-10 * target.null_risk)


@pytest.mark.parametrize("name", ["relu", "softplus", "gelu", "cos"])
def test_exact_risks_come_near_as_d_grows(name):
    """The difference times d stays of order one."""
    for d, draws in ((40, 12), (120, 3)):
        target = fastlazy.exponential_target(d, rng=0)
        for rho in (0.3, 1.0, 3.0):
            N = round(rho * d)
            weights = [fastlazy.draw_weights(N, d, rng=k) for k in range(draws)]
            exact = np.mean([fastlazy.nt_risk(target, W, name, tolerance=1e-4) for W in weights])
            assert abs(exact - fastlazy.nt_risk_limit(target, N, name)) / target.null_risk < 2 / d


def test_length_of_rows_counts_for_it():
    d = 60
    target = fastlazy.exponential_target(d, rng=0)
    for length in (0.5, 2.0):
        W = length * fastlazy.draw_weights(d, d, rng=1)
        predicted = fastlazy.nt_risk_limit(target, d, "softplus", cov=length**2 * np.eye(d) / d)
        assert abs(fastlazy.nt_risk(target, W, "softplus") - predicted) / target.null_risk < 0.02
    assert fastlazy.nt_risk_limit(target, d, "relu", cov=9 * np.ones(d)) == pytest.approx(
        fastlazy.nt_risk_limit(target, d, "relu"), rel=1e-10
    )


def test_it_falls_with_the_neurons_and_odd_functions_learn_nothing():
    target = fastlazy.exponential_target(50, rng=0)
    for name in ("relu", "exp", "silu", QUARTIC):
        risks = [fastlazy.nt_risk_limit(target, N, name) for N in (1, 5, 25, 50, 51, 200, 5000)]
        assert np.all(np.diff(risks) < 0)
        assert 0 < risks[-1] < risks[0] < target.null_risk
    for name in ("tanh", "erf", "sin", "linear", "he3"):
        assert fastlazy.nt_risk_limit(target, 70, name) == target.null_risk


def test_what_is_not_known_is_refused():
    target = fastlazy.exponential_target(3, rng=0)
    with pytest.raises(ValueError, match="no prediction is known with this cov"):
        fastlazy.nt_risk_limit(target, 2, "relu", cov=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="jumps"):
        fastlazy.nt_risk_limit(target, 2, "step")
    with pytest.raises(ValueError, match="activation"):
        fastlazy.nt_risk_limit(target, 2, "reluu")
