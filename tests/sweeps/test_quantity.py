"""Quantities of the user's: functions that can be taken, what they may return, and when their numbers are old."""

import functools
import math
import sys

import numpy as np
import pytest

from fastlazy.risk.network import network_risk, tangent_risk
from fastlazy.sweeps.cells import canonical_cell, cell_stream
from fastlazy.sweeps.measure import attempt, measured_cell
from fastlazy.sweeps.quantity import Quantity, check_measure, own_numbers, stale_cells
from fastlazy.targets.weights import draw_weights
from fastlazy.training.fit_nn import fit_nn

RF = {"regime": "RF", "d": 5, "N": 3}
MODULE = (
    "SHARE = 0.5\n\ndef helper(x):\n    return x + SHARE\n\ndef overlap(cell):\n    return {'overlap': helper(1.0)}\n"
)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """() to the quantity of a module of the user's with the given text, imported anew."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def imported(text=MODULE, name="own_analysis:overlap"):
        (tmp_path / "own_analysis.py").write_text(text)
        sys.modules.pop("own_analysis", None)
        return check_measure(name, "raise")

    yield imported
    sys.modules.pop("own_analysis", None)


def quantity_of(function):
    return check_measure(function, "raise")


def returning(found):
    def mine(cell):
        return found

    return quantity_of(mine)


def test_what_a_function_is_given():
    cell = measured_cell(canonical_cell({**RF, "draw": 2}))
    stream = cell_stream(canonical_cell({**RF, "draw": 2}))
    assert cell.stream == stream
    np.testing.assert_array_equal(cell.W, draw_weights(3, 5, rng=stream))
    assert (cell.a, cell.b, cell.c, cell.fit) == (None, None, None, None)
    assert cell.results["ratio"] == cell.results["risk"] / cell.target.null_risk
    assert cell.parameters["activation"] == cell.activation.name == "square"
    numbers = cell.rng.standard_normal(3)
    np.testing.assert_array_equal(numbers, cell.rng.standard_normal(3))
    assert not np.isin(numbers, cell.W).any()


def test_the_weights_have_the_risk_of_the_cell():
    for change, risk in (
        ({"n_samples": 20}, lambda cell: network_risk(cell.target, cell.W, cell.a, cell.c, cell.activation)),
        ({"n_samples": 20, "activation": "relu", "regime": "NT"},
         lambda cell: tangent_risk(cell.target, cell.W, cell.b, cell.c, cell.activation)),
        ({"n_samples": 500, "regime": "NN"}, lambda cell: network_risk(cell.target, cell.W, cell.a, cell.c)),
    ):  # fmt: skip
        cell = measured_cell(canonical_cell({**RF, **change}))
        assert risk(cell) == pytest.approx(cell.results["risk"], rel=1e-6)
    fit = fit_nn(cell.target, 3, n_samples=500, rng=cell.stream, n_threads=1)
    np.testing.assert_array_equal(cell.fit.W, fit.W)
    np.testing.assert_array_equal(cell.W, fit.W)


def test_a_function_by_its_name_and_by_itself(module):
    quantity = module()
    assert (quantity.name, quantity.module, quantity.pickled) == ("overlap", "own_analysis", b"")
    assert quantity.source == MODULE[MODULE.index("def overlap") :]
    assert quantity.label == f"overlap #{quantity.digest[:12]}"
    assert quantity_of(sys.modules["own_analysis"].overlap) == quantity
    assert own_numbers(quantity, None) == {"overlap": 1.5}


def test_a_function_that_no_process_can_import_goes_by_value():
    shift = 0.25

    def mine(cell):
        return {"shifted": 1 + shift}

    quantity = quantity_of(mine)
    assert quantity.module is None
    assert len(quantity.pickled) > 100
    assert own_numbers(quantity, None) == {"shifted": 1.25}
    assert check_measure(None, "raise") is None


def test_the_digest_is_that_of_what_is_computed(module):
    before = module().digest
    assert module(MODULE.replace("    return x", "    # The sum.\n    return x")).digest == before
    assert module("UNUSED = 3\n" + MODULE).digest == before
    assert module(MODULE.replace("x + SHARE", "x - SHARE")).digest != before
    assert module(MODULE.replace("0.5", "0.25")).digest != before
    assert module(MODULE.replace("'overlap'", "'other'")).digest != before


def test_a_module_that_changes_during_a_sweep_is_told(module):
    quantity = module()
    module(MODULE.replace("0.5", "0.25"))
    with pytest.raises(RuntimeError, match="measure 'overlap' of own_analysis is not what it was when the sweep began"):
        own_numbers(quantity._replace(source="not seen before"), None)


def generator(cell):
    yield {}


def two(cell, other):
    return {}


def none():
    return {}


async def coroutine(cell):
    return {}


class Callable:
    """An object that can be called, but is no function."""

    def __call__(self, cell):
        return {}


NO_FUNCTIONS = {
    "a number": (3, TypeError, "measure must be a function that is written with def, or 'package.module:fun.*', got 3"),
    "a lambda": (lambda cell: {}, TypeError, "measure must have a name, .* got a lambda; write it with def"),
    "partial": (functools.partial(two, other=3), TypeError, "of type partial; write def measure"),
    "an object": (Callable(), TypeError, "of type Callable; write def measure"),
    "a class": (dict, TypeError, "of type type; write def measure"),
    "a built-in": (len, TypeError, "of type builtin_function_or_method"),
    "a method": (Callable().__call__, TypeError, "of type method"),
    "a generator": (generator, TypeError, "measure 'generator' must return a dict, not yield or be awaited"),
    "a coroutine": (coroutine, TypeError, "measure 'coroutine' must return a dict, not yield or be awaited"),
    "two arguments": (two, TypeError, "measure 'two' must take one argument, the measured cell, but missing"),
    "no argument": (none, TypeError, "measure 'none' must take one argument, the measured cell, but too many"),
    "no colon": ("math.sin", ValueError, "measure = 'math.sin' is no name of a function; pass 'package.module:func"),
    "no name": ("math:", ValueError, "is no name of a function"),
    "a path": ("own/analysis.py:f", ValueError, "is no name of a function"),
    "no module": ("no_such_module:f", ValueError, "is not there: No module named 'no_such_module'; check the name, or"),
    "no attribute": ("math:nothing", ValueError, "is not there: math has no 'nothing'; check the name"),
    "a constant": ("math:pi", TypeError, "measure must be a function .* of type float"),
    "empty": ("", ValueError, "is no name of a function"),
}  # fmt: skip


@pytest.mark.parametrize(("value", "error", "message"), NO_FUNCTIONS.values(), ids=NO_FUNCTIONS)
def test_what_is_no_function_is_told(value, error, message):
    with pytest.raises(error, match=message):
        check_measure(value, "raise")


def test_a_module_that_cannot_be_imported_is_told(module):
    with pytest.raises(ValueError, match=r"measure = 'own_analysis:overlap' cannot be imported: ZeroDivisionError"):
        module("1 / 0\n")
    with pytest.raises(ValueError, match="own_analysis has no 'nothing'; check the name"):
        module(name="own_analysis:nothing")
    with pytest.raises(TypeError, match="got a lambda"):
        module("overlap = lambda cell: {}\n")
    with pytest.raises(ValueError, match="on_change = 'again' is not known; pass one of 'raise', 'measure', 'keep'"):
        check_measure(None, "again")


def test_a_function_that_cannot_be_sent_is_told():
    held = sys.stdout if hasattr(sys.stdout, "buffer") else open(__file__)  # noqa: SIM115

    def mine(cell):
        return {"x": held.fileno()}

    with pytest.raises(TypeError, match=r"measure 'mine' cannot be sent to workers \(.*\); write it in a module"):
        quantity_of(mine)


WRONG = {
    "nothing": (None, TypeError, "must return a dict of finite numbers by their names, got None of type NoneType"),
    "a number": (0.5, TypeError, r"got 0.5 of type float; return e.g. \{'overlap': 0.5\}"),
    "a list": ([("a", 1.0)], TypeError, "of type list; return e.g."),
    "text": ({"x": "0.5"}, TypeError, "got x = '0.5' of type str; return a float, or leave the name out"),
    "an array": ({"x": np.ones(2)}, TypeError, r"got x = array\(\[1., 1.\]\) of type ndarray"),
    "a truth": ({"x": True}, TypeError, "got x = True of type bool"),
    "complex": ({"x": 1j}, TypeError, "of type complex"),
    "nan": ({"x": math.nan}, ValueError, "got x = nan of type float; return a float, or leave the name out where"),
    "infinite": ({"x": 1.0, "y": -math.inf}, ValueError, "got y = -inf of type float"),
    "a key": ({3: 1.0}, TypeError, "got the name 3 of type int; return a string"),
    "many": ({f"x{k}": 1.0 for k in range(101)}, ValueError, "at most 100 of them, got 101"),
}


@pytest.mark.parametrize(("found", "error", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_dict_of_numbers_is_told(found, error, message):
    with pytest.raises(error, match=f"measure '.*mine' {'' if 'must' in message else '.*'}{message}"):
        own_numbers(returning(found), None)


def test_numbers_of_all_kinds():
    found = {"a": 1, "b": np.float32(0.5), "c": np.int64(3), "d": None, "e": np.array(2.0), "f": -0.0}
    assert own_numbers(returning(found), None) == {"a": 1.0, "b": 0.5, "c": 3.0, "e": 2.0, "f": 0.0}
    assert own_numbers(returning({}), None) == {}


def test_a_cell_whose_quantity_fails_keeps_its_results():
    def mine(cell):
        raise KeyError("mine")

    outcome = attempt(canonical_cell(RF), quantity=quantity_of(mine))
    assert outcome["status"] == "failed"
    assert outcome["error"].startswith("KeyError: 'mine' (")
    assert "in mine\nKeyError: 'mine'" in outcome["traceback"]
    assert outcome["ratio"] == attempt(canonical_cell(RF))["ratio"]
    assert "measure" not in outcome


def test_training_that_diverged_is_not_measured():
    def mine(cell):
        raise KeyError("mine")

    cell = canonical_cell({**RF, "regime": "NN", "n_samples": 1000, "step_size": 1e3})
    with pytest.warns(RuntimeWarning, match="fit_nn diverged"):
        assert attempt(cell, quantity=quantity_of(mine))["status"] == "diverged"


def test_which_cells_are_measured_again():
    now = Quantity("f", "a" * 64, None, b"", "")
    rows = [("1", None), ("2", now.label), ("3", "g #aaaaaaaaaaaa"), ("4", None)]
    wanted = dict.fromkeys("1235")
    assert stale_cells(rows, wanted, now, "raise") == {"1"}
    assert stale_cells(rows, wanted, None, "raise") == set()
    changed = [*rows, ("5", "f #bbbbbbbbbbbb"), ("6", "f #bbbbbbbbbbbb")]
    assert stale_cells(changed, wanted, now, "measure") == {"1", "5"}
    assert stale_cells(changed, wanted, now, "keep") == {"1"}
    message = "measure 'f' is not what it was when 1 cells of the store were measured: .* Pass on_change='measure'"
    with pytest.raises(ValueError, match=message):
        stale_cells(changed, wanted, now, "raise")
