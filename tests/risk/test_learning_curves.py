"""Learning curves for given weights: published numbers, a slow twin, limits in n and the ridge, and fits to samples."""

import math
import warnings

import naive_curves
import numpy as np
import pytest
from drawn import drawn_target

import fastlazy
from fastlazy import QuadraticTarget
from fastlazy.kernels.nt_gram import nt_gram
from fastlazy.kernels.rf_gram import rf_gram
from fastlazy.ridge.linear_models import fit_nt, fit_rf
from fastlazy.risk.nt_solver import tangent_slopes, target_covariances
from fastlazy.risk.rf_solver import feature_moments

CURVES = {"RF": fastlazy.rf_learning_curve, "NT": fastlazy.nt_learning_curve}
EACH = pytest.mark.parametrize("regime", CURVES)
SHIFTED = fastlazy.Activation("tanh(x + 1/2)", lambda x: np.tanh(x + 0.5), lambda x: 1 / np.cosh(x + 0.5) ** 2)


def exact_risk(regime, *args, **options):
    return {"RF": fastlazy.rf_risk, "NT": fastlazy.nt_risk}[regime](*args, **options)


def unit_rows(N, d=40):
    W = np.random.default_rng(N).standard_normal((N, d))
    return W / np.linalg.norm(W, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("regime", "activation", "N", "n", "alpha", "ratio"),
    [
        ("RF", "relu", 100, 400, 0.5, ".9595"), ("RF", "relu", 100, 2000, 0.1, ".7640"),
        ("RF", "relu", 400, 150, 0.1, "1.1070"), ("RF", "relu", 400, 2000, 0.1, ".5370"),
        ("RF", "relu", 400, 420, 0.01, "7.1603"), ("RF", "relu", 100, 60, 0.1, "2.2062"),
        ("NT", "relu", 30, 1500, 0.5, "1.9052"), ("NT", "relu", 30, 6000, 0.5, ".5168"),
        ("NT", "square", 30, 6000, 0.5, ".1267"), ("NT", "square", 10, 1500, 0.5, ".8918"),
        ("NT", "relu", 10, 6000, 0.5, ".8546"),
    ],
)  # fmt: skip
def test_published_numbers(regime, activation, N, n, alpha, ratio):
    target = QuadraticTarget(np.random.default_rng(1).exponential(1, 40))
    risk = CURVES[regime](target, unit_rows(N), n, activation, ridge=alpha / n)
    assert f"{risk / target.null_risk:.4f}".removeprefix("0") == ratio


def covariances(regime, target, W, activation):
    """K and V, from kernels that have slow twins of their own."""
    sigma = fastlazy.get_activation(activation) if isinstance(activation, str) else activation
    if regime == "RF":
        return rf_gram(W, sigma, center=True), feature_moments(target, W, sigma, True)[2]
    slopes = tangent_slopes(W, sigma)
    K = nt_gram(W, sigma, center=True) @ np.eye(W.size)
    return (K + K.T) / 2, target_covariances(slopes.g, target, slopes.unit).ravel()


@EACH
@pytest.mark.parametrize("activation", ["square", "relu", "gelu", "tanh", SHIFTED], ids=str)
def test_it_is_the_formula_in_matrices(regime, activation):
    d = 5
    target = drawn_target(d)
    W = fastlazy.draw_weights(4, d, rng=0) * np.array([[0.5], [1.0], [1.5], [2.0]])
    K, V = covariances(regime, target, W, activation)
    n, ridge = np.array([1.0, 3.0, 7.5, 40.0, 1e4]), np.array([1e-3, 0.1, 30.0])
    got = CURVES[regime](target, W, n, activation, ridge=ridge)
    assert got.shape == (5, 3)
    expected = [[naive_curves.curve(K, V, target.null_risk, a, b) for b in ridge] for a in n]
    np.testing.assert_allclose(got, expected, rtol=1e-8)


