"""``fastlazy merge``: shards that the command measured, put together by it."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from fastlazy.cli.main import main
from fastlazy.cli.sweep import read_cells
from fastlazy.sweeps import driver
from fastlazy.sweeps.driver import load_sweep
from fastlazy.sweeps.engines import open_engine
from fastlazy.sweeps.store import TIMINGS

ROOT = Path(__file__).resolve().parents[2]
FILE = """
[[grid]]
regime = ["RF", "NT"]
d = 10
N = { geom = [3, 30, 3] }
draw = { range = [1, 3] }
"""


@pytest.fixture(autouse=True)
def _file(monkeypatch, tmp_path):
    monkeypatch.setattr(
        driver, "open_engine", lambda executor, n_workers: open_engine(ThreadPoolExecutor(2), n_workers)
    )
    monkeypatch.chdir(tmp_path)
    Path("widths.toml").write_text(FILE)


def test_shards_are_measured_and_merged(capsys):
    for shard in ("1/2", "2/2"):
        assert main(["sweep", "widths.toml", "--shard", shard, "--store", f"part-{shard[0]}.sqlite"]) == 0
    assert main(["sweep", "widths.toml"]) == 0
    capsys.readouterr()
    assert main(["merge", "all.sqlite", "part-1.sqlite", "part-2.sqlite"]) == 0
    assert capsys.readouterr().out == "18 cells in all.sqlite\n"
    columns = list(TIMINGS)
    merged, whole = (load_sweep(store).drop(columns=columns) for store in ("all.sqlite", "widths.sqlite"))
    pd.testing.assert_frame_equal(merged, whole, check_exact=True)
    assert main(["sweep", "widths.toml", "--shard", "2/2", "--store", "all.sqlite", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("9 cells: 9 finished and 0 failed in all.sqlite, 0 to run")
    assert len(read_cells("widths.toml")) == 18


def test_what_cannot_be_merged_or_sharded(capsys):
    for arguments, message in [
        (["merge", "all.sqlite", "none.sqlite"], "fastlazy merge: there is no store 'none.sqlite'; a sweep makes one"),
        (["merge", "widths.toml", "none.sqlite"], "fastlazy merge: there is no store 'none.sqlite'"),
        (["sweep", "widths.toml", "--shard", "3/2"], "shard = (3, 2) is beyond the last; pass one of (1, 2) to that"),
        (
            ["sweep", "widths.toml", "--shard", "3"],
            "shard must be a pair such as (3, 16), the third of sixteen, got '3'",
        ),
        (["sweep", "widths.toml", "--timeout", "0"], "timeout must be above 0, got 0"),
        (
            ["sweep", "widths.toml", "--rerun", "failed,done"],
            "rerun = 'done' is not known; pass one of 'diverged', 'fai",
        ),
    ]:
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
    assert os.listdir() == ["widths.toml"]


def test_rerun_and_timeout_are_passed_on(monkeypatch):
    given = {}

    def run_sweep(cells, store, **options):
        given.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "run_sweep", run_sweep)
    assert main(["sweep", "widths.toml", "--rerun", "failed, diverged", "--timeout", "2.5", "--shard", "1/3"]) == 130
    assert (given["rerun"], given["timeout"], given["shard"]) == (["failed", "diverged"], 2.5, "1/3")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="the script is for bash")
def test_the_array_of_slurm_measures_all_and_merges(tmp_path):
    """Each task with what SLURM would tell it, the second one twice."""
    command = tmp_path / "bin" / "fastlazy"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fastlazy "$@"\n')
    command.chmod(0o755)
    script = ROOT / "docs" / "sweeps" / "array.sh"
    path = os.pathsep.join([str(command.parent), os.environ["PATH"]])
    told = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": path,
        "SLURM_ARRAY_TASK_COUNT": "2",
        "SLURM_CPUS_PER_TASK": "1",
    }
    for task in "122":
        subprocess.run(["bash", str(script), "widths.toml"], env={**told, "SLURM_ARRAY_TASK_ID": task}, check=True)
        assert Path("widths.sqlite").exists() == (task == "2")
    assert len(load_sweep("widths.sqlite")) == 18
