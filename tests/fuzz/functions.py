"""Non-linearities of the grammar: the package's names and a user's own functions, each with a twin for oracles."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from fuzz.values import Draw, Made, Value, strange


class Twin(NamedTuple):
    """sigma and its slope in NumPy, and where sigma has kinks or jumps."""

    name: str
    function: Callable[[Any], Any]
    slope: Callable[[Any], Any] | None
    kinks: tuple[float, ...] = ()
    own: bool = False  # a user's function
    jumps: bool = False
    wild: bool = False  # too oscillating or too steep for the panels of the oracle


def _gauss(x: Any) -> Any:
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


_logistic, _normal = scipy.special.expit, scipy.special.ndtr

BUILTIN = {
    twin.name: twin
    for twin in [
        Twin("linear", lambda x: x, np.ones_like),
        Twin("square", lambda x: x**2, lambda x: 2 * x),
        Twin("he2", lambda x: x**2 - 1, lambda x: 2 * x),
        Twin("he3", lambda x: x**3 - 3 * x, lambda x: 3 * x**2 - 3),
        Twin("step", lambda x: (x > 0) * 1.0, None, (0.0,), jumps=True),
        Twin("relu", lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0, (0.0,)),
        Twin("leaky_relu", lambda x: np.where(x > 0, x, 0.01 * x), lambda x: np.where(x > 0, 1.0, 0.01), (0.0,)),
        Twin("erf", scipy.special.erf, lambda x: 2 / math.sqrt(math.pi) * np.exp(-(x**2))),
        Twin("tanh", np.tanh, lambda x: 4 * _logistic(2 * x) * _logistic(-2 * x)),
        Twin("sigmoid", _logistic, lambda x: _logistic(x) * _logistic(-x)),
        Twin("softplus", lambda x: np.logaddexp(x, 0), _logistic),
        Twin("gelu", lambda x: x * _normal(x), lambda x: _normal(x) + x * _gauss(x)),
        Twin("silu", lambda x: x * _logistic(x), lambda x: _logistic(x) * (1 + x * _logistic(-x))),
        Twin("sin", np.sin, np.cos),
        Twin("cos", np.cos, lambda x: -np.sin(x)),
        Twin("exp", np.exp, np.exp),
    ]
}

# Functions that are named ones.
_SAME = {"square": np.square, "erf": scipy.special.erf, "tanh": np.tanh, "sigmoid": _logistic, "sin": math.sin}
_SAME |= {"cos": np.cos, "exp": math.exp}

# Of a user: what numba compiles, its slope or None, and the twin.
_OWN = [
    (
        lambda x: min(max(x, -1.0), 1.0),
        lambda x: 1.0 if abs(x) < 1 else 0.0,
        Twin("hardtanh", lambda x: np.clip(x, -1, 1), lambda x: (np.abs(x) < 1) * 1.0, (-1.0, 1.0)),
    ),
    (
        lambda x: max(x - 0.123, 0.0),
        lambda x: 1.0 if x > 0.123 else 0.0,
        Twin("shifted relu", lambda x: np.maximum(x - 0.123, 0), lambda x: (x > 0.123) * 1.0, (0.123,)),
    ),
    (
        lambda x: min(max(x, 0.0), 6.0),
        lambda x: 1.0 if 0 < x < 6 else 0.0,
        Twin("relu6", lambda x: np.clip(x, 0, 6), lambda x: ((x > 0) & (x < 6)) * 1.0, (0.0, 6.0)),
    ),
    (
        lambda x: abs(x),
        lambda x: 1.0 if x > 0 else -1.0,
        Twin("abs", np.abs, lambda x: np.where(x > 0, 1.0, -1.0), (0.0,)),
    ),
    (
        lambda x: x if x > 0 else math.expm1(x),
        lambda x: 1.0 if x > 0 else math.exp(x),
        Twin(
            "elu", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), lambda x: np.exp(np.minimum(x, 0)), (0.0,)
        ),
    ),
    (
        lambda x: math.tanh(x + 0.5),
        lambda x: 1 / math.cosh(x + 0.5) ** 2,
        Twin("shifted tanh", lambda x: np.tanh(x + 0.5), lambda x: 1 / np.cosh(np.clip(x + 0.5, -350, 350)) ** 2),
    ),
    (
        lambda x: x * abs(x),
        lambda x: 2 * abs(x),
        Twin("x|x|", lambda x: x * np.abs(x), lambda x: 2 * np.abs(x), (0.0,)),
    ),
    (lambda x: x**4, lambda x: 4 * x**3, Twin("fourth", lambda x: x**4, lambda x: 4 * x**3)),
    (lambda x: math.exp(-x * x), None, Twin("bump", lambda x: np.exp(-(x**2)), None)),
    (lambda x: math.sin(3 * x) + x, None, Twin("snake", lambda x: np.sin(3 * x) + x, None)),
    (
        lambda x: x - 0.7 if x > 0.7 else (x + 0.7 if x < -0.7 else 0.0),
        None,
        Twin("dead zone", lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.7, 0), None, (-0.7, 0.7)),
    ),
    (lambda x: max(x - 8.0, 0.0) + x, None, Twin("far kink", lambda x: np.maximum(x - 8, 0) + x, None, (8.0,))),
]
_SIGN = Twin("shifted sign", lambda x: np.where(x > 0.3, 1.0, -1.0), None, (0.3,), jumps=True)
_WAVE = Twin("square wave", lambda x: np.sign(np.sin(20 * x)), None, jumps=True, wild=True)
_FLOOR = Twin("floor", np.floor, None, jumps=True, wild=True)
_ODD = [
    (lambda x: 1.0 if x > 0.3 else -1.0, None, _SIGN),
    (lambda x: math.sin(1000 * x), None, Twin("fast sine", lambda x: np.sin(1000 * x), None, wild=True)),
    (lambda x: 1.0 if math.sin(20 * x) > 0 else -1.0, None, _WAVE),
    (lambda x: 1.0, lambda x: 0.0, Twin("constant", np.ones_like, np.zeros_like)),
    (lambda x: 0.0, lambda x: 0.0, Twin("zero", np.zeros_like, np.zeros_like)),
    (lambda x: math.floor(x), None, _FLOOR),
    (lambda x: math.tanh(500 * x), None, Twin("steep", lambda x: np.tanh(500 * x), None, wild=True)),
    (lambda x: math.exp(x * x / 3), None, Twin("heavy", lambda x: np.exp(x * x / 3), None, wild=True)),
    (lambda x: math.exp(x * x), None, Twin("no moments", lambda x: np.exp(x * x), None, wild=True)),
    (lambda x: 1 / (x - 0.01234567), None, Twin("pole", lambda x: 1 / (x - 0.01234567), None, wild=True)),
    (lambda x: math.sqrt(x + 20), None, Twin("root", lambda x: np.sqrt(x + 20), None, wild=True)),
    (lambda x: 1e200 * x, None, Twin("huge", lambda x: 1e200 * x, None)),
    (lambda x: 1e-200 * x * x, None, Twin("tiny", lambda x: 1e-200 * x * x, None)),
]  # fmt: skip


@functools.cache
def own(odd: bool, k: int) -> Any:
    """A user's `Activation`, made once in each process: to compile it takes some tenths of a second."""
    from fastlazy import Activation

    function, slope, twin = (_ODD if odd else _OWN)[k]
    return Activation(twin.name, function, slope)