@EACH
@pytest.mark.parametrize("activation", ["square", "relu", "softplus"])
def test_many_samples_leave_the_exact_risk(regime, activation):
    target, W = fastlazy.exponential_target(12, rng=0), fastlazy.draw_weights(9, 12, rng=1)
    for ridge in (0.0, 1e-3, 0.2, 5.0):
        exact = exact_risk(regime, target, W, activation, ridge=ridge)
        for n in (math.inf, 1e15):
            assert CURVES[regime](target, W, n, activation, ridge=ridge) == pytest.approx(exact, rel=1e-9)
    features = 9 if regime == "RF" else 9 * 12 - (9 * 8 // 2 if activation == "square" else 0)
    exact = exact_risk(regime, target, W, activation)
    many = CURVES[regime](target, W, [1e4, 1e6], activation)
    np.testing.assert_allclose(many, exact / (1 - features / np.array([1e4, 1e6])), rtol=1e-9)
    np.testing.assert_allclose(many, exact * (1 + features / np.array([1e4, 1e6])), rtol=2e-4)


@EACH
def test_a_large_ridge_leaves_the_null_risk(regime):
    target, W = drawn_target(6), fastlazy.draw_weights(8, 6, rng=1)
    for activation in ("square", "relu"):
        for ridge, error in ((1e6, 1e-3), (1e15, 1e-12), (1e300, 1e-14)):
            risks = CURVES[regime](target, W, [1, 10, math.inf], activation, ridge=ridge)
            np.testing.assert_allclose(risks, target.null_risk, rtol=error)


@EACH
def test_shapes_are_those_of_the_arguments(regime):
    target, W = drawn_target(4), fastlazy.draw_weights(3, 4, rng=0)
    curve = CURVES[regime]
    assert isinstance(curve(target, W, 20), float)
    assert curve(target, W, [20]).shape == (1,)
    assert curve(target, W, [20, 30], ridge=[0.1]).shape == (2, 1)
    assert curve(target, W, 20, ridge=[0.1, 0.2, 0.3]).shape == (3,)
    best = curve(target, W, [20, 30], ridge="best")
    assert best.risk.shape == best.ridge.shape == (2,)
    assert isinstance(curve(target, W, 20, ridge="best").ridge, float)
    whole = curve(target, W, [20, 30], ridge=[0.0, 0.1])
    assert whole[1, 1] == curve(target, W, 30, ridge=0.1)
    assert whole[0, 0] == curve(target, W, np.int64(20))
    assert (curve(target, W, np.array([20, math.inf], object)) == curve(target, W, [20.0, math.inf])).all()


@pytest.mark.sampled(2)
@EACH
@pytest.mark.parametrize("activation", ["square", "relu", "gelu"])
def test_the_best_ridge_beats_all_others(regime, activation):
    target, W = fastlazy.exponential_target(15, rng=0), fastlazy.draw_weights(6, 15, rng=1)
    n = np.array([5.0, 30.0, 70.0, 90.0, 400.0, 1e5])
    best = CURVES[regime](target, W, n, activation, ridge="best")
    grid = CURVES[regime](target, W, n, activation, ridge=np.append(np.geomspace(1e-8, 1e8, 800), 0.0))
    assert np.all(best.risk <= grid.min(axis=1) * (1 + 1e-12))
    np.testing.assert_allclose(best.risk, grid.min(axis=1), rtol=1e-3)
    again = [
        CURVES[regime](target, W, size, activation, ridge=ridge) for size, ridge in zip(n, best.ridge, strict=True)
    ]
    np.testing.assert_allclose(again, best.risk, rtol=1e-9)


def test_the_best_ridge_may_be_none_or_infinite():
    target, W = fastlazy.exponential_target(6, rng=0), fastlazy.draw_weights(8, 6, rng=1)
    for n in (30, math.inf):  # NT of x^2 has all forms for N >= d, and learns them without noise
        assert fastlazy.nt_learning_curve(target, W, n, ridge="best") == (0.0, 0.0)
    for curve in CURVES.values():  # nothing of tanh has degree two
        risk, ridge = curve(target, W, 20, "tanh", ridge="best")
        assert risk == pytest.approx(target.null_risk, rel=1e-12)
        assert ridge == math.inf
        assert curve(target, W, math.inf, "relu", ridge="best").ridge == 0


def test_interpolation_peaks_where_samples_are_as_many_as_features():
    d, N = 8, 6
    target, W = fastlazy.exponential_target(d, rng=0), fastlazy.draw_weights(N, d, rng=1)
    cases = [("RF", "relu", N), ("RF", "square", N), ("NT", "relu", N * d), ("NT", "square", N * d - N * (N - 1) // 2)]
    for regime, activation, features in cases:
        at, beside, far = CURVES[regime](target, W, [features, features * 1.001, features * 10], activation)
        assert at == math.inf
        assert far < target.null_risk * 2 < 100 * target.null_risk < beside
        assert CURVES[regime](target, W, features, activation, ridge=0.1) < 10 * target.null_risk
    # All forms are reached without noise: no peak.
    assert fastlazy.nt_learning_curve(target, fastlazy.draw_weights(20, d, rng=1), [35, 36, 37])[1:] == pytest.approx(0)


@EACH
def test_units_do_not_matter(regime):
    d = 6
    target, W = drawn_target(d), fastlazy.draw_weights(4, d, rng=1)
    n = np.array([3.0, 40.0, math.inf])
    for activation, power in (("relu", {"RF": 2, "NT": 0}), ("square", {"RF": 4, "NT": 2})):
        expected = CURVES[regime](target, W, n, activation, ridge=[0.0, 0.05])
        best = CURVES[regime](target, W, n, activation, ridge="best")
        for size in (1e-60, 2.0**-7, 1e60):
            unit = size ** power[regime]
            if 1e-200 < unit < 1e200:
                got = CURVES[regime](target, size * W, n, activation, ridge=[0.0, 0.05 * unit])
                np.testing.assert_allclose(got, expected, rtol=1e-9)
                found = CURVES[regime](target, size * W, n, activation, ridge="best")
                np.testing.assert_allclose(found.risk, best.risk, rtol=1e-9)
                np.testing.assert_allclose(found.ridge, unit * best.ridge, rtol=1e-4)
    for size in (1e-100, 1e100):
        scaled = QuadraticTarget(size * target.B)
        np.testing.assert_allclose(
            CURVES[regime](scaled, W, n, "relu", ridge=0.1) / size / size,
            CURVES[regime](target, W, n, "relu", ridge=0.1),
            rtol=1e-12,
        )
    huge = fastlazy.Activation("huge", lambda x: 1e200 * np.tanh(x + 0.5), lambda x: 1e200 / np.cosh(x + 0.5) ** 2)
    got, expected = (CURVES[regime](target, W, n, sigma) for sigma in (huge, SHIFTED))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@EACH
def test_nothing_to_learn(regime):
    W = fastlazy.draw_weights(4, 3, rng=0)
    constant = QuadraticTarget(np.zeros((3, 3)), b0=2.0)
    assert CURVES[regime](constant, W, [1, 4, 12, math.inf], "relu", ridge=[0.0, 1.0]).tolist() == [[0.0, 0.0]] * 4
    assert CURVES[regime](constant, W, 5, ridge="best") == (0.0, 0.0)
    target = drawn_target(3)
    for risk in CURVES[regime](target, np.zeros((4, 3)), [1, 4, math.inf]):
        assert risk == pytest.approx(target.null_risk)


def test_features_too_small_for_floating_point_are_refused():
    tiny = fastlazy.Activation("tiny", lambda x: np.exp(1e-150 * x) - 1, lambda x: 1e-150 * np.exp(1e-150 * x))
    with pytest.raises(ValueError, match="multiply W, or the activation"):
        fastlazy.nt_learning_curve(drawn_target(3), 1e-5 * np.eye(3), 10, tiny)


@EACH
@pytest.mark.parametrize("activation", ["softplus", "gelu", "he2", "square", "relu"])
def test_short_rows_keep_the_exact_end_and_are_told(regime, activation):
    """K holds what degree two is to a row of length c only to 1e-16 / c^2: n = infinity has a solver of its own."""
    target, W = fastlazy.exponential_target(12, rng=0), fastlazy.draw_weights(8, 12, rng=1)
    expected = CURVES[regime](target, 1e-3 * W, [40, 200], activation)
    for c in (1e-6, 1e-8, 1e-30, 1e-100):
        got = CURVES[regime](target, c * W, math.inf, activation)
        assert got == pytest.approx(exact_risk(regime, target, c * W, activation), rel=1e-9)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            curve = CURVES[regime](target, c * W, [40, 200], activation)
        right = np.allclose(curve, expected, rtol=1e-4, atol=0)
        assert right or "may be off" in str(told[0].message)


def test_rows_of_very_different_lengths():
    target, W = fastlazy.exponential_target(12, rng=0), fastlazy.draw_weights(8, 12, rng=1)
    W = W * np.geomspace(1e-9, 1, 8)[:, None]
    for activation in ("square", "he2", "relu"):
        exact = fastlazy.rf_risk(target, W, activation)
        assert fastlazy.rf_learning_curve(target, W, math.inf, activation) == pytest.approx(exact, rel=1e-9)
        with pytest.warns(RuntimeWarning, match="may be off"):
            fastlazy.rf_learning_curve(target, W, 6, activation, ridge=1e-30)


def test_x2_by_any_other_name():
    target = fastlazy.exponential_target(12, rng=0)
    square = fastlazy.Activation("x^2", lambda x: x * x, lambda x: 2 * x)
    for limit in (fastlazy.rf_risk_limit, fastlazy.nt_risk_limit):
        for N, n in ((5, 30), (12, 72), (30, 90)):
            got, expected = (limit(target, N, sigma, n_samples=n, ridge=0.01) for sigma in (square, "square"))
            assert got == pytest.approx(expected, rel=1e-6)
    W = fastlazy.draw_weights(110, 40, rng=1)  # N d > 4000, and K of rank 820
    target = fastlazy.exponential_target(40, rng=0)
    for ridge in (0.0, 0.01):
        got, expected = (fastlazy.nt_learning_curve(target, W, [300, 500], s, ridge=ridge) for s in (square, "square"))
        np.testing.assert_allclose(got, expected, rtol=5e-3)


@EACH
def test_extreme_penalties(regime):
    target, W = drawn_target(4), fastlazy.draw_weights(3, 4, rng=0)
    limit = {"RF": fastlazy.rf_risk_limit, "NT": fastlazy.nt_risk_limit}[regime]
    for activation in ("square", "relu"):
        assert CURVES[regime](target, W, 7, activation, ridge=1.79e308) == pytest.approx(target.null_risk)
        assert limit(target, 30, activation, n_samples=7, ridge=1.79e308) == pytest.approx(target.null_risk)
        tiny = [limit(target, 30, activation, n_samples=700, ridge=ridge) for ridge in (5e-324, 1e-300, 0.0)]
        np.testing.assert_allclose(tiny, tiny[2], rtol=1e-9, atol=1e-12)
        with pytest.raises(ValueError, match="scale cov to a trace"):
            limit(target, 3, activation, n_samples=7, cov=np.full(4, 1e200))


def test_rows_that_agree_to_rounding_are_told():
    target, W = drawn_target(5), fastlazy.draw_weights(3, 5, rng=0)
    near = np.vstack([W, W + 1e-5 * fastlazy.draw_weights(3, 5, rng=1)])
    with pytest.warns(
        RuntimeWarning, match=r"rf_learning_curve: the risk of n = 5\.9 samples may be off by .*leave out rows"
    ):
        fastlazy.rf_learning_curve(target, near, [1, 5.9], "gelu")
    with pytest.warns(RuntimeWarning, match="risk of random features may be off"):
        fastlazy.rf_learning_curve(target, near, [8], "gelu")
    same = np.vstack([W, W])  # one feature of twice the weight
    np.testing.assert_allclose(
        fastlazy.rf_learning_curve(target, same, [2, 10], "relu", ridge=0.2),
        fastlazy.rf_learning_curve(target, W, [2, 10], "relu", ridge=0.1),
        rtol=1e-9,
    )


@EACH
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"n_samples": 0}, ValueError, "n_samples must be at least 1, got 0"),
        ({"n_samples": [5, -math.inf]}, ValueError, "n_samples must be finite"),
        ({"n_samples": math.nan}, ValueError, "n_samples must be finite"),
        ({"n_samples": []}, ValueError, "n_samples is empty"),
        ({"n_samples": [[5]]}, ValueError, "n_samples must be 0-dimensional or 1-dimensional"),
        ({"n_samples": np.array([3, math.nan], object)}, ValueError, "n_samples must be finite"),
        ({"n_samples": "many"}, TypeError, "n_samples must hold real numbers"),
        ({"n_samples": None}, TypeError, "n_samples"),
        ({"ridge": -1.0}, ValueError, "ridge must be at least 0, got -1"),
        ({"ridge": [0.1, math.nan]}, ValueError, "ridge must be finite"),
        ({"ridge": "worst"}, ValueError, "ridge = 'worst' is not known; pass numbers of at least 0, or 'best'"),
        ({"ridge": None}, TypeError, "ridge"),
        ({"W": np.ones((3, 5))}, ValueError, "W has rows of length 5"),
        ({"activation": "nonsense"}, ValueError, "nonsense"),
        ({"parallel": 2}, TypeError, "parallel must be True or False"),
    ],
)
def test_bad_arguments_are_named(regime, given, error, message):
    arguments = {"target": drawn_target(4), "W": np.eye(4), "n_samples": 10, **given}
    with pytest.raises(error, match=message):
        CURVES[regime](**arguments)


