"""The store of a sweep: one SQLite file with one row for each finished cell, of which its driver is the only writer.

A row holds the cell's parameters, its results, and how it went, each in a column of its own, so that any tool
that reads SQLite can query it::

    sqlite3 sweep.sqlite "SELECT regime, N, avg(ratio) FROM cells WHERE status = 'done' GROUP BY 1, 2"

A row is one transaction: after any interruption the file holds all cells that were finished, and no half of one.
Reading is possible at all times, from any process.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fastlazy._files import replace_file
from fastlazy.cells import KEYS

SCHEMA = 1  # what PRAGMA user_version says: raised when a column changes its meaning, not when one is added
_APPLICATION = 0x666C7A79  # "flzy"; PRAGMA application_id tells our files from others
_PART = 10_000  # rows read at a time
_PATIENCE = 300.0  # seconds to wait for a reader that holds the file
_TYPES = {int: "INTEGER", float: "REAL", str: "TEXT", object: "TEXT"}
_NEVER_NULL = {"regime", "d", "N", "activation", "target", "draw", "seed", "stream"}

# What a cell's measurement says of itself, besides its results: the only columns that differ from run to run.
TIMINGS = ("attempts", "seconds", "peak_mb", "worker", "finished", "versions")

_ORDER = "regime, d, N, draw, id"


class Store:
    """A store that is open for writing, by this process alone. A context manager.

    Parameters
    ----------
    path : path
        Made if it is not there. Its folder must exist.
    results : mapping of str to type
        Columns of results, beside those of the parameters.

    Raises
    ------
    ValueError
        If the file is not a store, is damaged, or was written by a later version.
    OSError
        If it cannot be written, or another sweep is writing to it.
    """

    def __init__(self, path: str | os.PathLike[str], results: Mapping[str, type]) -> None:
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"the folder of the store {str(self.path)!r} does not exist; make it first")
        self._lock = _WriterLock(self.path)
        try:
            self._db = _connect(self.path, "rwc")
            with _explained(self.path):
                self._columns = self._prepare(results)
        except BaseException:
            self.close()
            raise

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
        """The status of every cell that has a row: "done", "failed" or "crashed"."""
        with _explained(self.path):
            rows = self._db.execute("SELECT id, status FROM cells")
            return {key: sys.intern(status) for key, status in rows}

    def record(self, row: Mapping[str, Any]) -> None:
        """Write what became of one cell, in place of what was there of it; it is on disk when this returns."""
        values = [_plain(row.get(name)) for name in self._columns]
        marks = ", ".join("?" * len(values))
        with _explained(self.path):
            self._db.execute(f"INSERT OR REPLACE INTO cells ({', '.join(self._columns)}) VALUES ({marks})", values)

    def table(self, ids: Iterable[str]) -> pd.DataFrame:
        """The rows of the cells *ids*, in that order, as `load` returns them."""
        rows = _read(self._db, self.path)
        return rows.iloc[pd.Index(rows["id"]).get_indexer(list(ids))].reset_index(drop=True)

    def _prepare(self, results: Mapping[str, type]) -> list[str]:
        """The columns of the table, which is made, or given the columns it lacks; the file is ours when this returns.

        The statement that makes the table also tells a store that cannot be written from one that can.
        """
        db = self._db
        _check_file(db, self.path)
        if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("database disk image is malformed")
        db.execute("PRAGMA synchronous = FULL")  # a row survives a power cut, too
        wanted = _schema(results)
        db.execute("BEGIN IMMEDIATE")
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {SCHEMA}")
        definitions = ", ".join(f"{name} {kind}" for name, kind in wanted.items())
        db.execute(f"CREATE TABLE IF NOT EXISTS cells ({definitions})")
        present = {row[1] for row in db.execute("PRAGMA table_info(cells)")}
        for name in wanted:
            if name not in present:
                db.execute(f"ALTER TABLE cells ADD COLUMN {name} {wanted[name].removesuffix(' NOT NULL')}")
        db.execute("CREATE TABLE IF NOT EXISTS driver (process TEXT, since TEXT)")
        db.execute("DELETE FROM driver")
        db.execute("INSERT INTO driver VALUES (?, ?)", (f"process {os.getpid()} on {socket.gethostname()}", now()))
        db.execute("COMMIT")
        return list(wanted)


def load(path: str | os.PathLike[str]) -> pd.DataFrame:
    """One row for each cell that has ended, ordered by regime, d, N and draw.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a store, is damaged, or was written by a later version.
    """
    place = Path(path)
    if not place.is_file():
        raise FileNotFoundError(f"there is no store {str(path)!r}; a sweep makes one")
    with closing(_connect(place, "rw")) as db:
        with _explained(place):
            _check_file(db, place)
        return _read(db, place)


def export(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write *table* to a file whose ending, .csv or .parquet, says how.

    Raises
    ------
    ValueError
        If it has another ending.
    ModuleNotFoundError
        If pyarrow, which .parquet needs, is not installed.
    OSError
        If the file cannot be written.
    """
    place = check_export(path)
    if place.suffix == ".csv":
        replace_file(place, lambda temporary: table.to_csv(temporary, index=False))
    else:
        replace_file(place, lambda temporary: table.to_parquet(temporary, index=False, engine="pyarrow"))


def check_export(path: str | os.PathLike[str]) -> Path:
    """*path*, if `export` can write such a file; errors as there."""
    place = Path(path)
    if place.suffix not in (".csv", ".parquet"):
        raise ValueError(f"cannot export to {str(path)!r}; pass a file name that ends in .csv or .parquet")
    if place.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401  (only whether it is there)
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                f"{str(path)!r} needs pyarrow, which is not installed; pip install 'fastlazy[parquet]', or pass a .csv"
            ) from None
    return place


