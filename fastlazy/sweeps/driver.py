"""Sweeps: many cells, each measured once, whatever happens on the way.

The driver, this process, hands cells out, longest first and a few at a time, and writes down what comes back,
one transaction each. What a cell gives depends on its parameters alone (`fastlazy.sweeps.cells`), so a table does
not depend on the number of workers, on the order in which they finish, or on how often the sweep was cut
short. The same call again goes on from the store.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from fastlazy._support.arguments import check_choice, check_count
from fastlazy._support.files import check_path
from fastlazy._support.signals import sigterm_raises
from fastlazy._support.threads import available_cores, one_blas_thread
from fastlazy.sweeps.cells import cell_stream, check_cells
from fastlazy.sweeps.engines import Engine, WorkerLostError, check_engine, open_engine
from fastlazy.sweeps.measure import FAILED, RESULTS, attempt, cost, warm_up
from fastlazy.sweeps.objects import Own, objects_of
from fastlazy.sweeps.own_columns import ColumnError
from fastlazy.sweeps.progress import Progress
from fastlazy.sweeps.quantity import MeasuredCell, Quantity, check_measure, stale_cells
from fastlazy.sweeps.regimes import COSTLY, REGIMES
from fastlazy.sweeps.store import Store, load, now

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
    measure: Callable[[MeasuredCell], Mapping[str, float]] | str | None = None,
    on_change: str = "raise",
) -> pd.DataFrame:
    """The table of all *cells*, one row each in their order; cells that the store has are not measured again.

    Parameters
    ----------
    cells : list of mapping
        From `grid`, or made by hand. Keys of all: regime ("RF", "NT", "NN"), d, N; and, if not the default,
        activation ("square"; for RF any name that `get_activation` knows, for NT and NN any but "step", or an
        `Activation`), draw (0), seed (0), target ("exponential" with target_seed (0), "identity", "power_law" with
        exponent (1.0), "rank_one", "spiked" with n_spikes (1) and spike (10.0), "mixture" with target_seed, a list of d
        eigenvalues, or an object: a symmetric matrix (d, d), a `QuadraticTarget` or a `GaussianMixture`, with a name
        as {"name": object}). RF and NT: ridge (0.0), n_samples (the population). NN: second_layer, scale and init as in
        `fit_nn`, and nn: "sgd" (the default), with n_samples, batch_size, step_size, dtype and diagnostics as there, or
        "flow", `nn_flow` without these, with tolerance and max_gradients as there. Equal cells are measured once.
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
        Whether cells that the store has as "failed" or "crashed" are tried again; one that diverged would again.
    measure : function or str, optional
        A quantity of one's own: a function from a `MeasuredCell` to a dict of numbers, which become columns, or its
        name, "package.module:function". Cells that were finished without it are measured again. A cell of which it
        raises an error has failed, with its other results in the row.
    on_change : str
        What is done about finished cells for which *measure* was another function than it is now: "raise" an error
        before anything runs, "measure" them again, or "keep" their numbers.

    Returns
    -------
    DataFrame
        Columns id, status ("done", "diverged", "failed", "crashed"), the parameters, stream (the seed of what was
        drawn), risk, null_risk, ratio (risk / null_risk), predicted (that ratio as theory has it, empty where there is
        none), fit_status (of NN that of its `Fit`, "unconverged" for a flow that was not at its end), late_gain (of NN:
        by how much the ratio fell in the second half of training), those of `Diagnostics` at the end of training where
        the cell asks for them, measure (name and digest of the function that was given), error, and, the only ones that
        differ from run to run, traceback (of a failed cell), attempts, seconds, peak_mb, worker, finished, versions. At
        the end those of *measure*, in the order of the alphabet, empty where a cell has no such number. The results of
        training that diverged are those of its last finite state.

    Warns
    -----
    RuntimeWarning
        If rows of the store are not as they were written. Their cells are measured again.

    Raises
    ------
    TypeError, ValueError
        If an argument or a cell is not what it must be, before anything runs; the file is not a store; or *measure*
        returns a number whose name can be no column, which ends the sweep.
    OSError
        If the store cannot be written, another sweep is writing to it, or a dask scheduler is not there.
    RuntimeError
        If the executor breaks, or a cell fails and on_error is "raise". What was finished is in the store.

    Notes
    -----
    SIGTERM ends a sweep as Ctrl-C does, with exit status 143, unless the caller has a handler of its own.
    """
    place = check_path("store", store)
    check_engine(executor, n_workers)
    check_choice("on_error", on_error, ["record", "raise"])
    quantity = check_measure(measure, on_change)
    tries = check_count("retries", retries, 0) + 1
    wanted = check_cells(cells)
    objects = objects_of(wanted.values())
    told = f"finished cells are in {place}; the same call goes on from there"
    with sigterm_raises(told), Store(place, RESULTS) as db:
        stale = stale_cells(db.others(quantity) if quantity else (), wanted, quantity, on_change)
        db.keep(objects.values(), quantity)
        left = _left(wanted, {key: status for key, status in db.statuses().items() if key not in stale}, rerun_failed)
        if left:
            if executor is None:  # no more processes than cells
                n_workers = min(n_workers or available_cores(), len(left))
            with open_engine(executor, n_workers) as engine, one_blas_thread():
                if engine.kind != "dask":
                    warm_up(left.values())
                _run(left, db, engine, tries, Progress(wanted, left, progress), on_error, quantity)
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
    TypeError
        If *store* is no path.
    OSError
        If there is no such file, or it is a folder.
    ValueError
        If it is not a store, is damaged, has rows that are not as they were written, or was written by a later
        version.
    """
    return load(store)


