"""The store: what it holds, who may write, and what it says when it cannot be used."""

import ctypes
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stored import CELLS, path, row  # noqa: F401

from fastlazy.sweeps.cells import canonical_cell, cell_stream, grid
from fastlazy.sweeps.export import export
from fastlazy.sweeps.measure import RESULTS
from fastlazy.sweeps.store import TIMINGS, Store
from fastlazy.sweeps.tables import SCHEMA, load

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_recorded_is_loaded(path):
    table = load(path)
    assert list(table["regime"]) == ["NN", "NN", "RF"]  # ordered by regime, d, N, draw
    assert list(table["N"]) == [2, 3, 3]
    assert list(table["ratio"]) == [1 / 6] * 3
    assert list(table["step_size"]) == ["auto", "0.25", None]
    assert list(table["target"]) == ["exponential", "exponential", "[3.0, 1.0]"]
    assert list(table["n_samples"].fillna(0)) == [10, 10, 0]
    assert np.isnan(table["ridge"][:2]).all()
    assert (table["N"].dtype, table["stream"].dtype, table["n_samples"].dtype) == (np.int64, np.int64, "Int64")
    assert set(TIMINGS) < set(table.columns)
    for cell in CELLS:
        assert cell_stream(canonical_cell(cell)) in set(table["stream"])


def test_a_person_can_query_it(path):
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT regime, N, ratio FROM cells WHERE status = 'done' AND d = 4 AND draw = 1").fetchall()
        assert db.execute("SELECT count(*) FROM cells WHERE n_samples IS NULL").fetchone() == (1,)
    assert found == [("NN", 2, 1 / 6)]


def test_it_is_one_file(path):
    assert os.listdir(path.parent) == ["sweep.sqlite"]


def test_a_cell_is_recorded_anew(path):
    with Store(path, RESULTS) as db:
        assert set(dict(db.statuses()).values()) == {"done"}
        db.record(row(CELLS[1], "failed", error="why"))
        assert sorted(dict(db.statuses()).values()) == ["done", "done", "failed"]
        ids = [row(cell)["id"] for cell in (CELLS[1], CELLS[0])]
        table = db.table(ids)
    assert list(table["id"]) == ids
    assert list(table["error"]) == ["why", None]
    assert len(load(path)) == 3


def test_rows_that_come_together_are_written_together(path):
    """The first at once, those after it with the next flush, and none twice or never."""
    with Store(path, RESULTS) as db:
        assert db.due() is None
        rows = [row({**CELLS[0], "draw": k}) for k in range(1, 6)]
        db.record(rows[0])
        assert len(load(path)) == 4
        db._written = time.monotonic() + 1000
        for one in rows[1:4]:
            db.record(one)
        assert len(load(path)) == 4
        assert db.due() > 900
        db.flush()
        assert len(load(path)) == 7
        assert db.due() is None
        db.record(rows[4])
    assert len(load(path)) == 8


def test_an_interrupt_in_the_midst_of_a_flush_loses_nothing(path):
    class Interrupted:
        """A connection whose next transaction is cut before it is through."""

        def __init__(self, db):
            self.db, self.cut = db, True

        def __getattr__(self, name):
            return getattr(self.db, name)

        def executemany(self, *arguments):
            self.db.executemany(*arguments)
            if self.cut:
                self.cut = False
                raise KeyboardInterrupt

    db = Store(path, RESULTS)
    db._db = Interrupted(db._db)
    with pytest.raises(KeyboardInterrupt), db:
        db.record(row({**CELLS[0], "draw": 1}))
    assert not db._db.cut
    assert len(load(path)) == 4


def test_an_empty_store_has_all_columns(tmp_path):
    with Store(tmp_path / "a.sqlite", RESULTS):
        pass
    table = load(tmp_path / "a.sqlite")
    assert len(table) == 0
    assert {"id", "ratio", "n_samples", *TIMINGS} <= set(table.columns)


def test_a_store_of_an_earlier_version_is_given_the_new_columns(path):
    with closing(sqlite3.connect(path)) as db:
        for column in ("activation", "exponent", "predicted", "checksum", "traceback"):
            db.execute(f"ALTER TABLE cells DROP COLUMN {column}")
        db.execute("DROP TABLE columns")
    assert "predicted" not in load(path)
    with Store(path, RESULTS) as db:
        db.record(row({**CELLS[0], "draw": 5}, predicted=0.5))
    table = load(path)
    assert list(table["predicted"].fillna(0)) == [0, 0, 0, 0.5]
    assert list(table["activation"]) == [None, None, None, "square"]


def test_one_sweep_writes_and_all_may_read(path):
    with Store(path, RESULTS) as db:
        message = (
            rf"another sweep is writing to the store '.*' \(process {os.getpid()} on .*wait for its end, or choose"
        )
        with pytest.raises(OSError, match=message):
            Store(path, RESULTS)
        program = "from fastlazy.sweeps import store, tables; "
        program += f"print(len(tables.load({str(path)!r}))); store.Store({str(path)!r}, {{}})"
        child = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
        assert child.stdout == "3\n"
        assert child.stderr.splitlines()[-1].startswith("OSError: another sweep is writing to the store")
        db.record(row({**CELLS[0], "draw": 1}))
        assert len(load(path)) == 4
    with Store(path, RESULTS):
        pass


