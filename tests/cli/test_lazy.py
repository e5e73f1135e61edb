"""``fastlazy lazy``: real runs at small size, what they leave on disk and print, and what they say of bad arguments."""

import re
import threading
import time

import numpy as np
import pandas as pd
import pytest
from matplotlib import image

from fastlazy.cli.main import main
from fastlazy.figures import lazy_runs
from fastlazy.risk.nn import nn_risk
from fastlazy.targets.library import exponential_target
from fastlazy.training.fit_nn import fit_nn
from fastlazy.training.infimum import lazy_risk

SMALL = ["--d", "20", "--scales", "0.1,10,1000,100", "--seed", "5"]


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """The folder of one small run."""
    out = tmp_path_factory.mktemp("lazy") / "made"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lazy_runs, "_SAMPLES", 20_000)
        patch.setattr(lazy_runs, "quick_samples", lambda N, d: 20_000)
        assert main(["lazy", *SMALL, "--ratio", "50", "--out", str(out)]) == 0
    return out


def test_every_figure_is_written(small_run):
    names = ("scales", "training", "directions", "gap")
    assert sorted(path.name for path in small_run.iterdir()) == sorted(
        f"{name}.{ending}" for name in names for ending in ("png", "pdf", "csv")
    )
    for name in names:
        pixels = image.imread(small_run / f"{name}.png")
        assert min(pixels.shape[:2]) > 500
        assert pixels.std() > 0.05
        assert (small_run / f"{name}.pdf").read_bytes().startswith(b"%PDF-")


def test_scales_are_those_asked_for_and_can_be_repeated(small_run):
    ends, trajectories = pd.read_csv(small_run / "scales.csv"), pd.read_csv(small_run / "training.csv")
    assert ends["scale"].tolist() == [0.1, 10.0, 100.0, 1000.0]
    target = exponential_target(20, rng=5)
    fit = fit_nn(target, 10, n_samples=20_000, rng=5, scale=10.0, n_records=200, diagnostics=True)
    row = ends[ends["scale"] == 10].iloc[0]
    assert row["risk"] == pytest.approx(fit.risk[-1] / target.null_risk, rel=1e-6)
    assert row["reachable"] == pytest.approx(lazy_risk(target, fit.W0, scale=10.0) / target.null_risk, rel=1e-6)
    rows = trajectories[trajectories["scale"] == 10]
    np.testing.assert_allclose(rows["travelled"], fit.diagnostics.travelled_W, rtol=1e-6)
    errors = fit.diagnostics.linearization_error / target.null_risk
    np.testing.assert_allclose(rows["linearization_error"], errors, rtol=1e-6)


def test_gap_table(small_run):
    table = pd.read_csv(small_run / "gap.csv")
    predicted = table.dropna(subset="predicted").pivot(index="N", columns="regime", values="predicted")
    assert predicted.index.tolist() == list(range(1, 20))
    assert predicted.loc[2, "NT"] / predicted.loc[2, "NN"] > 50
    assert set(table.dropna(subset="measured")["regime"]) == {"NN", "NT"}


