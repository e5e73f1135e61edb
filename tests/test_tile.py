"""The register tile against a plain matrix product, for the host's vectors and for narrower ones."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest

from fastlazy._core import tile
from fastlazy._core.tile import HEIGHT, NARROW, REGISTER_BYTES, WIDE, panel_width, pointer

# name, rows, rows of A from X^T, accumulate
TILES = [
    ("product", 4, False, False),
    ("tall_product", HEIGHT, False, False),
    ("add_product", 4, False, True),
    ("add_product_t", 4, True, True),
    ("tall_add_product_t", HEIGHT, True, True),
]


def interleaved(X):
    """X (n, d), both multiples of four, as X[s // 4, i, s % 4]."""
    n, d = X.shape
    return np.ascontiguousarray(X.reshape(n // 4, 4, d).transpose(0, 2, 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "height", "transposed", "accumulate"), TILES)
@pytest.mark.parametrize("k", [4, 8, 52])
@pytest.mark.parametrize("vectors", [WIDE, NARROW])
def test_tile_is_a_matrix_product(dtype, name, height, transposed, accumulate, k, vectors):
    rng = np.random.default_rng(k)
    width = vectors * REGISTER_BYTES // np.dtype(dtype).itemsize
    n, d = (k, height + 8) if transposed else (height + 8, k)
    X = rng.standard_normal((n, d)).astype(dtype)
    P = rng.standard_normal((k, width)).astype(dtype)
    C = rng.standard_normal((height + 2, width)).astype(dtype)
    core_tile, packed = getattr(tile, name), interleaved(X)
    # From one group of rows to the next, from one group of k to the next; the first row of A is number 4.
    rows, steps, first = (16, 4 * d, 16) if transposed else (4 * d, 16, 4 * d)

    @numba.njit
    def run(X, P, scale, C):
        core_tile(vectors, pointer(X, first), rows, steps, pointer(P, 0), k, scale, pointer(C, C.shape[1]))

    A = (X.T if transposed else X)[4 : 4 + height].astype(float)
    expected = C.astype(float)
    expected[1 : 1 + height] = accumulate * expected[1 : 1 + height] + (-0.5 if accumulate else 1.0) * A @ P
    run(packed, P, dtype(-0.5), C)
    np.testing.assert_allclose(C, expected, rtol=0, atol=50 * k * np.finfo(dtype).eps)
    assert abs(A @ P).min() > 0


def test_a_tile_fits_in_the_registers():
    assert (32 if HEIGHT == 8 else 16) >= HEIGHT * WIDE + WIDE + 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_panels_are_narrow_where_that_saves_padding(dtype):
    lanes = REGISTER_BYTES // np.dtype(dtype).itemsize
    assert panel_width(3 * lanes, dtype) == 3 * lanes
    assert panel_width(4 * lanes, dtype) == 2 * lanes
    assert panel_width(1000 * lanes, dtype) == 3 * lanes
    for columns in range(1, 200):
        width = panel_width(columns, dtype)
        assert width in (2 * lanes, 3 * lanes)


PROGRAM = """
import sys, numpy as np, fastlazy
from fastlazy._core import tile
target = fastlazy.exponential_target(50, rng=0)
fits = [
    fastlazy.fit_nn(target, 70, n_samples=700, batch_size=b, second_layer=s, dtype=np.float64, rng=1)
    for b, s in ((1, "ones"), (100, "free"))
]
np.save(sys.argv[1], np.stack([fit.W for fit in fits]))
print(tile.REGISTER_BYTES)
"""


@pytest.mark.parametrize(("cpu", "features", "bytes_"), [("haswell", None, 32), ("nehalem", "+sse4.2", 16)])
def test_narrower_vectors_give_the_same_to_rounding(cpu, features, bytes_, tmp_path):
    """Compiled in a child process for another processor of the same kind: AVX2 and SSE."""
    if not {"+avx2", "+fma"} <= set(tile.llvm.get_host_cpu_features().flatten().split(",")):
        pytest.skip("the host cannot run this code")
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    results = []
    for name, flags in ((None, None), (cpu, features)):
        variables = dict(environment)
        if name:
            variables["NUMBA_CPU_NAME"] = name
            # numba would take the host's own features, which the named processor may not have
            variables["NUMBA_CPU_FEATURES"] = flags or "+avx,+avx2,+fma,+sse4.2"
        out = tmp_path / f"{name}.npy"
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(out)], env=variables, capture_output=True, text=True, check=True
        )
        results.append(np.load(out))
    assert int(run.stdout) == bytes_
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-10)
