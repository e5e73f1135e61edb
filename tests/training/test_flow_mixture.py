"""Gradient flow on two Gaussian classes: against a general solver, against SGD, where it ends, and what it refuses."""

import naive_flow
import numpy as np
import pytest
from drawn_mixtures import drawn_covariances, drawn_mixture

import fastlazy
from fastlazy.training.classes import learned_function
from fastlazy.training.steps import general_companions, step_rule

ONE_SIGN = pytest.mark.filterwarnings("ignore:second_layer=.* has .* entries alone")
SOFTPLUS = (lambda z: np.logaddexp(0, z), lambda z: 1 / (1 + np.exp(-z)))
SECOND_LAYERS = ["ones", "signs", "scalar", "free"]


def start(second_layer, N, rng):
    return {"signs": rng.choice([-1.0, 1.0], N), "scalar": 0.7, "free": rng.standard_normal(N)}.get(second_layer)


def solved(mixture, gradient_at, fit, W0, a, c, second_layer, speeds, alpha=1.0):
    """The states of a general solver, whose rows W A^-1 of the modes have the gradient of W times A^T."""
    A = mixture.modes.A

    def in_modes(R, a, c):
        risk, in_W, *others = gradient_at(R @ np.linalg.inv(A), a, c)
        return risk, in_W @ np.linalg.inv(A).T, *others

    states = naive_flow.flow(in_modes, np.eye(2), W0 @ A, a, c, fit.times, second_layer, alpha, speeds)
    return [(R @ np.linalg.inv(A), a, c) for R, a, c in states]


def assert_follows(fit, gradient_at, states):
    np.testing.assert_allclose(fit.risk, [gradient_at(*state)[0] for state in states], rtol=0, atol=1e-3)
    W, a, c = states[-1]
    np.testing.assert_allclose(fit.W, W, atol=2e-3)
    np.testing.assert_allclose(np.broadcast_to(fit.a, len(W)), a, atol=2e-3)
    assert fit.c == pytest.approx(c, abs=2e-3)


@ONE_SIGN
@pytest.mark.parametrize("second_layer", SECOND_LAYERS)
@pytest.mark.parametrize("N", [3, 9])
def test_flow_of_squares_equals_a_general_solver(second_layer, N):
    mixture, rng = drawn_mixture(5), np.random.default_rng(N)
    W0, a0 = rng.standard_normal((N, 5)) / 3, start(second_layer, N, rng)
    fit = fastlazy.nn_flow(mixture, N, second_layer=second_layer, W0=W0, a0=a0, c0=-0.3, time=0.6, n_records=4)

    def gradient(W, a, c):
        return naive_flow.class_square_gradient(mixture.Sigma, mixture.Delta, W, a, c)

    tau = np.abs(learned_function(mixture, N).eigenvalues).sum()
    layer = np.ones(N) * (1.0 if a0 is None else a0)
    states = solved(mixture, gradient, fit, W0, layer, -0.3, second_layer, (1 / (2 * tau), tau))
    np.testing.assert_allclose(fit.times, [0, 0.2, 0.4, 0.6], atol=1e-15)
    assert_follows(fit, gradient, states)
    assert fit.risk[-1] == pytest.approx(fastlazy.network_risk(mixture, fit.W, fit.a, fit.c), rel=1e-10)
    np.testing.assert_allclose(fit.W0, W0, atol=1e-13)
    assert fit.c0 == pytest.approx(-0.3)


@pytest.mark.parametrize("second_layer", SECOND_LAYERS)
def test_flow_of_any_function_equals_a_general_solver(second_layer):
    mixture, rng = drawn_mixture(2), np.random.default_rng(5)
    W0, a0 = rng.standard_normal((3, 2)), start(second_layer, 3, rng)
    options = {"second_layer": second_layer, "W0": W0, "a0": a0, "c0": 0.2, "time": 2.0, "n_records": 3}
    fit = fastlazy.nn_flow(mixture, 3, "softplus", **options)
    grid = naive_flow.plane(50)

    def gradient(W, a, c):
        return naive_flow.class_gradient(mixture.Sigma, mixture.Delta, W, a, c, *SOFTPLUS, grid)

    layer, rows = np.ones(3) * (1.0 if a0 is None else a0), W0 @ mixture.modes.A
    learned = learned_function(mixture, 3)
    _, *speeds = general_companions(learned, fit.activation, rows, layer, second_layer == "scalar")
    assert_follows(fit, gradient, solved(mixture, gradient, fit, W0, layer, 0.2, second_layer, speeds))
    assert fit.risk[-1] < fit.risk[0]