def activation(
    draw: Draw, *, tangent: bool = False, pointwise: bool = False, none: bool = True
) -> tuple[Value, Twin | None]:
    """An activation and its twin. *tangent*: sigma' is needed; *pointwise*: at single points."""
    kind = draw.kind()
    if kind == "bad":
        names = ["nothing", "RELU", " relu", "", b"relu", ["relu"], 3, ("relu", "erf"), np.array("relu"), float]
        names += [np.array(["relu"]), functools.partial(math.pow, 2.0), lambda x, y: x, math.log, *strange(none)]
        value = draw.pick(names)
        return Value(value.make() if isinstance(value, Made) else value, "bad"), None
    if draw.chance(0.6 if kind == "good" else 0.2):
        twin = draw.pick(list(BUILTIN.values()))
        value = twin.name if draw.chance(0.7) else draw.pick([builtin(twin.name), _SAME.get(twin.name, twin.name)])
    else:
        odd = kind == "odd"
        k = draw.size(0, len(_ODD if odd else _OWN) - 1)
        function, slope, twin = (_ODD if odd else _OWN)[k]
        # Without a slope the function is as good as the activation that is made of it.
        value = function if slope is None and draw.chance(0.3) else own(odd, k)
        twin = twin._replace(own=True)
    if tangent and (twin.jumps or (pointwise and twin.slope is None)):
        kind = "bad"
    elif tangent and twin.slope is None and kind == "good":  # refused for rows that differ little
        kind = "odd"
    return Value(value, kind), twin


def builtin(name: str) -> Any:
    from fastlazy import get_activation

    return get_activation(name)


def made(draw: Draw) -> tuple[Value, Value, Twin | None]:
    """A function for `Activation`, one for its derivative, and the twin of both."""
    import numba

    odd = [
        lambda x: 1, lambda x: True, lambda x: np.float32(x), math.sin, np.tanh, numba.njit(lambda x: x * x),
        lambda x, k=2: x * k, lambda x: math.gamma(abs(x) + 1), scipy.special.erf, np.vectorize(math.sin), abs,
        lambda x: np.maximum(x, 0), functools.partial(math.pow, 2.0), lambda *x: x[0],
    ]  # fmt: skip
    bad = [
        lambda x: math.log(x), lambda x: 1 / 0, lambda x: None, lambda x: "a", lambda x: [x], lambda x, y: x,
        lambda: 1.0, lambda x: 1j * x, lambda x: float("nan"), lambda x: 1e308 * x, lambda x: math.sqrt(x), "relu", 3,
        lambda x: print(x), np.array([1.0]), *[v for v in strange() if not callable(v)],
    ]  # fmt: skip
    function, slope, twin = draw.pick(_OWN)
    first = draw.one_of([function], [Made(lambda f=f: f) for f in odd], [Made(lambda f=f: f) for f in bad])
    bad = [value for value in bad if value is not None]
    second = draw.one_of([slope, None], [Made(lambda f=f: f) for f in odd], [Made(lambda f=f: f) for f in bad])
    return first, second, twin if first.kind == "good" else None
