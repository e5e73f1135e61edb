"""Gradient flow: against a general solver of ODEs on gradients by definition, against SGD, and where it ends."""

import naive_flow
import numpy as np
import pytest

import fastlazy
from fastlazy.training.flow_run import Run
from fastlazy.training.steps import general_companions, step_rule

SECOND_LAYERS = ["ones", "signs", "scalar", "free"]
pytestmark = pytest.mark.filterwarnings("ignore:activation 'tanh' has no part of degree two")
NO_SIGNS = pytest.mark.filterwarnings("ignore:target has negative eigenvalues")


def dense_target(d, seed=0):
    B = np.random.default_rng(seed).standard_normal((d, d)) / np.sqrt(d)
    return fastlazy.QuadraticTarget((B + B.T) / 2, b0=0.4)


def layer(fit):
    return np.broadcast_to(fit.a, len(fit.W))


@NO_SIGNS
@pytest.mark.parametrize("second_layer", SECOND_LAYERS)
@pytest.mark.parametrize("N", [3, 9])
def test_flow_of_squares_equals_a_general_solver(second_layer, N):
    target, rng = dense_target(5), np.random.default_rng(N)
    W0 = rng.standard_normal((N, 5)) / 2
    a0 = {"signs": rng.choice([-1.0, 1.0], N), "scalar": 0.7, "free": rng.standard_normal(N)}.get(second_layer)
    fit = fastlazy.nn_flow(target, N, second_layer=second_layer, W0=W0, a0=a0, c0=-0.3, time=0.6, n_records=4)
    a = np.ones(N) * (1.0 if a0 is None else a0)

    def gradient(W, a, c):
        return naive_flow.square_gradient(target.B, target.b0, W, a, c)

    states = naive_flow.flow(gradient, target.B, W0, a, -0.3, fit.times, second_layer)
    np.testing.assert_allclose(fit.times, [0, 0.2, 0.4, 0.6], atol=1e-15)
    np.testing.assert_allclose(
        fit.risk, [gradient(*state)[0] for state in states], rtol=0, atol=1e-3 * target.null_risk
    )
    W, a, c = states[-1]
    np.testing.assert_allclose(fit.W, W, atol=1e-3)
    np.testing.assert_allclose(layer(fit), a, atol=1e-3)
    assert fit.c == pytest.approx(c, abs=1e-3)
    assert fit.risk[-1] == pytest.approx(fastlazy.network_risk(target, fit.W, fit.a, fit.c), rel=1e-10)
    np.testing.assert_allclose(fit.W0, W0, atol=1e-14)
    assert (fit.status, fit.c0) == ("finished", pytest.approx(-0.3))
    np.testing.assert_array_equal(fit.samples, np.zeros(4))


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("name", "function", "slope"),
    [
        ("tanh", np.tanh, lambda z: 1 / np.cosh(z) ** 2),
        ("softplus", lambda z: np.logaddexp(0, z), lambda z: 1 / (1 + np.exp(-z))),
    ],
)
@pytest.mark.parametrize("second_layer", SECOND_LAYERS)
def test_flow_of_any_function_equals_a_general_solver(name, function, slope, second_layer):
    rng, B = np.random.default_rng(5), np.array([[0.5, 0.2], [0.2, -0.3]])
    target, W0 = fastlazy.QuadraticTarget(B, 0.1), rng.standard_normal((3, 2))
    a0 = {"signs": [1.0, -1.0, 1.0], "scalar": 0.5, "free": [0.3, -0.6, 1.1]}.get(second_layer)
    fit = fastlazy.nn_flow(target, 3, name, second_layer=second_layer, W0=W0, a0=a0, c0=0.2, time=2.0, n_records=3)
    grid = naive_flow.plane(50)

    def gradient(W, a, c):
        return naive_flow.gradient(B, 0.1, W, a, c, function, slope, grid)

    start = np.ones(3) * (1.0 if a0 is None else a0)
    _, *speeds = general_companions(target, fit.activation, W0, start, second_layer == "scalar")
    states = naive_flow.flow(gradient, B, W0, start, 0.2, fit.times, second_layer, speeds=speeds)
    np.testing.assert_allclose(
        fit.risk, [gradient(*state)[0] for state in states], rtol=0, atol=1e-3 * target.null_risk
    )
    np.testing.assert_allclose(fit.W, states[-1][0], atol=2e-3)
    np.testing.assert_allclose(layer(fit), states[-1][1], atol=2e-3)
    assert fit.risk[-1] < fit.risk[0]


