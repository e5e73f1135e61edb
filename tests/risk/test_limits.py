"""Predictions: the published numbers, matrices written out, exact risks of drawn weights, and limits."""

import naive
import numpy as np
import pytest
from drawn import COVS, drawn_covs, drawn_target, matrix, printed, published_target
from threadpoolctl import threadpool_limits

from fastlazy.risk.limits import nt_risk_limit, rf_risk_limit
from fastlazy.risk.nn import nn_risk, nn_risk_limit
from fastlazy.risk.nt import nt_risk
from fastlazy.risk.rf import rf_risk
from fastlazy.targets.quadratic import QuadraticTarget
from fastlazy.targets.weights import draw_weights


@pytest.fixture(autouse=True)
def _one_blas_thread():
    # The matrices are small, and several threads would wait for one another on a busy machine.
    with threadpool_limits(limits=1):
        yield


PUBLISHED = [
    (30, ".9694", ".9692", ".9015", ".4972"),
    (86, ".9216", ".9209", ".7299", ".2145"),
    (200, ".8496", ".8482", ".4293", ".0472"),
    (306, ".8021", ".8000", ".2088", ".0066"),
    (450, ".7556", ".7525", ".0000", ".0000"),
    (1342, ".6339", ".6258", ".0000", ".0000"),
    (4500, ".5556", ".5311", ".0000", ".0000"),
]


@pytest.mark.parametrize(("N", "rf", "rf_refined", "nt", "nn"), PUBLISHED)
def test_published_numbers(N, rf, rf_refined, nt, nn):
    target = published_target()
    null = target.null_risk
    assert printed(rf_risk_limit(target, N) / null) == rf
    assert printed(rf_risk_limit(target, N, refined=True) / null) == rf_refined
    assert printed(nt_risk_limit(target, N) / null) == nt
    assert printed(nn_risk_limit(target, N) / null) == nn


def test_published_target():
    eigenvalues = published_target().eigenvalues
    assert f"{eigenvalues.sum():.4f}" == "456.0571"
    assert f"{np.sum(eigenvalues**2):.4f}" == "945.5453"
    assert f"{eigenvalues.sum() ** 2 / (450 * np.sum(eigenvalues**2)):.5f}" == "0.48881"


def test_published_nt_of_ten_draws():
    target = published_target()
    assert nt_risk_limit(target, 150, refined=True) / target.null_risk == pytest.approx(0.5534, abs=0.005)


@COVS
@pytest.mark.parametrize("N", [1, 2, 5, 8, 20])
def test_rf_equals_the_formula_in_matrices(kind, N):
    target, cov = drawn_target(6), drawn_covs(6)[kind]
    dense = matrix(cov, 6)
    expected = naive.rf_limit(target.B, dense, N)
    assert rf_risk_limit(target, N, cov=cov) / target.null_risk == pytest.approx(expected, rel=1e-12)
    rank = np.linalg.matrix_rank(dense)
    if rank * (rank + 1) / 2 > N:
        expected = naive.rf_limit_refined(target.B, dense, N)
        refined = rf_risk_limit(target, N, cov=cov, refined=True)
        assert refined / target.null_risk == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full", "two values"])
@pytest.mark.parametrize("N", range(1, 6))
def test_nt_equals_the_formula_in_matrices(kind, N):
    target, cov = drawn_target(6), drawn_covs(6)[kind]
    expected = naive.nt_limit(target.B, matrix(cov, 6), N)
    assert nt_risk_limit(target, N, cov=cov) / target.null_risk == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("d", [1, 2, 7, 40])
def test_isotropic_closed_forms(d):
    target = drawn_target(d)
    m = np.trace(target.B) ** 2 / (d * np.sum(target.B**2))
    for N in (1, 2, d - 1, d, d + 1, 3 * d, d * (d + 1) // 2 - 1):
        if N < 1:
            continue
        rho, null = N / d, target.null_risk
        assert rf_risk_limit(target, N) / null == pytest.approx(1 - m * rho / (1 + rho), rel=1e-12)
        expected = (1 - rho) ** 2 + rho * (1 - rho) * m if rho < 1 else 0.0
        assert nt_risk_limit(target, N) / null == pytest.approx(expected, rel=1e-10, abs=1e-15)
        if d * (d + 1) / 2 > N:
            expected = naive.rf_limit_isotropic(target.B, N)
            assert rf_risk_limit(target, N, refined=True) / null == pytest.approx(expected, rel=1e-9)


LIMITS = {
    "RF": rf_risk_limit,
    "RF refined": lambda target, N, **cov: rf_risk_limit(target, N, refined=True, **cov),
    "NT": nt_risk_limit,
    "NT refined": lambda target, N, **cov: nt_risk_limit(target, N, refined=True, **cov),
}
EACH_LIMIT = pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)


