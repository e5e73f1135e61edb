"""Lazy scaling by any alpha, from the best network to the tangent model."""

import naive_exact
import numpy as np
import pytest

import fastlazy
from fastlazy.sweeps import measure

CASES = {
    "one row": (3, 1, False),
    "few rows": (4, 2, False),
    "either sign": (5, 3, True),
    "nearly all": (5, 4, True),
    "too many": (4, 5, False),
}


def case(name):
    d, N, signs = CASES[name]
    rng = np.random.default_rng(d * N)
    B = rng.standard_normal((d, d))
    a = rng.standard_normal(N) if signs else np.ones(N)
    return fastlazy.QuadraticTarget(B + B.T), rng.standard_normal((N, d)), a


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e8, 1e12, 1e16, 1e60])
@pytest.mark.parametrize("name", CASES)
def test_no_digit_is_lost_to_alpha(name, alpha):
    target, W, a = case(name)
    exact = naive_exact.lazy_risk(target.B, W, a, alpha)
    assert fastlazy.lazy_risk(target, W, a, scale=alpha) == pytest.approx(exact, abs=2e-12 * target.null_risk, rel=0)


@pytest.mark.parametrize("alpha", [1e16, 1e100, 1e300, 1.7e308])
@pytest.mark.parametrize("name", CASES)
def test_large_alpha_is_the_tangent_model(name, alpha):
    target, W, a = case(name)
    tangent = fastlazy.nt_risk(target, W)
    for scale in (1e-100, 1.0, 1e100, 1e300):
        alpha_f = alpha * scale * scale  # the size of alpha (f - f_0), and of what the infimum depends on
        if alpha_f >= 1e16:
            found = fastlazy.lazy_risk(target, scale * W, a, scale=alpha)
            assert found == pytest.approx(tangent, abs=1e-12 * target.null_risk, rel=0)


@pytest.mark.parametrize("size", [1e-140, 1e100])
def test_scales_of_the_target_and_of_the_network_cancel(size):
    target, W, a = case("either sign")
    expected = fastlazy.lazy_risk(target, W, a, scale=3.0)
    scaled = fastlazy.QuadraticTarget(size * target.B)
    assert fastlazy.lazy_risk(scaled, W, a, scale=3 * size) == pytest.approx(size**2 * expected, rel=1e-12)
    assert fastlazy.lazy_risk(target, size * W, a, scale=3 / size**2) == pytest.approx(expected, rel=1e-12)
    assert fastlazy.lazy_risk(target, W, size * a, scale=3 / size) == pytest.approx(expected, rel=1e-12)


def test_neurons_of_other_sizes_are_told_of():
    target, W, _ = case("few rows")
    with pytest.warns(
        RuntimeWarning, match=r"^lazy_risk may be off: neurons .* differ in size by a factor of 10\^20\.0"
    ):
        fastlazy.lazy_risk(target, W / np.abs(W).max(axis=1)[:, None] * [[1e20], [1.0]], scale=0.1)


def test_neurons_without_a_weight_reach_nothing():
    target, W, _ = case("few rows")
    for alpha in (0.0, 1.0, 1e300):
        alone = fastlazy.lazy_risk(target, W[:1], [1.0], scale=alpha)
        assert fastlazy.lazy_risk(target, W, [1.0, 0.0], scale=alpha) == pytest.approx(alone, rel=1e-12)
    nowhere = fastlazy.lazy_risk(target, 0 * W, scale=1e300)
    assert nowhere == pytest.approx(fastlazy.lazy_risk(target, W, scale=0.0), rel=1e-12)


@pytest.mark.parametrize("second_layer", ["ones", "signs", "scalar", "free"])
def test_cells_of_a_sweep_know_what_a_large_scale_goes_to(second_layer):
    """The prediction of a cell with scale: the tangent model's, where the scale is large."""
    cell = {"regime": "NN", "d": 6, "N": 3, "n_samples": 200, "dtype": "float64", "second_layer": second_layer}
    parameters = fastlazy.sweeps.cells.canonical_cell({**cell, "scale": 1e10})
    found = measure.measure(parameters)
    target = fastlazy.sweeps.cells.cell_target(parameters)
    fit = fastlazy.fit_nn(
        target, 3, n_samples=200, dtype="float64", second_layer=second_layer, scale=1e10,
        rng=fastlazy.sweeps.cells.cell_stream(parameters), n_threads=1,
    )  # fmt: skip
    wanted = fastlazy.nt_risk(target, fit.W0) / target.null_risk
    assert found["predicted"] == pytest.approx(wanted, rel=3e-9)


@pytest.mark.parametrize("size", [1.0, 1e300])
@pytest.mark.parametrize("a", [1e160, 1e308, -1e308])
def test_neurons_whose_sizes_are_beyond_floating_point(a, size):
    """Neither the sum of the second layer nor the size of a neuron need be a number."""
    target, W, _ = case("few rows")
    tangent = fastlazy.nt_risk(target, W)
    assert fastlazy.lazy_risk(target, size * W, a, scale=10.0) == pytest.approx(tangent, rel=1e-10)
    with pytest.warns(RuntimeWarning, match=r"by a factor of 10\^9\d\d\.\d"):
        fastlazy.lazy_risk(target, W * [[1e308], [1e-300]], [1e308, 1e-300], scale=0.1)