@pytest.mark.parametrize("N", [1, 6, 20, 41])
def test_flow_ends_where_no_network_goes_below(N):
    target = fastlazy.exponential_target(20, rng=1)
    fit = fastlazy.nn_flow(target, N, rng=2)
    assert fit.status == "finished"
    assert -1e-12 < (fit.risk[-1] - fastlazy.nn_risk_limit(target, N)) / target.null_risk < 1e-6
    assert np.all(np.diff(fit.risk) < 1e-12 * target.null_risk)
    assert len(fit.times) == len(fit.risk) == len(fit.samples) <= 50


@pytest.mark.slow
@pytest.mark.parametrize("N", [30, 100, 450])
def test_flow_ends_there_at_full_size(N):
    target = fastlazy.exponential_target(450, rng=0)
    fit = fastlazy.nn_flow(target, N, rng=1)
    assert fit.status == "finished"
    assert fit.risk[-1] - fastlazy.nn_risk_limit(target, N) < 1e-6 * target.null_risk


@pytest.mark.parametrize("second_layer", ["signs", "free"])
def test_both_signs_are_learned(second_layer):
    target = dense_target(12)
    fit = fastlazy.nn_flow(target, 6, second_layer=second_layer, rng=0)
    assert fit.risk[-1] == pytest.approx(fastlazy.nn_risk(target, 6), abs=1e-6 * target.null_risk)


