"""Cells of networks of any sigma, by SGD and by gradient flow, are what `fit_nn` and `nn_flow` give."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from fastlazy.risk.nn import nn_risk
from fastlazy.sweeps import measure
from fastlazy.sweeps.cells import canonical_cell, cell_stream, cell_target
from fastlazy.sweeps.driver import run_sweep
from fastlazy.sweeps.planning import plan_sweep
from fastlazy.targets.library import exponential_target
from fastlazy.training.fit_nn import fit_nn
from fastlazy.training.flow import nn_flow

D, N = 6, 4


def found(**cell):
    parameters = canonical_cell({"regime": "NN", "d": D, "N": N, **cell})
    return measure.measure(parameters), cell_target(parameters), cell_stream(parameters)


def late(course, risk):
    half = np.argmin(np.abs(course - course[-1] / 2))
    return risk[half] - risk[-1]


@pytest.mark.parametrize("activation", ["relu", "he2", "square"])
def test_training_by_sgd(activation):
    options = {"n_samples": 3000, "activation": activation, "second_layer": "free", "dtype": "float64"}
    results, target, stream = found(**options)
    fit = fit_nn(target, N, rng=stream, **options)
    assert results["risk"] == fit.risk[-1]
    assert results["fit_status"] == "finished"
    assert results["late_gain"] == late(fit.samples, fit.risk) / target.null_risk
    assert set(results) <= set(measure.RESULTS)
    expected = None if activation == "relu" else nn_risk(target, N) / target.null_risk
    assert results["predicted"] == (expected if expected is None else pytest.approx(expected, rel=1e-12))


@pytest.mark.parametrize("options", [{}, {"second_layer": "free", "init": "symmetric", "scale": 3.0}])
def test_training_by_flow(options):
    results, target, stream = found(nn="flow", **options)
    fit = nn_flow(target, N, rng=stream, parallel=False, **options)
    assert results["risk"] == fit.risk[-1]
    assert results["fit_status"] == "finished"
    assert results["late_gain"] == late(fit.times, fit.risk) / target.null_risk < 0.01
    assert results["ratio"] > results["predicted"] > 0
    if not options:
        assert results["ratio"] == pytest.approx(results["predicted"], abs=1e-3)


def test_a_flow_of_another_sigma(monkeypatch):
    short = partial(nn_flow, time=0.3)
    monkeypatch.setattr("fastlazy.training.flow.nn_flow", short)
    results, target, stream = found(nn="flow", activation="relu", second_layer="free")
    fit = short(target, N, "relu", rng=stream, parallel=False, second_layer="free")
    assert results["risk"] == fit.risk[-1] < target.null_risk
    assert results["predicted"] is None


def test_a_flow_that_was_not_at_its_end_is_told(monkeypatch):
    monkeypatch.setattr("fastlazy.training.flow.nn_flow", partial(nn_flow, max_steps=2))
    results = found(nn="flow")[0]  # warnings are errors
    assert results["fit_status"] == "unconverged"
    assert results["late_gain"] > 0


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("activation", "layer"), [("tanh", "free"), ("sigmoid", "free"), ("linear", "ones"), ("cos", "ones")]
)
@pytest.mark.parametrize("nn", ["sgd", "flow"])
def test_what_a_sigma_cannot_learn_is_no_warning(activation, layer, nn, monkeypatch):
    monkeypatch.setattr("fastlazy.training.flow.nn_flow", partial(nn_flow, time=0.01))
    samples = {"n_samples": 300} if nn == "sgd" else {}
    results = found(nn=nn, activation=activation, second_layer=layer, **samples)[0]
    assert results["predicted"] == (None if activation == "cos" else 1.0)
    assert 0 < results["ratio"] < 2


def test_pairs_of_another_sigma_have_no_prediction():
    options = {"n_samples": 300, "second_layer": "free", "init": "symmetric"}
    assert found(activation="relu", **options)[0]["predicted"] is None
    he2, square = (found(activation=name, **options)[0]["predicted"] for name in ("he2", "square"))
    assert he2 == pytest.approx(square, rel=1e-12)


def test_costs_are_in_order():
    def cost(**cell):
        return measure.cost(canonical_cell({"regime": "NN", "d": 450, "N": 450, **cell}))

    sgd = {"n_samples": 10**6}
    assert cost(**sgd, N=4500, activation="relu") > 5 * cost(**sgd, activation="relu") > 5 * cost(**sgd)
    assert cost(**sgd, activation="tanh") > cost(**sgd, activation="relu")
    assert cost(nn="flow", activation="relu", N=900) > cost(nn="flow", activation="relu") > 3 * cost(nn="flow")
    assert cost(nn="flow") == cost(nn="flow", N=900)


def test_warming_up_compiles_each_sigma_that_is_needed(monkeypatch):
    trained = []

    def take(*arguments, activation=None, dtype=None, time=None, **_):
        trained.append(((activation or arguments[2]).name, dtype, time))

    monkeypatch.setattr("fastlazy.training.fit_nn.fit_nn", take)
    monkeypatch.setattr("fastlazy.training.flow.nn_flow", take)
    cells = [{"activation": name, "n_samples": 9} for name in ("relu", "square", "relu")]
    cells += [{"activation": "relu", "nn": "flow"}, {"activation": "relu", "n_samples": 9, "dtype": "float64"}]
    measure.warm_up([canonical_cell({"regime": "NN", "d": 9, "N": 9, **cell}) for cell in cells])
    assert trained == [
        ("relu", None, 0.0), ("relu", "float32", None), ("relu", "float64", None), ("square", "float32", None)
    ]  # fmt: skip


def test_warming_up_is_silent():
    cells = [{"activation": "tanh", "n_samples": 9}, {"activation": "tanh", "nn": "flow"}]
    measure.warm_up([canonical_cell({"regime": "NN", "d": 9, "N": 9, **cell}) for cell in cells])


def test_a_sweep_over_both_and_its_plan(tmp_path):
    cells = [{"regime": "NN", "d": D, "N": N, **more} for more in ({"nn": "flow"}, {"n_samples": 300})]
    with ThreadPoolExecutor(1) as executor:
        table = run_sweep(cells, tmp_path / "a.sqlite", executor=executor, progress=False)
    assert list(table["nn"]) == ["flow", "sgd"]
    assert set(table["status"]) == {"done"}
    assert table["late_gain"].notna().all()
    fit = nn_flow(exponential_target(D, rng=0), N, rng=int(table["stream"][0]), parallel=False)
    assert table["risk"][0] == fit.risk[-1]
    plan = plan_sweep([*cells, {**cells[0], "draw": 1}], tmp_path / "a.sqlite")
    assert (plan.measured, plan.left, plan.guessed) == (2, 1, 0.0)
