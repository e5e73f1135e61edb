"""Predictions for rows of any length: closed forms in many digits, limits of short rows, digits that are lost."""

import math
import warnings

import mpmath
import naive
import numpy as np
import pytest
from drawn import drawn_target
from mpmath import mp

import fastlazy
from fastlazy import Activation, QuadraticTarget
from fastlazy.activations.moments import expansion
from fastlazy.risk import sectors
from fastlazy.risk.limits import nt_risk_limit, rf_risk_limit
from fastlazy.risk.nt_limit import _slope

LENGTHS = [1e-100, 1e-30, 1e-12, 1e-8, 1e-5, 1e-3, 0.02, 0.3, 1.0]
SMOOTH = ["cos", "exp", "softplus", "gelu", "silu"]


def isotropic(d, length):
    """The covariance whose rows have that root mean square length."""
    return np.full(d, length**2 / d)


def features(name, r):
    """Hermite coefficients of cos or exp at length r, to a common factor, and what is left of the squares from 3 on."""
    r = mpmath.mpf(r)
    h = [mpmath.mpf(0) if name == "cos" and k % 2 else r**k / mp.sqrt(mp.factorial(k)) for k in range(3)]
    squares = mp.cosh(r**2) if name == "cos" else mp.exp(r**2)
    return h, squares - mpmath.fsum(x**2 for x in h)


@pytest.mark.parametrize("name", ["cos", "exp"])
@pytest.mark.parametrize("length", LENGTHS)
def test_rf_equals_the_formula_of_closed_moments(name, length):
    target = drawn_target(6)
    with mp.workdps(1000):
        h, tail = features(name, length)
        unit = h[2] ** 2 + tail
        lam1 = min(float(h[1] / mp.sqrt(unit)), 1e12)  # more makes no difference but at N = d
        moments = {"lam1": lam1, "lam2": float(h[2] * mp.sqrt(2 / unit)), "tau": float(tail / unit)}
    for N in (2, 9, 20):
        for cov in (isotropic(6, length), np.linspace(0.5, 1.5, 6) * length**2 / 6):
            expected = naive.rf_limit(target.B, np.diag(cov), N, **moments)
            assert rf_risk_limit(target, N, name, cov=cov) / target.null_risk == pytest.approx(expected, rel=1e-9)
        expected = naive.rf_limit_refined(target.B, np.diag(cov), N, **moments)
        assert rf_risk_limit(target, N, name, cov=cov, refined=True) / target.null_risk == pytest.approx(
            expected, rel=1e-7
        )


def sine(r):
    """E sin(r G)^2, E sin(r G)^2 G^2, and E[cos'(r G) He_k(G)] / sqrt(k!) for k to 3."""
    decay = mp.exp(-2 * r**2)
    g = [0, -r * mp.exp(-(r**2) / 2), 0, r**3 * mp.exp(-(r**2) / 2) / mp.sqrt(6)]
    return (1 - decay) / 2, (1 - (1 - 4 * r**2) * decay) / 2, g


def exponential(r):
    """The same of exp' = exp."""
    growth = mp.exp(2 * r**2)
    return growth, (1 + 4 * r**2) * growth, [r**k * mp.exp(r**2 / 2) / mp.sqrt(mp.factorial(k)) for k in range(4)]


@pytest.mark.parametrize(("name", "slope"), [("cos", sine), ("exp", exponential)])
@pytest.mark.parametrize("length", LENGTHS)
def test_prices_of_nt_equal_closed_forms(name, slope, length):
    with mp.workdps(1000):
        squares, own, g = slope(mpmath.mpf(length))
        kappa = g[1] + mp.sqrt(mpmath.mpf(3) / 2) * g[3]
        ridge = (squares - g[0] ** 2 - g[1] ** 2) / g[1] ** 2
        common = (own - g[1] ** 2 - (g[0] + mp.sqrt(2) * g[2]) ** 2 - 2 * kappa**2) / kappa**2
        expected = float(ridge), float(common)
    found = _slope(fastlazy.get_activation(name), length, None)
    assert found.prices(0.0) == pytest.approx(expected, rel=1e-9, abs=1e-100)
    assert found.linear == (name == "exp")


PREDICTIONS = {
    "RF": rf_risk_limit,
    "RF refined": lambda *args, **cov: rf_risk_limit(*args, refined=True, **cov),
    "NT": nt_risk_limit,
    "NT refined": lambda *args, **cov: nt_risk_limit(*args, refined=True, **cov),
}
EACH = pytest.mark.parametrize("predicted", PREDICTIONS.values(), ids=PREDICTIONS)


@pytest.mark.sampled(20)
@EACH
@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("N", [3, 8, 9])
def test_short_rows_have_a_limit(predicted, name, N):
    """It is reached like r^2, or like r where as many rows as a line takes, or a row less, are d."""
    d = 8
    target = drawn_target(d)
    limit = predicted(target, N, name, cov=isotropic(d, 1e-20)) / target.null_risk
    for length in (1e-3, 1e-4, 1e-6, 1e-8, 1e-12, 1e-100, 1e-140):
        found = predicted(target, N, name, cov=isotropic(d, length)) / target.null_risk
        assert found == pytest.approx(limit, abs=10 * (length if d <= N else length**2) + 1e-12), length


