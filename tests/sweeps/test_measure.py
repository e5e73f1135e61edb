"""One cell measured is what the functions for it give."""

import math
import sys
from functools import partial

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from fastlazy._support.threads import one_blas_thread
from fastlazy.activations.builtin import get_activation
from fastlazy.risk.limits import nt_risk_limit, rf_risk_limit
from fastlazy.risk.network import network_risk, tangent_risk
from fastlazy.risk.nn import nn_risk
from fastlazy.risk.nt import nt_risk
from fastlazy.risk.rf import rf_risk
from fastlazy.sweeps import measure
from fastlazy.sweeps.cells import canonical_cell, cell_stream, cell_target
from fastlazy.sweeps.keys import Found
from fastlazy.targets.quadratic import QuadraticTarget
from fastlazy.targets.weights import draw_weights
from fastlazy.training.fit_nn import fit_nn
from fastlazy.training.linearization import network_function
from tests import naive_fits


def found(**cell):
    parameters = canonical_cell({"d": 8, "N": 5, **cell})
    return measure.measure(parameters), cell_target(parameters), cell_stream(parameters)


@pytest.mark.parametrize("regime", ["RF", "NT"])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_lazy_regimes(regime, ridge):
    results, target, stream = found(regime=regime, ridge=ridge, target="power_law", draw=2)
    W = draw_weights(5, 8, rng=stream)
    risk = {"RF": rf_risk, "NT": nt_risk}[regime](target, W, ridge=ridge)
    assert (results["risk"], results["null_risk"]) == (risk, target.null_risk)
    assert results["ratio"] == risk / target.null_risk
    limit = {"RF": rf_risk_limit, "NT": nt_risk_limit}[regime]
    assert results["predicted"] == limit(target, 5, refined=True, ridge=ridge) / target.null_risk
    assert set(results) <= set(measure.RESULTS)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_random_features_of_another_non_linearity(activation):
    results, target, stream = found(regime="RF", activation=activation)
    assert stream == found(regime="RF")[2]
    assert results["risk"] == rf_risk(target, draw_weights(5, 8, rng=stream), activation)
    assert results["predicted"] == rf_risk_limit(target, 5, activation, refined=True) / target.null_risk


def test_tangent_models_of_other_non_linearities():
    results, target, stream = found(regime="NT", activation="relu", ridge=0.1)
    assert stream == found(regime="RF")[2]
    assert results["risk"] == nt_risk(target, draw_weights(5, 8, rng=stream), "relu", ridge=0.1)
    assert results["predicted"] == nt_risk_limit(target, 5, "relu", ridge=0.1) / target.null_risk
    without = found(regime="NT", activation="relu")[0]
    assert without["predicted"] == nt_risk_limit(target, 5, "relu", refined=True) / target.null_risk
    odd = found(regime="NT", activation="tanh")[0]
    assert odd["predicted"] == odd["ratio"] == 1.0
    assert found(regime="NT", activation="he2")[0]["predicted"] == found(regime="NT")[0]["predicted"]
    with pytest.raises(ValueError, match="activation = 'step' jumps"):
        found(regime="NT", activation="step")


def test_an_iteration_that_did_not_converge_is_told(monkeypatch):
    risk = partial(nt_risk, max_iterations=3)
    monkeypatch.setattr("fastlazy.risk.nt.nt_risk", risk)
    results = found(regime="NT", activation="relu", d=40, N=60)[0]
    assert "did not converge in 3 iterations" in results["fit_status"]
    assert 0 < results["ratio"] < 1


@pytest.mark.parametrize(("regime", "activation"), [("RF", "square"), ("RF", "relu"), ("NT", "square")])
def test_fits_to_samples(regime, activation):
    """Exact risks that fall to that of the population, which has the same weights and the same ridge."""
    options = {"regime": regime, "activation": activation, "ridge": 0.1}
    whole, target, stream = found(**options)
    several = [found(**options, n_samples=n)[0] for n in (10, 300, 30_000)]
    assert found(**options, n_samples=10)[2] == stream
    limit = {"RF": rf_risk_limit, "NT": nt_risk_limit}[regime]
    predicted = [limit(target, 5, activation, n_samples=n, ridge=0.1) for n in (10, 300, 30_000)]
    assert [results["predicted"] for results in several] == [risk / target.null_risk for risk in predicted]
    peak = found(regime=regime, activation="relu", n_samples=5 if regime == "RF" else 40)[0]
    assert peak["predicted"] is None
    losses = [results["risk"] / whole["risk"] - 1 for results in several]
    assert losses[0] > losses[1] > abs(losses[2])
    assert abs(losses[2]) < 0.01
    X, y = target.sample(300, rng=np.random.SeedSequence([stream, 1]))
    W = draw_weights(5, 8, rng=stream)
    features = get_activation(activation).values(X @ W.T)
    if regime == "NT":
        features = (2 * (X @ W.T)[:, :, None] * X[:, None, :]).reshape(300, -1)
    (theta, c) = naive_fits.ridge(features, y[:, None], 30.0, True)
    risk = (
        tangent_risk(target, W, theta.reshape(5, 8), c[0])
        if regime == "NT"
        else network_risk(target, W, theta[:, 0], c[0], activation)
    )
    assert several[1]["risk"] == pytest.approx(risk, rel=1e-8)


