"""The guards of `red_zones` see what is written outside of an array, and so does numba's own check of indices."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import edges
import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from red_zones import spoiled_blocks

import fastlazy
from fastlazy._core.layout import aligned_zeros

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [np.zeros, np.empty, aligned_zeros])
@pytest.mark.parametrize("freed", [False, True])
@pytest.mark.parametrize("place", [-1, 0])
def test_one_number_beyond_an_array_is_seen(dtype, make, freed, place):
    array = make((10, 3), dtype)
    beyond = as_strided(array.reshape(-1), (31,))
    beyond[29:][place] = 1  # the last number, or the one after it
    if freed:
        del array, beyond
    count, size = spoiled_blocks()
    assert (count, count and size >= 30 * np.dtype(dtype).itemsize) == ((0, 0) if place == 0 else (1, True))
    assert spoiled_blocks()[0] == 0


def test_one_number_before_an_array_is_seen():
    array = np.zeros(10)
    as_strided(array[1:], (2,), (-16,))[1] = 1
    assert spoiled_blocks()[0] == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_read_beyond_one_array_and_written_beyond_another_is_seen(dtype):
    source, target = np.ones(8, dtype), np.ones(8, dtype)
    as_strided(target, (16,))[8:] = as_strided(source, (16,))[8:]
    assert np.isnan(as_strided(source, (16,))[8:]).all()
    assert spoiled_blocks()[0] == 1


@pytest.fixture
def copy(tmp_path):
    """A copy of the package to spoil, and how to run the tests of the core on it."""
    folder = tmp_path / "copy"
    ignored = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
    shutil.copytree(Path(fastlazy.__file__).parent, folder / "fastlazy", ignore=ignored)

    def run(*arguments, **variables):
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *arguments],
            env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{TESTS.parent}", **variables},
            cwd=TESTS / "_core",
            capture_output=True,
            text=True,
        )

    return folder / "fastlazy", run


def plant(file, before, after):
    text = file.read_text()
    assert text.count(before) == 1
    file.write_text(text.replace(before, after))


@pytest.mark.slow
def test_a_planted_overrun_of_one_number_is_caught(copy):
    """The last block of a result writes one number more: the comparison with the slow twin cannot see it."""
    package, run = copy
    line = "                out[i, first + j] = C[i - start, j]\n"
    plant(package / "_core" / "gram.py", line, line + "    pointer_store(out, out.size)\n")
    plant(
        package / "_core" / "gram.py",
        "@jit\ndef write_block(",
        "@jit\ndef pointer_store(out, place):\n    carray(pointer(out, place), 1)[0] = 1\n\n\n@jit\ndef write_block(",
    )
    plant(package / "_core" / "gram.py", "from numba import types\n", "from numba import carray, types\n")
    done = run("test_layout_edges.py", "-k", "twin and kernels and near and float64")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "memory outside of" in done.stdout
    assert "AssertionError" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("registers", ["64x32", "16x32"])
def test_tiles_that_are_always_tall_are_caught(copy, registers):
    """As it once was: eight rows are written where four were asked for, into memory padded for four."""
    package, run = copy
    plant(package / "_core" / "tile.py", "if row + HEIGHT <= last and column + HEIGHT <= own:", "if True:")
    done = run("test_tile.py", "-k", "multiply_panels", FASTLAZY_REGISTERS=registers)
    assert done.returncode != 0, done.stdout
    assert "memory outside of" in done.stdout or done.returncode < 0


@pytest.mark.slow
def test_indices_stay_inside(copy):
    """What is not tiles, with numba's check of every index; each computation in one dtype."""
    _, run = copy
    done = run(*edges.near_twins(0), NUMBA_BOUNDSCHECK="1")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
