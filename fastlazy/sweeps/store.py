"""The store of a sweep: one SQLite file with one row for each finished cell, of which its driver is the only writer.

A row holds the cell's parameters, its results, and how it went, each in a column of its own, so that any tool
that reads SQLite can query it::

    sqlite3 sweep.sqlite "SELECT regime, N, avg(ratio) FROM cells WHERE status = 'done' GROUP BY 1, 2"

A row is one transaction: after any interruption the file holds all cells that were finished, and no half of one.
Reading is possible at all times, from any process. A row has a checksum, which tells one that was changed by a
damaged disk, or by hand.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import sys
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fastlazy._support.files import check_path
from fastlazy._support.sqlite import WriterLock, connect, explained, is_sound
from fastlazy.sweeps.cells import KEYS
from fastlazy.sweeps.object_table import keep_objects, name_objects
from fastlazy.sweeps.objects import Own
from fastlazy.sweeps.own_columns import add_own_columns, note_measure, own_columns, prepare_own_columns
from fastlazy.sweeps.quantity import Quantity

SCHEMA = 1  # what PRAGMA user_version says: raised when a column changes its meaning, not when one is added
_APPLICATION = 0x666C7A79  # "flzy"; PRAGMA application_id tells our files from others
_PART = 10_000  # rows read at a time
_TYPES = {int: "INTEGER", float: "REAL", str: "TEXT", object: "TEXT"}
_NEVER_NULL = {"regime", "d", "N", "activation", "target", "draw", "seed", "stream"}
_EDITED = "edited"  # in the place of a checksum: someone changed the row, and means it

# What a cell's measurement says of itself, besides its results: the only columns that differ from run to run.
# The traceback of a failed cell names files of the machine it was on.
TIMINGS = ("traceback", "attempts", "seconds", "peak_mb", "worker", "finished", "versions")

_ORDER = "regime, d, N, draw, id"


class Store:
    """A store that is open for writing, by this process alone. A context manager.

    Parameters
    ----------
    path : path
        Made if it is not there. Its folder must exist.
    results : mapping of str to type
        Columns of results, beside those of the parameters.

    Warns
    -----
    RuntimeWarning
        If rows are not as they were written. They are moved to a table of their own, `damaged`, so that their cells
        count as not measured.

    Raises
    ------
    TypeError
        If *path* is no path.
    ValueError
        If the file is not a store, is damaged, or was written by a later version.
    OSError
        If it cannot be written, or another sweep is writing to it.
    """

    def __init__(self, path: str | os.PathLike[str], results: Mapping[str, type]) -> None:
        self.path = check_path("store", path)
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"the folder of the store {str(self.path)!r} does not exist; make it first")
        self._lock = WriterLock(self.path, lambda: _driver(self.path))
        try:
            self._db = connect(self.path, "rwc")
            with explained(self.path):
                self._columns, moved = self._prepare(results)
                self._own = own_columns(self._db)
        except BaseException:
            self.close()
            raise
        if moved:
            warnings.warn(
                f"{moved} rows of the store {str(self.path)!r} were not as they had been written: a disk may be "
                "failing, or they were edited. They are in its table 'damaged' now, and count as not measured",
                RuntimeWarning,
                stacklevel=3,
            )

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if hasattr(self, "_db"):
            self._db.close()
        self._lock.release()

    @property
    def checkpoints(self) -> Path:
        """The folder beside the store for the states of long cells, which may not exist."""
        return self.path.with_name(f"{self.path.name}.checkpoints")

    def statuses(self) -> dict[str, str]:
        """The status of every cell that has a row: "done", "diverged", "failed" or "crashed"."""
        with explained(self.path):
            rows = self._db.execute("SELECT id, status FROM cells")
            return {key: sys.intern(status) for key, status in rows}

    def keep(self, objects: Iterable[Own], quantity: Quantity | None = None) -> None:
        """Write what cells refer to, and where numbers of the user's come from; errors as `keep_objects`."""
        with explained(self.path):
            keep_objects(self._db, objects)
            if quantity is not None:
                note_measure(self._db, quantity)

    def others(self, quantity: Quantity) -> list[tuple[str, str | None]]:
        """Id and label of every cell that is done, but was not measured with this *quantity* of the user's."""
        with explained(self.path):
            statement = "SELECT id, measure FROM cells WHERE status = 'done' AND substr(measure, ?) IS NOT ?"
            digits = quantity.label.rpartition("#")[2]
            return list(self._db.execute(statement, (-len(digits), digits)))

    def add_columns(self, names: Iterable[str]) -> None:
        """Make columns for numbers of the user's of these *names*, where there are none.

        Raises
        ------
        ColumnError
            If one can be none.
        """
        if new := [name for name in names if name not in self._own]:
            with explained(self.path):
                self._own += add_own_columns(self._db, new, self._own, self._columns)

    def record(self, row: Mapping[str, Any]) -> None:
        """Write what became of one cell, in place of what was there of it; it is on disk when this returns.

        Its numbers of the user's, the mapping "own", must have columns.
        """
        with explained(self.path):
            own = row.get("own") or {}
            values = {name: self._plain(row.get(name), kind) for name, kind in self._columns.items()}
            values |= {name: self._plain(own.get(name), "REAL") for name in self._own}
            values["checksum"] = _checksum(values.items())
            marks = ", ".join("?" * len(values))
            self._db.execute(f"INSERT OR REPLACE INTO cells ({', '.join(values)}) VALUES ({marks})", [*values.values()])

    def table(self, ids: Iterable[str]) -> pd.DataFrame:
        """The rows of the cells *ids*, in that order, as `load` returns them."""
        rows = _read(self._db, self.path)
        return rows.iloc[pd.Index(rows["id"]).get_indexer(list(ids))].reset_index(drop=True)

    def _plain(self, value: Any, kind: str) -> Any:
        """*value* as SQLite gives it back from a column of this *kind*, so that its checksum holds."""
        if value is None or value != value:
            return None
        if isinstance(value, Own):
            return value.reference
        if kind.startswith("REAL"):
            return float(value) + 0.0  # -0.0 is 0.0
        if kind.startswith("INTEGER"):
            return int(value)
        if isinstance(value, float):
            return self._db.execute("SELECT CAST(? AS TEXT)", (value,)).fetchone()[0]
        return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else json.dumps(value)

    def _prepare(self, results: Mapping[str, type]) -> tuple[dict[str, str], int]:
        """Columns and their kinds, and how many damaged rows were moved; the file is ours when this returns.

        The table is made, or given the columns it lacks. The statement that makes it also tells a store that cannot
        be written from one that can.
        """
        db = self._db
        check_file(db, self.path)
        db.execute("PRAGMA synchronous = FULL")  # a row survives a power cut, too
        wanted = _schema(results)
        db.execute("BEGIN IMMEDIATE")
        sound = is_sound(db)
        if not sound:
            db.execute("REINDEX")  # mends what does not concern the rows themselves
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {SCHEMA}")
        definitions = ", ".join(f"{name} {kind}" for name, kind in wanted.items())
        db.execute(f"CREATE TABLE IF NOT EXISTS cells ({definitions})")
        present = {row[1] for row in db.execute("PRAGMA table_info(cells)")}
        for name in wanted:
            if name not in present:
                db.execute(f"ALTER TABLE cells ADD COLUMN {name} {wanted[name].removesuffix(' NOT NULL')}")
        if "checksum" not in present:  # made by an earlier version, for which training that diverged was done
            if {"status", "fit_status"} <= present:
                db.execute("UPDATE cells SET status = 'diverged' WHERE status = 'done' AND fit_status = 'diverged'")
            sums = [(found, rowid) for rowid, _, found in _checksums(db)]
            db.executemany("UPDATE cells SET checksum = ? WHERE rowid = ?", sums)
        moved = _move_damaged(db)
        if (moved or not sound) and not is_sound(db):
            raise sqlite3.DatabaseError("database disk image is malformed")
        db.execute("CREATE TABLE IF NOT EXISTS columns (name TEXT PRIMARY KEY)")
        db.executemany("INSERT OR IGNORE INTO columns VALUES (?)", [(name,) for name in wanted])
        prepare_own_columns(db, wanted)
        db.execute("CREATE TABLE IF NOT EXISTS driver (process TEXT, since TEXT)")
        db.execute("DELETE FROM driver")
        db.execute("INSERT INTO driver VALUES (?, ?)", (f"process {os.getpid()} on {socket.gethostname()}", now()))
        db.execute("COMMIT")
        del wanted["checksum"]
        return wanted, moved


