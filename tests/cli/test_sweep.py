"""fastlazy sweep: files of cells, real runs at small size, and what it says."""

import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fastlazy.cli.main import main
from fastlazy.cli.sweep import read_cells
from fastlazy.sweeps import driver
from fastlazy.sweeps.cells import check_cells, grid
from fastlazy.sweeps.driver import load_sweep, run_sweep
from fastlazy.sweeps.engines import open_engine

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "docs" / "sweeps").glob("*.toml"))
SMALL = """
[shared]
d = 10
N = { geom = [3, 30, 3] }

[[grid]]
regime = ["RF", "NT"]
draw = { range = [1, 2] }

[[grid]]
regime = "nn"
N = 3
n_samples = 2_000
target = [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]
"""


@pytest.fixture(autouse=True)
def _threads(monkeypatch, tmp_path):
    """Threads start faster than processes, and give the same (`test_sweep`)."""
    monkeypatch.setattr(
        driver, "open_engine", lambda executor, n_workers: open_engine(ThreadPoolExecutor(2), n_workers)
    )
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return str(path)


def test_a_file_is_a_sum_of_grids(file):
    expected = grid(d=10, N=[3, 9, 30], regime=["RF", "NT"], draw=[1, 2])
    expected += grid(d=10, N=3, regime="NN", n_samples=2000, target=[np.arange(1, 11)])
    assert list(check_cells(read_cells(file))) == list(check_cells(expected))


