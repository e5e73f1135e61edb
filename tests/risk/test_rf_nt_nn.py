"""Exact risks: against least squares over explicit matrices, as properties, and in their limits."""

import functools

import naive
import numpy as np
import pytest
from drawn_risks import FORMS, LAZY, drawn_target, drawn_weights
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlazy.risk.network import network_risk
from fastlazy.risk.nn import nn_risk
from fastlazy.risk.nt import nt_risk
from fastlazy.risk.rf import rf_risk
from fastlazy.targets.quadratic import QuadraticTarget

# Every example anew in each run would make a failure hard to repeat.
examples = settings(max_examples=25, deadline=None, derandomize=True, database=None)
seeds, dimensions, widths = st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 12)


def close(target, expected, rel=1e-9):
    """Equality up to *rel* of the null risk."""
    return pytest.approx(expected, abs=rel * target.null_risk, rel=0)


SIZES = [(1, 1), (1, 3), (2, 1), (2, 2), (2, 5), (3, 2), (4, 1), (4, 9), (4, 10), (4, 11), (5, 30), (6, 4), (8, 20)]


@LAZY
@pytest.mark.parametrize(("d", "N"), SIZES)
def test_lazy_risks_equal_least_squares(risk, d, N):
    for seed in range(3):
        target, W = drawn_target(d, seed), drawn_weights(N, d, seed)
        assert risk(target, W) == close(target, naive.best_risk(FORMS[risk](W), target.B))


@pytest.mark.parametrize(("d", "N"), SIZES)
def test_least_squares_agrees_on_where_the_risk_is_zero(d, N):
    target, W = drawn_target(d), drawn_weights(N, d)
    assert (rf_risk(target, W) < 1e-12 * target.null_risk) == (d * (d + 1) / 2 <= N)
    assert (nt_risk(target, W) < 1e-12 * target.null_risk) == (d <= N)


def degenerate_weights():
    rng = np.random.default_rng(5)
    W = rng.standard_normal((6, 5))
    return {
        "duplicate rows": W[[0, 0, 1, 2, 2, 2]],
        "opposite rows": np.vstack([W[:3], -W[:3]]),
        "multiples of a row": np.outer(rng.standard_normal(6), W[0]),
        "zero rows": np.vstack([W[:2], np.zeros((3, 5)), W[2:4]]),
        "all zero": np.zeros((3, 5)),
        "rank 2": rng.standard_normal((9, 2)) @ W[:2],
        "rank 3": rng.standard_normal((4, 3)) @ W[:3],
        "all equal": np.ones((7, 5)),
        "unit vectors": np.eye(5),
        "many of everything": np.vstack([W, W, np.zeros((2, 5)), rng.standard_normal((9, 2)) @ W[:2]]),
        "negative zero": np.vstack([W[:2], -np.zeros((1, 5))]),
    }


@LAZY
@pytest.mark.parametrize("W", degenerate_weights().values(), ids=degenerate_weights())
def test_degenerate_weights(risk, W):
    target = drawn_target(5)
    assert risk(target, W) == close(target, naive.best_risk(FORMS[risk](W), target.B))


def test_without_directions_nothing_is_learned():
    target = drawn_target(4)
    for risk in FORMS:
        for ridge in (0.0, 0.5):
            assert risk(target, np.zeros((3, 4)), ridge=ridge) == pytest.approx(target.null_risk, rel=1e-13)


@LAZY
@pytest.mark.parametrize("N", [3, 7])
@pytest.mark.parametrize(
    "norms",
    [
        np.geomspace(1e-8, 1e8, 7),
        np.full(7, 1e-200),
        np.full(7, 1e200),
        np.array([1e-200, 1.0, 1e200, 1.0, 1e-8, 1e8, -1.0]),
        np.array([1e-300, 1e300, 1.0, 1.0, 1.0, 1.0, 1.0]),
    ],
    ids=["1e-8 to 1e8", "1e-200", "1e200", "mixed", "extreme"],
)
def test_norms_of_the_rows_do_not_matter(risk, N, norms):
    target, W = drawn_target(8), drawn_weights(7, 8)[:N]
    expected = naive.best_risk(FORMS[risk](W), target.B)
    assert expected > 0.01
    assert risk(target, norms[:N, None] * W) == close(target, expected)


