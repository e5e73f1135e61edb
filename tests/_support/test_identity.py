"""Descriptions that every process gives alike, and that change with what a function computes."""

import functools
import math
import subprocess
import sys
import types
from pathlib import Path

import numba
import numpy as np
import pytest
from scipy import special

from fastlazy._support.identity import described, digest, source_of
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import get_activation
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticTarget

ROOT = Path(__file__).resolve().parents[2]


def told(value, strict=True):
    return digest(described(value, strict=strict))


def made(source, name="f", **variables):
    """A function of *source*, whose globals hold *variables*."""
    space = {"math": math, "np": np, "__name__": "somewhere", **variables}
    exec(source, space)
    return space[name]


def shifted(shift, scale=2.0):
    def inner(x):
        return scale * math.tanh(x + shift)

    return inner


BASE = "def f(x, k=2):\n    y = x + 1.5\n    return g * y + math.sin(k)\n"
SAME = {
    "a comment": BASE.replace("    y", "    # This is y.\n    y"),
    "a docstring": BASE.replace("    y", "    'What f is.'\n    y", 1),
    "a place": "\n\n\n" + BASE,
    "a note of types": BASE.replace("y = x", "y: float = x"),
}
OTHERS = {
    "a constant": BASE.replace("1.5", "1.25"),
    "an operation": BASE.replace("x + 1", "x - 1"),
    "a function": BASE.replace("math.sin", "math.cos"),
    "a default": BASE.replace("k=2", "k=3"),
    "a kind": BASE.replace("k=2", "k=2.0"),
}


@pytest.mark.parametrize("source", SAME.values(), ids=SAME)
def test_what_a_function_does_not_see_changes_nothing(source):
    assert told(made(source, g=3.0)) == told(made(BASE, g=3.0))
    assert told(made(source, g=3.0, unread=7)) == told(made(BASE, g=3.0))


@pytest.mark.parametrize("source", OTHERS.values(), ids=OTHERS)
def test_what_a_function_computes_changes_it(source):
    assert told(made(source, g=3.0)) != told(made(BASE, g=3.0))


def test_what_a_function_refers_to_is_part_of_it():
    values = [3.0, 3, -0.0, 0.0, np.float32(3.0), np.array([3.0]), np.array([[3.0]]), np.array([3.0], ">f8"), (3.0,)]
    values += ["3.0", None, math.sin, np.sin, special.erf, shifted(1.0), shifted(2.0), shifted(1.0, 3.0), len]
    values += [[3.0], {"a": 3.0}, {"a": 4.0}, {3.0, 4.0}, functools.partial(shifted, 1.0), numba.njit(shifted(1.0))]
    values += [numba.njit(shifted(1.0), fastmath=True), numba.vectorize(shifted(1.0))]
    found = [told(made(BASE, g=value), strict=False) for value in values]
    assert len(set(found)) == len(values)
    assert found == [told(made(BASE, g=value), strict=False) for value in values]


def test_closures_are_told_by_their_values():
    assert told(shifted(1.0)) == told(shifted(1.0)) != told(shifted(2.0))
    assert told(lambda x: x + 1) == told(lambda x: x + 1) != told(lambda x: x + 2)


def test_attributes_of_a_module_of_the_users_that_are_read():
    own = types.ModuleType("own")
    own.shift, own.unread = 1.0, object()
    source = "def f(x):\n    return x + own.shift\n"
    first = told(made(source, own=own))
    own.unread = 3
    assert told(made(source, own=own)) == first
    own.shift = 2.0
    assert told(made(source, own=own)) != first


def test_functions_that_call_each_other():
    source = "def f(n):\n    return 1 if n < 1 else n * g(n - 1)\ndef g(n):\n    return 1 if n < 1 else {} * f(n - 1)\n"
    assert told(made(source.format("n"))) == told(made(source.format("n"))) != told(made(source.format("2")))


PROGRAM = """
import math, sys
import numpy as np
from fastlazy._support.identity import described, digest

def outer(shift, table=np.arange(3.0)):
    def f(x):
        if x in {"a", "b", "c", 1}:
            return (1, 2, (3, "d"))
        return shift + sum(table) + sum(y for y in (1, 2, (3, "d")) if y in {"e", "f", "g"}) + np.sin(x)
    return f

if __name__ == "__main__":
    print(digest(described(outer(2.5), strict=True)))
"""


def test_every_process_tells_the_same(tmp_path):
    """As a script, from a compiled module, and whatever the seed of the hashes of strings."""
    (tmp_path / "program.py").write_text(PROGRAM)
    imported = "import program; from program import *; print(digest(described(outer(2.5), strict=True)))"
    found = set()
    for seed, command in [("0", ["program.py"]), ("1", ["-c", imported]), ("2", ["-c", imported])]:
        environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"}
        child = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        found.add(child.stdout)
    assert len(found) == 1


def test_what_cannot_be_told_is_an_error_where_all_must_be():
    for value in (
        object(),
        np.vectorize(lambda x: x),
        np.frompyfunc(lambda x: x, 1, 1),
        iter([1]),
        type("K", (), {})(),
    ):
        with pytest.raises(TypeError, match="which no two processes can be sure to have alike"):
            told(made(BASE, g=value))
        told(made(BASE, g=value), strict=False)


class Model:
    """A class of a user's."""

    factor = 2

    def __init__(self, power):
        self.power = power

    def value(self, x):
        return self.factor * x**self.power


def test_objects_and_classes_are_told_where_their_content_is():
    assert told(Model(2), strict=False) == told(Model(2), strict=False) != told(Model(3), strict=False)
    other = type("Model", (), {**vars(Model), "factor": 3})
    assert told(other, strict=False) != told(Model, strict=False)
    assert told(Model(2).value, strict=False) != told(Model(3).value, strict=False)


def test_objects_of_this_package_are_told_by_their_content():
    B = np.diag([2.0, 1.0]) + 0.5
    targets = [QuadraticTarget(B), QuadraticTarget(B, 1.0), QuadraticTarget(B, input_cov=[1.0, 2.0])]
    targets += [GaussianMixture([1.0, 1.0], [0.5, 0.0]), Activation("a", shifted(1.0)), Activation("a", shifted(2.0))]
    targets += [get_activation("relu"), get_activation("tanh")]
    first, second = ([told(made(BASE, g=value), strict=False) for value in targets] for _ in range(2))
    assert len(set(first)) == len(targets)
    _ = targets[2].whitened, targets[2].eigenvalues  # what it has computed is no part of it
    assert first == second == [told(made(BASE, g=value), strict=False) for value in targets]


def test_sources_as_far_as_they_can_be_read(tmp_path):
    assert source_of(numba.njit(shifted)) == source_of(shifted)
    assert source_of(shifted).startswith("def shifted(shift, scale=2.0):")
    page = tmp_path / "page.md"
    page.write_text("words (that\nno Python 'is\n")
    space = {}
    exec(compile(BASE, str(page), "exec"), space)
    assert source_of(space["f"]) == source_of(made(BASE)) == source_of(math.sin) == source_of(None) == ""


def test_packages_that_are_installed_are_told_by_their_names_but_for_the_one_at_home():
    source = "def f(x):\n    return pytest.approx(x)\n"
    away, home = (described(made(source, pytest=pytest), strict=False, home=home) for home in (None, "pytest"))
    assert digest(away) != digest(home)
    assert ["module", "pytest"] in away[5][0]
