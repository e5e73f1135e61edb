"""Cells that take too long, in workers of ours and in threads, and cells that are run again."""

import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastlazy.sweeps import measure
from fastlazy.sweeps.cells import grid
from fastlazy.sweeps.driver import load_sweep, run_sweep

SHORT = grid(regime="RF", d=3, N=2, draw=range(6))
LONG = {"regime": "NN", "d": 300, "N": 300, "n_samples": 10**9}  # hours
ERROR = "it took more than 2 s; give it more time, or another budget"


def test_workers_are_ended_at_cells_that_take_too_long(tmp_path):
    cells = [*SHORT, LONG]
    table = run_sweep(cells, tmp_path / "a.sqlite", n_workers=2, timeout=2.0, progress=False)
    assert list(table["status"]) == ["done"] * 6 + ["timeout"]
    last = table.iloc[6]
    assert (last["error"], last["seconds"], last["attempts"]) == (ERROR, 2.0, 1)
    assert last["traceback"].startswith("Timeout (0:00:02)!\n")
    assert "in attempt" in last["traceback"]
    assert last["versions"] == table["versions"][0]
    assert np.isnan(last["risk"])
    again = run_sweep(cells, tmp_path / "a.sqlite", n_workers=2, timeout=0.1, progress=False)
    assert list(again["finished"]) == list(table["finished"])  # it is not tried again unless asked


@pytest.fixture
def slow(monkeypatch):
    """Draw 3 takes long, the first time."""
    real, calls = measure.measure, []

    def sometimes(parameters, checkpoint=None):
        if parameters["draw"] == 3 and not calls:
            calls.append(parameters)
            while True:
                time.sleep(0.001)
        return real(parameters, checkpoint)

    monkeypatch.setattr(measure, "measure", sometimes)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("option", [{"rerun_failed": True}, {"rerun": ["timeout"]}])
def test_threads_raise_and_cells_are_run_again_when_asked(option, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        options = {"executor": pool, "progress": False}
        table = run_sweep(SHORT, tmp_path / "a.sqlite", timeout=0.2, **options)
        assert list(table["status"]) == ["done", "done", "done", "timeout", "done", "done"]
        assert table["error"][3].startswith("it took more than 0.2 s")
        assert "in sometimes" in table["traceback"][3]
        assert table["worker"][3] == table["worker"][0]
        assert run_sweep(SHORT, tmp_path / "a.sqlite", rerun=["failed"], **options)["status"][3] == "timeout"
        assert set(run_sweep(SHORT, tmp_path / "a.sqlite", **option, **options)["status"]) == {"done"}


def test_a_cell_that_diverged_is_run_again_when_asked(tmp_path):
    cells = grid(regime="NN", d=4, N=2, n_samples=900, step_size=50.0)
    with ThreadPoolExecutor(1) as pool, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fit_nn diverged", RuntimeWarning)
        options = {"executor": pool, "progress": False}
        first = run_sweep(cells, tmp_path / "a.sqlite", **options)
        assert list(first["status"]) == ["diverged"]
        left_alone = run_sweep(cells, tmp_path / "a.sqlite", rerun_failed=True, **options)
        assert list(left_alone["seconds"]) == list(first["seconds"])
        again = run_sweep(cells, tmp_path / "a.sqlite", rerun=["diverged"], **options)
    assert list(again["ratio"]) == list(first["ratio"])
    assert list(again["seconds"]) != list(first["seconds"])


BAD = {
    "zero": ({"timeout": 0}, ValueError, "timeout must be above 0, got 0; leave it out"),
    "negative": ({"timeout": -1}, ValueError, "timeout must be a finite number at least 0, got -1"),
    "text": ({"timeout": "1"}, TypeError, "timeout must be"),
    "one status": ({"rerun": "failed"}, TypeError, "rerun must be a list of statuses, got 'failed'; pass some of 'div"),
    "done": ({"rerun": ["done"]}, ValueError, "rerun = 'done' is not known; pass one of 'diverged', 'failed', 'crash"),
}


@pytest.mark.parametrize(("options", "error", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        run_sweep(SHORT, tmp_path / "a.sqlite", progress=False, **options)
    assert not (tmp_path / "a.sqlite").exists()


def test_where_a_result_comes_from(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        run_sweep(SHORT[:1], tmp_path / "a.sqlite", executor=pool, progress=False)
    row = load_sweep(tmp_path / "a.sqlite").iloc[0]
    assert row["versions"].startswith("fastlazy ")
    assert row["processor"]
    assert row["geometry"] in ("64x32", "32x16", "16x32", "16x16")
