"""SGD of networks of any sigma: the compiled run against plain NumPy, exact risks, and steps that need no tuning."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import special

import fastlazy
from fastlazy.training import sizes
from fastlazy.training.start import initial_network
from fastlazy.training.steps import general_companions
from tests import naive, naive_gram
from tests.sgd_samples import drawn_samples

# On purpose: networks that cannot learn the target are trained, too.
pytestmark = pytest.mark.filterwarnings("ignore:activation '.*' (has no part of degree two|bends downwards)")

SHIFTED = fastlazy.Activation(
    "shifted", lambda x: math.tanh(x + 0.5), lambda x: 1 - math.tanh(x + 0.5) * math.tanh(x + 0.5)
)
SIGMAS = {
    **{name: naive_gram.ACTIVATIONS[name] for name in ("relu", "tanh", "cos", "erf")},
    "softplus": (lambda z: np.logaddexp(0, z), special.expit),
    "gelu": (
        lambda z: z * special.ndtr(z),
        lambda z: special.ndtr(z) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi),
    ),
    "shifted": (lambda z: np.tanh(z + 0.5), lambda z: 1 - np.tanh(z + 0.5) ** 2),
    "square": (np.square, lambda z: 2 * z),
}
MIX = fastlazy.Activation(
    "he2 + he3 / 2", lambda x: x * x - 1 + (x * x * x - 3 * x) / 2, lambda x: 2 * x + (3 * x * x - 3) / 2
)


def given(name):
    return SHIFTED if name == "shifted" else name


@pytest.mark.sampled(8)
@pytest.mark.parametrize("second_layer", ["ones", "signs", "scalar", "free"])
@pytest.mark.parametrize("name", [name for name in SIGMAS if name != "square"])
@pytest.mark.parametrize(
    ("d", "N", "b", "n"), [(5, 3, 1, 61), (7, 11, 3, 100), (13, 40, 30, 200), (50, 7, 100, 430), (20, 130, 1, 111)]
)
def test_run_equals_plain_sgd(name, second_layer, d, N, b, n):
    rng = np.random.default_rng(d * N + b)
    target = fastlazy.QuadraticTarget(rng.standard_normal(d), b0=0.3)
    W0, seed, eta = rng.standard_normal((N, d)) / np.sqrt(d), 5, 2e-3 / d
    a0 = {"ones": None, "signs": rng.choice([-1.0, 1.0], N), "scalar": 0.7, "free": rng.standard_normal(N)}
    a0 = a0[second_layer]
    rates = np.array([[eta * (1 - k * b / n), eta / N, 3 * eta] for k in range(-(-n // b))])
    fit = fastlazy.fit_nn(
        target, N, n_samples=n, activation=given(name), batch_size=b,
        step_size=lambda u: (eta * (1 - u), eta / N, 3 * eta), second_layer=second_layer,
        W0=W0, a0=a0, c0=0.1, dtype=np.float64, rng=seed,
    )  # fmt: skip
    rates[:, 0] = eta * (1 - np.arange(len(rates)) / len(rates))
    key = np.random.default_rng(seed).integers(2**64, dtype=np.uint64)
    X = drawn_samples(key, n, b, d, N, second_layer, np.float64, name)
    a = np.broadcast_to(1.0 if a0 is None else a0, N).astype(float)
    W, a, c = naive.sgd(W0, a, 0.1, X, target(X), b, rates, second_layer, SIGMAS[name])
    assert fit.status == "finished"
    np.testing.assert_allclose(fit.W, W, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.broadcast_to(fit.a, N), a, rtol=0, atol=1e-12)
    assert fit.c == pytest.approx(c, abs=1e-12)
    assert abs(W - W0).max() > 1e-6


@pytest.mark.parametrize("name", SIGMAS)
def test_gradients_are_those_of_the_loss(name):
    """The twin's step, by finite differences of the mean squared error."""
    rng = np.random.default_rng(3)
    (W, a, c), X = (rng.standard_normal((4, 3)), rng.standard_normal(4), 0.2), rng.standard_normal((6, 3))
    y, h = rng.standard_normal(6), 1e-6
    function = SIGMAS[name][0]

    def loss(W, a, c):
        return np.mean((function(X @ W.T) @ a + c - y) ** 2)

    moved = naive.sgd(W, a, c, X, y, 6, [(1.0, 1.0, 1.0)], "free", SIGMAS[name])
    for k in range(W.size):
        step = h * np.eye(W.size)[k].reshape(W.shape)
        slope = (loss(W + step, a, c) - loss(W - step, a, c)) / (2 * h)
        assert (W - moved[0]).flat[k] == pytest.approx(slope, abs=2e-7)
    for k in range(len(a)):
        step = h * np.eye(len(a))[k]
        assert (a - moved[1])[k] == pytest.approx((loss(W, a + step, c) - loss(W, a - step, c)) / (2 * h), abs=2e-7)
    assert c - moved[2] == pytest.approx((loss(W, a, c + h) - loss(W, a, c - h)) / (2 * h), abs=2e-7)


