"""The ends of what may be passed: huge, tiny, masked, shared; an answer to full precision or a clear refusal."""

import numpy as np
import pytest

import fastlazy
from fastlazy.figures import risk_table


@pytest.fixture
def target():
    return fastlazy.QuadraticTarget([1.0, 2.0, 3.0, -1.0], b0=0.5)


@pytest.mark.parametrize("second_layer", ["ones", "signs", "scalar", "free"])
def test_a_callback_cannot_change_the_result(target, second_layer):
    def spoil(fit):
        fit.W.fill(7)
        fit.risk.fill(7)
        fit.samples.fill(7)
        if isinstance(fit.a, np.ndarray):
            fit.a.fill(7)

    options = {"n_samples": 2000, "rng": 1, "second_layer": second_layer}
    spoiled = fastlazy.fit_nn(target, 3, callback=spoil, **options)
    fit = fastlazy.fit_nn(target, 3, **options)
    np.testing.assert_array_equal(spoiled.W, fit.W)
    np.testing.assert_array_equal(spoiled.a, fit.a)
    np.testing.assert_array_equal(spoiled.risk, fit.risk)
    np.testing.assert_array_equal(spoiled.samples, fit.samples)


@pytest.mark.parametrize("b0", [1e4, -1e8, 1e100])
def test_a_large_constant_costs_no_digits(b0):
    fits = [fastlazy.fit_nn(fastlazy.QuadraticTarget([1.0, 2.0], b), 2, n_samples=20_000, rng=0) for b in (0.0, b0)]
    np.testing.assert_allclose(fits[1].risk, fits[0].risk, rtol=1e-3, atol=1e-6)
    assert fits[1].risk[-1] < 1e-4
    assert fits[1].c == pytest.approx(b0, rel=1e-6, abs=10)


def test_batch_is_at_most_all_samples(target):
    fit = fastlazy.fit_nn(target, 3, n_samples=50, batch_size=10**12, rng=0)
    same = fastlazy.fit_nn(target, 3, n_samples=50, batch_size=50, rng=0)
    np.testing.assert_array_equal(fit.W, same.W)


def test_records_are_at_most_all_samples(target):
    fit = fastlazy.fit_nn(target, 3, n_samples=10, batch_size=2, n_records=10**12, rng=0)
    assert fit.samples.tolist() == [0, 10]  # the five minibatches are one block


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_float32_says_when_a_target_is_out_of_its_range(scale):
    target = fastlazy.QuadraticTarget(np.array([1.0, 2.0]) * scale)
    with pytest.raises(ValueError, match=r"target has eigenvalues of sum .* pass dtype=np.float64"):
        fastlazy.fit_nn(target, 2, n_samples=1000, rng=0)
    fit = fastlazy.fit_nn(target, 2, n_samples=20_000, dtype=np.float64, rng=0)
    assert fit.risk[-1] < 1e-4 * target.null_risk


def test_start_out_of_range_is_named(target):
    with pytest.raises(ValueError, match="W0 or a0 has entries beyond the range of dtype float32"):
        fastlazy.fit_nn(target, 3, n_samples=100, W0=np.full((3, 4), 1e100), c0=0.0)


def test_callback_must_be_callable(target):
    with pytest.raises(TypeError, match="callback must be a function of a Fit, got int"):
        fastlazy.fit_nn(target, 3, n_samples=100, callback=3)


@pytest.mark.parametrize("count", [10**16, 10**400])
def test_counts_have_an_end(target, count):
    with pytest.raises(ValueError, match="n_samples must be at most"):
        fastlazy.fit_nn(target, 3, n_samples=count)
    with pytest.raises(ValueError, match="N must be at most"):
        fastlazy.rf_risk_limit(target, count)


@pytest.mark.parametrize("B", [[1e200, 1.0], [1e-170, 0.0], np.diag([1.7e308, 1.0])])
def test_targets_whose_risk_is_beyond_floating_point_are_refused(B):
    with pytest.raises(ValueError, match=r"B has entries of size .* scale it"):
        fastlazy.QuadraticTarget(B)


def test_masked_entries_are_refused():
    with pytest.raises(ValueError, match="B is a masked array with masked entries"):
        fastlazy.QuadraticTarget(np.ma.array([1.0, 2.0], mask=[False, True]))
    assert fastlazy.QuadraticTarget(np.ma.array([1.0, 2.0])).null_risk == 10.0


def test_eigenbasis_of_a_frozen_target_is_frozen():
    values, vectors = fastlazy.QuadraticTarget(np.ones((3, 3))).eigenbasis
    for array in (values, vectors):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 99


def test_huge_covariance(target):
    cov = np.full(4, 1.7e308)
    assert np.isfinite(fastlazy.draw_weights(2, 4, cov=cov, rng=0)).all()
    for limit in (fastlazy.rf_risk_limit, fastlazy.nt_risk_limit):
        assert limit(target, 2, cov=cov) == pytest.approx(limit(target, 2))


def test_ridge_with_huge_weights(target):
    W = fastlazy.draw_weights(3, 4, rng=1)
    assert fastlazy.rf_risk(target, W * 1e70, ridge=1e-3) == pytest.approx(fastlazy.rf_risk(target, W))
    assert fastlazy.nt_risk(target, W * 1e140, ridge=1e-3) == pytest.approx(fastlazy.nt_risk(target, W))
    with pytest.raises(ValueError, match=r"W has entries of size .* ridge by its fourth power"):
        fastlazy.rf_risk(target, W * 1e100, ridge=1e-3)
    assert fastlazy.nt_risk(target, W * 1e200, ridge=1e-3) == pytest.approx(fastlazy.nt_risk(target, W))
    for scale in (2.0**-400, 2.0**400):
        risk = fastlazy.nt_risk(target, W * scale, ridge=2 * scale**2)
        assert risk == pytest.approx(fastlazy.nt_risk(target, W, ridge=2.0), rel=1e-13)


@pytest.mark.parametrize(
    ("rows", "d", "message"), [([("rf", 3, 0.5)], 4, "got rf"), ([("RF", 3, 0.5)], 0, "d must be")]
)
def test_plots_refuse_what_they_would_not_show(rows, d, message):
    import pandas as pd

    dots = pd.DataFrame(rows, columns=["regime", "N", "measured"])
    with pytest.raises(ValueError, match=message):
        fastlazy.plot_risk_curves(dots, None, d)


def test_samples_of_a_dot_suffice_at_small_d_too():
    for d in (3, 10, 40):
        target = fastlazy.exponential_target(d, rng=0)
        for N in (max(1, d // 2), d, 3 * d):
            fit = fastlazy.fit_nn(target, N, n_samples=risk_table.quick_samples(N, d), rng=0)
            assert (fit.risk[-1] - fastlazy.nn_risk(target, N)) / target.null_risk < 0.006


@pytest.mark.sampled(2)
@pytest.mark.parametrize("rank", [1, 2, 5, 20])
def test_auto_is_stable_for_few_directions_among_many(rank):
    target = fastlazy.QuadraticTarget(np.arange(450) < rank)
    for b in (1, 10, 100):
        fit = fastlazy.fit_nn(target, 45, n_samples=20_000, batch_size=b, rng=b)
        assert fit.status == "finished"
        assert fit.risk[-1] < fit.risk[0]