def test_a_fit_without_a_ridge():
    for n in (3, 100):
        assert found(regime="NT", n_samples=n)[0]["risk"] >= 0
        assert found(regime="RF", n_samples=n)[0]["risk"] >= 0


def test_training():
    options = {"n_samples": 3000, "batch_size": 10, "second_layer": "free", "dtype": "float64", "step_size": 1e-3}
    results, target, stream = found(regime="NN", **options)
    fit = fit_nn(target, 5, rng=stream, **options)
    assert results["risk"] == fit.risk[-1]
    assert results["fit_status"] == "finished"
    assert results["predicted"] == nn_risk(target, 5) / target.null_risk


@pytest.mark.parametrize(
    "options", [{}, *({"second_layer": layer, "init": "symmetric", "N": 4} for layer in ("signs", "free"))]
)
@pytest.mark.parametrize("scale", [None, 3.0])
def test_lazy_training(options, scale):
    options = {"n_samples": 3000, "scale": scale, **options}
    results, target, stream = found(regime="NN", diagnostics=1, **options)
    N = options.pop("N", 5)
    fit = fit_nn(target, N, rng=stream, diagnostics=True, **options)
    assert results["risk"] == fit.risk[-1]
    for name in ("travelled_W", "travelled_a", "linearization_error", "linearization_error_rf", "overlap"):
        assert results[name] == getattr(fit.diagnostics, name)[-1]
        assert measure.RESULTS[name] is float
    assert results["angles"] == fit.diagnostics.angles[-1].tolist()
    assert results["captured"] == fit.diagnostics.captured[-1].tolist()
    assert set(results) <= set(measure.RESULTS)
    shifted = QuadraticTarget(target.B + (scale or 0) * network_function(fit.W0, fit.a0).B)
    # pairs of neurons have N / 2 signs of each kind, unless the second layer is free to change them
    reachable = nn_risk(target, 2) if options.get("second_layer") == "signs" else nn_risk(shifted, N)
    assert results["predicted"] == pytest.approx(reachable / target.null_risk, rel=1e-9)


def test_a_cell_has_diagnostics_only_if_asked():
    results, _, _ = found(regime="NN", n_samples=1000, scale=2.0)
    assert set(results) == {"risk", "null_risk", "ratio", "predicted", "fit_status", "late_gain"}


def test_a_run_that_diverges_is_told():
    with pytest.warns(RuntimeWarning, match="diverged"):
        results, _, _ = found(regime="NN", n_samples=3000, step_size=10.0)
    assert results["fit_status"] == "diverged"
    assert math.isfinite(results["risk"])


@pytest.mark.parametrize("layer", ["ones", "scalar", "signs", "free"])
def test_the_prediction_knows_what_neurons_cannot_learn(layer):
    eigenvalues = [3.0, 2.0, 1.0, -4.0]
    options = {"target": eigenvalues, "d": 4, "n_samples": 100, "second_layer": layer}
    lost = [1, 16] if layer in ("ones", "scalar") else [1, 4]  # squares of what two neurons cannot reach
    assert found(regime="NN", N=2, **options)[0]["predicted"] == pytest.approx(sum(lost) / 30)
    negative = {**options, "target": [-1.0, -2.0, -1.0, -1.0]}
    assert found(regime="NN", N=4, **negative)[0]["predicted"] == (1.0 if layer in ("ones", "scalar") else 0.0)


def test_an_attempt_says_how_it_went():
    outcome = measure.attempt(canonical_cell({"regime": "RF", "d": 8, "N": 5}))
    assert outcome["status"] == "done"
    assert outcome["seconds"] > 0
    assert 10 < outcome["peak_mb"] < 10_000
    assert outcome["versions"].startswith("fastlazy ")


@pytest.mark.skipif(sys.platform != "linux", reason="cannot be reset")
def test_peak_memory_is_that_of_the_cell():
    big = measure.attempt(canonical_cell({"regime": "RF", "d": 4, "N": 4000}))
    small = measure.attempt(canonical_cell({"regime": "RF", "d": 4, "N": 4}))
    assert big["peak_mb"] - small["peak_mb"] > 8 * 4000**2 / 1e6 * 0.9


