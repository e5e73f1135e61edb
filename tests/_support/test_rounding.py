"""Huge and tiny inputs: the right number wherever it can be represented, else an error that says what overflows."""

import math

import numpy as np
import pytest

import fastlazy
from fastlazy import QuadraticTarget

W = np.array([[1, 0.2, 0.3], [0.1, 1, -0.4]])
T = QuadraticTarget(np.array([[1.0, 0.3, -0.2], [0.3, -0.5, 0.4], [-0.2, 0.4, 0.3]]), b0=0.2)
COV = np.diag([1.0, 2.0, 3.0]) + 0.1

# Risks at the best offset: they go as the square of the target.
HOMOGENEOUS = {
    "rf": lambda t: fastlazy.rf_risk(t, W),
    "rf ridge": lambda t: fastlazy.rf_risk(t, W, ridge=0.1),
    "rf relu": lambda t: fastlazy.rf_risk(t, W, "relu"),
    "rf softplus ridge": lambda t: fastlazy.rf_risk(t, W, "softplus", ridge=0.1),
    "nt": lambda t: fastlazy.nt_risk(t, W[:1]),
    "nt ridge": lambda t: fastlazy.nt_risk(t, W, ridge=0.1),
    "nt relu": lambda t: fastlazy.nt_risk(t, W, "relu"),
    "nn": lambda t: fastlazy.nn_risk(t, 1),
    "lazy": lambda t: fastlazy.lazy_risk(t, W, scale=0.0),
    **{
        f"rf limit {name} {refined}": lambda t, o=options, r=refined, N=N: fastlazy.rf_risk_limit(t, N, refined=r, **o)
        for refined in (False, True)
        for name, options, N in (
            ("isotropic", {}, 2),
            ("cov", {"cov": COV}, 2),
            ("relu", {"activation": "relu"}, 2),
            ("10^15", {}, 10**15),
            ("10^15 relu", {"activation": "relu"}, 10**15),
        )
    },
    "nt limit": lambda t: fastlazy.nt_risk_limit(t, 2),
    "nt limit refined": lambda t: fastlazy.nt_risk_limit(t, 2, refined=True),
    "nt limit cov": lambda t: fastlazy.nt_risk_limit(t, 2, cov=COV),
    "nt limit relu": lambda t: fastlazy.nt_risk_limit(t, 2, "relu"),
    "nn limit": lambda t: fastlazy.nn_risk_limit(t, 2),
}


@pytest.mark.parametrize("scale", [2.0**-500, 2.0**495])
@pytest.mark.parametrize("risk", HOMOGENEOUS.values(), ids=HOMOGENEOUS)
def test_risks_go_as_the_square_of_the_target(risk, scale):
    scaled = QuadraticTarget(scale * T.B, T.b0)
    assert risk(scaled) == pytest.approx(scale * scale * risk(T), rel=1e-9, abs=1e-15 * scaled.null_risk)


@pytest.mark.parametrize("risk", HOMOGENEOUS.values(), ids=HOMOGENEOUS)
def test_a_zero_target_has_no_risk(risk):
    assert risk(QuadraticTarget(np.zeros((3, 3)), b0=4.0)) == 0


@pytest.mark.parametrize("scale", [1e-300, 1e-100, 1e100, 1e300])
@pytest.mark.parametrize("activation", ["square", "he2", "relu", "leaky_relu"])
def test_lengths_of_rows_do_not_matter_to_powers(activation, scale):
    lengths = np.array([[scale], [1.0]])
    for risk in (fastlazy.rf_risk, fastlazy.nt_risk):
        assert risk(T, lengths * W, activation) == pytest.approx(risk(T, W, activation), rel=1e-12)


