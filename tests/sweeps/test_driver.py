"""Sweeps: the same table however they run, and nothing lost whatever happens."""

import multiprocessing
import os
import random
import re
import signal
import sqlite3
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing

import pandas as pd
import pytest
from sweep_cells import CELLS
from whole_sweep import assert_same, threads, whole  # noqa: F401

from fastlazy._support.signals import sigterm_raises
from fastlazy.sweeps import dispatch, driver, measure, progress
from fastlazy.sweeps.cells import check_cells, grid
from fastlazy.sweeps.driver import load_sweep, run_sweep
from fastlazy.sweeps.planning import plan_sweep

BAD_CELL = {"regime": "RF", "d": 5, "N": 10**12}  # more memory than there is


def pick(table, ids):
    """The rows of the cells *ids*, in that order."""
    return table.iloc[pd.Index(table["id"]).get_indexer(list(ids))].reset_index(drop=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sweep.sqlite"


def test_the_table(whole):
    assert len(whole) == 60
    assert list(whole["regime"]) == [cell["regime"] for cell in CELLS]
    assert list(whole["draw"]) == [cell.get("draw", 0) for cell in CELLS]
    assert set(whole["status"]) == {"done"}
    assert whole["ratio"].between(0, 1.1).all()
    assert whole["attempts"].eq(1).all()


def test_workers_order_and_interruptions_do_not_matter(whole, path, threads, monkeypatch):
    """In processes; with two cells before the rest; in another order; from one sweep to the next."""
    first = run_sweep(CELLS[3:5], path, executor=threads, progress=False)
    assert_same(first, whole[3:5].reset_index(drop=True))
    ran = []
    real = driver.drive
    monkeypatch.setattr(
        driver,
        "drive",
        lambda run, jobs, *others, **options: real(run, (ran.append(job) or job for job in jobs), *others, **options),
    )
    shuffled = random.Random(1).sample(CELLS, len(CELLS))
    table = run_sweep(shuffled, path, n_workers=2, progress=False)
    assert len(ran) == 58
    costs = [job.cost for job in ran]
    assert costs == sorted(costs, reverse=True)
    assert_same(pick(table, whole["id"]), whole)
    assert len(set(table["worker"])) in (2, 3)  # a second of two workers may come too late
    again = run_sweep(CELLS, path, progress=False)
    assert len(ran) == 58
    pd.testing.assert_frame_equal(again, pick(table, whole["id"]))
    assert_same(pick(load_sweep(path), whole["id"]), whole)
    assert os.listdir(path.parent) == ["sweep.sqlite"]


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_workers_that_are_killed_are_replaced_and_nothing_is_lost(whole, path, monkeypatch):
    killed = []
    real = driver.Store.record

    def record(self, row):
        real(self, row)
        worker = int(row["worker"].split("/")[1])
        if len(killed) < 3 and worker not in killed:
            killed.append(worker)
            os.kill(worker, signal.SIGKILL)

    monkeypatch.setattr(driver.Store, "record", record)
    table = run_sweep(CELLS, path, n_workers=2, progress=False)
    assert len(killed) == 3
    assert_same(table, whole)
    assert table["attempts"].max() <= 4


def test_a_cell_that_crashes_is_recorded_and_can_be_tried_again(path, monkeypatch, threads):
    def crash(run, jobs, count, engine, tries, **options):
        assert tries == 4
        yield [dispatch.Ended(job, dispatch._crash(tries, "SIGKILL(-9)", None)) for job in jobs]

    with monkeypatch.context() as patch:
        patch.setattr(driver, "drive", crash)
        table = run_sweep(CELLS[:2], path, executor=threads, retries=3, progress=False)
    assert list(table["status"]) == ["crashed"] * 2
    assert table["error"][0] == "its worker ended 4 times (SIGKILL(-9)), most often for lack of memory"
    assert table["ratio"].isna().all()
    assert list(run_sweep(CELLS[:2], path, executor=threads, progress=False)["status"]) == ["crashed"] * 2
    table = run_sweep(CELLS[:2], path, executor=threads, progress=False, rerun_failed=True)
    assert list(table["status"]) == ["done"] * 2
    assert list(table["error"]) == [None, None]


def test_a_cell_that_raises_is_recorded_and_the_sweep_goes_on(path, threads):
    table = run_sweep([BAD_CELL, *CELLS[:3]], path, executor=threads, progress=False)
    assert list(table["status"]) == ["failed", "done", "done", "done"]
    assert table["error"][0].startswith("MemoryError: Unable to allocate")
    assert re.match(
        r"Traceback \(most recent call last\):\n(.|\n)*in draw_weights\n", load_sweep(path)["traceback"].dropna()[0]
    )
    assert pd.isna(table["ratio"][0])


def test_a_cell_that_raises_ends_the_sweep_if_asked(path, threads):
    with pytest.raises(RuntimeError, match=r"the cell \{.*'N': 1000000000000.*\} failed: MemoryError") as raised:
        run_sweep([BAD_CELL, *CELLS[:3]], path, executor=threads, progress=False, on_error="raise")
    assert "in draw_weights" in raised.value.__notes__[0]
    assert "failed" in set(load_sweep(path)["status"])


def test_equal_cells_are_measured_once(path, threads):
    table = run_sweep([CELLS[0], dict(CELLS[0]), {**CELLS[0], "ridge": 0}], path, executor=threads, progress=False)
    assert len(table) == 1


def test_no_cells(path):
    assert len(run_sweep([], path)) == 0


def test_long_cells_go_on_from_their_checkpoints(path, monkeypatch, threads):
    """The sweep is cut in the midst of a cell, which then begins where it was."""
    monkeypatch.setattr(driver, "_LONG", 0.0)
    monkeypatch.setattr("fastlazy.training.checkpoint._SECONDS", 0.0)
    cells = grid(regime="NN", d=12, N=5, n_samples=20_000, draw=range(2))
    reference = run_sweep(cells, path.parent / "b.sqlite", executor=threads, progress=False)
    from fastlazy.training import checkpoint

    kept, real = [], checkpoint.Checkpoint.keep

    def keep(self, network, progress):
        real(self, network, progress)
        kept.append(progress.seen)
        if len(kept) == 20:
            raise SystemExit("cut")

    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as one:
        patch.setattr(checkpoint.Checkpoint, "keep", keep)
        table = run_sweep(cells[:1], path, executor=one, progress=False)
        assert list(table["status"]) == ["failed"]
        assert len(list((path.parent / "sweep.sqlite.checkpoints").iterdir())) == 1
        kept[:] = [*range(20)]
        table = run_sweep(cells, path, executor=one, progress=False, rerun_failed=True)
    assert kept[20] > 20_000 / 50 * 15  # it went on from there
    assert_same(table, reference)
    assert sorted(os.listdir(path.parent)) == ["b.sqlite", "sweep.sqlite"]


def test_a_plan(path, threads):
    plan = plan_sweep(CELLS, path)
    assert plan[:3] == (60, 0, 0)
    assert plan.measured == 0
    assert plan.guessed == plan.seconds
    assert plan.left == 60
    assert 0 < plan.longest < plan.seconds
    assert not path.exists()
    table = run_sweep([BAD_CELL, *CELLS[:20]], path, executor=threads, progress=False)
    plan = plan_sweep([BAD_CELL, *CELLS], path)
    assert plan[:3] == (61, 20, 1)
    assert plan.measured == 20
    done = table[table["status"] == "done"]
    fresh = grid(regime="RF", d=60, N=[30, 400], draw=range(100, 110))  # as much again
    assert plan_sweep(fresh, path).seconds == pytest.approx(done["seconds"].sum())
    assert plan_sweep(fresh, path).guessed == 0
    relu = grid(regime="RF", d=60, N=30, activation="relu")
    assert plan_sweep([*fresh, *relu], path).guessed == pytest.approx(plan_sweep(relu, path).seconds)
    assert plan_sweep([BAD_CELL], path, rerun_failed=True).seconds > 1e6
    assert plan_sweep([BAD_CELL], path).seconds == 0


def test_progress_says_what_is_left(path, threads, capsys):
    run_sweep([BAD_CELL, *CELLS[:2]], path, executor=threads)
    shown = capsys.readouterr().err
    assert "3/3 cells" in shown
    assert re.search(r"failed 1, left 0, time left 0.0 s", shown)
    run_sweep(CELLS[:3], path, executor=threads, progress=False)
    assert capsys.readouterr().err == ""


def test_a_cell_of_years_does_not_swallow_the_time_of_others():
    cells = {f"{k}": cell for k, cell in enumerate(check_cells([BAD_CELL, *CELLS[:3]]).values())}
    with progress.Progress(4, cells, True) as bar:
        bar.advance(measure.cost(cells["0"]), "failed")
        assert bar.cost_left == sum(progress.nanoseconds(measure.cost(cells[key])) for key in "123")
        for key in "123":
            bar.advance(measure.cost(cells[key]), "done")
        assert bar.cost_left == 0


BAD = {
    "cells": ({"cells": CELLS[0]}, TypeError, "cells must be a list of mappings, got one dict"),
    "no cells": ({"cells": None}, TypeError, "cells must be a list of mappings, got one NoneType; pass a list"),
    "a number": ({"cells": 3}, TypeError, "cells must be a list of mappings, got one int; pass a list"),
    "too many": (
        {"cells": [None] * 1_000_001},
        ValueError,
        r"1,000,001 cells \(the list given\), and a sweep may have",
    ),
    "no store": ({"store": ""}, ValueError, "store must be the path of a file, got ''; pass a file name"),
    "folder": ({"store": "."}, ValueError, "store must be the path of a file, got '.'; pass a file name"),
    "NUL": ({"store": "a\0b"}, ValueError, "store must be the path of a file, got"),
    "int": ({"store": 3}, TypeError, "store must be the path of a file, got 3 of type int; pass a str"),
    "bytes": ({"store": b"a"}, TypeError, "store must be the path of a file, got b'a' of type bytes; pass a str"),
    "all workers": ({"n_workers": -1}, ValueError, "n_workers must be at least 1, got -1"),
    "cell": ({"cells": [{**CELLS[0], "M": 3}]}, ValueError, "cell 0: .* has no key 'M'"),
    "executor": ({"executor": 3}, TypeError, "executor must be None, a concurrent.futures.Executor, a dask Client or"),
    "scheduler": ({"executor": "slurm"}, ValueError, "executor = 'slurm' is not known; pass 'dask:tcp://host:port'"),
    "workers": ({"n_workers": 0}, ValueError, "n_workers must be at least 1, got 0"),
    "retries": ({"retries": -1}, ValueError, "retries must be at least 0, got -1"),
    "on_error": ({"on_error": "ignore"}, ValueError, "on_error = 'ignore' is not known; pass one of 'record', 'raise'"),
}


@pytest.mark.parametrize(("options", "error", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(options, error, message, path):
    with pytest.raises(error, match=message):
        run_sweep(**{"cells": CELLS, "store": path, "progress": False, **options})
    assert not path.exists()


@pytest.mark.parametrize("name", ["executor", "scheduler", "workers", "all workers", "retries", "on_error"])
def test_bad_arguments_are_told_though_there_is_nothing_to_do(name, path, threads):
    run_sweep(CELLS[:1], path, executor=threads, progress=False)
    options, error, message = BAD[name]
    with pytest.raises(error, match=message):
        run_sweep(CELLS[:1], path, progress=False, **options)


def test_paths_of_stores_that_are_none():
    for use in (load_sweep, lambda store: plan_sweep(CELLS, store)):
        with pytest.raises(TypeError, match="store must be the path of a file, got 3 of type int"):
            use(3)
        with pytest.raises(ValueError, match="store must be the path of a file, got ''"):
            use("")


def sweep_alone(path):
    run_sweep(CELLS[:1], path, progress=False)


def test_a_worker_of_a_pool_may_not_start_processes(path):
    message = r"may not start processes; pass executor=ThreadPoolExecutor\(\.\.\.\) of"
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(RuntimeError, match=message):
        pool.apply(sweep_alone, (str(path),))


def test_no_more_processes_than_cells(path, monkeypatch):
    asked = []
    real = driver.open_engine
    monkeypatch.setattr(driver, "open_engine", lambda executor, count: asked.append(count) or real(executor, count))
    run_sweep(CELLS[:1], path, n_workers=10**6, progress=False)
    assert asked == [1]


def test_sigterm_leaves_handlers_as_they_were(path, threads):
    before = signal.getsignal(signal.SIGTERM)
    run_sweep(CELLS[:1], path, executor=threads, progress=False)
    assert signal.getsignal(signal.SIGTERM) is before
    signal.signal(signal.SIGTERM, own := lambda *_: None)
    try:
        with sigterm_raises("not said"):
            assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


class Now(Executor):
    """Runs calls in this thread."""

    def submit(self, function, /, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future


def test_sigterm_in_the_midst_of_a_cell_of_this_process_ends_the_sweep(path, monkeypatch, capsys):
    run_sweep(CELLS[:2], path, executor=Now(), progress=False)
    monkeypatch.setattr("fastlazy.sweeps.measure.measure", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        run_sweep(CELLS[:4], path, executor=Now(), progress=False)
    assert ended.value.code == 128 + signal.SIGTERM
    assert f"terminated: finished cells are in {path}" in capsys.readouterr().err
    assert len(load_sweep(path)) == 2


def test_rows_that_were_damaged_are_measured_again(path, threads):
    table = run_sweep(CELLS[:3], path, executor=threads, progress=False)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE cells SET risk = 2 * risk WHERE rowid = 2")
        db.commit()
    with pytest.warns(RuntimeWarning, match="1 rows of the store .* were not as they had been written"):
        again = run_sweep(CELLS[:3], path, executor=threads, progress=False)
    assert_same(again, table)


def test_dask_that_is_not_installed(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs dask.distributed, .*pip install 'fastlazy\[dask\]'"):
        run_sweep(CELLS, path, executor="dask:tcp://127.0.0.1:1")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (3700, "1:01:40"), (1e14, "1.16e+09 days")]
)
def test_durations(seconds, text):
    assert progress.duration(seconds) == text
