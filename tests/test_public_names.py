"""The names of the package: what dir and tab completion show, and what type checkers know of them."""

import subprocess
import sys
from pathlib import Path

import pytest

import fastlazy

ROOT = Path(__file__).resolve().parents[1]
COMPLETED = """
import sys, rlcompleter, fastlazy
complete = rlcompleter.Completer({"fastlazy": fastlazy}).complete
assert dir(fastlazy) == fastlazy.__all__
print(*filter(None, (complete("fastlazy.draw_w", k) for k in (0, 1))))
print(*{name.split(".")[0] for name in sys.modules} & {"matplotlib", "pandas", "tqdm", "numba", "loky"})
"""
NAMES = """
import fastlazy
from fastlazy import draw_weights
fastlazy.__version__.upper()
fastlazy.hermite_activation([0, 0, 1, 1])
fastlazy.nope
from fastlazy import nothing
"""


def test_dir_shows_the_public_names_only():
    assert dir(fastlazy) == sorted(fastlazy.__all__)
    assert not [name for name in dir(fastlazy) if name.startswith("_")]


def test_completion_loads_what_it_completes_alone():
    child = subprocess.run([sys.executable, "-c", COMPLETED], cwd=ROOT, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert child.stdout.splitlines() == ["fastlazy.draw_weights(", ""]


def test_a_type_checker_knows_the_names(tmp_path):
    """Whether there is one; what each is, the check of the whole package knows, as the names are its own imports."""
    api = pytest.importorskip("mypy.api")
    snippet = tmp_path / "snippet.py"
    snippet.write_text(NAMES)
    options = ["--follow-imports=skip", "--config-file=", "--no-incremental", f"--cache-dir={tmp_path}", "--no-pretty"]
    told, failed, status = api.run([str(snippet), str(ROOT / "fastlazy" / "__init__.py"), *options])
    assert status == 1, told + failed
    assert [line.partition("snippet.py:")[2] for line in told.splitlines()[:-1]] == [
        '6: error: Module has no attribute "nope"  [attr-defined]',
        '7: error: Module "fastlazy" has no attribute "nothing"  [attr-defined]',
    ]
