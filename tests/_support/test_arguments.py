"""Arguments that are nearly right, of every public function of kernels and training: converted, or refused by name."""

import copy
import pickle
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.sparse.linalg import cg

import fastlazy
from fastlazy.kernels import features

RNG = np.random.default_rng(0)
X, W = RNG.standard_normal((6, 3)), RNG.standard_normal((4, 3))
TARGET = fastlazy.QuadraticTarget([1.0, 2.0, 3.0], 0.5)


def fit(target=TARGET, N=4, **options):
    return fastlazy.fit_nn(target, N, **{"n_samples": 10, "rng": 0, **options})


TAKING = {
    "rf_kernel X": ("X", lambda value: fastlazy.rf_kernel(value, W)),
    "rf_kernel Y": ("Y", lambda value: fastlazy.rf_kernel(X, W, Y=value)),
    "nt_kernel W": ("W", lambda value: fastlazy.nt_kernel(X, value)),
    "rf_gram": ("W", fastlazy.rf_gram),
    "nt_gram": ("W", fastlazy.nt_gram),
    "normal equations X": ("X", lambda value: fastlazy.rf_normal_equations(value, np.ones(6), W)),
    "normal equations y": ("y", lambda value: fastlazy.rf_normal_equations(X, value, W)),
    "stream X": ("X", lambda value: fastlazy.rf_normal_equations([(value, np.ones(6))], None, W)),
    "stream y": ("y", lambda value: fastlazy.rf_normal_equations([(X, value)], None, W)),
    "target of X": ("X", TARGET),
    "fit_nn W0": ("W0", lambda value: fit(N=6, W0=value)),
}
EACH = pytest.mark.parametrize(("name", "call"), TAKING.values(), ids=TAKING)


def assert_same(one, other):
    for a, b in zip(parts(one), parts(other), strict=True):
        np.testing.assert_array_equal(a, b)


def parts(result):
    if isinstance(result, fastlazy.Fit):
        return result.W, result.risk
    if hasattr(result, "matvec"):
        return [result @ np.ones(result.shape[0])]
    return result if isinstance(result, tuple) else [result]


TABLES = {
    "Int64": lambda numbers: pd.DataFrame(np.rint(9 * numbers)).astype("Int64"),
    "Float64": lambda numbers: pd.DataFrame(numbers).astype("Float64"),
    "boolean": lambda numbers: pd.DataFrame(numbers > 0).astype("boolean"),
    "several": lambda numbers: pd.DataFrame(
        {"a": pd.array(np.rint(9 * numbers[:, 0]), "Int64"), "b": numbers[:, 1], "c": numbers[:, 2] > 0}
    ),
    "objects": lambda numbers: np.array([[Fraction(1, 2), 3, 2.5]] * len(numbers), dtype=object),
}


@pytest.mark.sampled(20)
@EACH
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_tables_of_any_numbers_are_taken(name, call, table):
    given = table(X)
    assert_same(call(given), call(np.asarray(given).astype(float)))


MISSING = [
    pd.DataFrame(X).astype("Float64").mask(np.arange(18).reshape(6, 3) == 4),
    [[1.0, 2.0, 3.0], [4, None, 5]] * 3,
]


@EACH
@pytest.mark.parametrize("value", MISSING, ids=["pandas", "None"])
def test_missing_values_are_found(name, call, value):
    with pytest.raises(TypeError, match=rf"^{name} has a missing value, .* at \[1, 1\]; fill or drop what is missing"):
        call(value)


REFUSED = {
    "sparse matrix": (sparse.csr_matrix(X), r"is a sparse array of type csr_matrix; pass {}\.toarray\(\)"),
    "sparse array": (sparse.coo_array(X), r"is a sparse array of type coo_array; pass {}\.toarray\(\)"),
    "ragged": ([[1.0, 2.0], [3.0]], "cannot be made an array .*rows of equal length"),
    "text among numbers": (
        np.array([[1, 2, "a"]] * 6, object),
        r"must hold real numbers, got 'a' of type str at \[0, 2\]",
    ),
    "None": (None, "must hold real numbers, got None of type NoneType"),
    "dictionary": ({"a": 1}, r"must hold real numbers, got {{'a': 1}} of type dict"),
    "text": (np.array([["a"] * 3] * 6), "must hold real numbers, got an array of dtype <U1"),
    "complex": (X * 1j, "must hold real numbers, got an array of dtype complex128"),
    "dates": (np.zeros((6, 3), "M8[s]"), "must hold real numbers, got an array of dtype datetime64"),
    "huge integers": ([[10**400] * 3] * 6, "has entries beyond the range of float64"),
    "one number": (np.array(3.0), r"(must (be|have) )?.*got .*\(\)"),
}


