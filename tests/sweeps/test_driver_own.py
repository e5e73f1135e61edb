"""Sweeps of the user's target, sigma and quantity: killed and resumed, added later, changed, and refused."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import own_sweep
import pandas as pd
import pytest

from fastlazy.sweeps.cells import grid
from fastlazy.sweeps.driver import load_sweep, run_sweep
from fastlazy.sweeps.measure import RESULTS
from fastlazy.sweeps.merging import merge
from fastlazy.sweeps.own_columns import ColumnError
from fastlazy.sweeps.planning import plan_sweep
from fastlazy.sweeps.store import TIMINGS, Store
from fastlazy.sweeps.stored_targets import load_targets

ROOT = Path(__file__).resolve().parents[2]
CELLS = grid(regime=["RF", "NT"], d=6, N=[2, 4], draw=range(2))


def start(path, *shard):
    """The script in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, str(ROOT / "tests" / "own_sweep.py"), str(path), *map(str, shard)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def rows(path):
    return len(load_sweep(path)) if path.exists() and path.stat().st_size else 0


def kill_at(count, path, *shard):
    """Run the script until it has written so many rows; then kill it and its workers."""
    deadline = time.monotonic() + 500
    with start(path, *shard) as driver:
        while rows(path) < count and driver.poll() is None:
            assert time.monotonic() < deadline, "the sweep hangs"
            time.sleep(0.02)
        assert driver.poll() is None, driver.communicate()[1]
        os.killpg(driver.pid, signal.SIGKILL)
    assert rows(path) >= count
    for left in Path("/dev/shm").glob(f"sem.loky-{driver.pid}-*"):
        left.unlink()


