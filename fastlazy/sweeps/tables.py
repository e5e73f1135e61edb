"""Tables of stores: all rows, some of them, or some thousand at a time, each checked against its checksum on the way.

A row that a damaged disk or a hand has changed is an error, whichever rows and columns are asked for: the condition of
a query cannot hide it.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastlazy._support.arguments import check_count
from fastlazy._support.files import check_path
from fastlazy._support.sqlite import connect, explained, is_sound
from fastlazy.sweeps.object_table import name_objects
from fastlazy.sweeps.own_columns import own_columns

SCHEMA = 1  # what PRAGMA user_version says: raised when a column changes its meaning, not when one is added
APPLICATION = 0x666C7A79  # "flzy"; PRAGMA application_id tells our files from others
EDITED = "edited"  # in the place of a checksum: someone changed the row, and means it
KINDS = {int: "INTEGER", float: "REAL", str: "TEXT", object: "TEXT"}
_PART = 10_000  # rows read at a time
_FIRST = 2  # the columns of a row come after its number and its checksum
ORDER = ("regime", "d", "N", "draw", "id")  # by which tables are sorted

_Row = tuple[Any, ...]


def load(
    path: str | os.PathLike[str], *, columns: Sequence[str] | None = None, where: str | None = None
) -> pd.DataFrame:
    """One row for each cell that has ended, ordered by regime, d, N and draw.

    Parameters
    ----------
    path : path
        Of the store.
    columns : sequence of str, optional
        Those to keep, in this order; default all.
    where : str, optional
        A condition in SQL that rows must meet; default none.

    Raises
    ------
    TypeError
        If *path* is no path, or another argument is of no such type.
    OSError
        If there is no such file, or it is a folder.
    ValueError
        If it is not a store, is damaged, holds rows that are not as they were written, or was written by a later
        version; if there is no such column, or SQLite does not understand the condition.
    """
    with opened(path) as (db, place):
        return read(db, place, columns=columns, where=where)


def scan(
    path: str | os.PathLike[str],
    *,
    rows: int = 100_000,
    columns: Sequence[str] | None = None,
    where: str | None = None,
    named: bool = True,
) -> Iterator[pd.DataFrame]:
    """The table that `load` returns, in parts of so many *rows*; errors as there, once the first part is asked for.

    Unless they are *named*, objects of the user's are references, as in the file.
    """
    return _scan(path, check_count("rows", rows), columns, where, named)


def column_kinds(path: str | os.PathLike[str]) -> dict[str, type]:
    """The columns of a store, and whether they hold whole numbers, numbers or text; errors as `load`."""
    types = {"INTEGER": int, "REAL": float, "TEXT": str}
    with opened(path) as (db, place):
        return {name: types[kind] for name, (kind, _) in _layout(db, place, None).declared.items()}


def read(
    db: sqlite3.Connection, path: Path, *, columns: Sequence[str] | None = None, where: str | None = None
) -> pd.DataFrame:
    """The table of an open store, as `load` returns it; its SQLite errors are left as they are."""
    with _unchanged(db):
        layout = _layout(db, path, columns)
        order = _order(db, layout, where)
        table = _Columns(layout, int(order["wanted"].sum()))
        for part in _sound(path, _parts(db, layout, order["rowid"], where)):
            table.append(part)
        return name_objects(db, table.frame())


def read_cells(db: sqlite3.Connection, path: Path, ids: Sequence[str]) -> pd.DataFrame:
    """The rows of the cells *ids*, in that order.

    They are not checked: the store was, when it was opened for writing.
    """
    layout = _layout(db, path, None)
    table = _Columns(layout, len(ids), ids)
    if not ids:
        return table.frame()
    held = np.array(ids, object)
    order = np.argsort(held)  # rather than a dict of places, which takes ten times the memory
    held.sort()
    which = _FIRST + list(layout.declared).index("id")
    found = db.execute(_statement(layout))
    while part := found.fetchmany(_PART):
        keys = np.array([row[which] for row in part], object)
        near = np.searchsorted(held[:-1], keys)
        hit = held[near] == keys
        table.put(order[near[hit]], [*compress(part, hit)])
    return name_objects(db, table.frame())


def check_file(db: sqlite3.Connection, path: Path) -> None:
    """Check that the database is new, or a store of ours that this version understands.

    Raises
    ------
    ValueError
        If it is neither.
    """
    application, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    if application != APPLICATION and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise ValueError(f"{str(path)!r} is an SQLite file, but not the store of a sweep; choose another name")
    if version > SCHEMA:
        raise ValueError(
            f"the store {str(path)!r} has schema {version}, this version knows up to {SCHEMA}; "
            "upgrade fastlazy, or choose another store"
        )


def checksum(values: Iterable[tuple[str, Any]]) -> str:
    """The CRC-32 of what a row holds, less columns that are empty, so that later versions may add some."""
    held = {name: value for name, value in sorted(values) if value is not None}
    return f"{zlib.crc32(ascii(held).encode()):08x}"


@contextmanager
def opened(path: str | os.PathLike[str], *, thorough: bool = True) -> Iterator[tuple[sqlite3.Connection, Path]]:
    """A connection to an existing store, for reading, and its path; errors as `load`.

    Unless this is *thorough*, pages that nobody reads are not looked at.
    """
    place = check_path("store", path)
    if place.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder, not the store of a sweep; pass the .sqlite file in it")
    if not place.is_file():
        raise FileNotFoundError(f"there is no store {str(path)!r}; a sweep makes one")
    with closing(connect(place, "rw")) as db, explained(place):
        check_file(db, place)
        if thorough and not is_sound(db):
            raise sqlite3.DatabaseError("database disk image is malformed")
        yield db, place


class _Layout(NamedTuple):
    """The columns of a store, in the order of the file, and those of the table that is asked for."""

    declared: dict[str, tuple[str, bool]]  # kind, and whether it is never empty
    wanted: list[str]
    has_checksums: bool


def _layout(db: sqlite3.Connection, path: Path, columns: Sequence[str] | None) -> _Layout:
    declared = {row[1]: (row[2], bool(row[3])) for row in db.execute("PRAGMA table_info(cells)")}
    if not declared:
        raise ValueError(f"{str(path)!r} is an empty file, not the store of a sweep; choose another name")
    if strange := [f"{name} {kind}" for name, (kind, _) in declared.items() if kind not in KINDS.values()]:
        raise sqlite3.DatabaseError(f"malformed database schema, {strange[0]}")
    if missing := {"id", "status", "error", *_recorded_columns(db)} - set(declared):
        raise sqlite3.DatabaseError(f"malformed database schema, no column {min(missing)}")
    has_checksums = declared.pop("checksum", None) is not None  # earlier versions wrote none
    declared |= {name: declared.pop(name) for name in own_columns(db)}  # at the end, in the order of the alphabet
    return _Layout(declared, check_columns(columns, declared), has_checksums)


def check_columns(columns: Sequence[str] | None, present: Collection[str]) -> list[str]:
    """The columns asked for, if the store has them."""
    if columns is None:
        return list(present)
    if isinstance(columns, str) or not isinstance(columns, Sequence) or not all(isinstance(c, str) for c in columns):
        raise TypeError(f"columns must be a list of names, got {columns!r}; pass e.g. columns=['regime', 'N', 'ratio']")
    if unknown := [name for name in columns if name not in present]:
        raise ValueError(f"columns has {unknown[0]!r}, which the store does not have; it has {', '.join(present)}")
    if len(set(columns)) < len(columns):
        raise ValueError(f"columns names a column twice: {', '.join(columns)}; name each once")
    return list(columns)


def _recorded_columns(db: sqlite3.Connection) -> list[str]:
    """The columns that `cells` was given: no checksum of a row knows the name of one that is empty."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'columns'").fetchone():  # earlier versions wrote none
        return []
    return [str(name) for (name,) in db.execute("SELECT name FROM columns")]


