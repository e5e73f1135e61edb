"""Cells whose target is a mixture of two classes."""

import pytest

import fastlazy
from fastlazy.sweeps import measure
from fastlazy.sweeps.cells import canonical_cell, cell_stream, cell_target


def found(**cell):
    parameters = canonical_cell({"d": 8, "N": 5, "target": "mixture", **cell})
    return measure.measure(parameters), cell_target(parameters), cell_stream(parameters)


def test_its_target_is_the_function_of_that_name():
    _, mixture, _ = found(regime="RF", target_seed=4)
    expected = fastlazy.exponential_mixture(8, rng=4)
    assert (mixture.Delta == expected.Delta).all()


@pytest.mark.parametrize("regime", ["RF", "NT"])
def test_drawn_weights(regime):
    risk = {"RF": fastlazy.rf_risk, "NT": fastlazy.nt_risk}[regime]
    limit = {"RF": fastlazy.rf_risk_limit, "NT": fastlazy.nt_risk_limit}[regime]
    for activation in ("square", "relu"):
        results, mixture, stream = found(regime=regime, activation=activation)
        assert results["risk"] == risk(mixture, fastlazy.draw_weights(5, 8, rng=stream), activation)
        assert results["predicted"] == limit(mixture, 5, activation, refined=True)
    assert found(regime=regime, ridge=0.1)[0]["predicted"] is None


def test_fits_to_samples():
    few, many = (found(regime="RF", activation="relu", ridge=0.01, n_samples=n)[0] for n in (20, 100_000))
    whole = found(regime="RF", activation="relu", ridge=0.01)[0]
    assert few["predicted"] is None
    assert many["risk"] == pytest.approx(whole["risk"], abs=1e-3)
    assert few["risk"] > many["risk"] + 0.01


def test_a_trained_network():
    results, mixture, _ = found(regime="NN", n_samples=50_000, second_layer="signs")
    assert results["predicted"] == fastlazy.nn_risk(mixture, 5)
    assert results["predicted"] < results["risk"] < results["predicted"] + 0.1
    assert found(regime="NN", n_samples=2000)[0]["predicted"] is None  # all of one sign
    assert found(regime="NN", n_samples=2000, activation="relu", second_layer="free")[0]["predicted"] is None


@pytest.mark.filterwarnings("error")
def test_a_network_of_gradient_flow():
    results, mixture, _ = found(regime="NN", nn="flow", second_layer="signs")
    assert results["predicted"] == fastlazy.nn_risk(mixture, 5)
    assert results["predicted"] < results["risk"] < results["predicted"] + 1e-6
    assert results["fit_status"] == "finished"
    few, _, _ = found(regime="NN", nn="flow", activation="relu", second_layer="free", max_gradients=30)
    assert few["fit_status"] == "unconverged"
    assert few["predicted"] is None
    lazy, _, lazy_stream = found(regime="NN", N=6, nn="flow", second_layer="signs", scale=1e4, init="symmetric")
    W = fastlazy.nn_flow(mixture, 6, scale=1e4, init="symmetric", rng=lazy_stream, time=0.0).W0[:3]
    assert lazy["risk"] == pytest.approx(fastlazy.nt_risk(mixture, W), abs=1e-6)
