"""Hermite coefficients in public: normalisation, exactness, the non-linearity that has given ones, refusals."""

import copy
import math
import pickle
import subprocess
import sys
from pathlib import Path

import naive
import naive_hermite
import numpy as np
import pytest

import fastlazy
from fastlazy import Activation, get_activation, hermite_activation, hermite_coefficients
from fastlazy._core import activation as core
from fastlazy.sweeps.cells import canonical_cell, cell_id

ROOT = Path(__file__).resolve().parents[2]
ROOTS = np.sqrt([float(math.factorial(k)) for k in range(171)])
POINTS = np.linspace(-6, 6, 9)
MIXED = (0.5, -1.0, 1.0, 2.0, 0.0, 0.25)


def differs(found, expected):
    """The largest error of coefficients in units of sqrt(k! sum_k h_k^2 / k!), which is sqrt(k! E sigma^2)."""
    roots = ROOTS[: len(expected)]
    expected = np.array(expected)
    return np.abs((found - expected) / roots).max() / np.linalg.norm(expected / roots)


CLOSED = {
    "relu": naive_hermite.relu,
    "step": naive_hermite.step,
    "exp": naive_hermite.exponential,
    "cos": naive_hermite.cosine,
    "sin": naive_hermite.sine,
    "erf": naive_hermite.error_function,
}


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("r", [0.1, 1.0, 2.5])
def test_closed_forms(name, r):
    found = hermite_coefficients(name, r, 24)
    assert differs(found, [CLOSED[name](r, k) for k in range(24)]) <= 4e-15


@pytest.mark.parametrize("name", ["tanh", "gelu", "softplus"])
def test_smooth_functions(name):
    expected = [naive.hermite_coefficient(get_activation(name), 1.3, k) * ROOTS[k] for k in range(8)]
    np.testing.assert_allclose(hermite_coefficients(name, 1.3, 8), expected, atol=1e-12)


def test_the_normalisation():
    """x^2 = He_2 + 1 and He_2 has E He_2^2 = 2: coefficients are not divided by sqrt(k!)."""
    np.testing.assert_allclose(hermite_coefficients("square", 1.0, 4), [1, 0, 2, 0], atol=1e-14)
    np.testing.assert_allclose(hermite_coefficients("he3", 1, 5), [0, 0, 0, 6, 0], atol=1e-13)
    np.testing.assert_allclose(hermite_coefficients(np.square, 2.0, 3), [4, 0, 8], atol=1e-13)


def test_shapes():
    one = hermite_coefficients("relu", 0.5, 3)
    assert one.shape == (3,)
    many = hermite_coefficients("relu", [1.0, 0.5, 0.0], 3)
    assert many.shape == (3, 3)
    assert hermite_coefficients("relu", np.array(0.5), 1).shape == (1,)
    np.testing.assert_array_equal(many[1], one)
    assert many[2].tolist() == [0, 0, 0]


def test_of_any_size():
    """Squares of values would be lost."""
    for size in (1e-200, 1e290):
        np.testing.assert_allclose(
            hermite_coefficients(hermite_activation([0, size, 0, size]), 1, 4), [0, size, 0, size], 1e-13, 1e-15 * size
        )


def test_of_rows_as_long_as_there_are():
    """A bounded function sees the sign of its argument alone."""
    found = hermite_coefficients(lambda x: math.tanh(x), 1e308, 3)
    np.testing.assert_allclose(found, [0, math.sqrt(2 / math.pi), 0], atol=1e-12)


@pytest.mark.parametrize("degree", [0, 1, 5, 30, 60])
def test_a_series_has_the_coefficients_that_it_was_given(degree):
    given = np.random.default_rng(degree).standard_normal(degree + 1) * ROOTS[: degree + 1]
    sigma = hermite_activation(given)
    assert differs(hermite_coefficients(sigma, 1.0, degree + 3), [*given, 0, 0]) <= 1e-14
    for r in (0.6, 1.7):
        expected = [naive_hermite.scaled(given.tolist(), r, k) for k in range(degree + 1)]
        assert differs(hermite_coefficients(sigma, r, degree + 1), expected) <= 1e-14


@pytest.mark.parametrize("coefficients", [MIXED, (1.0,), tuple(np.linspace(-1, 1, 12) * ROOTS[:12])])
def test_the_values_of_a_series(coefficients):
    sigma = hermite_activation(coefficients)
    for derivative, given in enumerate([coefficients, coefficients[1:] or (0.0,)]):
        sizes = [abs(c) / math.factorial(k) * (np.abs(POINTS) + math.sqrt(k)) ** k for k, c in enumerate(given)]
        scale = np.sum(sizes, axis=0) + 1e-300
        expected = np.array([float(naive_hermite.series(given, x)) for x in POINTS])
        assert np.all(np.abs(sigma.values(POINTS, derivative) - expected) <= 1e-14 * scale)
        compiled = sigma.compiled_derivative if derivative else sigma.compiled
        for dtype in (np.float64, np.float32) if coefficients is MIXED else ():
            out = np.empty(POINTS.size, dtype)
            core.evaluator(compiled)(POINTS.astype(dtype), out)
            assert np.all(np.abs(out - expected) <= 2 * np.finfo(dtype).eps * (10 * scale + np.abs(expected)))


