"""Figures of stores whose cells have a target and a sigma of the user's."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from fastlazy.activations.activation import Activation
from fastlazy.cli.main import main
from fastlazy.risk.limits import nt_risk_limit, rf_risk_limit
from fastlazy.sweeps.cells import grid
from fastlazy.sweeps.driver import run_sweep
from fastlazy.targets.quadratic import QuadraticTarget

B = np.diag(np.arange(1.0, 7.0)) + np.eye(6, k=1) + np.eye(6, k=-1)
SIGMA = Activation("bent", lambda x: math.tanh(x) + x * x, lambda x: 1 - math.tanh(x) ** 2 + 2 * x)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("objects") / "sweep.sqlite"
    cells = grid(regime=["RF", "NT"], d=6, N=[2, 4, 9], target={"mine": B, "other": QuadraticTarget(B @ B, 1.0)})
    cells += grid(regime=["RF", "NT"], d=6, N=[2, 4, 9], target={"mine": B}, activation=SIGMA)
    with ThreadPoolExecutor(2) as pool:
        table = run_sweep(cells, path, executor=pool, progress=False)
    assert (table["status"] == "done").all(), table["error"].tolist()
    return path


def test_a_target_is_chosen_by_its_name(store, tmp_path, capsys):
    assert main(["figure", "--from", str(store), "--out", str(tmp_path)]) == 2
    assert "cells of 2 targets" in capsys.readouterr().err
    options = ["--where", "target=mine", "--activations", "square", "--out", str(tmp_path)]
    assert main(["figure", "--from", str(store), *options]) == 0
    found = pd.read_csv(tmp_path / "results.csv").set_index(["regime", "N"])["predicted"]
    target = QuadraticTarget(B, -float(np.trace(B)))
    for N in (2, 4, 9):
        assert found["RF", N] == pytest.approx(rf_risk_limit(target, N, refined=True) / target.null_risk, rel=1e-12)
        assert found["NT", N] == pytest.approx(nt_risk_limit(target, N, refined=True) / target.null_risk, rel=1e-12)


def test_a_sigma_of_the_users_has_a_panel(store, tmp_path, monkeypatch, capsys):
    drawn = {}

    def keep(figure, out, name, style):
        drawn["axes"] = figure().axes

    monkeypatch.setattr("fastlazy.cli.figure.save_figure", keep)
    assert main(["figure", "--from", str(store), "--where", "target=mine", "--out", str(tmp_path)]) == 0
    titles = [ax.get_title() for ax in drawn["axes"] if ax.get_visible()]
    assert titles == ["$\\sigma$ = bent", "$\\sigma$ = $x^2$"]
    assert "bent #" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "results.csv")
    own = table[table["activation"].str.startswith("bent")]
    heights = [value for line in drawn["axes"][0].lines for value in line.get_ydata() if len(line.get_ydata()) == 3]
    assert set(own["predicted"]) <= set(heights)  # the line goes through the predictions of the dots
