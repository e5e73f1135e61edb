"""What a user's non-linearity is, told alike by every copy and every process."""

import copy
import math
import pickle
import subprocess
import sys
import types
from pathlib import Path

import numba
import numpy as np
import pytest

from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import BUILTIN_NAMES, get_activation

ROOT = Path(__file__).resolve().parents[2]
TABLE = np.linspace(0.0, 1.0, 5)
OWN = types.ModuleType("own_module")
OWN.shift = 0.75


@numba.njit
def inner(x):
    return math.tanh(x) + TABLE[2]


def closure(shift):
    return lambda x: math.tanh(x + shift)


def factorial_like(x):
    return 1.0 if x < 1 else x * 0.5


KINDS = {
    "lambda": lambda x: math.tanh(x + 0.5),
    "another": lambda x: math.tanh(x + 0.25),
    "closure": closure(0.5),
    "another closure": closure(0.125),
    "def": factorial_like,
    "njit": numba.njit(closure(0.5)),
    "fast": numba.njit(fastmath=True)(closure(0.5)),
    "vectorize": numba.vectorize(["float64(float64)", "float32(float32)"])(closure(0.5)),
    "calls another": lambda x: inner(x) + 1.0,
    "array": lambda x: x * TABLE[1],
    "module": lambda x: x + OWN.shift,
    "numpy": lambda x: np.tanh(x + 0.5),
    "branches": lambda x: x if x > 0 else 0.1 * x,
}


@pytest.fixture(scope="module")
def made():
    return {name: Activation("mine", function) for name, function in KINDS.items()}


def test_each_has_its_own(made):
    assert len({sigma.identity for sigma in made.values()}) == len(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_copies_share_it(made, name):
    sigma = made[name]
    assert Activation("mine", KINDS[name]).identity == sigma.identity
    again = pickle.loads(pickle.dumps(sigma))
    assert again.identity == copy.deepcopy(sigma).identity == sigma.identity
    assert pickle.loads(pickle.dumps(Activation("mine", again.function))).identity == sigma.identity
    assert Activation("yours", KINDS[name]).identity != sigma.identity
    assert Activation("mine", KINDS[name], KINDS["lambda"]).identity != sigma.identity


def test_it_is_fixed_when_it_is_made():
    table = np.ones(3)
    sigma = Activation("mine", lambda x: x * table[0])
    before = sigma.identity
    table[:] = 2.0
    assert Activation("mine", sigma.function).identity == before
    assert Activation("mine", lambda x: x * table[0]).identity != before


def test_names_of_built_ins_are_theirs():
    assert len({get_activation(name).identity for name in BUILTIN_NAMES}) == len(BUILTIN_NAMES)
    assert get_activation("relu").identity == "'relu'"


def test_another_process_tells_the_same(made):
    program = (
        "import pickle, sys\n"
        "for sigma in pickle.load(sys.stdin.buffer).values():\n"
        "    print(sigma.identity)\n"
    )  # fmt: skip
    child = subprocess.run([sys.executable, "-c", program], cwd=ROOT, input=pickle.dumps(made), capture_output=True)
    assert child.stdout.decode().split() == [sigma.identity for sigma in made.values()], child.stderr