@NO_SIGNS
@pytest.mark.parametrize("second_layer", SECOND_LAYERS)
@pytest.mark.parametrize("N", [15, 60])
def test_sgd_with_small_steps_follows_the_flow(second_layer, N):
    target = dense_target(40) if second_layer in ("signs", "free") else fastlazy.exponential_target(40, rng=0)
    n, b = 196_000, 100
    eta = step_rule("auto", target, N, b, n // b)(np.zeros(1))[0, 0] / 10
    sgd = fastlazy.fit_nn(
        target, N, n_samples=n, batch_size=b, step_size=lambda fraction: eta, second_layer=second_layer, rng=3,
        dtype=np.float64, c0=0.0,
    )  # fmt: skip
    assert sgd.times[-1] == pytest.approx(eta * n / b)
    a0 = None if second_layer == "ones" else sgd.a0
    flow = fastlazy.nn_flow(
        target, N, second_layer=second_layer, W0=sgd.W0, a0=a0, c0=0.0, time=sgd.times[-1], n_records=50
    )
    np.testing.assert_allclose(sgd.times, flow.times, rtol=1e-10)
    np.testing.assert_allclose(sgd.risk, flow.risk, rtol=0, atol=0.01 * target.null_risk)
    assert sgd.risk[-1] < 0.5 * sgd.risk[0]


@pytest.mark.parametrize(("N", "second_layer"), [(4, "signs"), (9, "free")])
@pytest.mark.parametrize("alpha", [0.2, 5.0])
def test_lazy_flow_equals_a_general_solver(N, second_layer, alpha):
    target, rng = dense_target(4), np.random.default_rng(0)
    W0, a0 = rng.standard_normal((N, 4)) / 2, rng.choice([-1.0, 1.0], N)
    S_0 = (W0.T * a0) @ W0

    def gradient(W, a, c):
        """Of alpha (f - f_0) + c: alpha times that of f against B / alpha + S_0, errors alpha times as large."""
        B, b0 = target.B / alpha + S_0, target.b0 / alpha
        risk, in_W, in_a, in_c = naive_flow.square_gradient(B, b0, W, a, c / alpha)
        return alpha**2 * risk, alpha**2 * in_W, alpha**2 * in_a, alpha * in_c

    fit = fastlazy.nn_flow(
        target, N, second_layer=second_layer, W0=W0, a0=a0, c0=0.1, scale=alpha, time=1.0, n_records=5
    )
    states = naive_flow.flow(gradient, target.B, W0, a0, 0.1, fit.times, second_layer, alpha)
    np.testing.assert_allclose(
        fit.risk, [gradient(*state)[0] for state in states], rtol=0, atol=1e-3 * target.null_risk
    )
    np.testing.assert_allclose(fit.W, states[-1][0], atol=2e-3)
    assert fit.risk[0] == pytest.approx(2 * np.sum(target.B**2) + (0.1 - target.mean) ** 2)
    distance = fastlazy.population_distance(fit.function, target)
    assert fit.risk[-1] == pytest.approx(distance, rel=1e-9)


def test_lazy_flow_ends_at_the_lazy_risk():
    target = fastlazy.exponential_target(15, rng=0)
    fit = fastlazy.nn_flow(target, 6, rng=0, scale=2.0, tolerance=1e-10)
    assert fit.risk[-1] == pytest.approx(fastlazy.lazy_risk(target, fit.W0, scale=2.0), abs=1e-5 * target.null_risk)


@pytest.mark.parametrize("power", [-240, 2, 60, 240])
def test_flow_does_not_depend_on_the_scale_of_the_target(power):
    target, s = dense_target(6), 4.0**power
    scaled = fastlazy.QuadraticTarget(s * target.B, s * target.b0)
    one, other = (fastlazy.nn_flow(t, 4, second_layer="signs", rng=0) for t in (target, scaled))
    np.testing.assert_allclose(other.times * s, one.times, rtol=1e-6)
    np.testing.assert_allclose(other.risk / s**2, one.risk, rtol=1e-6)
    np.testing.assert_allclose(other.W, one.W * np.sqrt(s), rtol=1e-5, atol=1e-6 * np.sqrt(s))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["relu", "gelu"])
@pytest.mark.parametrize("second_layer", SECOND_LAYERS)
def test_networks_of_any_function_start_well_and_learn(name, second_layer):
    target = fastlazy.exponential_target(12, rng=0)
    fit = fastlazy.nn_flow(target, 20, name, second_layer=second_layer, rng=0, time=5.0, n_records=3)
    assert fit.risk[-1] < 0.25 * target.null_risk
    assert np.all(np.diff(fit.risk) < 0)
    assert fit.risk[-1] == pytest.approx(fastlazy.network_risk(target, fit.W, fit.a, fit.c, name), rel=1e-9)
    start = fastlazy.network_risk(target, fit.W0, fit.a0, fit.c0, name)
    off = fastlazy.network_risk(target, fit.W0, fit.a0, fit.c0 + 0.1, name)
    assert off - start == pytest.approx(0.01)  # the mean error is zero
    lengths = np.linalg.norm(fit.W0, axis=1)
    np.testing.assert_allclose(lengths, lengths[0])
    h_2 = fastlazy.get_activation(name)
    x = np.linspace(-12, 12, 40001)
    curvature = np.sum(h_2(lengths[0] * x) * (x**2 - 1) * np.exp(-x * x / 2)) * (x[1] - x[0]) / np.sqrt(2 * np.pi)
    tau = np.abs(target.eigenvalues).sum()
    np.testing.assert_allclose(np.abs(np.ravel(fit.a0)) * curvature / 2, tau / 20, rtol=1e-5)


def test_symmetric_start_is_zero():
    target = dense_target(6)
    for name in ("square", "tanh", "relu"):
        fit = fastlazy.nn_flow(target, 8, name, second_layer="free", init="symmetric", rng=0, time=0.1, n_records=2)
        assert fit.risk[0] == pytest.approx(target.null_risk, rel=1e-9)
        np.testing.assert_array_equal(fit.W0[:4], fit.W0[4:])
        np.testing.assert_array_equal(fit.a0[:4], -fit.a0[4:])


