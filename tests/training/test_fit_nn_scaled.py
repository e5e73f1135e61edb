"""Lazy scaling of SGD for any sigma, from the network to the tangent model of its start."""

import naive_lazy
import naive_networks
import numpy as np
import pytest

import fastlazy
from fastlazy.training.steps import general_step_rule
from tests.sgd_samples import drawn_samples

NAMES = ("relu", "gelu", "tanh", "cos")
# An odd sigma learns nothing of the target, and cos bends downwards; both are trained all the same.
pytestmark = pytest.mark.filterwarnings("ignore:activation '(tanh|cos)'")


@pytest.mark.sampled(5)
@pytest.mark.parametrize("second_layer", ["ones", "signs", "free"])
@pytest.mark.parametrize(("N", "b", "scale"), [(3, 1, 0.5), (3, 8, 20.0), (11, 40, 3.0)])
@pytest.mark.parametrize("name", NAMES)
def test_run_equals_sgd_of_the_scaled_network(name, second_layer, N, b, scale):
    d, n, seed = 5, 180, 5
    rng = np.random.default_rng(N * b)
    target = fastlazy.QuadraticTarget(rng.standard_normal(d), b0=0.3)
    W0 = rng.standard_normal((N, d)) / np.sqrt(d)
    a0 = {"ones": None, "signs": rng.choice([-1.0, 1.0], N), "free": rng.standard_normal(N)}[second_layer]

    def step(fraction):
        return 1e-3 * (1 - fraction), 1e-3, 5e-3

    options = {"n_samples": n, "batch_size": b, "second_layer": second_layer, "a0": a0, "c0": 0.1, "dtype": np.float64}
    fit = fastlazy.fit_nn(target, N, activation=name, W0=W0, step_size=step, rng=seed, scale=scale, **options)
    key = np.random.default_rng(seed).integers(2**64, dtype=np.uint64)
    a = np.broadcast_to(1.0 if a0 is None else a0, N).astype(float)
    X = drawn_samples(key, n, b, d, N, second_layer, np.float64, name)
    steps = -(-n // b)
    sigma = fastlazy.get_activation(name)
    rates = general_step_rule(step, target, sigma, W0, a, False, b, steps)(np.arange(steps) / steps)
    W, moved_a, c = naive_networks.sgd(name, (W0, a, 0.1), scale, X, target(X), b, rates, second_layer)
    np.testing.assert_allclose(fit.W, W, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.broadcast_to(fit.a, N), moved_a, rtol=0, atol=1e-12)
    assert fit.c == pytest.approx(c, abs=1e-12)
    assert abs(W - W0).max() > 1e-5
    np.testing.assert_array_equal(fit.W0, W0)
    np.testing.assert_allclose(np.broadcast_to(fit.a0, N), a, rtol=1e-15)
    assert (fit.c0, fit.scale, fit.activation.name) == (pytest.approx(0.1), scale, name)
    trained = scale * (naive_networks.network(name, W, moved_a, X) - naive_networks.network(name, W0, a, X)) + c
    np.testing.assert_allclose(fit(X), trained, atol=1e-10)


def test_steps_of_one_number_are_divided_too():
    target, sigma = fastlazy.exponential_target(6, rng=0), fastlazy.get_activation("gelu")
    options = {"n_samples": 400, "activation": "gelu", "second_layer": "free", "dtype": np.float64, "rng": 1}
    start = fastlazy.fit_nn(target, 3, **options)
    one_step = general_step_rule(1e-3, target, sigma, start.W0, start.a0, False, 100, 4)(np.zeros(1))[0]
    one = fastlazy.fit_nn(target, 3, step_size=1e-3, scale=5.0, **options)
    three = fastlazy.fit_nn(target, 3, step_size=lambda u: tuple(one_step), scale=5.0, **options)
    assert one_step[0] == 1e-3
    np.testing.assert_allclose(one.W, three.W, rtol=1e-12)
    np.testing.assert_allclose(one.a, three.a, rtol=1e-12)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("init", "second_layer"), [("orthogonal", "ones"), ("orthogonal", "free"), ("symmetric", "free")]
)
def test_the_risk_of_what_is_trained_by_a_million_samples(name, init, second_layer):
    target = fastlazy.QuadraticTarget(np.diag([2.0, 1.0, 0.5]) + 0.3, b0=0.3)
    fit = fastlazy.fit_nn(
        target, 4, activation=name, n_samples=20_000, scale=2.0, second_layer=second_layer, init=init,
        dtype=np.float64, rng=0,
    )  # fmt: skip
    a, a0 = (np.broadcast_to(layer, 4) for layer in (fit.a, fit.a0))
    X = np.random.default_rng(1).standard_normal((1_000_000, 3))
    f = 2 * (naive_networks.network(name, fit.W, a, X) - naive_networks.network(name, fit.W0, a0, X)) + fit.c
    squares = (f - target(X)) ** 2
    assert abs(squares.mean() - fit.risk[-1]) < 3 * squares.std() / 1000
    np.testing.assert_allclose(fit(X[:5]), f[:5], rtol=1e-10)
    assert fit.risk[0] == pytest.approx(target.null_risk, rel=1e-10)