def load(path: str | os.PathLike[str]) -> pd.DataFrame:
    """One row for each cell that has ended, ordered by regime, d, N and draw.

    Raises
    ------
    TypeError
        If *path* is no path.
    OSError
        If there is no such file, or it is a folder.
    ValueError
        If it is not a store, is damaged, holds rows that are not as they were written, or was written by a later
        version.
    """
    place = check_path("store", path)
    if place.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder, not the store of a sweep; pass the .sqlite file in it")
    if not place.is_file():
        raise FileNotFoundError(f"there is no store {str(path)!r}; a sweep makes one")
    with closing(connect(place, "rw")) as db:
        with explained(place):
            check_file(db, place)
            db.execute("BEGIN")  # what follows sees one state of the file, to which a sweep may add rows and columns
            if not is_sound(db):
                raise sqlite3.DatabaseError("database disk image is malformed")
            columns = {row[1] for row in db.execute("PRAGMA table_info(cells)")}
            damaged = _damaged(db) if "checksum" in columns else []  # earlier versions wrote none
        if damaged:
            raise ValueError(
                f"{len(damaged)} rows of the store {str(place)!r} are not as they were written (rowid "
                f"{', '.join(map(str, damaged[:5]))}): a disk may be failing, or they were edited. Run the same sweep "
                "again, which measures them anew; or, to keep what you changed yourself, in SQL: UPDATE cells SET "
                "checksum = 'edited' WHERE rowid = ..."
            )
        return _read(db, place)