@pytest.mark.sampled(2)
def test_the_kurtosis_of_slopes():
    """3 for x^2, 2 for ReLU, e^4 for exp, 0 / 0 told as 3 where there is no slope; a user's function by its samples."""
    constant = fastlazy.Activation("constant", lambda x: 1.0, lambda x: 0.0)
    for sigma, wanted in (("he2", 3), ("relu", 2), ("exp", math.exp(4)), (constant, 3)):
        found = sizes.slope_kurtosis(fastlazy.get_activation(sigma) if isinstance(sigma, str) else sigma, 1.0)
        assert found == pytest.approx(wanted, rel=1e-3)
    slopes = SIGMAS["gelu"][1](0.7 * np.random.default_rng(0).standard_normal(1_000_000))
    wanted = np.mean(slopes**4) / np.mean(slopes**2) ** 2
    assert sizes.slope_kurtosis(fastlazy.get_activation("gelu"), 0.7) == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", ["relu", "gelu", "cos"])
def test_companions_are_what_they_say(name, shared):
    """Means over samples; at the start the rows are as long as they need be, since N = d."""
    target, sigma = fastlazy.identity_target(6), fastlazy.get_activation(name)
    W, a, _ = initial_network(target, 6, sigma, "free", "orthogonal", None, None, np.random.default_rng(0))
    Z = np.random.default_rng(1).standard_normal((1_000_000, 6)) @ W.T
    function, slope = SIGMAS[name]
    Q = np.mean(slope(Z) ** 2 @ a**2)
    F = np.mean(function(Z).sum(axis=1) ** 2) if shared else np.mean((function(Z) ** 2).sum(axis=1))
    found = general_companions(target, sigma, W, a, shared)
    if name == "relu" or not shared:
        np.testing.assert_allclose(found[1], Q / (8 * F), rtol=0.01 if not shared else 0.3)
    np.testing.assert_allclose(found[2], Q / 4, rtol=0.01)


@pytest.fixture(scope="module")
def target():
    return fastlazy.exponential_target(30, rng=0)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["relu", "gelu", "cos", "shifted"])
def test_recorded_risks_are_those_of_many_samples(name, target):
    fit = fastlazy.fit_nn(target, 20, n_samples=20_000, activation=given(name), second_layer="free", rng=0)
    assert fit.risk[-1] == pytest.approx(
        fastlazy.network_risk(target, fit.W, fit.a, fit.c, fit.activation), rel=1e-5, abs=1e-5 * target.null_risk
    )
    X, y = target.sample(1_000_000, rng=1)
    squares = (fit(X) - y) ** 2
    assert abs(squares.mean() - fit.risk[-1]) < 3 * squares.std() / 1000 + 1e-5 * target.null_risk
    assert fit.risk[-1] < 0.8 * target.null_risk


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["relu", "cos"])
@pytest.mark.parametrize("b", [1, 100])
def test_same_bits_for_any_number_of_threads_and_after_an_interruption(name, b, target, tmp_path, monkeypatch):
    from fastlazy.training import checkpoint, loop

    def run(**options):
        return fastlazy.fit_nn(
            target, 40, n_samples=1500, activation=name, batch_size=b, second_layer="free", rng=4, **options
        )

    monkeypatch.setattr(loop, "SHARE", 1e-9)
    whole = run(n_threads=1)
    for threads in (2, 3):
        other = run(n_threads=threads)
        assert other.W.tobytes() == whole.W.tobytes()
        assert other.risk.tobytes() == whole.risk.tobytes()
    monkeypatch.setattr(checkpoint, "_SECONDS", 0.0)
    stop = {"left": 10}

    def interrupt(fit):
        stop["left"] -= 1
        if stop["left"] == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=tmp_path / "run.npz", callback=interrupt)
    seen = []
    resumed = run(checkpoint=tmp_path / "run.npz", callback=lambda fit: seen.append(len(fit.samples)))
    assert seen[0] > 5  # it went on, not anew
    assert resumed.W.tobytes() == whole.W.tobytes()
    assert resumed.risk.tobytes() == whole.risk.tobytes()


TARGETS = {
    "exponential": lambda d: fastlazy.exponential_target(d, rng=0),
    "identity": fastlazy.identity_target,
    "power law": fastlazy.power_law_target,
    "rank one": fastlazy.rank_one_target,
    "five": lambda d: fastlazy.QuadraticTarget(np.r_[np.ones(5), np.zeros(d - 5)]),
}