@EACH
@pytest.mark.parametrize(("value", "message"), REFUSED.values(), ids=REFUSED)
def test_what_holds_no_real_numbers_is_refused_by_name(name, call, value, message):
    if value is None and name in ("y", "Y", "W0"):
        pytest.skip("None has a meaning here")
    with pytest.raises((TypeError, ValueError), match=f"^(X must have shape .* and )?{name} {message.format(name)}"):
        call(value)


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(float).max, reason="there are no longer numbers")
@EACH
def test_long_doubles_beyond_float64_are_infinite(name, call):
    with pytest.raises(ValueError, match=f"^{name} must be finite, got 18 "):
        call(np.full((6, 3), np.longdouble("1e400")))


FLAGS = {
    "rf_kernel": ("parallel", lambda value: fastlazy.rf_kernel(X, W, parallel=value)),
    "nt_kernel": ("parallel", lambda value: fastlazy.nt_kernel(X, W, parallel=value)),
    "rf_gram": ("parallel", lambda value: fastlazy.rf_gram(W, parallel=value)),
    "rf_gram, centred": ("center", lambda value: fastlazy.rf_gram(W, "relu", center=value)),
    "nt_gram": ("parallel", lambda value: fastlazy.nt_gram(W, parallel=value)),
    "nt_gram, centred": ("center", lambda value: fastlazy.nt_gram(W, center=value)),
    "normal equations": ("parallel", lambda value: fastlazy.rf_normal_equations(X, X[:, 0], W, parallel=value)),
    "rf_risk": ("parallel", lambda value: fastlazy.rf_risk(TARGET, W, parallel=value)),
    "nt_risk": ("parallel", lambda value: fastlazy.nt_risk(TARGET, W, parallel=value)),
    "network_risk": ("parallel", lambda value: fastlazy.network_risk(TARGET, W, parallel=value)),
    "tangent_risk": ("parallel", lambda value: fastlazy.tangent_risk(TARGET, W, W, parallel=value)),
    "rf_risk_limit": ("refined", lambda value: fastlazy.rf_risk_limit(TARGET, 2, "relu", refined=value)),
    "nt_risk_limit": ("refined", lambda value: fastlazy.nt_risk_limit(TARGET, 2, "relu", refined=value)),
    "nt_captured_limit": ("refined", lambda value: fastlazy.nt_captured_limit(TARGET, 3, refined=value)),
    "fit_nn reduce": ("reduce", lambda value: fit(reduce=value)),
    "fit_nn diagnostics": ("diagnostics", lambda value: fit(diagnostics=value)),
}


@pytest.mark.parametrize(("name", "call"), FLAGS.values(), ids=FLAGS)
def test_a_flag_is_true_or_false(name, call):
    for good, same in ((np.True_, True), (np.False_, False), (1, True), (np.int64(0), False)):
        assert_same(call(good), call(same))
    for bad in (np.array([True, False]), np.array(True), pd.DataFrame(X), "no", None, [], 2, 1.0):
        with pytest.raises(TypeError, match=f"^{name} must be True or False, got .* of type .*; pass one of them$"):
            call(bad)


@pytest.mark.parametrize(
    "three", [3.0, np.float64(3), np.float32(3), np.float16(3), np.uint8(3), np.array(3), np.array(3.0)]
)
def test_whole_numbers_of_any_kind(three):
    assert_same(fit(N=three), fit(N=3))
    for bad in (np.float32(2.5), np.float32(np.nan), np.array([3]), np.array(True), True, "3", Fraction(3)):
        with pytest.raises(TypeError, match=r"^N must be a whole number, got .*; pass an int$"):
            fit(N=bad)


@pytest.mark.parametrize(
    "bad", [np.array([0.5]), np.ones((2, 2)), pd.Series([1.0]), pd.NA, None, "1", 1j, [1.0], True, np.False_]
)
def test_numbers_are_single(bad):
    with pytest.raises(TypeError, match=r"^ridge must be a real number, got .*; pass a float$"):
        fastlazy.rf_risk(TARGET, W, ridge=bad)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("f", lambda value: fastlazy.population_distance(value, TARGET)),
        ("g", lambda value: fastlazy.population_distance(TARGET, value)),
        ("f", lambda value: fastlazy.captured_share(TARGET, value)),
    ],
)
def test_functions_are_named(name, call):
    with pytest.raises(TypeError, match=f"^{name} must be a QuadraticTarget, got ndarray"):
        call(X)


def test_errors_show_a_large_argument_in_one_short_line():
    for call in (
        lambda value: fit(N=value),
        lambda value: fit(dtype=value),
        lambda value: fit(second_layer=value),
        lambda value: fit(scale=value),
        lambda value: fit(diagnostics=value),
        lambda value: fastlazy.rf_gram(W, value),
        lambda value: fastlazy.Activation(value, abs),
    ):
        with pytest.raises(TypeError) as refusal:
            call([list(range(1000))] * 10)
        assert len(str(refusal.value)) < 400
        assert "\n" not in str(refusal.value)