def test_a_symmetric_start_needs_no_second_half():
    target = fastlazy.exponential_target(6, rng=0)
    options = {"activation": "relu", "second_layer": "free", "n_samples": 2000, "scale": 3.0, "dtype": np.float64}
    fit = fastlazy.fit_nn(target, 4, init="symmetric", rng=0, c0=0.0, **options)
    np.testing.assert_array_equal(fit.W0[:2], fit.W0[2:])
    given = fastlazy.fit_nn(target, 4, W0=fit.W0, a0=fit.a0, rng=0, c0=0.0, **options)
    assert given.risk[0] == pytest.approx(fit.risk[0], rel=1e-12)
    assert abs(fit(np.eye(6)) - fit.c).max() > 0.1


def test_a_number_for_all_neurons_is_refused():
    target = fastlazy.exponential_target(6, rng=0)
    with pytest.raises(ValueError, match=r"second_layer='scalar' with a scale.*pass second_layer='ones' or 'free'"):
        fastlazy.fit_nn(target, 4, n_samples=100, activation="relu", second_layer="scalar", scale=2.0)
    with pytest.raises(ValueError, match=r"scale must be from 1e-10 to 10000 for dtype float32, got 0"):
        fastlazy.fit_nn(target, 4, n_samples=100, activation="relu", scale=0)


def test_rounding_of_a_large_start_is_told():
    target = fastlazy.exponential_target(6, rng=0)
    options = {"n_samples": 100, "activation": "relu", "second_layer": "free", "rng": 0}
    with pytest.warns(
        RuntimeWarning, match=r"recorded risks, not the training, may be off by .* smaller scale"
    ) as told:
        fastlazy.fit_nn(target, 4, scale=1e4, dtype=np.float64, **options)
    assert told[0].filename == __file__
    with pytest.warns(RuntimeWarning, match=r"to float32 is .* pass dtype=np.float64, a smaller scale"):
        fastlazy.fit_nn(target, 4, scale=1e4, a0=1e4, **options)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("N", "init", "second_layer", "scale"),
    [(4, "orthogonal", "ones", None), (4, "orthogonal", "free", 2.0), (6, "symmetric", "free", 2.0)],
)
def test_diagnostics_by_the_slow_way(name, N, init, second_layer, scale):
    target = fastlazy.QuadraticTarget(np.diag([2.0, 1.0, -0.5]) + 0.3, b0=0.3)
    fit = fastlazy.fit_nn(
        target, N, activation=name, n_samples=20_000, scale=scale, second_layer=second_layer, init=init,
        dtype=np.float64, rng=0, diagnostics=True, n_records=4,
    )  # fmt: skip
    alpha, found = scale or 1.0, fit.diagnostics
    a, a0 = (np.broadcast_to(layer, N) for layer in (fit.a, fit.a0))
    X = np.random.default_rng(1).standard_normal((1_000_000, 3))
    errors = naive_networks.left_out(name, fit.W, a, fit.W0, a0, X)
    names = ("linearization_error", "linearization_error_nt", "linearization_error_rf")
    for field, values in zip(names, errors, strict=True):
        squares = (alpha * values) ** 2
        assert abs(squares.mean() - getattr(found, field)[-1]) <= 3 * squares.std() / 1000
        assert getattr(found, field)[0] == 0
    model = fastlazy.linearize(fit.W0, fit.a0, fit.c0, name)
    f = fastlazy.network_function(fit.W, fit.a, fit.c, name)
    distance = fastlazy.population_distance(f, model.both(fit.W, fit.a, fit.c))
    assert found.linearization_error[-1] == pytest.approx(alpha**2 * distance, rel=1e-9)
    assert found.travelled_W[-1] == pytest.approx(np.linalg.norm(fit.W - fit.W0) / np.linalg.norm(fit.W0))
    assert found.travelled_a[-1] == pytest.approx(np.linalg.norm(a - a0) / np.linalg.norm(a0), abs=1e-15)
    S = naive_networks.form_of_degree_two(name, fit.W, a)
    if scale is not None:
        S = alpha * (S - naive_networks.form_of_degree_two(name, fit.W0, a0))
    np.testing.assert_allclose(found.captured[-1], naive_lazy.captured(S, target.B), rtol=1e-7, atol=1e-8)
    assert found.overlap[-1] == pytest.approx(naive_lazy.overlap(fit.W, fit.W0), rel=1e-9)


