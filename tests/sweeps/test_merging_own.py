"""Stores with objects and numbers of the user's, put together."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from fastlazy.sweeps.cells import grid
from fastlazy.sweeps.driver import load_sweep, run_sweep
from fastlazy.sweeps.merging import merge
from fastlazy.sweeps.own_columns import ColumnError
from fastlazy.sweeps.store import TIMINGS
from fastlazy.sweeps.stored_targets import load_targets

B = np.diag([3.0, 1.0, -1.0]) + 0.5 * np.eye(3, k=1) + 0.5 * np.eye(3, k=-1)


def cells(name, draws):
    return grid(regime="RF", d=3, N=2, target={name: B}, draw=draws)


def size(cell):
    return {"size": np.abs(cell.W).max(), "z": 1.0}


def other(cell):
    return {"another": 2.0}


def refused(cell):
    return {"size": 1.0, **({"a b": 2.0} if cell.parameters["draw"] == 1 else {})}


@pytest.fixture
def store(tmp_path):
    """A function that makes a store of a sweep in a thread."""

    def make(name, wanted, **options):
        with ThreadPoolExecutor(1) as pool:
            run_sweep(wanted, tmp_path / name, executor=pool, progress=False, **options)
        return tmp_path / name

    return make


def together(stores, out):
    """The table of *stores*, which is the same loaded and merged."""
    merge(out, stores)
    tables = [table.drop(columns=list(TIMINGS)) for table in (load_sweep(stores), load_sweep(out))]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    return tables[0]


@pytest.mark.parametrize("order", [1, -1])
def test_a_result_with_numbers_is_better_than_one_without(store, tmp_path, order):
    stores = [store("a", cells("mine", range(3))), store("b", cells("mine", range(1, 5)), measure=size)]
    table = together(stores[::order], tmp_path / "out")
    assert table["size"].isna().tolist() == table["measure"].isna().tolist() == [True, False, False, False, False]


def test_numbers_of_two_measures_stand_in_the_order_of_the_alphabet(store, tmp_path):
    stores = [store("a", cells("mine", [0]), measure=size), store("b", cells("mine", [1]), measure=other)]
    table = together(stores, tmp_path / "out")
    assert list(table.columns[-3:]) == ["another", "size", "z"]
    assert table["another"].isna().tolist() == [True, False]


def test_numbers_of_two_measures_of_one_cell_are_different_results(store, tmp_path):
    stores = [store("a", cells("mine", [0]), measure=size), store("b", cells("mine", [0]), measure=other)]
    for use in (load_sweep, lambda stores: merge(tmp_path / "out", stores)):
        with pytest.raises(ValueError, match=r"has different results:\n.*size #.*\n.*other #"):
            use(stores)


def test_an_object_has_the_name_that_the_first_store_has_for_it(store, tmp_path):
    stores = [store("a", cells("mine", [0, 1])), store("b", cells("yours", [1, 2]))]
    table = together(stores, tmp_path / "out")
    assert len(table) == 3
    assert table["target"].str.startswith("mine #").all()
    assert load_targets(tmp_path / "out").keys() == set(table["target"])


def test_an_object_that_is_damaged_in_one_store_is_taken_from_the_other(store, tmp_path):
    stores = [store("a", cells("mine", [0])), store("b", cells("mine", [1]))]
    with closing(sqlite3.connect(stores[0])) as db:
        db.execute("UPDATE objects SET content = x'00'")
        db.commit()
    merge(tmp_path / "out", stores)
    np.testing.assert_array_equal(next(iter(load_targets(tmp_path / "out").values())).B, B)


def test_cells_of_a_batch_with_one_that_is_refused_are_kept(store, tmp_path):
    """A cell with a number that can be no column ends the sweep, and what its batch found besides is in the store."""
    with pytest.raises(ColumnError, match="'a b'"):
        store("a", cells("mine", range(40)), measure=refused)
    table = load_sweep(tmp_path / "a").set_index("draw")
    assert (table["status"] == "done").all()
    assert table["size"].isna().sum() == 1
    assert np.isnan(table["size"][1])
    assert table["ratio"].notna().all()
    assert len(table) > 2
