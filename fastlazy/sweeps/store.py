"""The store of a sweep: one SQLite file with one row for each finished cell, of which its driver is the only writer.

A row holds the cell's parameters, its results, and how it went, each in a column of its own, so that any tool
that reads SQLite can query it::

    sqlite3 sweep.sqlite "SELECT regime, N, avg(ratio) FROM cells WHERE status = 'done' GROUP BY 1, 2"

Rows that end within a fifth of a second are one transaction: after any interruption the file holds all cells that had
been finished before, and no half of one. Reading is possible at all times, from any process. A row has a checksum,
which tells one that was changed by a damaged disk, or by hand. What the driver is at stands in the table `sweep`.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from fastlazy._support.files import check_path
from fastlazy._support.sqlite import WriterLock, connect, explained, is_sound
from fastlazy.sweeps.cells import KEYS
from fastlazy.sweeps.object_table import adopt_objects, keep_objects, object_rows
from fastlazy.sweeps.objects import Own
from fastlazy.sweeps.own_columns import add_own_columns, measure_rows, note_measures, own_columns, prepare_own_columns
from fastlazy.sweeps.quantity import Quantity
from fastlazy.sweeps.tables import APPLICATION, EDITED, KINDS, SCHEMA, check_file, checksum, opened, read_cells

_NEVER_NULL = {"regime", "d", "N", "activation", "target", "draw", "seed", "stream"}
_GROUP = 0.2  # seconds whose rows are written together: a disk takes milliseconds for a transaction of any size

# What a cell's measurement says of itself, besides its results: the only columns that differ from run to run.
# The traceback of a failed cell names files of the machine it was on.
TIMINGS = (
    "traceback", "attempts", "seconds", "peak_mb", "worker", "finished",
    "versions", "revision", "processor", "geometry",
)  # fmt: skip


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
        self._rows: list[list[Any]] = []
        self._facts: dict[str, str] = {}
        self._told: dict[str, Callable[[], Any]] = {}
        self._written = -math.inf  # when rows were last written
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
        """Write what is left to write, and let go of the file."""
        try:
            self.flush()
        finally:
            if hasattr(self, "_db"):
                self._db.close()
            self._lock.release()

    @property
    def checkpoints(self) -> Path:
        """The folder beside the store for the states of long cells, which may not exist."""
        return self.path.with_name(f"{self.path.name}.checkpoints")

    def statuses(self) -> Iterator[tuple[str, str]]:
        """Id and status of every cell that has a row; see `fastlazy.sweeps.measure.STATUSES`."""
        self.flush()
        with explained(self.path):
            yield from self._db.execute("SELECT id, status FROM cells")

    def row(self, key: str) -> dict[str, Any]:
        """What the store has of the cell with this id, by column."""
        self.flush()
        with explained(self.path):
            names = [*self._columns, *self._own]
            (found,) = self._db.execute(f"SELECT {', '.join(names)} FROM cells WHERE id = ?", (key,))
        return dict(zip(names, found, strict=True))

    def keep(self, objects: Iterable[Own], quantity: Quantity | None = None) -> None:
        """Write what cells refer to, and where numbers of the user's come from; errors as `keep_objects`."""
        with explained(self.path):
            keep_objects(self._db, objects)
            if quantity is not None:
                note_measures(self._db, [(quantity.label, quantity.digest, quantity.source)])

    def others(self, quantity: Quantity) -> list[tuple[str, str | None]]:
        """Id and label of every cell that is done, but was not measured with this *quantity* of the user's."""
        with explained(self.path):
            statement = "SELECT id, measure FROM cells WHERE status = 'done' AND substr(measure, ?) IS NOT ?"
            digits = quantity.label.rpartition("#")[2]
            return list(self._db.execute(statement, (-len(digits), digits)))

    def adopt(self, path: Path) -> list[str]:
        """Take the objects of another store, where its numbers come from, and columns for them; the names of these."""
        self.flush()
        with opened(path, thorough=False) as (other, _):
            rows, measures, names = object_rows(other), measure_rows(other), own_columns(other)
        with explained(self.path):
            adopt_objects(self._db, rows)
            note_measures(self._db, measures)
        self.add_columns(names)
        return names

    def add_columns(self, names: Iterable[str]) -> None:
        """Make columns for numbers of the user's of these *names*, where there are none.

        Raises
        ------
        ColumnError
            If one can be none.
        """
        if new := [name for name in names if name not in self._own]:
            self.flush()  # rows that wait have no such columns
            with explained(self.path):
                self._own += add_own_columns(self._db, new, self._own, self._columns)

    def record(self, row: Mapping[str, Any]) -> None:
        """Take what became of one cell, in place of what was there of it.

        It is on disk when this returns, unless others have just been written: then it waits with those that follow,
        until `due` says so, for `flush`. Its numbers of the user's, the mapping "own", must have columns.
        """
        with explained(self.path):
            held = {
                name: self._plain(value, self._columns[name]) for name, value in row.items() if name in self._columns
            }
            held |= {name: self._plain(value, "REAL") for name, value in (row.get("own") or {}).items()}
        self._rows.append([checksum(held.items()), *map(held.get, [*self._columns, *self._own])])
        if time.monotonic() - self._written >= _GROUP:
            self.flush()

    def note(self, **facts: Any) -> None:
        """Take what the driver is at, each fact by its name and as JSON, to be written with the next rows."""
        self._facts |= {name: json.dumps(value) for name, value in facts.items()}

    def tell(self, **facts: Callable[[], Any]) -> None:
        """Write these facts, each made anew, whenever rows are written: so that they agree with the rows."""
        self._told |= facts

    def due(self) -> float | None:
        """Seconds until what waits has to be written, or None if nothing does."""
        return max(0.0, self._written + _GROUP - time.monotonic()) if self._rows else None

    def flush(self) -> None:
        """Write what waits; it is on disk when this returns."""
        if not (self._rows or self._facts):
            return
        self.note(**{name: make() for name, make in self._told.items()})
        rows, facts = self._rows, [*self._facts.items()]
        names = ["checksum", *self._columns, *self._own]
        # A row that is measured again keeps its number in the file, by which those who read meanwhile find it.
        again = ", ".join(f"{name} = excluded.{name}" for name in names)
        statement = (
            f"INSERT INTO cells ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
            f"ON CONFLICT (id) DO UPDATE SET {again}"
        )
        with explained(self.path):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(statement, rows)
                self._db.executemany("INSERT OR REPLACE INTO sweep VALUES (?, ?)", facts)
                self._db.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):  # some errors have rolled it back
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):  # rather than an interrupt, after which `close` writes them
                    self._rows, self._facts = [], {}
                    for row in rows:  # as many as there is room for
                        self._db.execute(statement, row)
                raise
        self._rows, self._facts, self._written = [], {}, time.monotonic()

    def table(self, ids: Sequence[str]) -> pd.DataFrame:
        """The rows of the cells *ids*, in that order, as `fastlazy.sweeps.tables.load` returns them."""
        self.flush()
        with explained(self.path):
            return read_cells(self._db, self.path, ids)

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
        wanted = schema(results)
        db.execute("BEGIN IMMEDIATE")
        sound = is_sound(db)
        if not sound:
            db.execute("REINDEX")  # mends what does not concern the rows themselves
        db.execute(f"PRAGMA application_id = {APPLICATION}")
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
        db.execute("CREATE TABLE IF NOT EXISTS sweep (name TEXT PRIMARY KEY, value TEXT)")
        db.execute("DELETE FROM driver")
        db.execute("INSERT INTO driver VALUES (?, ?)", (f"process {os.getpid()} on {socket.gethostname()}", now()))
        db.execute("COMMIT")
        del wanted["checksum"]
        return wanted, moved


