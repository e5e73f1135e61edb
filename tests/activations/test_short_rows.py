"""Rows of any length: the risks of short ones against exact sums of many digits, and the limits of long ones."""

import math
import time
import warnings

import mpmath
import numpy as np
import pytest

import fastlazy
from fastlazy import Activation, QuadraticTarget

TARGET = QuadraticTarget([1.0, -0.5, 0.3])
ROWS = np.array([[1, 0.2, 0.3], [0.1, 1, -0.4], [-0.5, 0.3, 0.9], [0.3, -0.8, 0.1]])
LENGTHS = [1e-12, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1.0]


def exact_rf_risk(lead, degrees, scale):
    """The risk for sigma with coefficients E[sigma(r G) He_k(G)] = lead(k) r^k e^(c r^2) for one c, in 300 digits."""
    with mpmath.workdps(300):
        W = mpmath.matrix(ROWS.tolist()) * mpmath.mpf(scale)
        N, d = W.rows, W.cols
        inner = W * W.T
        common = [mpmath.exp(lead(None) * inner[i, i]) for i in range(N)]
        U, V = mpmath.matrix(N, N), mpmath.matrix(N, 1)
        for i in range(N):
            for j in range(N):
                terms = (mpmath.mpf(lead(k)) ** 2 * inner[i, j] ** k / mpmath.factorial(k) for k in degrees)
                U[i, j] = common[i] * common[j] * mpmath.fsum(terms)
            V[i] = common[i] * lead(2) * sum(W[i, k] ** 2 * mpmath.mpf(TARGET.B[k, k]) for k in range(d))
        return float(mpmath.mpf(TARGET.null_risk) - (V.T * mpmath.lu_solve(U, V))[0])


EXACT = {
    "cos": lambda scale: exact_rf_risk(lambda k: -0.5 if k is None else [1, 0, -1, 0][k % 4], range(2, 60, 2), scale),
    "exp": lambda scale: exact_rf_risk(lambda k: 0.5 if k is None else 1, range(1, 60), scale),
}


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("length", LENGTHS)
def test_rf_risk_keeps_its_digits(name, length):
    assert fastlazy.rf_risk(TARGET, length * ROWS, name) == pytest.approx(EXACT[name](length), rel=1e-9)


SMOOTH = ["softplus", "exp", "gelu", "silu", "cos"]
OWN = {
    "relu": Activation("own relu", lambda x: max(x, 0.0)),
    "1 + |x|": Activation("1 + |x|", lambda x: 1 + abs(x)),
    "exp": Activation("own exp", math.exp),
    "cos": Activation("own cos", math.cos),
}


@pytest.mark.parametrize("risk", [fastlazy.rf_risk, fastlazy.nt_risk])
@pytest.mark.parametrize("name", SMOOTH)
def test_short_rows_have_a_limit(risk, name):
    """What lengths 1e-4 to 1e-200 give differs from it by some r^2."""
    rows = ROWS if risk is fastlazy.rf_risk else ROWS[:2]
    limit = risk(TARGET, 1e-20 * rows, name)
    assert 0.01 < limit < TARGET.null_risk - 0.1
    for length in (1e-4, 1e-6, 1e-9, 1e-100, 1e-200):
        assert risk(TARGET, length * rows, name) == pytest.approx(limit, rel=100 * length**2 + 1e-9), length


def test_smooth_functions_of_one_parity_share_their_limit():
    """Of cos short rows see x^2 only; of exp, softplus, GELU and SiLU a line and x^2."""
    for risk, rows in ((fastlazy.rf_risk, ROWS), (fastlazy.nt_risk, ROWS[:2])):
        risks = {name: risk(TARGET, 1e-9 * rows, name) for name in SMOOTH}
        assert risks["cos"] == pytest.approx(risk(TARGET, rows, "square"), rel=1e-9)
        for name in ("exp", "gelu", "silu"):
            assert risks[name] == pytest.approx(risks["softplus"], rel=1e-9)


def test_he2_is_a_square_for_random_features():
    target, W = fastlazy.exponential_target(20, rng=0), fastlazy.draw_weights(40, 20, rng=1)
    for length in (1e-4, 1e-30):
        found = fastlazy.rf_risk(target, length * W, "he2")
        assert found == pytest.approx(fastlazy.rf_risk(target, W, "square"), rel=1e-9)


@pytest.mark.parametrize("risk", [fastlazy.rf_risk, fastlazy.nt_risk])
@pytest.mark.parametrize("name", ["relu", "1 + |x|"])
@pytest.mark.parametrize("length", [1e-300, 1e-12, 1e12, 1e140])
def test_homogeneous_functions_know_no_length(risk, name, length):
    expected = risk(TARGET, ROWS, OWN[name])
    assert risk(TARGET, length * ROWS, OWN[name]) == pytest.approx(expected, rel=1e-9)
    if name == "relu":
        assert risk(TARGET, length * ROWS, "relu") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["exp", "cos"])
def test_a_ridge_in_proportion_keeps_the_risk(name):
    """Features of short rows in units of what they have beyond a line: the ridge is one over the square of that."""
    rows, power = (ROWS[:3], 2) if name == "exp" else (ROWS, 4)
    risks = [fastlazy.rf_risk(TARGET, t * rows, name, ridge=0.1 * t**power) for t in (1e-5, 1e-6)]
    assert risks[0] == pytest.approx(risks[1], rel=1e-8)


@pytest.mark.parametrize("name", ["exp", "cos"])
def test_own_functions_are_as_good_as_built_in_ones(name):
    for risk, rows in ((fastlazy.rf_risk, ROWS), (fastlazy.nt_risk, ROWS[:2])):
        for length in (1e-6, 1e-3):
            expected = risk(TARGET, length * rows, name)
            assert risk(TARGET, length * rows, OWN[name]) == pytest.approx(expected, rel=1e-9)


