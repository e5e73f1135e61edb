"""SGD: the compiled run against plain NumPy on the same samples, and what it promises its users."""

import naive
import numpy as np
import pytest

import fastlazy
from fastlazy._core import normal
from fastlazy._core import sgd as core
from fastlazy.schedule import step_rule


def drawn_samples(key, n, b, d, dtype):
    """The samples of a run, in the eigenbasis of B, from their documented streams.

    Group q of four samples is stream q; a block, of several small minibatches or one, begins a new group, as
    do the minibatches left at the end and the smaller last one.
    """
    m = core.minibatches_per_block(b)
    groups = -(-b * m // 4)
    whole, rest = divmod(n, b)
    rows, stream = [], 0
    for size in [b * m] * (whole // m) + [whole % m * b, rest]:
        if size == 0:
            continue
        block = []
        for _ in range(groups):
            numbers = np.empty(4 * d, dtype)
            normal.fill_normals(np.uint64(key), np.uint64(stream), numbers)
            block.append(numbers.reshape(d, 4).T)
            stream += 1
        rows.append(np.vstack(block)[:size])
    return np.vstack(rows).astype(float)


@pytest.mark.parametrize("second_layer", ["ones", "signs", "scalar", "free"])
@pytest.mark.parametrize(
    ("d", "N", "b", "n"),
    [(5, 3, 1, 61), (7, 11, 3, 100), (6, 9, 8, 83), (13, 40, 30, 200), (50, 7, 100, 430), (1, 1, 2, 9)],
)
@pytest.mark.parametrize("reduce", [True, False])
def test_run_equals_plain_sgd(second_layer, d, N, b, n, reduce):
    rng = np.random.default_rng(d * N + b)
    target = fastlazy.QuadraticTarget(rng.standard_normal(d), b0=0.3)
    W0 = rng.standard_normal((N, d)) / np.sqrt(d)
    seed, eta = 5, 2e-3 / d
    a0 = {"ones": None, "signs": rng.choice([-1.0, 1.0], N), "scalar": 0.7, "free": rng.standard_normal(N)}[
        second_layer
    ]

    def step(fraction):
        return eta * (1 - fraction), eta, 3 * eta

    fit = fastlazy.fit_nn(
        target, N, n_samples=n, batch_size=b, step_size=step, second_layer=second_layer, W0=W0, a0=a0, c0=0.1,
        dtype=np.float64, rng=seed, reduce=reduce,
    )  # fmt: skip
    key = np.random.default_rng(seed).integers(2**64, dtype=np.uint64)
    X = drawn_samples(key, n, b, d, np.float64)
    steps = -(-n // b)
    rates = step_rule(step, target, N, b, steps)(np.arange(steps) / steps)
    a = np.broadcast_to(1.0 if a0 is None else a0, N).astype(float)
    W, a, c = naive.sgd(W0, a, 0.1, X, target(X), b, rates, second_layer)
    assert fit.status == "finished"
    np.testing.assert_allclose(fit.W, W, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.broadcast_to(fit.a, N), a, rtol=0, atol=1e-12)
    assert fit.c == pytest.approx(c, abs=1e-12)
    assert fit.samples[-1] == n
    assert abs(W - W0).max() > 1e-6
