"""The register geometry: chosen, forced, refused; and everything compiled under each of them, on any processor."""

import os
import subprocess
import sys
from pathlib import Path

import edges
import numpy as np
import pytest

from fastlazy._core import geometry
from fastlazy._core.geometry import AVX2, AVX512, GEOMETRIES, GEOMETRY, NEON, SSE, WIDE

HERE = Path(__file__).parent
OTHERS = [name for name, other in GEOMETRIES.items() if other != GEOMETRY]
"""The geometry of this process is tested by the tests beside this one."""
OPTIONS = ("-q", "-n0", "-p", "no:cacheprovider")


def run(name, *arguments):
    """Python in a process of its own, under a geometry."""
    environment = os.environ | {geometry.VARIABLE: name}
    return subprocess.run([sys.executable, *arguments], env=environment, cwd=HERE, capture_output=True, text=True)


RESULTS = """
import sys
import numpy as np
import pytest

status = pytest.main(sys.argv[3:])
sys.path[:0] = [".", "../.."]
import edges
from fastlazy._core import geometry

np.savez(sys.argv[1], geometry=str(geometry.GEOMETRY), **edges.results(*map(int, sys.argv[2])))
sys.exit(status)
"""


@pytest.fixture(scope="module")
def own_results():
    """Those of this process's geometry, by half."""
    return [edges.results(parity) for parity in (0, 1)]


def check(name, halves, own_results, file, *tests):
    """Under a geometry *tests* pass, and these halves of the results are this one's to rounding, normals to the bit."""
    done = run(name, "-c", RESULTS, str(file), "".join(map(str, halves)), *OPTIONS, *tests)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    other = dict(np.load(file))
    assert other.pop("geometry") == name
    own = {key: found for half in halves for key, found in own_results[half].items()}
    assert other.keys() == own.keys()
    for key, expected in own.items():
        if key.startswith("normals"):
            assert other[key].tobytes() == expected.tobytes()
        else:
            tolerance = {"float32": 2e-6, "float64": 1e-14}[key.split()[-1]] * np.abs(expected).max()
            np.testing.assert_allclose(other[key], expected, rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize("name", OTHERS)
def test_every_computation_under_another_geometry(name, own_results, tmp_path):
    """It equals its slow twin, and this geometry's; in one dtype, as compiling takes most of the time."""
    half = OTHERS.index(name) % 2
    check(name, [half], own_results, tmp_path / "results.npz", "test_tile.py", *edges.near_twins(half))


def alone(name):
    """Whether no other geometry of `OTHERS`, with its half in the other dtype, has vectors as long."""
    return sum(GEOMETRIES[other].register_bytes == GEOMETRIES[name].register_bytes for other in OTHERS) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OTHERS if alone(name)])
def test_so_it_does_in_both_dtypes_in_several_parts_and_with_any_number_of_threads(name, own_results, tmp_path):
    check(name, [0, 1], own_results, tmp_path / "results.npz", "-m", "", "test_layout_edges.py")


@pytest.mark.parametrize("chosen", GEOMETRIES.values(), ids=str)
def test_a_tile_fits_in_the_registers(chosen):
    assert chosen.height * WIDE + WIDE + 1 <= chosen.registers


@pytest.mark.parametrize(
    ("features", "triple", "expected"),
    [
        ("+sse2,+avx2,+fma,+avx512f", "x86_64-unknown-linux-gnu", AVX512),
        ("+sse2,+avx2,+fma,-avx512f", "x86_64-unknown-linux-gnu", AVX2),
        ("+sse2,+avx2,-fma", "x86_64-unknown-linux-gnu", SSE),
        ("", "x86_64-unknown-linux-gnu", SSE),
        ("+neon", "aarch64-unknown-linux-gnu", NEON),
        ("+neon", "arm64-apple-darwin", NEON),
    ],
)
def test_the_host_decides(features, triple, expected, monkeypatch):
    monkeypatch.delenv(geometry.VARIABLE, raising=False)
    monkeypatch.setattr(geometry.numba.config, "CPU_FEATURES", features)
    monkeypatch.setattr(geometry.llvm, "get_process_triple", lambda: triple)
    assert geometry.host_geometry() == geometry.chosen_geometry() == expected


def test_the_variable_forces(monkeypatch):
    for name, expected in GEOMETRIES.items():
        monkeypatch.setenv(geometry.VARIABLE, name)
        assert geometry.chosen_geometry() == expected
        assert str(expected) == name
    monkeypatch.setenv(geometry.VARIABLE, "")
    assert geometry.chosen_geometry() == geometry.host_geometry()


@pytest.mark.parametrize("name", ["64", "64X32", "32x32", "avx2", " 64x32"])
def test_an_unknown_value_is_refused(name, monkeypatch):
    monkeypatch.setenv(geometry.VARIABLE, name)
    with pytest.raises(ValueError, match=r"FASTLAZY_REGISTERS is '.*', which is no .*; set it to one of 64x32, 32x16"):
        geometry.chosen_geometry()


def test_the_command_line_says_so_without_a_traceback():
    done = run("7x7", "-m", "fastlazy", "info")
    assert done.returncode == 2
    assert "FASTLAZY_REGISTERS" in done.stderr
    assert "Traceback" not in done.stderr


CACHE = """
import sys
from fastlazy._core import tile
import numpy as np
tile.multiply(np.zeros((1, 4, 4)), 0, 1, np.zeros((4, tile.REGISTER_BYTES // 4)), 0, 4, False, np.zeros((4, 16)))
print(sum(tile.multiply.stats.cache_hits.values()))
"""


@pytest.mark.slow
def test_the_compile_cache_tells_geometries_apart(tmp_path, monkeypatch):
    """Each is compiled once, and none throws out another."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    hits = [[run(name, "-c", CACHE).stdout.strip() for name in ("64x32", "32x16", "16x16")] for _ in range(2)]
    assert hits == [["0"] * 3, ["1"] * 3]
