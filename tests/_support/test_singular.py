"""Rows that nearly agree: the digits of a risk are kept, or a warning says how many are lost."""

import re
import warnings

import naive_exact
import numpy as np
import pytest

from fastlazy import QuadraticTarget, nt_risk, rf_function, rf_risk
from fastlazy.risk import nt_solver, projections
from fastlazy.targets.library import exponential_target
from fastlazy.targets.weights import draw_weights

D = 4


def target(d=D):
    B = np.random.default_rng(d).standard_normal((d, d))
    return QuadraticTarget(B + B.T)


def near_rows(kind, N, h, d=D):
    """Rows at distances of about h from each other: in pairs, pairs of other lengths, or all."""
    rng = np.random.default_rng([d, N])
    V = rng.standard_normal((N, d))
    if kind == "all":
        return rng.standard_normal(d) + h * V
    W = rng.standard_normal((N, d))
    W[N // 2 : 2 * (N // 2)] = W[: N // 2]
    W += h * V
    return W * rng.uniform(0.1, 10, (N, 1)) if kind == "lengths" else W


def off(risk, exact, null):
    """The error over the null risk, and what was said of it: 0 if nothing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = risk()
    said = [float(re.search(r"off by ([0-9.e+-]+\d)", str(one.message))[1]) for one in caught]
    return abs(found - exact) / null, max(said, default=0.0)


@pytest.mark.parametrize("N", [3, 6, 9, 10, 14])  # up to 10 functions are independent
@pytest.mark.parametrize("h", [1e-1, 1e-3, 1e-5, 10**-6.5, 1e-8, 1e-9, 1e-12])
@pytest.mark.parametrize("kind", ["pairs", "lengths"])
def test_pairs_of_rows_keep_all_digits(kind, h, N):
    T, W = target(), near_rows(kind, N, h)
    exact = naive_exact.rf_risk("square", T.B, W)
    assert rf_risk(T, W) == pytest.approx(exact, abs=1e-13 * T.null_risk, rel=0)
    residual = rf_function(T, W).B - T.B
    assert 2 * np.sum(residual**2) == pytest.approx(exact, abs=1e-13 * T.null_risk, rel=0)


@pytest.mark.parametrize("N", [3, 6, 9, 10, 14])
@pytest.mark.parametrize("h", [1e-1, 1e-3, 1e-5, 10**-6.5, 1e-8, 1e-9])
def test_of_many_rows_that_nearly_agree_digits_are_lost_once(h, N):
    """Differences of differences are of size h beside the differences: their rounding is 1e-16 / h, not its square."""
    T, W = target(), near_rows("all", N, h)
    error, said = off(lambda: rf_risk(T, W), naive_exact.rf_risk("square", T.B, W), T.null_risk)
    assert error <= 1e-14 / h
    assert said >= error or error <= 1e-9


@pytest.mark.parametrize("N", [3, 6, 9, 10])
@pytest.mark.parametrize("h", [1e-1, 1e-2, 1e-3, 1e-5, 1e-8, 1e-10])
@pytest.mark.parametrize("kind", ["pairs", "all"])
def test_too_many_rows_for_their_features_keep_digits_or_say_so(monkeypatch, kind, h, N):
    monkeypatch.setattr(projections, "_FEATURE_ENTRIES", 0)
    T, W = target(), near_rows(kind, N, h)
    error, said = off(lambda: rf_risk(T, W), naive_exact.rf_risk("square", T.B, W), T.null_risk)
    assert error <= 1e-9 or said > 0
    if h >= 1e-2:
        assert (error < 1e-9) & (said == 0)


SEPARATIONS = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 10**-6.5, 10**-7.5, 1e-9, 1e-11]


@pytest.mark.parametrize("kind", ["pairs", "all"])
@pytest.mark.parametrize("N", [2, 5])
@pytest.mark.parametrize("h", SEPARATIONS)
@pytest.mark.parametrize("activation", ["exp", "relu"])
def test_random_features_of_any_function_say_what_is_lost(activation, h, N, kind):
    T, W = target(), near_rows(kind, N, h) / 2
    exact = naive_exact.rf_risk(activation, T.B, W)
    error, said = off(lambda: rf_risk(T, W, activation), exact, T.null_risk)
    assert error <= 1e-9 or said > 0
    if h >= 1e-2:
        assert (error < 1e-9) & (said == 0)


@pytest.mark.sampled(30)
@pytest.mark.parametrize("iterate", [False, True], ids=["dense", "iteration"])
@pytest.mark.parametrize("kind", ["pairs", "all"])
@pytest.mark.parametrize("h", SEPARATIONS)
@pytest.mark.parametrize("activation", ["exp", "relu"])
def test_the_tangent_model_says_what_is_lost(monkeypatch, activation, h, kind, iterate):
    if iterate:
        monkeypatch.setattr(nt_solver, "SMALL", 0)
    T, W = target(), near_rows(kind, 4, h) / 2
    exact = naive_exact.nt_risk(activation, T.B, W)
    error, said = off(lambda: nt_risk(T, W, activation), exact, T.null_risk)
    assert error <= 1e-8 * exact / T.null_risk + 1e-9 or said > 0
    if h >= 1e-1:
        assert said == 0


@pytest.mark.parametrize("iterate", [False, True], ids=["dense", "iteration"])
@pytest.mark.parametrize("activation", ["square", "relu", "softplus", "exp"])
def test_equal_rows_are_one_row_and_nothing_is_said(monkeypatch, activation, iterate):
    if iterate:
        monkeypatch.setattr(nt_solver, "SMALL", 0)
    T, W = target(), near_rows("pairs", 6, 1.0)
    for risk in (rf_risk, nt_risk):
        assert risk(T, W[[0, 1, 1, 2, 0, 3]], activation) == pytest.approx(risk(T, W[:4], activation), rel=1e-9)


def test_rows_equal_up_to_rounding_are_one_row():
    T, W = target(), near_rows("pairs", 4, 1.0)
    lengths = np.array([1.0, 3.3, 0.7, 1e9])[:, None]
    assert rf_risk(T, np.vstack([W, lengths * W])) == pytest.approx(rf_risk(T, W), rel=1e-12)


@pytest.mark.parametrize("activation", ["square", "he2", "relu", "softplus", "cos"])
@pytest.mark.parametrize(("N", "d"), [(300, 2), (60, 5), (40, 60), (400, 20)])
def test_ordinary_rows_are_left_alone(activation, N, d):
    """Many rows in few dimensions are near each other by chance; warnings are errors here."""
    T, W = exponential_target(d, rng=0), draw_weights(N, d, rng=1)
    if activation in ("square", "he2") or d > 5:
        assert 0 <= rf_risk(T, W, activation) <= T.null_risk


def test_a_small_ridge_leaves_digits():
    """A ridge far below the rounding of U: least squares in the features, not in U."""
    T, W = target(), near_rows("pairs", 6, 1e-4)
    limit = rf_risk(T, W)
    for ridge in (1e-14, 1e-18, 1e-22):
        assert rf_risk(T, W, ridge=ridge) == pytest.approx(limit, rel=max(1e-7, 1e9 * ridge))