def test_a_series_is_like_the_function_written_out():
    target, W = fastlazy.exponential_target(6, rng=0), fastlazy.draw_weights(5, 6, rng=1)
    series, he2 = hermite_activation([0, 0, 1, 1]), hermite_activation([0, 0, 2])
    written = Activation("mine", lambda x: (x * x - 1) / 2 + x * (x * x - 3) / 6, lambda x: x + (x * x - 1) / 2)
    assert fastlazy.rf_risk(target, W, series) == pytest.approx(fastlazy.rf_risk(target, W, written), rel=1e-10)
    assert fastlazy.nt_risk(target, W, series) == pytest.approx(fastlazy.nt_risk(target, W, written), rel=1e-10)
    assert fastlazy.rf_risk(target, W, he2) == pytest.approx(fastlazy.rf_risk(target, W, "he2"), rel=1e-10)
    np.testing.assert_allclose(fastlazy.nt_kernel(W, W, he2), fastlazy.nt_kernel(W, W, "he2"), rtol=1e-13, atol=1e-15)


def test_a_series_is_known_by_its_coefficients():
    sigma = hermite_activation(MIXED)
    for again in (hermite_activation(list(MIXED)), pickle.loads(pickle.dumps(sigma)), copy.deepcopy(sigma)):
        assert again == sigma
        assert hash(again) == hash(sigma)
        assert again.identity == sigma.identity
        np.testing.assert_array_equal(again(POINTS), sigma(POINTS))
    others = [hermite_activation(other) for other in ([0.5], (*MIXED, 1.0), np.nextafter(MIXED, 2), [1e-300])]
    assert len({sigma, *others}) == len({other.identity for other in (sigma, *others)}) == 5
    assert hermite_activation([0.0, 1.0]) == hermite_activation([-0.0, 1.0]) != get_activation("linear")


def test_a_series_in_the_cells_of_a_sweep():
    def cell(coefficients):
        return canonical_cell({"regime": "NT", "d": 3, "N": 2, "activation": hermite_activation(coefficients)})

    assert str(cell([0, 0, 1, 1])["activation"]).startswith("hermite(0, 0, 1, 1) #")
    assert cell_id(cell(np.ones(30))) == cell_id(cell(np.ones(30))) != cell_id(cell(np.ones(31)))
    program = "from fastlazy import hermite_activation; print(hermite_activation([0, 0, 1, 1]).identity)"
    child = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    # Stores that are out there hold what follows from this.
    assert child.stdout.split() == ["5cb3e2ae65fc654e3c68c4f0f8fbaaf11c561d422bf2f44eb9dbb16f255e5220"]
    assert hermite_activation([0, 0, 1, 1]).identity == child.stdout.strip()


def test_how_a_series_is_shown():
    assert repr(hermite_activation([0, 0, 1, 1 / 3])) == "hermite_activation([0, 0, 1, 0.333333])"
    assert hermite_activation(np.ones(50)).name == "hermite(1, 1, 1, 1, 1, 1, 1, 1, 1, 1...)"


LARGE = Activation("large", lambda x: 1e110 * math.exp(x))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("nothing", 1.0, 3), ValueError, "^activation = 'nothing' is not known"),
        (("relu", -0.5, 3), ValueError, r"^r must be 0 or more, got -0\.5; pass the length of a row"),
        (("relu", [[1.0]], 3), ValueError, "^r must be 0-dimensional or 1-dimensional, got shape"),
        (("relu", np.nan, 3), ValueError, "^r must be finite"),
        (("relu", "a", 3), TypeError, "^r must hold real numbers"),
        (("relu", 1.0, 0), ValueError, "^k must be at least 1, got 0"),
        (("relu", 1.0, 2.5), TypeError, r"^k must be a whole number, got 2\.5"),
        (("relu", 1.0, 172), ValueError, "^k must be at most 171, got 172: later factorials overflow; pass a smaller"),
        (("exp", 30.0, 3), ValueError, "^activation 'exp' has no finite Gaussian moments for rows of length 30"),
        (
            (LARGE, 11.0, 171),
            ValueError,
            "^k = 171 coefficients of activation 'large' overflow at r = 11; pass a smaller",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        hermite_coefficients(*arguments)


@pytest.mark.parametrize(
    ("coefficients", "error", "message"),
    [
        (3.0, ValueError, "^coefficients must be 1-dimensional, got shape ()"),
        ([[1.0]], ValueError, "^coefficients must be 1-dimensional"),
        ([], ValueError, "^coefficients is empty"),
        ([0.0, np.inf], ValueError, "^coefficients must be finite"),
        (["a"], TypeError, "^coefficients must hold real numbers"),
        (np.ones(172), ValueError, "^coefficients has 172 entries, and may have 171: later factorials overflow; leave"),
        ([0, 1e308], ValueError, "^coefficients are so large that sigma overflows between -10 and 10; divide them"),
    ],
)
def test_bad_coefficients_are_refused(coefficients, error, message):
    with pytest.raises(error, match=message):
        hermite_activation(coefficients)