def test_digits_that_are_lost_are_told():
    """Of x + x^4 the term that short rows learn from is smaller than the rounding of one in x^2."""
    steep = Activation("x + x^4", lambda x: x + x**4)
    for risk in (fastlazy.rf_risk, fastlazy.nt_risk):
        with pytest.warns(RuntimeWarning, match=r"rows of W are so short .* 'x \+ x\^4' .* multiply W by a number"):
            risk(TARGET, 1e-6 * ROWS, steep)
    with pytest.warns(RuntimeWarning) as told:
        fastlazy.nt_risk(TARGET, 1e-6 * ROWS[:2], Activation("elu", lambda x: x if x > 0 else math.exp(x) - 1))
    assert any("rows of W are so short" in str(one.message) for one in told)
    W = fastlazy.draw_weights(60, 40, rng=0)
    with pytest.warns(RuntimeWarning) as told:
        fastlazy.nt_risk(fastlazy.exponential_target(40, rng=0), 1e-6 * W, "softplus", max_iterations=3)
    assert any("so short that rounding may change what nt_risk returns" in str(one.message) for one in told)


def test_odd_functions_learn_nothing_and_need_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("tanh", "sigmoid", "erf"):
            for length in (1e-9, 1e-3, 1.0):
                for risk in (fastlazy.rf_risk, fastlazy.nt_risk):
                    assert risk(TARGET, length * ROWS, name) == TARGET.null_risk


@pytest.mark.parametrize("length", [1e3, 1e77, 1e100, 1e300])
def test_erf_of_long_rows_is_the_sign(length):
    W = length * np.array([[1, 0], [0.8, 0.6], [math.cos(1e-3), math.sin(1e-3)]])
    U = fastlazy.rf_gram(W, "erf")
    if length > 1e7:
        assert U[0, 1:] == pytest.approx([2 / math.pi * math.asin(0.8), 1 - 2e-3 / math.pi], rel=1e-12)
    assert U[0, 1] == pytest.approx(2 / math.pi * math.asin(0.8 / (1 + 0.5 / length / length)), rel=1e-12)
    tangent = fastlazy.activations.nt_pairs.block_moments(
        fastlazy.get_activation("erf"), *np.array([[1e100], [1e100], [0.5]])
    )
    scale = tangent[0] / math.sin(0.5) ** 2
    assert tangent[1:, 0] == pytest.approx(np.array([-scale, -scale, scale * math.cos(0.5)])[:, 0], rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tanh", "erf"])
def test_long_rows_at_small_angles_tend_to_the_sign(name):
    for theta in (0.01, 0.1, 3.1):
        W = 1e12 * np.array([[1, 0], [math.cos(theta), math.sin(theta)]])
        assert fastlazy.rf_gram(W, name)[0, 1] == pytest.approx(1 - 2 * theta / math.pi, rel=1e-10)
        soft = fastlazy.rf_gram(W, "softplus")[0, 1] / fastlazy.rf_gram(W, "relu")[0, 1]
        assert soft == pytest.approx(1, abs=1e-8)


def test_cos_of_long_rows_that_are_nearly_one():
    r, theta = 900.0, 1e-3
    W = r * np.array([[1, 0], [math.cos(theta), math.sin(theta)]])
    expected = math.exp(-2 * r * r * math.sin(theta / 2) ** 2) / 2
    assert fastlazy.rf_gram(W, "cos")[0, 1] == pytest.approx(expected, rel=1e-11)


def test_extreme_rows_and_wild_functions_take_seconds():
    W = np.random.default_rng(0).standard_normal((5, 3))
    wave = Activation("wave", lambda x: 1.0 if math.sin(1000 * x) > 0 else -1.0)
    fast = Activation("fast", lambda x: math.sin(1000 * x))
    target = QuadraticTarget(np.eye(3))
    start = time.perf_counter()
    fastlazy.nt_gram(W * 1e300, "sigmoid")
    assert fastlazy.tangent_risk(target, W * 1e154, np.ones((5, 3)), 1.0, "tanh") == pytest.approx(6 + 4)
    with pytest.raises(ValueError, match=r"'wave' cannot be integrated .* many kinks, oscillates too fast"):
        fastlazy.rf_gram(W, wave)
    assert fastlazy.rf_gram(W[:1] / 4, fast)[0, 0] == pytest.approx(0.5, rel=1e-9)
    assert time.perf_counter() - start < 60


@pytest.mark.parametrize("length", [1e3, 1e5, 1e8, 1e20, 1e150, 1e300])
@pytest.mark.parametrize(
    ("name", "flat", "layer"),  # E sigma'(rG)^2 -> flat + layer / r, with the integral of sigma'^2 less its limits
    [
        ("sigmoid", 0.0, 1 / 6 / math.sqrt(2 * math.pi)),
        ("tanh", 0.0, 4 / 3 / math.sqrt(2 * math.pi)),
        ("erf", 0.0, 2 / math.pi),
        ("softplus", 0.5, -1 / math.sqrt(2 * math.pi)),
    ],
)
def test_a_steep_part_at_zero_is_seen_in_rows_of_any_length(name, flat, layer, length):
    W = np.array([[0.6, 0.8, 0.0]]) * length
    right = flat + layer / length
    found = fastlazy.nt_gram(W, name) @ np.array([0.0, 0.0, 1.0])  # at right angles to the row
    assert found[2] == pytest.approx(right, rel=1e-6 if length == 1e3 else 1e-10, abs=0)
