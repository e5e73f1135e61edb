"""Lazy scaling of SGD, from the network to its tangent model, and the diagnostics of a run."""

import naive_lazy
import numpy as np
import pytest

import fastlazy
from fastlazy.figures import lazy_runs
from fastlazy.training.diagnostics import Diagnostics
from fastlazy.training.steps import step_rule
from tests.sgd_samples import drawn_samples

FIELDS = list(Diagnostics.__dataclass_fields__)
# Second layers of one sign are trained on targets of both, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:target has negative eigenvalues")


def full_matrix(d):
    A = np.random.default_rng(d).standard_normal((d, d))
    return fastlazy.QuadraticTarget(A + A.T, b0=0.3)


@pytest.mark.parametrize("second_layer", ["ones", "signs", "scalar", "free"])
@pytest.mark.parametrize(("N", "b", "scale"), [(3, 1, 0.5), (3, 8, 20.0), (11, 3, 3.0)])
@pytest.mark.parametrize("rotated", [False, True])
def test_run_equals_sgd_of_the_scaled_network(second_layer, N, b, scale, rotated):
    d, n, seed = 5, 90, 5
    rng = np.random.default_rng(N * b)
    target = full_matrix(d) if rotated else fastlazy.QuadraticTarget(rng.standard_normal(d), b0=0.3)
    W0 = rng.standard_normal((N, d)) / np.sqrt(d)
    a0 = {"ones": None, "signs": rng.choice([-1.0, 1.0], N), "scalar": 0.7, "free": rng.standard_normal(N)}[
        second_layer
    ]

    def step(fraction):
        return 1e-3 * (1 - fraction), 1e-3, 5e-3

    options = {"n_samples": n, "batch_size": b, "second_layer": second_layer, "a0": a0, "c0": 0.1, "dtype": np.float64}
    fit = fastlazy.fit_nn(target, N, W0=W0, step_size=step, rng=seed, scale=scale, **options)
    key = np.random.default_rng(seed).integers(2**64, dtype=np.uint64)
    a = np.broadcast_to(1.0 if a0 is None else a0, N).astype(float)
    # The run takes place in the eigenbasis of the target that it has.
    _, basis = fastlazy.QuadraticTarget(target.B + scale * naive_lazy.form(W0, a)).eigenbasis
    X = drawn_samples(key, n, b, d, N, second_layer, np.float64) @ basis.T
    steps = -(-n // b)
    rates = step_rule(step, target, N, b, steps)(np.arange(steps) / steps)
    W, moved_a, c = naive_lazy.sgd(W0, a, 0.1, scale, X, target(X), b, rates, second_layer)
    np.testing.assert_allclose(fit.W, W, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.broadcast_to(fit.a, N), moved_a, rtol=0, atol=1e-12)
    assert fit.c == pytest.approx(c, abs=1e-12)
    assert abs(W - W0).max() > 1e-5
    np.testing.assert_allclose(fit.W0, W0, atol=1e-14)
    np.testing.assert_allclose(np.broadcast_to(fit.a0, N), a)
    assert (fit.c0, fit.scale) == (pytest.approx(0.1), scale)
    trained = scale * (naive_lazy.form(W, moved_a) - naive_lazy.form(W0, a))
    np.testing.assert_allclose(fit.function.B, trained, atol=1e-11)
    assert fit.risk[-1] == pytest.approx(fastlazy.population_distance(fit.function, target), rel=1e-10)


def test_steps_of_one_number_are_divided_too():
    target = fastlazy.exponential_target(6, rng=0)
    options = {"n_samples": 400, "second_layer": "scalar", "dtype": np.float64, "rng": 1, "scale": 5.0}
    tau = target.eigenvalues.sum()
    one = fastlazy.fit_nn(target, 3, step_size=1e-3, **options)
    three = fastlazy.fit_nn(target, 3, step_size=lambda u: (1e-3, 1e-3 / (2 * tau), 1e-3 * tau), **options)
    np.testing.assert_allclose(one.W, three.W, rtol=1e-12)
    assert one.a == pytest.approx(three.a, rel=1e-12)


def test_the_risk_of_what_is_trained_by_a_million_samples():
    target = full_matrix(5)
    fit = fastlazy.fit_nn(target, 4, n_samples=5000, scale=2.0, second_layer="free", dtype=np.float64, rng=0)
    X = np.random.default_rng(1).standard_normal((1_000_000, 5))
    f = 2 * (naive_lazy.network(fit.W, fit.a, X) - naive_lazy.network(fit.W0, fit.a0, X)) + fit.c
    squares = (f - target(X)) ** 2
    assert abs(squares.mean() - fit.risk[-1]) < 3 * squares.std() / 1000
    np.testing.assert_allclose(fit.function(X[:5]), f[:5], rtol=1e-10)


def test_scales_lead_from_nn_to_nt():
    """The two ends at d = 100, N = 50, and the law of the linearisation error."""
    runs = lazy_runs.scale_runs(100, 50, [0.01, 10.0, 1000.0], 0, n_samples=500_000)
    risks = runs.ends["risk"].to_numpy()
    assert 0 < risks[0] - runs.nn < 0.01
    assert abs(risks[-1] - runs.nt) < 0.02
    assert runs.nt > 0.3
    assert runs.slope == pytest.approx(-2, abs=0.05)
    assert np.all(runs.ends["risk"] >= runs.ends["reachable"])
    assert np.all(risks - runs.ends["reachable"] < 0.02)
    assert runs.ends["travelled"].iloc[-1] < 1e-2 < 1 < runs.ends["travelled"].iloc[0]
    assert set(runs.trajectories["scale"]) == set(runs.ends["scale"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("N", [4, 40])
def test_auto_is_stable_for_any_scale(dtype, N):
    targets = {
        "ones": fastlazy.exponential_target(20, rng=0),
        "signs": fastlazy.QuadraticTarget(np.linspace(-1, 2, 20), b0=1.0),
        "scalar": fastlazy.QuadraticTarget(np.eye(20)[0] * 1e3),
        "free": fastlazy.QuadraticTarget(np.linspace(-1, 2, 20) * 1e-2),
    }
    for second_layer, target in targets.items():
        for scale in (1e-3, 1.0, 1e4):
            for init in ("orthogonal", "symmetric") if second_layer in ("signs", "free") else ("orthogonal",):
                fit = fastlazy.fit_nn(
                    target, N, n_samples=40_000, second_layer=second_layer, scale=scale, init=init, dtype=dtype, rng=0
                )
                assert fit.status == "finished"
                assert fit.risk[-1] < fit.risk[0]


def test_symmetric_start_is_the_zero_function():
    target = fastlazy.exponential_target(12, rng=0)
    for N, second_layer in ((6, "signs"), (40, "free")):
        fit = fastlazy.fit_nn(
            target,
            N,
            n_samples=100_000,
            second_layer=second_layer,
            init="symmetric",
            rng=1,
            dtype=np.float64,
            scale=100,
        )
        start = fastlazy.network_function(fit.W0, fit.a0)
        assert np.abs(start.B).max() < 1e-14
        assert fit.risk[0] == pytest.approx(target.null_risk, rel=1e-12)
        # so alpha f is trained, and pairs are no more than N / 2 directions
        np.testing.assert_allclose(fit.function.B, 100 * fastlazy.network_function(fit.W, fit.a).B, atol=1e-11)
        assert np.linalg.matrix_rank(fit.W0) == min(N // 2, 12)
        nt = fastlazy.nt_risk(target, fit.W0)
        assert (fit.risk[-1] - nt) / target.null_risk == pytest.approx(0, abs=0.02)


def test_symmetric_without_scale_trains_the_network():
    target = fastlazy.exponential_target(12, rng=0)
    fit = fastlazy.fit_nn(target, 8, n_samples=200_000, second_layer="signs", init="symmetric", rng=1)
    assert fit.risk[-1] == pytest.approx(fastlazy.nn_risk(target, 4), rel=0.1)


CASES = {
    "ones": (fastlazy.exponential_target(6, rng=0), 3, {}),
    "rotated": (full_matrix(6), 3, {"second_layer": "signs"}),
    "wide": (fastlazy.exponential_target(4, rng=0), 9, {"second_layer": "scalar"}),
    "wide signs": (full_matrix(4), 11, {"second_layer": "signs"}),
    "free": (full_matrix(6), 4, {"second_layer": "free"}),
    "free wide": (full_matrix(4), 7, {"second_layer": "free"}),
    "scaled": (fastlazy.exponential_target(6, rng=0), 3, {"scale": 4.0}),
    "scaled rotated": (full_matrix(6), 4, {"scale": 0.3, "second_layer": "free"}),
    "symmetric": (full_matrix(6), 4, {"scale": 2.0, "second_layer": "signs", "init": "symmetric"}),
    "symmetric wide": (full_matrix(6), 8, {"second_layer": "signs", "init": "symmetric"}),
    "few directions": (fastlazy.QuadraticTarget([1.0, -2.0, 0.0, 0.0, 0.0]), 3, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_diagnostics_are_what_they_say(name):
    target, N, options = CASES[name]
    fits = []
    fastlazy.fit_nn(
        target,
        N,
        n_samples=3000,
        n_records=4,
        dtype=np.float64,
        rng=3,
        diagnostics=True,
        callback=fits.append,
        **options,
    )
    last, W0, a0 = fits[-1].diagnostics, fits[-1].W0, np.broadcast_to(fits[-1].a0, N)
    scale = options.get("scale", 1.0)
    assert len(fits) == 3
    for k, fit in enumerate(fits, start=1):
        W, a = fit.W, np.broadcast_to(fit.a, N)
        assert last.travelled_W[k] == pytest.approx(np.linalg.norm(W - W0) / np.linalg.norm(W0), rel=1e-9)
        assert last.travelled_a[k] == pytest.approx(np.linalg.norm(a - a0) / np.linalg.norm(a0), rel=1e-9, abs=1e-15)
        errors = [last.linearization_error[k], last.linearization_error_nt[k], last.linearization_error_rf[k]]
        expected = np.array(naive_lazy.linearization_errors(W, a, W0, a0)) * scale**2
        np.testing.assert_allclose(errors, expected, rtol=1e-7, atol=1e-20)
        assert last.overlap[k] == pytest.approx(naive_lazy.overlap(W, W0), rel=1e-9)
        np.testing.assert_allclose(last.angles[k], naive_lazy.angles(W, target.B), atol=1e-7)
        S = naive_lazy.form(W, a) - (naive_lazy.form(W0, a0) if "scale" in options else 0)
        np.testing.assert_allclose(
            last.captured[k] * target.eigenvalues,
            naive_lazy.captured(scale * S, target.B) * target.eigenvalues,
            atol=1e-10,
        )
        for field in FIELDS:  # what a callback sees is the part so far
            np.testing.assert_array_equal(getattr(fit.diagnostics, field), getattr(last, field)[: k + 1])
    for field in ("travelled_W", "travelled_a", "linearization_error"):
        assert getattr(last, field)[0] == 0
    assert last.overlap[0] == pytest.approx(1)


def test_diagnostics_of_a_reduced_run_are_those_of_the_whole():
    target = full_matrix(5)
    whole, reduced = (
        fastlazy.fit_nn(
            target, 14, n_samples=2000, second_layer="signs", dtype=np.float64, rng=0, diagnostics=True, reduce=reduce
        ).diagnostics
        for reduce in (False, True)
    )
    for field in FIELDS:
        np.testing.assert_allclose(getattr(reduced, field), getattr(whole, field), rtol=1e-9, atol=1e-11)


def test_diagnostics_do_not_change_a_run():
    target = fastlazy.exponential_target(10, rng=0)
    for options in ({}, {"scale": 2.0}):
        plain, watched = (
            fastlazy.fit_nn(target, 6, n_samples=5000, rng=1, diagnostics=diagnostics, **options)
            for diagnostics in (False, True)
        )
        assert plain.diagnostics is None
        assert plain.W.tobytes() == watched.W.tobytes()
        assert plain.risk.tobytes() == watched.risk.tobytes()
        assert all(len(getattr(watched.diagnostics, field)) == len(watched.risk) for field in FIELDS)


def test_a_start_of_zeros_has_distances_of_its_own():
    target = fastlazy.exponential_target(5, rng=0)
    fit = fastlazy.fit_nn(
        target, 3, n_samples=500, second_layer="scalar", a0=0.0, rng=0, diagnostics=True, dtype=np.float64,
    )  # fmt: skip
    assert fit.diagnostics.travelled_a[-1] == pytest.approx(abs(fit.a) * np.sqrt(3), rel=1e-9)
    fit = fastlazy.fit_nn(target, 3, n_samples=500, W0=np.zeros((3, 5)), rng=0, diagnostics=True)
    assert np.all(fit.diagnostics.overlap == 0)
    np.testing.assert_allclose(fit.diagnostics.angles, np.pi / 2)


def test_directions_are_shared_as_predicted():
    shares = lazy_runs.direction_shares(60, 20, 0, draws=30)
    assert shares["NN"].head(10).min() > 0.9
    top = shares.head(20)
    assert np.sqrt(np.mean((top["NT"] - top["NT_law"]) ** 2)) < 0.03
    assert np.abs(top["RF"] - top["RF_law"]).max() < 0.05


def test_a_network_is_trained_past_the_gap():
    risks = lazy_runs.gap_risks(60, 6, 300.0, 0, n_samples=300_000)
    here = risks.lines[risks.lines["N"] == 6].iloc[0]
    assert here["NT"] > 300 * here["NN"]
    assert risks.dots["NT"][risks.dots["N"] == 6].min() > 300 * here["NN"]
    assert here["NN"] <= risks.trained < 2 * here["NN"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scale": 0.0}, ValueError, "scale must be from 1e-10 to 10000 for dtype float32, got 0; pass another"),
        ({"scale": 1e5}, ValueError, "scale must be from 1e-10 to 10000 .*; pass dtype=np.float64"),
        ({"scale": float("nan")}, ValueError, "scale must be a finite number"),
        ({"scale": "large"}, TypeError, "scale must be a real number"),
        ({"init": "zero"}, ValueError, "init = 'zero' is not known; pass one of 'orthogonal', 'symmetric'"),
        ({"init": "symmetric"}, ValueError, "init='symmetric' has neurons of both signs, not second_layer='ones'"),
        ({"init": "symmetric", "second_layer": "signs", "N": 3}, ValueError, "N must be even .*, got 3; pass 4"),
        ({"init": "symmetric", "second_layer": "signs", "W0": np.ones((4, 5))}, ValueError, "W0 was given, but init="),
        ({"init": "symmetric", "second_layer": "signs", "a0": [1, 1, -1, -1]}, ValueError, "a0 was given, but init="),
    ],
)
def test_bad_input_is_explained(options, error, message):
    arguments = {"N": 4, "n_samples": 100, **options}
    with pytest.raises(error, match=message):
        fastlazy.fit_nn(fastlazy.exponential_target(5, rng=0), arguments.pop("N"), **arguments)


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e3), (np.float32, 1e8), (np.float64, 1e8)])
def test_a_start_whose_rounding_hides_the_target_is_told(dtype, size):
    """What is learned is the target and scale f_0, of which it is the difference that counts."""
    target, W0 = fastlazy.QuadraticTarget([1.0, 0.5]), size * np.array([[1.0, 0.3], [0.2, -1.0]])
    with pytest.warns(RuntimeWarning, match=r"^the start is so large that rounding of scale f_0 to float.* target has"):
        fastlazy.fit_nn(target, 2, n_samples=10, rng=0, W0=W0, scale=1.0, dtype=dtype)
    fit = fastlazy.fit_nn(target, 2, n_samples=10, rng=0, W0=W0 / size * 10, scale=1.0, dtype=dtype)
    assert fit.risk[-1] == pytest.approx(fastlazy.population_distance(fit.function, target), rel=1e-2)