def schema(results: Mapping[str, type]) -> dict[str, str]:
    """Name and declaration of every column."""
    keys = {name: KINDS[key.kind] for name, key in KEYS.items()} | {"stream": "INTEGER"}
    keys = {name: kind + " NOT NULL" * (name in _NEVER_NULL) for name, kind in keys.items()}
    return {
        "id": "TEXT PRIMARY KEY",
        "checksum": "TEXT",
        "status": "TEXT NOT NULL",
        **keys,
        **{name: KINDS[kind] for name, kind in results.items()},
        "measure": "TEXT",
        "error": "TEXT",
        "traceback": "TEXT",
        "attempts": "INTEGER NOT NULL",
        "seconds": "REAL",
        "peak_mb": "REAL",
        "worker": "TEXT",
        "finished": "TEXT",
        "versions": "TEXT",
        "revision": "TEXT",
        "processor": "TEXT",
        "geometry": "TEXT",
    }


def _checksums(db: sqlite3.Connection) -> Iterator[tuple[int, str | None, str]]:
    """Of each row its number in the file, the checksum that was written, and what it must be."""
    names = sorted({row[1] for row in db.execute("PRAGMA table_info(cells)")} - {"checksum"})
    for rowid, written, *values in db.execute(f"SELECT rowid, checksum, {', '.join(names)} FROM cells"):
        yield rowid, written, checksum(zip(names, values, strict=True))


def _damaged(db: sqlite3.Connection) -> list[int]:
    """The numbers of the rows that are not as they were written."""
    return [rowid for rowid, written, found in _checksums(db) if written not in (found, EDITED)]


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


def now() -> str:
    """The time in UTC, for a column."""
    return datetime.now(UTC).isoformat(timespec="seconds")
