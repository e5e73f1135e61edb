"""SGD: the compiled run against plain NumPy on the same samples, and what it promises its users."""

import signal
import subprocess
import sys
import time

import naive
import numpy as np
import pytest

import fastlazy
from fastlazy.training.steps import step_rule
from tests.sgd_samples import drawn_samples

# Second layers of one sign are trained on targets of both, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:target has negative eigenvalues")


@pytest.mark.parametrize("second_layer", ["ones", "signs", "scalar", "free"])
@pytest.mark.parametrize(
    ("d", "N", "b", "n"),
    [
        (5, 3, 1, 61),
        (7, 11, 3, 100),
        (6, 9, 8, 83),
        (13, 40, 30, 200),
        (50, 7, 100, 430),
        (1, 1, 2, 9),
        (130, 120, 1, 111),
        (105, 230, 7, 200),
    ],
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
    X = drawn_samples(key, n, b, d, N, second_layer, np.float64)
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


@pytest.fixture(scope="module")
def target():
    return fastlazy.exponential_target(30, rng=0)


@pytest.mark.parametrize("second_layer", ["ones", "signs", "scalar"])
@pytest.mark.parametrize("b", [1, 50])
def test_reduced_run_equals_full_run_after_1000_steps(target, second_layer, b):
    runs = [
        fastlazy.fit_nn(
            target,
            90,
            n_samples=1000 * b,
            batch_size=b,
            second_layer=second_layer,
            dtype=np.float64,
            rng=1,
            reduce=reduce,
        )
        for reduce in (True, False)
    ]
    forms = [(fit.W.T * fit.a) @ fit.W for fit in runs]
    assert np.abs(forms[0] - forms[1]).max() <= 1e-11 * np.abs(forms[1]).max()
    np.testing.assert_allclose(runs[0].W, runs[1].W, rtol=0, atol=1e-11)
    np.testing.assert_allclose(runs[0].risk, runs[1].risk, rtol=1e-11)
    assert abs(runs[0].W - fastlazy.fit_nn(target, 90, n_samples=1, step_size=0.0, rng=1).W).max() > 1e-2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("N", "b"), [(40, 1), (200, 6), (200, 300)])
@pytest.mark.parametrize("second_layer", ["signs", "free"])
def test_same_bits_for_any_number_of_threads(dtype, N, b, second_layer):
    target = fastlazy.exponential_target(200, rng=0)
    runs = [
        fastlazy.fit_nn(
            target,
            N,
            n_samples=10 * b + 61,
            batch_size=b,
            second_layer=second_layer,
            dtype=dtype,
            rng=1,
            n_threads=threads,
        )
        for threads in (1, 2, 3)
    ]
    for other in runs[1:]:
        assert runs[0].W.tobytes() == other.W.tobytes()
        assert np.asarray(runs[0].a).tobytes() == np.asarray(other.a).tobytes()
        assert runs[0].c == other.c
    assert runs[0].W.dtype == dtype


def test_team_has_several_members_in_the_thread_test():
    """The test above means nothing if the work is too small to be shared."""
    from fastlazy.training import loop

    work = 2 * 300 * 208 * 200
    assert work // loop.SHARE >= 3


