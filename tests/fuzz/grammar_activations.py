"""The grammar of activations."""

from __future__ import annotations

from typing import Any

import naive_hermite
import numpy as np

import fastlazy
from fuzz import functions, oracles, values
from fuzz.grammar import Entry, call, maybe
from fuzz.judge import Call
from fuzz.values import Draw, Value


def activation(draw: Draw) -> Call:
    function, slope, twin = functions.made(draw)
    arguments = {"name": draw.one_of(["mine", "relu", ""], (), [None, 3, b"a", ["a"]]), "function": function}
    maybe(draw, arguments, "derivative", lambda: slope)
    x = _points(draw, draw.pick([(3,), (2, 2), ()]) or (1,))
    arguments["x"] = x

    def make(x: Any, **parameters: Any) -> Any:
        return fastlazy.Activation(**parameters)(x)

    def check(result: Any) -> str | None:
        return None if twin is None else oracles.differs(result, twin.function(x.plain), 1e-13)

    bad = any(argument.kind == "bad" for argument in arguments.values())
    return Call("Activation", make, arguments, None if bad else check, names=("activation",))


def _points(draw: Draw, size: tuple[int, ...]) -> Value:
    """Arguments of sigma: numbers in an array of any shape are good."""
    x = values.array(draw, size)
    of_numbers = isinstance(x.value, np.ndarray) and not np.ma.is_masked(x.value) and x.value.dtype.kind == "f"
    fine = x.kind == "bad" and of_numbers and x.value.size > 0 and np.isfinite(x.value).all()
    return Value(x.value, "odd", np.asarray(x.value, np.float64)) if fine else x


def get_activation(draw: Draw) -> Call:
    name = values.option(draw, list(functions.BUILTIN))
    x = _points(draw, (4,))

    def function(name: Any, x: Any) -> Any:
        return fastlazy.get_activation(name)(x)

    def check(result: Any) -> str | None:
        return oracles.differs(result, functions.BUILTIN[name.value].function(x.plain), 1e-12)

    good = name.kind != "bad" and x.kind != "bad"
    return Call("get_activation", function, {"name": name, "x": x}, check if good else None)


def hermite_coefficients(draw: Draw) -> Call:
    sigma, twin = functions.activation(draw)
    r = values.real(draw, [1.0, 0.5, 3.0], low=0.0, none=False)
    if draw.chance(0.4):
        r = values.array(draw, (draw.size(1, 3),), none=False)
        if r.plain is not None and np.any(r.plain < 0):
            r = r._replace(kind="bad")
    arguments = {"activation": sigma, "r": r, "k": values.count(draw, draw.size(1, 8), odd=[171], none=False)}
    return call("hermite_coefficients", arguments, lambda p, got: oracles.hermite(twin, p["r"], p["k"], got))


def hermite_activation(draw: Draw) -> Call:
    coefficients, x = values.array(draw, (draw.size(1, 6),)), _points(draw, (3,))

    def make(coefficients: Any, x: Any) -> Any:
        return fastlazy.hermite_activation(coefficients)(x)

    def check(result: Any) -> str | None:
        sizes = [abs(c) * (abs(x.plain) + k) ** k for k, c in enumerate(coefficients.plain)]
        want = [float(naive_hermite.series(coefficients.plain.tolist(), value)) for value in x.plain.tolist()]
        return oracles.differs(result, want, 1e-13, np.sum(sizes, axis=0))

    good = coefficients.kind != "bad" and x.kind != "bad"
    simple = good and coefficients.plain.ndim == x.plain.ndim == 1
    arguments = {"coefficients": coefficients, "x": x}
    return Call("hermite_activation", make, arguments, check if simple else None)


ENTRIES: dict[str, Entry] = {
    "Activation": activation,
    "get_activation": get_activation,
    "hermite_activation": hermite_activation,
    "hermite_coefficients": hermite_coefficients,
}
