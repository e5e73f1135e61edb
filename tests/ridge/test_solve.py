"""The arithmetic of ridge regression: both forms against a plain solve, leave-one-out, singular problems."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlazy.ridge import solve as solve_module
from tests import naive_fits as naive

ALPHAS = np.array([0.01, 1.0, 30.0])


def draw(n, P, t=2, seed=0):
    rng = np.random.default_rng([n, P, t, seed])
    return rng.standard_normal((n, P)) + 3 * rng.standard_normal(P), rng.standard_normal((n, t)) + 5


def solved(form, F, y, alphas, intercept):
    """theta, c and the solution by one of the two forms."""
    F = F.copy()
    if form == "dual":
        found = solve_module.solve_dual(F @ F.T, y, alphas, intercept=intercept)
        return F.T @ found.coefficients, found.offset, found
    means = F.mean(axis=0) if intercept else np.zeros(F.shape[1])
    shift = y.mean(axis=0) if intercept else 0
    C = F - means

    def blocks():
        for start in range(0, len(y), 7):
            yield slice(start, start + 7), C[start : start + 7]

    found = solve_module.solve_primal(C.T @ C, C.T @ (y - shift), means, y, alphas, blocks, intercept=intercept)
    return found.coefficients, found.offset, found


FORMS = pytest.mark.parametrize("form", ["primal", "dual"])


@FORMS
@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 25), P=st.integers(1, 25), intercept=st.booleans(), alpha=st.sampled_from([0.1, 2.0, 1e4]))
def test_both_forms_solve_the_problem(form, n, P, intercept, alpha):
    F, y = draw(n, P)
    theta, c, found = solved(form, F, y, np.array([alpha]), intercept)
    wanted = naive.ridge(F, y, alpha, intercept)
    np.testing.assert_allclose(F @ theta + c, F @ wanted[0] + wanted[1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(theta, wanted[0], rtol=0, atol=1e-9)
    assert found.jitter == 0
    assert found.alpha == alpha
    assert found.score is None


@FORMS
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("n", "P"), [(20, 6), (9, 30)])
def test_leave_one_out_is_what_it_says(form, intercept, n, P):
    F, y = draw(n, P)
    losses = [np.mean(naive.leave_one_out(F, y, alpha, intercept) ** 2) for alpha in ALPHAS]
    theta, c, found = solved(form, F, y, ALPHAS, intercept)
    assert found.alpha == ALPHAS[np.argmin(losses)]
    assert found.score == pytest.approx(-min(losses), rel=1e-9)
    wanted = naive.ridge(F, y, found.alpha, intercept)
    np.testing.assert_allclose(F @ theta + c, F @ wanted[0] + wanted[1], rtol=0, atol=1e-9)


@FORMS
def test_each_alpha_has_its_own_errors(form):
    F, y = draw(12, 5)
    for alpha in ALPHAS:  # twice the same, so that the errors are computed, and none other can win
        found = solved(form, F, y, np.array([alpha, alpha]), True)[2]
        loss = np.mean(naive.leave_one_out(F, y, alpha, True) ** 2)
        assert found.score == pytest.approx(-loss, rel=1e-9)


def test_a_factor_in_single_precision_leaves_double(monkeypatch):
    F, y = draw(60, 90)
    K = F @ F.T
    monkeypatch.setattr(solve_module, "_MIXED", 10)
    called = []
    inner = solve_module._solve_mixed
    monkeypatch.setattr(solve_module, "_solve_mixed", lambda *a: called.append(inner(*a)) or called[-1])
    found, jitter = solve_module.solve(K.copy(), y, 0.5)
    wanted = np.linalg.solve(K + 0.5 * np.eye(60), y)
    np.testing.assert_allclose(
        found, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max() * np.linalg.cond(K + np.eye(60))
    )
    assert called[0] is not None
    assert jitter == 0
    # beyond what single precision tells from zero it is not tried
    ill = F[:, :30] @ F[:, :30].T
    solve_module.solve(ill, y, 1e-12 * np.abs(ill).max())
    assert called[-1] is None


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_scales_do_not_matter_to_mixed_precision(monkeypatch, scale):
    monkeypatch.setattr(solve_module, "_MIXED", 10)
    F, y = draw(30, 50)
    found, _ = solve_module.solve(F @ F.T, scale * y, 1.0)
    np.testing.assert_allclose(found, scale * np.linalg.solve(F @ F.T + np.eye(30), y), rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_singular_problem_is_solved_and_told(dtype):
    F, y = draw(20, 4)
    y -= y.mean(axis=0)
    K = (F @ F.T).astype(dtype)
    with pytest.warns(scipy.linalg.LinAlgWarning, match=r"jitter of [\d.e-]+ was added to the diagonal"):
        u, jitter = solve_module.solve(K.copy(), y.astype(dtype), 0.0)
    assert u.dtype == dtype
    assert 0 < jitter < 1e-2 * np.abs(K).max()
    least_squares = F @ np.linalg.lstsq(F, y, rcond=None)[0]
    error = np.abs(F @ (F.T @ u.astype(float)) - least_squares).max()
    assert error < {np.float64: 1e-5, np.float32: 0.1}[dtype] * np.abs(y).max()


def test_the_ladder_is_climbed_from_the_matrix_itself():
    """Each rung factors the same matrix, though the rung before overwrote one triangle of it."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((700, 700))
    A = A @ A.T
    overwritten = A.copy()
    overwritten[np.triu_indices(700, 1)] = np.nan
    solve_module._mirror(overwritten)
    np.testing.assert_array_equal(overwritten, np.tril(A) + np.tril(A, -1).T)


def test_eigenvalues_are_the_last_resort():
    A = np.diag(np.r_[np.ones(9), -0.5])
    with pytest.warns(scipy.linalg.LinAlgWarning, match="taken for zero"):
        X, cut = solve_module.solve(A, np.ones((10, 1)), 0.0)
    np.testing.assert_allclose(X[:, 0], np.r_[np.ones(9), 0])
    assert cut > 0


def test_many_alphas_with_a_singular_one():
    F, y = draw(15, 4)
    F = F[:, [0, 1, 2, 2]]
    y = F[:, :2] + 0.01 * y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.linalg.LinAlgWarning)
        found = solved("primal", F, y, np.array([0.0, 1e9]), True)[2]
    assert found.alpha == 0
    assert found.jitter > 0
    assert np.isfinite(found.coefficients).all()