@LAZY
@pytest.mark.parametrize("ridge", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize(("d", "N"), [(1, 1), (3, 2), (4, 12), (5, 3), (6, 6)])
def test_ridge_equals_penalised_least_squares(risk, ridge, d, N):
    target, W = drawn_target(d), drawn_weights(N, d)
    assert risk(target, W, ridge=ridge) == close(target, naive.ridge_risk(FORMS[risk](W), target.B, ridge))


@LAZY
@pytest.mark.parametrize("W", degenerate_weights().values(), ids=degenerate_weights())
def test_ridge_with_degenerate_weights(risk, W):
    target = drawn_target(5)
    assert risk(target, W, ridge=0.3) == close(target, naive.ridge_risk(FORMS[risk](W), target.B, 0.3))


@LAZY
def test_ridge_limits(risk):
    target = drawn_target(6)
    for N in (3, 8, 30):
        W = drawn_weights(N, 6)
        assert risk(target, W, ridge=1e-9) == close(target, risk(target, W), 1e-6)
        assert risk(target, W, ridge=1e12) == close(target, target.null_risk, 1e-6)
        path = [risk(target, W, ridge=ridge) for ridge in (0.0, *np.geomspace(1e-6, 1e6, 13))]
        assert np.all(np.diff(path) >= -1e-9 * target.null_risk)
        assert path[0] < path[5] < path[-1]


@LAZY
def test_ridge_depends_on_the_norms_of_the_rows(risk):
    target, W = drawn_target(4), drawn_weights(3, 4)
    # sigma(s w) a = s^2 sigma(w) a, and sigma'(s w) b = s sigma'(w) b: the penalty moves into the scale.
    power = {rf_risk: 4, nt_risk: 2}[risk]
    assert risk(target, 3 * W, ridge=3.0**power) == close(target, risk(target, W, ridge=1.0))
    assert abs(risk(target, 3 * W, ridge=1.0) - risk(target, W, ridge=1.0)) > 1e-4 * target.null_risk


@pytest.mark.parametrize("ridge", [1e-6, 1.0])
@pytest.mark.parametrize("norms", [(1e4, 1.0, 0.1), (1e8, 1.0, 1.0), (1e-200, 1.0, 2.0)])
def test_ridge_with_norms_far_apart(norms, ridge):
    """Orthogonal rows r_i e_i learn one entry each: RF loses B_ii ridge / (2 r_i^4 + ridge) of it."""
    target, r = drawn_target(3), np.array(norms)
    kept = np.where(np.eye(3, dtype=bool), ridge / (2 * r**4 + ridge), 1.0)
    assert rf_risk(target, np.diag(r), ridge=ridge) == close(target, 2 * np.sum((kept * target.B) ** 2))
    q = 4 * (r[:, None] ** 2 + r**2)
    assert nt_risk(target, np.diag(r), ridge=ridge) == close(target, 2 * np.sum((ridge / (q + ridge) * target.B) ** 2))


@examples
@given(seeds, dimensions, widths, st.sampled_from([0.0, 0.1]))
def test_rotations_do_not_matter(seed, d, N, ridge):
    target, W = drawn_target(d, seed), drawn_weights(N, d, seed)
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]
    rotated = QuadraticTarget(Q @ target.B @ Q.T, target.b0)
    for risk in FORMS:
        assert risk(rotated, W @ Q.T, ridge=ridge) == close(target, risk(target, W, ridge=ridge), 1e-8)
    assert nn_risk(rotated, N) == close(target, nn_risk(target, N))
    assert network_risk(rotated, W @ Q.T, 0.3, 0.2) == pytest.approx(network_risk(target, W, 0.3, 0.2), rel=1e-10)


