"""Non-linearities: names, the compiled and the NumPy form of each, functions of the user's, refusals."""

import math
import pickle

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlazy import Activation, get_activation
from fastlazy._core import activation as core
from fastlazy.activations.builtin import BUILTIN_NAMES, check_activation

NAMES = [
    *("linear", "square", "he2", "he3", "step", "relu", "leaky_relu", "erf"),
    *("tanh", "sigmoid", "softplus", "gelu", "silu", "sin", "cos", "exp"),
]
EACH = pytest.mark.parametrize("name", NAMES)
DIFFERENTIABLE = pytest.mark.parametrize("name", [name for name in NAMES if name != "step"])
POINTS = np.concatenate([np.linspace(-20, 20, 2001), np.random.default_rng(0).standard_normal(2000)])


def compiled_values(function, x):
    """The values of a compiled function, in the dtype of x."""
    out = np.empty_like(x)
    core.evaluator(function)(x, out)
    return out


def test_all_names_are_known_and_listed():
    assert {*NAMES} == {*BUILTIN_NAMES}
    for name in NAMES:
        assert get_activation(name).name == name
        assert f'"{name}"' in get_activation.__doc__
    with pytest.raises(ValueError, match=r"^name = 'selu' is not known; pass one of ") as refusal:
        get_activation("selu")
    assert all(repr(name) in str(refusal.value) for name in NAMES)


@pytest.mark.parametrize(
    ("name", "x", "value", "slope"),
    [
        ("linear", 3.0, 3.0, 1.0),
        ("square", 3.0, 9.0, 6.0),
        ("he2", 3.0, 8.0, 6.0),
        ("he3", 3.0, 18.0, 24.0),
        ("step", 3.0, 1.0, None),
        ("step", -3.0, 0.0, None),
        ("relu", 3.0, 3.0, 1.0),
        ("relu", -3.0, 0.0, 0.0),
        ("leaky_relu", 3.0, 3.0, 1.0),
        ("leaky_relu", -3.0, -0.03, 0.01),
        ("erf", 0.5, math.erf(0.5), 2 / math.sqrt(math.pi) * math.exp(-0.25)),
        ("tanh", 0.5, math.tanh(0.5), 1 - math.tanh(0.5) ** 2),
        ("sigmoid", 2.0, 1 / (1 + math.exp(-2)), math.exp(-2) / (1 + math.exp(-2)) ** 2),
        ("softplus", 2.0, math.log(1 + math.exp(2)), 1 / (1 + math.exp(-2))),
        ("gelu", 2.0, 1 + math.erf(math.sqrt(2)), None),
        ("silu", 2.0, 2 / (1 + math.exp(-2)), None),
        ("sin", 2.0, math.sin(2), math.cos(2)),
        ("cos", 2.0, math.cos(2), -math.sin(2)),
        ("exp", 2.0, math.exp(2), math.exp(2)),
    ],
)
def test_definitions(name, x, value, slope):
    activation = get_activation(name)
    assert activation([x]) == pytest.approx([value], rel=1e-14)
    if slope is not None:
        assert activation.values(np.array([x]), 1) == pytest.approx([slope], rel=1e-14)