@pytest.mark.parametrize("second_layer", ["ones", "scalar", "free", "signs"])
def test_step_follows_the_gradient(second_layer):
    """One step moves each parameter by its step size times the finite difference of the loss."""
    d, N, b = 4, 3, 6
    rng = np.random.default_rng(3)
    target = fastlazy.QuadraticTarget(rng.standard_normal(d), 0.2)
    W0 = rng.standard_normal((N, d))
    a0 = {"ones": None, "signs": [1.0, -1.0, 1.0], "scalar": 0.8, "free": [0.5, -1.2, 0.3]}[second_layer]
    a = np.broadcast_to(1.0 if a0 is None else a0, N).astype(float)
    steps = 1e-4, 2e-4, 3e-4
    fit = fastlazy.fit_nn(
        target, N, n_samples=b, batch_size=b, step_size=lambda u: steps, second_layer=second_layer,
        W0=W0, a0=a0, c0=0.3, dtype=np.float64, rng=7,
    )  # fmt: skip
    key = np.random.default_rng(7).integers(2**64, dtype=np.uint64)
    X = drawn_samples(key, b, b, d, N, second_layer, np.float64)
    y = target(X)

    def slope(move):
        h = 1e-6
        return (naive.loss(*move(h), X, y) - naive.loss(*move(-h), X, y)) / (2 * h)

    for i, j in np.ndindex(N, d):
        E = np.zeros((N, d))
        E[i, j] = 1
        assert (W0 - fit.W)[i, j] / steps[0] == pytest.approx(slope(lambda h, E=E: (W0 + h * E, a, 0.3)), rel=1e-6)
    assert (0.3 - fit.c) / steps[2] == pytest.approx(slope(lambda h: (W0, a, 0.3 + h)), rel=1e-6)
    if second_layer == "scalar":
        assert (0.8 - fit.a) / steps[1] == pytest.approx(slope(lambda h: (W0, a + h, 0.3)), rel=1e-6)
    elif second_layer == "free":
        for i in range(N):
            e = np.eye(N)[i]
            assert (a - fit.a)[i] / steps[1] == pytest.approx(slope(lambda h, e=e: (W0, a + h * e, 0.3)), rel=1e-6)
    else:
        np.testing.assert_array_equal(fit.a, a if second_layer == "signs" else 1.0)


def test_recorded_risk_is_that_of_the_state():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((12, 12))
    target = fastlazy.QuadraticTarget(A + A.T, b0=1.5)
    for second_layer in ("ones", "signs", "scalar", "free"):
        fit = fastlazy.fit_nn(target, 30, n_samples=5000, second_layer=second_layer, dtype=np.float64, rng=1)
        assert fit.risk[-1] == pytest.approx(fastlazy.network_risk(target, fit.W, fit.a, fit.c), rel=1e-9)
        assert fit.W.shape == (30, 12)
        assert fit.risk[-1] < 0.7 * fit.risk[0]


def test_rotated_target_gives_the_rotated_fit():
    eigenvalues = np.array([3.0, 2.0, 1.0, 0.5, 0.1])
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    W0 = np.random.default_rng(1).standard_normal((4, 5))
    target = fastlazy.QuadraticTarget((Q * eigenvalues) @ Q.T)
    beta, basis = target.eigenbasis
    diagonal = fastlazy.QuadraticTarget(beta)
    options = {"n_samples": 4000, "dtype": np.float64, "rng": 2}
    fit = fastlazy.fit_nn(target, 4, W0=W0, **options)
    rotated = fastlazy.fit_nn(diagonal, 4, W0=W0 @ basis, **options)
    np.testing.assert_allclose(fit.W @ basis, rotated.W, atol=1e-12)


@pytest.mark.sampled(25)
@pytest.mark.parametrize("spectrum", ["rank one", "identity", "power law", "exponential", "indefinite"])
@pytest.mark.parametrize("second_layer", ["ones", "signs", "scalar", "free"])
@pytest.mark.parametrize("b", [1, 10, 100, 1000])
def test_auto_is_stable_for_any_spectrum(spectrum, second_layer, b):
    d = 20
    B = {
        "rank one": np.eye(d)[0],
        "identity": np.full(d, 1e3),
        "power law": np.arange(1, d + 1) ** -2.0,
        "exponential": np.random.default_rng(0).exponential(size=d),
        "indefinite": 1e-3 * np.random.default_rng(0).standard_normal(d),
    }[spectrum]
    target = fastlazy.QuadraticTarget(B, b0=0.1)
    for N in (2, 10, 20, 60):
        fit = fastlazy.fit_nn(target, N, n_samples=30_000, batch_size=b, second_layer=second_layer, rng=1)
        assert fit.status == "finished"
        excess = (fit.risk[[0, -1]] - fastlazy.nn_risk(target, N)) / target.null_risk
        assert excess[1] < max(excess[0], 1e-2)  # the start may be the optimum


@pytest.mark.parametrize(("d", "N"), [(20, 2), (20, 10), (20, 40), (60, 4), (60, 120)])
def test_training_reaches_the_optimum(d, N):
    target = fastlazy.exponential_target(d, rng=1)
    fit = fastlazy.fit_nn(target, N, n_samples=100 * d * d + 100_000, rng=0)
    excess = (fit.risk[-1] - fastlazy.nn_risk(target, N)) / target.null_risk
    assert -1e-12 <= excess < 0.01


