"""What a cell is: keys, canonical form, identity, and what its draw depends on."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastlazy.sweeps import cells as module
from fastlazy.sweeps.cells import KEYS, canonical_cell, cell_id, cell_stream, cell_target, check_cells, grid
from fastlazy.sweeps.keys import FAMILY_KEYS
from fastlazy.sweeps.regimes import REGIMES
from fastlazy.targets.library import exponential_target

ROOT = Path(__file__).resolve().parents[2]
RF = {"regime": "RF", "d": 6, "N": 4}
NN = {"regime": "NN", "d": 6, "N": 4, "n_samples": 1000}


def identity(**cell):
    return cell_id(canonical_cell(cell))


def test_a_grid_is_a_product():
    cells = grid(regime=["RF", "NT"], d=6, N=np.array([2, 9]), draw=range(2), target="identity")
    assert len(cells) == 8
    assert cells[0] == {"regime": "RF", "d": 6, "N": 2, "draw": 0, "target": "identity"}
    assert [cell["draw"] for cell in cells] == [0, 1] * 4
    assert len(check_cells(cells)) == 8
    assert grid(regime="RF", d=2, N=3, target=[[3.0, 1.0]]) == [{"regime": "RF", "d": 2, "N": 3, "target": [3.0, 1.0]}]


def test_a_grid_of_nothing():
    with pytest.raises(ValueError, match=r"grid\(\) has no axis; pass at least regime, d and N"):
        grid()
    with pytest.raises(ValueError, match="axis N of the grid is empty; pass at least one value"):
        grid(regime="RF", d=3, N=[])


def test_a_grid_of_too_many_cells_is_refused_before_it_is_made():
    message = r"these are 1,000,000,000 cells \(1000 of N, 1000000 of draw\), and a sweep may have 1,000,000; correct a"
    with pytest.raises(ValueError, match=message):
        grid(regime="RF", d=3, N=range(1, 1001), draw=np.arange(1_000_000))
    for axis in (range(10**400), range(10**12, 0, -2)):  # longer than len() can say
        with pytest.raises(ValueError, match=r"cells .*, and a sweep may have 1,000,000"):
            grid(regime="RF", d=3, N=axis)
    assert len(grid(regime="RF", d=3, N=1, draw=range(10, 0, -3))) == 4
    with pytest.raises(ValueError, match="axis N of the grid is empty"):
        grid(regime="RF", d=3, N=range(5, 1), draw=range(10**9))
    endless = itertools.repeat(RF)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_CELLS", 5)
        with pytest.raises(ValueError, match=r"6 cells \(or more, of an iterator\)"):
            check_cells(endless)


def test_defaults_spelled_out_change_nothing():
    assert identity(**NN) == identity(
        **{**NN, "regime": "nn", "d": 6.0, "N": np.int32(4), "activation": "square", "target": "exponential"},
        target_seed=0, draw=0, seed=0, batch_size=100, step_size="auto", second_layer="ones", dtype=np.float32,
    )  # fmt: skip
    assert identity(**RF) == identity(**dict(reversed(RF.items())), ridge=-0.0)
    assert identity(**{**RF, "d": 2}, target=[3, 1]) == identity(**{**RF, "d": 2}, target=np.array([3.0, 1.0]))


CHANGES = [
    {"regime": "NT"}, {"d": 7}, {"N": 5}, {"draw": 1}, {"seed": 1}, {"ridge": 0.1}, {"target_seed": 1},
    {"target": "identity"}, {"target": "power_law"}, {"target": "power_law", "exponent": 2.0}, {"target": "rank_one"},
    {"target": "spiked"}, {"target": "spiked", "n_spikes": 2}, {"target": "spiked", "spike": 2.0},
    {"target": [1.0, 2, 3, 4, 5, 6]},
]  # fmt: skip


def test_every_parameter_counts():
    ids = {identity(**RF), *(identity(**{**RF, **change}) for change in CHANGES)}
    assert len(ids) == len(CHANGES) + 1
    training = [{"batch_size": 5}, {"step_size": 0.1}, {"second_layer": "free"}, {"dtype": "float64"}, {"n_samples": 9}]
    assert len({identity(**{**NN, **change}) for change in training}) == len(training)


def test_an_id_is_the_same_in_every_process_and_version():
    program = (
        f"from fastlazy.sweeps.cells import *; print(cell_id(canonical_cell({RF})), cell_stream(canonical_cell({RF})))"
    )
    child = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    found, stream = child.stdout.split()
    assert (found, int(stream)) == (identity(**RF), cell_stream(canonical_cell(RF)))
    # Stores that are out there hold these.
    assert found == "18e431a30025eaed024f47f9334d93cf602b4bddc3c21f27a49e0d245db27233"
    assert int(stream) == 2154412100487403391


def test_a_later_key_at_its_default_is_no_part_of_an_id():
    assert {name for name, key in REGIMES["NN"].keys.items() if key.later} == {
        "scale", "init", "diagnostics", "nn", "tolerance", "max_gradients"
    }  # fmt: skip
    flow = {"tolerance": None, "max_gradients": None}
    assert identity(**NN) == identity(**NN, scale=None, init="orthogonal", diagnostics=False, nn="sgd", **flow)
    # Of a store from before these keys.
    assert identity(**NN) == "5402d41750ccb5091bbcf2cc333805450554f61df67c487c5a75a2cfc5a2dd1b"
    changed = [{"scale": 2.0}, {"scale": 3}, {"init": "symmetric", "second_layer": "signs"}, {"diagnostics": 1}]
    assert len({identity(**NN), *(identity(**{**NN, **change}) for change in changed)}) == 5


def test_a_key_that_is_not_given_leaves_the_id_as_it_was():
    assert identity(**RF, n_samples=None) == identity(**RF)
    assert len({identity(**RF), identity(**RF, n_samples=5), identity(**RF, n_samples=6)}) == 3
    with pytest.raises(ValueError, match="n_samples must be at least 1"):
        canonical_cell({**RF, "n_samples": 0})


def test_canonical_parameters_are_plain():
    for cell in ({**RF, "N": np.int64(4)}, {**NN, "dtype": np.float64}, {**RF, "target": np.arange(6)}):
        parameters = canonical_cell(cell)
        assert json.loads(json.dumps(parameters)) == parameters
        assert canonical_cell(parameters) == parameters


def test_equal_cells_are_one_and_the_order_is_kept():
    found = check_cells([{**RF, "draw": 2}, RF, {**RF, "draw": 0}, {**RF, "draw": 1}])
    assert [parameters["draw"] for parameters in found.values()] == [2, 0, 1]
    assert list(found) == [cell_id(parameters) for parameters in found.values()]


def test_rf_and_nt_share_their_draw_and_nothing_else_does():
    def stream(**change):
        return cell_stream(canonical_cell({**RF, **change}))

    shared = [{"regime": "NT"}, {"ridge": 0.1}, {"target_seed": 1}, {"target": "identity"}]
    assert {stream(**change) for change in shared} == {stream()}
    own = [{"N": 5}, {"d": 7}, {"draw": 1}, {"seed": 1}]
    trained = cell_stream(canonical_cell(NN))
    assert len({stream(), trained, *(stream(**change) for change in own)}) == len(own) + 2
    assert 0 <= trained < 2**63


BAD = {
    "no mapping": (7, TypeError, r"cell 0: a cell must be a mapping, got int; pass e\.g\. one of grid\(\.\.\.\)"),
    "no regime": ({"d": 3}, ValueError, "the key 'regime' is missing; pass one of 'RF', 'NT', 'NN'"),
    "regime": ({**RF, "regime": "XX"}, ValueError, "regime = 'XX' is not known; pass one of 'RF', 'NT', 'NN'"),
    "regime's kind": ({**RF, "regime": 3}, TypeError, "regime must be a name, got 3"),
    "missing": ({"regime": "NN"}, ValueError, "a cell of regime NN needs 'd', 'N' too; add what is missing"),
    "samples": ({"regime": "NN", "d": 3, "N": 2}, ValueError, "with nn = 'sgd' needs 'n_samples' too; .* nn='flow'"),
    "samples of a flow": ({**NN, "nn": "flow"}, ValueError, "n_samples = 1000 is for nn = 'sgd', .*; leave n_samples"),
    "nn": ({**NN, "nn": "adam"}, ValueError, "nn = 'adam' is not known; pass one of 'sgd', 'flow'"),
    "nn of RF": ({**RF, "nn": "flow"}, ValueError, "a cell of regime RF .* has no key 'nn'"),
    "symmetric ones": (
        {**NN, "init": "symmetric"},
        ValueError,
        "init = 'symmetric' has pairs of neurons of both signs",
    ),
    "tolerance of SGD": (
        {**NN, "tolerance": 0.1},
        ValueError,
        "tolerance = 0.1 is for nn = 'flow'; leave tolerance out",
    ),
    "scale of relu": (
        {**NN, "activation": "relu", "scale": 2.0, "second_layer": "scalar"},
        ValueError,
        r"a scale with second_layer = 'scalar' is for activation='square', got 'relu'",
    ),
    "step of NN": ({**NN, "activation": "step"}, ValueError, "activation = 'step' jumps, so it has no derivative"),
    "unknown": (
        {**NN, "n_sample": 3, "ridge": 0.0},
        ValueError,
        r"a cell of regime NN with target 'exponential' has no key 'n_sample', 'ridge'; it has regime, d, .*"
        r"Perhaps 'n_samples' for 'n_sample'\?",
    ),
    "key of another target": ({**RF, "target": "identity", "target_seed": 1}, ValueError, "has no key 'target_seed'"),
    "seed of eigenvalues": ({**RF, "target": [1.0] * 6, "target_seed": 1}, ValueError, "given by eigenvalues"),
    "NaN": ({**RF, "ridge": float("nan")}, ValueError, "ridge must be a finite number at least 0, got nan"),
    "infinity": ({**RF, "target": "power_law", "exponent": float("inf")}, ValueError, "exponent must be a finite"),
    "NaN for a count": ({**RF, "N": float("nan")}, TypeError, "N must be a whole number, got nan"),
    "NaN in a target": ({**RF, "target": [1.0, float("nan")]}, ValueError, r"target must be finite, got 1 NaN"),
    "one eigenvalue": ({**RF, "target": 3.0}, ValueError, r"A target is one of .*: grid\(target=\[\[3\.0, 1\.0\]\]"),
    "eigenvalues": ({**RF, "target": [1.0, 2.0]}, ValueError, "target has 2 eigenvalues, but d = 6; pass d=2"),
    "zeros": ({**RF, "target": [0.0] * 6}, ValueError, "target has only zero eigenvalues"),
    "target": ({**RF, "target": "cubic"}, ValueError, "target = 'cubic' is not known; pass one of 'exponential'"),
    "spikes": ({**RF, "target": "spiked", "n_spikes": 7}, ValueError, "n_spikes = 7 is more than d = 6"),
    "exponent": ({**RF, "target": "power_law", "exponent": -999}, ValueError, "exponent = -999 makes an eigenvalue 6"),
    "step": ({**NN, "step_size": "fast"}, ValueError, "step_size = 'fast' is not known"),
    "rule": ({**NN, "step_size": lambda u: 1}, TypeError, "step_size must be a real number"),
    "dtype": ({**NN, "dtype": "int8"}, ValueError, "dtype must be float32 or float64"),
    "size": ({**RF, "N": 0}, ValueError, "N must be at least 1, got 0"),
    "draw": ({**RF, "draw": -1}, ValueError, "draw must be at least 0"),
    "scale": ({**NN, "scale": 0.0}, ValueError, "scale must be a number above 0, got 0; leave it out"),
    "scale of RF": ({**RF, "scale": 2.0}, ValueError, "a cell of regime RF .* has no key 'scale'"),
    "init": ({**NN, "init": "zero"}, ValueError, "init = 'zero' is not known; pass one of 'orthogonal'"),
    "diagnostics": ({**NN, "diagnostics": 2}, ValueError, "diagnostics must be 0 or 1, got 2"),
    "activation": ({**RF, "activation": "cube"}, ValueError, "activation = 'cube' is not known"),
}


@pytest.mark.parametrize("changed", [{"batch_size": 5}, {"step_size": 0.1}, {"dtype": "float64"}, {"diagnostics": 1}])
def test_a_flow_has_no_keys_of_sgd(changed):
    flow = {"regime": "NN", "d": 6, "N": 4, "nn": "flow"}
    (name,) = changed
    with pytest.raises(ValueError, match=f"{name} = .* is for nn = 'sgd', .*; leave {name} out, or pass nn='sgd'"):
        canonical_cell({**flow, **changed})
    default = {name: REGIMES["NN"].keys[name].default}
    assert identity(**flow, **default) == identity(**flow) != identity(**NN)
    assert cell_stream(canonical_cell(flow)) == cell_stream(canonical_cell(NN))


@pytest.mark.parametrize(("cell", "error", "message"), BAD.values(), ids=BAD)
def test_what_is_no_cell_is_told(cell, error, message):
    with pytest.raises(error, match=message):
        check_cells([cell])


def test_the_message_says_which_cell():
    with pytest.raises(ValueError, match="cell 2: N must be at least 1"):
        check_cells([RF, NN, {**RF, "N": 0}])
    with pytest.raises(TypeError, match="cells must be a list of mappings, got one dict; pass a list"):
        check_cells(RF)


TARGETS = {
    "identity": ({"target": "identity"}, [1, 1, 1, 1]),
    "power_law": ({"target": "power_law"}, [1, 1 / 2, 1 / 3, 1 / 4]),
    "steeper": ({"target": "power_law", "exponent": 2}, [1, 1 / 4, 1 / 9, 1 / 16]),
    "rank_one": ({"target": "rank_one"}, [1, 0, 0, 0]),
    "spiked": ({"target": "spiked"}, [10, 1, 1, 1]),
    "spikes": ({"target": "spiked", "n_spikes": 3, "spike": 5}, [5, 5, 5, 1]),
    "eigenvalues": ({"target": [2, 1, 0, -1]}, [2, 1, 0, -1]),
    "exponential": ({"target_seed": 7}, np.sort(exponential_target(4, rng=7).eigenvalues)[::-1]),
}


@pytest.mark.parametrize(("keys", "eigenvalues"), TARGETS.values(), ids=TARGETS)
def test_targets(keys, eigenvalues):
    target = cell_target(canonical_cell({"regime": "RF", "d": 4, "N": 1, **keys}))
    np.testing.assert_allclose(target.eigenvalues, eigenvalues, rtol=1e-15)
    assert target.mean == pytest.approx(0, abs=1e-12)


def test_keys_differ_in_more_than_capitals():
    """SQLite does not tell n from N."""
    assert len({name.lower() for name in KEYS}) == len(KEYS)
    assert all(re.fullmatch(r"[A-Za-z]\w*", name) for name in KEYS)
    assert set().union(*(regime.keys for regime in REGIMES.values()), *FAMILY_KEYS.values()) == set(KEYS)


def test_packed_cells_are_those_that_were_put_in():
    asked = grid(regime=["RF", "NT"], d=3, N=[2, 4], draw=range(3), seed=[0, 5])
    asked.append({"regime": "RF", "d": 3, "N": 2})
    cells = check_cells(asked)
    expected = {cell_id(canonical_cell(cell)): canonical_cell(cell) for cell in asked}
    assert dict(cells) == expected
    assert list(cells) == list(expected)
    assert len(cells.settings()) == 4
    some = list(cells)[5:2:-1]
    assert dict(cells.only(some)) == {key: expected[key] for key in some}
    assert list(cells.only(some)) == some
