"""Many stores as one: a part of the cells each, as equal in cost as can be, and their tables together again."""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fastlazy._support.arguments import check_count
from fastlazy._support.files import check_path
from fastlazy.sweeps.measure import FAILED, RESULTS, cost
from fastlazy.sweeps.objects import OBJECT_KEYS
from fastlazy.sweeps.own_columns import own_columns
from fastlazy.sweeps.packed import PackedCells
from fastlazy.sweeps.store import TIMINGS, Store, schema
from fastlazy.sweeps.tables import ORDER, check_columns, column_kinds, load, opened, scan

_PART = 10_000  # rows that are merged at a time

_Origin = tuple[str, dict[str, Any]]  # a row, and the store that it is from


def check_shard(shard: Any) -> tuple[int, int]:
    """*shard* as (number, of how many), from such a pair or from text as "3/16".

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """
    if isinstance(shard, str) and re.fullmatch(r"\d{1,9}/\d{1,9}", shard):
        shard = tuple(map(int, shard.split("/")))
    if not isinstance(shard, Sequence) or isinstance(shard, str) or len(shard) != 2:
        raise ValueError(f"shard must be a pair such as (3, 16), the third of sixteen, got {shard!r}; pass two numbers")
    number, shards = check_count("the number of the shard", shard[0]), check_count("the number of shards", shard[1])
    if number > shards:
        raise ValueError(f"shard = ({number}, {shards}) is beyond the last; pass one of (1, {shards}) to that")
    return number, shards


def shard_cells(cells: PackedCells, number: int, shards: int) -> PackedCells:
    """The cells of one of so many *shards*, in their order.

    The most costly cell first, each goes to the shard whose cells cost least so far. So the shards depend on the cells
    alone, and not on their order, on the machine or on what was measured.
    """
    costs = {id(setting): cost(setting) for setting in cells.settings()}
    totals, mine = [(0.0, k) for k in range(1, shards + 1)], set()
    for seconds, key in sorted((-costs[id(cells.setting(key))], key) for key in cells):
        total, shard = totals[0]
        heapq.heapreplace(totals, (total - seconds, shard))
        if shard == number:
            mine.add(key)
    return cells.only(key for key in cells if key in mine)


def load_all(
    stores: Sequence[str | os.PathLike[str]], *, columns: Sequence[str] | None = None, where: str | None = None
) -> pd.DataFrame:
    """The tables of *stores* as one, in the order of `load`; errors as there.

    Raises
    ------
    ValueError
        If there is no store, or they have different results of the same cell; the message shows both.
    """
    if not stores:
        raise ValueError("there is no store to load; pass at least one")
    tables = {str(store): load(store, where=where) for store in stores}
    together = pd.concat(tables, names=["store"]).reset_index("store")
    kept = ~together["id"].duplicated(keep=False).to_numpy()
    first: dict[str, tuple[int, _Origin]] = {}
    for k in np.flatnonzero(~kept).tolist():
        row: dict[str, Any] = {str(name): value for name, value in together.iloc[k].items()}
        origin: _Origin = row.pop("store"), row
        place, other = first.get(row["id"], (k, origin))
        first[row["id"]] = (k, origin) if _better(other, origin) is origin else (place, other)
    kept[[k for k, _ in first.values()]] = True
    for name in OBJECT_KEYS:  # of which stores may have different names
        known: dict[str, Any] = {}
        texts = [known.setdefault(str(text).rpartition(" #")[2], text) for text in together[name]]
        together[name] = pd.Series(texts, together.index, dtype=object)
    numbers = sorted({name for store in stores for name in _numbers(store)})
    together = together[[name for name in together if name not in numbers] + numbers]
    whole = together[kept].drop(columns="store").sort_values(list(ORDER), ignore_index=True)
    return whole if columns is None else whole[check_columns(columns, whole.columns)]


def merge(out: str | os.PathLike[str], stores: Sequence[str | os.PathLike[str]]) -> int:
    """Write the rows of all *stores* into *out*, which may have rows already; the number of its cells.

    Raises
    ------
    ValueError
        If stores have different results of the same cell; the message shows both. What was merged before is in *out*.
    """
    place = check_path("OUT", out)
    paths = [check_path("IN", store) for store in stores]
    if not paths:
        raise ValueError("there is no store to merge; pass at least one after OUT")
    if same := [path for path in paths if path.resolve() == place.resolve()]:
        raise ValueError(f"{str(same[0])!r} is OUT itself; name it once")
    own = schema(RESULTS)
    others: dict[str, type] = {}
    for path in paths:
        theirs = _numbers(path)
        others |= {name: kind for name, kind in column_kinds(path).items() if name not in own and name not in theirs}
    with Store(place, {**RESULTS, **others}) as db:
        held = {key for key, _ in db.statuses()}
        for path in paths:
            numbers = db.adopt(path)
            for part in scan(path, rows=_PART, named=False):
                known = {key: (str(place), db.row(key)) for key in part["id"] if key in held}
                for row in part.to_dict("records"):
                    plain: dict[str, Any] = {
                        str(name): None if pd.isna(value) else value for name, value in row.items()
                    }
                    origin: _Origin = str(path), plain
                    if _better(known.get(plain["id"], origin), origin) is origin:
                        db.record({**plain, "own": {name: plain[name] for name in numbers}})
                        held.add(plain["id"])
    return len(held)


def _numbers(path: str | os.PathLike[str]) -> list[str]:
    """The columns of a store that are numbers of the user's."""
    with opened(path, thorough=False) as (db, _):
        return own_columns(db)


def _better(first: _Origin, other: _Origin) -> _Origin:
    """Of two rows of a cell, each with its store, the one to keep: the first, unless it has no result, or no measure.

    Raises
    ------
    ValueError
        If both have results, and these differ.
    """
    if first[1]["status"] in FAILED and other[1]["status"] not in FAILED:
        return other
    if other[1]["status"] not in FAILED:
        names = [name for name in {**first[1], **other[1]} if name not in (*TIMINGS, *OBJECT_KEYS)]
        lack = [bool(pd.isna(row[1].get("measure"))) for row in (first, other)]
        if lack[0] != lack[1]:  # the numbers of the measure are of one alone
            names = [name for name in names if name in schema(RESULTS) and name != "measure"]
        differ = [name for name in names if not _same(first[1].get(name), other[1].get(name))]
        if differ:
            raise ValueError(
                f"the cell {first[1]['id']} has different results:\n{_shown(first, differ)}\n{_shown(other, differ)}\n"
                "Results are the same to the bit on machines of one kind, with the same versions. Delete the row that "
                "is wrong, or measure both on one machine"
            )
        return other if lack == [True, False] else first
    return first


def _same(value: Any, other: Any) -> bool:
    return bool(pd.isna(other)) if pd.isna(value) else not pd.isna(other) and bool(value == other)


def _shown(row: _Origin, names: Sequence[str]) -> str:
    store, values = row
    given = {name: values[name] for name in ("regime", "d", "N", "draw", *names) if name in values}
    origin = {name: values.get(name) for name in ("worker", "finished", "versions", "processor")}
    return f"  {store}: " + ", ".join(f"{name} = {_plain(value)!r}" for name, value in {**given, **origin}.items())


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
