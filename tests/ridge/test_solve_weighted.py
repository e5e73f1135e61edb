"""Ridge regression with weights of samples: both forms against a plain solve, repeated rows and leave-one-out."""

from __future__ import annotations

import numpy as np
import pytest

import fastlazy
from fastlazy.ridge import linear_models
from fastlazy.ridge import solve as solve_module
from tests import naive_fits as naive

ALPHAS = np.array([0.01, 1.0, 30.0])
INTERCEPT = pytest.mark.parametrize("intercept", [True, False])
# (n, N, d): RF primal and dual; NT primal, dual, and between
SHAPES = pytest.mark.parametrize(("n", "N", "d"), [(40, 15, 4), (15, 40, 4), (60, 2, 4), (60, 9, 4)])


def draw(n, P, t=2):
    rng = np.random.default_rng([n, P, t])
    weight = rng.exponential(size=n) + 0.01
    return rng.standard_normal((n, P)) + 3, rng.standard_normal((n, t)) + 5, weight / weight.mean()


def solved(form, F, y, alphas, intercept, weight):
    """theta, c and the solution by one of the two forms."""
    if form == "dual":
        found = solve_module.solve_dual(F @ F.T, y, alphas, intercept=intercept, weight=weight)
        return F.T @ found.coefficients, found
    means = weight @ F / len(F) if intercept else np.zeros(F.shape[1])
    shift = weight @ y / len(y) if intercept else 0
    root = np.sqrt(weight)[:, None]
    C, moments = root * (F - means), (root * (F - means)).T @ (root * (y - shift))

    def blocks():
        for start in range(0, len(y), 7):
            yield slice(start, start + 7), C[start : start + 7]

    found = solve_module.solve_primal(
        C.T @ C, moments, means, y, alphas, blocks, intercept=intercept, weight=weight
    )  # fmt: skip
    return found.coefficients, found


@pytest.mark.parametrize("form", ["primal", "dual"])
@INTERCEPT
@pytest.mark.parametrize(("n", "P"), [(20, 6), (9, 30)])
def test_both_forms_weigh_samples_and_those_left_out(form, intercept, n, P):
    F, y, weight = draw(n, P)
    theta, found = solved(form, F, y, np.array([0.7]), intercept, weight)
    wanted = naive.ridge(F, y, 0.7, intercept, weight)
    np.testing.assert_allclose(theta, wanted[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.offset, wanted[1], rtol=0, atol=1e-9)
    errors = [naive.leave_one_out(F, y, alpha, intercept, weight) for alpha in ALPHAS]
    losses = [np.average(np.mean(part**2, axis=1), weights=weight) for part in errors]
    found = solved(form, F, y, ALPHAS, intercept, weight)[1]
    assert found.alpha == ALPHAS[np.argmin(losses)]
    assert found.score == pytest.approx(-min(losses), rel=1e-9)


@SHAPES
@pytest.mark.parametrize("activation", ["relu", "square"])
@INTERCEPT
def test_whole_weights_are_repeated_samples(n, N, d, activation, intercept):
    rng = np.random.default_rng([n, N])
    X, y, W = rng.standard_normal((n, d)), rng.standard_normal((n, 2)) + 3, rng.standard_normal((N, d)) / 2
    weight, sigma = rng.integers(1, 4, n), fastlazy.get_activation(activation)
    many = X.repeat(weight, axis=0), y.repeat(weight, axis=0)
    for fit, options in [
        (linear_models.fit_rf, {}),
        (linear_models.fit_nt, {}),
        (linear_models.fit_nt, {"include_rf": True}),
    ]:
        options = options | {"intercept": intercept}
        weighted = fit(X, y, W, sigma, np.array([0.3]), weight=weight.astype(float), **options)
        repeated = fit(*many, W, sigma, np.array([0.3]), **options)
        assert weighted.ridge.alpha == 0.3
        for name in ("a", "b", "offset"):
            if getattr(repeated, name) is not None:
                np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("n", "N"), [(300, 20), (60, 200)])
def test_single_precision_keeps_a_large_mean(n, N):
    """The samples that count lie elsewhere than the others: means are those of the weights."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 4)) + np.where(np.arange(n) % 3, 300.0, 200.0)[:, None]
    weight, W = np.where(np.arange(n) % 3, 1e-3, 1.0), rng.standard_normal((N, 4)) / 2
    y, sigma = X[:, :1] / 100 + 0.1 * rng.standard_normal((n, 1)), fastlazy.get_activation("relu")
    for fit in (linear_models.fit_rf, linear_models.fit_nt):
        single, double = (
            fit(X.astype(dtype), y, W.astype(dtype), sigma, np.array([1.0]), weight=weight).values(X.astype(dtype))
            for dtype in (np.float32, np.float64)
        )
        counted = weight == 1
        np.testing.assert_allclose(single[counted], double[counted], rtol=0, atol=0.01)


def test_a_penalty_beyond_numbers_is_refused():
    X, y, _ = draw(20, 3)
    with pytest.raises(ValueError, match=r"alpha over the mean of sample_weight overflows float64, got weights up to"):
        linear_models.fit_rf(X, y, X, fastlazy.get_activation("relu"), np.array([1e10]), weight=np.full(20, 1e-300))
