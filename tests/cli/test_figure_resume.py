"""The figure's store: runs that go on, are drawn again, or are cut short."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import image
from numpy.testing import assert_array_equal
from small_figure import COLUMNS, SMALL, _small, read, run_small, small_run  # noqa: F401  (fixtures)

from fastlazy.cli.main import main
from fastlazy.sweeps import driver, measure
from fastlazy.sweeps.engines import open_engine

ROOT = Path(__file__).resolve().parents[2]


def test_a_run_goes_on_from_its_store(tmp_path, monkeypatch):
    """Each dot is computed once, and the picture is that of an uninterrupted run."""
    computed = []

    def attempt_one(cells, *limits, **options):
        if len(computed) == 7:
            raise KeyboardInterrupt
        return count_one(cells, *limits, **options)

    def count_one(cells, *limits, **options):
        computed.append(cells[0])
        return measure.attempt_all(cells[:1], *limits, **options)

    monkeypatch.setattr(driver, "attempt_all", attempt_one)
    monkeypatch.setattr(driver, "open_engine", lambda *_: open_engine(ThreadPoolExecutor(1), 1))
    assert main(["figure", *SMALL, "--out", str(tmp_path / "a")]) == 130
    assert os.listdir(tmp_path / "a") == ["figure.sqlite"]
    monkeypatch.setattr(driver, "attempt_all", count_one)
    assert main(["figure", *SMALL, "--out", str(tmp_path / "a")]) == 0
    assert len(computed) == 15
    assert main(["figure", *SMALL, "--out", str(tmp_path / "b")]) == 0
    kept = [column for column in COLUMNS if column != "seconds"]
    resumed, whole = (read(tmp_path / folder / "results.csv")[kept] for folder in "ab")
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)


def test_a_figure_is_drawn_again_from_its_store(small_run, tmp_path, monkeypatch):
    out, dots = small_run
    monkeypatch.delattr(driver, "run_sweep")
    assert main(["figure", "--from", str(out / "figure.sqlite"), "--out", str(tmp_path)]) == 0
    pd.testing.assert_frame_equal(read(tmp_path / "results.csv"), dots)
    assert_array_equal(image.imread(tmp_path / "figure.png"), image.imread(out / "figure.png"))
    assert main(["figure", "--from", str(out / "figure.sqlite"), "--widths", "3,41", "--out", str(tmp_path)]) == 0
    assert set(read(tmp_path / "results.csv")["N"]) == {3, 41}


@pytest.mark.slow
def test_a_store_of_several_figures_asks_which(tmp_path, capsys):
    for seed in ("1", "2"):
        few = ["--d", "5", "--widths", "2", "--draws", "1", "--seed", seed]
        assert main(["figure", *few, "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    again = ["figure", "--from", str(tmp_path / "figure.sqlite"), "--out", str(tmp_path)]
    assert main(again) == 2
    assert re.search(
        r"of 2 targets, .*target_seed = 1.*target_seed = 2.*; choose with --d and --seed", capsys.readouterr().err
    )
    assert main([*again, "--seed", "2"]) == 0
    assert len(read(tmp_path / "results.csv")) == 3
    assert main([*again, "--d", "7"]) == 2
    assert "of the 6 finished cells of the store none is for this figure" in capsys.readouterr().err
    assert main(["figure", "--from", str(tmp_path / "none.sqlite"), "--out", str(tmp_path)]) == 2
    assert "there is no store" in capsys.readouterr().err


def test_a_store_that_was_edited_is_told(small_run, tmp_path, capsys):
    place = tmp_path / "a.sqlite"
    edits = {
        "UPDATE cells SET N = 0": "a row that is of no cell (N must be at least 1, got 0",
        "UPDATE cells SET N = 'many'": "is damaged or not a store (column N: ",
        "UPDATE cells SET ratio = 9e999": "finished rows whose ratio is not a finite number",
        "ALTER TABLE cells DROP COLUMN ratio": "is damaged or not a store (malformed database schema, no column ratio)",
        "ALTER TABLE cells DROP COLUMN N": "is damaged or not a store (malformed database schema, no column N)",
    }
    for edit, message in edits.items():
        shutil.copy(small_run[0] / "figure.sqlite", place)
        with closing(sqlite3.connect(place)) as db:
            db.execute(edit)
            db.execute("UPDATE cells SET checksum = 'edited'")
            db.commit()
        assert main(["figure", "--from", str(place), "--out", str(tmp_path)]) == 2
        assert message in capsys.readouterr().err, edit


def test_a_dot_that_fails_is_told_and_the_rest_drawn(tmp_path, monkeypatch, capsys):
    def attempt_one(cells, *limits, **options):
        if cells[0][0]["regime"] == "RF":
            return [{"status": "failed", "error": "no reason"}]
        return measure.attempt_all(cells[:1], *limits, **options)

    monkeypatch.setattr(driver, "attempt_all", attempt_one)
    assert main(["figure", "--d", "5", "--widths", "2", "--draws", "1", "--out", str(tmp_path)]) == 1
    assert "no dot RF N = 2: no reason" in capsys.readouterr().err
    assert list(read(tmp_path / "results.csv")["regime"]) == ["NN", "NT"]
    monkeypatch.undo()
    run_small(monkeypatch)
    assert main(["figure", "--d", "5", "--widths", "2", "--draws", "1", "--out", str(tmp_path)]) == 0
    assert len(read(tmp_path / "results.csv")) == 3


INTERRUPTED = """
import signal
import sys
from fastlazy.cli.main import main
from fastlazy.figures import risk_table
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
risk_table.quick_samples = lambda N, d: 4_000_000_000  # minutes
sys.exit(main(["figure", "--d", "20", "--widths", "4", "--draws", "2", "--workers", "2", "--out", sys.argv[1]]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_control_c_ends_a_run_soon(tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    store = tmp_path / "figure.sqlite"
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        try:
            deadline = time.monotonic() + 120
            while not (store.exists() and len(driver.load_sweep(store)) == 4):
                assert child.poll() is None, child.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            time.sleep(0.3)
            os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to the workers, too
            printed, errors = child.communicate(timeout=90)  # the workers hold the pipes: they have ended as well
        finally:
            child.kill()
    assert child.returncode == 130
    assert printed == ""
    assert f"interrupted: dots are in {store}; the same command goes on from there" in errors
    assert "Traceback" not in errors
    assert sorted(driver.load_sweep(store)["regime"]) == ["NT", "NT", "RF", "RF"]
    assert sorted(os.listdir(tmp_path)) in (["figure.sqlite"], ["figure.sqlite", "figure.sqlite.checkpoints"])