@examples
@given(seeds, dimensions, widths, st.sampled_from([0.0, 0.1]))
def test_order_and_signs_of_the_rows_do_not_matter(seed, d, N, ridge):
    target, W = drawn_target(d, seed), drawn_weights(N, d, seed)
    rng = np.random.default_rng(seed)
    order, signs = rng.permutation(N), rng.choice([-1.0, 1.0], (N, 1))
    for risk in FORMS:
        assert risk(target, signs * W[order], ridge=ridge) == close(target, risk(target, W, ridge=ridge), 1e-8)
    a = rng.standard_normal(N)
    assert network_risk(target, (signs * W)[order], a[order]) == pytest.approx(network_risk(target, W, a), rel=1e-10)


@examples
@given(seeds, st.integers(2, 6), st.integers(2, 22))
def test_neurons_never_hurt(seed, d, N):
    target, W = drawn_target(d, seed), drawn_weights(N, d, seed)
    for risk in FORMS:
        path = np.array([risk(target, W[:k]) for k in range(1, N + 1)])
        assert np.all(np.diff(path) <= 1e-8 * target.null_risk)
    path = np.array([nn_risk(target, k) for k in range(1, N + 1)])
    assert np.all(np.diff(path) <= 0)


@examples
@given(seeds, dimensions, widths, st.sampled_from([1e-150, 1e-6, -1.0, 7.0, 1e6, 1e120]))
def test_risk_is_quadratic_in_the_target(seed, d, N, s):
    target, W = drawn_target(d, seed), drawn_weights(N, d, seed)
    scaled = QuadraticTarget(s * target.B, s * target.b0)
    for risk in (rf_risk, nt_risk, functools.partial(rf_risk, ridge=0.1), functools.partial(nt_risk, ridge=0.1)):
        assert risk(scaled, W) == pytest.approx(s**2 * risk(target, W), rel=1e-9, abs=1e-12 * scaled.null_risk)
    assert nn_risk(scaled, N) == pytest.approx(s**2 * nn_risk(target, N), rel=1e-9, abs=1e-12 * scaled.null_risk)
    expected = s**2 * network_risk(target, W, 0.3, 0.2)
    assert network_risk(scaled, W, s * 0.3, s * 0.2) == pytest.approx(expected, rel=1e-9)


@examples
@given(seeds, dimensions, widths, st.booleans())
def test_regimes_are_ordered(seed, d, N, definite):
    """RF is part of NT, whose S have rank at most 2 N, and of NN, whose S have rank N."""
    target, W = drawn_target(d, seed, definite=definite), drawn_weights(N, d, seed)
    rf, nt, slack = rf_risk(target, W), nt_risk(target, W), 1e-9 * target.null_risk
    assert 0 <= nt <= rf + slack
    assert rf <= target.null_risk + slack
    assert 0 <= nn_risk(target, 2 * N) <= nt + slack
    assert nn_risk(target, N) <= rf + slack


@examples
@given(seeds, dimensions, widths)
def test_no_network_beats_the_best_of_its_kind(seed, d, N):
    target, W = drawn_target(d, seed), drawn_weights(N, d, seed)
    a = np.random.default_rng(seed).standard_normal(N)
    slack = 1e-9 * target.null_risk
    best_offset = target.mean - a @ np.sum(W**2, axis=1)
    assert rf_risk(target, W) <= network_risk(target, W, a, best_offset) + slack
    assert nn_risk(target, N) <= network_risk(target, W, a, best_offset) + slack
    assert network_risk(target, W, a, best_offset) <= network_risk(target, W, a, best_offset + 0.1)


def test_the_best_second_layer_reaches_the_risk_of_random_features():
    target, W = drawn_target(4), drawn_weights(6, 4)
    design = np.stack([form.ravel() for form in naive.rf_forms(W)], axis=1)
    a = np.linalg.lstsq(design, target.B.ravel())[0]
    c = target.mean - a @ np.sum(W**2, axis=1)
    assert network_risk(target, W, a, c) == close(target, rf_risk(target, W))