class Plan(NamedTuple):
    """What a sweep would do."""

    cells: int
    finished: int
    failed: int
    seconds: float  # estimated time of the cells that are left, on one thread
    longest: float  # estimated time of the longest of them
    measured: int  # cells from which this is estimated
    guessed: float  # the part of `seconds` for cells of a kind of which none was measured
    diverged: int
    left: int  # cells that would be run


def plan_sweep(
    cells: Iterable[Mapping[str, Any]],
    store: str | os.PathLike[str],
    *,
    rerun_failed: bool = False,
    measure: Callable[[MeasuredCell], Mapping[str, float]] | str | None = None,
    on_change: str = "raise",
) -> Plan:
    """What `run_sweep` would do; errors as there. Times are those of finished cells of the same kind, if there are any.

    Without any they are those of `fastlazy.sweeps.measure.cost`.
    """
    place, quantity = check_path("store", store), check_measure(measure, on_change)
    wanted = check_cells(cells)
    table = load(place) if place.exists() else pd.DataFrame(columns=["id", "status", "regime"])
    done = table[table["status"] == "done"].reindex(columns=["id", "measure"])
    labels = done.astype(object).where(done.notna(), None).itertuples(index=False, name=None)
    stale = stale_cells(labels, wanted, quantity, on_change)
    statuses = {key: status for key, status in zip(table["id"], table["status"], strict=True) if key not in stale}
    rates, measured = _rates(table[table["status"] == "done"], objects_of(wanted.values()))
    left = _left(wanted, statuses, rerun_failed)
    each = [(cost(parameters) * rates.get(_kind(parameters), 1.0), parameters) for parameters in left.values()]
    ended = Counter(statuses.get(key) for key in wanted)
    return Plan(
        cells=len(wanted),
        finished=ended["done"],
        failed=sum(ended[status] for status in FAILED),
        seconds=sum(seconds for seconds, _ in each),
        longest=max((seconds for seconds, _ in each), default=0.0),
        measured=measured,
        guessed=sum(seconds for seconds, parameters in each if _kind(parameters) not in rates),
        diverged=ended["diverged"],
        left=len(left),
    )


def _kind(parameters: Mapping[str, Any]) -> tuple[Any, ...]:
    """What cells that take as long as their costs say, or all as many times as long, have in common."""
    return parameters["regime"], str(parameters["activation"]), parameters["n_samples"] is None


