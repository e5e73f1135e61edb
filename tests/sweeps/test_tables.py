"""Tables of stores: parts, columns and rows of them, and damage that no query hides."""

import sqlite3
from contextlib import closing

import pandas as pd
import pytest
from stored import CELLS, path, row  # noqa: F401  (a fixture)

from fastlazy.sweeps import tables
from fastlazy.sweeps.measure import RESULTS
from fastlazy.sweeps.store import Store
from fastlazy.sweeps.tables import load, scan


@pytest.fixture
def many(path, monkeypatch):
    """A store of 43 rows, of which seven are read at a time."""
    monkeypatch.setattr(tables, "_PART", 7)
    with Store(path, RESULTS) as db:
        for k in range(2, 42):
            db.record(
                row({**CELLS[k % 3], "draw": k}, "failed" if k % 5 == 0 else "done", traceback="line\n" * (k % 4))
            )
    return path


@pytest.mark.parametrize("rows", [1, 7, 10, 43, 1000])
def test_parts_are_the_table(rows, many):
    whole = load(many)
    parts = list(scan(many, rows=rows))
    assert [len(part) for part in parts[:-1]] == [rows] * (len(parts) - 1)
    assert all(list(part.dtypes) == list(whole.dtypes) for part in parts)
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)


def test_columns_and_rows_that_are_asked_for(many):
    whole = load(many)
    some = load(many, columns=["ratio", "id"], where="regime = 'NN' AND status <> 'failed'")
    expected = whole[(whole["regime"] == "NN") & (whole["status"] != "failed")][["ratio", "id"]]
    assert 0 < len(expected) < len(whole)
    pd.testing.assert_frame_equal(some, expected.reset_index(drop=True))
    parts = list(scan(many, rows=4, columns=["ratio", "id"], where="regime = 'NN' AND status <> 'failed'"))
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), some)
    assert len(load(many, where="draw > 1000")) == 0
    assert list(scan(many, where="draw > 1000")) == []


@pytest.mark.parametrize("where", [None, "regime = 'RF'", "draw < 5"])
def test_damage_is_told_whatever_is_asked_for(where, many):
    with closing(sqlite3.connect(many)) as db:
        db.execute("UPDATE cells SET draw = 7777 WHERE draw = 30")
        db.commit()
    for use in (load, lambda *given, **options: list(scan(*given, **options))):
        with pytest.raises(ValueError, match=r"1 rows of the store .* are not as they were written"):
            use(many, columns=["N"], where=where)


def test_who_reads_slowly_does_not_hold_up_a_sweep(many):
    parts = scan(many, rows=5)
    first = next(parts)
    with Store(many, RESULTS) as db:
        db._db.execute("PRAGMA busy_timeout = 0")
        db.record(row({**CELLS[0], "draw": 99}))
        db.flush()
    assert len(first) + sum(map(len, parts)) == 43
    assert len(load(many)) == 44


def test_rows_that_are_measured_again_meanwhile_are_read_as_they_are_now(many):
    """A sweep gives rows a number of a measure that the store had no column for when the scan began."""
    before = load(many)
    parts = scan(many, rows=5)
    first = next(parts)
    again = [{**CELLS[k % 3], "draw": k} for k in (9, 20, 41)]  # the last one has the largest number in the file
    with Store(many, RESULTS) as db:
        db.add_columns(["size"])
        for k, cell in enumerate(again):
            db.record(row(cell, ratio=0.75, own={"size": 1.5 + k}))
    rest = pd.concat([first, *parts], ignore_index=True)
    assert list(rest["id"]) == list(before["id"])
    assert list(rest.columns) == list(before.columns)
    assert sorted(rest.loc[rest["ratio"] == 0.75, "draw"]) == [9, 20, 41]
    after = load(many)
    assert list(after.columns) == [*before.columns, "size"]
    assert sorted(after["size"].dropna()) == [1.5, 2.5, 3.5]


def test_a_row_that_no_longer_meets_the_condition_is_left_out(many):
    parts = scan(many, rows=5, where="status = 'failed'")
    first = next(parts)
    with Store(many, RESULTS) as db:
        db.record(row({**CELLS[40 % 3], "draw": 40}))  # failed before
    later = pd.concat([first, *parts])
    assert set(later["status"]) == {"failed"}
    assert len(later) == 7


def test_damage_of_a_new_column_is_told(many):
    parts = scan(many, rows=5)
    next(parts)
    with Store(many, RESULTS) as db:
        db.add_columns(["size"])
        db.record(row({**CELLS[41 % 3], "draw": 41}, own={"size": 1.5}))
    with closing(sqlite3.connect(many)) as db:
        db.execute("UPDATE cells SET size = 2.5 WHERE draw = 41")
        db.commit()
    with pytest.raises(ValueError, match=r"1 rows of the store .* are not as they were written"):
        list(parts)


BAD = {
    "columns": ({"columns": "N"}, TypeError, "columns must be a list of names, got 'N'; pass e.g. columns="),
    "a number": ({"columns": [3]}, TypeError, r"columns must be a list of names, got \[3\]"),
    "unknown": ({"columns": ["N", "M"]}, ValueError, "columns has 'M', which the store does not have; it has id, "),
    "twice": ({"columns": ["N", "N"]}, ValueError, "columns names a column twice: N, N; name each once"),
    "where": ({"where": 3}, TypeError, "where must be a condition in SQL, got 3; pass e.g. where="),
    "no column": ({"where": "M > 3"}, ValueError, r"where = 'M > 3' is no condition .*no such column: M.*; write e.g."),
    "nothing": ({"where": ""}, ValueError, "where = '' is no condition that SQLite understands"),
    "more": ({"where": "1); DROP TABLE cells; --"}, ValueError, "is no condition that SQLite understands"),
}


@pytest.mark.parametrize(("options", "error", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_asked_for(options, error, message, many):
    for use in (load, lambda *given, **options: list(scan(*given, **options))):
        with pytest.raises(error, match=message):
            use(many, **options)
    assert len(load(many)) == 43


def test_a_part_has_rows(many):
    with pytest.raises(ValueError, match="rows must be at least 1, got 0"):
        scan(many, rows=0)