def test_a_jump_has_no_tangent_model():
    with pytest.raises(ValueError, match="jumps"):
        fastlazy.nt_learning_curve(drawn_target(4), np.eye(4), 10, "step")


def fitted(regime, target, W, activation, n, ridge, fits):
    """Mean of the exact risks of fits to samples, and its standard error."""
    sigma = fastlazy.get_activation(activation) if isinstance(activation, str) else activation
    risks = []
    for k in range(fits):
        X, y = target.sample(n, rng=np.random.SeedSequence([k, n]))
        model = (fit_rf if regime == "RF" else fit_nt)(X, y[:, None], W, sigma, np.array([n * ridge]))
        c = float(model.offset[0])
        if regime == "RF":
            risks.append(fastlazy.network_risk(target, W, model.a[0], c, sigma))
        else:
            risks.append(fastlazy.tangent_risk(target, W, model.b[0], c, sigma))
    return np.mean(risks), np.std(risks, ddof=1) / math.sqrt(fits)


FITS = [
    (regime, d, ratio, activation)
    for d in (100, 200)
    for ratio in (0.5, 2, 5)
    for regime, names in (("RF", ["relu", "softplus", "square", SHIFTED]), ("NT", ["relu", "square"]))
    for activation in names
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("regime", "activation", "of_40", "of_100"),
    [
        ("RF", "relu", 1.03, 1.02),
        ("RF", "square", 1.08, 1.05),
        ("NT", "relu", 1.05, 1.02),
        ("NT", "square", 1.13, 1.06),
    ],
)
def test_fits_to_half_as_many_samples_as_dimensions_are_above(regime, activation, of_40, of_100):
    for d, expected, fits in ((40, of_40, 100), (100, of_100, 40)):
        N = 5 * d // 2 if regime == "RF" else d
        target, W = fastlazy.exponential_target(d, rng=0), fastlazy.draw_weights(N, d, rng=1)
        mean, error = fitted(regime, target, W, activation, d // 2, 0.3, fits)
        predicted = CURVES[regime](target, W, d // 2, activation, ridge=0.3)
        assert mean / predicted == pytest.approx(expected, abs=0.005 + 2 * error / predicted)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("regime", "d", "ratio", "activation"), FITS, ids=str)
def test_fits_have_the_predicted_risk(regime, d, ratio, activation):
    """Within 3 standard errors and 2 %, away from the peak; NT of x^2 at d = 100 within 5 %."""
    N = int(ratio * d)
    target, W = fastlazy.exponential_target(d, rng=0), fastlazy.draw_weights(N, d, rng=1)
    share = 0.05 if (regime, activation, d) == ("NT", "square", 100) else 0.02
    for n, ridge in ((8 * N, 0.0), (2 * N, 0.01)) if regime == "RF" else ((10 * d, 0.01 * (d == 100)),):
        mean, error = fitted(regime, target, W, activation, n, ridge, 10)
        predicted = CURVES[regime](target, W, n, activation, ridge=ridge)
        assert mean == pytest.approx(predicted, abs=3 * error + share * predicted)
        assert error < 0.1 * predicted
