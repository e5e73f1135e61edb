"""Functions in the place of an activation: one non-linearity for each, which is the named one where there is one."""

import functools
import math
import pickle

import numpy as np
import pytest
import scipy.special
from sklearn.base import clone

import fastlazy
from fastlazy._core.loops import loop_address
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import check_activation, get_activation
from fastlazy.estimators import RFRegressor

NAMED = [
    *((np.square, "square"), (scipy.special.erf, "erf"), (math.erf, "erf"), (np.tanh, "tanh"), (math.tanh, "tanh")),
    *((scipy.special.expit, "sigmoid"), (np.sin, "sin"), (math.sin, "sin"), (np.cos, "cos"), (math.cos, "cos")),
    *((np.exp, "exp"), (math.exp, "exp")),
]
SLOPES = np.array([0.25])
UNRELATED = 1.0
W = np.random.default_rng(0).standard_normal((3, 4)) / 2


def leaky(x):
    return x if x > 0 else SLOPES[0] * x


@pytest.mark.parametrize(("function", "name"), NAMED)
def test_a_named_function_is_its_activation(function, name):
    assert check_activation(function) is get_activation(name)
    x = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(get_activation(name)(x), [function(value) for value in x], rtol=1e-14, atol=1e-300)


def test_the_same_function_is_compiled_once():
    global UNRELATED
    sigma = check_activation(leaky)
    UNRELATED += 1.0  # which it does not read
    assert check_activation(leaky) is sigma
    assert loop_address(check_activation(leaky).compiled, np.float64) == loop_address(sigma.compiled, np.float64)
    made = [check_activation(lambda x: x + 1 if x > 0 else 1.0) for _ in range(2)]
    assert made[0] is made[1]
    assert sigma == Activation("leaky", leaky)
    assert (sigma.name, sigma.derivative, made[0].name) == ("leaky", None, "<lambda>")


def test_a_function_whose_variables_have_changed_is_another_one():
    before = check_activation(leaky)
    SLOPES[0] = 0.5
    after = check_activation(leaky)
    assert before([-1.0]).tolist() == [-0.25]
    assert after([-1.0]).tolist() == [-0.5]
    assert after.identity != before.identity
    SLOPES[0] = 0.25
    assert check_activation(leaky) is before


def test_functions_of_one_name_are_told_apart():
    def made(shift):
        return lambda x: math.tanh(x + shift)

    assert check_activation(made(0.5))([0.0]).tolist() == [math.tanh(0.5)]
    assert check_activation(made(0.25))([0.0]).tolist() == [math.tanh(0.25)]


def test_every_kind_of_call_takes_them():
    target = fastlazy.exponential_target(4, rng=0)
    mine = Activation("leaky", leaky)
    assert fastlazy.rf_risk(target, W, np.tanh) == fastlazy.rf_risk(target, W, "tanh")
    assert fastlazy.nt_risk(target, W, np.cos) == fastlazy.nt_risk(target, W, "cos")
    assert fastlazy.rf_risk(target, W, leaky) == fastlazy.rf_risk(target, W, mine)
    np.testing.assert_array_equal(fastlazy.rf_kernel(W, W, leaky), fastlazy.rf_kernel(W, W, mine))
    assert fastlazy.network_function(W, 1.0, 0.0, np.sin).activation is get_activation("sin")
    assert type(fastlazy.network_function(W, 1.0, 0.0, np.square)) is fastlazy.QuadraticFunction
    fit = fastlazy.fit_nn(target, 3, n_samples=10, activation=np.cos, second_layer="free", rng=0)
    assert fit.activation is get_activation("cos")
    with pytest.raises(ValueError, match=r"^activation 'leaky' has no derivative, .* pass Activation\("):
        fastlazy.nt_kernel(W, W, leaky)


def test_estimators_take_them():
    X = np.random.default_rng(0).standard_normal((20, 4))
    named, bare, mine = (RFRegressor(3, activation=sigma, random_state=0) for sigma in ("tanh", np.tanh, leaky))
    np.testing.assert_array_equal(clone(bare).fit(X, X[:, 0]).predict(X), named.fit(X, X[:, 0]).predict(X))
    assert clone(mine).get_params()["activation"] is leaky
    again = pickle.loads(pickle.dumps(mine.fit(X, X[:, 0])))
    np.testing.assert_array_equal(again.predict(X), mine.predict(X))


def test_an_activation_is_no_function():
    assert get_activation("tanh") != np.tanh
    assert check_activation(leaky) != leaky


def raising(x):
    if x > 3:
        raise OverflowError("too large")
    return x


@pytest.mark.parametrize("value", [None, 3, ["relu"], float, Activation, b"relu"])
def test_what_is_no_activation_is_refused(value):
    with pytest.raises(
        TypeError, match=r"^activation must be a name, an Activation or a function of one number, got .*; "
    ):
        check_activation(value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            functools.partial(math.pow, 2.0),
            "^the function of activation 'partial' cannot be compiled by numba: it is of ",
        ),
        (lambda x, y: x, "^the function of activation '<lambda>' cannot be compiled by numba: it takes .x, y."),
        (raising, "^the function of activation 'raising' raises OverflowError"),
        (math.log, "^the function of activation 'log' gives nan at x = -10"),
    ],
)
def test_functions_that_are_no_activation_are_refused(function, message):
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            check_activation(function)


def test_what_has_no_hash_is_refused_as_others_are():
    class Odd:
        __hash__ = None

        def __call__(self, x):
            return x

    with pytest.raises(ValueError, match=r"^the function of activation 'Odd' cannot be compiled by numba: it is of "):
        check_activation(Odd())