def test_what_a_callback_or_a_step_size_returns_is_named():
    with pytest.raises(
        TypeError, match=r"^the answer of callback must be true or false, got array.* any\(\) or all\(\)"
    ):
        fit(callback=lambda fit: np.ones(2))
    for bad in ([[1.0, 2.0], [3.0]], np.ones(2), []):
        with pytest.raises(
            ValueError, match=r"^step_size\(fraction\) must return one number or three .*, got .*; return"
        ):
            fit(step_size=lambda u, bad=bad: bad)


def test_a_truth_value_is_no_number():
    with pytest.raises(TypeError, match="a must hold real numbers, got True; pass a float"):
        fastlazy.network_function([[1.0]], True)
    assert fastlazy.network_function([[1.0]], [True]).b0 == 0


@pytest.mark.parametrize("value", [None, np.zeros(2), np.float64(1), sparse.eye_array(2)])
def test_what_is_no_dtype_is_not_float64(value):
    with pytest.raises(TypeError, match=r"^dtype must be a NumPy dtype, got .*; pass"):
        fit(dtype=value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_only_float32_is_told_of_float64(dtype):
    huge = dtype(np.finfo(dtype).max ** 0.4)
    steep = fastlazy.Activation("cube", lambda x: x * x * x, lambda x: 3.0 * x * x)
    large, ones = np.full((6, 3), huge, dtype), np.ones((4, 3), dtype)
    for call in (
        lambda: fastlazy.rf_kernel(large, ones, steep),
        lambda: fastlazy.nt_kernel(large, ones, steep),
        lambda: fastlazy.rf_normal_equations(large, np.ones(6), ones, steep),
        lambda: fastlazy.rf_kernel(large * huge, ones * huge),
        lambda: features.features(large, ones, steep),
        lambda: features.rf_values(large, ones, np.ones((1, 4)), steep),
        lambda: features.nt_coefficients(large, np.ones((6, 1)), ones * huge, steep),
    ):
        with pytest.raises(ValueError, match=rf"overflow\w* {np.dtype(dtype)}.*divide .* by a number") as refusal:
            call()
        assert ("float64" in str(refusal.value).split(";")[-1]) == (dtype == np.float32)


def test_blocks_without_samples_are_passed_over():
    none = np.empty((0, 3)), np.empty(0)
    found = fastlazy.rf_normal_equations([none, (X[:2], X[:2, 0]), none, ([], []), (X[2:], X[2:, 0]), none], None, W)
    assert_same(found, fastlazy.rf_normal_equations(X, X[:, 0], W))
    for stream in ([], [none, none], iter([none])):
        with pytest.raises(ValueError, match=r"^X has no samples: the iterable .*; pass at least one"):
            fastlazy.rf_normal_equations(stream, None, W)
    with pytest.raises(ValueError, match=r"^X is empty"):
        fastlazy.rf_normal_equations([(np.empty((0, 3)), np.ones(2))], None, W)
    for stream in (3, None, "abc", memoryview(X)):
        with pytest.raises(TypeError, match=r"^with y = None X must be an iterable of pairs \(X, y\), got "):
            fastlazy.rf_normal_equations(stream, None, W)


OWN = fastlazy.Activation("own", lambda x: x * x * x - x, lambda x: 3 * x * x - 1)


@pytest.mark.parametrize("sigma", ["relu", OWN])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda operator: pickle.loads(pickle.dumps(operator))])
def test_the_operator_of_the_tangent_model_can_be_sent(sigma, copied):
    weights = W.astype(np.float32)
    K = fastlazy.nt_gram(weights, sigma, center=True, parallel=False)
    weights[:] = 0  # it has its own
    other = copied(K)
    assert type(other) is type(K)
    assert other.dtype == np.float32
    b = RNG.standard_normal(12)
    np.testing.assert_array_equal(other @ b, K @ b)
    np.testing.assert_array_equal(other @ np.stack([b, 1j * b], 1), K @ np.stack([b, 1j * b], 1))


def test_the_operator_is_one_of_scipy():
    K = fastlazy.nt_gram(W, "relu")
    v = RNG.standard_normal(12)
    for transposed in (K.T, K.H):
        np.testing.assert_array_equal(transposed @ v, K @ v)
    np.testing.assert_array_equal(K.rmatvec(v), K @ v)
    np.testing.assert_array_equal(K.rmatmat(v[:, None]), K @ v[:, None])
    solution, failed = cg(K + 2 * sparse.linalg.aslinearoperator(sparse.eye(12)), v, rtol=1e-12)
    assert not failed
    np.testing.assert_allclose(K @ solution + 2 * solution, v, atol=1e-10)


@pytest.mark.parametrize("refined", [np.array([True, False]), "yes", None])
def test_predictions_want_one_truth_value(refined):
    target = fastlazy.exponential_target(8, rng=0)
    message = "refined must be True or False, got "
    for name in ("rf_risk_limit", "nt_risk_limit", "nt_captured_limit"):
        with pytest.raises(TypeError, match=message):
            getattr(fastlazy, name)(target, 3, refined=refined)
    with pytest.raises(TypeError, match=message):
        fastlazy.nt_risk_limit(target, 3, "relu", refined=refined)
