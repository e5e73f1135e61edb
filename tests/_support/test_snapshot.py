"""What a user's non-linearity is, is fixed when it is made: for every dtype, in every copy, in every process."""

import copy
import math
import pickle
import subprocess
import sys
from types import SimpleNamespace

import cloudpickle
import numba
import numpy as np
import pytest

from fastlazy import Activation, rf_kernel
from fastlazy._support.snapshot import content, snapshot

SLOPE = 2.0
TABLE = np.array([2.0, 5.0])
SETTINGS = type(sys)("settings")
SETTINGS.inner = type(sys)("inner")


@numba.njit
def by_global(x):
    return SLOPE * x


@numba.njit("float64(float64)")
def declared(x):
    return SLOPE * x


@numba.njit
def even(x):
    return SLOPE * x if x < 1 else odd(x - 1)


@numba.njit
def odd(x):
    return 0.0 * x if x < 1 else even(x - 1)


@numba.vectorize
def ufunc(x):
    return SLOPE * x


@numba.vectorize(["float64(float64)"])
def declared_ufunc(x):
    return SLOPE * x


def closed_over(slope):
    return lambda x: slope * x


def of_a_ufunc(x):
    return ufunc(x)


def with_default(x, slope=TABLE):
    return slope[0] * x


# Each is 2 x when it is made here, on [0, 1) for the recursive one.
KINDS = {
    "global": lambda x: SLOPE * x,
    "array": lambda x: TABLE[0] * x,
    "default": with_default,
    "compiled helper": lambda x: by_global(x),
    "compiled": by_global,
    "declared helper": lambda x: declared(x),
    "functions that call each other": lambda x: odd(x + 1),
    "ufunc": ufunc,
    "helper's ufunc": of_a_ufunc,
    "declared ufunc": declared_ufunc,
    "module": lambda x: SETTINGS.inner.slope * x,
    "nested": lambda x: (lambda y: SLOPE * y)(x),
}


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    SETTINGS.inner.slope = 2.0
    yield
    TABLE[0] = 2.0


def change_everything(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "SLOPE", 7.0)
    TABLE[0] = 7.0
    SETTINGS.inner.slope = 7.0


def slopes(activation):
    """The slope between 0 and 1/2 in float64, as the theory has it, and of both compiled forms."""
    half = np.array([[0.5]])
    kernels = [math.sqrt(rf_kernel(half.astype(dtype), np.ones((1, 1), dtype), activation).item()) for dtype in "df"]
    return [2 * activation([0.5])[0], *(2 * value for value in kernels)]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("function", KINDS.values(), ids=KINDS)
def test_later_changes_have_no_effect(function, monkeypatch):
    activation = Activation("mine", function)
    change_everything(monkeypatch)
    assert slopes(activation) == [2.0] * 3
    changed = Activation("mine", function)
    assert slopes(changed) == [7.0] * 3
    assert changed != activation


@pytest.mark.sampled(2)
@pytest.mark.parametrize("function", KINDS.values(), ids=KINDS)
def test_what_is_sent_carries_its_variables(function, monkeypatch):
    activation = Activation("mine", function)
    change_everything(monkeypatch)
    again = pickle.loads(pickle.dumps(activation))
    assert slopes(again) == [2.0] * 3
    assert again == activation
    assert hash(again) == hash(activation)
    assert pickle.loads(cloudpickle.dumps(activation)) is again  # so that a worker compiles it once


def test_non_linearities_over_a_loop_variable():
    leaky = [Activation("leaky", lambda x: x if x > 0 else slope * x) for slope in (0.5, 1.0)]  # noqa: B023
    assert [slopes(activation) for activation in leaky] == [[1.0] * 3] * 2
    for activation, slope in zip(leaky, (0.5, 1.0), strict=True):
        values = [rf_kernel(np.full((1, 1), -1.0, kind), np.ones((1, 1), kind), activation).item() for kind in "df"]
        assert values == [slope**2] * 2
        assert activation([-1.0]) == [-slope]


def test_copies_in_memory_are_the_thing_itself():
    activation = Activation("mine", closed_over(2.0))
    assert copy.copy(activation) is activation
    assert copy.deepcopy(activation) is activation
    assert copy.deepcopy(SimpleNamespace(sigma=activation)).sigma is activation