EYE = QuadraticTarget(np.eye(3))
MOVES = np.array([[1.0, -1, 0], [0, 1, -1], [-1, 0, 1]])
OVERFLOWING = {
    "values": (lambda: EYE([[1.0, 1, 1], [1e160, 0, 0]]), "the target overflows at row 1 of X.*1e[+]160"),
    "values that cancel": (lambda: QuadraticTarget([1.0, -1.0])([[1e160, 1e160]]), "the target overflows at row 0"),
    "samples": (
        lambda: QuadraticTarget(1e60 * np.eye(3)).sample(9, rng=0, dtype=np.float32),
        "y has values of size .* beyond the range of dtype float32; pass dtype=np.float64",
    ),
    "tiny samples": (lambda: QuadraticTarget(1e-60 * np.eye(3)).sample(9, rng=0, dtype=np.float32), "y has values of"),
    "network": (lambda: fastlazy.network_risk(EYE, 1e308 * np.eye(3)), "network_risk overflows floating point"),
    "network, offset": (lambda: fastlazy.network_risk(EYE, np.eye(3), 1.0, 1e160), "network_risk overflows"),
    "network, constant": (
        lambda: fastlazy.network_risk(QuadraticTarget(np.eye(3), 1e160), np.eye(3)),
        "network_risk overflows",
    ),
    "network, relu": (
        lambda: fastlazy.network_risk(EYE, np.eye(3), [1e160, -1e160, 0], 0, "relu"),
        "network_risk over",
    ),
    "tangent": (lambda: fastlazy.tangent_risk(EYE, 1e308 * np.eye(3), np.eye(3)), "tangent_risk overflows"),
    "tangent, tanh": (
        lambda: fastlazy.tangent_risk(EYE, np.eye(3), 1e160 * MOVES, 0.0, "tanh"),
        "tangent_risk overflows",
    ),
    "distance": (
        lambda: fastlazy.population_distance(QuadraticTarget(np.eye(3), 1e160), EYE),
        "population_distance overflows floating point: B or b0 of f or g",
    ),
    "function": (lambda: fastlazy.network_function(1e160 * np.eye(3)), "divide W, a or c by a number"),
    "tiny function": (lambda: fastlazy.network_function(1e-80 * np.eye(3)), "coefficients of size 1e-160 .* multiply"),
    "linearisation": (lambda: fastlazy.linearize(1e100 * W).nt(1e300 * W), "divide W, a or c by a number"),
    "share": (
        lambda: fastlazy.captured_share(QuadraticTarget([1.0, 1e-200]), QuadraticTarget(1e140 * np.eye(2))),
        "the share of eigendirection 1 overflows",
    ),
    "random features, ridge": (lambda: fastlazy.rf_risk(EYE, 1e100 * W, ridge=1.0), "ridge by its fourth power"),
}


def test_softplus_of_long_rows_is_relu():
    """They see nothing of the bend."""
    expected = fastlazy.rf_risk(EYE, W, "relu")
    for length in (1e10, 1e149, 1e200, 1e300):
        assert fastlazy.rf_risk(EYE, length * W, "softplus") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("call", "message"), OVERFLOWING.values(), ids=OVERFLOWING)
def test_what_overflows_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("ridge", [1e-320, 1e308])
@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e60])
def test_extreme_ridges_leave_nothing_or_all(scale, ridge):
    for risk, power in ((fastlazy.rf_risk, 4), (fastlazy.nt_risk, 2)):
        strength = power * math.log10(scale) - math.log10(ridge)  # of the data beside the penalty
        wanted = risk(T, W) if strength > 10 else T.null_risk if strength < -10 else None
        if wanted is not None:
            assert risk(T, scale * W, ridge=ridge) == pytest.approx(wanted, rel=1e-8)
    assert fastlazy.rf_risk(T, W, "softplus", ridge=1e308) == pytest.approx(T.null_risk, rel=1e-12)
    assert fastlazy.nt_risk(T, W, "softplus", ridge=1e308) == pytest.approx(T.null_risk, rel=1e-12)


