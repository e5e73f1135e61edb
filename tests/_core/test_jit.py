"""The compile cache: used, never stale, and dispensable."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

import fastlazy
from fastlazy._core import jit

FIT = """
import numpy as np, fastlazy
fit = fastlazy.fit_nn(fastlazy.exponential_target(8, rng=0), 3, n_samples=8, batch_size=4, rng=0)
from fastlazy._core import sgd
print(sum(sgd.advance.stats.cache_hits.values()), float(fit.W[0, 0]))
"""

PROGRAM = """
import numpy as np
from fastlazy._core import samples
y = np.zeros(4)
samples.draw_group(3, 4, 8, np.ones(32), 0.5, np.zeros((8, 4)), np.zeros(64), y)
print(sum(samples.draw_group.stats.cache_hits.values()), float(y[0]))
"""
"""Compiles little: one function of `samples`, and what it calls of `normal`."""


@pytest.fixture
def package(tmp_path):
    """A copy of the package, and how to run a program with it."""
    folder = tmp_path / "copy"
    ignored = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
    shutil.copytree(Path(fastlazy.__file__).parent, folder / "fastlazy", ignore=ignored)

    def run(program=PROGRAM, **variables):
        environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
        environment |= {"PYTHONPATH": str(folder), **variables}
        return subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )

    return folder, run


@pytest.mark.slow
def test_second_process_loads_and_says_nothing_first_says_once(package):
    _, run = package
    first, second = run(FIT), run(FIT)
    assert first.stderr.count("compiling for this machine") == 1
    assert second.stderr == ""
    assert first.stdout.split()[0] == "0"
    assert second.stdout.split()[0] == "1"
    assert first.stdout.split()[1] == second.stdout.split()[1]


def test_a_constant_in_a_call_compiles_nothing_more():
    @jit.jit
    def plus(x, y):
        return x + y

    @jit.jit
    def twice(x):
        return plus(plus(x, 0), x)

    assert twice(4) == 8
    assert len(plus.nopython_signatures) == 1


@pytest.mark.slow
def test_an_edit_of_one_file_renews_the_callers_in_others(package):
    """draw_group in samples.py calls fill_normals in normal.py: change only that."""
    folder, run = package
    before = run().stdout.split()[1]
    source = folder / "fastlazy" / "_core" / "normal.py"
    text = source.read_text()
    assert "_ROUNDS = 7" in text
    source.write_text(text.replace("_ROUNDS = 7", "_ROUNDS = 8"))
    hits, after = run().stdout.split()
    assert hits == "0"
    assert after != before


@pytest.mark.slow
def test_no_writable_folder(package, tmp_path):
    """Where the cache cannot be written everything still works: here its place is a file."""
    folder, run = package
    blocked = tmp_path / "file"
    blocked.write_text("")
    (folder / "fastlazy" / "_core" / "__pycache__").write_text("")  # a file where the folder would be
    result = run(NUMBA_CACHE_DIR="", HOME=str(blocked), XDG_CACHE_HOME=str(blocked), PYTHONDONTWRITEBYTECODE="1")
    assert result.stderr.count("compiling for this machine") == 1
    assert result.stdout


@pytest.mark.slow
def test_damaged_entries_are_compiled_anew(package):
    folder, run = package
    good = run().stdout.split()[1]
    cached = list((folder / "fastlazy" / "_core" / "__pycache__").glob("*.nb?"))
    assert cached
    for path in cached:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert run().stdout.split() == ["0", good]


@pytest.mark.slow
@pytest.mark.parametrize("version", [numba.__version__, None], ids=["of another core", "damaged"])
def test_an_index_that_names_what_is_gone_is_begun_anew(version, package):
    """As after an upgrade that renames a record which compiled functions take."""
    folder, run = package
    good = run().stdout.split()[1]
    for path in (folder / "fastlazy" / "_core" / "__pycache__").glob("*.nbi"):
        with path.open("rb") as file:
            found = pickle.load(file)
        path.write_bytes(pickle.dumps(version or found) + b"cfastlazy._core.tangent\nGone\n.")
    assert run().stdout.split() == ["0", good]
    assert run().stdout.split() == ["1", good]


EACH = """
import sys
sys.path[:0] = ["tests", "tests/_core"]
import edges
import numpy as np

for name, found in edges.results(0).items():
    print(name, np.ascontiguousarray(found).tobytes().hex())
"""


@pytest.mark.slow
def test_the_process_that_compiles_computes_the_same_bits(tmp_path):
    """Each computation in one dtype: that a sum is inlined does not depend on it."""
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", EACH]
    compiled, loaded = (
        subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    )
    assert len(loaded) > 200
    assert compiled == loaded


def test_digest_covers_every_file(tmp_path):
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("x = 1\n")
    before = jit.source_digest(tmp_path)
    assert jit.source_digest(tmp_path) == before
    (tmp_path / "b.py").write_text("x = 2\n")
    assert jit.source_digest(tmp_path) != before


@pytest.mark.slow
def test_an_upgrade_inside_an_archive_renews_the_kernels(package, tmp_path):
    folder, run = package
    cached = {"PYTHONPATH": str(tmp_path / "archive.zip"), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def printed():
        shutil.make_archive(str(tmp_path / "archive"), "zip", folder)
        return [run(**cached).stdout.split() for _ in range(2)]

    first, second = printed()
    assert first[0] == "0"
    assert second == ["1", first[1]]
    source = folder / "fastlazy" / "_core" / "normal.py"
    source.write_text(source.read_text().replace("_ROUNDS = 7", "_ROUNDS = 8"))
    renewed, again = printed()
    assert renewed[0] == "0"
    assert renewed[1] != first[1]
    assert again == ["1", renewed[1]]


@pytest.mark.slow
def test_without_sources_nothing_is_cached(package, tmp_path):
    """As in a program frozen into one file: here the loader of the core knows of no files."""
    _, run = package
    assert jit.source_digest(tmp_path) == ""
    hidden = "import importlib.resources as r; from pathlib import Path; files = r.files; "
    hidden += f"r.files = lambda package: Path({str(tmp_path)!r}) if package == 'fastlazy._core' else files(package)\n"
    (tmp_path / "cache").mkdir()
    runs = [run(hidden + PROGRAM, NUMBA_CACHE_DIR=str(tmp_path / "cache")) for _ in range(2)]
    assert [result.stdout.split()[0] for result in runs] == ["0", "0"]
    assert not list((tmp_path / "cache").iterdir())
