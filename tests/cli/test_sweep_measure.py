"""fastlazy sweep with a quantity of the user's: from FILE or the command line, beside FILE, and changed."""

import subprocess
import sys

import pytest

from fastlazy.cli.main import main
from fastlazy.cli.sweep import read_measure
from fastlazy.sweeps.driver import load_sweep

FILE = 'measure = "own_numbers:size"\n[[grid]]\nregime = ["RF", "NT"]\nd = 5\nN = [2, 3]\n'
MODULE = "import numpy as np\n\n\ndef size(cell):\n    return {'size': float(np.abs(cell.W).max())}\n"


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file of cells in a folder of its own, with a module beside it; the working folder is another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    folder = tmp_path / "sweeps"
    folder.mkdir()
    (folder / "own_numbers.py").write_text(MODULE)
    (folder / "a.toml").write_text(FILE)
    sys.modules.pop("own_numbers", None)
    yield folder / "a.toml"
    sys.modules.pop("own_numbers", None)


def test_workers_find_the_module_beside_the_file(file, tmp_path):
    command = [sys.executable, "-m", "fastlazy", "sweep", str(file), "--workers", "1"]
    child = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr + child.stdout
    table = load_sweep("a.sqlite")
    assert table["size"].notna().all()
    assert table["measure"].str.startswith("size #").all()


def test_a_module_that_changes_between_two_runs(file, tmp_path, capsys):
    assert main(["sweep", str(file), "--workers", "1"]) == 0
    first = load_sweep("a.sqlite")["size"]
    (file.parent / "own_numbers.py").write_text(MODULE.replace("float(", "2 * float("))
    sys.modules.pop("own_numbers")
    capsys.readouterr()
    for more in ([], ["--dry-run"]):
        assert main(["sweep", str(file), *more]) == 2
        assert "measure 'size' is not what it was when 4 cells of the store were measured" in capsys.readouterr().err
    for change, left in (("keep", 0), ("measure", 4)):
        assert main(["sweep", str(file), "--dry-run", "--on-change", change]) == 0
        assert f"{left} to run" in capsys.readouterr().out
    assert main(["sweep", str(file), "--workers", "1", "--on-change", "measure"]) == 0
    assert load_sweep("a.sqlite")["size"].tolist() == (2 * first).tolist()


def test_the_option_comes_before_the_file(file, capsys):
    (file.parent / "own_numbers.py").write_text(MODULE + "\n\ndef other(cell):\n    return {'other': 1.0}\n")
    assert main(["sweep", str(file), "--workers", "1", "--measure", "own_numbers:other"]) == 0
    table = load_sweep("a.sqlite")
    assert table["other"].tolist() == [1.0] * 4
    assert "size" not in table


def test_what_it_refuses(file, capsys):
    assert read_measure(str(file)) == "own_numbers:size"
    assert main(["sweep", str(file), "--measure", "no_such_module:size"]) == 2
    assert "No module named 'no_such_module'" in capsys.readouterr().err
    file.write_text(FILE.replace('"own_numbers:size"', "3"))
    assert main(["sweep", str(file)]) == 2
    assert "measure must be a string, got 3; write measure = 'package.module:function'" in capsys.readouterr().err
    (file.parent / "own_numbers.py").write_text(MODULE.replace("'size'", "'risk'"))
    file.write_text(FILE)
    assert main(["sweep", str(file), "--workers", "1"]) == 2
    assert "measure returned a number 'risk', but the table has a column 'risk'" in capsys.readouterr().err