def test_same_seed_gives_the_same_bits():
    target = fastlazy.exponential_target(100, rng=0)
    for name in ("square", "gelu"):
        one, two = (fastlazy.nn_flow(target, 70, name, rng=3, time=0.02, parallel=p) for p in (True, False))
        np.testing.assert_array_equal(one.W, two.W)
        np.testing.assert_array_equal(one.risk, two.risk)


def test_flow_that_is_cut_short_says_so():
    target = dense_target(8)
    with pytest.warns(RuntimeWarning, match=r"took max_steps = 5 steps .* pass a larger max_steps, a larger tolerance"):
        fit = fastlazy.nn_flow(target, 4, second_layer="signs", rng=0, max_steps=5)
    assert (fit.status, len(fit.times)) == ("unconverged", 6)
    with pytest.warns(RuntimeWarning, match=r"is not time = 9; pass a larger max_steps, or a shorter time"):
        fit = fastlazy.nn_flow(target, 4, second_layer="signs", rng=0, max_steps=5, time=9.0, n_records=2)
    assert fit.status == "unconverged"
    assert fit.risk[-1] == pytest.approx(fastlazy.network_risk(target, fit.W, fit.a, fit.c))
    assert 0 < fit.times[-1] < 9


def test_callback_sees_each_record_and_stops():
    target, seen = dense_target(8), []

    def callback(fit):
        seen.append((fit.times[-1], fit.status))
        return fit.risk[-1] < 0.9 * target.null_risk

    fit = fastlazy.nn_flow(target, 8, second_layer="signs", rng=0, time=5.0, n_records=101, callback=callback)
    assert fit.status == "stopped"
    assert [time for time, _ in seen] == pytest.approx(fit.times[1:])
    assert {status for _, status in seen} == {"running"}
    assert fit.risk[-1] < 0.9 * target.null_risk <= fit.risk[-2]
    free = fastlazy.nn_flow(target, 8, second_layer="signs", rng=0, callback=lambda fit: len(fit.times) == 4)
    assert (free.status, len(free.times)) == ("stopped", 4)


@pytest.mark.parametrize(("name", "most"), [("square", 40), ("square", 1500), ("relu", 40)])
def test_gradients_are_counted(name, most, monkeypatch):
    """No step is begun after so many; the last has no more stages than are left, and an estimate of its radius."""
    target, gradient, taken = fastlazy.exponential_target(6, rng=0), Run.gradient, []
    monkeypatch.setattr(Run, "gradient", lambda *arguments: taken.append(1) or gradient(*arguments))
    message = rf"took max_gradients = {most} gradients .* pass a larger max_gradients"
    with pytest.warns(RuntimeWarning, match=message):
        fit = fastlazy.nn_flow(target, 3, name, second_layer="free", rng=0, max_gradients=most, tolerance=1e-30)
    assert fit.status == "unconverged"
    assert most - 2 < len(taken) < most + 60


def test_no_time_is_the_start():
    target = dense_target(5)
    fit = fastlazy.nn_flow(target, 3, second_layer="signs", rng=0, time=0.0)
    np.testing.assert_array_equal(fit.times, [0.0])
    np.testing.assert_array_equal(fit.W, fit.W0)


def test_constant_target_is_learned():
    fit = fastlazy.nn_flow(fastlazy.QuadraticTarget(np.zeros(3), 2.0), 2, W0=np.ones((2, 3)), c0=0.0)
    assert fit.status == "finished"
    assert fit.risk[-1] < 1e-2 * fit.risk[0]


