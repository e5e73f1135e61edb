"""Gram matrices, kernels and normal equations: against slow twins, limits of infinite width, and bad input."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastlazy
from fastlazy._support import threads
from fastlazy.kernels import operands
from tests import naive_gram as naive

SIZES = (1, 2, 7, 31, 33, 257)
NAMES = tuple(naive.ACTIVATIONS)
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}
size, dtypes = st.sampled_from(SIZES), st.sampled_from([np.float64, np.float32])


def draw(n, N, d, dtype, seed=0):
    rng = np.random.default_rng([n, N, d, seed])
    return rng.standard_normal((n, d)).astype(dtype), (rng.standard_normal((N, d)) / np.sqrt(d)).astype(dtype)


def assert_close(fast, slow, dtype):
    assert fast.dtype == dtype
    assert fast.shape == slow.shape
    np.testing.assert_allclose(fast, slow, rtol=0, atol=TOLERANCE[dtype] * max(np.abs(slow).max(), 1e-300))


def doubled(*arrays):
    return [array.astype(float) for array in arrays]


@settings(max_examples=60, deadline=None)
@given(N=size, d=size, dtype=dtypes, center=st.booleans())
def test_rf_gram(N, d, dtype, center):
    _, W = draw(1, N, d, dtype)
    U = fastlazy.rf_gram(W, center=center)
    assert_close(U, naive.square_gram(*doubled(W), center), dtype)
    assert np.array_equal(U, U.T)


@settings(max_examples=150, deadline=None)
@given(n=size, m=st.sampled_from((0, *SIZES)), N=size, d=size, dtype=dtypes, activation=st.sampled_from(NAMES))
def test_kernels(n, m, N, d, dtype, activation):
    X, W = draw(n, N, d, dtype)
    Y = draw(m, N, d, dtype, seed=1)[0] if m else None
    X64, W64, Y64 = doubled(X, W, X if Y is None else Y)
    kernels = [fastlazy.rf_kernel(X, W, activation, Y=Y)]
    assert_close(kernels[0], naive.rf_kernel(X64, W64, activation, Y64), dtype)
    if activation != "step":
        kernels.append(fastlazy.nt_kernel(X, W, activation, Y=Y))
        if N * d * max(n, m) <= 3_000_000:
            assert_close(kernels[1], naive.nt_kernel(X64, W64, activation, Y64), dtype)
    if Y is None:
        assert all(np.array_equal(kernel, kernel.T) for kernel in kernels)


@settings(max_examples=60, deadline=None)
@given(n=size, N=size, d=size, dtype=dtypes, activation=st.sampled_from(NAMES), t=st.sampled_from((0, 1, 3)))
def test_rf_normal_equations(n, N, d, dtype, activation, t):
    X, W = draw(n, N, d, dtype)
    y = np.random.default_rng(n).standard_normal((n, t) if t else n)
    fast = fastlazy.rf_normal_equations(X, y, W, activation)
    for result, twin in zip(fast, naive.rf_normal_equations(*doubled(X), y, *doubled(W), activation), strict=True):
        assert_close(result, twin, dtype)
    assert np.array_equal(fast[0], fast[0].T)


def test_more_neurons_and_samples_than_are_taken_at_a_time():
    X, W = draw(70, 2501, 5, np.float64)  # no multiple of four is left over
    Y, _ = draw(40, 1, 5, np.float64)
    for activation in ("tanh", "relu"):
        assert_close(fastlazy.rf_kernel(X, W, activation), naive.rf_kernel(X, W, activation, X), np.float64)
        assert_close(fastlazy.nt_kernel(X, W, activation, Y=Y), naive.nt_kernel(X, W, activation, Y), np.float64)
    for fast, twin in zip(
        fastlazy.rf_normal_equations(W, W[:, 0], X, "tanh"),
        naive.rf_normal_equations(W, W[:, 0], X, "tanh"),
        strict=True,
    ):
        assert_close(fast, twin, np.float64)


@pytest.mark.parametrize("activation", ["relu", "square", "tanh"])
def test_neurons_that_are_zero(activation):
    """The slope of ReLU at 0 is 0."""
    X, W = draw(9, 70, 5, np.float64)
    W[::3] = 0
    assert_close(fastlazy.nt_kernel(X, W, activation), naive.nt_kernel(X, W, activation, X), np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_for_any_number_of_threads(monkeypatch, dtype):
    X, W = draw(300, 333, 129, dtype)
    Y, _ = draw(301, 1, 129, dtype)

    def results(**options):
        return [
            fastlazy.rf_gram(W, **options),
            fastlazy.rf_kernel(X, W, "tanh", **options),
            fastlazy.rf_kernel(X, W, "relu", Y=Y, **options),
            *(fastlazy.nt_kernel(X, W, activation, **options) for activation in ("square", "relu", "erf")),
            fastlazy.nt_kernel(X, W, "relu", Y=Y, **options),
            *fastlazy.rf_normal_equations(X, X[:, 0], W, "relu", **options),
        ]

    one = results(parallel=False)
    for cores in (1, 2, 3):
        monkeypatch.setattr(threads, "thread_limit", lambda cores=cores: cores)
        for result, same in zip(one, results(), strict=True):
            assert result.tobytes() == same.tobytes()


def test_parallel_false_stays_on_the_calling_thread(monkeypatch):
    started = []
    monkeypatch.setattr(operands, "team", lambda members, **options: started.append(members) or _blocks_team(members))
    X, W = draw(257, 257, 257, np.float64)
    monkeypatch.setattr(threads, "thread_limit", lambda: 3)
    fastlazy.rf_kernel(X, W, parallel=False)
    fastlazy.rf_kernel(X, W)
    assert started == [1, 3]


_blocks_team = operands.team


def test_any_layout_of_input_gives_the_same(tmp_path):
    X, W = draw(33, 31, 7, np.float64)
    expected = fastlazy.nt_kernel(X, W, "tanh"), fastlazy.rf_gram(W)
    padded = np.zeros((66, 14))
    padded[::2, ::2] = X
    read_only = X.copy()
    read_only.flags.writeable = False
    on_disk = np.memmap(tmp_path / "X", np.float64, "w+", shape=X.shape)
    on_disk[:] = X
    for other in (padded[::2, ::2], np.asfortranarray(X), read_only, on_disk, X.tolist()):
        assert np.array_equal(fastlazy.nt_kernel(other, W, "tanh"), expected[0])
    assert np.array_equal(fastlazy.rf_gram(np.asfortranarray(W)), expected[1])
    whole = np.arange(-6, 6).reshape(4, 3)
    assert np.array_equal(
        fastlazy.rf_kernel(whole, whole), fastlazy.rf_kernel(whole.astype(float), whole.astype(float))
    )
    assert fastlazy.rf_gram(whole).dtype == np.float64


def test_out_may_be_a_memory_map_and_is_returned(tmp_path):
    X, W = draw(33, 2100, 7, np.float32)
    out = np.memmap(tmp_path / "K", np.float32, "w+", shape=(33, 33))
    out[:] = np.nan
    for kernel in (fastlazy.rf_kernel, fastlazy.nt_kernel):
        assert kernel(X, W, "relu", out=out) is out
        assert np.array_equal(np.asarray(out), kernel(X, W, "relu"))
    square = np.full((7, 7), np.nan)
    assert fastlazy.rf_gram(X[:7].astype(float), out=square) is square
    assert np.isfinite(square).all()


def test_result_does_not_depend_on_how_samples_come(tmp_path):
    X, W = draw(2600, 33, 7, np.float64)
    y = np.stack([X[:, 0], X[:, 1] ** 2], axis=1)
    expected = fastlazy.rf_normal_equations(X, y, W, "relu")
    on_disk = np.memmap(tmp_path / "X", np.float64, "w+", shape=X.shape)
    on_disk[:] = X
    cuts = [0, 1, 2, 700, 1724, 1725, 2600]
    blocks = ((X[a:b], y[a:b]) for a, b in itertools.pairwise(cuts))
    for result in (
        fastlazy.rf_normal_equations(on_disk, y, W, "relu"),
        fastlazy.rf_normal_equations(blocks, None, W, "relu"),
    ):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(result, expected, strict=True))


def angle_parts(X, Y):
    norms = np.linalg.norm(X, axis=1)[:, None] * np.linalg.norm(Y, axis=1)
    cosine = np.clip(X @ Y.T / norms, -1, 1)
    return norms, cosine, np.arccos(cosine)


@pytest.mark.parametrize("activation", ["relu", "erf", "square"])
def test_kernels_tend_to_those_of_infinite_width(activation):
    """Rows N(0, I): arc-cosine kernels for ReLU, arcsine for erf, a polynomial for x^2; within 5 standard errors."""
    N = 200_000
    rng = np.random.default_rng(0)
    W, X, Y = rng.standard_normal((N, 3)), rng.standard_normal((6, 3)), rng.standard_normal((4, 3))
    norms, cosine, theta = angle_parts(X, Y)
    inner = X @ Y.T
    if activation == "relu":
        rf = norms * (np.sin(theta) + (np.pi - theta) * cosine) / (2 * np.pi)
        nt = inner * (np.pi - theta) / (2 * np.pi)
    elif activation == "erf":
        p, q = 1 + 2 * np.sum(X**2, axis=1)[:, None], 1 + 2 * np.sum(Y**2, axis=1)
        rf = 2 / np.pi * np.arcsin(2 * inner / np.sqrt(p * q))
        nt = inner * 4 / np.pi / np.sqrt(p * q - 4 * inner**2)
    else:
        rf = 2 * inner**2 + norms**2
        nt = 4 * inner**2
    sigma, slope = naive.ACTIVATIONS[activation]
    for kernel, limit, function, factor in (
        (fastlazy.rf_kernel, rf, sigma, np.ones_like(inner)),
        (fastlazy.nt_kernel, nt, slope, inner),
    ):
        products = function(W @ X.T)[:, :, None] * function(W @ Y.T)[:, None, :] * factor
        error = products.std(axis=0) / math.sqrt(N)
        assert np.all(np.abs(kernel(X, W, activation, Y=Y) - limit) < 5 * error + 1e-12)


def test_own_activation():
    X, W = draw(9, 8, 3, np.float64)
    own = fastlazy.Activation("cube", lambda x: x * x * x, lambda x: 3 * x * x)
    np.testing.assert_allclose(fastlazy.rf_kernel(X, W, own), (X @ W.T) ** 3 @ ((X @ W.T) ** 3).T / 8, atol=1e-13)
    np.testing.assert_allclose(
        fastlazy.nt_kernel(X, W, own), (X @ X.T) * (9 * (X @ W.T) ** 2 @ ((X @ W.T) ** 2).T) / 8, atol=1e-12
    )


def picky(x):
    if x > 20:
        raise ValueError("too large")
    return x


def with_nan(shape):
    array = np.ones(shape)
    array[1, 0] = np.nan
    return array


ONES = np.ones((4, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: fastlazy.rf_gram(with_nan((4, 3))),
            ValueError,
            r"W must be finite, got 1 NaN .* the first at \[1, 0\]",
        ),
        (lambda: fastlazy.rf_gram(ONES[0]), ValueError, r"W must be 2-dimensional, got shape \(3,\)"),
        (lambda: fastlazy.rf_gram(ONES * 1e100), ValueError, "rf_gram overflows float64 for rows of W of size 1e"),
        (lambda: fastlazy.rf_gram(ONES, "nosuch"), ValueError, "activation = 'nosuch' is not known"),
        (
            lambda: fastlazy.rf_gram(ONES, out=np.zeros((4, 3))),
            ValueError,
            r"out must be .* shape \(4, 4\) .* got shape \(4, 3\)",
        ),
        (lambda: fastlazy.rf_gram(ONES, out=[0]), TypeError, "out must be a NumPy array, got list"),
        (lambda: fastlazy.rf_kernel(with_nan((4, 3)), ONES), ValueError, "X must be finite"),
        (lambda: fastlazy.rf_kernel(ONES, with_nan((4, 3))), ValueError, "W must be finite"),
        (lambda: fastlazy.nt_kernel(ONES, ONES, Y=with_nan((4, 3))), ValueError, "Y must be finite"),
        (lambda: fastlazy.nt_kernel(ONES[:, :2], ONES), ValueError, r"X has rows of length 2 .* but W has d = 3"),
        (lambda: fastlazy.nt_kernel(ONES, ONES, "step"), ValueError, "'step' jumps"),
        (
            lambda: fastlazy.rf_kernel(ONES * 1e200, ONES * 1e200, "relu"),
            ValueError,
            "inner products that overflow float64",
        ),
        (lambda: fastlazy.rf_kernel(ONES * 1e100, ONES * 1e100), ValueError, "rf_kernel overflows float64"),
        (lambda: fastlazy.nt_kernel(ONES * 1e100, ONES * 1e100), ValueError, "nt_kernel overflows float64"),
        (
            lambda: fastlazy.rf_kernel(ONES * 9, ONES, fastlazy.Activation("picky", picky)),
            ValueError,
            "raised an error",
        ),
        (lambda: fastlazy.rf_normal_equations(iter(()), None, ONES), ValueError, "X has no samples"),
        (lambda: fastlazy.rf_normal_equations(iter([ONES]), None, ONES), TypeError, "pairs"),
        (lambda: fastlazy.rf_normal_equations(ONES, np.ones(3), ONES), ValueError, r"got \(4, 3\) and \(3,\)"),
        (lambda: fastlazy.rf_normal_equations(ONES, with_nan((4, 3)), ONES), ValueError, "y must be finite"),
        (lambda: fastlazy.rf_normal_equations(ONES * 1e100, np.ones(4), ONES * 1e100), ValueError, "overflow float64"),
        (
            lambda: fastlazy.rf_normal_equations([(ONES, np.ones(4)), (ONES, np.ones((4, 2)))], None, ONES),
            ValueError,
            r"X of shape \(4, 3\) and y of shape \(4, 2\)",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_bad_input_is_explained(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_inputs_are_not_modified():
    X, W = draw(9, 8, 3, np.float64)
    before = X.copy(), W.copy()
    fastlazy.nt_kernel(X, W), fastlazy.rf_kernel(X, W, "relu"), fastlazy.rf_normal_equations(X, X[:, 0], W)
    assert np.array_equal(X, before[0])
    assert np.array_equal(W, before[1])


@pytest.mark.parametrize("activation", ["sin", "cos"])
def test_waves_of_huge_arguments_are_refused(activation):
    """No phase is left of them: the kernel was 1e80."""
    for kernel in (fastlazy.rf_kernel, fastlazy.nt_kernel):
        with pytest.raises(ValueError, match=f"activation '{activation}' .*gave NaN"):
            kernel([[0.2, 0.3]], [[1e20, 0.3], [-0.2, -1.0]], activation)