def _rates(done: pd.DataFrame, objects: Mapping[str, Own]) -> tuple[dict[tuple[Any, ...], float], int]:
    """Seconds that finished cells took over their cost, by kind, and how many cells these are.

    Of cells with an object only those count whose object is among *objects*, by reference.
    """
    spent, expected, measured = defaultdict[Any, float](float), defaultdict[Any, float](float), 0
    for seconds, *values in done.reindex(columns=["seconds", "regime", *COSTLY]).itertuples(index=False):
        known = [None if pd.isna(value) else value for value in values]
        parameters: dict[str, Any] = dict(zip(["regime", *COSTLY], known, strict=True))
        _, mark, digits = str(parameters["activation"]).rpartition("#")
        parameters["activation"] = objects.get(mark + digits) if mark else parameters["activation"]
        regime = REGIMES.get(parameters["regime"])
        lacks_samples = parameters["n_samples"] is None and parameters["nn"] != "flow"
        if regime is None or not seconds > 0 or (regime.is_trained and lacks_samples):
            continue  # the row was edited by hand
        if parameters["activation"] is None:
            continue
        measured += 1
        spent[_kind(parameters)] += seconds
        expected[_kind(parameters)] += cost(parameters)
    return {kind: spent[kind] / expected[kind] for kind in spent}, measured


def drive(
    run: Callable[..., Any], jobs: Iterable[tuple[str, tuple[Any, ...]]], engine: Engine, tries: int
) -> Iterator[tuple[str, int, Any]]:
    """Call run(*arguments) for each of *jobs*, (key, arguments); yield (key, attempts, what came back) as they end.

    What comes back of a job whose worker ended *tries* times is a crash (`_crash`). A lost worker counts against a job
    only if the worker had said that it was at this job. If it said nothing, each job that was in flight is a suspect:
    it is tried alone when the rest is done, so that a worker that is lost then was lost by this job.
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


def _has_failed(future: Future[Any]) -> bool:
    return future.cancelled() or future.exception() is not None


def _crash(times: int, how: str) -> dict[str, Any]:
    error = f"its worker ended {times} times ({how}), most often for lack of memory"
    return {"status": "crashed", "error": error}


def _left(
    wanted: Mapping[str, dict[str, Any]], statuses: Mapping[str, str], rerun_failed: bool
) -> dict[str, dict[str, Any]]:
    """The cells to run, longest first."""
    ended = {key for key, status in statuses.items() if not (rerun_failed and status in FAILED)}
    left = [key for key in wanted if key not in ended]
    left.sort(key=lambda key: cost(wanted[key]), reverse=True)
    return {key: wanted[key] for key in left}


def _run(
    left: Mapping[str, dict[str, Any]],
    db: Store,
    engine: Engine,
    tries: int,
    bar: Progress,
    on_error: str,
    quantity: Quantity | None,
) -> None:
    """Run the cells *left* and record them."""

    def jobs() -> Iterator[tuple[str, tuple[Any, ...]]]:
        for key, parameters in left.items():
            if REGIMES[parameters["regime"]].is_trained and cost(parameters) > _LONG:
                db.checkpoints.mkdir(exist_ok=True)
                yield key, (parameters, str(_checkpoint(db, key).absolute()))
            else:
                yield key, (parameters, None)

    run = attempt if quantity is None else partial(attempt, quantity=quantity)
    with bar:
        for key, attempts, outcome in drive(run, jobs(), engine, tries):
            parameters = left[key]
            row = {"id": key, **parameters, "stream": cell_stream(parameters)}
            row |= {**outcome, "attempts": attempts, "finished": now()}
            try:
                db.add_columns(outcome.get("own", ()))
            except ColumnError:  # so it will be for all cells; this one counts as finished without the measure
                db.record({**row, "own": None, "measure": None})
                raise
            db.record(row)
            bar.advance(parameters, outcome["status"])
            if outcome["status"] in FAILED and on_error == "raise":
                error = RuntimeError(f"the cell {parameters} {outcome['status']}: {outcome['error']}")
                if "traceback" in outcome:
                    error.add_note(outcome["traceback"])
                raise error


def _checkpoint(db: Store, key: str) -> Path:
    return db.checkpoints / f"{key}.npz"


def _clean(db: Store) -> None:
    """Remove the checkpoints of finished cells, and what killed workers left half written."""
    with suppress(OSError):
        kept = {_checkpoint(db, key).name for key, status in db.statuses().items() if status not in FAILED}
        for path in db.checkpoints.iterdir():
            if path.name.startswith((".", *kept)):
                path.unlink()
        db.checkpoints.rmdir()
