"""Cells are handed out, longest first and a few calls ahead of the workers, and come back in any order.

A call is a batch of cells: of one alone, or of so many as are expected to take a fifth of a second together. How long
that is follows what cells of the kind took so far, and a worker that finds it wrong gives the rest of its batch back.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, NamedTuple

from fastlazy.sweeps.engines import Engine, WorkerLostError
from fastlazy.sweeps.keys import Parameters
from fastlazy.sweeps.measure import FAILED, kind, timeout_error

BATCH = 0.2  # seconds that the cells of one call may take together, if they are more than one
_MOST = 1000  # cells of a batch
_SHARE = 2  # batches that each call in flight must leave for those to come

Run = Callable[..., list[dict[str, Any]]]


class Job(NamedTuple):
    """A cell that is to be measured.

    Attributes
    ----------
    key : str
        Its id.
    parameters : dict
    checkpoint : str, optional
        File for the state of a long run.
    cost : float
        Seconds that it is expected to take, or as many times as much as all of its kind.
    attempts, deaths : int
        How often it has been begun, and how many workers ended while they were at it.
    """

    key: str
    parameters: Parameters
    checkpoint: str | None
    cost: float
    attempts: int = 0
    deaths: int = 0


@dataclass
class Batch:
    """Cells of one call, in flight."""

    jobs: list[Job]
    alone: bool
    since: float = field(default_factory=monotonic)


class Ended(NamedTuple):
    """A cell that has ended, and what became of it."""

    job: Job
    outcome: dict[str, Any]


Flights = dict[Future[Any], Batch]


def drive(
    run: Run,
    jobs: Iterator[Job],
    count: int,
    engine: Engine,
    tries: int,
    *,
    timeout: float | None = None,
    in_flight: Flights | None = None,
    patience: Callable[[], float | None] = lambda: None,
) -> Iterator[list[Ended]]:
    """Call run(cells, seconds, timeout) for batches of the *count* cells of *jobs*; yield what became of them.

    A lost worker counts against a cell only if it had said that it was at this cell; after *tries* of them the cell has
    crashed. If a worker said nothing, each cell that was in flight is a suspect: it is tried alone when the rest is
    done, so that a worker that is lost then was lost by this cell.

    Parameters
    ----------
    run : callable
        Such as `fastlazy.sweeps.measure.attempt_all`.
    jobs : iterator of Job
        Taken as they are needed.
    count : int
        How many they are.
    engine : Engine
    tries : int
    timeout : float, optional
        Seconds that a cell may take.
    in_flight : dict, optional
        Filled with what is in flight, in place, for whoever watches.
    patience : callable
        () to the seconds in which to yield something, an empty list if need be; None is no limit.

    Raises
    ------
    RuntimeError
        If the executor breaks.
    """
    flying = {} if in_flight is None else in_flight
    waiting, suspects = _Waiting(jobs, count), deque[Job]()
    done = SimpleQueue[Future[Any]]()

    def submit(batch: list[Job], alone: bool) -> None:
        batch = [job._replace(attempts=job.attempts + 1) for job in batch]
        cells = [(job.parameters, job.checkpoint) for job in batch]
        future = engine.executor.submit(run, cells, BATCH, timeout)
        flying[future] = Batch(batch, alone)
        future.add_done_callback(done.put)

    def refill() -> None:
        while waiting.count and len(flying) < engine.room():
            submit(waiting.batch(engine.room()), alone=False)
        if not flying and suspects:
            submit([suspects.popleft()], alone=True)

    def settle(future: Future[Any]) -> list[Ended]:
        batch = flying.pop(future)
        try:
            outcomes = future.result()
        except WorkerLostError as error:
            return _after_loss(error, batch.jobs, waiting, tries, timeout)
        except (CancelledError, BrokenExecutor) as error:
            raise RuntimeError(
                f"the executor broke ({type(error).__name__}: {error}). What was finished is in the store; run "
                "the same call with a new executor, or with executor=None, whose workers are replaced"
            ) from error
        except Exception as error:
            if engine.kind != "dask" or type(error).__name__ != "KilledWorker":
                raise RuntimeError(
                    f"the executor cannot run cells ({type(error).__name__}: {error}). Its workers need the "
                    "same versions of Python and fastlazy as this process"
                ) from error
            if batch.alone:
                return [Ended(job, _crash(job.attempts, "dask: KilledWorker", None)) for job in batch.jobs]
            suspects.extend(batch.jobs)
            return []
        waiting.learn(batch.jobs, outcomes)
        waiting.put_first([job._replace(attempts=job.attempts - 1) for job in batch.jobs[len(outcomes) :]])
        return [*map(Ended, batch.jobs, outcomes)]

    try:
        refill()
        while flying:
            ended: list[Ended] = []
            landed = sorted(_landed(done, patience()), key=_has_failed)  # results first: an error may end the sweep
            for future in landed:
                if ended and _has_failed(future):
                    yield ended
                    ended = []
                ended += settle(future)
            refill()
            yield ended
    finally:
        for future in flying:
            future.cancel()


class _Waiting:
    """Cells that wait, and how many of them make a batch."""

    def __init__(self, jobs: Iterator[Job], count: int) -> None:
        self._jobs, self.count = jobs, count
        self._first, self._last = deque[Job](), deque[Job]()
        self._pace: defaultdict[Any, float] = defaultdict(lambda: 1.0)  # seconds over cost, by kind

    def batch(self, calls: int) -> list[Job]:
        """The next cells, for one of so many *calls* at a time."""
        found: list[Job] = []
        seconds, most = 0.0, min(_MOST, self.count // (_SHARE * calls))
        while self.count:
            job = self._next()
            expected = job.cost * self._pace[kind(job.parameters)]
            if found and (seconds + expected > BATCH or len(found) >= most):
                self._first.appendleft(job)
                break
            seconds += expected
            found.append(job)
            self.count -= 1
        return found

    def _next(self) -> Job:
        if self._first:
            return self._first.popleft()
        job = next(self._jobs, None)
        return self._last.popleft() if job is None else job

    def put_first(self, jobs: list[Job]) -> None:
        """Take back cells that are to be the next."""
        self._first.extendleft(reversed(jobs))
        self.count += len(jobs)

    def put_last(self, job: Job) -> None:
        """Take back a cell that is to be tried again when the rest has been."""
        self._last.append(job)
        self.count += 1

    def learn(self, jobs: list[Job], outcomes: list[dict[str, Any]]) -> None:
        """Expect cells to take as long as these took that have ended."""
        spent, expected = defaultdict[Any, float](float), defaultdict[Any, float](float)
        for job, outcome in zip(jobs, outcomes, strict=False):
            if outcome["status"] in FAILED:
                continue  # it may have ended at once
            spent[kind(job.parameters)] += outcome["seconds"]
            expected[kind(job.parameters)] += job.cost
        for name in spent:
            self._pace[name] = spent[name] / expected[name]


def _after_loss(
    error: WorkerLostError, jobs: list[Job], waiting: _Waiting, tries: int, timeout: float | None
) -> list[Ended]:
    """What became of the cell at which a worker ended, if that is all; the other *jobs* of its batch wait again."""
    at = min(error.words.call, len(jobs) - 1)
    job = jobs[at]._replace(deaths=jobs[at].deaths + 1)
    not_begun = [other._replace(attempts=other.attempts - 1) for other in jobs[at + 1 :]]
    waiting.put_first([*jobs[:at], *not_begun])
    if error.words.timed_out:
        told = {"status": "timeout", "error": timeout_error(timeout), "traceback": error.words.trace}
        return [Ended(job, {**told, "seconds": timeout})]
    if job.deaths >= tries:
        return [Ended(job, _crash(job.deaths, str(error), error.words.trace))]
    waiting.put_last(job)
    return []


def _crash(times: int, how: str, trace: str | None) -> dict[str, Any]:
    error = f"its worker ended {times} times ({how}), most often for lack of memory"
    return {"status": "crashed", "error": error, "traceback": trace or f"none: the process was ended by {how}"}


def _landed(done: SimpleQueue[Future[Any]], patience: float | None) -> Iterator[Future[Any]]:
    """Those that have ended, once there is one, or the patience is at its end."""
    with suppress(Empty):
        yield done.get(timeout=patience)
        while True:
            yield done.get_nowait()


def _has_failed(future: Future[Any]) -> bool:
    return future.cancelled() or future.exception() is not None