@contextmanager
def _unchanged(db: sqlite3.Connection) -> Iterator[None]:
    """Within, all that is read is of one moment; a sweep that writes waits meanwhile."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("COMMIT")


def _order(db: sqlite3.Connection, layout: _Layout, where: str | None) -> Any:
    """Of all rows, in the order of tables, their numbers in the file and whether they meet the condition.

    Raises
    ------
    TypeError, ValueError
        If *where* is no condition.
    """
    if where is not None and not isinstance(where, str):
        raise TypeError(f"where must be a condition in SQL, got {where!r}; pass e.g. where=\"regime = 'RF'\"")
    condition = _condition(where)
    kind = [("rowid", np.int64), ("wanted", bool)]
    try:
        return np.fromiter(db.execute(f"SELECT rowid, {condition} FROM cells ORDER BY {', '.join(ORDER)}"), kind)
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        if where is None:
            raise
        raise ValueError(
            f"where = {where!r} is no condition that SQLite understands ({error}); write e.g. "
            f"where=\"regime = 'RF' AND N > 100\"; the columns are {', '.join(layout.declared)}"
        ) from None


def _condition(where: str | None) -> str:
    return "1" if where is None else f"CASE WHEN ({where}\n) THEN 1 ELSE 0 END"


def _statement(layout: _Layout, more: Sequence[str] = ()) -> str:
    """What selects all rows: of each its number in the file, its checksum, its columns and *more* expressions."""
    written = "checksum" if layout.has_checksums else "NULL"
    return f"SELECT rowid, {written}, {', '.join([*layout.declared, *more])} FROM cells"


class _Part(NamedTuple):
    """Some rows as `_statement` has them, of those that are wanted, and the numbers of rows that are damaged."""

    rows: list[_Row]
    damaged: list[int]


def _parts(db: sqlite3.Connection, layout: _Layout, order: Any, where: str | None) -> Iterator[_Part]:
    """The rows in this *order*, in parts, those that meet the condition when they are read.

    Each part is a query of its own, so that whoever takes them slowly holds up no sweep. Rows that a sweep has
    meanwhile measured again are as they are now, and their checksums are of columns that it has made, too.
    """
    known = {*layout.declared, "checksum"}
    for start in range(0, len(order), _PART):
        numbers = order[start : start + _PART].tolist()
        with nullcontext() if db.in_transaction else _unchanged(db):
            present = (row[1] for row in db.execute("PRAGMA table_info(cells)"))
            names = [*layout.declared, *(name for name in present if name not in known)]
            statement = _statement(layout, [*names[len(layout.declared) :], _condition(where)])
            listed = str(numbers)[1:-1]
            found = {row[0]: row for row in db.execute(f"{statement} WHERE rowid IN ({listed})")}
        rows = [found[number] for number in numbers if number in found]
        by_name = sorted(range(len(names)), key=names.__getitem__)  # in which checksums take them
        keys, places = [names[k] for k in by_name], [_FIRST + k for k in by_name]
        damaged = [
            row[0]
            for row in rows
            if row[1] != EDITED and row[1] != checksum(zip(keys, (row[k] for k in places), strict=True))
        ]
        end = _FIRST + len(layout.declared)
        yield _Part([row[:end] for row in rows if row[-1]], damaged if layout.has_checksums else [])


def _sound(path: Path, parts: Iterable[_Part]) -> Iterator[list[_Row]]:
    """The rows of *parts*, once each row is known to be as it was written.

    Raises
    ------
    ValueError
        If some are not.
    """
    damaged: list[int] = []
    for part in parts:
        damaged += part.damaged
        if not damaged:
            yield part.rows
    if damaged:
        raise ValueError(
            f"{len(damaged)} rows of the store {str(path)!r} are not as they were written (rowid "
            f"{', '.join(map(str, damaged[:5]))}): a disk may be failing, or they were edited. Run the same sweep "
            "again, which measures them anew; or, to keep what you changed yourself, in SQL: UPDATE cells SET "
            "checksum = 'edited' WHERE rowid = ..."
        )


def _scan(
    path: str | os.PathLike[str], size: int, columns: Sequence[str] | None, where: str | None, named: bool
) -> Iterator[pd.DataFrame]:
    with opened(path) as (db, place):
        layout = _layout(db, place, columns)
        order = _order(db, layout, where)
        waiting: list[_Row] = []

        def finished(some: list[_Row]) -> pd.DataFrame:
            return name_objects(db, _frame(layout, some)) if named else _frame(layout, some)

        for part in _sound(place, _parts(db, layout, order["rowid"], where)):
            waiting += part
            while len(waiting) >= size:
                yield finished(waiting[:size])
                waiting = waiting[size:]
        if waiting:
            yield finished(waiting)


def _frame(layout: _Layout, rows: list[_Row]) -> pd.DataFrame:
    table = _Columns(layout, len(rows))
    table.append(rows)
    return table.frame()


class _Columns:
    """The columns of a table of so many rows, which are filled in part by part; all but *ids* if they are given."""

    def __init__(self, layout: _Layout, size: int, ids: Sequence[str] | None = None) -> None:
        self.held = 0
        self._layout = layout
        self._values: dict[str, Any] = {}
        self._empty: dict[str, Any] = {}  # where columns of whole numbers have none
        self._same: dict[str, dict[Any, Any]] = {}  # equal texts, which are one object
        for name in layout.wanted:
            kind, never_null = layout.declared[name]
            self._values[name] = np.empty(size, {"REAL": np.float64, "INTEGER": np.int64, "TEXT": object}[kind])
            if kind == "INTEGER" and not never_null:
                self._empty[name] = np.zeros(size, bool)
        self._filled = set() if ids is None else {"id"}
        if ids is not None:
            self._values["id"][:] = ids

    def append(self, rows: list[_Row]) -> None:
        """Fill the next rows."""
        self.put(slice(self.held, self.held + len(rows)), rows)

    def put(self, places: Any, rows: list[_Row]) -> None:
        """Fill the rows at *places*, a slice or indices."""
        if not rows:
            return
        columns = dict(zip(self._layout.declared, list(zip(*rows, strict=True))[_FIRST:], strict=True))
        for name, held in self._values.items():
            if name in self._filled:
                continue
            try:
                held[places] = self._converted(name, columns[name], places)
            except (TypeError, ValueError) as error:
                raise sqlite3.DataError(f"column {name}: {error}") from None
        self.held += len(rows)

    def _converted(self, name: str, values: tuple[Any, ...], places: Any) -> Any:
        kind, _ = self._layout.declared[name]
        if kind == "REAL":
            return np.array(values, np.float64)  # None is NaN
        if kind == "INTEGER":
            if name not in self._empty:
                return np.array(values, np.int64)
            numbers = pd.array(list(values), dtype="Int64")
            self._empty[name][places] = numbers.isna()
            return numbers.to_numpy(np.int64, na_value=0)
        known = self._same.setdefault(name, {})
        same = known.setdefault if len(known) < _PART else known.get  # ids and the like are all different
        found = np.empty(len(values), object)
        found[:] = [same(value, value) for value in values]
        return found

    def frame(self) -> pd.DataFrame:
        """The table of the rows that were filled."""
        columns: dict[str, Any] = {}
        for name, values in self._values.items():
            held = values[: self.held]
            if name in self._empty:
                columns[name] = pd.arrays.IntegerArray(held, self._empty[name][: self.held])
            else:
                columns[name] = pd.Series(held, dtype=object) if held.dtype == object else held
        table = pd.DataFrame(columns, copy=False)
        if "fit_status" in table and "status" in table:  # earlier versions wrote that training which diverged was done
            table.loc[(table["status"] == "done") & (table["fit_status"] == "diverged"), "status"] = "diverged"
        return table
