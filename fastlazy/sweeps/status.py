"""How a sweep stands, read from its store by anyone at any time."""

from __future__ import annotations

import json
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from fastlazy._support.sqlite import is_locked
from fastlazy.sweeps.measure import STATUSES
from fastlazy.sweeps.object_table import object_rows
from fastlazy.sweeps.tables import opened
from fastlazy.sweeps.watch import describe

_MOST = 10  # slowest cells, and kinds of errors
_STALE = 30.0  # seconds without a report after which a driver on another machine is taken for gone


class Status(NamedTuple):
    """How a sweep stands.

    Attributes
    ----------
    store : str
    state : str
        "running"; "ended"; "gone" if its driver was killed; or "unknown" for a store of an earlier version.
    counts : dict of str to int
        Cells of each status, and those "left" of the sweep that was the last to run.
    rate : float or None
        Cells a second, over the last minute; None unless it is running, as for all that follows but the last three.
    seconds_left : float or None
    left : dict
        Of each regime the cells that are left, the seconds that they will take, and whether that is a guess for some.
    workers : int or None
    running : list of dict
        What each worker is at, for how many seconds, and its memory in MB.
    memory_mb : float or None
        Of the driver.
    run : dict
        The driver: host, process, since when, command, and where its results come from.
    end : dict or None
        How and when it ended.
    slowest : list of dict
        The cells that took longest.
    errors : list of dict
        Errors of cells without a result or that diverged, the most frequent first, each with its first traceback.
    """

    store: str
    state: str
    counts: dict[str, int]
    rate: float | None
    seconds_left: float | None
    left: dict[str, Any]
    workers: int | None
    running: list[dict[str, Any]]
    memory_mb: float | None
    run: dict[str, Any]
    end: dict[str, Any] | None
    slowest: list[dict[str, Any]]
    errors: list[dict[str, Any]]


def read_status(path: str | os.PathLike[str]) -> Status:
    """How the sweep of a store stands.

    Raises
    ------
    TypeError, OSError, ValueError
        As `fastlazy.load_sweep`; rows are not checked one by one.
    """
    with opened(path, thorough=False) as (db, place):
        facts = _facts(db)
        counts = dict.fromkeys(STATUSES, 0)
        counts |= dict(db.execute("SELECT status, count(*) FROM cells GROUP BY status").fetchall())
        run, report, end = facts.get("run") or {}, facts.get("now") or {}, facts.get("end")
        state = _state(place, run, report, end)
        left = facts.get("left") or {}
        counts["left"] = sum(row["cells"] for row in left.values())
        lives = state == "running"
        return Status(
            store=str(place),
            state=state,
            counts=counts,
            rate=report.get("rate") if lives else None,
            seconds_left=sum(row["seconds"] for row in left.values()) if lives else None,
            left=left,
            workers=report.get("workers") if lives else None,
            running=report.get("running", []) if lives else [],
            memory_mb=report.get("memory_mb") if lives else None,
            run=run,
            end=end,
            slowest=_slowest(db),
            errors=_errors(db),
        )


def words_of_state(status: Status) -> str:
    """Whether the sweep runs, or how it ended."""
    driver = f"process {status.run.get('process')} on {status.run.get('host')}, since {status.run.get('since')}"
    match status.state:
        case "running":
            return f"running ({driver})"
        case "ended":
            assert status.end is not None
            return f"ended at {status.end['at']} ({status.end['how']})"
        case "gone":
            return f"not running: its driver is gone ({driver}); the same command goes on"
    return "not running, as far as is known: no driver has told of itself here, as in a store that was merged"


def _facts(db: sqlite3.Connection) -> dict[str, Any]:
    """What the last driver told of itself; nothing in stores of earlier versions."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'sweep'").fetchone():
        return {}
    return {name: json.loads(value) for name, value in db.execute("SELECT name, value FROM sweep")}


def _state(place: Path, run: dict[str, Any], report: dict[str, Any], end: dict[str, Any] | None) -> str:
    if not run:
        return "unknown"
    if end is not None:
        return "ended"
    age = (datetime.now(UTC) - datetime.fromisoformat(report["at"])).total_seconds() if report else 0.0
    return "running" if is_locked(place) and age < _STALE else "gone"


def _slowest(db: sqlite3.Connection) -> list[dict[str, Any]]:
    found = db.execute(f"SELECT * FROM cells WHERE seconds IS NOT NULL ORDER BY seconds DESC, id LIMIT {_MOST}")
    names = [entry[0] for entry in found.description]
    texts = {reference: f"{name} {reference}" for reference, name in object_rows(db, "reference, name")}
    rows = [dict(zip(names, [texts.get(value, value) for value in row], strict=True)) for row in found]
    shown = ("id", "status", "seconds", "peak_mb", "worker")
    return [{"cell": describe(row), **{name: row.get(name) for name in shown}} for row in rows]


def _errors(db: sqlite3.Connection) -> list[dict[str, Any]]:
    has = {row[1] for row in db.execute("PRAGMA table_info(cells)")}
    traceback = "traceback" if "traceback" in has else "NULL"  # earlier versions wrote none
    found = db.execute(
        f"SELECT status, error, count(*), min(id), {traceback} FROM cells WHERE error IS NOT NULL "
        f"GROUP BY status, error ORDER BY 3 DESC, 2 LIMIT {_MOST}"
    )
    return [
        {"status": status, "error": error, "cells": cells, "id": key, "traceback": trace}
        for status, error, cells, key, trace in found
    ]
