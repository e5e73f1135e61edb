"""Training on two Gaussian classes: plain SGD on the same samples, exact risks, steps that need no tuning, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import fastlazy
from fastlazy.training import checkpoint, loop
from fastlazy.training.classes import learned_function
from tests import naive, naive_gram
from tests.drawn_mixtures import drawn_covariances, drawn_mixture
from tests.sgd_samples import drawn_classes

LAYERS = ["ones", "signs", "scalar", "free"]
ONE_SIGN = pytest.mark.filterwarnings("ignore:second_layer=.* has positive entries alone")


def same_fit(fit, other):
    for part in ("W", "a", "c", "risk", "samples", "times"):
        assert np.asarray(getattr(fit, part)).tobytes() == np.asarray(getattr(other, part)).tobytes()


@pytest.fixture(scope="module")
def mixture():
    return fastlazy.exponential_mixture(40, rng=0)


# The run


@ONE_SIGN
@pytest.mark.sampled(8)
@pytest.mark.parametrize("name", ["square", "relu"])
@pytest.mark.parametrize("second_layer", LAYERS)
@pytest.mark.parametrize(("d", "N", "b", "n"), [(5, 3, 1, 61), (7, 11, 3, 100), (13, 40, 30, 200), (50, 7, 100, 430)])
def test_run_equals_plain_sgd_whose_steps_of_w_are_multiplied_by_the_inverse_of_sigma(name, second_layer, d, N, b, n):
    Sigma, Delta = drawn_covariances(d)
    mixture, rng, seed, eta = fastlazy.GaussianMixture(Sigma, Delta), np.random.default_rng(d * N), 5, 2e-3 / d
    W0 = rng.standard_normal((N, d)) / np.sqrt(d)
    a0 = {"ones": None, "signs": rng.choice([-1.0, 1.0], N), "scalar": 0.7, "free": rng.standard_normal(N)}
    a0 = a0[second_layer]
    fit = fastlazy.fit_nn(
        mixture, N, n_samples=n, activation=name, batch_size=b, step_size=lambda u: (eta, eta / N, 3 * eta),
        second_layer=second_layer, W0=W0, a0=a0, c0=0.1, dtype=np.float64, rng=seed,
    )  # fmt: skip
    key = np.random.default_rng(seed).integers(2**64, dtype=np.uint64)
    A, spreads = mixture.modes.A, np.array(mixture.modes.spreads)
    Z, y = drawn_classes(key, n, b, spreads, N, second_layer, np.float64, name)
    rates = np.tile([eta, eta / N, 3 * eta], (-(-n // b), 1))
    a = np.broadcast_to(1.0 if a0 is None else a0, N).astype(float)
    sigma = naive_gram.ACTIVATIONS[name]
    W, a, c = naive.sgd(W0, a, 0.1, Z @ A.T, y, b, rates, second_layer, sigma, np.linalg.inv(Sigma))
    assert fit.status == "finished"
    assert np.abs(W - W0).max() > 1e-6
    np.testing.assert_allclose(fit.W, W, rtol=0, atol=1e-11)
    np.testing.assert_allclose(np.broadcast_to(fit.a, N), a, rtol=0, atol=1e-11)
    assert fit.c == pytest.approx(c, abs=1e-11)
    assert fit.risk[-1] == pytest.approx(fastlazy.network_risk(mixture, fit.W, fit.a, fit.c, name), rel=1e-9)


def test_samples_have_the_covariances_of_their_classes():
    mixture = drawn_mixture(4)
    key, n = np.uint64(11), 40_000
    Z, y = drawn_classes(key, n, 100, np.array(mixture.modes.spreads), 3, "signs", np.float32)
    X = Z @ mixture.modes.A.T
    assert abs(y.mean()) < 4 / np.sqrt(n)
    for sign in (1, -1):
        found, wanted = np.cov(X[y == sign].T), mixture.Sigma - sign * mixture.Delta
        assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()


@pytest.mark.parametrize("options", [{}, {"batch_size": 1}, {"activation": "relu", "second_layer": "free"}])
def test_same_bits_for_any_number_of_threads(mixture, options, monkeypatch):
    monkeypatch.setattr(loop, "SHARE", 1e-9)
    runs = [fastlazy.fit_nn(mixture, 70, n_samples=1003, rng=2, n_threads=k, **options) for k in (1, 2, 3)]
    same_fit(runs[0], runs[1])
    same_fit(runs[0], runs[2])


def test_reduced_run_equals_full_run(mixture):
    fits = [
        fastlazy.fit_nn(mixture, 100, n_samples=4000, rng=2, dtype=np.float64, reduce=reduce)
        for reduce in (True, False)
    ]
    np.testing.assert_allclose(fits[0].W, fits[1].W, rtol=0, atol=1e-11)


def test_coordinates_of_x_do_not_matter():
    """Rows of the modes are trained and start there, so neither start nor steps see how x is turned and scaled."""
    Sigma, Delta = drawn_covariances(6)
    L = np.random.default_rng(3).standard_normal((6, 6)) * [1, 10, 1, 0.1, 1, 1]
    pairs = ((Sigma, Delta), (L @ Sigma @ L.T, L @ Delta @ L.T))
    fits = [fastlazy.fit_nn(fastlazy.GaussianMixture(*pair), 4, n_samples=30_000, rng=0) for pair in pairs]
    starts, ends = np.array([[fit.risk[0], fit.risk[-1]] for fit in fits]).T
    assert starts[0] == pytest.approx(starts[1], abs=0.05)
    np.testing.assert_allclose(ends, fastlazy.nn_risk(fastlazy.GaussianMixture(Sigma, Delta), 4), rtol=0, atol=0.02)


def test_what_w_has_outside_of_the_range_of_sigma_stays():
    mixture = fastlazy.GaussianMixture([2.0, 0.0, 1.0, 0.5], [1.0, 0.0, 0.6, -0.2])
    W0 = np.random.default_rng(0).standard_normal((3, 4)) / 2
    fit = fastlazy.fit_nn(mixture, 3, n_samples=3000, W0=W0, rng=0, dtype=np.float64)
    np.testing.assert_allclose(fit.W[:, 1], W0[:, 1], rtol=0, atol=1e-15)
    np.testing.assert_allclose(fit.W0, W0, rtol=0, atol=1e-15)
    assert fit.risk[-1] < fit.risk[0]
    assert fit.risk[-1] == pytest.approx(fastlazy.network_risk(mixture, fit.W, fit.a, fit.c), rel=1e-10)


def test_directions_may_differ_in_size_by_any_factor():
    mixture = fastlazy.GaussianMixture([1.0, 1e-40, 1e30], [0.5, 0.9e-40, 0.6e30])
    fit = fastlazy.fit_nn(mixture, 3, n_samples=20_000, rng=0, dtype=np.float64)
    assert fit.risk[-1] - fastlazy.nn_risk(mixture, 3) < 0.05
    assert fit.risk[-1] == pytest.approx(fastlazy.network_risk(mixture, fit.W, fit.a, fit.c), rel=1e-9)


# What is learned


def test_the_learned_function_is_that_of_the_least_risk():
    mixture = drawn_mixture(6)
    S, (A, delta) = learned_function(mixture, 6), mixture.modes
    diagonal = fastlazy.GaussianMixture(np.ones(6), delta)
    kept = S.B.diagonal()
    risk = fastlazy.network_risk(diagonal, np.diag(np.sqrt(np.abs(kept))), np.sign(kept), S.b0)
    assert risk == pytest.approx(fastlazy.nn_risk(mixture, 6), rel=1e-12)
    assert S.mean == pytest.approx(0, abs=1e-15)
    assert np.linalg.inv(A).shape == (6, 6)


@pytest.mark.parametrize("N", [3, 12, 40, 200])
@pytest.mark.parametrize("second_layer", ["signs", "scalar", "free"])
def test_training_reaches_the_optimum(N, second_layer):
    mixture = fastlazy.exponential_mixture(12, rng=1)
    fit = fastlazy.fit_nn(mixture, N, n_samples=150_000, second_layer=second_layer, rng=0)
    assert fit.status == "finished"
    assert 0 <= fit.risk[-1] - fastlazy.nn_risk(mixture, N) < 0.01


@pytest.mark.sampled(24)
@pytest.mark.parametrize("b", [1, 10, 100])
@pytest.mark.parametrize("N", [5, 33, 120])
@pytest.mark.parametrize(
    "delta",
    [[1.0], [0.5], [0.05], [0.8, 0.6, 0.4], [0.9] * 10, [0.2] * 100, [1.0] * 100, [0.9, -0.9] * 50],
    ids=["one", "half", "weak", "three", "ten", "flat", "all", "both"],
)
def test_auto_is_stable_for_any_delta(delta, N, b):
    mixture = fastlazy.GaussianMixture(np.ones(100), np.pad(delta, (0, 100 - len(delta))))
    fit = fastlazy.fit_nn(mixture, N, n_samples=3000 if b == 1 else 20_000, batch_size=b, rng=0, n_records=6)
    assert fit.status == "finished"
    assert fit.risk.max() < 1.5


def test_signs_of_both_kinds_are_chosen():
    mixture = fastlazy.GaussianMixture(np.ones(8), [0.8, 0.7, 0.5, 0.1, 0.0, -0.1, -0.6, -0.8])
    fit = fastlazy.fit_nn(mixture, 5, n_samples=200_000, rng=0)
    assert sorted(fit.a) == [-1, -1, -1, 1, 1]
    assert fit.risk[-1] - fastlazy.nn_risk(mixture, 5) < 0.01


def test_default_second_layer_is_minus_one_where_delta_is_positive(mixture):
    fit = fastlazy.fit_nn(mixture, 7, n_samples=100, rng=0)
    assert fit.a.tolist() == [-1.0] * 7
    assert fastlazy.fit_nn(mixture, 7, n_samples=100, rng=0, second_layer="scalar").a0 == -1


@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_another_sigma_learns(mixture, activation):
    fit = fastlazy.fit_nn(mixture, 20, n_samples=50_000, activation=activation, n_records=2, rng=0)
    assert fit.risk[-1] < 0.75
    assert fit.risk[-1] == pytest.approx(fastlazy.network_risk(mixture, fit.W, fit.a, fit.c, activation), rel=1e-5)


def test_classes_that_are_one_are_told_by_nothing():
    mixture = fastlazy.GaussianMixture(np.ones(5), np.zeros(5))
    fit = fastlazy.fit_nn(mixture, 3, n_samples=20_000, rng=0)
    assert 1 <= fit.risk[-1] < 1.01


def test_a_class_without_spread():
    mixture = fastlazy.GaussianMixture(np.ones(3), [1.0, 1.0, 0.5])
    fit = fastlazy.fit_nn(mixture, 3, n_samples=50_000, rng=0)
    assert fit.status == "finished"
    assert 0 <= fit.risk[-1] - fastlazy.nn_risk(mixture, 3) < 0.01


# Lazy training


def test_large_scale_ends_at_the_tangent_model():
    mixture = fastlazy.exponential_mixture(8, rng=0)
    fit = fastlazy.fit_nn(mixture, 8, n_samples=300_000, scale=100.0, init="symmetric", rng=0, dtype=np.float64)
    assert fit.risk[0] == pytest.approx(1, abs=1e-12)
    assert fit.risk[-1] == pytest.approx(fastlazy.nt_risk(mixture, fit.W0[:4]), abs=0.02)
    assert np.linalg.norm(fit.W - fit.W0) < 0.1 * np.linalg.norm(fit.W0)


def test_scaled_relu_starts_at_the_null_risk(mixture):
    fit = fastlazy.fit_nn(mixture, 10, n_samples=3000, scale=10.0, activation="relu", rng=0, n_records=2)
    assert fit.risk[0] == pytest.approx(1, abs=1e-9)
    assert fit.risk[-1] < 1


# Records, divergence, checkpoints


def test_callback_sees_the_exact_risk_and_can_stop(mixture):
    seen = []

    def callback(fit):
        seen.append(fastlazy.network_risk(mixture, fit.W, fit.a, fit.c))
        return len(seen) == 3

    fit = fastlazy.fit_nn(mixture, 10, n_samples=5000, n_records=6, rng=0, callback=callback, dtype=np.float64)
    assert fit.status == "stopped"
    assert fit.samples.tolist() == [0, 1000, 2000, 3000]
    np.testing.assert_allclose(fit.risk[1:], seen, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_divergence_keeps_the_last_finite_state_and_warns(mixture, dtype):
    with pytest.warns(RuntimeWarning, match="fit_nn diverged between .* lower step_size"):
        fit = fastlazy.fit_nn(mixture, 10, n_samples=20_000, step_size=3.0, rng=0, dtype=dtype)
    assert fit.status == "diverged"
    assert np.isfinite(fit.W).all()
    assert np.isfinite(fit.risk).all()


def test_a_run_that_was_cut_ends_the_same(mixture, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_SECONDS", 0.0)
    W0 = np.random.default_rng(0).standard_normal((10, 40)) / 20
    options = {"n_samples": 3000, "rng": 4, "n_records": 7, "W0": W0, "step_size": lambda u: (1e-3, 0.0, 1e-2)}
    whole = fastlazy.fit_nn(mixture, 10, **options)

    def cut(fit):
        if fit.samples[-1] >= 1500:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fastlazy.fit_nn(mixture, 10, **options, checkpoint=tmp_path / "run.npz", callback=cut)
    looked = []
    resumed = fastlazy.fit_nn(
        mixture, 10, **options, checkpoint=tmp_path / "run.npz", callback=lambda fit: looked.append(fit.samples[-1])
    )
    assert looked[0] >= 1500
    same_fit(resumed, whole)
    less = fastlazy.GaussianMixture(mixture.Sigma, 0.9 * mixture.Delta)
    same_fit(
        fastlazy.fit_nn(less, 10, **options, checkpoint=tmp_path / "run.npz"), fastlazy.fit_nn(less, 10, **options)
    )


# Refusals


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"diagnostics": True}, ValueError, "diagnostics=True is for a QuadraticTarget.*callback"),
        ({"scale": 1.0}, ValueError, r"scale with activation='square' needs a start with f_0 = 0.*init='symmetric'"),
        ({"W0": np.ones((3, 5))}, ValueError, "W0 has rows of length 5"),
        ({"second_layer": "one"}, ValueError, "second_layer"),
        ({"second_layer": "ones", "a0": -1.0}, ValueError, "a0 was given"),
    ],
)
def test_bad_input_is_explained(mixture, options, error, message):
    with pytest.raises(error, match=message):
        fastlazy.fit_nn(mixture, 3, n_samples=100, rng=0, **options)


def test_a_target_of_no_kind_is_refused():
    with pytest.raises(TypeError, match="a QuadraticTarget or a GaussianMixture, got list"):
        fastlazy.fit_nn([1.0], 3, n_samples=100)


@pytest.mark.parametrize(("second_layer", "sign"), [("ones", 1.0), ("scalar", -1.0)])
def test_what_one_sign_cannot_learn_is_told(second_layer, sign):
    mixture = fastlazy.GaussianMixture(np.ones(4), [0.8, 0.5, -0.1, -0.3])
    kept = np.array([0.8, 0.5] if sign < 0 else [0.1, 0.3])
    least = 1 / (1 + np.sum(kept**2 / (1 + kept**2)) / 2)
    with pytest.warns(UserWarning, match=f"the risk stays above {least:.3g}; pass second_layer='signs'"):
        fit = fastlazy.fit_nn(mixture, 4, n_samples=200_000, second_layer=second_layer, rng=0)
    assert -1e-9 < fit.risk[-1] - least < 0.02
