"""How a sweep stands: while it runs, when it has ended, and when its driver was killed."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from stored import path  # noqa: F401  (a fixture)

from fastlazy._support.sqlite import connect, is_locked
from fastlazy.sweeps import measure, watch
from fastlazy.sweeps.cells import grid
from fastlazy.sweeps.driver import load_sweep, run_sweep
from fastlazy.sweeps.status import read_status, words_of_state

ROOT = Path(__file__).resolve().parents[2]
CELLS = [*grid(regime=["RF", "NT"], d=3, N=2, draw=range(10)), {"regime": "RF", "d": 5, "N": 10**12}]


@pytest.fixture
def gate(monkeypatch):
    """What holds up draw 7 of RF, and tells when it has come."""
    real, come, go = measure.measure, threading.Event(), threading.Event()

    def held(parameters, checkpoint=None):
        if (parameters["regime"], parameters["draw"]) == ("RF", 7):
            come.set()
            assert go.wait(300)
        return real(parameters, checkpoint)

    monkeypatch.setattr(measure, "measure", held)
    monkeypatch.setattr(watch, "BEAT", 0.01)
    monkeypatch.setattr("fastlazy.sweeps.dispatch.BATCH", 0.0)  # each cell is a batch
    return come, go


def sure(condition):
    """What *condition* gives once that is true."""
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_a_sweep_that_runs_and_then_has_ended(tmp_path, gate):
    come, go = gate
    place = tmp_path / "a.sqlite"
    with ThreadPoolExecutor(1) as outer, ThreadPoolExecutor(2) as pool:
        sweep = outer.submit(run_sweep, CELLS, place, executor=pool, progress=False)
        assert come.wait(300)
        status = sure(lambda: (now := read_status(place)).counts["left"] == 1 and now)
        go.set()
        sweep.result()
    assert status.state == "running"
    assert status.counts == {"done": 19, "diverged": 0, "failed": 1, "crashed": 0, "timeout": 0, "left": 1}
    assert {name: row["cells"] for name, row in status.left.items()} == {"RF": 1, "NT": 0}
    assert status.left["RF"]["seconds"] > 0
    assert status.left["NT"]["seconds"] == 0
    assert status.workers == 2
    assert [entry["cell"] for entry in status.running] == ["RF d=3 N=2 draw=7"]
    assert status.rate > 0
    assert status.run["process"] == os.getpid()
    assert status.run["versions"].startswith("fastlazy ")
    assert f"running (process {os.getpid()} on " in words_of_state(status)
    json.dumps(status._asdict(), allow_nan=False)

    status = read_status(place)
    assert (status.state, status.end["how"], status.rate, status.running) == ("ended", "finished", None, [])
    assert status.counts == {"done": 20, "diverged": 0, "failed": 1, "crashed": 0, "timeout": 0, "left": 0}
    table = load_sweep(place).sort_values("seconds", ascending=False)
    assert [row["id"] for row in status.slowest] == list(table["id"][:10])
    assert [row["seconds"] for row in status.slowest] == list(table["seconds"][:10])
    (error,) = status.errors
    assert (error["status"], error["cells"]) == ("failed", 1)
    assert error["error"].startswith("MemoryError")
    assert "in draw_weights" in error["traceback"]
    assert os.listdir(tmp_path) == ["a.sqlite"]


def test_how_a_sweep_ended(tmp_path):
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="failed: MemoryError"):
        run_sweep(CELLS[-1:], tmp_path / "a.sqlite", executor=pool, progress=False, on_error="raise")
    status = read_status(tmp_path / "a.sqlite")
    assert status.state == "ended"
    assert status.end["how"].startswith("RuntimeError: the cell {")
    assert re.match(r"ended at 20\d\d-.* \(RuntimeError: the cell", words_of_state(status))


PROGRAM = """
import sys, fastlazy
from fastlazy.sweeps import watch
watch.BEAT = .05
cells = fastlazy.grid(regime="NN", d=100, N=100, n_samples=10**9, draw=range(2))
fastlazy.run_sweep(cells, sys.argv[1], n_workers=1, progress=False)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="sends SIGKILL, and reads the memory of processes")
def test_workers_are_seen_and_a_driver_that_was_killed_is_gone(tmp_path):
    place = tmp_path / "a.sqlite"
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(place)], cwd=ROOT) as driver:
        try:
            sure(lambda: place.exists() and place.stat().st_size and is_locked(place))
            status = sure(lambda: (now := read_status(place)).running and now)
            assert status.state == "running"
            (entry,) = status.running
            assert re.fullmatch(r"NN d=100 N=100 n_samples=1000000000 draw=\d", entry["cell"])
            assert 20 < entry["memory_mb"] < 5000
            assert 20 < status.memory_mb < 5000
            os.kill(int(entry["worker"].rpartition("/")[2]), 0)  # it lives
        finally:
            driver.send_signal(signal.SIGKILL)
    status = read_status(place)
    assert (status.state, status.running) == ("gone", [])
    assert status.counts["left"] == 2
    assert "its driver is gone" in words_of_state(status)


def test_a_store_of_an_earlier_version(path):
    with closing(connect(path, "rw")) as db:
        db.execute("DROP TABLE sweep")
        db.execute("ALTER TABLE cells DROP COLUMN traceback")
    status = read_status(path)
    assert (status.state, status.counts["done"], status.rate) == ("unknown", 3, None)
    assert "not running, as far as is known" in words_of_state(status)


def test_a_log_has_a_line_for_each_event(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            run_sweep(
                CELLS, tmp_path / "a.sqlite", executor=pool, progress=False, log=tmp_path / "log", rerun=["failed"]
            )
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split()[1] for line in lines if not re.search(r" (done|failed) ", line)] == ["start", "end"] * 2
    ids = [line.split()[2] for line in lines if " done " in line]
    assert sorted(ids) == sorted(key[:12] for key in load_sweep(tmp_path / "a.sqlite")["id"] if key[:12] in ids)
    assert len(ids) == 20
    assert sum(" failed " in line for line in lines) == 2
    assert re.search(r"^20\S+ start 21 of 21 cells with 2 workers$", lines[0])
    assert all(re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 \w+ ", line) for line in lines)
    with pytest.raises(TypeError, match="log must be the path of a file, got 3"):
        run_sweep(CELLS, tmp_path / "b.sqlite", log=3)
    with pytest.raises(OSError, match=r"cannot write '.*none/log'"):
        run_sweep(CELLS, tmp_path / "b.sqlite", log=tmp_path / "none" / "log")
    assert not (tmp_path / "b.sqlite").exists()


def test_what_is_left_agrees_with_the_rows(tmp_path, monkeypatch):
    """Rows that are written between two reports of the driver are not left any more."""
    place, seen, real = tmp_path / "b.sqlite", [], measure.measure

    def look(parameters, checkpoint=None):
        time.sleep(0.02)  # so that rows are written in several groups
        seen.append(read_status(place).counts)
        return real(parameters, checkpoint)

    monkeypatch.setattr(measure, "measure", look)
    monkeypatch.setattr(watch, "BEAT", 1e9)
    monkeypatch.setattr("fastlazy.sweeps.dispatch.BATCH", 0.0)
    with ThreadPoolExecutor(1) as pool:
        run_sweep(grid(regime="RF", d=4, N=2, draw=range(40)), place, executor=pool, progress=False)
    assert max(counts["done"] for counts in seen) > 5
    assert {counts["done"] + counts["left"] for counts in seen} == {40}