def _schema(results: Mapping[str, type]) -> dict[str, str]:
    """Name and declaration of every column."""
    keys = {name: _TYPES[key.kind] for name, key in KEYS.items()} | {"stream": "INTEGER"}
    keys = {name: kind + " NOT NULL" * (name in _NEVER_NULL) for name, kind in keys.items()}
    return {
        "id": "TEXT PRIMARY KEY",
        "checksum": "TEXT",
        "status": "TEXT NOT NULL",
        **keys,
        **{name: _TYPES[kind] for name, kind in results.items()},
        "measure": "TEXT",
        "error": "TEXT",
        "traceback": "TEXT",
        "attempts": "INTEGER NOT NULL",
        "seconds": "REAL",
        "peak_mb": "REAL",
        "worker": "TEXT",
        "finished": "TEXT",
        "versions": "TEXT",
    }


def _checksum(values: Iterable[tuple[str, Any]]) -> str:
    """The CRC-32 of what a row holds, less columns that are empty, so that later versions may add some."""
    held = {name: value for name, value in sorted(values) if value is not None}
    return f"{zlib.crc32(ascii(held).encode()):08x}"


def _checksums(db: sqlite3.Connection) -> Iterator[tuple[int, str | None, str]]:
    """Of each row its number in the file, the checksum that was written, and what it must be."""
    names = sorted({row[1] for row in db.execute("PRAGMA table_info(cells)")} - {"checksum"})
    for rowid, written, *values in db.execute(f"SELECT rowid, checksum, {', '.join(names)} FROM cells"):
        yield rowid, written, _checksum(zip(names, values, strict=True))


def _damaged(db: sqlite3.Connection) -> list[int]:
    """The numbers of the rows that are not as they were written."""
    return [rowid for rowid, written, found in _checksums(db) if written not in (found, _EDITED)]


def _move_damaged(db: sqlite3.Connection) -> int:
    """Move the rows that are not as they were written to the table `damaged`; their number."""
    damaged = _damaged(db)
    if damaged:
        db.execute("CREATE TABLE IF NOT EXISTS damaged (found TEXT, row TEXT)")
    for rowid in damaged:
        cursor = db.execute("SELECT * FROM cells WHERE rowid = ?", (rowid,))
        for row in cursor:
            held = dict(zip([entry[0] for entry in cursor.description], row, strict=True))
            db.execute("INSERT INTO damaged VALUES (?, ?)", (now(), ascii(held)))
        db.execute("DELETE FROM cells WHERE rowid = ?", (rowid,))
    return len(damaged)