@pytest.mark.sampled(1)
@pytest.mark.parametrize("length", [1e-4, 1e-8, 1e-60])
def test_the_limits_are_those_of_a_square(length):
    d = 12
    target = drawn_target(d)
    for N in (5, 11, 20):
        cov = isotropic(d, length)
        assert nt_risk_limit(target, N, "cos", cov=cov) == pytest.approx(
            nt_risk_limit(target, N), abs=1e-7 * target.null_risk
        )
        for other in (cov, np.linspace(0.5, 1.5, d) * length**2):
            expected = rf_risk_limit(target, N, cov=other)
            for name in ("cos", "he2"):
                assert rf_risk_limit(target, N, name, cov=other) == pytest.approx(expected, rel=1e-9)
        for refined in (False, True):
            expected = rf_risk_limit(target, N, refined=refined)
            assert rf_risk_limit(target, N, "he2", cov=cov, refined=refined) == pytest.approx(expected, rel=1e-9)
            line = Activation("x^2 and a steep line", lambda x: x * x + 1e6 * x)
            expected = rf_risk_limit(target, N, line, refined=refined)
            for name in ("exp", "softplus", "gelu", "silu"):
                found = rf_risk_limit(target, N, name, cov=cov, refined=refined)
                assert found == pytest.approx(expected, abs=1e-6 * target.null_risk)


def ratio(sigma, length, N, d, m):
    return sectors.sector_equivalent(sigma, length, N, d, m).respond(0.0).lost


def test_equations_of_sectors_are_solved_however_steep_the_line():
    """With a line of infinite size, d rows less do for x^2: N = d + n leaves what n rows of x^2 leave."""
    square = fastlazy.get_activation("he2")
    for d in (3, 20):
        for n in (1, d, d * (d + 1) // 2 - 1):
            for name in ("softplus", "exp"):
                found = ratio(fastlazy.get_activation(name), 1e-9, d + n, d, 0.4)
                assert found == pytest.approx(ratio(square, 1.0, n, d, 0.4), rel=1e-8)
        assert ratio(fastlazy.get_activation("exp"), 1e-9, d, d, 0.4) == pytest.approx(1, abs=1e-7)
        assert ratio(square, 1.0, d * (d + 1) // 2 - 1, d, 0.4) > 1e-4


@pytest.mark.sampled(4)
@EACH
@pytest.mark.parametrize("length", [1e-100, 1e-12, 1e6])
def test_homogeneous_functions_know_no_length(predicted, length):
    target = drawn_target(7)
    own = Activation("own relu", lambda x: max(x, 0.0))
    for sigma in ("relu", own):
        expected = predicted(target, 5, sigma)
        assert predicted(target, 5, sigma, cov=isotropic(7, length)) == pytest.approx(expected, rel=1e-9)


@EACH
@pytest.mark.parametrize("name", ["softplus", "gelu", "silu"])
def test_long_rows_see_a_kink(predicted, name):
    target = drawn_target(7)
    expected = predicted(target, 5, "relu")
    assert predicted(target, 5, name, cov=isotropic(7, 1e6)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("predicted", "name"), [(rf_risk_limit, "rf_risk_limit"), (nt_risk_limit, "nt_risk_limit")])
def test_digits_that_are_lost_are_told(predicted, name):
    """Of x + x^4 the term that short rows learn from is smaller than the rounding of one in x^2."""
    steep = Activation("x + x^4", lambda x: x + x**4)
    target = QuadraticTarget([1.0, -0.5, 0.3])
    for refined in (False, True, True):  # again: what is remembered is told, too
        with pytest.warns(RuntimeWarning, match=rf"'x \+ x\^4' .* on which {name} depends.* multiply cov by a number"):
            predicted(target, 2, steep, cov=isotropic(3, 1e-6), refined=refined)


def test_functions_that_keep_their_digits_need_no_warning():
    target = drawn_target(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in (*SMOOTH, "tanh", "sigmoid", "erf", "sin"):
            for length in (1e-100, 1e-9, 1e-3, 0.1, 1.0):
                for predicted in PREDICTIONS.values():
                    found = predicted(target, 4, name, cov=isotropic(5, length))
                    assert found == target.null_risk if name not in SMOOTH else found < target.null_risk * (1 + 1e-15)


def test_coefficients_of_a_feature_times_its_argument():
    """x sigma'(r x) of sigma = exp, in units of its degrees from 3 on: sqrt(k) g_{k-1} + sqrt(k+1) g_{k+1}."""
    for r in (1e-9, 1e-3, 0.5, 2.0):
        found = expansion(fastlazy.get_activation("exp"), np.array([r]), 12, first=3, derivative=1, power=1)
        with mp.workdps(200):
            g = [mpmath.mpf(0)] + [mpmath.mpf(r) ** k / mp.sqrt(mp.factorial(k)) for k in range(200)]
            q = [math.sqrt(k) * g[k] + mp.sqrt(k + 1) * g[k + 2] for k in range(198)]
            unit = mp.sqrt(mpmath.fsum(x**2 for x in q[3:]))
            expected = [float(x / unit) for x in q[:13]]
        np.testing.assert_allclose(found.table[0], expected, rtol=1e-9, atol=1e-12)
