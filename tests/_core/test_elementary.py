"""Elementary functions: errors against extended precision, ends of the range, symmetry, vector code."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import naive
import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlazy._core import elementary

DTYPES = [np.float32, np.float64]
EACH_DTYPE = pytest.mark.parametrize("dtype", DTYPES)

# name: the function in extended precision, and the largest |x| tried with float32 and float64
TWINS = {
    "exp": (np.exp, 87, 708),
    "gaussian": (lambda x: np.exp(-x * x / 2), 13.2, 37.6),
    "exp_minus_square": (lambda x: np.exp(-x * x), 9.3, 26.6),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 87, 708),
    "log1p_exp": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 87, 708),
    "tanh": (np.tanh, 12, 25),
    "erf": (naive.erf, 5, 7),
    "sin": (np.sin, 1e5, 1e6),
    "cos": (np.cos, 1e5, 1e6),
}
EACH = pytest.mark.parametrize("name", TWINS)
ODD, EVEN = ["tanh", "erf", "sin"], ["cos", "gaussian", "exp_minus_square"]


def looped(name):
    """The function over an array, as other compiled functions use it: sums may be reordered around it."""
    function = getattr(elementary, name)

    @numba.njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    return loop


LOOPS = {name: looped(name) for name in TWINS}


def evaluate(name, x):
    out = np.empty_like(x)
    LOOPS[name](x, out)
    return out


def points(largest, dtype):
    """Numbers of every size up to *largest*, many of them of order one, and the neighbours of zeros of sin and cos."""
    rng = np.random.default_rng(0)
    signs = rng.choice([-1, 1], 100_000)
    sizes = np.concatenate([rng.uniform(0, largest, 50_000), np.exp(rng.uniform(-30, np.log(largest), 50_000))])
    quarters = np.arange(1, min(largest / 2, 5_000)) * np.pi / 2
    x = np.concatenate([signs * sizes, 2 * rng.standard_normal(100_000), quarters, -quarters]).astype(dtype)
    return x[np.abs(x) <= largest]


@pytest.mark.sampled(4)
@EACH
@EACH_DTYPE
def test_errors_are_below_four_units_in_the_last_place(name, dtype):
    twin, *largest = TWINS[name]
    x = points(largest[DTYPES.index(dtype)], dtype)
    expected = twin(x.astype(np.longdouble))
    unit = np.spacing(np.abs(expected).astype(dtype))
    assert np.max(np.abs(evaluate(name, x) - expected) / unit) < 4


# value at: 0, -0, inf, -inf
ENDS = {
    "exp": (1, 1, np.inf, 0),
    "gaussian": (1, 1, 0, 0),
    "exp_minus_square": (1, 1, 0, 0),
    "sigmoid": (0.5, 0.5, 1, 0),
    "log1p_exp": (np.log(2), np.log(2), np.inf, 0),
    "tanh": (0, -0.0, 1, -1),
    "erf": (0, -0.0, 1, -1),
    "sin": (0, -0.0, np.nan, np.nan),
    "cos": (1, 1, np.nan, np.nan),
}


@EACH
@EACH_DTYPE
def test_zeros_infinities_and_nan(name, dtype):
    values = evaluate(name, np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan], dtype))
    expected = np.array([*ENDS[name], np.nan, np.nan], dtype)
    np.testing.assert_array_equal(values, expected)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(values[known]), np.signbit(expected[known]))


@EACH_DTYPE
def test_the_exponential_uses_the_whole_range_of_its_dtype(dtype):
    info = np.finfo(dtype)
    largest, smallest = np.log(info.max), np.log(info.tiny)
    inside = np.array([np.nextafter(largest, dtype(0)), np.nextafter(smallest, dtype(0))])
    np.testing.assert_allclose(evaluate("exp", inside), np.exp(inside), rtol=4 * info.eps)
    outside = np.array([largest + 0.01, 1e4, info.max, smallest - 0.01, -1e4, -info.max], dtype)
    np.testing.assert_array_equal(evaluate("exp", outside), [np.inf] * 3 + [0] * 3)


@EACH_DTYPE
@pytest.mark.parametrize("name", ODD + EVEN)
def test_symmetry_is_exact(name, dtype):
    x = points(1e4, dtype)
    np.testing.assert_array_equal(evaluate(name, -x), (-1 if name in ODD else 1) * evaluate(name, x))


@EACH_DTYPE
@pytest.mark.parametrize("name", ["tanh", "erf", "sigmoid", "sin", "cos", "gaussian"])
def test_bounds_are_kept(name, dtype):
    assert np.abs(evaluate(name, points(1e4, dtype))).max() <= 1 + np.finfo(dtype).eps


@given(st.floats(-300, 300))
def test_identities(x):
    plus, minus = np.array([x]), np.array([-x])
    assert evaluate("sigmoid", plus) + evaluate("sigmoid", minus) == pytest.approx(1, rel=1e-15)
    assert evaluate("log1p_exp", plus) - evaluate("log1p_exp", minus) == pytest.approx(x, rel=1e-15, abs=1e-15)
    assert evaluate("exp", plus) * evaluate("exp", minus) == pytest.approx(1, rel=2e-15)
    assert evaluate("sin", plus) ** 2 + evaluate("cos", plus) ** 2 == pytest.approx(1, rel=1e-15)
    assert evaluate("tanh", plus / 2) == pytest.approx(2 * evaluate("sigmoid", plus) - 1, rel=1e-12, abs=1e-15)


@EACH
def test_nothing_is_promoted(name):
    function = getattr(elementary, name)
    call = numba.njit(lambda x: function(x))
    for dtype in DTYPES:
        call(dtype(1))
    assert [signature.return_type for signature in call.nopython_signatures] == [numba.float32, numba.float64]


@EACH
@EACH_DTYPE
def test_loops_become_vector_code_without_a_call(name, dtype):
    evaluate(name, np.zeros(3, dtype))
    kinds = {signature[0].dtype: text for signature, text in LOOPS[name].inspect_asm().items()}
    assembly = kinds[numba.from_dtype(np.dtype(dtype))]
    body = assembly[: assembly.index(".size")]
    assert "call" not in body
    if platform.machine() in ("x86_64", "AMD64"):
        assert "mulpd" in body if dtype == np.float64 else "mulps" in body


PLAIN_MACHINE = """
import sys
sys.path[:0] = ["tests", "tests/_core"]
import numpy as np
import test_elementary as tested

