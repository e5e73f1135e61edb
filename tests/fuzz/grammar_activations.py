"""The grammar of activations."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastlazy
from fuzz import functions, oracles, values
from fuzz.grammar import Entry, maybe
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


ENTRIES: dict[str, Entry] = {"Activation": activation, "get_activation": get_activation}
