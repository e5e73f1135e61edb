"""The same sweep on a real dask cluster: a scheduler and two workers over TCP on this machine."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from sweep_cells import CELLS
from whole_sweep import assert_same, threads, whole  # noqa: F401  (fixtures)

from fastlazy.activations.activation import Activation
from fastlazy.sweeps import driver, engines
from fastlazy.sweeps.cells import grid
from fastlazy.sweeps.driver import load_sweep, run_sweep

distributed = pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[2]
# Told by the workers' side of connections that end when they are killed, or when all is over.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


def start(module, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "30s"}
    command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """The address of a scheduler."""
    file = tmp_path_factory.mktemp("dask") / "scheduler.json"
    process = start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)
    try:
        deadline = time.monotonic() + 120
        while not file.exists() or not file.read_text().rstrip().endswith("}"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"]
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def start_worker(scheduler, tmp_path_factory):
    """A function that adds a worker to the cluster."""
    started = []

    def add():
        folder = tmp_path_factory.mktemp("worker")
        options = [
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--host",
            "127.0.0.1",
            "--local-directory",
            folder,
        ]
        started.append(start("dask_worker", scheduler, *options))
        return started[-1]

    yield add
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def workers(start_worker):
    return [start_worker(), start_worker()]


@pytest.mark.slow
@pytest.mark.usefixtures("workers")
def test_the_table_is_the_same(scheduler, whole, tmp_path):
    path = tmp_path / "sweep.sqlite"
    table = run_sweep(CELLS, path, executor=f"dask:{scheduler}", progress=False)
    assert_same(table, whole)
    assert f"/{os.getpid()}" not in "".join(table["worker"])
    assert len(set(table["worker"])) in (1, 2)
    assert os.listdir(tmp_path) == ["sweep.sqlite"]
    with distributed.Client(scheduler, set_as_default=False) as client:
        pd.testing.assert_frame_equal(run_sweep(CELLS, path, executor=client, progress=False), table)
        assert_same(run_sweep(CELLS[:8], tmp_path / "b.sqlite", executor=client, progress=False), whole[:8])


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(scheduler, workers, start_worker, whole, tmp_path, monkeypatch):
    recorded, real = [], driver.Store.record

    def record(self, row):
        real(self, row)
        recorded.append(row)
        if len(recorded) == 10:
            workers[0].send_signal(signal.SIGKILL)

    monkeypatch.setattr(driver.Store, "record", record)
    table = run_sweep(CELLS, tmp_path / "sweep.sqlite", executor=f"dask:{scheduler}", progress=False)
    assert workers[0].wait(60) == -signal.SIGKILL
    assert len(recorded) == 60
    assert_same(table, whole)
    start_worker()


@pytest.mark.parametrize("address", ["nowhere", "http://x:1", "tcp://host:port", "tcp://"])
def test_an_address_that_cannot_be_read_is_told_at_once(address, tmp_path):
    with pytest.raises(
        ValueError, match=r"executor = 'dask:.*' has no address that dask can read \(.*\); pass 'dask:tcp"
    ):
        run_sweep(CELLS, tmp_path / "sweep.sqlite", executor=f"dask:{address}", progress=False)


def test_no_scheduler(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "_CONNECTED", "1s")
    path = tmp_path / "sweep.sqlite"
    with pytest.raises(OSError, match=r"there is no dask scheduler at tcp://127.0.0.1:9 \(.*\); start one, or check"):
        run_sweep(CELLS, path, executor="dask:tcp://127.0.0.1:9", progress=False)
    assert len(load_sweep(path)) == 0


def test_objects_and_a_quantity_of_ones_own(scheduler, start_worker, tmp_path, threads):
    """Neither the script nor its objects are where the worker is."""
    start_worker()
    matrix, scale = [[2.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, -1.0]], 3.0
    sigma = Activation("bent", lambda x: math.tanh(scale * x), lambda x: scale * (1 - math.tanh(scale * x) ** 2))

    def scaled(cell):
        return {"scaled": scale * cell.target.B[0, 1] * cell.W[0, 0]}

    cells = grid(regime=["RF", "NT"], d=3, N=2, target={"mine": matrix}, activation=["relu", sigma])
    tables = [
        run_sweep(cells, tmp_path / f"{k}.sqlite", executor=executor, measure=scaled, progress=False)
        for k, executor in enumerate((threads, f"dask:{scheduler}"))
    ]
    assert (tables[1]["status"] == "done").all(), tables[1]["error"].tolist()
    assert tables[1]["scaled"].notna().all()
    assert_same(*tables)