def test_lazy_flow_equals_a_general_solver():
    mixture, rng = drawn_mixture(4), np.random.default_rng(0)
    half = rng.standard_normal((2, 4)) / 2
    W0, a0, alpha = np.vstack([half, half]), np.repeat([1.0, -1.0], 2), 3.0
    fit = fastlazy.nn_flow(mixture, 4, W0=W0, a0=a0, scale=alpha, time=1.0, n_records=4)
    assert fit.risk[0] == pytest.approx(1, abs=1e-12)

    def gradient(W, a, c):
        risk, in_W, in_a, in_c = naive_flow.class_square_gradient(mixture.Sigma, mixture.Delta, W, alpha * a, c)
        return risk, in_W, alpha * in_a, in_c

    tau = np.abs(learned_function(mixture, 4).eigenvalues).sum()
    speeds = 1 / (2 * tau), tau
    assert_follows(fit, gradient, solved(mixture, gradient, fit, W0, a0, 0.0, "signs", speeds, alpha))


MIXTURES = {
    "exponential": lambda: fastlazy.exponential_mixture(20, rng=1),
    "dense": lambda: drawn_mixture(12),
    "Delta = Sigma": lambda: fastlazy.GaussianMixture(drawn_covariances(6)[0], drawn_covariances(6)[0]),
    "Delta = 0": lambda: fastlazy.GaussianMixture(np.ones(5), np.zeros(5)),
    "both signs": lambda: fastlazy.GaussianMixture(np.ones(8), [0.8, 0.7, 0.5, 0.1, 0.0, -0.1, -0.6, -0.8]),
    "singular": lambda: fastlazy.GaussianMixture([2.0, 0.0, 1.0, 0.5], [1.0, 0.0, 0.6, -0.2]),
}


@pytest.mark.parametrize("name", [*MIXTURES])
@pytest.mark.parametrize("N", [1, 3, 6, 41])
def test_flow_ends_where_no_network_goes_below(name, N):
    mixture, rng = MIXTURES[name](), np.random.default_rng(N)
    W0 = rng.standard_normal((N, mixture.d)) / (3 * mixture.d)
    for options in ({}, {"W0": W0}):
        fit = fastlazy.nn_flow(mixture, N, rng=2, tolerance=1e-10, **options)
        assert fit.status == "finished"
        assert -1e-12 < fit.risk[-1] - fastlazy.nn_risk(mixture, N) < 1e-6
        assert fit.risk[-1] == pytest.approx(fastlazy.network_risk(mixture, fit.W, fit.a, fit.c), rel=1e-12)
        assert np.all(np.diff(fit.risk) < 1e-12)


