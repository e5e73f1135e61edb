"""Kernels of infinitely many neurons: every sigma against integrals over the plane, closed forms, kernels of many."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import scipy.special
from mpmath import mp

import fastlazy
from fastlazy import nt_kernel_limit, rf_kernel_limit
from tests import naive_moments as naive

# sigma and its slope, and whether there is a kink or jump at zero
FUNCTIONS = {
    "linear": (lambda x: x, np.ones_like, False),
    "square": (np.square, lambda x: 2 * x, False),
    "he2": (lambda x: x**2 - 1, lambda x: 2 * x, False),
    "he3": (lambda x: x**3 - 3 * x, lambda x: 3 * x**2 - 3, False),
    "step": (lambda x: 1.0 * (x > 0), None, True),
    "relu": (lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0), True),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.01 * x), lambda x: np.where(x > 0, 1.0, 0.01), True),
    "erf": (scipy.special.erf, lambda x: 2 / math.sqrt(math.pi) * np.exp(-(x**2)), False),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2, False),
    "sigmoid": (scipy.special.expit, lambda x: scipy.special.expit(x) * scipy.special.expit(-x), False),
    "softplus": (lambda x: np.logaddexp(x, 0), scipy.special.expit, False),
    "gelu": (
        lambda x: x * scipy.special.ndtr(x),
        lambda x: scipy.special.ndtr(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
        False,
    ),
    "silu": (
        lambda x: x * scipy.special.expit(x),
        lambda x: scipy.special.expit(x) * (1 + x * scipy.special.expit(-x)),
        False,
    ),
    "sin": (np.sin, np.cos, False),
    "cos": (np.cos, lambda x: -np.sin(x), False),
    "exp": (np.exp, np.exp, False),
}
SLOPES = [name for name, (_, slope, _) in FUNCTIONS.items() if slope is not None]
RNG = np.random.default_rng(0)
X = RNG.standard_normal((1, 3))
Y = np.array([RNG.standard_normal(3), -2 * X[0], X[0] + 0.03 * RNG.standard_normal(3)])
COV = np.array([[1.0, 0.3, 0.0], [0.3, 0.8, 0.1], [0.0, 0.1, 0.5]])


def assert_near(found, function, kink, *, of_products=1.0):
    """E[f(<w, x>) f(<w, y>)] for w ~ N(0, cov), as integrals over the plane, to 1e-12 of the norms of both features."""
    (x,), kinks = X, (0.0,) if kink else ()
    r = math.sqrt(x @ COV @ x)
    wanted, root = np.empty((1, 3)), np.empty((1, 3))
    for j, y in enumerate(Y):
        s, inner = math.sqrt(y @ COV @ y), x @ COV @ y
        cosine = inner / (r * s) if abs(inner) < (1 - 1e-12) * r * s else math.copysign(1, inner)
        wanted[0, j] = naive.plane(function, r, s, cosine, kinks)[0]
        squares = [naive.line(lambda z: function(z) ** 2, length, kinks)[0] for length in (r, s)]
        root[0, j] = math.sqrt(math.prod(squares))
    assert found.shape == (1, 3)
    assert (np.abs(found / of_products - wanted) <= 1e-12 * root).all()


@pytest.mark.sampled(8)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_random_features(name):
    function, _, kink = FUNCTIONS[name]
    assert_near(rf_kernel_limit(X, name, Y=Y, cov=COV), function, kink)


@pytest.mark.sampled(7)
@pytest.mark.parametrize("name", SLOPES)
def test_the_tangent_model(name):
    _, slope, kink = FUNCTIONS[name]
    assert_near(nt_kernel_limit(X, name, Y=Y, cov=COV), slope, kink, of_products=X @ Y.T)


def test_a_users_function_with_a_kink():
    own = fastlazy.Activation("own relu", lambda x: max(x, 0.0), lambda x: 1.0 if x > 0 else 0.0)
    points = np.concatenate([X, Y, X])
    for kernel in (rf_kernel_limit, nt_kernel_limit):
        np.testing.assert_allclose(kernel(points, own), kernel(points, "relu"), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["relu", "step", "erf", "cos"])
@pytest.mark.parametrize("angle", [1e-9, 1e-4, math.pi - 1e-4])
def test_nearly_parallel_samples_keep_their_digits(name, angle):
    x, y = np.array([[1.0, 0.0]]), np.array([[math.cos(angle), math.sin(angle)]])
    with mp.workdps(40):
        inner = mpmath.mpf(float(y[0, 0]))
        s = mp.sqrt(inner**2 + mpmath.mpf(float(y[0, 1])) ** 2)
        wanted = naive.CLOSED[name][2](mpmath.mpf(1), s, inner)
    found = rf_kernel_limit(x, name, Y=y, cov=np.ones(2))[0, 0]
    assert found == pytest.approx(float(wanted), rel=1e-14, abs=1e-16)


@pytest.mark.parametrize("name", ["relu", "tanh", "square"])
def test_kernels_of_many_neurons_tend_to_it(name):
    W = fastlazy.draw_weights(8000, 3, rng=0, cov=COV)
    for limit, kernel in ((rf_kernel_limit, fastlazy.rf_kernel), (nt_kernel_limit, fastlazy.nt_kernel)):
        wanted = limit(X, name, Y=Y, cov=COV)
        blocks = np.stack([kernel(X, part, name, Y=Y) for part in np.split(W, 40)])
        deviation = blocks.std(axis=0) / math.sqrt(40)
        assert (np.abs(blocks.mean(axis=0) - wanted) <= 5 * deviation + 1e-12).all()
        assert (deviation < 0.1 * np.abs(wanted).max()).all()


@pytest.mark.parametrize("name", ["relu", "tanh", "square", "cos", "step"])
def test_it_is_the_gram_matrix_of_samples_as_rows(name):
    points = np.random.default_rng(1).standard_normal((12, 8))
    K = rf_kernel_limit(points, name)
    np.testing.assert_allclose(K, fastlazy.rf_gram(points / math.sqrt(8), name), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_allclose(rf_kernel_limit(points, name, Y=points, cov=np.full(8, 1 / 8)), K, rtol=0, atol=1e-14)
    for kernel in (rf_kernel_limit, nt_kernel_limit)[: 1 if name == "step" else 2]:
        K = kernel(points, name)
        np.testing.assert_array_equal(K, K.T)
        assert np.linalg.eigvalsh(K).min() > -1e-12 * K.max()
        single = kernel(points.astype(np.float32), name)
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, K, rtol=0, atol=1e-5 * K.max())


def test_more_samples_than_are_taken_at_a_time(monkeypatch):
    points = np.random.default_rng(2).standard_normal((20, 2))
    for name in ("relu", "tanh"):
        wanted = rf_kernel_limit(points, name), nt_kernel_limit(points, name)
        monkeypatch.setattr(fastlazy.kernels.kernel_limits, "_ENTRIES", 41)
        for found, whole in zip((rf_kernel_limit(points, name), nt_kernel_limit(points, name)), wanted, strict=True):
            np.testing.assert_allclose(found, whole, rtol=0, atol=1e-14)
        monkeypatch.undo()


@pytest.mark.parametrize("name", ["step", "sigmoid", "cos", "square", "he2", "relu"])
def test_a_sample_of_zeros_sees_sigma_at_zero(name):
    function = FUNCTIONS[name][0]
    found = rf_kernel_limit([[0.0, 0.0], [1.0, 2.0]], name, cov=[1.0, 0.5])
    at_zero, mean = float(function(np.array(0.0))), naive.line(function, math.sqrt(3), (0.0,))[0]
    np.testing.assert_allclose(found[0], [at_zero**2, at_zero * mean], rtol=0, atol=1e-14)
    if name != "step":
        assert (nt_kernel_limit([[0.0, 0.0], [1.0, 2.0]], name)[0] == 0).all()


def test_it_grows_as_homogeneous_functions_do():
    for size in (1e-100, 1e100):
        np.testing.assert_allclose(rf_kernel_limit(size * X, "relu") / size**2, rf_kernel_limit(X, "relu"), rtol=1e-14)
        np.testing.assert_allclose(nt_kernel_limit(size * X, "relu") / size**2, nt_kernel_limit(X, "relu"), rtol=1e-14)


@pytest.mark.parametrize("kernel", [rf_kernel_limit, nt_kernel_limit])
@pytest.mark.parametrize(
    ("arguments", "options", "match"),
    [
        ((X * np.nan, "relu"), {}, "X must be finite"),
        ((X[0], "relu"), {}, r"X must be 2-dimensional, got shape \(3,\)"),
        ((X, "rlu"), {}, "activation = 'rlu' is not known"),
        ((X, "relu"), {"Y": np.ones((2, 2))}, r"Y has rows of length 2 \(shape \(2, 2\)\), but X has d = 3"),
        ((X, "relu"), {"cov": np.eye(2)}, r"cov has rows of length 2 .*, but a row of W has d = 3"),
        ((X, "relu"), {"cov": -np.eye(3)}, "cov must be a covariance matrix"),
        ((1e200 * X, "square"), {}, "_limit overflows float64 for samples of such a size; divide X, Y or cov by"),
        ((100 * X, "exp"), {}, "_limit overflows float64 for samples of such a size"),
        (((1e30 * X).astype(np.float32), "relu"), {}, "_limit overflows float32 for samples of such a size"),
        (
            (10 * X, fastlazy.Activation("g", lambda x: math.exp(x * x))),
            {},
            "the root of cov for the rows of W: activation",
        ),
    ],
)
def test_bad_input(kernel, arguments, options, match):
    with pytest.raises(ValueError, match=match):
        kernel(*arguments, **options)


def test_a_jump_has_no_tangent_model():
    with pytest.raises(ValueError, match=r"nt_kernel_limit takes samples .*: activation 'step' jumps"):
        nt_kernel_limit(X, "step")