def test_a_network_of_another_function_is_no_quadratic_function():
    fit = fastlazy.nn_flow(dense_target(3), 2, "relu", second_layer="free", rng=0, time=0.1)
    assert fit.activation is fastlazy.get_activation("relu")
    with pytest.raises(ValueError, match=r"activation 'relu' is no quadratic function; call the fit"):
        _ = fit.function


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"time": -1.0}, ValueError, "time must be"),
        ({"tolerance": np.nan}, ValueError, "tolerance must be"),
        ({"max_steps": 0}, ValueError, "max_steps must be at least 1"),
        ({"second_layer": "two"}, ValueError, "second_layer = 'two' is not known"),
        ({"activation": "step"}, ValueError, "jumps"),
        ({"activation": "relu", "scale": 2.0, "second_layer": "scalar"}, ValueError, "pass second_layer='ones' or"),
        ({"activation": "relu", "scale": 1e11}, ValueError, "scale must be from 1e-10 to 1e.10"),
        ({"W0": np.ones((2, 3))}, ValueError, "W0 has rows of length 3"),
        ({"a0": 1.0}, ValueError, "a0 was given"),
        ({"callback": 3}, TypeError, "callback must be a function"),
        ({"parallel": 2}, TypeError, "parallel must be"),
        ({"W0": np.full((2, 4), 1e150)}, ValueError, "W0"),
        ({"W0": np.full((2, 4), 1e160), "activation": "relu"}, ValueError, "W0 and a0 make a function of size 1"),
    ],
)
def test_bad_arguments_are_told(arguments, error, message):
    target = fastlazy.exponential_target(4, rng=0)
    with pytest.raises(error, match=message):
        fastlazy.nn_flow(target, 2, **{"time": 0.1, "rng": 0, **arguments})


@pytest.mark.parametrize(
    ("second_layer", "init", "alpha"),
    [("ones", "orthogonal", 0.3), ("signs", "symmetric", 4.0), ("free", "orthogonal", 50.0)],
)
def test_lazy_scaling_of_any_function_equals_a_general_solver(second_layer, init, alpha):
    B = np.array([[0.5, 0.2], [0.2, -0.3]])
    target = fastlazy.QuadraticTarget(B, 0.1)
    fit = fastlazy.nn_flow(
        target, 4, "softplus", second_layer=second_layer, init=init, scale=alpha, rng=3, time=2.0, n_records=3
    )
    W0, a0, grid = fit.W0, np.broadcast_to(fit.a0, 4), naive_flow.plane(50)

    def gradient(W, a, c):
        rows, layer = np.vstack([W, W0]), alpha * np.concatenate([a, -a0])
        risk, in_W, in_a, in_c = naive_flow.gradient(
            B, 0.1, rows, layer, c, lambda z: np.logaddexp(0, z), lambda z: 1 / (1 + np.exp(-z)), grid
        )
        return risk, in_W[:4], alpha * in_a[:4], in_c

    _, *speeds = general_companions(target, fit.activation, W0, a0, False)
    states = naive_flow.flow(gradient, B, W0, a0, fit.c0, fit.times, second_layer, alpha, speeds)
    np.testing.assert_allclose(
        fit.risk, [gradient(*state)[0] for state in states], rtol=0, atol=1e-3 * target.null_risk
    )
    W, a, c = states[-1]
    np.testing.assert_allclose(alpha * (fit.W - W0), alpha * (W - W0), atol=2e-3)
    np.testing.assert_allclose(alpha * (layer(fit) - a0), alpha * (a - a0), atol=2e-3)
    assert fit.c == pytest.approx(c, abs=2e-3)
    assert fit.scale == alpha


def test_a_large_scale_ends_at_the_tangent_model():
    target = fastlazy.exponential_target(6, rng=0)
    fit = fastlazy.nn_flow(target, 4, "gelu", scale=100.0, rng=0)
    ratio = fastlazy.nt_risk(target, fit.W0, "gelu") / target.null_risk
    assert 0.2 < ratio < 0.9
    assert fit.risk[-1] / target.null_risk == pytest.approx(ratio, abs=5e-3)