@ONE_SIGN
@pytest.mark.parametrize("second_layer", SECOND_LAYERS)
@pytest.mark.parametrize("N", [10, 30])
def test_sgd_with_small_steps_follows_the_flow(second_layer, N):
    mixture = drawn_mixture(20)
    n, b = 147_000, 100
    eta = step_rule("auto", learned_function(mixture, N), N, b, n // b)(np.zeros(1))[0, 0] / 80
    sgd = fastlazy.fit_nn(
        mixture, N, n_samples=n, batch_size=b, step_size=lambda fraction: eta, second_layer=second_layer, rng=3,
        dtype=np.float64,
    )  # fmt: skip
    a0 = None if second_layer == "ones" else sgd.a0
    options = {"second_layer": second_layer, "W0": sgd.W0, "a0": a0, "time": sgd.times[-1]}
    flow = fastlazy.nn_flow(mixture, N, **options)
    np.testing.assert_allclose(sgd.times, flow.times, rtol=1e-10)
    np.testing.assert_allclose(sgd.risk, flow.risk, rtol=0, atol=0.01)
    assert sgd.risk[-1] < sgd.risk[0] - 0.1


@pytest.mark.parametrize("activation", ["square", "relu"])
@pytest.mark.parametrize("options", [{}, {"scale": 5.0, "init": "symmetric"}])
def test_it_starts_where_fit_nn_does(activation, options):
    mixture = drawn_mixture(6)
    flow = fastlazy.nn_flow(mixture, 4, activation, time=0.0, rng=0, **options)
    sgd = fastlazy.fit_nn(
        mixture, 4, n_samples=1, activation=activation, W0=flow.W0, a0=flow.a0, dtype="float64", rng=0
    )
    np.testing.assert_array_equal(flow.a0, sgd.a0)
    assert flow.c0 == pytest.approx(sgd.c0, abs=1e-12)
    if not options:
        assert flow.risk[0] == pytest.approx(sgd.risk[0], rel=1e-12)
        assert sorted(flow.a0) == sorted(fastlazy.fit_nn(mixture, 4, n_samples=1, activation=activation, rng=0).a0)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_default_offset_makes_the_mean_zero(activation):
    mixture = drawn_mixture(3)
    for fit in (
        fastlazy.nn_flow(mixture, 3, activation, time=0.0, rng=0),
        fastlazy.fit_nn(mixture, 3, n_samples=1, activation=activation, rng=0, dtype="float64"),
    ):
        risks = [fastlazy.network_risk(mixture, fit.W0, fit.a0, fit.c0 + t, activation) for t in (0.0, 1e-3, -1e-3)]
        assert risks[1] == pytest.approx(risks[2], rel=1e-10)
        assert risks[0] == min(risks)


def test_what_w_has_outside_of_the_range_of_sigma_stays():
    mixture = MIXTURES["singular"]()
    W0 = np.random.default_rng(0).standard_normal((3, 4)) / 2
    fit = fastlazy.nn_flow(mixture, 3, W0=W0, rng=0)
    np.testing.assert_allclose(fit.W[:, 1], W0[:, 1], rtol=0, atol=1e-15)
    np.testing.assert_allclose(fit.W0, W0, rtol=0, atol=1e-15)


@pytest.mark.parametrize("activation", ["relu", "gelu", "softplus"])
def test_another_sigma_learns(activation):
    mixture = fastlazy.exponential_mixture(12, rng=0)
    fit = fastlazy.nn_flow(mixture, 5, activation, rng=0, time=3.0, n_records=4)
    assert np.all(np.diff(fit.risk) < 0)
    assert fit.risk[-1] < 0.85
    assert fit.risk[-1] == pytest.approx(fastlazy.network_risk(mixture, fit.W, fit.a, fit.c, activation), rel=1e-10)


def test_relu_converges_where_each_class_has_a_spread_in_all_directions():
    mixture = fastlazy.exponential_mixture(8, rng=1, strength=0.9)
    fit = fastlazy.nn_flow(mixture, 3, "relu", rng=0, max_gradients=2000)
    assert fit.status == "finished"
    sgd = fastlazy.fit_nn(mixture, 3, n_samples=100_000, activation="relu", W0=fit.W0, n_records=2, rng=0)
    assert sgd.risk[-1] == pytest.approx(fit.risk[-1], abs=0.02)


@pytest.mark.parametrize(("second_layer", "sign"), [("ones", 1.0), ("scalar", -1.0)])
def test_what_one_sign_cannot_learn_is_told(second_layer, sign):
    mixture = fastlazy.GaussianMixture(np.ones(4), [0.8, 0.5, -0.1, -0.3])
    kept = np.array([0.8, 0.5] if sign < 0 else [0.1, 0.3])
    least = 1 / (1 + np.sum(kept**2 / (1 + kept**2)) / 2)
    with pytest.warns(UserWarning, match=f"the risk stays above {least:.3g}; pass second_layer='signs'") as caught:
        fit = fastlazy.nn_flow(mixture, 4, second_layer=second_layer, rng=0)
    assert caught[0].filename == __file__
    assert 0 < fit.risk[-1] - least < 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 1.0}, r"scale with activation='square' needs a start with f_0 = 0.*init='symmetric'"),
        ({"W0": np.ones((3, 5))}, "W0 has rows of length 5"),
        ({"second_layer": "ones", "a0": -1.0}, "a0 was given"),
    ],
)
def test_bad_input_is_explained(options, message):
    with pytest.raises(ValueError, match=message):
        fastlazy.nn_flow(drawn_mixture(4), 3, rng=0, **options)


def test_a_target_of_no_kind_is_refused():
    with pytest.raises(TypeError, match="a QuadraticTarget or a GaussianMixture, got list"):
        fastlazy.nn_flow([1.0], 3)