def finish(path, *shard):
    with start(path, *shard) as driver:
        assert driver.wait(500) == 0, driver.communicate()[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The store of the script's sweep in threads of this process, which imports it."""
    path = tmp_path_factory.mktemp("own") / "whole.sqlite"
    with ThreadPoolExecutor(2) as pool:
        run_sweep(own_sweep.CELLS, path, measure="own_sweep:alignment", executor=pool, progress=False)
    return path


def assert_same(table, other):
    timings = list(TIMINGS)
    pd.testing.assert_frame_equal(table.drop(columns=timings), other.drop(columns=timings), check_exact=True)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_a_sweep_of_ones_own_is_the_same_whether_it_was_killed_or_not(whole, tmp_path):
    """The script in processes, killed twice, against threads."""
    path, table = tmp_path / "b.sqlite", load_sweep(whole)
    for count in (3, 20):
        kill_at(count, path)
    finish(path)
    assert (table["status"] == "done").all(), table["error"].dropna().tolist()
    assert_same(load_sweep(path), table)
    assert table["c"].notna().sum() == 8
    assert (table["mean_share"] > 0).all()
    drawn = table[table["regime"] != "NN"]
    assert (drawn.groupby(["N", "draw"])["noise"].nunique() == 1).all()  # the same stream for RF, NT and every sigma


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_shards_of_a_sweep_of_ones_own_are_the_whole_once_merged(whole, tmp_path):
    """Each shard killed and resumed; then all merged, or loaded together."""
    parts = [tmp_path / f"{k}.sqlite" for k in (1, 2, 3)]
    for k, path in enumerate(parts, 1):
        kill_at(2, path, k)
        finish(path, k)
        assert rows(path) < len(own_sweep.CELLS)
    out, table = tmp_path / "out.sqlite", load_sweep(whole)
    assert merge(out, parts) == len(own_sweep.CELLS) == len(table)
    assert_same(load_sweep(out), table)
    assert_same(load_sweep(parts), table)
    targets = load_targets(out)
    assert list(targets) == list(load_targets(whole)) == table["target"].unique().tolist()
    np.testing.assert_array_equal(*(next(iter(found.values())).B for found in (targets, load_targets(whole))))
    for name in ("objects", "measures", "own_columns"):
        found = [run_sql(path, f"SELECT * FROM {name} ORDER BY 1") for path in (out, whole)]
        assert found[0] == found[1] != []
    left = plan_sweep(own_sweep.CELLS, out, measure="own_sweep:alignment").left
    assert left == 0


def run_sql(path, statement):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(statement).fetchall()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture
def sweep(tmp_path, pool):
    """A sweep in threads, into a store of the test's own."""

    def run(cells=CELLS, **options):
        return run_sweep(cells, tmp_path / "own.sqlite", executor=pool, progress=False, **options)

    return run


def size(cell):
    return {"size": np.abs(cell.W).max(), **({"tangent": 1.0} if cell.parameters["regime"] == "NT" else {})}


def larger(cell):
    return {"size": 2 * np.abs(cell.W).max()}


def test_numbers_that_some_cells_do_not_have(sweep):
    table = sweep(measure=size)
    assert list(table.columns[-2:]) == ["size", "tangent"]
    assert table["tangent"].dtype == table["size"].dtype == np.float64
    assert table["tangent"].isna().tolist() == (table["regime"] == "RF").tolist()
    assert table["measure"].str.fullmatch(r"size #[0-9a-f]{12}").all()
    more = sweep([*CELLS, {**CELLS[0], "N": 5}])
    assert more["size"].isna().tolist() == [False] * 8 + [True]


def test_columns_do_not_depend_on_who_is_first(tmp_path, pool):
    tables = []
    for k, cells in enumerate((CELLS, CELLS[::-1])):
        run_sweep(cells[:2], tmp_path / f"{k}.sqlite", executor=pool, measure=size, progress=False)
        run_sweep(cells, tmp_path / f"{k}.sqlite", executor=pool, measure=size, progress=False)
        tables.append(load_sweep(tmp_path / f"{k}.sqlite").drop(columns=list(TIMINGS)))
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_a_quantity_that_is_added_later_is_measured_of_all_cells(sweep, tmp_path):
    before = sweep()
    assert plan_sweep(CELLS, tmp_path / "own.sqlite").left == 0
    assert plan_sweep(CELLS, tmp_path / "own.sqlite", measure=size).left == 8
    table = sweep(measure=size)
    assert table["size"].notna().all()
    kept = [name for name in before if name not in (*TIMINGS, "measure")]
    pd.testing.assert_frame_equal(table[kept], before[kept], check_exact=True)
    assert plan_sweep(CELLS, tmp_path / "own.sqlite", measure=size).left == 0


def test_a_quantity_that_has_changed(sweep, tmp_path, monkeypatch):
    first = sweep(CELLS[2:6], measure=size)
    message = "measure 'larger' is not what it was when 4 cells of the store were measured: .* on_change='measure'"
    with pytest.raises(ValueError, match=message):
        sweep(measure=larger)
    with pytest.raises(ValueError, match=message):
        plan_sweep(CELLS, tmp_path / "own.sqlite", measure=larger)
    assert plan_sweep(CELLS, tmp_path / "own.sqlite", measure=larger, on_change="keep").left == 4
    assert plan_sweep(CELLS, tmp_path / "own.sqlite", measure=larger, on_change="measure").left == 8
    kept = sweep(measure=larger, on_change="keep")
    assert kept["size"][2:6].tolist() == first["size"].tolist()
    assert kept["measure"].nunique() == 2
    anew = sweep(measure=larger, on_change="measure")
    np.testing.assert_array_equal(anew["size"][2:6], 2 * first["size"])
    assert anew["measure"].nunique() == 1
    assert anew["tangent"].isna().all()  # what is not returned any more is not kept
    with closing(sqlite3.connect(tmp_path / "own.sqlite")) as db:
        found = dict(db.execute("SELECT label, source FROM measures"))
    assert [source.split("(")[0] for _, source in sorted(found.items())] == ["def larger", "def size"]
    assert set(found) == {first["measure"][0], anew["measure"][0]}


def failing(cell):
    if cell.parameters["N"] == 4:
        raise ZeroDivisionError("by mine")
    return {"size": 1.0}


def test_cells_of_which_the_quantity_fails(sweep):
    table = sweep(measure=failing)
    failed = table[table["status"] == "failed"]
    assert set(failed["N"]) == {4}
    assert failed["error"].str.startswith("ZeroDivisionError: by mine (test_driver_own.py, line").all()
    assert failed["ratio"].notna().all()
    assert failed["size"].isna().all()
    assert sweep(measure=failing)["attempts"].tolist() == table["attempts"].tolist()
    mended = sweep(measure=size, rerun_failed=True, on_change="keep")
    assert (mended["status"] == "done").all()
    with pytest.raises(RuntimeError, match="failed: ZeroDivisionError: by mine"):
        sweep([{**CELLS[0], "N": 4, "seed": 1}], measure=failing, on_error="raise", on_change="keep")


def taken(name):
    def mine(cell):
        return {name: 1.0}

    return mine


NAMES = {
    "risk": "but the table has a column 'risk'", "Ratio": "but the table has a column 'ratio'",
    "n": "but the table has a column 'N'", "overlap": "but the table has a column 'overlap'",
    "seconds": "but the table has a column 'seconds'", "rowid": "but the table has a column 'rowid'",
    "checksum": "but the table has a column", "exponent": "but the table has a column", "a b": "which is no name",
    "": "which is no name", "1st": "which is no name", "group": "no word of SQL", "x" * 61: "which is no name",
    "naïve": "which is no name", "x;y": "which is no name", "current_date": "no word of SQL", "a\n": "which is no name",
}  # fmt: skip


@pytest.mark.parametrize(("name", "message"), NAMES.items())
def test_a_name_that_is_none_for_a_column_ends_the_sweep(sweep, name, message):
    with pytest.raises(ColumnError, match=message):
        sweep(CELLS[:1], measure=taken(name))
    table = sweep(CELLS[:1], measure=taken("good"))  # what was found besides was kept, and the cell is tried again
    assert table["status"].tolist() == ["done"]
    assert table["good"].tolist() == [1.0]


def capitals(cell):
    return {"size": 1.0, "Size": 2.0}


def test_two_names_that_differ_in_capitals_alone(sweep):
    with pytest.raises(ColumnError, match="number 'Size', but the table has a column 'size'; return another name"):
        sweep(measure=capitals)


def test_a_store_whose_column_this_version_has_for_itself(sweep, tmp_path):
    sweep(CELLS[:1], measure=taken("good"))
    with pytest.raises(ValueError, match="the store has a column 'good' of a measure, a name that this version"):
        Store(tmp_path / "own.sqlite", {**RESULTS, "good": float})


def test_bad_arguments_are_told_before_anything_is_there(sweep, tmp_path):
    for options, error in (({"measure": 3}, TypeError), ({"measure": "a"}, ValueError), ({"on_change": 3}, TypeError)):
        with pytest.raises(error, match=next(iter(options))):
            sweep(**options)
    assert not (tmp_path / "own.sqlite").exists()


def test_workers_get_functions_of_any_kind(tmp_path):
    """By name, as those of modules, and by value."""
    cells, share = CELLS[:2], 0.5

    def local(cell):
        return {"share": share}

    for k, (measure, name) in enumerate(((size, "size"), (local, "share"))):
        table = run_sweep(cells, tmp_path / f"{k}.sqlite", n_workers=1, measure=measure, progress=False)
        assert table[name].notna().all(), table["error"].tolist()