def _driver(path: Path) -> str:
    """Who was the last to open the store for writing."""
    try:
        with closing(connect(path, "ro")) as db:
            return "{}, since {}".format(*db.execute("SELECT process, since FROM driver").fetchone())
    except (OSError, ValueError, TypeError, sqlite3.Error):
        return "unknown process"


def check_file(db: sqlite3.Connection, path: Path) -> None:
    """Check that the database is new, or a store of ours that this version understands.

    Raises
    ------
    ValueError
        If it is neither.
    """
    application, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    if application != _APPLICATION and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise ValueError(f"{str(path)!r} is an SQLite file, but not the store of a sweep; choose another name")
    if version > SCHEMA:
        raise ValueError(
            f"the store {str(path)!r} has schema {version}, this version knows up to {SCHEMA}; "
            "upgrade fastlazy, or choose another store"
        )


def _read(db: sqlite3.Connection, path: Path) -> pd.DataFrame:
    with explained(path):
        declared = {row[1]: (row[2], bool(row[3])) for row in db.execute("PRAGMA table_info(cells)")}
        if not declared:
            raise ValueError(f"{str(path)!r} is an empty file, not the store of a sweep; choose another name")
        if strange := [f"{name} {kind}" for name, (kind, _) in declared.items() if kind not in _TYPES.values()]:
            raise sqlite3.DatabaseError(f"malformed database schema, {strange[0]}")
        if missing := {"id", "status", "error", *_recorded_columns(db)} - set(declared):
            raise sqlite3.DatabaseError(f"malformed database schema, no column {min(missing)}")
        own = own_columns(db)
        names = [name for name in declared if name not in ("checksum", *own)] + own
        declared = {name: declared[name] for name in names}
        same: list[dict[Any, Any]] = [{} for _ in declared]
        rows = db.execute(f"SELECT {', '.join(names)} FROM cells ORDER BY {_ORDER}")
        frames = [_frame(rows.fetchmany(_PART), declared, same)]
        while part := rows.fetchmany(_PART):
            frames.append(_frame(part, declared, same))
    table = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    if "fit_status" in table:  # earlier versions wrote that training which diverged was done
        table.loc[(table["status"] == "done") & (table["fit_status"] == "diverged"), "status"] = "diverged"
    with explained(path):
        return name_objects(db, table)


def _recorded_columns(db: sqlite3.Connection) -> list[str]:
    """The columns that `cells` was given: no checksum of a row knows the name of one that is empty."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'columns'").fetchone():  # earlier versions wrote none
        return []
    return [str(name) for (name,) in db.execute("SELECT name FROM columns")]


def _frame(
    rows: list[tuple[Any, ...]], declared: Mapping[str, tuple[str, bool]], same: list[dict[Any, Any]]
) -> pd.DataFrame:
    """A table of *rows* whose equal texts are one object, which *same* keeps for the next."""
    columns = zip(*rows, strict=True) if rows else [()] * len(declared)
    return pd.DataFrame(
        {
            name: _column(
                name, kind, never_null, [*map(known.setdefault, values, values)] if kind == "TEXT" else values
            )
            for (name, (kind, never_null)), known, values in zip(declared.items(), same, columns, strict=True)
        }
    )


def _column(name: str, kind: str, never_null: bool, values: Sequence[Any]) -> Any:
    try:
        if kind == "REAL":
            return np.array(values, np.float64)  # None is NaN
        if kind == "INTEGER":
            return np.array(values, np.int64) if never_null else pd.array(values, dtype="Int64")
    except (TypeError, ValueError) as error:
        raise sqlite3.DataError(f"column {name}: {error}") from None
    return pd.Series(values, dtype=object)


def now() -> str:
    """The time in UTC, for a column."""
    return datetime.now(UTC).isoformat(timespec="seconds")