def test_signs_reach_the_optimum_of_an_indefinite_target():
    target = fastlazy.QuadraticTarget([4.0, -3.0, 2.0, -1.0, 0.5, 0.2])
    for second_layer in ("signs", "free"):
        fit = fastlazy.fit_nn(target, 3, n_samples=300_000, second_layer=second_layer, rng=0)
        assert fit.risk[-1] == pytest.approx(fastlazy.nn_risk(target, 3), rel=0.05)
    np.testing.assert_array_equal(np.sign(fit.a), [1, 1, -1])


def test_scale_of_the_target_does_not_matter():
    values = np.random.default_rng(0).exponential(size=10)
    ratios = [
        fit.risk / target.null_risk
        for scale in (1e-3, 1.0, 1e4)
        for target in [fastlazy.QuadraticTarget(scale * values)]
        for fit in [fastlazy.fit_nn(target, 4, n_samples=20_000, dtype=np.float64, rng=0)]
    ]
    np.testing.assert_allclose(ratios[1], ratios[0], rtol=1e-9)
    np.testing.assert_allclose(ratios[2], ratios[0], rtol=1e-9)


@pytest.mark.parametrize("b", [1, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_divergence_keeps_the_last_finite_state_and_warns(target, b, dtype):
    with pytest.warns(RuntimeWarning, match="diverged.*lower step_size"):
        fit = fastlazy.fit_nn(target, 10, n_samples=100_000, batch_size=b, step_size=1.0, dtype=dtype, rng=0)
    assert fit.status == "diverged"
    assert np.isfinite(fit.W).all()
    assert np.isfinite(fit.risk).all()
    assert fit.risk[-1] == pytest.approx(fastlazy.network_risk(target, fit.W, fit.a, fit.c), rel=1e-3)
    assert len(fit.risk) == len(fit.samples)
    assert fit.samples[-1] < 100_000


def test_step_too_large_only_at_the_end_keeps_what_was_learned(target):
    with pytest.warns(RuntimeWarning, match="diverged"):
        fit = fastlazy.fit_nn(
            target, 10, n_samples=100_000, step_size=lambda u: 1e-4 if u < 0.8 else 1.0, rng=0, n_records=11
        )
    assert fit.status == "diverged"
    assert fit.samples[-1] == 80_000
    assert fit.risk[-1] < fit.risk[0]


def test_callback_sees_the_fit_and_can_stop_it(target):
    seen = []

    def callback(fit):
        seen.append(fit)
        return len(seen) == 3

    fit = fastlazy.fit_nn(target, 40, n_samples=10_000, n_records=11, rng=0, callback=callback)
    assert fit.status == "stopped"
    assert fit.samples.tolist() == [0, 1000, 2000, 3000]
    assert [len(f.risk) for f in seen] == [2, 3, 4]
    assert seen[1].risk[-1] == pytest.approx(fastlazy.network_risk(target, seen[1].W, seen[1].a, seen[1].c), rel=1e-3)
    np.testing.assert_array_equal(seen[2].W, fit.W)
    assert abs(seen[0].W - fit.W).max() > 1e-4


def test_records(target):
    fit = fastlazy.fit_nn(target, 5, n_samples=1234, n_records=5, rng=0)
    assert fit.samples[0] == 0
    assert fit.samples[-1] == 1234
    assert len(fit.samples) == 5
    assert (np.diff(fit.samples) > 0).all()
    assert fit.status == "finished"
    alone = fastlazy.fit_nn(target, 5, n_samples=1234, n_records=1, rng=0)
    np.testing.assert_array_equal(alone.W, fit.W)


def test_constant_float_and_callable_agree(target):
    options = {"n_samples": 5000, "rng": 0}
    one = fastlazy.fit_nn(target, 5, step_size=1e-4, **options)
    two = fastlazy.fit_nn(target, 5, step_size=lambda u: 1e-4, **options)
    np.testing.assert_array_equal(one.W, two.W)


def test_callable_is_asked_at_the_right_times(target):
    asked = []
    fastlazy.fit_nn(target, 5, n_samples=1000, batch_size=250, step_size=lambda u: asked.append(u) or 1e-5, rng=0)
    assert asked == [0.0, 0.25, 0.5, 0.75]


def test_target_without_a_quadratic_part_is_learned_at_once():
    fit = fastlazy.fit_nn(fastlazy.QuadraticTarget(np.zeros(5), b0=2.0), 3, n_samples=1000, rng=0)
    assert fit.risk.tolist() == [0.0] * len(fit.risk)
    assert fit.c == 2.0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"N": 0}, ValueError, "N must be at least 1, got 0"),
        ({"N": 2.5}, TypeError, "N must be a whole number"),
        ({"n_samples": 0}, ValueError, "n_samples must be at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"n_records": 0}, ValueError, "n_records must be at least 1"),
        ({"n_threads": 0}, ValueError, "n_threads must be at least 1"),
        ({"step_size": "fast"}, ValueError, "step_size = 'fast' is not known"),
        ({"step_size": -1.0}, ValueError, "step_size must be a finite number at least 0"),
        ({"step_size": float("nan")}, ValueError, "step_size must be a finite number"),
        ({"step_size": None}, TypeError, "step_size must be a real number"),
        ({"step_size": lambda u: (1.0, 2.0)}, ValueError, r"step_size\(fraction\) must return one number or three"),
        ({"step_size": lambda u: float("nan")}, ValueError, r"step_size\(fraction\) must be a finite number"),
        ({"second_layer": "twos"}, ValueError, "second_layer = 'twos' is not known; pass one of 'ones', 'signs'"),
        ({"W0": np.ones((3, 30))}, ValueError, "W0 has 3 rows .* but N = 4"),
        ({"W0": np.ones((4, 7))}, ValueError, "W0 has rows of length 7 .* d = 30"),
        ({"W0": np.full((4, 30), np.nan)}, ValueError, "W0 must be finite"),
        ({"a0": 1.0}, ValueError, "a0 was given, but second_layer='ones'"),
        ({"a0": [1.0, 1.0, -1.0], "second_layer": "signs"}, ValueError, "a0 has 3 entries, but N = 4"),
        ({"a0": [1.0, 1.0, -1.0, 0.5], "second_layer": "signs"}, ValueError, r"only \+1 and -1"),
        ({"a0": [1.0, 2.0, 3.0, 4.0], "second_layer": "scalar"}, ValueError, "a0 must be one number"),
        ({"c0": float("inf")}, ValueError, "c0 must be a finite number"),
        ({"dtype": np.int64}, ValueError, "dtype must be float32 or float64, got int64"),
        ({"rng": "seed"}, TypeError, "rng must be None, an int"),
        ({"target": np.eye(3)}, TypeError, "target must be a QuadraticTarget or a GaussianMixture, got ndarray"),
    ],
)
def test_bad_input_is_explained(target, options, error, message):
    arguments = {"target": target, "N": 4, "n_samples": 100, **options}
    with pytest.raises(error, match=message):
        fastlazy.fit_nn(arguments.pop("target"), arguments.pop("N"), **arguments)