def test_large_coefficients_that_cancel_are_told():
    """What two networks of size 1e7 have in common is known to 1e-2 only: zero would be a perfect risk."""
    rows = np.vstack([W[:1], W[:1] * (1 + 1e-9)])
    with pytest.warns(RuntimeWarning, match=r"network_risk may be off by .* lost in their rounding"):
        fastlazy.network_risk(T, rows, [1e7, -1e7], 0.0, "relu")
    with pytest.warns(RuntimeWarning, match=r"tangent_risk may be off by"):
        fastlazy.tangent_risk(T, rows, 1e7 * np.array([[1.0, 0, 0], [-1, 0, 0]]), 0.0, "relu")


def _shifted(size):
    return fastlazy.Activation("shifted tanh", lambda x: size * math.tanh(x + 0.5))


def _folded(size):
    return fastlazy.Activation("folded", lambda x: size * abs(x), lambda x: size if x > 0 else -size)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("size", [2.0**-1020, 1e-200, 1e-160, 1e-80, 1e80, 1e160, 1e200, 2.0**1000])
@pytest.mark.parametrize("function", [_shifted, _folded])
def test_the_unit_of_a_function_changes_no_risk(function, size):
    """Its squares may be beyond floating point."""
    one, other = function(1.0), function(size)
    for risk in (fastlazy.rf_risk, fastlazy.nt_risk):
        assert risk(T, W, other) == pytest.approx(risk(T, W, one), rel=1e-9)
        if 1e-150 < size < 1e150:
            wanted = risk(T, W, one, ridge=0.1)
            assert risk(T, W, other, ridge=0.1 * size**2) == pytest.approx(wanted, rel=1e-9)
    for limit in (fastlazy.rf_risk_limit, fastlazy.nt_risk_limit):
        for refined in (False, True):
            assert limit(T, 2, other, refined=refined) == pytest.approx(limit(T, 2, one, refined=refined), rel=1e-9)
    for risk, coefficients in ((fastlazy.network_risk, np.array([0.5, -2.0])), (fastlazy.tangent_risk, 3 * W)):
        wanted = risk(T, W, coefficients, 0.1, one)
        assert risk(T, W, coefficients / size, 0.1, other) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.slow
def test_moments_of_functions_in_an_extreme_unit():
    for exponent, factor in ((-230, 2.0**-460), (230, 2.0**460), (-600, 0.0)):
        one, other = _shifted(1.0), _shifted(2.0**exponent)
        np.testing.assert_allclose(fastlazy.rf_gram(W, other), factor * fastlazy.rf_gram(W, one), rtol=1e-12, atol=0)
        b = np.ones(W.size)
        for center in (False, True):
            products = [fastlazy.nt_gram(W, sigma, center=center) @ b for sigma in (one, other)]
            np.testing.assert_allclose(products[1], factor * products[0], rtol=1e-9, atol=0)
    huge = _shifted(2.0**600)
    with pytest.raises(ValueError, match="rf_gram overflows float64"):
        fastlazy.rf_gram(W, huge)
    with pytest.raises(ValueError, match="moments of activation 'shifted tanh' overflow float64"):
        fastlazy.nt_gram(W, huge)
    with pytest.raises(ValueError, match="network_risk overflows"):
        fastlazy.network_risk(T, W, 1.0, 0.0, huge)
    with pytest.raises(ValueError, match="tangent_risk overflows"):
        fastlazy.tangent_risk(T, W, W, 0.0, huge)


def test_the_rounding_of_large_coefficients_is_a_number():
    """It is far below the risk, though the fourth power of a coefficient overflows."""
    wanted = fastlazy.tangent_risk(QuadraticTarget(0 * T.B), W, W, -1.0, "sigmoid")
    found = fastlazy.tangent_risk(T, W, 1e100 * W, -1e100, "sigmoid")
    assert found == pytest.approx(1e200 * wanted, rel=1e-9)
