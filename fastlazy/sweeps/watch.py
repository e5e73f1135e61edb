"""What a driver tells of itself while it runs: in its store, for `fastlazy status`, and in a log file."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from fastlazy.sweeps.dispatch import Ended, Flights
from fastlazy.sweeps.engines import Engine
from fastlazy.sweeps.measure import FAILED, cost, kind
from fastlazy.sweeps.packed import PackedCells
from fastlazy.sweeps.progress import nanoseconds
from fastlazy.sweeps.provenance import provenance
from fastlazy.sweeps.store import Store, now

BEAT = 2.0  # seconds between two reports in the store
_RATE = 60.0  # seconds over which the rate is a mean


class Watch:
    """A context within which a driver reports to its store every other second, and to a log what happens.

    Parameters
    ----------
    db : Store
    engine : Engine
    in_flight : dict
        As `fastlazy.sweeps.dispatch.drive` fills it.
    wanted : int
        Cells of the sweep.
    left : PackedCells
        Those that have not ended.
    log : Path, optional
        A file to which a line for each event is added.
    """

    def __init__(
        self, db: Store, engine: Engine, in_flight: Flights, wanted: int, left: PackedCells, log: Path | None
    ) -> None:
        self._db, self._engine, self._in_flight, self._log = db, engine, in_flight, log
        self._wanted, self._total, self._ended = wanted, len(left), Counter[str]()
        # Costs are exact sums, in nanoseconds: a cell of years does not swallow those of milliseconds.
        self._left = defaultdict[Any, list[int]](lambda: [0, 0])  # cells and their cost, by kind
        self._took = defaultdict[Any, list[int]](lambda: [0, 0])  # time and cost of those that ended
        for parameters in left.values():
            _add(self._left[kind(parameters)], 1, nanoseconds(cost(parameters)))
        self._marks = [(time.monotonic(), 0)]  # when so many had ended
        self._next = 0.0
        self._file: TextIO | None = None

    def __enter__(self) -> Watch:
        if self._log is not None:
            self._file = open(self._log, "a", encoding="utf-8")
        host = socket.gethostname()
        self._db.note(
            run={"host": host, "process": os.getpid(), "since": now(), "command": sys.argv, **provenance()},
            end=None,
        )
        self._db.tell(left=self._left_by_regime)
        self._say("start", f"{self._total} of {self._wanted} cells with {self._engine.workers()} workers")
        self.beat()
        return self

    def __exit__(self, kind_: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        how = "finished" if kind_ is None else f"{kind_.__name__}: {error}".rstrip(": ")
        self._db.note(now={**self._report(), "running": []}, end={"how": how, "at": now()})
        self._say("end", how)
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def patience(self) -> float:
        """Seconds in which something is due: a report, or rows to be written."""
        waits = max(0.0, self._next - time.monotonic())
        due = self._db.due()
        return waits if due is None else min(waits, due)

    def count(self, ended: Ended) -> None:
        """Count a cell that has ended."""
        job, outcome = ended
        seconds = outcome.get("seconds") or 0.0
        self._ended[outcome["status"]] += 1
        if outcome["status"] not in FAILED:  # which may have ended at once
            _add(self._took[kind(job.parameters)], nanoseconds(seconds), nanoseconds(job.cost))
        _add(self._left[kind(job.parameters)], -1, -nanoseconds(job.cost))
        if self._file is not None:
            text = f"{job.key[:12]} {describe(job.parameters)} in {seconds:.3g} s on {outcome.get('worker')}"
            text += f", attempt {job.attempts}" * (job.attempts > 1)
            text += f": {' '.join(str(outcome.get('error')).split())}" * (outcome["status"] != "done")
            self._say(outcome["status"], text)

    def beat(self) -> None:
        """Report, if it is time to."""
        if time.monotonic() < self._next:
            return
        self._db.note(now=self._report())
        self._db.flush()
        self._next = time.monotonic() + BEAT
        if self._file is not None:
            with suppress(OSError):
                self._file.flush()

    def _report(self) -> dict[str, Any]:
        ended, moment = self._ended.total(), time.monotonic()
        self._marks = [mark for mark in self._marks if moment - mark[0] < _RATE] or self._marks[-1:]
        since, before = self._marks[0]
        self._marks.append((moment, ended))
        return {
            "at": now(),
            "wanted": self._wanted,
            "ended": dict(self._ended),
            "rate": (ended - before) / max(moment - since, 1e-9),
            "workers": self._engine.workers(),
            "memory_mb": memory_mb(os.getpid()),
            "running": self._running(),
        }

    def _left_by_regime(self) -> dict[str, Any]:
        """Of each regime cells that are left, seconds that they will take, and whether this is a guess for some."""
        found: dict[str, Any] = {}
        for name, (cells, expected) in self._left.items():
            took, cost_ = self._took[name]
            pace = took / cost_ if cost_ else 1.0
            row = found.setdefault(name[0], {"cells": 0, "seconds": 0.0, "guessed": False})
            row["cells"] += cells
            row["guessed"] |= cells > 0 and not cost_
            row["seconds"] += expected / 1e9 * pace / self._engine.workers()
        return found

    def _running(self) -> list[dict[str, Any]]:
        """What each worker is at, as far as that is known, the longest first."""
        places = self._engine.at_work()
        found: list[dict[str, Any]] = []
        for future, batch in [*self._in_flight.items()]:
            place = places.get(future)
            if place is None and self._engine.kind == "own":
                continue  # it waits for a worker
            job = batch.jobs[min(place.call if place else 0, len(batch.jobs) - 1)]
            entry: dict[str, Any] = {"cell": describe(job.parameters), "id": job.key, "batch": len(batch.jobs)}
            entry["seconds"] = round(time.monotonic() - batch.since, 1)
            if place is not None:
                entry |= {"worker": f"{socket.gethostname()}/{place.process}", "memory_mb": memory_mb(place.process)}
            found.append(entry)
        return sorted(found, key=lambda entry: -entry["seconds"])[: self._engine.workers()]

    def _say(self, event: str, text: str) -> None:
        """Add a line to the log, unless its disk is full: the store has what counts."""
        if self._file is not None:
            with suppress(OSError):
                self._file.write(f"{now()} {event} {text}\n")


def describe(parameters: Mapping[str, Any]) -> str:
    """A cell in a few words."""
    shown = ("regime", "d", "N", "activation", "target", "n_samples", "ridge", "draw", "seed")
    given = {name: parameters.get(name) for name in shown}
    plain = {"activation": "square", "target": "exponential", "ridge": 0.0, "seed": 0}
    kept = [f"{name}={value}" for name, value in given.items() if value is not None and plain.get(name) != value]
    return " ".join(kept).removeprefix("regime=")[:200]


def memory_mb(process: int) -> float | None:
    """Resident memory of a process of this machine in MB, where the system tells it."""
    with suppress(OSError, ValueError, IndexError, AttributeError):
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    return None


def _add(sums: list[int], first: int, second: int) -> None:
    sums[0] += first
    sums[1] += second