def test_an_attempt_that_raises_is_a_failure():
    outcome = measure.attempt(canonical_cell({"regime": "RF", "d": 8, "N": 10**12}))
    assert outcome["status"] == "failed"
    assert outcome["error"].startswith("MemoryError: Unable to allocate")
    assert outcome["traceback"].startswith("Traceback (most recent call last):")
    assert "in draw_weights" in outcome["traceback"]
    assert outcome["seconds"] > 0


def test_cells_of_a_batch_give_what_they_give_alone():
    """Though they share their target and their prediction, in turn with others."""
    cells = [
        canonical_cell({"d": 8, "N": 5, "draw": draw, **other})
        for draw in range(3)
        for other in ({"regime": "RF"}, {"regime": "NT", "ridge": 0.1}, {"regime": "RF", "target_seed": 4})
    ]
    together = measure.attempt_all([(cell, None) for cell in cells], 60.0, None)
    assert len(together) == 9
    for cell, found in zip(cells, together, strict=True):
        measure._place.cache_clear()
        alone = measure.attempt(cell)
        assert {name: found.get(name) for name in measure.RESULTS} == {
            name: alone.get(name) for name in measure.RESULTS
        }


def test_a_batch_ends_when_its_time_is_up():
    cell = canonical_cell({"regime": "RF", "d": 8, "N": 5})
    assert len(measure.attempt_all([(cell, None)] * 4, 0.0, None)) == 1


def test_training_that_diverged_is_not_done():
    with pytest.warns(RuntimeWarning, match="diverged"):
        outcome = measure.attempt(
            canonical_cell({"regime": "NN", "d": 8, "N": 5, "n_samples": 3000, "step_size": 10.0})
        )
    assert outcome["status"] == "diverged"
    assert outcome["error"].startswith("training diverged, and the results are of its last finite state")
    assert math.isfinite(outcome["ratio"])


@pytest.mark.parametrize("risk", [math.inf, math.nan])
def test_a_risk_that_is_no_number_is_a_failure(risk, monkeypatch):
    monkeypatch.setattr("fastlazy.sweeps.regimes._found_of_samples", lambda *_: Found({"risk": risk}, np.eye(8)))
    outcome = measure.attempt(canonical_cell({"regime": "RF", "d": 8, "N": 5, "n_samples": 9}))
    assert outcome["status"] == "failed"
    assert outcome["error"].startswith(f"FloatingPointError: the risk is {risk}; numbers are too large or too small")
    assert "ratio" not in outcome


def test_a_checkpoint_is_used_where_its_folder_is(tmp_path, monkeypatch):
    monkeypatch.setattr("fastlazy.training.checkpoint._SECONDS", 0.0)
    parameters = canonical_cell({"regime": "NN", "d": 8, "N": 5, "n_samples": 3000})
    alone = measure.measure(parameters)
    assert measure.measure(parameters, str(tmp_path / "state")) == alone
    assert (tmp_path / "state").exists()
    assert measure.measure(parameters, str(tmp_path / "none" / "state")) == alone


def test_costs_are_in_order():
    def cost(**cell):
        return measure.cost(canonical_cell({"d": 450, **cell}))

    assert cost(regime="RF", N=4500) > cost(regime="RF", N=450) > cost(regime="RF", N=30)
    assert cost(regime="RF", N=450, n_samples=1000) > cost(regime="RF", N=450)
    assert cost(regime="NT", N=450, n_samples=1000) < cost(regime="NT", N=450, n_samples=3000)
    assert cost(regime="NT", N=450, activation="relu") > cost(regime="NT", N=450)
    assert cost(regime="NN", N=450, n_samples=10**7) > 10 * cost(regime="NN", N=450, n_samples=10**5)
    assert cost(regime="NN", N=450, n_samples=10**6) == cost(regime="NN", N=4500, n_samples=10**6)


def test_warming_up_compiles_what_is_needed(monkeypatch):
    trained = []
    monkeypatch.setattr("fastlazy.training.fit_nn.fit_nn", lambda *_, dtype, **__: trained.append(dtype))
    cells = [{"regime": "RF"}, *({"regime": "NN", "n_samples": 9, "dtype": f"float{bits}"} for bits in (64, 32, 32))]
    measure.warm_up([canonical_cell({"d": 9, "N": 9, **cell}) for cell in cells])
    assert trained == ["float32", "float64"]


def test_fits_are_warmed_up():
    measure.warm_up([canonical_cell({"regime": regime, "d": 9, "N": 9, "n_samples": 9}) for regime in ("RF", "NT")])


def test_one_blas_thread_holds_until_the_last_has_left():
    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):
        if threads() != {2}:
            pytest.skip("BLAS has one thread at most")
        first, second = one_blas_thread(), one_blas_thread()
        with first:
            second.__enter__()
            assert threads() == {1}
        assert threads() == {1}
        second.__exit__()
        assert threads() == {2}