def test_inputs_are_not_modified(target):
    W0 = np.asfortranarray(np.random.default_rng(0).standard_normal((4, 30)))
    W0.flags.writeable = False
    before = W0.copy()
    fastlazy.fit_nn(target, 4, n_samples=500, W0=W0, rng=0)
    np.testing.assert_array_equal(W0, before)


@pytest.mark.slow
def test_interrupt_ends_a_run():
    """Ctrl-C in a child process, on one thread and on two."""
    program = (
        "import fastlazy, signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored\n"
        "t = fastlazy.exponential_target(200, rng=0)\n"
        "fastlazy.fit_nn(t, 200, n_samples=100, rng=0)\n"
        "print('ready', flush=True)\n"
        "try:\n"
        "    fastlazy.fit_nn(t, 200, n_samples=10**10, rng=0, n_threads=int(sys.argv[1]))\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', time.time(), flush=True)\n"
    )
    for threads in ("1", "2"):
        child = subprocess.Popen(
            [sys.executable, "-c", program, threads], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert child.stdout.readline() == "ready\n"
        time.sleep(1)
        sent = time.time()
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=30)
        word, when = out.split()
        assert word == "interrupted"
        assert float(when) - sent < 5  # far from the hours the run would take; the machine may be busy


def test_a_fit_prints_in_one_line():
    fit = fastlazy.fit_nn(fastlazy.exponential_target(60, rng=0), 50, n_samples=100, rng=0)
    assert repr(fit) == f"Fit(N=50, d=60, activation='square', status='finished', risk={fit.risk[-1]:.6g})"
