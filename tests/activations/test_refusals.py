"""What is said of a function that numba cannot compile: what is wrong with it, and what to do."""

import functools
import math

import numpy as np
import pytest
import scipy.special

from fastlazy.activations.activation import Activation

TABLE, NUMBERS = {"slope": 2.0}, [1.0, 2.0]


def helper(x):
    return 2 * x


def mixed(x):
    return "none" if x > 3 else x


def with_option(x, *, k=2):
    return k * x


def catching(x):
    try:
        return 1 / x
    except ZeroDivisionError:
        return 0.0


class Callable:
    def __call__(self, x):
        return x


REFUSED = {
    "a partial": (
        functools.partial(math.pow, 2.0),
        "it is of type 'functools.partial', into which .*; pass a lambda or a def",
    ),
    "an object": (Callable(), r"it is of type 'test_refusals\.Callable', into which numba cannot look; pass"),
    "vectorize": (
        np.vectorize(math.tanh),
        "it is of type 'numpy.vectorize', into which numba cannot look; pass",
    ),
    "a ufunc": (scipy.special.ndtr, "it is of type 'numpy.ufunc', into which numba cannot look; pass a lambda"),
    "a helper": (
        lambda x: helper(x),
        r"it calls helper, which is not compiled; put @numba\.njit above the def of h",
    ),
    "a mapping": (lambda x: TABLE["slope"] * x, "it refers to TABLE, of a kind .*; let it refer to numbers, tuples"),
    "a list": (lambda x: NUMBERS[0] * x, "it refers to NUMBERS, of a kind .*; let it refer to numbers, tuples, arrays"),
    "eval": (lambda x: eval("x"), "it refers to eval, of a kind that numba does not know; "),
    "no name": (lambda x: nothing * x, "name 'nothing' is not defined; define it before"),  # noqa: F821
    "no attribute": (lambda x: math.nothing(x), "it asks for nothing, which is not there; write it as"),
    "scipy": (lambda x: scipy.special.ndtr(x), r"numba does not know scipy\.special\.ndtr; write it as a Python fun"),
    "numpy": (lambda x: np.heaviside(x, 0.5), r"numba does not know numpy\.heaviside; write it as a Python function"),
    "of arrays": (lambda x: np.clip(x, -1, 1), "numba does not know clip of a number; write it as"),
    "of two": (np.maximum, "numba does not know maximum of a number; write it as"),
    "built in": (len, "numba does not know len of a number; write it as"),
    "catches": (catching, "it catches exceptions of one kind, and numba all or none; write it as"),
    "method": (lambda x: x.mean(), "it asks for mean of a number; write it as a Python function of one number"),
    "two arguments": (lambda x, y: x, r"it takes \(x, y\), and is called with one number; write it as"),
    "an option": (with_option, r"it takes \(x, \*, k=2\), and is called with one number; write it as"),
    "nothing": (lambda x: None, "it returns none, which is no real number; write it as"),
    "text": (lambda x: "one", "it returns unicode_type, which is no real number; write it as"),
    "a list of x": (lambda x: [x], "it returns array, which is no real number; write it as"),
    "complex": (lambda x: 1j * x, "it returns complex128, which is no real number; write it as"),
    "two kinds": (mixed, r"it returns values of two kinds, Literal\[str\]\(none\) and float64; write it as"),
    "formats": (lambda x: float(f"{x:.3f}"), "format spec in f-strings not supported yet; write it as a Python funct"),
    "yield": (lambda x: sum(x**k for k in range(3)), "The use of yield in a closure is unsupported; write it as"),
}


@pytest.mark.parametrize(("function", "message"), REFUSED.values(), ids=REFUSED)
def test_the_reason_and_the_remedy_are_told(function, message):
    with pytest.raises(
        ValueError, match=f"^the function of activation 'mine' cannot be compiled by numba: {message}"
    ) as e:
        Activation("mine", function)
    text = str(e.value)
    assert "\n" not in text
    assert "File" not in text  # of sources on this machine


def test_of_a_derivative_the_same_is_told():
    with pytest.raises(
        ValueError, match=r"^the derivative of activation 'mine' cannot be compiled by numba: it calls "
    ):
        Activation("mine", math.tanh, REFUSED["a helper"][0])