def test_a_lock_that_was_left_behind_is_no_lock(path):
    (path.parent / "sweep.sqlite.lock").touch()
    with Store(path, RESULTS):
        pass
    assert os.listdir(path.parent) == ["sweep.sqlite"]


def spoil(path):
    content = bytearray(path.read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    path.write_bytes(content)


def make_another(path):
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE cells (id)")


def make_newer(path):
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA + 1}")


UNUSABLE = {
    "text": (
        lambda path: path.write_text("not a database " * 100),
        "is damaged or not a store .*file is not a database",
    ),
    "damaged": (spoil, r"is damaged or not a store \(.*malformed.*rescue what is in it with: sqlite3 FILE .recover"),
    "cut": (lambda path: os.truncate(path, 5000), "is damaged or not a store"),
    "another's": (make_another, "is an SQLite file, but not the store of a sweep; choose another name"),
    "newer": (make_newer, rf"has schema {SCHEMA + 1}, this version knows up to {SCHEMA}; upgrade fastlazy"),
}


@pytest.mark.parametrize(("change", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_file_that_is_no_store_is_left_alone(change, message, path):
    change(path)
    before = path.read_bytes()
    for use in (load, lambda path: Store(path, RESULTS)):
        with pytest.raises(ValueError, match=message):
            use(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["sweep.sqlite"]


def test_places_where_there_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no store '.*none.sqlite'; a sweep makes one"):
        load(tmp_path / "none.sqlite")
    with pytest.raises(IsADirectoryError, match=r"is a folder, not the store of a sweep; pass the .sqlite file in it"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"the folder of the store '.*' does not exist; make it first"):
        Store(tmp_path / "none" / "a.sqlite", RESULTS)
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(ValueError, match="is an empty file, not the store of a sweep"):
        load(tmp_path / "empty.sqlite")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"cannot be used .*unable to open"):
        Store(tmp_path / "folder", RESULTS)


SWEEP = """
import sys, resource
from concurrent.futures import ThreadPoolExecutor
from fastlazy import grid, run_sweep
if {limit}:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
cells = grid(regime="RF", d=3, N=2, draw=range(1000))
run_sweep(cells, sys.argv[1], executor=ThreadPoolExecutor(1), progress=False)
"""


def run_child(path, limit=0, before=None):
    command = [sys.executable, "-c", SWEEP.format(limit=limit), str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=before)


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_a_full_disk_keeps_what_was_finished(tmp_path):
    path = tmp_path / "sweep.sqlite"
    child = run_child(path, limit=60_000)
    assert child.returncode == 1
    message = child.stderr.splitlines()[-1]
    assert message.startswith(f"OSError: the store '{path}' cannot be used (")
    assert "all cells finished so far are kept" in message
    kept = load(path)
    assert 10 < len(kept) < 1000
    assert set(kept["status"]) == {"done"}
    with Store(path, RESULTS) as db:
        assert len(dict(db.statuses())) == len(kept)


def be_bound_by_permissions():
    """Even as root."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE: gone after the next exec


@pytest.mark.skipif(sys.platform == "win32", reason="has other permissions")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_store_that_is_read_only(what, path):
    before = path.read_bytes()
    (path if what == "file" else path.parent).chmod(0o555)
    try:
        child = run_child(path, before=be_bound_by_permissions)
    finally:
        path.chmod(0o644)
        path.parent.chmod(0o755)
    if child.returncode == 0:
        pytest.skip("permissions do not bind this user")
    message = child.stderr.splitlines()[-1]
    assert "OSError: " in message
    assert str(path) in message
    assert {"file": "is read-only: change that, or choose another", "folder": "choose another place"}[what] in message
    assert path.read_bytes() == before


def test_export(path, tmp_path):
    table = load(path)
    export(table, tmp_path / "out.csv")
    found = pd.read_csv(tmp_path / "out.csv", dtype=str)
    assert list(found.columns) == list(table.columns)
    assert list(found["id"]) == list(table["id"])
    assert [float(ratio) for ratio in found["ratio"]] == list(table["ratio"])
    assert sorted(os.listdir(tmp_path)) == ["out.csv", "sweep.sqlite"]
    with pytest.raises(ValueError, match=r"cannot export to '.*out\.xls'; pass a file name that ends in \.csv or"):
        export(table, tmp_path / "out.xls")


def test_export_to_parquet(path, tmp_path):
    pytest.importorskip("pyarrow")
    table = load(path)
    export(table, tmp_path / "out.parquet")
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert list(found.columns) == list(table.columns)
    assert list(found["ratio"]) == list(table["ratio"])
    assert list(found["stream"]) == list(table["stream"])


def test_parquet_without_pyarrow(path, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"needs pyarrow, .*pip install 'fastlazy\[parquet\]', or pass a \.csv"
    ):
        export(load(path), tmp_path / "out.parquet")


@pytest.mark.slow
def test_many_rows(tmp_path):
    """More than are read at a time, in the order asked for."""
    path = tmp_path / "sweep.sqlite"
    cells = grid(regime="RF", d=2, N=range(1, 123), draw=range(100))
    with Store(path, RESULTS) as db:
        rows = [row(cell) for cell in reversed(cells)]
        for found in rows:
            db.record(found)
        assert list(db.table([found["id"] for found in rows])["id"]) == [found["id"] for found in rows]
    table = load(path)
    assert list(zip(table["N"], table["draw"], strict=True)) == [(cell["N"], cell["draw"]) for cell in cells]