def _schema(results: Mapping[str, type]) -> dict[str, str]:
    """Name and declaration of every column."""
    keys = {name: _TYPES[key.kind] for name, key in KEYS.items()} | {"stream": "INTEGER"}
    keys = {name: kind + " NOT NULL" * (name in _NEVER_NULL) for name, kind in keys.items()}
    return {
        "id": "TEXT PRIMARY KEY",
        "status": "TEXT NOT NULL",
        **keys,
        **{name: _TYPES[kind] for name, kind in results.items()},
        "error": "TEXT",
        "attempts": "INTEGER NOT NULL",
        "seconds": "REAL",
        "peak_mb": "REAL",
        "worker": "TEXT",
        "finished": "TEXT",
        "versions": "TEXT",
    }


def _plain(value: Any) -> Any:
    """*value* as SQLite holds it."""
    return json.dumps(value) if isinstance(value, list) else value


def _driver(path: Path) -> str:
    """Who was the last to open the store for writing."""
    try:
        with closing(_connect(path, "ro")) as db:
            return "{}, since {}".format(*db.execute("SELECT process, since FROM driver").fetchone())
    except (OSError, ValueError, TypeError, sqlite3.Error):
        return "unknown process"


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    with _explained(path):
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=_PATIENCE
        )


def _check_file(db: sqlite3.Connection, path: Path) -> None:
    """Raise ValueError if the database is neither new nor a store of ours that this version understands."""
    application, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    if application != _APPLICATION and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise ValueError(f"{str(path)!r} is an SQLite file, but not the store of a sweep; choose another name")
    if version > SCHEMA:
        raise ValueError(
            f"the store {str(path)!r} has schema {version}, this version knows up to {SCHEMA}; "
            "upgrade fastlazy, or choose another store"
        )


def _read(db: sqlite3.Connection, path: Path) -> pd.DataFrame:
    with _explained(path):
        declared = {row[1]: (row[2], bool(row[3])) for row in db.execute("PRAGMA table_info(cells)")}
        if not declared:
            raise ValueError(f"{str(path)!r} is an empty file, not the store of a sweep; choose another name")
        same: list[dict[Any, Any]] = [{} for _ in declared]
        rows = db.execute(f"SELECT * FROM cells ORDER BY {_ORDER}")
        frames = [_frame(rows.fetchmany(_PART), declared, same)]
        while part := rows.fetchmany(_PART):
            frames.append(_frame(part, declared, same))
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def _frame(
    rows: list[tuple[Any, ...]], declared: Mapping[str, tuple[str, bool]], same: list[dict[Any, Any]]
) -> pd.DataFrame:
    """A table of *rows* whose equal texts are one object, which *same* keeps for the next."""
    columns = zip(*rows, strict=True) if rows else [()] * len(declared)
    return pd.DataFrame(
        {
            name: _column([*map(known.setdefault, values, values)] if kind == "TEXT" else values, kind, never_null)
            for (name, (kind, never_null)), known, values in zip(declared.items(), same, columns, strict=True)
        }
    )


def _column(values: Sequence[Any], kind: str, never_null: bool) -> Any:
    if kind == "REAL":
        return np.array(values, np.float64)  # None is NaN
    if kind == "INTEGER":
        return np.array(values, np.int64) if never_null else pd.array(values, dtype="Int64")
    return pd.Series(values, dtype=object)


class _WriterLock:
    """A file beside the store, locked while a sweep writes; the system lets go of it however the process ends.

    The lock is SQLite's own, on an empty database, which works on every system; readers of the store do not
    meet it. The file is removed at the end, so a lock counts only if the name still leads to what was locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.lock")
        self._db: sqlite3.Connection | None = None
        while True:
            try:
                self.path.touch()
                before = self.path.stat().st_ino
            except OSError as error:
                raise OSError(f"cannot write to the store {str(path)!r} ({error}); choose another place") from None
            db = sqlite3.connect(self.path, isolation_level=None, timeout=0)
            try:
                db.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error as error:
                db.close()
                raise OSError(
                    f"another sweep is writing to the store {str(path)!r} ({_driver(path)}; {error}); wait for its "
                    "end, or choose another store. It can be read meanwhile"
                ) from None
            with suppress(OSError):
                if self.path.stat().st_ino == before:
                    self._db = db
                    return
            db.close()

    def release(self) -> None:
        """Remove the lock."""
        if self._db is not None:
            with suppress(OSError):  # where an open file cannot be removed
                self.path.unlink()
            self._db.close()
            self._db = None


_ADVICE = {
    "readonly": "the file or its folder is read-only: change that, or choose another store",
    "full": "make room and run the same call again: all cells finished so far are kept",
    "disk I/O": "the disk is full or broken: all cells finished so far are kept; run the same call again",
    "unable to open": "check that its folder exists and can be written to",
    "locked": "another program holds it; close that",
}


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into ours, which say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        advice = next((advice for mark, advice in _ADVICE.items() if mark in text), None)
        if advice is not None:
            raise OSError(f"the store {str(path)!r} cannot be used ({text}); {advice}") from error
        raise ValueError(
            f"the store {str(path)!r} is damaged or not a store ({text}); move it away, or rescue what is in it with: "
            "sqlite3 FILE .recover"
        ) from error


def now() -> str:
    """The time in UTC, for a column."""
    return datetime.now(UTC).isoformat(timespec="seconds")