def test_a_clone_of_an_estimator_has_the_same_non_linearity(monkeypatch):
    sklearn = pytest.importorskip("sklearn.base")
    from fastlazy.estimators import RFRegressor

    activation = Activation("mine", KINDS["global"])
    model = RFRegressor(5, activation=activation, random_state=0)
    X = np.random.default_rng(0).standard_normal((20, 3))
    values = model.fit(X, X[:, 0]).predict(X)
    change_everything(monkeypatch)
    other = sklearn.clone(model)
    assert other.activation is activation
    np.testing.assert_array_equal(other.fit(X, X[:, 0]).predict(X), values)


def test_equal_are_those_of_equal_functions():
    first, second = (Activation("mine", closed_over(2.0)) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    others = [
        Activation("other", closed_over(2.0)),
        Activation("mine", closed_over(3.0)),
        Activation("mine", closed_over(2)),
        Activation("mine", closed_over(2.0), closed_over(0.0)),
        Activation("mine", closed_over(2.0), closed_over(-0.0)),
        Activation("mine", closed_over(np.float32(2.0))),
        Activation("mine", numba.njit(closed_over(2.0))),
        Activation("mine", numba.njit(fastmath=True)(closed_over(2.0))),
        Activation("mine", lambda x: 2.0 * x),
    ]
    assert len({first, second, *others}) == 1 + len(others)
    assert first != "mine"


def test_another_process_needs_no_more_than_the_bytes(tmp_path):
    """Where the module of the function does not exist, and a helper and a global of it must come along."""
    program = tmp_path / "mine.py"
    program.write_text(
        "import math, numba\nA = 2.0\n@numba.njit\ndef helper(x):\n    return A * math.tanh(x)\n"
        "def sigma(x):\n    return helper(x) + A\n"
    )
    namespace = {"__name__": "mine"}
    exec(compile(program.read_text(), str(program), "exec"), namespace)
    activation = Activation("mine", namespace["sigma"])
    file = tmp_path / "bytes"
    file.write_bytes(pickle.dumps(activation))
    program.unlink()
    code = f"import pickle; print(pickle.load(open({str(file)!r}, 'rb'))([1.0])[0])"
    printed = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True).stdout
    assert float(printed) == pytest.approx(2 * math.tanh(1.0) + 2, rel=1e-15)


def test_what_cannot_be_sent_says_so():
    activation = Activation("mine", numba.cfunc("float64(float64)")(closed_over(2.0)))
    with pytest.raises(TypeError, match=r"^activation 'mine' cannot be pickled .*; make it of Python functions"):
        pickle.dumps(activation)


def of_an_empty_cell():
    def function(x):
        return x + later

    if SLOPE < 0:
        later = 1.0
    return function


ALL = {
    "global": by_global,
    "declared": declared,
    "each other": even,
    "ufunc": ufunc,
    "calls a ufunc": of_a_ufunc,
    "closure": closed_over(0.5),
    "array": lambda x: x * TABLE[0],
    "module": lambda x: SETTINGS.inner.slope * x,
    "default": lambda x, slope=2.0: slope * x,
    "empty cell": of_an_empty_cell(),
    "numpy": np.tanh,
}


@pytest.mark.parametrize("name", ALL)
def test_a_function_and_its_snapshot_have_one_content(monkeypatch, name):
    monkeypatch.setattr(SETTINGS.inner, "slope", 1.0, raising=False)
    before = content(ALL[name])
    assert content(snapshot(ALL[name])) == before
    hash(before)
    monkeypatch.setitem(globals(), "UNRELATED", 3.0)  # what it does not read
    monkeypatch.setattr(SETTINGS.inner, "unrelated", 3.0, raising=False)
    assert content(ALL[name]) == before
    monkeypatch.setitem(globals(), "SLOPE", 3.0)
    monkeypatch.setattr(SETTINGS.inner, "slope", 3.0)
    reads = name in ("global", "declared", "each other", "ufunc", "calls a ufunc", "module")
    assert (content(ALL[name]) != before) == reads


def test_contents_differ_as_functions_do():
    assert len({content(function) for function in ALL.values() if function is not ALL["module"]}) == len(ALL) - 1
    assert content(closed_over(0.5)) == content(closed_over(0.5)) != content(closed_over(0.25))
