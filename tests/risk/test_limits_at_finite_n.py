"""Predictions at finite n: the theorem in its own symbols, means over drawn weights, limits in n and the ridge."""

import math

import naive_curves
import numpy as np
import pytest
from drawn import drawn_target

import fastlazy
from fastlazy import QuadraticTarget
from fastlazy.risk import rf_limit, sectors
from fastlazy.risk.limits import nt_risk_limit, rf_risk_limit

SHIFTED = fastlazy.Activation("tanh(x + 1/2)", lambda x: np.tanh(x + 0.5), lambda x: 1 / np.cosh(x + 0.5) ** 2)
LIMITS = {"RF": (rf_risk_limit, fastlazy.rf_learning_curve), "NT": (nt_risk_limit, fastlazy.nt_learning_curve)}
EACH = pytest.mark.parametrize("regime", LIMITS)
NAMES = ["square", "relu", "gelu", "tanh", "cos", "softplus"]

PUBLISHED = [
    ("relu", 200, 190, "2.8215"), ("relu", 200, 800, ".6869"), ("relu", 300, 5000, ".4579"),
    ("relu", 800, 3000, ".2552"), (SHIFTED, 200, 800, ".8664"),
]  # fmt: skip


def published_target():
    return QuadraticTarget(np.random.default_rng(0).exponential(1, 40))


@pytest.mark.parametrize(("activation", "N", "n", "ratio"), PUBLISHED, ids=str)
def test_sectors_of_two_degrees_and_one_length_are_the_theorem(monkeypatch, activation, N, n, ratio):
    """Rows of length one, degrees above two as noise: the published numbers, and the theorem's own symbols."""
    sigma = fastlazy.get_activation(activation) if isinstance(activation, str) else activation
    target, ridge = published_target(), 1e-3 * N / n
    x = np.linspace(-12, 12, 200_001)
    weight = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    lam0, lam1, lam2 = (float(np.sum(weight * sigma.values(x) * h)) for h in (1, x, x**2 - 1))
    tau = float(np.sum(weight * sigma.values(x) ** 2)) - lam0**2 - lam1**2 - lam2**2 / 2
    theorem = naive_curves.rf_mean(target.B, N, n, ridge, lam1, lam2, tau)
    assert f"{theorem:.4f}".removeprefix("0") == ratio
    monkeypatch.setattr(sectors, "_DEGREES", 2)
    monkeypatch.setattr(sectors, "row_lengths", lambda length, d: (np.ones(1), np.ones(1)))
    uncached = sectors.sector_equivalent.__wrapped__, sectors._features.__wrapped__
    monkeypatch.setattr(sectors, "sector_equivalent", uncached[0])
    monkeypatch.setattr(sectors, "_features", uncached[1])
    from fastlazy.risk.equivalent import finite_risks

    m = np.trace(target.B) ** 2 / (40 * np.sum(target.B**2))
    features = sectors.sector_equivalent(sigma, 1.0, N, 40, m)
    found, _ = finite_risks(features, np.array(float(n)), np.array(ridge))
    assert found == pytest.approx(theorem, rel=1e-5)


@pytest.mark.parametrize(("activation", "N", "n", "ratio"), PUBLISHED, ids=str)
def test_lengths_and_higher_degrees_change_little(activation, N, n, ratio):
    target = published_target()
    risk = rf_risk_limit(target, N, activation, n_samples=n, ridge=1e-3 * N / n) / target.null_risk
    assert risk == pytest.approx(float(ratio), rel=0.015)


