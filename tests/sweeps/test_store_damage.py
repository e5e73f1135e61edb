"""Stores that a disk damaged, a person edited or an earlier version wrote: nothing is changed without a word."""

import random
import sqlite3
import warnings
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
from stored import CELLS, path, row  # noqa: F401  (a fixture)

from fastlazy.sweeps.measure import RESULTS
from fastlazy.sweeps.store import Store
from fastlazy.sweeps.tables import load

FLIPS = 120


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a store of 24 rows, and its table."""
    place = tmp_path_factory.mktemp("content") / "a.sqlite"
    with Store(place, RESULTS) as db:
        for k in range(24):
            db.record(row({**CELLS[k % 3], "draw": k}, traceback="line\n" * (k % 5), fit_status="finished"))
    return place.read_bytes(), load(place)


def is_part(table, whole):
    """Whether all rows of *table* are rows of *whole*, in its order, in each column that has a value."""
    held = whole.dropna(axis=1, how="all")
    expected = held[held["id"].isin(table["id"])].reset_index(drop=True)
    return len(expected) == len(table) and table[list(held)].equals(expected)


def heal(place):
    """The table of the store as a driver finds it, and whether it warned."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Store(place, RESULTS) as db:
            assert len(dict(db.statuses())) == len(load(place))
    return load(place), any("were not as they had been written" in str(warning.message) for warning in caught)


def test_a_flipped_bit_never_changes_a_value(content, tmp_path):
    data, whole = content
    rng, place, seen = random.Random(14), tmp_path / "b.sqlite", {"same": 0, "told": 0, "healed": 0, "refused": 0}
    for _ in range(FLIPS):
        bit = rng.randrange(8 * len(data))
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        place.write_bytes(flipped)
        try:
            table = load(place)
            assert len(table) == 24, bit
            assert is_part(table, whole), bit
            seen["same"] += 1
        except ValueError:
            seen["told"] += 1
        try:
            table, warned = heal(place)
            assert is_part(table, whole), bit
            assert warned or len(table) == 24, bit
            seen["healed"] += warned
        except (ValueError, OSError):  # the latter where the header says that the file is read-only
            seen["refused"] += 1
    print(seen)
    assert min(seen.values()) > 0  # each kind was met


def test_a_store_that_was_cut_is_told(content, tmp_path):
    data, _ = content
    place = tmp_path / "b.sqlite"
    for size in [*range(0, 200, 9), *range(200, len(data), 499)]:
        place.write_bytes(data[:size])
        # What is cut within its last page reads as zeros there, which only the rows can tell.
        message = r"b\.sqlite' (is damaged or not a store|is an empty file|are not as they were written)"
        with pytest.raises(ValueError, match=message):
            load(place)


def edit(place, statement):
    with closing(sqlite3.connect(place)) as db:
        db.execute(statement)
        db.commit()


def test_a_row_that_was_edited_is_told_moved_and_free_to_be_measured_again(path):
    edit(path, "UPDATE cells SET ratio = 0.5 WHERE regime = 'RF'")
    with pytest.raises(ValueError, match=r"1 rows of the store '.*' are not as they were written \(rowid 1\): "):
        load(path)
    with pytest.warns(RuntimeWarning, match=r"1 rows of the store .*They are in its table 'damaged' now"):
        db = Store(path, RESULTS)
    with db:
        assert len(dict(db.statuses())) == 2
        db.record(row(CELLS[0]))
    assert list(load(path)["ratio"]) == [1 / 6] * 3
    with closing(sqlite3.connect(path)) as db:
        (kept,) = db.execute("SELECT row FROM damaged").fetchone()
    assert "'ratio': 0.5" in kept
    with Store(path, RESULTS):  # without a warning
        pass


def test_a_column_that_lost_its_name_is_told_though_it_is_empty(path):
    assert load(path)["traceback"].isna().all()
    edit(path, "ALTER TABLE cells RENAME COLUMN traceback TO tracebacj")
    with pytest.raises(ValueError, match=r"damaged or not a store .*no column traceback"):
        load(path)
    with Store(path, RESULTS):
        pass
    assert len(load(path)) == 3


def test_an_edit_that_is_meant_is_kept(path):
    edit(path, "UPDATE cells SET ratio = 0.5, checksum = 'edited' WHERE regime = 'RF'")
    assert sorted(load(path)["ratio"]) == [1 / 6, 1 / 6, 0.5]
    with Store(path, RESULTS) as db:
        assert len(dict(db.statuses())) == 3


def test_a_store_without_checksums_is_read_and_given_them(path):
    with Store(path, RESULTS) as db:
        db.record(row(CELLS[1], fit_status="diverged"))
    edit(path, "ALTER TABLE cells DROP COLUMN checksum")
    edit(path, "DROP TABLE columns")
    table = load(path)
    assert sorted(table["status"]) == ["diverged", "done", "done"]  # training that diverged was done
    with Store(path, RESULTS) as db:
        assert sorted(dict(db.statuses()).values()) == ["diverged", "done", "done"]
    pd.testing.assert_frame_equal(load(path), table)
    edit(path, "UPDATE cells SET seconds = 0.25 WHERE regime = 'RF'")
    with pytest.raises(ValueError, match="not as they were written"):
        load(path)


VALUES = {
    "risk": [0.0, -0.0, 3, 1e-300, 1 / 3, float("inf"), np.float64(0.1), float("nan"), None],
    "fit_status": ["", "é\u2028\U0001f600'\"", "bad \udcff bytes", "a\0b", None, "1.50"],
    "step_size": ["auto", 0.1, 1e-5, 1 / 3, 5.0, None],
    "peak_mb": [7, 0.1, None],
    "attempts": [np.int64(3), 2**62],
}


@pytest.mark.parametrize("name", VALUES)
def test_every_value_is_as_written(name, tmp_path):
    with Store(tmp_path / "a.sqlite", RESULTS) as db:
        for k, value in enumerate(VALUES[name]):
            db.record({**row({**CELLS[1], "draw": k}), name: value})
    found = load(tmp_path / "a.sqlite")[name]
    assert len(found) == len(VALUES[name])
    for value, read in zip(VALUES[name], found, strict=True):
        if value is None or value != value:
            assert pd.isna(read)
        elif name == "step_size":
            assert read == "auto" or float(read) == pytest.approx(value, rel=1e-14)
        else:
            assert read == (value.replace("\udcff", "\\udcff") if isinstance(value, str) else value)


@pytest.mark.parametrize("column", ["id", "status", "error"])
def test_a_column_that_lost_its_name_is_told(column, content, tmp_path):
    place = tmp_path / "c.sqlite"
    place.write_bytes(content[0])
    with closing(sqlite3.connect(place)) as db:
        db.execute(f"ALTER TABLE cells RENAME COLUMN {column} TO other")
        db.execute("UPDATE cells SET checksum = 'edited'")
        db.commit()
    with pytest.raises(ValueError, match=f"no column {column}|damaged|not as they were written"):
        load(place)