for name, largest in ("exp", 80), ("tanh", 10), ("erf", 5), ("cos", 1e4):
    for dtype in tested.DTYPES:
        x = tested.points(largest, dtype)
        expected = tested.TWINS[name][0](x.astype(np.longdouble))
        unit = np.spacing(np.abs(expected).astype(dtype)) + (1e-9 if dtype == np.float32 else 0)
        assert np.max(np.abs(tested.evaluate(name, x) - expected) / unit) < 4, (name, dtype)
"""


@pytest.mark.slow
def test_machines_without_fma_are_as_exact(tmp_path):
    """Except for float32 sines beyond 1e4, and near their zeros; and gaussians where they are tiny."""
    variables = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_MACHINE],
        env=os.environ | variables,
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@EACH_DTYPE
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_no_wave_leaves_its_range(name, dtype):
    """However large the argument is: where no phase is left the result is NaN."""
    largest = np.log10(np.finfo(dtype).max)
    size = np.logspace(0, largest - 0.1, 20_000).astype(dtype)
    found = np.empty_like(size)
    for x in (size, -size):
        LOOPS[name](x, found)
        assert np.all((np.abs(found) <= 1.000001) | np.isnan(found))
    assert np.isfinite(found[size < 1e6]).all()
    assert np.isnan(found[-100:]).all()