@pytest.mark.sampled(1)
@EACH
@pytest.mark.parametrize("activation", NAMES)
def test_it_is_the_mean_over_weights(regime, activation):
    """Within 3 % and 3 standard errors."""
    d = 25
    target = fastlazy.exponential_target(d, rng=0)
    limit, curve = LIMITS[regime]
    n, ridges = [3 * d, 20 * d, 200 * d], [0.02, 1.0]
    for N in (20, 60) if regime == "RF" else (20, 40):
        draws = np.array(
            [curve(target, fastlazy.draw_weights(N, d, rng=k), n, activation, ridge=ridges) for k in range(6)]
        )
        mean, error = draws.mean(axis=0), draws.std(axis=0, ddof=1) / math.sqrt(6)
        got = np.array([[limit(target, N, activation, n_samples=a, ridge=b) for b in ridges] for a in n])
        # NT's own prediction, without samples, is within 1 / d of the null risk.
        rest = target.null_risk / d if regime == "NT" else 0.0
        assert np.all(np.abs(got - mean) <= 3 * error + 0.03 * mean + rest), (N, got / mean)


@pytest.mark.sampled(3)
@EACH
@pytest.mark.parametrize("activation", NAMES)
def test_without_end_of_samples_it_is_the_refined_form(regime, activation):
    limit, _ = LIMITS[regime]
    target = drawn_target(12)
    for N in (1, 5, 12, 60, 500):
        refined = limit(target, N, activation, refined=True)
        assert limit(target, N, activation, n_samples=math.inf) == pytest.approx(refined, rel=1e-12, abs=1e-12)
        assert limit(target, N, activation, n_samples=1e15) == pytest.approx(refined, rel=1e-9, abs=1e-12)
        ridge = limit(target, N, activation, ridge=1e-12)
        assert ridge == pytest.approx(refined, rel=1e-4, abs=1e-4 * target.null_risk)
        assert limit(target, N, activation, n_samples=37, ridge=1e200) == pytest.approx(target.null_risk)


def test_other_covariances_of_the_weights():
    d = 20
    target, cov = fastlazy.exponential_target(d, rng=0), np.linspace(0.1, 2.0, d) / d
    for activation in ("square", "relu"):
        refined = rf_risk_limit(target, 30, activation, cov=cov, refined=True)
        assert rf_risk_limit(target, 30, activation, cov=cov, n_samples=math.inf) == refined
        draws = [
            fastlazy.rf_learning_curve(
                target, fastlazy.draw_weights(30, d, cov=cov, rng=k), 300, activation, ridge=0.02
            )
            for k in range(20)
        ]
        got = rf_risk_limit(target, 30, activation, cov=cov, n_samples=300, ridge=0.02)
        assert got == pytest.approx(np.mean(draws), rel=0.03)
    with pytest.raises(ValueError, match="for finite n_samples or a ridge no prediction is known with this cov"):
        nt_risk_limit(target, 30, cov=cov, n_samples=300)


def test_a_multiple_of_the_identity_by_either_form():
    """The closed form and the sectors agree where degrees above two are noise."""
    target = drawn_target(40)
    moments = rf_limit.moments_at(fastlazy.get_activation("relu"), 1.0)
    closed = rf_limit.refined_equivalent(np.full(40, 1 / 40), target.B / np.abs(target.B).max(), 30, moments)
    m = np.trace(target.B) ** 2 / (40 * np.sum(target.B**2))
    by_sectors = sectors.sector_equivalent(fastlazy.get_activation("relu"), 1.0, 30, 40, m)
    for nu in (0.0, 1e-3, 0.1, 10.0):
        assert by_sectors.respond(nu)[:3] == pytest.approx(closed.respond(nu)[:3], rel=0.03)
        assert by_sectors.df1(nu) == pytest.approx(by_sectors.respond(nu).df1)


