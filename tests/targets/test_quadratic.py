"""Targets and weights: moments against Isserlis and Monte Carlo, what is converted and what is refused."""

import copy
import dataclasses
import pickle

import naive
import numpy as np
import pytest

import fastlazy
from fastlazy.targets.library import exponential_target
from fastlazy.targets.quadratic import QuadraticTarget
from fastlazy.targets.weights import draw_weights


def symmetric(d, seed=0):
    B = np.random.default_rng(seed).standard_normal((d, d))
    return B + B.T


def test_values_are_the_quadratic_form():
    B, X = symmetric(5), np.random.default_rng(1).standard_normal((7, 5))
    expected = [sum(x[i] * B[i, j] * x[j] for i in range(5) for j in range(5)) + 0.7 for x in X]
    np.testing.assert_allclose(QuadraticTarget(B, 0.7)(X), expected, rtol=1e-13)


def test_eigenvalues_stand_for_a_diagonal_matrix():
    np.testing.assert_array_equal(QuadraticTarget([3.0, -1.0, 2.0]).B, np.diag([3.0, -1.0, 2.0]))


@pytest.mark.parametrize("d", [1, 2, 4])
def test_mean_and_null_risk_are_the_moments(d):
    target = QuadraticTarget(symmetric(d, d), b0=-0.3)
    mean = naive.form_moment(np.eye(d), target.B) / (d + 2)  # E |x|^2 <x, Bx> = (d + 2) tr B
    assert target.mean == pytest.approx(mean - 0.3, rel=1e-13)
    variance = naive.form_moment(target.B, target.B) - mean**2
    assert target.null_risk == pytest.approx(variance, rel=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sample_has_the_mean_and_the_variance(dtype):
    target = QuadraticTarget(symmetric(6), b0=2.0)
    X, y = target.sample(200_000, rng=3, dtype=dtype)
    assert X.shape == (200_000, 6)
    assert y.shape == (200_000,)
    assert X.dtype == y.dtype == dtype
    np.testing.assert_allclose(y, target(X), rtol=1e-5 if dtype is np.float32 else 1e-13, atol=1e-4)
    np.testing.assert_allclose(np.cov(X.T), np.eye(6), atol=0.02)
    y = y.astype(float)
    squares = (y - target.mean) ** 2
    assert y.mean() == pytest.approx(target.mean, abs=4 * y.std() / len(y) ** 0.5)
    assert squares.mean() == pytest.approx(target.null_risk, abs=4 * squares.std() / len(y) ** 0.5)


def test_sample_repeats_with_its_seed():
    target = QuadraticTarget([1.0, 2.0])
    X, y = target.sample(5, rng=7)
    for rng in (7, np.int64(7), np.random.SeedSequence(7), np.random.default_rng(7)):
        again, values = target.sample(5, rng=rng)
        np.testing.assert_array_equal(again, X)
        np.testing.assert_array_equal(values, y)
    assert not np.array_equal(target.sample(5, rng=8)[0], X)
    assert not np.array_equal(target.sample(5)[0], target.sample(5)[0])


def test_a_generator_is_drawn_from_and_not_copied():
    target, rng = QuadraticTarget([1.0, 2.0]), np.random.default_rng(7)
    assert not np.array_equal(target.sample(5, rng=rng)[0], target.sample(5, rng=rng)[0])


def test_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002  (the one that must not be used)
    draw_weights(3, 4)
    exponential_target(4).sample(3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("B", [[3.0, -5.0, 4.0], symmetric(6)], ids=["diagonal", "full"])
def test_eigenvalues_descend(B):
    target = QuadraticTarget(B)
    np.testing.assert_allclose(target.eigenvalues, np.linalg.eigvalsh(target.B)[::-1], atol=1e-13)
    assert np.all(np.diff(target.eigenvalues) <= 0)


@pytest.mark.parametrize("B", [[3.0, -5.0, 4.0], symmetric(6)], ids=["diagonal", "full"])
def test_eigenbasis_makes_the_matrix(B):
    target = QuadraticTarget(B)
    values, vectors = target.eigenbasis
    vectors = np.eye(target.d) if vectors is None else vectors
    np.testing.assert_allclose(vectors * values @ vectors.T, target.B, atol=1e-13)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(target.d), atol=1e-13)


def test_matrix_is_a_frozen_copy():
    B = symmetric(3)
    kept = B.copy()
    target = QuadraticTarget(B)
    B[0, 0] = 99.0
    np.testing.assert_array_equal(target.B, kept)
    for array in (target.B, target.eigenvalues):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
    for name in ("B", "b0"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(target, name, 1.0)


@pytest.mark.parametrize("B", [np.array([3.0, 1.0]), symmetric(2)], ids=["diagonal", "full"])
def test_the_given_array_stays_writeable(B):
    QuadraticTarget(B)
    assert B.flags.writeable


@pytest.mark.parametrize("restore", [lambda t: pickle.loads(pickle.dumps(t)), copy.copy, copy.deepcopy])
def test_copies_are_equal_and_frozen(restore):
    target = QuadraticTarget(symmetric(4), b0=0.25)
    _ = target.eigenvalues  # a cached property must not get in the way
    again = restore(target)
    np.testing.assert_array_equal(again.B, target.B)
    assert (again.b0, again.d, again.null_risk) == (0.25, 4, target.null_risk)
    assert not again.B.flags.writeable


def test_repr_names_what_tells_targets_apart():
    assert repr(QuadraticTarget([3.0, 1.0], b0=-4.0)) == "QuadraticTarget(d=2, trace=4, b0=-4)"


READ_ONLY = symmetric(4)
READ_ONLY.flags.writeable = False
INTEGERS = np.array([[2, 1, 0, 0], [1, 3, 0, 0], [0, 0, 1, 5], [0, 0, 5, 1]])
HARMLESS = {
    "int": INTEGERS,
    "uint8": INTEGERS.astype(np.uint8),
    "bool": INTEGERS > 0,
    "list": INTEGERS.tolist(),
    "tuple": tuple(map(tuple, INTEGERS)),
    "float32": symmetric(4).astype(np.float32),
    "float16": symmetric(4).astype(np.float16),
    "big-endian": symmetric(4).astype(">f8"),
    "fortran": np.asfortranarray(symmetric(4)),
    "strided": np.repeat(np.repeat(symmetric(4), 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": symmetric(4)[::-1, ::-1],
    "read-only": READ_ONLY,
}


@pytest.mark.parametrize("B", HARMLESS.values(), ids=HARMLESS)
def test_harmless_arrays_are_converted(B):
    target = QuadraticTarget(B)
    np.testing.assert_array_equal(target.B, np.asarray(B).astype(float))
    assert target.B.dtype == np.float64
    assert target.B.dtype.isnative
    assert target.B.flags.c_contiguous
    np.testing.assert_array_equal(target(B), target(np.array(B, float)))
    np.testing.assert_array_equal(draw_weights(3, 4, cov=np.abs(B)[0], rng=0).shape, (3, 4))


def test_symmetry_to_rounding_is_enough():
    B = symmetric(30)
    noisy = B * (1 + 1e-15 * np.random.default_rng(0).standard_normal(B.shape))
    assert not np.array_equal(noisy, noisy.T)
    target = QuadraticTarget(noisy)
    np.testing.assert_array_equal(target.B, target.B.T)
    np.testing.assert_allclose(target.B, B, rtol=1e-14)
    product = symmetric(30).astype(np.float32)
    product = product @ product.T * np.float32(1 + 1e-7)
    QuadraticTarget(product)


BAD_MATRICES = {
    "nan": ([[1.0, np.nan], [np.nan, 1.0]], ValueError, r"^B must be finite, got 2 NaN .* the first at \[0, 1\]"),
    "inf": ([1.0, -np.inf], ValueError, r"^B must be finite, got 1 NaN or infinite entries, the first at \[1\]"),
    "not symmetric": ([[1.0, 2.0], [2.5, 1.0]], ValueError, r"^B must be symmetric, .* up to 0\.5; pass \(B \+ B\.T\)"),
    "not symmetric float64": ([[1.0, 1.0], [1.0 + 1e-12, 1.0]], ValueError, "^B must be symmetric"),
    "not square": (np.ones((2, 3)), ValueError, r"^B must be square, got shape \(2, 3\); pass \(d, d\), or \(d,\)"),
    "3-D": (np.ones((2, 2, 2)), ValueError, r"^B must be 1-dimensional or 2-dimensional, got shape \(2, 2, 2\)"),
    "0-D": (3.0, ValueError, r"^B must be 1-dimensional or 2-dimensional, got shape \(\)"),
    "complex": (np.eye(2) * 1j, TypeError, "^B must hold real numbers, got an array of dtype complex128"),
    "strings": (["1", "2"], TypeError, "^B must hold real numbers, got an array of dtype <U1"),
    "objects": ([None, 1.0], TypeError, r"^B has a missing value, None at \[0\]; fill or drop"),
    "dates": (np.array(["2019-06-21"], "M8[D]"), TypeError, "^B must hold real numbers, got .* datetime64"),
    "ragged": ([[1.0, 2.0], [2.0]], TypeError, "^B cannot be made an array .* rows of equal length"),
    "empty": ([], ValueError, r"^B is empty, got shape \(0,\)"),
    "empty matrix": (np.ones((0, 0)), ValueError, r"^B is empty, got shape \(0, 0\)"),
}


@pytest.mark.parametrize(("B", "error", "message"), BAD_MATRICES.values(), ids=BAD_MATRICES)
def test_bad_matrices_are_refused(B, error, message):
    with pytest.raises(error, match=message):
        QuadraticTarget(B)
    with pytest.raises(error, match=message.replace("B", "cov")):
        draw_weights(2, 2, cov=B)


BAD_NUMBERS = {
    "nan": (np.nan, ValueError, "^b0 must be a finite number, got nan"),
    "inf": (np.inf, ValueError, "^b0 must be a finite number, got inf"),
    "complex": (1j, TypeError, "^b0 must be a real number, got 1j"),
    "numpy complex": (np.complex64(1j), TypeError, "^b0 must be a real number"),
    "string": ("1", TypeError, "^b0 must be a real number, got '1'"),
    "array": ([1.0, 2.0], TypeError, "^b0 must be a real number"),
    "None": (None, TypeError, "^b0 must be a real number, got None"),
    "huge": (10**400, ValueError, "^b0 must be a finite number"),
}


@pytest.mark.parametrize(("b0", "error", "message"), BAD_NUMBERS.values(), ids=BAD_NUMBERS)
def test_bad_constants_are_refused(b0, error, message):
    with pytest.raises(error, match=message):
        QuadraticTarget([1.0], b0)


@pytest.mark.parametrize("b0", [2, np.float32(2), np.int8(2), np.array(2.0)])
def test_real_constants_are_converted(b0):
    assert type(QuadraticTarget([1.0], b0).b0) is float
    assert QuadraticTarget([1.0], b0).b0 == 2.0


BAD_POINTS = {
    "one row": (np.ones(3), ValueError, r"^X must be 2-dimensional, got shape \(3,\); for one row pass X\[None, :\]"),
    "3-D": (np.ones((2, 3, 3)), ValueError, r"^X must be 2-dimensional, got shape \(2, 3, 3\)"),
    "length": (np.ones((4, 2)), ValueError, r"^X has rows of length 2 \(shape \(4, 2\)\), .* d = 3; .* \(\.\.\., 3\)$"),
    "transposed": (np.ones((3, 4)), ValueError, r"^X has rows of length 4 .* d = 3; .*; pass its transpose$"),
    "nan": (np.full((1, 3), np.nan), ValueError, r"^X must be finite, got 3 NaN .* at \[0, 0\]"),
    "complex": (np.ones((1, 3)) + 0j, TypeError, "^X must hold real numbers"),
    "ragged": ([[1.0, 2.0, 3.0], [1.0]], TypeError, "^X cannot be made an array"),
    "empty": (np.ones((0, 3)), ValueError, r"^X is empty, got shape \(0, 3\)"),
}


@pytest.mark.parametrize(("X", "error", "message"), BAD_POINTS.values(), ids=BAD_POINTS)
def test_bad_points_are_refused(X, error, message):
    with pytest.raises(error, match=message):
        QuadraticTarget([1.0, 2.0, 3.0])(X)


COUNTED = {
    "n": lambda value: QuadraticTarget([1.0]).sample(value, rng=0)[0].shape[0],
    "d": lambda value: exponential_target(value, rng=0).d,
    "N": lambda value: draw_weights(value, 3, rng=0).shape[0],
}
COUNTED["d of weights"] = lambda value: draw_weights(3, value, rng=0).shape[1]


@pytest.mark.parametrize(("name", "call"), COUNTED.items(), ids=COUNTED)
def test_counts_are_whole_numbers(name, call):
    name = name.split()[0]
    for value in (2, 2.0, np.int32(2), np.uint8(2), np.float64(2), np.array(2)):
        assert call(value) == 2
    for value in (0, -3, -1.0):
        with pytest.raises(ValueError, match=f"^{name} must be at least 1, got {int(value)}; pass a larger {name}$"):
            call(value)
    for value in (2.5, True, np.True_, "2", None, [2], np.nan, np.inf, 2j):
        with pytest.raises(TypeError, match=f"^{name} must be a whole number, got .* of type .*; pass an int$"):
            call(value)


SEEDED = {
    "sample": lambda rng: QuadraticTarget([1.0]).sample(2, rng=rng),
    "exponential_target": lambda rng: exponential_target(3, rng=rng),
    "draw_weights": lambda rng: draw_weights(2, 3, rng=rng),
}


@pytest.mark.parametrize("call", SEEDED.values(), ids=SEEDED)
def test_bad_seeds_are_refused(call):
    for seed in (-1, np.int64(-5)):
        with pytest.raises(ValueError, match=f"^rng must not be negative, got {seed}; pass a seed of 0 or more"):
            call(seed)
    legacy = np.random.RandomState(0)
    for rng in (1.0, "0", True, [0, 1], legacy, np.random.PCG64(0), np.random):
        with pytest.raises(TypeError, match=f"^rng must be None, an int, .* got {type(rng).__name__}; pass e.g. rng=0"):
            call(rng)


def test_dtypes():
    target = QuadraticTarget([1.0])
    for dtype in ("float32", "f4", np.float32, np.dtype("float32")):
        assert target.sample(1, rng=0, dtype=dtype)[0].dtype == np.float32
    for dtype in (np.float16, int, complex, "f2"):
        with pytest.raises(ValueError, match=r"^dtype must be float32 or float64, got .*; pass np\.float32"):
            target.sample(1, dtype=dtype)
    for dtype in ("double precision", 3):
        with pytest.raises(TypeError, match=r"^dtype must be a NumPy dtype, got"):
            target.sample(1, dtype=dtype)


def test_exponential_target_is_centred_and_exponential():
    target = exponential_target(2000, rng=1)
    assert target.mean == pytest.approx(0.0, abs=1e-9)
    assert target.eigenvalues.min() > 0
    assert target.eigenvalues.mean() == pytest.approx(1.0, abs=4 / 2000**0.5)
    assert np.mean(target.eigenvalues**2) == pytest.approx(2.0, abs=4 * 20**0.5 / 2000**0.5)
    assert np.count_nonzero(target.B) == 2000


def test_exponential_target_repeats_with_its_seed():
    np.testing.assert_array_equal(exponential_target(6, rng=4).B, exponential_target(6, rng=4).B)
    assert not np.array_equal(exponential_target(6, rng=4).B, exponential_target(6, rng=5).B)
    expected = np.random.default_rng(4).exponential(size=6)
    np.testing.assert_array_equal(np.diag(exponential_target(6, rng=4).B), expected)


def second_moment(W):
    """Mean of w w^T and, entry by entry, its standard error."""
    products = W[:, :, None] * W[:, None, :]
    return products.mean(axis=0), products.std(axis=0) / len(W) ** 0.5


def test_isotropic_weights_have_unit_norm_on_average():
    W = draw_weights(40_000, 5, rng=2)
    mean, error = second_moment(W)
    assert np.all(np.abs(mean - np.eye(5) / 5) < 4.5 * error)
    assert np.all(np.abs(W.mean(axis=0)) < 4.5 * 5**-0.5 / 40_000**0.5)
    assert np.mean(np.sum(W**2, axis=1)) == pytest.approx(1.0, abs=4.5 * (2 / 5) ** 0.5 / 40_000**0.5)


A = np.random.default_rng(8).standard_normal((6, 4))
COVARIANCES = {"diagonal": np.array([4.0, 1.0, 0.25, 0.0]), "full": A.T @ A, "singular": A[:2].T @ A[:2]}


@pytest.mark.parametrize("cov", COVARIANCES.values(), ids=COVARIANCES)
def test_weights_have_the_covariance(cov):
    kept = cov.copy()
    W = draw_weights(40_000, 4, cov=cov, rng=3)
    mean, error = second_moment(W)
    expected = np.diag(cov) if cov.ndim == 1 else cov
    assert np.all(np.abs(mean - expected) <= 4.5 * error + 1e-12)
    np.testing.assert_array_equal(cov, kept)
    assert cov.flags.writeable


def test_a_diagonal_covariance_is_its_matrix():
    diagonal = np.array([4.0, 1.0, 0.25, 0.0])
    np.testing.assert_array_equal(
        draw_weights(5, 4, cov=diagonal, rng=1), draw_weights(5, 4, cov=np.diag(diagonal), rng=1)
    )
    np.testing.assert_allclose(draw_weights(5, 4, cov=np.full(4, 0.25), rng=1), draw_weights(5, 4, rng=1), rtol=1e-15)


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_weights_of_a_singular_covariance_stay_in_its_range(rank):
    factor = np.random.default_rng(1).standard_normal((rank, 8))
    W = draw_weights(30, 8, cov=factor.T @ factor, rng=0)
    off = W - W @ np.linalg.pinv(factor) @ factor
    assert np.abs(off).max() < 1e-13 * np.abs(W).max()


def test_weights_repeat_with_their_seed():
    for cov in (None, [1.0, 2.0, 3.0], A[:, :3].T @ A[:, :3]):
        W = draw_weights(4, 3, cov=cov, rng=9)
        np.testing.assert_array_equal(W, draw_weights(4, 3, cov=cov, rng=9))
        np.testing.assert_array_equal(W, draw_weights(4, 3, cov=cov, rng=np.random.default_rng(9)))
        assert not np.array_equal(W, draw_weights(4, 3, cov=cov, rng=10))
        assert W.dtype == np.float64


@pytest.mark.parametrize(
    ("cov", "message"),
    [
        ([1.0, -1.0], r"^cov must be a covariance matrix, .* eigenvalues from -1 to 1; pass e\.g\. A\.T @ A"),
        ([[1.0, 2.0], [2.0, 1.0]], "^cov must be a covariance matrix, .* eigenvalues from -1 to 3"),
        ([0.0, 0.0], "^cov must be a covariance matrix, .* not zero, got eigenvalues from 0 to 0"),
        (-np.eye(2), "^cov must be a covariance matrix"),
        (np.eye(3), r"^cov has rows of length 3 \(shape \(3, 3\)\), but .* d = 2; cov must have shape \(\.\.\., 2\)"),
        ([1.0], r"^cov has rows of length 1 .* d = 2"),
    ],
)
def test_what_is_no_covariance_is_refused(cov, message):
    with pytest.raises(ValueError, match=message):
        draw_weights(3, 2, cov=cov)


def test_a_covariance_of_another_size_is_not_blamed_on_a_target():
    with pytest.raises(ValueError, match=r"^cov ") as caught:
        draw_weights(3, 2, cov=np.eye(3))
    assert "target" not in str(caught.value)


def test_options_are_keyword_only():
    with pytest.raises(TypeError, match="positional"):
        draw_weights(3, 2, None)
    with pytest.raises(TypeError, match="positional"):
        exponential_target(3, 0)
    with pytest.raises(TypeError, match="positional"):
        fastlazy.QuadraticTarget([1.0]).sample(3, 0)
