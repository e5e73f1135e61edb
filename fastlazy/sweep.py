"""Sweeps: many cells, each measured once, whatever happens on the way.

The driver, this process, hands cells out, longest first and a few at a time, and writes down what comes back,
one transaction each. What a cell gives depends on its parameters alone (`fastlazy.cells`), so a table does
not depend on the number of workers, on the order in which they finish, or on how often the sweep was cut
short. The same call again goes on from the store.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from fastlazy._team import one_blas_thread
from fastlazy._validate import check_choice, check_count
from fastlazy.cells import cell_stream, check_cells
from fastlazy.engines import Engine, WorkerLostError, open_engine
from fastlazy.measure import COSTLY, RESULTS, attempt, cost, warm_up
from fastlazy.store import Store, load, now

_LONG = 10.0  # estimated seconds from which a cell is given a file for its checkpoint


def run_sweep(
    cells: Iterable[Mapping[str, Any]],
    store: str | os.PathLike[str],
    *,
    executor: Any = None,
    n_workers: int | None = None,
    retries: int = 2,
    progress: bool = True,
    on_error: str = "record",
    rerun_failed: bool = False,
) -> pd.DataFrame:
    """The table of all *cells*, one row each in their order; cells that the store has are not measured again.

    Parameters
    ----------
    cells : list of mapping
        From `grid`, or made by hand. Keys of all: regime ("RF", "NT", "NN"), d, N; and, if not the default,
        activation ("square"; for RF any name that `get_activation` knows, for NT any but "step"), draw (0), seed (0),
        target ("exponential" with target_seed (0), "identity", "power_law" with exponent (1.0), "rank_one", or a list
        of d eigenvalues). RF and NT: ridge (0.0), n_samples (the population). NN: n_samples; batch_size, step_size,
        second_layer, dtype, scale, init and diagnostics as in `fit_nn`. Equal cells are measured once.
    store : path
        An SQLite file, made if it is not there. Every cell is in it as soon as it is finished.
    executor : optional
        Default: processes of this machine, one thread each. Or any `concurrent.futures.Executor`, a dask
        Client, or the address of a dask scheduler as "dask:tcp://host:port".
    n_workers : int, optional
        Number of processes; default one for each core that this process may use. For another executor, how
        many cells it works on at a time; default what it says itself.
    retries : int
        How often a cell is tried again whose worker died, before it is recorded as "crashed".
    progress : bool
        Whether to show a bar.
    on_error : str
        "record": a cell that raises an error is a row with status "failed", and the sweep goes on. "raise": it
        is recorded, and ends the sweep.
    rerun_failed : bool
        Whether cells that the store has as "failed" or "crashed" are tried again.

    Returns
    -------
    DataFrame
        Columns id, status ("done", "failed", "crashed"), the parameters, stream (the seed of what was drawn),
        risk, null_risk, ratio (risk / null_risk), predicted (that ratio as theory has it), fit_status, those of
        `Diagnostics` at the end of training where the cell asks for them, error, and, the only ones that differ from
        run to run, attempts, seconds, peak_mb, worker, finished, versions.

    Raises
    ------
    TypeError, ValueError
        If an argument or a cell is not what it must be, before anything runs; or the file is not a store.
    OSError
        If the store cannot be written, another sweep is writing to it, or a dask scheduler is not there.
    RuntimeError
        If the executor breaks, or a cell fails and on_error is "raise". What was finished is in the store.
    """
    wanted = check_cells(cells)
    check_choice("on_error", on_error, ["record", "raise"])
    tries = check_count("retries", retries, 0) + 1
    with Store(store, RESULTS) as db:
        left = _left(wanted, db.statuses(), rerun_failed)
        if left:
            with open_engine(executor, n_workers) as engine, one_blas_thread():
                if engine.kind != "dask":
                    warm_up(left.values())
                _run(left, db, engine, tries, _Progress(wanted, left, progress), on_error)
        _clean(db)
        ids = list(wanted)
        del wanted, left  # as large as the table
        return db.table(ids)


def load_sweep(store: str | os.PathLike[str]) -> pd.DataFrame:
    """The table of a store, one row for each cell that has ended, ordered by regime, d, N and draw.

    Parameters
    ----------
    store : path
        Of `run_sweep`, which may be at work on it.

    Returns
    -------
    DataFrame
        Columns as `run_sweep` returns them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a store, is damaged, or was written by a later version.
    """
    return load(store)


class Plan(NamedTuple):
    """What a sweep would do."""

    cells: int
    finished: int
    failed: int
    seconds: float  # of work that is left, on one thread
    longest: float  # the longest cell of it
    measured: int  # cells from which this is estimated


def plan_sweep(
    cells: Iterable[Mapping[str, Any]], store: str | os.PathLike[str], *, rerun_failed: bool = False
) -> Plan:
    """What `run_sweep` would do; errors as there. Times are those of finished cells of the same regime."""
    wanted = check_cells(cells)
    table = load(store) if Path(store).exists() else pd.DataFrame(columns=["id", "status", "regime"])
    statuses = dict(zip(table["id"], table["status"], strict=True))
    done = table[table["status"] == "done"]
    spent, expected = dict[str, float](), dict[str, float]()
    for regime, seconds, *values in done.reindex(columns=["regime", "seconds", *COSTLY]).itertuples(index=False):
        known = [None if pd.isna(value) else value for value in values]
        spent[regime] = spent.get(regime, 0.0) + seconds
        expected[regime] = expected.get(regime, 0.0) + cost(
            dict(zip(["regime", *COSTLY], [regime, *known], strict=True))
        )
    rate = {regime: spent[regime] / expected[regime] for regime in spent}
    left = _left(wanted, statuses, rerun_failed)
    each = [cost(parameters) * rate.get(parameters["regime"], 1.0) for parameters in left.values()]
    ended = Counter(statuses.get(key) for key in wanted)
    return Plan(
        cells=len(wanted),
        finished=ended["done"],
        failed=ended["failed"] + ended["crashed"],
        seconds=sum(each),
        longest=max(each, default=0.0),
        measured=len(done),
    )


def drive(
    run: Callable[..., Any], jobs: Iterable[tuple[str, tuple[Any, ...]]], engine: Engine, tries: int
) -> Iterator[tuple[str, int, Any]]:
    """Call run(*arguments) for each of *jobs*, (key, arguments); yield (key, attempts, what came back) as they end.

    What comes back of a job whose worker ended *tries* times is a crash (`_crash`). Only workers that say which
    job they were at count against it; one that was lost with others beside it is tried alone, when the rest is
    done, and what is then lost was lost through it.
    """
    waiting, suspects = deque(jobs), deque[tuple[str, tuple[Any, ...]]]()
    in_flight: dict[Future[Any], tuple[tuple[str, tuple[Any, ...]], bool]] = {}
    attempts: Counter[str] = Counter()

    def submit(job: tuple[str, tuple[Any, ...]], alone: bool) -> None:
        attempts[job[0]] += 1
        in_flight[engine.executor.submit(run, *job[1])] = job, alone

    try:
        while waiting or suspects or in_flight:
            while waiting and len(in_flight) < engine.room():
                submit(waiting.popleft(), alone=False)
            if not in_flight:
                submit(suspects.popleft(), alone=True)
            ended = wait(in_flight, return_when=FIRST_COMPLETED).done
            for future in sorted(ended, key=_has_failed):  # results first: an error may end the sweep
                job, alone = in_flight.pop(future)
                key = job[0]
                try:
                    result = future.result()
                except WorkerLostError as error:
                    if attempts[key] < tries:
                        waiting.append(job)
                    else:
                        yield key, attempts[key], _crash(attempts[key], str(error))
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
                    if alone:
                        yield key, attempts[key], _crash(attempts[key], "dask: KilledWorker")
                    else:
                        suspects.append(job)
                else:
                    yield key, attempts[key], result
    finally:
        for future in in_flight:
            future.cancel()


def duration(seconds: float) -> str:
    """A time in words that suit its size."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return str(timedelta(seconds=round(seconds))) if seconds < 86_400 else f"{seconds / 86_400:.3g} days"


