"""The tangent model by quadrature, beside its eigenvalues: rules, bounds, and the error that is promised."""

import math
import warnings

import numpy as np
import pytest

import fastlazy
from fastlazy.kernels.nt_gram import dense, tangent_gram, tangent_slopes
from fastlazy.risk import learning_curves
from fastlazy.risk.nt_quadrature import _known_part, _Lanczos, _probe


def gram_of(W, activation):
    sigma = fastlazy.get_activation(activation)
    return tangent_gram(tangent_slopes(W, sigma), np.dtype(np.float64), True, True)


@pytest.fixture
def by_quadrature(monkeypatch):
    def curve(*args, **options):
        with monkeypatch.context() as patch:
            patch.setattr(learning_curves, "_LARGEST", 0)
            return fastlazy.nt_learning_curve(*args, **options)

    return curve


@pytest.mark.parametrize("activation", ["relu", "gelu", "cos"])
def test_rules_are_exact_for_polynomials_and_bound_resolvents(activation):
    W = fastlazy.draw_weights(7, 5, rng=0)
    gram = gram_of(W, activation)
    K, start = dense(gram), np.random.default_rng(1).standard_normal((7, 5))
    run = _Lanczos(gram, start)
    for steps in (3, 4):
        assert run.advance(steps) == steps
    (gauss, weights), (radau, others) = run.rules()
    v = start.ravel()
    for power in range(14):  # 2 k - 1 for k = 7 places, and one more with the place at zero
        exact = v @ np.linalg.matrix_power(K, power) @ v
        assert np.sum(weights * gauss**power) == pytest.approx(exact, rel=1e-9)
        assert np.sum(others * radau**power) == pytest.approx(exact, rel=1e-9)
    assert radau.min() < 1e-12 * radau.max()
    for nu in (1e-4, 1e-2, 1.0):
        for power in (1, 2):
            exact = v @ np.linalg.matrix_power(np.linalg.inv(K + nu * np.eye(35)), power) @ v
            low, high = np.sum(weights / (gauss + nu) ** power), np.sum(others / (radau + nu) ** power)
            assert low <= exact * (1 + 1e-12)
            assert exact <= high * (1 + 1e-12)


def test_an_iteration_ends_where_the_space_does():
    W = np.vstack([fastlazy.draw_weights(2, 3, rng=0)] * 2)  # rank at most 6 of 12
    run = _Lanczos(gram_of(W, "relu"), np.ones((4, 3)))
    assert run.advance(40) < 12
    assert run.exhausted
    assert run.advance(5) == 0
    nothing = _Lanczos(gram_of(W, "relu"), np.zeros((4, 3)))
    assert nothing.exhausted
    assert nothing.rules()[0][1].sum() == 0


@pytest.mark.parametrize("activation", ["relu", "gelu", "softplus"])
def test_the_known_part_has_the_trace_it_says(activation):
    """Its forms <z, C z> by all unit vectors: they sum to the counts, which are those of degree one and two."""
    d, N = 4, 5
    gram = gram_of(fastlazy.draw_weights(N, d, rng=0), activation)
    known = _known_part(gram)
    assert known.counts.sum() == d * (d + 1) / 2 + d
    rows = np.eye(N * d).reshape(-1, N, d)
    made = np.zeros(len(known.counts))
    for z in rows:
        form = known.weighted.T @ z @ known.basis
        form = (form + form.T) / 2
        squares = np.divide(form**2, known.norms, out=np.zeros_like(form), where=known.norms > 0)
        made[:-1] += np.bincount(known.place.ravel(), squares.ravel(), len(made) - 1)
        made[-1] += np.sum((known.g_0 @ z) ** 2) / np.sum(known.g_0**2)
    np.testing.assert_allclose(made, known.counts, atol=1e-9)
    probe = _probe(gram, known, 3)
    assert probe.missed.sum() == pytest.approx(0, abs=2 * known.counts.sum())
    assert not np.array_equal(probe.missed, _probe(gram, known, 4).missed)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "cos"])