@pytest.mark.filterwarnings("ignore:activation 'cos' bends downwards")
@pytest.mark.parametrize(("name", "size"), [("cos", 1e-8), ("cos", 1e-20), ("softplus", 1e-12), ("exp", 1e-5)])
def test_risks_of_small_targets_keep_their_digits(name, size):
    """Constants of the neurons are far larger than what is learned: they cancel in means alone."""
    target = fastlazy.QuadraticTarget(size * fastlazy.exponential_target(4, rng=0).B)
    fit = fastlazy.nn_flow(target, 4, name, rng=0, time=0.1, n_records=3)
    assert fit.risk[0] == pytest.approx(fastlazy.network_risk(target, fit.W0, fit.a0, fit.c0, name), rel=1e-6)
    assert fit.risk[1] == pytest.approx((fit.risk[0] + fit.risk[2]) / 2, rel=0.3)


@pytest.mark.parametrize("time", [None, 1.0])
@pytest.mark.parametrize("name", ["relu", "cos"])
def test_a_scaled_network_that_starts_at_a_zero_target(name, time):
    target = fastlazy.QuadraticTarget(np.zeros((3, 3)))
    fit = fastlazy.nn_flow(target, 4, name, second_layer="free", scale=2.0, rng=0, time=time)
    assert fit.status == "finished"
    assert fit.risk[-1] < 1e-11


@pytest.mark.parametrize("train", ["flow", "sgd"])
def test_rounding_that_hides_the_risk_is_told(train):
    """Neurons of opposite signs cancel, and nothing is left of 16 digits: at the caller's line, once."""
    target, V = fastlazy.exponential_target(4, rng=0), fastlazy.draw_weights(2, 4, rng=1)
    start = {"second_layer": "free", "W0": np.vstack([V, V]), "a0": [1e6, 1e6, -1e6, -1e6]}
    flow, sgd = {"time": 1e-20}, {"n_samples": 2, "step_size": 0.0, "dtype": float}
    function, options = (fastlazy.nn_flow, flow) if train == "flow" else (fastlazy.fit_nn, sgd)
    with pytest.warns(RuntimeWarning, match="recorded risks may be off by .* pass smaller W0 and a0") as told:
        function(target, 4, activation="softplus", rng=0, **start, **options)
    assert [warning.filename for warning in told] == [__file__]


@pytest.mark.parametrize("scale", [None, 3.0])
def test_times_of_sgd_are_sums_of_its_steps(scale, tmp_path):
    target, n, b = fastlazy.exponential_target(6, rng=0), 1003, 10
    steps = -(-n // b)

    def step(fraction):
        return 1e-3 * (1 - fraction)

    arguments = {"n_samples": n, "batch_size": b, "step_size": step, "rng": 0, "n_records": 5, "scale": scale}
    fit = fastlazy.fit_nn(target, 3, **arguments)
    taken = np.cumsum([0.0, *(step(k / steps) for k in range(steps))])
    np.testing.assert_allclose(fit.times, taken[-(-fit.samples // b)], rtol=1e-12)
    again = fastlazy.fit_nn(target, 3, checkpoint=tmp_path / "run", **arguments)
    resumed = fastlazy.fit_nn(target, 3, checkpoint=tmp_path / "run", **arguments)
    np.testing.assert_array_equal(again.times, fit.times)
    np.testing.assert_array_equal(resumed.times, fit.times)


@pytest.mark.slow
def test_a_trial_step_that_explodes_is_shortened():
    """Some steps in this flow end beyond floating point: no error, and no minutes in integrals of rows of any size."""
    target = fastlazy.exponential_target(6, rng=0)
    with pytest.warns(RuntimeWarning, match="nn_flow took max_steps = 200 steps"):
        fit = fastlazy.nn_flow(
            target, 4, "gelu", second_layer="free", rng=0, parallel=False, max_steps=200, tolerance=1e-8
        )
    assert fit.status == "unconverged"
    assert np.all(np.diff(fit.risk) < 0)
    assert fit.risk[-1] < 0.7 < target.null_risk