def drawn_rotation(d):
    return np.linalg.qr(np.random.default_rng(d).standard_normal((d, d)))[0]


@EACH_LIMIT
@pytest.mark.parametrize("N", [1, 4, 9, 30])
def test_isotropic_covariances_are_the_default(limit, N):
    target, Q = drawn_target(9), drawn_rotation(9)
    expected = pytest.approx(limit(target, N), rel=1e-9, abs=1e-12)
    assert limit(target, N, cov=np.full(9, 1 / 9)) == expected
    assert limit(target, N, cov=np.eye(9) / 9) == expected
    assert limit(target, N, cov=Q @ Q.T) == expected


@EACH_LIMIT
@COVS
@pytest.mark.parametrize("N", [1, 3, 6, 15])
def test_scale_and_rotation_of_the_covariance_do_not_matter(limit, kind, N):
    target, Q = drawn_target(6), drawn_rotation(6)
    cov = drawn_covs(6)[kind]
    cov = np.eye(6) if cov is None else cov
    expected = pytest.approx(limit(target, N, cov=cov), rel=1e-9, abs=1e-12)
    for scale in (1e-3, 40.0):
        assert limit(target, N, cov=scale * cov) == expected
    rotated = QuadraticTarget(Q @ target.B @ Q.T)
    assert limit(rotated, N, cov=Q @ matrix(cov, 6) @ Q.T) == pytest.approx(
        limit(target, N, cov=matrix(cov, 6)), rel=1e-7, abs=1e-9
    )


@EACH_LIMIT
@COVS
def test_more_neurons_never_hurt(limit, kind):
    target, cov = drawn_target(8), drawn_covs(8)[kind]
    path = np.array([limit(target, N, cov=cov) for N in range(1, 45)]) / target.null_risk
    assert np.all(np.diff(path) <= 1e-9)
    assert np.all((path >= 0) & (path <= 1))
    assert path[0] > path[5]