def test_a_linearisation_error_below_rounding_is_told():
    target = fastlazy.exponential_target(6, rng=0)
    options = {"n_samples": 100, "activation": "gelu", "second_layer": "free", "rng": 0, "dtype": np.float64}
    with pytest.warns(
        RuntimeWarning, match="the last linearization_error of the diagnostics is smaller than its"
    ) as told:
        fastlazy.fit_nn(target, 4, scale=300.0, step_size=1e-9, diagnostics=True, **options)
    assert told[-1].filename == __file__


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("d", "N", "dtype"), [(20, 10, np.float32), (20, 40, np.float64), (100, 50, np.float32)])
@pytest.mark.parametrize("name", NAMES)
def test_auto_is_stable_for_any_scale(name, d, N, dtype):
    target = fastlazy.exponential_target(d, rng=0)
    for second_layer in ("ones", "free"):
        for scale in (0.01, 1.0, 100.0):
            fit = fastlazy.fit_nn(
                target, N, n_samples=20_000, activation=name, second_layer=second_layer, scale=scale, dtype=dtype,
                n_records=5, rng=0,
            )  # fmt: skip
            assert fit.status == "finished"
            # Runs as short as these overshoot at first, and an odd sigma has nothing to learn.
            assert fit.risk.max() < (2.5 if name == "tanh" else 1.25) * target.null_risk
            assert name in ("tanh", "cos") or fit.risk[-1] < target.null_risk


@pytest.mark.filterwarnings("ignore:the start is so large that rounding")  # 2e-9 of the null risk
@pytest.mark.parametrize("name", ["relu", "gelu", "cos"])
def test_large_scales_lead_to_the_tangent_model_of_the_start(name):
    """From a symmetric start, with second layers of signs, as the tangent model has the first layer alone."""
    target = fastlazy.exponential_target(20, rng=0)
    options = {"n_samples": 1_000_000, "activation": name, "dtype": np.float64, "rng": 0, "n_records": 2}
    fit = fastlazy.fit_nn(target, 20, second_layer="signs", init="symmetric", scale=1000.0, **options)
    nt = fastlazy.nt_risk(target, fit.W0, name)
    assert fit.risk[-1] / target.null_risk == pytest.approx(nt / target.null_risk, abs=0.02)
    assert 0.4 < nt / target.null_risk < 0.6


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("name", "second_layer"), [("relu", "ones"), ("gelu", "ones"), ("cos", "free")])
def test_small_scales_lead_to_the_trained_network(name, second_layer):
    target = fastlazy.exponential_target(20, rng=0)
    options = {"n_samples": 1_000_000, "activation": name, "second_layer": second_layer, "rng": 0, "n_records": 2}
    plain, scaled = (fastlazy.fit_nn(target, 20, scale=scale, **options) for scale in (None, 0.001))
    assert scaled.risk[-1] / target.null_risk == pytest.approx(plain.risk[-1] / target.null_risk, abs=0.02)
    assert plain.risk[-1] < 0.1 * target.null_risk