def test_a_sweep_runs_goes_on_and_is_exported(file, tmp_path, capsys):
    assert main(["sweep", file, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("13 cells: 0 finished and 0 failed in small.sqlite, 13 to run\n")
    assert re.search(
        r"\n\d+\.\d s to \d+\.\d s with \d+ workers? \(a guess: no cell has been measured yet\), and up to a minute to",
        printed,
    )
    assert not (tmp_path / "small.sqlite").exists()
    run_sweep(read_cells(file)[:4], "small.sqlite", progress=False)
    assert main(["sweep", file, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("13 cells: 4 finished and 0 failed in small.sqlite, 9 to run\n")
    assert "(from 4 measured cells; a guess for cells of other kinds)" in printed

    assert main(["sweep", file, "--export", "out.csv"]) == 0
    captured = capsys.readouterr()
    assert "13/13 cells" in captured.err
    assert re.search(r"\n13 cells in \d+\.\d s, 0 failed: small\.sqlite\n$", captured.out)
    table = load_sweep("small.sqlite")
    assert len(table) == 13
    out = pd.read_csv("out.csv")
    assert sorted(out["id"]) == sorted(table["id"])
    header, *lines = captured.out.splitlines()[:-1]
    assert header.split() == ["regime", "N", "target", "cells", "measured", "+-", "predicted"]
    assert len(lines) == 7
    rf = table[(table["regime"] == "RF") & (table["N"] == 9)]["ratio"]
    rows = [line.split() for line in lines]
    assert ["RF", "9", "exponential", "2", f"{rf.mean():.4f}", f"{rf.std():.4f}"] in [row[:6] for row in rows]
    assert lines[0].split()[:6] == ["NN", "3", "[1.0,", "2.0,", "3.0,", "4.0,"]


def test_another_store(file, tmp_path):
    assert main(["sweep", file, "--store", str(tmp_path / "other.db")]) == 0
    assert len(load_sweep("other.db")) == 13


def test_cells_that_fail_are_told(tmp_path, capsys):
    Path("bad.toml").write_text('[[grid]]\nregime = "RF"\nd = 3\nN = [2, 1_000_000_000_000]\n')
    assert main(["sweep", "bad.toml"]) == 1
    captured = capsys.readouterr()
    assert ", 1 failed: bad.sqlite" in captured.out
    assert "1 x MemoryError: Unable to allocate" in captured.err
    assert main(["sweep", "bad.toml", "--dry-run"]) == 0
    assert "1 finished and 1 failed in bad.sqlite, 0 to run" in capsys.readouterr().out
    assert main(["sweep", "bad.toml", "--dry-run", "--rerun-failed"]) == 0
    assert "1 finished and 1 failed in bad.sqlite, 1 to run" in capsys.readouterr().out


MIXED = """
[shared]
d = 4
N = 2

[[grid]]
regime = ["RF", "NT"]

[[grid]]
regime = "RF"
n_samples = 30

[[grid]]
regime = "NN"
n_samples = [1000, 2000]

[[grid]]
regime = "NN"
n_samples = 1000
scale = 2.0
"""


def test_a_summary_of_cells_that_differ_in_what_some_do_not_have(capsys):
    """Rows of a regime with and without n_samples or scale are kept apart, and what is not there is empty."""
    Path("mixed.toml").write_text(MIXED)
    assert main(["sweep", "mixed.toml"]) == 0
    head, *rows, _ = capsys.readouterr().out.splitlines()
    assert head.split() == ["regime", "N", "n_samples", "scale", "cells", "measured", "+-", "predicted"]
    found = {(row[: len("regime")].strip(), *row[len("regime") : head.index("cells")].split()) for row in rows}
    assert found == {
        ("NN", "2", "1000"), ("NN", "2", "1000", "2"), ("NN", "2", "2000"), ("NT", "2"), ("RF", "2"), ("RF", "2", "30")
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:nn_flow took max_")  # workers are threads here, which share Python's filters
def test_flows_that_have_not_converged_are_counted(capsys):
    Path("flow.toml").write_text(
        '[[grid]]\nregime = "NN"\nd = 4\nN = 2\nnn = "flow"\nactivation = "relu"\nmax_gradients = [5, 6]\n'
    )
    assert main(["sweep", "flow.toml"]) == 0
    assert ", 0 failed, 2 not converged: flow.sqlite" in capsys.readouterr().out


def test_training_that_diverged_is_no_result(capsys):
    Path("bad.toml").write_text('[[grid]]\nregime = "NN"\nd = 4\nN = 2\nn_samples = 900\nstep_size = ["auto", 50.0]\n')
    with pytest.warns(RuntimeWarning, match="diverged"):
        assert main(["sweep", "bad.toml"]) == 1
    captured = capsys.readouterr()
    assert ", 0 failed, 1 diverged: bad.sqlite" in captured.out
    assert "1 x training diverged, and the results are of its last finite state; give a smaller" in captured.err
    assert len(captured.out.splitlines()) == 3
    table = load_sweep("bad.sqlite")
    assert sorted(table["status"]) == ["diverged", "done"]
    assert np.isfinite(table["ratio"]).all()
    assert main(["sweep", "bad.toml", "--dry-run", "--rerun-failed"]) == 0
    assert "2 cells: 1 finished and 0 failed and 1 diverged in bad.sqlite, 0 to run" in capsys.readouterr().out
    assert main(["figure", "--from", "bad.sqlite", "--out", "."]) == 0
    assert len(pd.read_csv("results.csv")) == 1


def test_where_a_cell_failed_is_shown(capsys):
    Path("bad.toml").write_text('[[grid]]\nregime = "RF"\nd = 3\nN = 1_000_000_000_000\n')
    assert main(["sweep", "bad.toml"]) == 1
    assert "--tracebacks shows where they come from" in capsys.readouterr().err
    assert main(["sweep", "bad.toml", "--tracebacks"]) == 1
    shown = capsys.readouterr().err
    assert re.search(r"Traceback \(most recent call last\):\n.*in draw_weights\n", shown, re.DOTALL)
    assert load_sweep("bad.sqlite")["traceback"][0].rstrip().splitlines()[-1] in shown


def test_an_export_that_cannot_be_written_is_found_first(file, tmp_path, monkeypatch, capsys):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "taken").touch()
    for name in ("none/out.csv", "taken/out.csv", "folder.csv"):
        assert main(["sweep", file, "--export", name]) == 2
        message = capsys.readouterr().err
        assert re.fullmatch(rf"fastlazy sweep: cannot write '{name}' \(.*\); choose another place\n", message)
    assert not Path("small.sqlite").exists()

    def fail(path, write):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastlazy.sweeps.export.replace_file", fail)
    assert main(["sweep", file, "--export", "out.csv"]) == 2
    assert re.search(
        r"out.csv cannot be written \(.*No space.*\). All cells are kept in small.sqlite; make room and run the same",
        capsys.readouterr().err,
    )
    assert len(load_sweep("small.sqlite")) == 13


def test_a_dry_run_on_a_store_that_was_edited(file, capsys):
    run_sweep(read_cells(file)[:4], "small.sqlite", progress=False)
    with closing(sqlite3.connect("small.sqlite")) as db:
        db.execute("UPDATE cells SET regime = 'XX', checksum = 'edited' WHERE rowid = 1")
        db.execute("UPDATE cells SET seconds = NULL, checksum = 'edited' WHERE rowid = 2")
        db.commit()
    assert main(["sweep", file, "--dry-run"]) == 0
    assert "(from 2 measured cells; a guess for cells of other kinds)" in capsys.readouterr().out


def test_a_byte_order_mark_is_no_part_of_a_file(file):
    cells = read_cells(file)
    Path(file).write_bytes(b"\xef\xbb\xbf" + Path(file).read_bytes())
    assert read_cells(file) == cells


HUGE = {
    "range": (
        "N = { range = [0, 1000000000] }",
        r"1,000,000,001 cells \(1000000001 of N\), and a sweep may have 1,000,000",
    ),
    "digits": (f"N = {{ range = [1, 1{'0' * 40}] }}", r"1e\+40 cells \(10+ of N\), and a sweep may have 1,000,000"),
    "axes": (
        "N = { range = [1, 1000] }\ndraw = { range = [1, 1000] }\nseed = { range = [0, 1000] }",
        r"1,001,000,000 cells \(1000 of N, 1000 of draw, 1001 of seed\), and a sweep may have 1,000,000;",
    ),
    "geom": ("N = { geom = [1, 100, 1000000000] }", r"1,000,000,000 cells \(of N\), and a sweep may have 1,000,000"),
    "ends": (f"N = {{ geom = [1, 1{'0' * 400}, 3] }}", "N must be at most 1e[+]15, got a number of 401 digits"),
}


@pytest.mark.parametrize(("axes", "message"), HUGE.values(), ids=HUGE)
def test_a_range_that_is_a_slip_is_refused_at_once(axes, message, capsys):
    Path("bad.toml").write_text(f'[[grid]]\nregime = "RF"\nd = 3\n{axes}\n')
    assert main(["sweep", "bad.toml"]) == 2
    assert re.match(rf"fastlazy sweep: bad.toml, \[\[grid\]\] number 1: .*{message}", capsys.readouterr().err)


def test_many_grids_are_too_many_together(capsys):
    grids = '[[grid]]\nregime = "RF"\nd = 3\nN = 2\ndraw = { range = [1, 400_000] }\n' * 3
    Path("bad.toml").write_text(grids)
    assert main(["sweep", "bad.toml"]) == 2
    assert "number 3: these are 1,200,000 cells (of 3 grids)" in capsys.readouterr().err


def test_a_long_summary_is_cut(capsys):
    Path("long.toml").write_text('[[grid]]\nregime = "NT"\nd = 3\nN = { range = [1, 70] }\n')
    assert main(["sweep", "long.toml"]) == 0
    assert capsys.readouterr().out.splitlines()[-2] == "and 10 rows more"


def test_an_interrupt_says_where_the_cells_are(file, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "run_sweep", interrupted)
    assert main(["sweep", file]) == 130
    assert "interrupted: finished cells are in small.sqlite; the same command goes on" in capsys.readouterr().err


BAD = {
    "TOML": ("[[grid", "bad.toml is not TOML: "),
    "empty": ("", r"bad.toml has no [[grid]]; write one for each product of axes"),
    "one table": ("[grid]\nd = 3", r"bad.toml has no [[grid]]"),
    "nested": ("a = " + "[" * 5000, "bad.toml is not TOML: "),
    "UTF-16": ("\0[[grid]]", "bad.toml is not TOML: "),
    "other": ("[[cells]]\nd = 3", "bad.toml has 'cells'; it may have only measure, [shared] and [[grid]]"),
    "range": ("[[grid]]\nN = { range = 3 }", "bad.toml, [[grid]] number 1: N = {'range': 3} is not an axis; write {"),
    "geom": ("[[grid]]\nN = { geom = [0, 3, 2] }", "bad.toml, [[grid]] number 1: N = {'geom': [0, 3, 2]} is not an"),
    "nothing": ("[[grid]]\nN = []", "bad.toml, [[grid]] number 1: axis N of the grid is empty"),
    "key": (
        '[[grid]]\nregime = "RF"\nd = 3\nN = 2\nM = 1',
        "cell 0: a cell of regime RF with target 'expon",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_bad_files(text, message, capsys):
    Path("bad.toml").write_text(text)
    assert main(["sweep", "bad.toml"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("fastlazy sweep: ")
    assert message in captured.err
    assert captured.out == ""
    assert not Path("bad.sqlite").exists()


def test_bad_arguments(file, capsys):
    for arguments, message in [
        ([""], "FILE must be the path of a file, got ''; pass a file name"),
        (["."], "FILE must be the path of a file, got '.'; pass a file name"),
        (["/"], "FILE must be the path of a file, got '/'; pass a file name"),
        ([str(Path(file).parent)], "Is a directory: "),
        ([file, "--store", ""], "--store must be the path of a file, got ''; pass a file name"),
        (["none.toml"], "No such file or directory: 'none.toml'"),
        ([file, "--workers", "0"], "--workers must be at least 1, got 0"),
        ([file, "--export", "out.xls"], "cannot export to 'out.xls'; pass a file name that ends in .csv or .parquet"),
        ([file, "--store", "none/a.sqlite"], "the folder of the store 'none/a.sqlite' does not exist; make it first"),
    ]:
        assert main(["sweep", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not Path("small.sqlite").exists()


def test_there_are_worked_files():
    assert len(FILES) >= 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_worked_files_are_sweeps(path, capsys):
    assert main(["sweep", str(path), "--dry-run"]) == 0
    cells = check_cells(read_cells(str(path)))
    assert capsys.readouterr().out.startswith(f"{len(cells)} cells: 0 finished")
    assert {parameters["regime"] for parameters in cells.values()} == {"RF", "NT", "NN"}


def test_the_file_in_the_help_is_a_sweep(capsys):
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    example = capsys.readouterr().out.split("example of a FILE:\n")[1]
    Path("help.toml").write_text(example)
    assert len(check_cells(read_cells("help.toml"))) == 12 * (2 * 10 + 1)
