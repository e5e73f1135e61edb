"""The table `objects` of a store: the content of the user's targets, once each, and the names of all objects.

A row of `cells` has an object's reference, the first digits of its digest. In SQL::

    SELECT name, N, avg(ratio) FROM cells JOIN objects ON target = reference GROUP BY 1, 2

An object's name is no part of what it is: it is the one that the last sweep on the store gave.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import pandas as pd

from fastlazy._support.identity import source_of
from fastlazy.activations.activation import Activation
from fastlazy.sweeps.objects import OBJECT_KEYS, Own, content

_COLUMNS = "reference TEXT PRIMARY KEY, digest TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, content BLOB"
Row = tuple[Any, ...]


def keep_objects(db: sqlite3.Connection, objects: Iterable[Own]) -> None:
    """Write *objects* to the store; those that it has are named anew, and mended if they are damaged.

    Of an `Activation` the content is its source, as far as that is known, and nothing is read from it.

    Raises
    ------
    ValueError
        If the store has another object of the same reference.
    """
    db.execute("BEGIN IMMEDIATE")
    db.execute(f"CREATE TABLE IF NOT EXISTS objects ({_COLUMNS})")
    known = dict(db.execute("SELECT reference, digest FROM objects"))
    for own in objects:
        if known.get(own.reference, own.digest) != own.digest:
            raise ValueError(f"the store has another object whose reference is {own.reference}; choose another store")
        is_target = not isinstance(own.value, Activation)
        data = content(own.value) if is_target else _source(own.value)
        kind = type(own.value).__name__
        if own.reference not in known:
            row = own.reference, own.digest, own.name, kind, data
            db.execute("INSERT INTO objects VALUES (?, ?, ?, ?, ?)", row)
        else:
            changed = "name IS NOT ?2 OR (?4 AND content IS NOT ?3)"
            db.execute(
                f"UPDATE objects SET name = ?2, content = ?3 WHERE reference = ?1 AND ({changed})",
                (own.reference, own.name, data, is_target),
            )
    db.execute("COMMIT")


def adopt_objects(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Write objects of another store, as `object_rows` has them; those that are there stay, unless they are damaged.

    Raises
    ------
    ValueError
        If the store has another object of the same reference.
    """
    db.execute("BEGIN IMMEDIATE")
    db.execute(f"CREATE TABLE IF NOT EXISTS objects ({_COLUMNS})")
    known = {row[0]: row for row in object_rows(db)}
    for row in rows:
        held = known.get(row[0], row)
        if held[1] != row[1]:
            raise ValueError(f"the stores have two objects whose reference is {row[0]}; merge into another store")
        if held is row or not is_as_written(held):
            db.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)", row)
    db.execute("COMMIT")


def is_as_written(row: Row) -> bool:
    """Whether the content of an object is what its digest says; an `Activation` has none to be read."""
    _, digest, _, kind, data = row
    return kind == Activation.__name__ or (isinstance(data, bytes) and sha256(data).hexdigest() == digest)


def name_objects(db: sqlite3.Connection, table: pd.DataFrame) -> pd.DataFrame:
    """The *table* of rows of a store with names in the place of references, in place."""
    texts = {reference: f"{name} {reference}" for reference, name in object_rows(db, "reference, name")}
    for key in OBJECT_KEYS:
        if texts and key in table:
            table[key] = table[key].map(lambda value: texts.get(value, value)).astype(object)
    return table


def _source(activation: Activation) -> bytes:
    """The source of both functions of *activation*, which may stand in one line."""
    texts = dict.fromkeys(map(source_of, (activation.function, activation.derivative)))
    return "".join(texts).encode("utf-8", "replace")


def object_rows(db: sqlite3.Connection, columns: str = "reference, digest, name, kind, content") -> list[Row]:
    """These *columns* of all objects, none of a store that has no table for them."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'objects'").fetchone():
        return []
    return list(db.execute(f"SELECT {columns} FROM objects ORDER BY reference"))