@EACH
def test_responses_are_derivatives_of_one_another(regime):
    """The risk is P - nu P', and df2 is df1 + nu df1', by differences; P falls to the risk at nu = 0."""
    from fastlazy.risk.nt_limit import square_equivalent, tangent_equivalent

    relu = fastlazy.get_activation("relu")
    if regime == "RF":
        square = rf_limit.moments_at(fastlazy.get_activation("square"), 1.0)
        features = [
            sectors.sector_equivalent(relu, 1.0, 30, 10, 0.4),
            rf_limit.refined_equivalent(np.linspace(0.05, 0.15, 10), drawn_target(10).B, 30, square),
        ]
    else:
        features = [tangent_equivalent(relu, 1.0, 7, 10, 0.4), square_equivalent(1.0, 7, 10, 0.4)]
    for one in features:
        for nu in (1e-3, 0.05, 2.0):
            step = 1e-4
            low, high = one.df1(nu * math.exp(-step)), one.df1(nu * math.exp(step))
            at = one.respond(nu)
            assert at.df2 == pytest.approx(at.df1 + (high - low) / (2 * step), rel=1e-6)
            assert 0 <= at.df2 <= at.df1 <= one.span
        risks = [one.respond(nu).lost for nu in (0.0, 1e-6, 1e-3, 0.1, 10.0, 1e9)]
        assert risks == sorted(risks)
        assert risks[-1] == pytest.approx(1, abs=1e-6)
        assert risks[0] == pytest.approx(risks[1], abs=1e-2)


@pytest.mark.sampled(1)
@EACH
def test_the_best_ridge(regime):
    limit, _ = LIMITS[regime]
    target = fastlazy.exponential_target(20, rng=0)
    for activation in ("square", "relu"):
        for n in (10, 900):
            best = limit(target, 15, activation, n_samples=n, ridge="best")
            others = [limit(target, 15, activation, n_samples=n, ridge=r) for r in np.geomspace(1e-4, 1e4, 30)]
            assert best.risk <= min(others)
            assert limit(target, 15, activation, n_samples=n, ridge=best.ridge) == pytest.approx(best.risk, rel=1e-9)
    risk, ridge = limit(target, 15, "tanh", n_samples=40, ridge="best")
    assert (risk, ridge) == (target.null_risk, math.inf)
    assert limit(QuadraticTarget(np.zeros((4, 4))), 3, n_samples=5, ridge="best") == (0.0, 0.0)
    assert limit(QuadraticTarget(np.zeros((4, 4))), 3, n_samples=3) == 0.0


@EACH
def test_shapes_are_those_of_the_arguments(regime):
    limit, _ = LIMITS[regime]
    target = drawn_target(5)
    whole = limit(target, 4, "relu", n_samples=[10, 50, math.inf], ridge=[0.01, 1.0])
    assert whole.shape == (3, 2)
    assert whole[1, 0] == limit(target, 4, "relu", n_samples=50, ridge=0.01)
    assert whole[2, 1] == limit(target, 4, "relu", ridge=1.0)
    assert limit(target, 4, n_samples=[10], ridge="best").ridge.shape == (1,)
    assert limit(QuadraticTarget(np.zeros((4, 4))), 3, n_samples=[3, 4]).tolist() == [0.0, 0.0]


@EACH
def test_it_peaks(regime):
    limit, _ = LIMITS[regime]
    target = fastlazy.exponential_target(10, rng=0)
    features = 30 if regime == "RF" else 300
    assert limit(target, 30, "relu", n_samples=features) == math.inf
    assert limit(target, 30, "relu", n_samples=features, ridge=0.1) < 3 * target.null_risk


@EACH
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"n_samples": 0.5}, ValueError, "n_samples must be at least 1"),
        ({"n_samples": [[10, 20]]}, ValueError, "n_samples must be 0-dimensional or 1-dimensional"),
        ({"n_samples": "all"}, TypeError, "n_samples must hold real numbers"),
        ({"ridge": -1}, ValueError, "ridge must be at least 0"),
        ({"ridge": [1.0, -1.0]}, ValueError, "ridge must be at least 0, got -1"),
        ({"ridge": "least"}, ValueError, "'best'"),
    ],
)
def test_bad_arguments_are_named(regime, given, error, message):
    with pytest.raises(error, match=message):
        LIMITS[regime][0](drawn_target(4), 3, **given)