@EACH_LIMIT
@pytest.mark.parametrize("d", [4, 8, 64])
def test_equations_are_solved_where_the_root_is_a_power_of_two(limit, d):
    target = QuadraticTarget(np.linspace(0.5, 2.0, d))
    for N in (d // 4, d // 2, d - d // 4, d, 3 * d // 2, 2 * d, d * d // 4):
        assert limit(target, N + 1) <= limit(target, N) <= limit(target, N - 1 or 1)


@EACH_LIMIT
@pytest.mark.parametrize("s", [1e-120, -3.0, 1e120])
def test_risks_are_quadratic_in_the_target(limit, s):
    target = drawn_target(6)
    assert limit(QuadraticTarget(s * target.B), 4) == pytest.approx(s**2 * limit(target, 4), rel=1e-9)


@EACH_LIMIT
def test_the_constant_of_the_target_does_not_matter(limit):
    target = drawn_target(6)
    assert limit(QuadraticTarget(target.B, 7.0), 4) == limit(target, 4)


@EACH_LIMIT
@COVS
@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_zero_target_costs_nothing(limit, kind, d):
    if kind == "singular full" and d == 1:
        pytest.skip("that covariance is zero")
    for N in (1, d, 100):
        assert limit(QuadraticTarget(np.zeros(d), b0=1.0), N, cov=drawn_covs(d)[kind]) == 0


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
def test_past_the_dimension_of_the_span_nothing_is_lost(d, kind):
    target, cov = drawn_target(d), drawn_covs(d)[kind]
    for N in (d * (d + 1) // 2, d * (d + 1) // 2 + 1, 10**6):
        assert rf_risk_limit(target, N, cov=cov, refined=True) == 0
        assert nt_risk_limit(target, N, cov=cov) == nt_risk_limit(target, N, cov=cov, refined=True) == 0
        assert nn_risk_limit(target, N) == 0
        assert np.isfinite(rf_risk_limit(target, N, cov=cov))
    if d > 1:
        assert rf_risk_limit(target, d * (d + 1) // 2 - 1, cov=cov, refined=True) > 0
        assert nt_risk_limit(target, d - 1, cov=cov) > 0


@pytest.mark.parametrize("d", [3, 30])
def test_random_features_see_nothing_but_the_trace(d):
    target = drawn_target(d)
    m = np.trace(target.B) ** 2 / (d * np.sum(target.B**2))
    assert rf_risk_limit(target, 10**12) / target.null_risk == pytest.approx(1 - m, rel=1e-9)
    traceless = QuadraticTarget(target.B - np.eye(d) * np.trace(target.B) / d)
    assert rf_risk_limit(traceless, 10**6) == pytest.approx(traceless.null_risk, rel=1e-12)


def test_the_refined_forms_tend_to_the_limits():
    """At fixed N / d the difference falls like 1 / d."""
    differences = {"RF": [], "NT": []}
    for d in (20, 200, 2000):
        target = QuadraticTarget(np.linspace(0.0, 2.0, d))
        for name, limit in (("RF", rf_risk_limit), ("NT", nt_risk_limit)):
            difference = limit(target, d // 2, refined=True) - limit(target, d // 2)
            differences[name].append(abs(difference) / target.null_risk * d)
    for scaled in differences.values():
        assert 0.01 < scaled[-1] < 1
        assert scaled[-1] == pytest.approx(scaled[-2], rel=0.1)


def risks_of_draws(risk, target, N, cov, draws):
    values = [risk(target, draw_weights(N, target.d, cov=cov, rng=seed)) / target.null_risk for seed in range(draws)]
    return np.mean(values), np.std(values, ddof=1) / draws**0.5


@pytest.mark.sampled(6)
@COVS
@pytest.mark.parametrize("N", [12, 40, 150])
def test_refined_rf_is_the_mean_over_draws(kind, N):
    target, cov = drawn_target(40), drawn_covs(40)[kind]
    mean, error = risks_of_draws(rf_risk, target, N, cov, 40)
    predicted = rf_risk_limit(target, N, cov=cov, refined=True) / target.null_risk
    assert predicted == pytest.approx(mean, abs=4 * error + 0.003)


@pytest.mark.sampled(2)
@COVS
def test_refined_rf_holds_where_the_limit_does_not(kind):
    target, cov = drawn_target(16), drawn_covs(16)[kind]
    N = 30 if "singular" in kind else 100
    mean, error = risks_of_draws(rf_risk, target, N, cov, 60)
    predicted = rf_risk_limit(target, N, cov=cov, refined=True) / target.null_risk
    assert predicted == pytest.approx(mean, abs=4 * error + 0.02)
    assert abs(rf_risk_limit(target, N, cov=cov) / target.null_risk - mean) > 3 * abs(predicted - mean)


@COVS
@pytest.mark.parametrize("N", [6, 15, 30])
def test_nt_is_the_mean_over_draws(kind, N):
    target, cov = drawn_target(40), drawn_covs(40)[kind]
    mean, error = risks_of_draws(nt_risk, target, N, cov, 60)
    predicted = nt_risk_limit(target, N, cov=cov) / target.null_risk
    assert predicted == pytest.approx(mean, abs=4 * error + 0.5 / 40)
    # Both are zero or B off the range of cov; else they must be told apart from either.
    assert (predicted > 0.01) == (mean > 0.01)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("d", "N"), [(2, 1), (3, 1), (3, 2), (6, 2), (6, 5), (12, 8)])
def test_refined_nt_is_the_exact_mean(d, N):
    target = drawn_target(d)
    mean, error = risks_of_draws(nt_risk, target, N, None, 1500)
    predicted = nt_risk_limit(target, N, refined=True) / target.null_risk
    assert predicted == pytest.approx(mean, abs=4 * error)
    assert error < 0.012


@pytest.mark.parametrize("kind", ["singular diagonal", "singular full"])
def test_what_a_singular_covariance_never_sees_stays_lost(kind):
    d = 9
    target, cov = drawn_target(d), drawn_covs(d)[kind]
    dense = matrix(cov, d)
    rank = np.linalg.matrix_rank(dense)
    on = np.linalg.pinv(dense) @ dense
    off = np.eye(d) - on
    nt_floor = 2 * np.sum((off @ target.B @ off) ** 2)
    rf_floor = target.null_risk - 2 * np.sum((on @ target.B @ on) ** 2)
    for N in (rank, rank + 1, d, 100):
        assert nt_risk_limit(target, N, cov=cov) == pytest.approx(nt_floor, rel=1e-9)
        assert nt_risk_limit(target, N, cov=cov, refined=True) == pytest.approx(nt_floor, rel=1e-9)
        assert nt_risk(target, draw_weights(N, d, cov=cov, rng=1)) == pytest.approx(nt_floor, rel=1e-9)
    for N in (rank * (rank + 1) // 2, 100):
        assert rf_risk_limit(target, N, cov=cov, refined=True) == pytest.approx(rf_floor, rel=1e-9)
        assert rf_risk(target, draw_weights(N, d, cov=cov, rng=1)) == pytest.approx(rf_floor, rel=1e-6)


@EACH_LIMIT
@pytest.mark.parametrize("small", [1e-8, 1e-60, 1e-300])
def test_tiny_variances_are_no_trouble(limit, small):
    """Between the value for the variance 0 and that for equal variances, whatever is taken for zero."""
    target = drawn_target(4)
    for N in (1, 2, 3, 4, 11):
        value = limit(target, N, cov=[1.0, 1.0, small, small])
        assert np.isfinite(value)
        assert -1e-12 <= value <= target.null_risk * (1 + 1e-12)
        assert limit(target, N, cov=[1.0, 1.0, 0.0, 0.0]) >= value - 1e-3 * target.null_risk


def test_two_variances_of_rank_one():
    """W along one axis: RF and NT learn that entry, and NT its row and column."""
    target = QuadraticTarget([[2.0, 0.5], [0.5, 1.0]])
    for N in (1, 5):
        assert rf_risk_limit(target, N, cov=[1.0, 0.0], refined=True) == pytest.approx(2 * (2 * 0.25 + 1))
        assert nt_risk_limit(target, N, cov=[1.0, 0.0]) == pytest.approx(2 * 1)


@pytest.mark.parametrize("seed", range(3))
def test_nn_limit_is_the_infimum(seed):
    target = drawn_target(7, seed)
    assert np.any(target.eigenvalues < 0)
    for N in range(1, 12):
        assert nn_risk_limit(target, N) == pytest.approx(nn_risk(target, N), rel=1e-13)
    moduli = np.sort(np.abs(np.linalg.eigvalsh(target.B)))
    assert nn_risk_limit(target, 4) == pytest.approx(2 * np.sum(moduli[:3] ** 2), rel=1e-12)


def test_results_are_floats_and_inputs_stay():
    target, cov = drawn_target(5), drawn_covs(5)["full"]
    kept = cov.copy()
    for limit in (*LIMITS.values(), nn_risk_limit):
        given = {} if limit is nn_risk_limit else {"cov": cov}
        assert type(limit(target, np.int64(3), **given)) is float
        assert limit(target, 3.0, **given) == limit(target, 3, **given)
    np.testing.assert_array_equal(cov, kept)
    assert rf_risk_limit(target, 3, cov=cov.tolist()) == rf_risk_limit(target, 3, cov=np.asfortranarray(cov))
    assert nt_risk_limit(target, 3, cov=[1, 2, 3, 4, 5]) == nt_risk_limit(target, 3, cov=np.arange(1.0, 6.0))


@pytest.mark.parametrize("limit", [*LIMITS.values(), nn_risk_limit], ids=[*LIMITS, "NN"])
def test_bad_widths_and_targets_are_refused(limit):
    target = drawn_target(3)
    for N in (0, -2):
        with pytest.raises(ValueError, match=f"^N must be at least 1, got {N}; pass a larger N"):
            limit(target, N)
    for N in (1.5, "2", None, True, np.inf):
        with pytest.raises(TypeError, match=r"^N must be a whole number, got .*; pass an int"):
            limit(target, N)
    for other in (target.B, None):
        with pytest.raises(
            TypeError, match=f"^target must be a QuadraticTarget or a GaussianMixture, got {type(other).__name__}"
        ):
            limit(other, 2)


@EACH_LIMIT
@pytest.mark.parametrize(
    ("cov", "error", "message"),
    [
        ([1.0, -1.0], ValueError, "^cov must be a covariance matrix, .* eigenvalues from -1 to 1"),
        (np.zeros(2), ValueError, "^cov must be a covariance matrix, .* not zero"),
        (np.eye(3), ValueError, r"^cov has rows of length 3 \(shape \(3, 3\)\), but .* d = 2"),
        ([[1.0, 0.5], [0.0, 1.0]], ValueError, r"^cov must be symmetric, .* pass \(cov \+ cov\.T\) / 2"),
        (np.ones((2, 3)), ValueError, r"^cov must be square, got shape \(2, 3\)"),
        ([1.0, np.nan], ValueError, r"^cov must be finite, got 1 NaN or infinite entries, the first at \[1\]"),
        (0.5, ValueError, "^cov must be 1-dimensional or 2-dimensional"),
        ([1j, 1], TypeError, "^cov must hold real numbers"),
        ("isotropic", TypeError, "^cov must hold real numbers"),
        ([[1.0, 0.0], [1.0]], TypeError, "^cov cannot be made an array"),
    ],
)
def test_bad_covariances_are_refused(limit, cov, error, message):
    with pytest.raises(error, match=message):
        limit(QuadraticTarget([1.0, 2.0]), 1, cov=cov)


def test_bad_options_are_refused():
    target = drawn_target(3)
    with pytest.raises(ValueError, match=r"^activation = 'cubic' is not known; pass one of .*'square'"):
        rf_risk_limit(target, 2, "cubic")
    with pytest.raises(TypeError, match=r"^activation must be a name, an Activation or a function of .*, got None"):
        rf_risk_limit(target, 2, None)
    for limit in (rf_risk_limit, nt_risk_limit):
        with pytest.raises(TypeError, match="positional"):
            limit(target, 2, "square", np.eye(3))