@pytest.mark.sampled(12)
@EACH
@pytest.mark.parametrize("derivative", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_compiled_form_is_the_numpy_form(name, derivative, dtype):
    if name == "step" and derivative:
        pytest.skip("it has no derivative")
    activation = get_activation(name)
    x = POINTS.astype(dtype)
    function = activation.compiled_derivative if derivative else activation.compiled
    expected = activation.values(x.astype(np.float64), derivative)
    # gelu is rounded in units of x, polynomials where they cross zero in units of their terms.
    atol = np.maximum(1, np.abs(x)) ** (3 - derivative if name == "he3" else 2 if name == "he2" else 1)
    values = compiled_values(function, x)
    assert np.all(np.abs(values - expected) <= 8 * np.finfo(dtype).eps * (np.abs(expected) + atol))
    kind = numba.from_dtype(np.dtype(dtype))
    assert kind(kind) in function.nopython_signatures


@DIFFERENTIABLE
def test_derivatives(name):
    activation = get_activation(name)
    x = np.linspace(-5, 5, 1000)  # without 0, where some have a kink
    difference = (activation(x + 1e-4) - activation(x - 1e-4)) / 2e-4
    np.testing.assert_allclose(activation.values(x, 1), difference, rtol=1e-6, atol=1e-7)


@EACH
def test_symmetry_is_exact(name):
    values, mirrored = get_activation(name)(POINTS), get_activation(name)(-POINTS)
    assert np.array_equal(mirrored, -values) == (get_activation(name).known.parity == -1)
    assert np.array_equal(mirrored, values) == (get_activation(name).known.parity == 1)


@EACH
@pytest.mark.parametrize("r", [1e-3, 0.5, 7.0])
def test_the_degree_is_that_of_a_power(name, r):
    degree = get_activation(name).degree
    x = POINTS[np.abs(POINTS) < 5]
    powers = [np.allclose(get_activation(name)(r * x), r**p * get_activation(name)(x), rtol=1e-12) for p in range(4)]
    assert powers == [p == degree for p in range(4)]


@EACH
def test_a_row_knows_what_is_square_and_which_slopes_are_bits(name):
    activation = get_activation(name)
    rest = activation(POINTS) - POINTS**2
    assert activation.is_quadratic == bool(np.ptp(rest) < 1e-12)
    assert not activation.is_quadratic or abs(rest[0] - activation.known.constant) < 1e-12
    assert activation.is_square == (name == "square")
    slopes = activation.values(POINTS, 1) if activation.derivative else np.zeros(1)
    assert activation.known.binary_slope == (set(slopes) == {0.0, 1.0})


@EACH
def test_a_row_knows_its_kinks(name):
    """They are where third differences of values or slopes are large at any step."""
    activation = get_activation(name)
    x = np.linspace(-3, 3, 25)
    step = 1e-4 * np.arange(-1, 3)[:, None]
    bent = np.abs(np.diff(activation(x + step), 3, axis=0)[0]) > 1e-6
    assert tuple(x[bent]) == activation.known.kinks


def test_which_gram_matrices_need_no_expansion_at_each_length():
    closed = {name for name in NAMES if get_activation(name).has_closed_gram}
    assert closed == {"linear", "square", "he2", "step", "relu", "leaky_relu"}


def test_nothing_is_known_of_a_function_of_the_user():
    mine = Activation("square", lambda x: x * x, lambda x: 2 * x)
    assert not any([mine.is_square, mine.is_quadratic, mine.has_closed_gram, mine.known.binary_slope])
    assert mine.known.kinks is mine.known.pair_moments is mine.known.block_moments is None


def test_the_derivative_of_relu_is_step():
    """What kernels that pack it in bits rely on."""
    assert get_activation("relu").compiled_derivative is get_activation("step").compiled


@EACH
def test_built_ins_are_one_object_each(name):
    activation = get_activation(name)
    assert check_activation(name) is activation
    assert check_activation(activation) is activation
    assert pickle.loads(pickle.dumps(activation)) is activation
    assert activation.compiled is getattr(core, name)
    assert repr(activation) == f"get_activation({name!r})"


def shifted_tanh(x):
    return math.tanh(x + 0.5)


def shifted_tanh_slope(x):
    return 1 - math.tanh(x + 0.5) ** 2


def test_functions_of_the_user():
    activation = Activation("shifted tanh", shifted_tanh, shifted_tanh_slope)
    np.testing.assert_allclose(activation(POINTS), np.tanh(POINTS + 0.5), rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(activation.values(POINTS, 1), 1 - np.tanh(POINTS + 0.5) ** 2, rtol=1e-12, atol=1e-15)
    assert activation([[0.0, 1.0]]).shape == (1, 2)
    assert check_activation(activation) is activation
    again = pickle.loads(pickle.dumps(activation))
    assert again == activation
    assert hash(again) == hash(activation)
    assert again([1.0]) == activation([1.0])
    assert repr(activation) == "Activation('shifted tanh', with a derivative)"


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "function",
    [numba.njit(shifted_tanh), math.tanh, np.tanh, lambda x: max(x, 0), lambda x: x > 0, lambda x: 1, math.floor],
    ids=["njit", "math", "numpy", "max", "boolean", "integer", "floor"],
)
def test_functions_of_many_kinds(function):
    activation = Activation("any", function)
    expected = [float(function(x)) for x in (-1.5, 0.0, 1.5)]
    assert activation([-1.5, 0.0, 1.5]).tolist() == pytest.approx(expected, rel=1e-14)
    single = compiled_values(activation.compiled, np.array([-1.5, 1.5], np.float32))
    assert single.tolist() == pytest.approx([expected[0], expected[2]], rel=1e-6)


def test_a_function_with_the_name_of_a_built_in_is_not_it():
    mine = Activation("relu", lambda x: 2.0 * x)
    assert mine != get_activation("relu")
    assert mine([-1.0]) == [-2.0]
    assert mine.degree is None


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=5))
def test_values_keep_the_shape(values):
    x = np.array(values)
    assert get_activation("relu")(x).shape == x.shape
    assert get_activation("relu")(x[:, None]).shape == (len(x), 1)
    np.testing.assert_array_equal(get_activation("relu")(x.tolist()), np.maximum(x, 0))


def raising(x):
    if x > 3:
        raise OverflowError("too large")
    return x


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3, np.tanh), TypeError, "^name must be a string, got 3"),
        (("mine", 3), TypeError, "^function must be a function of one number, got 3"),
        (("mine", math.tanh, 3), TypeError, "^derivative must be a function of one number, got 3"),
        (
            ("mine", raising),
            ValueError,
            "^the function of activation 'mine' raises OverflowError.'too large'. som",
        ),
        (("mine", lambda x: math.log(x)), ValueError, "^the function of .* gives nan at x = -10; .* define it there"),
        (("mine", lambda x: 1 / x), ValueError, "^the function of activation 'mine' gives inf at x = 0;"),
        (("mine", abs, lambda x: x / math.sqrt(x)), ValueError, "^the derivative of activation 'mine' gives nan"),
    ],
)
def test_bad_functions_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Activation(*arguments)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"^activation = 'selu' is not known; pass one of 'linear', "):
        check_activation("selu")
    with pytest.raises(TypeError, match=r"^name must be a name, got None"):
        get_activation(None)
    with pytest.raises(ValueError, match=r"^x must be finite, got 1 NaN or infinite entries, the first at \[1\]"):
        get_activation("relu")([1.0, np.nan])
    with pytest.raises(
        ValueError, match=r"^x has entries, as -1e\+200, where activation 'square' gives NaN or infinity"
    ):
        get_activation("square")([1.0, -1e200])


def test_missing_derivatives_are_refused():
    with pytest.raises(ValueError, match=r"^activation 'mine' has no derivative, .* pass Activation"):
        Activation("mine", math.tanh).compiled_derivative  # noqa: B018  (the attribute is what is tested)
    with pytest.raises(ValueError, match=r"^activation 'step' jumps, so its derivative is no function"):
        get_activation("step").compiled_derivative  # noqa: B018