def _has_failed(future: Future[Any]) -> bool:
    return future.cancelled() or future.exception() is not None


def _crash(times: int, how: str) -> dict[str, Any]:
    error = f"its worker ended {times} times ({how}), most often for lack of memory"
    return {"status": "crashed", "error": error}


def _left(
    wanted: Mapping[str, dict[str, Any]], statuses: Mapping[str, str], rerun_failed: bool
) -> dict[str, dict[str, Any]]:
    """The cells to run, longest first."""
    ended = {key for key, status in statuses.items() if status == "done" or not rerun_failed}
    left = [key for key in wanted if key not in ended]
    left.sort(key=lambda key: cost(wanted[key]), reverse=True)
    return {key: wanted[key] for key in left}


def _run(
    left: Mapping[str, dict[str, Any]], db: Store, engine: Engine, tries: int, bar: _Progress, on_error: str
) -> None:
    """Run the cells *left* and record them."""

    def jobs() -> Iterator[tuple[str, tuple[Any, ...]]]:
        for key, parameters in left.items():
            if parameters["regime"] == "NN" and cost(parameters) > _LONG:
                db.checkpoints.mkdir(exist_ok=True)
                yield key, (parameters, str(_checkpoint(db, key).absolute()))
            else:
                yield key, (parameters, None)

    with bar:
        for key, attempts, outcome in drive(attempt, jobs(), engine, tries):
            parameters = left[key]
            db.record(
                {"id": key, **parameters, "stream": cell_stream(parameters)}
                | {**outcome, "attempts": attempts, "finished": now()}
            )
            bar.advance(parameters, outcome["status"])
            if outcome["status"] != "done" and on_error == "raise":
                raise RuntimeError(f"the cell {parameters} {outcome['status']}: {outcome['error']}")