def test_one_figure_and_its_numbers(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(lazy_runs, "quick_samples", lambda N, d: 200_000)
    assert main(["lazy", "--d", "20", "--only", "directions", "--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["directions.csv", "directions.pdf", "directions.png"]
    printed = capsys.readouterr().out
    least = float(re.search(r"of the 2 largest NN captures at least ([\d.]+) each", printed)[1])
    shares = pd.read_csv(tmp_path / "directions.csv")
    assert least == pytest.approx(shares["NN"].head(2).min(), abs=1e-4)
    assert least > 0.9


def test_printed_slope_and_ends(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(lazy_runs, "_SAMPLES", 200_000)
    assert main(["lazy", *SMALL, "--only", "scales", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert float(re.search(r"falls like alpha\^(-[\d.]+) from", printed)[1]) == pytest.approx(-2, abs=0.1)
    small, large = map(float, re.search(r"less NN ([+-][\d.]+), largest alpha less NT ([+-][\d.]+)", printed).groups())
    assert abs(small) < 0.02
    assert abs(large) < 0.02
    nn = nn_risk(exponential_target(20, rng=5), 10) / exponential_target(20, rng=5).null_risk
    assert f"NN {nn:.4f}" in printed


def test_a_run_that_fails_stops_the_others(monkeypatch):
    begun, stopped = threading.Event(), []

    def train(target, N, *, scale, callback, **_):
        if scale == 1.0:
            begun.wait(30)
            raise KeyboardInterrupt
        begun.set()
        for _ in range(3000):
            if callback(None):
                stopped.append(scale)
                return
            time.sleep(0.01)

    monkeypatch.setattr(lazy_runs, "fit_nn", train)
    monkeypatch.setattr(lazy_runs, "available_cores", lambda: 2)
    with pytest.raises(KeyboardInterrupt):
        lazy_runs.scale_runs(4, 2, [1.0, 2.0, 3.0], 0)
    assert 2.0 in stopped


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--d", "3"], "--d must be at least 4, got 3"),
        (["--seed", "-1"], "--seed must be at least 0"),
        (["--ratio", "0.5"], "--ratio must be a finite number at least 1"),
        (["--only", "all"], "--only must name some of scales, training, directions, gap, got 'all'"),
        (["--scales", "0,1"], "--scales must be numbers above 0, up to 10000, got '0,1'; try"),
        (["--scales", "one"], "--scales must be numbers above 0"),
        (["--scales", "nan"], "--scales must be numbers above 0"),
        (["--activation", "step"], "--activation = 'step' is not known; pass one of"),
        (["--activation", "relu", "--only", "gap"], "with --activation relu ask for scales or training"),
        (["--ratio", "1e300", "--only", "gap", "--d", "8"], "ratio must be at most 1e200"),
    ],
)
def test_bad_arguments_are_explained(arguments, message, tmp_path, capsys):
    assert main(["lazy", *arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastlazy lazy: ")
    assert message in error


def test_a_folder_that_cannot_be_written_is_found_before_the_work(tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    assert main(["lazy", "--out", str(tmp_path / "taken")]) == 2
    assert "choose another with --out" in capsys.readouterr().err


@pytest.mark.slow
def test_another_activation(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(lazy_runs, "_GENERAL_SAMPLES", 400_000)
    monkeypatch.setattr(lazy_runs, "quick_samples", lambda N, d: 20_000)
    run = ["lazy", "--d", "20", "--scales", "0.01,1,10,100", "--activation", "relu", "--out", str(tmp_path)]
    assert main(run) == 0
    assert {path.stem for path in tmp_path.iterdir()} == {"scales", "training"}
    printed = capsys.readouterr().out
    assert "NN trained without scaling" in printed
    assert "infimum" not in printed
    small, large = map(float, re.search(r"less NN ([+-][\d.]+), largest alpha less NT ([+-][\d.]+)", printed).groups())
    assert abs(small) < 0.02
    assert abs(large) < 0.03
    ends = pd.read_csv(tmp_path / "scales.csv")
    assert "reachable" not in ends
    assert ends["risk"].is_monotonic_increasing
    target = exponential_target(20, rng=0)
    options = {"n_samples": 400_000, "activation": "relu", "second_layer": "signs", "n_records": 40, "n_threads": 1}
    fit = fit_nn(target, 10, scale=10.0, rng=0, diagnostics=True, **options)
    row = ends[ends["scale"] == 10].iloc[0]
    assert row["risk"] == pytest.approx(fit.risk[-1] / target.null_risk, rel=1e-6)
    error = fit.diagnostics.linearization_error[-1] / target.null_risk
    assert row["linearization_error"] == pytest.approx(error, rel=1e-6)
