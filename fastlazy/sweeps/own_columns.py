"""The columns of a store for numbers of the user's, made when a cell first has one."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterable
from functools import lru_cache

_MOST = 1000  # columns of a store; SQLite has 2000 in all
Measure = tuple[str, str, str]  # label, digest and source of a function
_RESERVED = ("checksum", "rowid", "oid", "own")


class ColumnError(ValueError):
    """A name can be no column of the user's."""


def prepare_own_columns(db: sqlite3.Connection, others: Collection[str]) -> None:
    """Make the tables for columns of the user's, where they are missing.

    Raises
    ------
    ValueError
        If one has a name that this version has for a column of its own, one of *others*.
    """
    db.execute("CREATE TABLE IF NOT EXISTS own_columns (name TEXT PRIMARY KEY)")
    db.execute("CREATE TABLE IF NOT EXISTS measures (label TEXT PRIMARY KEY, digest TEXT, source TEXT)")
    if taken := _alike(own_columns(db), others):
        raise ValueError(
            f"the store has a column {taken[0]!r} of a measure, a name that this version of fastlazy has for a column "
            "of its own; read it with the version that made it, and measure into another store"
        )


def own_columns(db: sqlite3.Connection) -> list[str]:
    """The names of the columns of the user's, in order; none of a store that has no table for them."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'own_columns'").fetchone():
        return []
    return [name for (name,) in db.execute("SELECT name FROM own_columns ORDER BY name")]


def add_own_columns(
    db: sqlite3.Connection, names: Iterable[str], own: Collection[str], others: Collection[str]
) -> list[str]:
    """The *names*, once the store has columns for them; it has *own* ones, and *others*.

    Raises
    ------
    ColumnError
        If a name is none for a column, or one of them has it, or there are too many.
    """
    new = list(names)
    for k, name in enumerate(new):
        told = f"measure returned a number {name!r}, "
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,59}", name) or not _is_column(name):
            raise ColumnError(
                told + "which is no name for a column; return one of letters, digits and '_' that begins with a letter "
                "and is no word of SQL"
            )
        if taken := _alike([name], [*own, *others, *_RESERVED, *new[:k]]):
            raise ColumnError(told + f"but the table has a column {taken[0]!r}; return another name")
    if len(own) + len(new) > _MOST:
        raise ColumnError(f"measure returned more than {_MOST} different names in all; return fewer")
    db.execute("BEGIN IMMEDIATE")
    for name in new:
        db.execute(f"ALTER TABLE cells ADD COLUMN {name} REAL")
        db.execute("INSERT INTO own_columns VALUES (?)", (name,))
        db.execute("INSERT OR IGNORE INTO columns VALUES (?)", (name,))
    db.execute("COMMIT")
    return new


def note_measures(db: sqlite3.Connection, rows: Iterable[Measure]) -> None:
    """Write where numbers come from."""
    db.executemany("INSERT OR IGNORE INTO measures VALUES (?, ?, ?)", rows)


def measure_rows(db: sqlite3.Connection) -> list[Measure]:
    """Where the numbers of a store come from; nothing of one that has no table for it."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'measures'").fetchone():
        return []
    return list(db.execute("SELECT label, digest, source FROM measures"))


def _alike(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Those of *others* that SQLite does not tell from one of *names*."""
    known = {name.lower() for name in names}
    return [other for other in others if other.lower() in known]


@lru_cache(maxsize=1024)
def _is_column(name: str) -> bool:
    """Whether SQLite takes *name* for a column, and not for a word of its own."""
    db = sqlite3.connect(":memory:")
    try:
        db.execute(f"CREATE TABLE cells (id INTEGER, {name} REAL)")
        db.execute(f"INSERT INTO cells (id, {name}) VALUES (1, 0.25)")
        return bool(db.execute(f"SELECT {name} FROM cells").fetchone() == (0.25,))
    except sqlite3.Error:
        return False
    finally:
        db.close()