@pytest.mark.parametrize("B", [[5.0, -4.0, 3.0, -2.0, 1.0], [5.0, 4.0, 3.0, 2.0, 1.0], [-5.0, -4.0, -3.0, -2.0, -1.0]])
def test_nn_risk_is_reached_by_the_largest_eigenvalues(B):
    target = QuadraticTarget(B, b0=0.7)
    assert [nn_risk(target, N) for N in (1, 2, 3, 4, 5, 6, 100)] == [60.0, 28.0, 10.0, 2.0, 0.0, 0.0, 0.0]
    for N in (1, 3, 5):
        W, a = np.eye(5)[:N] * np.sqrt(np.abs(B[:N]))[:, None], np.sign(B[:N])
        c = 0.7 + sum(B[N:])
        assert network_risk(target, W, a, c) == pytest.approx(nn_risk(target, N), abs=1e-12)


def test_nn_risk_of_a_full_matrix():
    target = drawn_target(7)
    U, s, V = np.linalg.svd(target.B)
    for N in range(1, 9):
        low_rank = (U[:, :N] * s[:N]) @ V[:N]
        assert nn_risk(target, N) == close(target, 2 * np.sum((target.B - low_rank) ** 2))


SECOND_LAYERS = {
    "signs": np.array([1.0, -1.0, 1.0]),
    "scalar": 0.7,
    "scalar array": np.array(0.7),
    "free": np.array([0.5, -2.0, 0.0]),
    "list": [1, -1, 2],
}


@pytest.mark.parametrize("a", SECOND_LAYERS.values(), ids=SECOND_LAYERS)
def test_network_risk_equals_the_gaussian_expectation(a):
    target, W = drawn_target(3), drawn_weights(3, 3)
    S = sum(weight * np.outer(w, w) for weight, w in zip(np.broadcast_to(a, 3), W, strict=True))
    expected = naive.quadratic_risk(S, -0.4, target.B, target.b0)
    assert network_risk(target, W, a, -0.4) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("a", list(SECOND_LAYERS.values())[:4], ids=list(SECOND_LAYERS)[:4])
def test_network_risk_equals_monte_carlo(a):
    target, W = drawn_target(4), drawn_weights(3, 4)
    X, y = target.sample(1_000_000, rng=11)
    squares = (naive.features(W, X) @ np.broadcast_to(a, 3) + 0.5 - y) ** 2
    assert network_risk(target, W, a, 0.5) == pytest.approx(squares.mean(), abs=3 * squares.std() / 1000)


def test_network_risk_defaults_to_ones_and_no_offset():
    target, W = drawn_target(4), drawn_weights(3, 4)
    assert network_risk(target, W) == network_risk(target, W, np.ones(3), 0.0)
    assert network_risk(target, W) != network_risk(target, W, np.ones(3), 1.0)


def test_the_constant_of_the_target_is_fitted():
    target, W = drawn_target(4), drawn_weights(3, 4)
    moved = QuadraticTarget(target.B, target.b0 + 5)
    assert rf_risk(moved, W) == rf_risk(target, W)
    assert nt_risk(moved, W) == nt_risk(target, W)
    assert nn_risk(moved, 2) == nn_risk(target, 2)
    assert network_risk(moved, W, 0.3, 6.0) == pytest.approx(network_risk(target, W, 0.3, 1.0), rel=1e-12)


def test_a_zero_target_is_free():
    target, W = QuadraticTarget(np.zeros(4), b0=3.0), drawn_weights(3, 4)
    assert rf_risk(target, W) == nt_risk(target, W) == nn_risk(target, 1) == 0
    assert network_risk(target, np.zeros((1, 4)), 1.0, 3.0) == 0


@pytest.mark.parametrize("distance", [1e-5, 1e-8, 1e-10])
def test_nearly_equal_rows_are_told_apart(distance):
    """The span of w w^T and (w + h v)(w + h v)^T holds w v^T + v w^T, however small h is."""
    rng = np.random.default_rng(0)
    W, V = rng.standard_normal((2, 4, 6))
    target = QuadraticTarget(rng.standard_normal(6))
    forms = naive.rf_forms(W) + [np.outer(w, v) + np.outer(v, w) for w, v in zip(W, V, strict=True)]
    limit = naive.best_risk(forms, target.B)
    assert rf_risk(target, np.vstack([W, W + distance * V])) == pytest.approx(limit, rel=100 * distance + 1e-5)
    assert limit < 0.9 * rf_risk(target, W)
