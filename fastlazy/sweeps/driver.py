"""Sweeps: many cells, each measured once, whatever happens on the way.

The driver, this process, hands cells out (`fastlazy.sweeps.dispatch`) and writes down what comes back. What a cell
gives depends on its parameters alone (`fastlazy.sweeps.cells`), so a table does not depend on the number of workers, on
the order in which they finish, or on how often the sweep was cut short. The same call again goes on from the store.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from fastlazy._support.arguments import check_choice, check_count, check_real
from fastlazy._support.files import check_path, check_writable
from fastlazy._support.signals import sigterm_raises
from fastlazy._support.threads import available_cores, one_blas_thread
from fastlazy.sweeps.cells import cell_stream, check_cells
from fastlazy.sweeps.dispatch import Ended, Flights, Job, Run, drive
from fastlazy.sweeps.engines import Engine, check_engine, open_engine
from fastlazy.sweeps.measure import FAILED, RESULTS, attempt_all, cost, warm_up
from fastlazy.sweeps.merging import check_shard, load_all, shard_cells
from fastlazy.sweeps.objects import objects_of
from fastlazy.sweeps.own_columns import ColumnError
from fastlazy.sweeps.packed import PackedCells
from fastlazy.sweeps.planning import check_rerun, left_cells
from fastlazy.sweeps.progress import Progress
from fastlazy.sweeps.provenance import provenance
from fastlazy.sweeps.quantity import MeasuredCell, check_measure, stale_cells
from fastlazy.sweeps.regimes import REGIMES
from fastlazy.sweeps.store import Store, now
from fastlazy.sweeps.tables import load, scan
from fastlazy.sweeps.watch import Watch

_LONG = 10.0  # estimated seconds from which a cell is given a file for its checkpoint


def run_sweep(
    cells: Iterable[Mapping[str, Any]],
    store: str | os.PathLike[str],
    *,
    executor: Any = None,
    n_workers: int | None = None,
    retries: int = 2,
    timeout: float | None = None,
    shard: tuple[int, int] | None = None,
    progress: bool = True,
    on_error: str = "record",
    rerun_failed: bool = False,
    rerun: Collection[str] = (),
    log: str | os.PathLike[str] | None = None,
    measure: Callable[[MeasuredCell], Mapping[str, float]] | str | None = None,
    on_change: str = "raise",
) -> pd.DataFrame:
    """The table of all *cells*, one row each in their order; cells that the store has are not measured again.

    Parameters
    ----------
    cells : list of mapping
        From `grid`, or made by hand. Keys of all: regime ("RF", "NT", "NN"), d, N; and, if not the default,
        activation ("square"; for RF any name that `get_activation` knows, for NT and NN any but "step"; a function; an
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
    timeout : float, optional
        Seconds that a cell may take, before it is recorded as "timeout"; default as long as it takes. Our own workers
        are ended and replaced, whatever they are at. In threads and on a cluster a cell ends as soon as it runs Python.
    shard : (int, int), optional
        (3, 16) is the third of sixteen parts of the cells, of about equal cost; default all. The same cells have the
        same parts on every machine, so that sixteen machines, each with a store of its own, measure all of them.
    progress : bool
        Whether to show a bar.
    on_error : str
        "record": a cell that raises an error is a row with status "failed", and the sweep goes on. "raise": it
        is recorded, and ends the sweep.
    rerun_failed : bool
        Whether cells that the store has as "failed", "crashed" or "timeout" are tried again.
    rerun : collection of str
        Statuses of cells that are tried again: any of "failed", "crashed", "timeout", and "diverged", which a cell of
        the same version would again.
    log : path, optional
        A file to which a line is added when the sweep starts, when a cell ends, and when the sweep ends; default none.
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
        Columns id, status ("done", "diverged", "failed", "crashed", "timeout"), the parameters, stream (the seed of
        what was drawn), risk, null_risk, ratio (risk / null_risk), predicted (that ratio as theory has it, empty where
        there is none), fit_status (of NN that of its `Fit`, "unconverged" for a flow that was not at its end),
        late_gain (of NN: by how much the ratio fell in the second half of training), those of `Diagnostics` at the end
        of training where the cell asks for them, measure (name and digest of the function that was given), error, and,
        the only ones that differ from run to run, traceback (of a cell without a result), attempts, seconds, peak_mb,
        worker (host and process), finished, versions, revision (of git checkouts), processor, geometry (of its
        registers). At the end those of *measure*, in the order of the alphabet, empty where a cell has no such number.
        The results of training that diverged are those of its last finite state.

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

    Examples
    --------
    >>> import tempfile
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from pathlib import Path
    >>> import fastlazy
    >>> cells = fastlazy.grid(regime=["RF", "NT"], d=10, N=[5, 20])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = fastlazy.run_sweep(cells, Path(folder, "s.sqlite"), executor=ThreadPoolExecutor(1), progress=False)
    >>> table[["regime", "N", "status"]].values.tolist()
    [['RF', 5, 'done'], ['RF', 20, 'done'], ['NT', 5, 'done'], ['NT', 20, 'done']]
    >>> table["ratio"].round(3).tolist()  # risk / null risk
    [0.881, 0.313, 0.488, 0.0]
    """
    place = check_path("store", store)
    check_engine(executor, n_workers)
    check_choice("on_error", on_error, ["record", "raise"])
    quantity = check_measure(measure, on_change)
    tries = check_count("retries", retries, 0) + 1
    again = check_rerun(rerun, rerun_failed)
    limit = None if timeout is None else check_timeout(timeout)
    part = None if shard is None else check_shard(shard)
    journal = None if log is None else check_path("log", log)
    if journal is not None and place.parent.is_dir():  # else the store says so
        check_writable(journal)
    wanted = check_cells(cells)
    del cells  # which may be all that holds a million dicts
    if part is not None:
        wanted = shard_cells(wanted, *part)
    objects = objects_of(wanted.settings())
    told = f"finished cells are in {place}; the same call goes on from there"
    with sigterm_raises(told), Store(place, RESULTS) as db:
        stale = stale_cells(db.others(quantity) if quantity else (), wanted, quantity, on_change)
        db.keep(objects.values(), quantity)
        left = left_cells(wanted, (row for row in db.statuses() if row[0] not in stale), again)
        if left:
            if executor is None:  # no more processes than cells
                n_workers = min(n_workers or available_cores(), len(left))
            with open_engine(executor, n_workers) as engine, one_blas_thread():
                if engine.kind != "dask":
                    warm_up(left.settings())
                bar = Progress(len(wanted), left, progress)
                run = partial(attempt_all, quantity=quantity)
                _run(run, left, len(wanted), db, engine, tries, limit, bar, journal, on_error)
        _clean(db)
        ids = list(wanted)
        del wanted, left  # as large as the table
        return db.table(ids)


def load_sweep(
    store: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    columns: Sequence[str] | None = None,
    where: str | None = None,
) -> pd.DataFrame:
    """The table of a store, one row for each cell that has ended, ordered by regime, d, N and draw.

    Parameters
    ----------
    store : path or sequence of paths
        Of `run_sweep`, which may be at work on it. Several, such as those of the shards of a sweep, are one table.
    columns : sequence of str, optional
        The columns to keep, in this order; default all.
    where : str, optional
        A condition in SQL that rows must meet, such as "regime = 'RF' AND N > 100"; default none.

    Returns
    -------
    DataFrame
        Columns as `run_sweep` returns them.

    Raises
    ------
    TypeError
        If *store* is no path, or another argument is of no such type.
    OSError
        If there is no such file, or it is a folder.
    ValueError
        If it is not a store, is damaged, has rows that are not as they were written, or was written by a later
        version; if there is no such column, or SQLite does not understand the condition; or if several stores have
        different results of the same cell.

    Examples
    --------
    >>> import tempfile
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from pathlib import Path
    >>> import fastlazy
    >>> cells = fastlazy.grid(regime=["RF", "NT"], d=10, N=[5, 20])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Path(folder, "s.sqlite")
    ...     _ = fastlazy.run_sweep(cells, store, executor=ThreadPoolExecutor(1), progress=False)
    ...     wide = fastlazy.load_sweep(store, columns=["regime", "N", "status"], where="N > 10")
    >>> wide.values.tolist()
    [['NT', 20, 'done'], ['RF', 20, 'done']]
    """
    if isinstance(store, Sequence) and not isinstance(store, (str, bytes)):
        return load_all(store, columns=columns, where=where)
    return load(store, columns=columns, where=where)


def scan_sweep(
    store: str | os.PathLike[str],
    *,
    rows: int = 100_000,
    columns: Sequence[str] | None = None,
    where: str | None = None,
) -> Iterator[pd.DataFrame]:
    """The table of `load_sweep` in parts, for stores that are larger than the memory.

    The cells and columns are those of the moment when the first part is asked for. A cell that a sweep has measured
    again by the time its part is read has its new results.

    Parameters
    ----------
    store : path
        Of `run_sweep`, which may be at work on it.
    rows : int
        Of each part; the last may have less.
    columns, where : optional
        As in `load_sweep`.

    Returns
    -------
    iterator of DataFrame
        Each has some rows, as `load_sweep` returns all.

    Raises
    ------
    TypeError, OSError, ValueError
        As `load_sweep`, when the first part is asked for, or the part that a damaged row is in.

    Examples
    --------
    >>> import tempfile
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from pathlib import Path
    >>> import fastlazy
    >>> cells = fastlazy.grid(regime="RF", d=10, N=[5, 10, 20])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Path(folder, "s.sqlite")
    ...     _ = fastlazy.run_sweep(cells, store, executor=ThreadPoolExecutor(1), progress=False)
    ...     sizes = [len(part) for part in fastlazy.scan_sweep(store, rows=2)]
    >>> sizes
    [2, 1]
    """
    return scan(store, rows=rows, columns=columns, where=where)


def _run(
    run: Run,
    left: PackedCells,
    wanted: int,
    db: Store,
    engine: Engine,
    tries: int,
    timeout: float | None,
    bar: Progress,
    log: Path | None,
    on_error: str,
) -> None:
    """Run the cells *left* and record them."""

    def jobs() -> Iterator[Job]:
        for key, parameters in left.items():
            seconds = cost(parameters)
            checkpoint = None
            if seconds > _LONG and REGIMES[parameters["regime"]].is_trained:
                db.checkpoints.mkdir(exist_ok=True)
                checkpoint = str(_checkpoint(db, key).absolute())
            yield Job(key, parameters, checkpoint, seconds)

    flights: Flights = {}
    here = provenance() if engine.kind == "own" else {}  # of a cell whose worker cannot say it
    with bar, Watch(db, engine, flights, wanted, left, log) as watch:
        for some in drive(
            run, jobs(), len(left), engine, tries,
            timeout=timeout, in_flight=flights, patience=watch.patience,
        ):  # fmt: skip
            refused: list[ColumnError] = []
            for ended in some:
                job, outcome = ended
                watch.count(ended)  # before its row is written, with what is left
                refused += _record(db, here | _row(job, outcome))
                bar.advance(job.cost, outcome["status"])
            if refused:
                raise refused[0]
            if db.due() == 0:
                db.flush()
            watch.beat()
            bar.show()
            if on_error == "raise":
                _raise_first(some)


def _record(db: Store, row: dict[str, Any]) -> list[ColumnError]:
    """Write *row*; the error, if its numbers of the user's cannot be, without which the cell counts as finished."""
    try:
        db.add_columns(row.get("own", ()))
    except ColumnError as error:
        db.record({**row, "own": None, "measure": None})
        return [error]
    db.record(row)
    return []


def check_timeout(timeout: float) -> float:
    """*timeout*, if it is a number of seconds above 0.

    Raises
    ------
    TypeError, ValueError
        If it is not.
    """
    seconds = check_real("timeout", timeout, 0.0)
    if seconds == 0:
        raise ValueError("timeout must be above 0, got 0; leave it out for cells that take as long as they take")
    return seconds


def _row(job: Job, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """What the store has of a cell that has ended."""
    told = {"attempts": job.attempts, "finished": now()}
    return {"id": job.key, **job.parameters, "stream": cell_stream(job.parameters), **outcome, **told}


def _raise_first(ended: Iterable[Ended]) -> None:
    """Raise RuntimeError for the first cell that has no result."""
    for job, outcome in ended:
        if outcome["status"] in FAILED:
            error = RuntimeError(f"the cell {job.parameters} {outcome['status']}: {outcome['error']}")
            if "traceback" in outcome:
                error.add_note(outcome["traceback"])
            raise error


def _checkpoint(db: Store, key: str) -> Path:
    return db.checkpoints / f"{key}.npz"


def _clean(db: Store) -> None:
    """Remove the checkpoints of finished cells, and what killed workers left half written."""
    with suppress(OSError):
        paths = [*db.checkpoints.iterdir()]
        ended = {_checkpoint(db, key).name for key, status in db.statuses() if status not in FAILED} if paths else ()
        for path in paths:
            if path.name.startswith((".", *ended)):
                path.unlink()
        db.checkpoints.rmdir()