def _checkpoint(db: Store, key: str) -> Path:
    return db.checkpoints / f"{key}.npz"


def _clean(db: Store) -> None:
    """Remove the checkpoints of finished cells, and what killed workers left half written."""
    with suppress(OSError):
        kept = {_checkpoint(db, key).name for key, status in db.statuses().items() if status == "done"}
        for path in db.checkpoints.iterdir():
            if path.name in kept or path.name.startswith("."):
                path.unlink()
        db.checkpoints.rmdir()


class _Progress:
    """The bar: cells finished, failed and left, and the time left by what they are expected to cost."""

    def __init__(self, wanted: Mapping[str, Any], left: Mapping[str, Mapping[str, Any]], shown: bool) -> None:
        self.failed, self.left = 0, len(left)
        self.cost_done, self.cost_left = 0.0, sum(map(cost, left.values()))
        self.start = time.monotonic()
        self.bar = tqdm(
            total=len(wanted),
            initial=len(wanted) - len(left),
            unit="cell",
            disable=not shown,
            mininterval=0.5 if sys.stderr.isatty() else 10.0,  # a log file needs no animation
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} cells [{elapsed}{postfix}]",
        )

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def advance(self, parameters: Mapping[str, Any], status: str) -> None:
        """Count one cell that ended with *status*."""
        self.left -= 1
        self.failed += status != "done"
        self.cost_done += cost(parameters)
        self.cost_left -= cost(parameters)
        elapsed = time.monotonic() - self.start
        remaining = duration(max(0.0, elapsed * self.cost_left / self.cost_done))
        self.bar.set_postfix_str(f"failed {self.failed}, left {self.left}, time left {remaining}", refresh=False)
        self.bar.update()
