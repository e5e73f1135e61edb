"""Shards of a sweep, and their stores together again: the same table to the bit as of one run."""

import os
import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pandas as pd
import pytest
from stored import CELLS, row

from fastlazy.sweeps.cells import check_cells, grid
from fastlazy.sweeps.driver import load_sweep, run_sweep
from fastlazy.sweeps.measure import RESULTS, cost
from fastlazy.sweeps.merging import check_shard, merge, shard_cells
from fastlazy.sweeps.planning import plan_sweep
from fastlazy.sweeps.store import TIMINGS, Store
from fastlazy.sweeps.tables import load

MIXED = grid(regime=["RF", "NT"], d=8, N=[2, 40, 300], draw=range(20))
MIXED += grid(regime="NN", d=8, N=[3, 4], n_samples=[1000, 50_000], draw=range(3))


@pytest.mark.parametrize("shards", [1, 2, 3, 16])
def test_shards_are_parts_of_equal_cost(shards):
    cells = check_cells(MIXED)
    parts = [shard_cells(cells, k, shards) for k in range(1, shards + 1)]
    keys = [key for part in parts for key in part]
    assert sorted(keys) == sorted(cells)
    costs = [sum(map(cost, part.values())) for part in parts]
    longest = max(map(cost, cells.values()))
    assert max(costs) - min(costs) <= longest
    assert all(list(part) == [key for key in cells if key in part] for part in parts)


def test_shards_do_not_depend_on_the_order():
    cells = check_cells(MIXED)
    other = check_cells(random.Random(3).sample(MIXED, len(MIXED)))
    for k in (1, 2, 5):
        assert set(shard_cells(cells, k, 5)) == set(shard_cells(other, k, 5))


def test_more_shards_than_cells():
    cells = check_cells(MIXED[:2])
    assert sorted(len(shard_cells(cells, k, 4)) for k in range(1, 5)) == [0, 0, 1, 1]


BAD = {
    "zero": ((0, 3), "the number of the shard must be at least 1, got 0"),
    "beyond": ((4, 3), r"shard = \(4, 3\) is beyond the last; pass one of \(1, 3\) to that"),
    "none": ((1, 0), "the number of shards must be at least 1, got 0"),
    "text": ("3", r"shard must be a pair such as \(3, 16\), the third of sixteen, got '3'; pass two numbers"),
    "three": ((1, 2, 3), "shard must be a pair such as"),
    "number": (3, "shard must be a pair such as"),
}


@pytest.mark.parametrize(("shard", "message"), BAD.values(), ids=BAD)
def test_what_is_no_shard(shard, message, tmp_path):
    for use in (check_shard, lambda shard: run_sweep(MIXED, tmp_path / "a.sqlite", shard=shard)):
        with pytest.raises(ValueError, match=message):
            use(shard)
    assert os.listdir(tmp_path) == []
    assert check_shard("3/16") == (3, 16)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """The store of a whole sweep, and those of its three shards."""
    folder = tmp_path_factory.mktemp("shards")
    with ThreadPoolExecutor(2) as pool:
        options = {"executor": pool, "progress": False}
        tables = [run_sweep(MIXED, folder / f"{k}.sqlite", shard=(k, 3), **options) for k in (1, 2, 3)]
        run_sweep(MIXED, folder / "whole.sqlite", **options)
    assert sum(map(len, tables)) == len(MIXED)
    assert plan_sweep(MIXED, folder / "2.sqlite", shard=(2, 3)).left == 0
    assert plan_sweep(MIXED, folder / "2.sqlite").left == len(MIXED) - len(tables[1])
    return folder / "whole.sqlite", [folder / f"{k}.sqlite" for k in (1, 2, 3)]


def assert_same(table, other):
    pd.testing.assert_frame_equal(
        table.drop(columns=list(TIMINGS)), other.drop(columns=list(TIMINGS)), check_exact=True
    )  # fmt: skip


def test_shards_merged_are_the_whole(shards, tmp_path):
    whole, parts = shards
    assert merge(tmp_path / "out.sqlite", parts) == len(MIXED)
    assert_same(load(tmp_path / "out.sqlite"), load(whole))
    assert_same(load_sweep(parts), load(whole))
    assert list(load_sweep(parts, columns=["N", "ratio"], where="regime = 'RF'")) == ["N", "ratio"]
    assert merge(tmp_path / "out.sqlite", [*parts, whole]) == len(MIXED)  # once more, all of them twice
    assert_same(load(tmp_path / "out.sqlite"), load(whole))
    assert_same(load_sweep([tmp_path / "out.sqlite", parts[0]]), load(whole))
    timings = list(TIMINGS)
    pd.testing.assert_frame_equal(load_sweep(parts)[timings], load(tmp_path / "out.sqlite")[timings])
    with ThreadPoolExecutor(1) as pool:  # what was merged is what a sweep goes on from
        table = run_sweep(MIXED, tmp_path / "out.sqlite", executor=pool, progress=False)
    assert len(table) == len(MIXED)
    assert os.listdir(tmp_path) == ["out.sqlite"]