@pytest.mark.sampled(5)
@pytest.mark.parametrize(("N", "b"), [(5, 100), (120, 1)])
@pytest.mark.parametrize("spectrum", TARGETS)
@pytest.mark.parametrize("name", ["relu", "gelu", "tanh", "cos", "mix"])
@pytest.mark.parametrize("second_layer", ["ones", "free"])
def test_auto_steps_are_stable_and_learn(second_layer, name, spectrum, N, b):
    target = TARGETS[spectrum](40)
    fit = fastlazy.fit_nn(
        target, N, n_samples=40_000, activation=MIX if name == "mix" else name, batch_size=b, n_records=10,
        second_layer=second_layer, rng=0,
    )  # fmt: skip
    assert fit.status == "finished"
    if name == "cos" and (second_layer == "ones" or N < 40):  # it bends downwards, or few rows grow long in the noise
        assert fit.risk[-1] <= 2 * max(fit.risk[0], target.null_risk)
        return
    assert fit.risk[-1] <= 1.2 * max(fit.risk[0], target.null_risk)
    if name not in ("tanh", "erf"):
        assert fit.risk[-1] < fit.risk[0]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("name", ["relu", "gelu"])
def test_auto_does_not_depend_on_the_scale_of_the_target(name, scale, target):
    runs = [
        fastlazy.fit_nn(t, 20, n_samples=5000, activation=name, second_layer="free", dtype=np.float64, rng=0)
        for t in (target, fastlazy.QuadraticTarget(scale * target.B, scale * target.b0))
    ]
    np.testing.assert_allclose(runs[1].risk / scale**2, runs[0].risk, rtol=1e-9)


@pytest.mark.parametrize("name", ["relu", "softplus", "gelu", "exp", "cos", "silu"])
@pytest.mark.parametrize("fixed", [True, False])
def test_the_start_has_the_size_of_the_target(name, fixed, target):
    """A |h_2(r)| / 2 = tau / max(N, d), the second moment of x minus one by a sum over nodes."""
    sigma = fastlazy.get_activation(name)
    found = sizes.start_sizes(sigma, target, 20, fixed)
    x = np.linspace(-12, 12, 200_001)
    weight = np.exp(-x * x / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    bend = found.A * (sigma(found.r * x) * (x * x - 1)) @ weight / 2
    wanted = target.eigenvalues.sum() / 30
    if name == "cos" and fixed:  # it cannot bend that far
        assert 0 < -bend < wanted
    else:
        assert abs(bend) == pytest.approx(wanted, rel=1e-6)
    assert np.sign(bend) == found.sign
    assert found.A == 1 if fixed else found.r == 1


def test_symmetric_starts_are_zero(target):
    fit = fastlazy.fit_nn(
        target, 20, n_samples=100, activation="gelu", second_layer="free", init="symmetric", rng=0, n_records=2
    )
    assert fit.risk[0] == pytest.approx(target.null_risk, rel=1e-6)
    X = np.random.default_rng(0).standard_normal((5, 30))
    start = sum(a * SIGMAS["gelu"][0](X @ w) for a, w in zip(fit.a0, fit.W0, strict=True))
    np.testing.assert_allclose(start, 0, atol=1e-3)


def test_what_cannot_be_learned_is_told(target):
    def train(**options):
        fastlazy.fit_nn(target, 4, n_samples=10, rng=0, **options)

    with pytest.warns(UserWarning, match="activation 'tanh' has no part of degree two, so no even target"):
        train(activation="tanh")
    with pytest.warns(UserWarning, match="activation 'cos' bends downwards.*pass second_layer='scalar' or 'free'"):
        train(activation="cos")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(activation="cos", second_layer="scalar")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "step"}, "activation 'step' jumps"),
        ({"activation": fastlazy.Activation("f", lambda x: x * x)}, "activation 'f' has no derivative"),
        ({"activation": "nothing"}, "activation = 'nothing' is not known"),
    ],
)
def test_what_cannot_be_trained_is_refused(options, message, target):
    with pytest.raises(ValueError, match=message):
        fastlazy.fit_nn(target, 4, n_samples=10, **options)


def test_a_function_that_raises_an_error_is_told(target):
    steep = fastlazy.Activation("cliff", lambda x: x * x if x < 1e4 else 1 // int(x < 1e4), lambda x: 2 * x)
    with pytest.raises(ValueError, match="activation 'cliff'"):
        fastlazy.fit_nn(target, 4, n_samples=1000, activation=steep, W0=np.full((4, 30), 3e3), rng=0)


def test_training_that_diverges_says_so_and_keeps_the_last_state(target):
    with pytest.warns(RuntimeWarning, match="fit_nn diverged between"):
        fit = fastlazy.fit_nn(
            target, 20, n_samples=20_000, activation="relu", second_layer="free", step_size=1.0, rng=0
        )
    assert fit.status == "diverged"
    assert np.isfinite(fit.W).all()
    with pytest.raises(ValueError, match="a network of activation 'relu' is no quadratic function"):
        _ = fit.function