@pytest.mark.parametrize(("N", "d"), [(30, 20), (12, 40)])
def test_it_is_within_the_promised_error_of_the_eigenvalues(by_quadrature, activation, N, d, seed):
    target = fastlazy.exponential_target(d, rng=0)
    n, ridge = np.geomspace(4, 30 * N * d, 12), [0.0, 0.01, 1.0]
    W = fastlazy.draw_weights(N, d, rng=seed)
    exact = fastlazy.nt_learning_curve(target, W, n, activation, ridge=ridge)
    got = by_quadrature(target, W, n, activation, ridge=ridge, tolerance=0.01)
    # the tolerance is of risk / (1 - df2 / n); without a ridge df2 is at most min(n, N d)
    np.testing.assert_allclose(got[:, 1:], exact[:, 1:], rtol=0.01)
    far = (n < N * d / 2) | (n > 2 * N * d)
    np.testing.assert_allclose(got[far, 0], exact[far, 0], rtol=0.02)
    best, other = (
        curve(target, W, n[::4], activation, ridge="best", **options)
        for curve, options in ((fastlazy.nt_learning_curve, {}), (by_quadrature, {"tolerance": 0.01}))
    )
    np.testing.assert_allclose(other.risk, best.risk, rtol=0.01)


def test_a_smaller_tolerance_is_a_smaller_error(by_quadrature):
    target, W = fastlazy.exponential_target(20, rng=0), fastlazy.draw_weights(30, 20, rng=1)
    n = [30, 300, 2000]
    exact = fastlazy.nt_learning_curve(target, W, n, "relu", ridge=0.01)
    for tolerance in (0.05, 0.003):
        np.testing.assert_allclose(
            by_quadrature(target, W, n, "relu", ridge=0.01, tolerance=tolerance), exact, rtol=tolerance
        )
    again = [by_quadrature(target, W, n, "relu", ridge=0.01, tolerance=0.05) for _ in range(2)]
    np.testing.assert_array_equal(*again)


def test_ends_are_the_exact_risks(by_quadrature):
    target, W = fastlazy.exponential_target(15, rng=0), fastlazy.draw_weights(20, 15, rng=1)
    for ridge in (0.0, 0.01, 1.0):
        exact = fastlazy.nt_risk(target, W, "relu", ridge=ridge)
        got = by_quadrature(target, W, math.inf, "relu", ridge=ridge, tolerance=0.01)
        assert got == pytest.approx(exact, rel=1e-8, abs=2e-9 * target.null_risk)
    for n in (300, [300], [20, 300], [250, 300]):  # as many samples as features
        assert np.ravel(by_quadrature(target, W, n, "relu", tolerance=0.01))[-1] == math.inf
    exact = fastlazy.nt_risk(target, W, "relu") / (1 - 300 / 3000)
    assert by_quadrature(target, W, 3000, "relu") == pytest.approx(exact, rel=1e-6)


def test_a_long_list_is_as_good_as_a_short_one(by_quadrature):
    """Errors are watched at a few sizes first, and then at the worst of all."""
    target, W = fastlazy.exponential_target(20, rng=0), fastlazy.draw_weights(30, 20, rng=1)
    n = np.append(np.geomspace(20, 3000, 40), 600.0)
    exact, got = fastlazy.nt_learning_curve(target, W, n, "relu"), by_quadrature(target, W, n, "relu", tolerance=0.01)
    far = np.abs(n / 600 - 1) > 0.2
    np.testing.assert_allclose(got[far], exact[far], rtol=0.02)
    assert got[-1] == math.inf


def test_too_few_iterations_are_told(by_quadrature):
    target, W = fastlazy.exponential_target(20, rng=0), fastlazy.draw_weights(30, 20, rng=1)
    with pytest.warns(
        RuntimeWarning, match=r"nt_learning_curve: the risk of n = .* may be off by .*larger max_iterations"
    ):
        by_quadrature(target, W, [30, 300], "relu", max_iterations=80, tolerance=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_quadrature(target, W, [30, 300], "relu", tolerance=0.05)


@pytest.mark.slow
def test_large_problems_in_parts_of_the_promise(by_quadrature):
    """The error that is promised with 99 % holds at four sizes of each of two problems at N d = 4000."""
    d, N = 50, 80
    target = fastlazy.exponential_target(d, rng=0)
    n = np.array([100.0, 1000.0, 3000.0, 20_000.0])
    for seed in range(2):
        W = fastlazy.draw_weights(N, d, rng=seed)
        exact = fastlazy.nt_learning_curve(target, W, n, "relu", ridge=0.01)
        got = by_quadrature(target, W, n, "relu", ridge=0.01, tolerance=4e-3)
        assert np.abs(got / exact - 1).max() < 4e-3