@pytest.fixture
def store(tmp_path):
    """A function that makes a store of rows."""

    def make(name, *rows, results=RESULTS):
        with Store(tmp_path / name, results) as db:
            for one in rows:
                db.record(one)
        return tmp_path / name

    return make


def test_a_result_is_better_than_none(store):
    failed = store("a.sqlite", row(CELLS[0], "failed", error="why"), row(CELLS[1]), row(CELLS[2], "crashed"))
    done = store("b.sqlite", row(CELLS[0]), row(CELLS[1], "timeout"), row(CELLS[2], "failed"))
    expected = {"RF": "done", "NN": "done"}
    for order in ([failed, done], [done, failed]):
        table = load_sweep(order)
        assert dict(zip(table["regime"], table["status"], strict=True)) | {"NN": "done"} == expected
        assert list(table["status"]) == [{failed: "crashed", done: "failed"}[order[0]], "done", "done"]
        out = failed.with_name(f"{order[0].stem}-out.sqlite")
        assert merge(out, order) == 3
        pd.testing.assert_frame_equal(load(out), table)


def test_different_results_of_a_cell_are_an_error_that_shows_both(store):
    a = store("a.sqlite", row(CELLS[0]), row(CELLS[1]))
    b = store("b.sqlite", row(CELLS[0], ratio=0.5, worker="there/7"), row(CELLS[2]))
    message = (
        r"the cell \w{64} has different results:\n"
        r"  .*a\.sqlite: regime = 'RF', d = 2, N = 3, draw = 0, ratio = 0\.16666666666666666, worker = 'here/1'.*\n"
        r"  .*b\.sqlite: regime = 'RF', d = 2, N = 3, draw = 0, ratio = 0\.5, worker = 'there/7'.*\nResults are"
    )
    with pytest.raises(ValueError, match=message):
        load_sweep([a, b])
    with pytest.raises(ValueError, match=message.replace("a\\.sqlite", "out\\.sqlite")):
        merge(a.with_name("out.sqlite"), [a, b])
    kept = load(a.with_name("out.sqlite"))
    assert len(kept) == 3
    assert set(kept["ratio"]) == {1 / 6}  # what came first


def test_columns_of_one_store_alone_are_kept(store):
    a = store("a.sqlite", row(CELLS[0]))
    b = store("b.sqlite", row(CELLS[1], margin=0.25, name="x"), results={**RESULTS, "margin": float, "name": str})
    assert merge(a.with_name("out.sqlite"), [a, b]) == 2
    table = load(a.with_name("out.sqlite"))
    assert sorted(table["margin"].fillna(0)) == [0, 0.25]
    assert list(table["name"].dropna()) == ["x"]
    assert sorted(load_sweep([a, b])["margin"].fillna(0)) == [0, 0.25]


def test_a_damaged_store_is_not_merged(store):
    a, b = store("a.sqlite", row(CELLS[0])), store("b.sqlite", row(CELLS[1]))
    with closing(sqlite3.connect(b)) as db:
        db.execute("UPDATE cells SET ratio = 0.5")
        db.commit()
    for use in (load_sweep, lambda stores: merge(a.with_name("out.sqlite"), stores)):
        with pytest.raises(ValueError, match=r"1 rows of the store .*b\.sqlite' are not as they were written"):
            use([a, b])


def test_what_cannot_be_merged(store, tmp_path):
    a = store("a.sqlite", row(CELLS[0]))
    with pytest.raises(ValueError, match="there is no store to merge; pass at least one after OUT"):
        merge(tmp_path / "out.sqlite", [])
    with pytest.raises(ValueError, match=r"a\.sqlite' is OUT itself; name it once"):
        merge(a, [tmp_path / "." / "a.sqlite"])
    with pytest.raises(FileNotFoundError, match=r"there is no store '.*none"):
        merge(tmp_path / "out.sqlite", [a, tmp_path / "none.sqlite"])
    assert not (tmp_path / "out.sqlite").exists()
    with pytest.raises(ValueError, match="there is no store to load; pass at least one"):
        load_sweep([])
    with pytest.raises(TypeError, match="store must be the path of a file, got 3"):
        load_sweep([3])
