"""The dots and lines of learning curves, and their figure."""

import math

import numpy as np
import pandas as pd
import pytest

import fastlazy
from fastlazy.figures import curve_runs
from fastlazy.figures.curve_plots import plot_curves
from fastlazy.sweeps.cells import canonical_cell

SETTING = curve_runs.Setting(8, 5, "relu", 3)


@pytest.fixture(autouse=True)
def _few_places(monkeypatch):
    monkeypatch.setattr(curve_runs, "_FINE", 12)


def test_sizes_pass_all_peaks():
    sizes = curve_runs.geometric_sizes(40, 60, 18)
    assert (sizes[0], sizes[-1], len(sizes)) == (10, 19_200, 18)
    assert np.all(np.diff(sizes) > 0)
    assert curve_runs.geometric_sizes(2, 1, 18)[0] == 2


def test_the_plan_has_the_best_ridge_of_each_size():
    plan = curve_runs.curve_plan(SETTING, [6, 50], [0.0, "best"])
    assert plan["regime"].tolist() == ["RF"] * 4 + ["NT"] * 4 + ["NN"] * 2
    assert plan["penalty"].tolist() == ["0", "0", "best", "best"] * 2 + ["", ""]
    assert plan["n_samples"].tolist() == [6, 50] * 5
    target = fastlazy.exponential_target(8, rng=3)
    limits = {"RF": fastlazy.rf_risk_limit, "NT": fastlazy.nt_risk_limit}
    for row in plan[plan["penalty"] == "best"].itertuples():
        best = limits[row.regime](target, 5, "relu", n_samples=row.n_samples, ridge="best")
        assert row.ridge == pytest.approx(best.ridge, rel=1e-6)
    assert plan.loc[plan["regime"] == "NN", "ridge"].isna().all()


def test_cells_are_those_of_the_plan():
    plan = curve_runs.curve_plan(SETTING, [6, 50], [0.0, 0.5])
    cells = [canonical_cell(cell) for cell in curve_runs.curve_cells(SETTING, plan, 3)]
    assert len(cells) == 3 * (2 * 2 * 2 + 2)
    assert {cell["draw"] for cell in cells} == {0, 1, 2}
    assert all((cell["d"], cell["N"], cell["seed"], cell["target_seed"]) == (8, 5, 3, 3) for cell in cells)
    assert {cell["second_layer"] for cell in cells if cell["regime"] == "NN"} == {"free"}
    assert {cell["ridge"] for cell in cells if cell["regime"] != "NN"} == {0.0, 0.5}
    square = curve_runs.Setting(8, 5, "square", 0)
    cells = curve_runs.curve_cells(square, curve_runs.curve_plan(square, [6], [0.0]), 1)
    assert [cell["regime"] for cell in cells] == ["RF", "NT", "NN"]
    assert "second_layer" not in cells[-1]
    step = curve_runs.Setting(8, 5, "step", 0)  # which has no derivative
    assert curve_runs.curve_plan(step, [6], [0.0])["regime"].tolist() == ["RF"]
    odd = curve_runs.Setting(8, 5, "tanh", 0)  # which is best not to fit
    assert curve_runs.curve_plan(odd, [6], ["best"])["ridge"].tolist()[0] == 1e12
    assert curve_runs.name_of(1.0000001) != curve_runs.name_of(1.0)
    twice = curve_runs.curve_plan(SETTING, [10**6], [0.0, 0.0])
    assert len(curve_runs.curve_cells(SETTING, twice, 1)) == 3


def test_dots_are_means_over_draws():
    plan = curve_runs.curve_plan(SETTING, [6, 50], [0.0, 0.5])
    cells = curve_runs.curve_cells(SETTING, plan, 4)
    table = pd.DataFrame([{**canonical_cell(cell), "status": "done", "predicted": 0.7} for cell in cells])
    table["ratio"] = np.random.default_rng(0).random(len(table))
    table.loc[table.index[0], ["status", "ratio"]] = ["failed", np.nan]
    dots = curve_runs.curve_dots(table, plan)
    assert dots.shape == (10, 8)
    own = table[(table["regime"] == "NT") & (table["n_samples"] == 50) & (table["ridge"] == 0.5)]["ratio"]
    dot = dots[(dots["regime"] == "NT") & (dots["n_samples"] == 50) & (dots["penalty"] == "0.5")].iloc[0]
    assert dot["measured"] == pytest.approx(own.mean())
    assert dot["error"] == pytest.approx(own.std(ddof=1) / 2)
    assert dots["draws"].tolist() == [3] + [4] * 9


def test_lines_are_the_predictions():
    lines = curve_runs.curve_lines(SETTING, [4, 300], [0.1, "best"])
    assert lines.groupby(["regime", "penalty"]).size().tolist() == [12] * 4
    target = fastlazy.exponential_target(8, rng=3)
    for row in lines.iloc[[0, 7, 23]].itertuples():
        expected = fastlazy.rf_risk_limit(
            target, 5, "relu", n_samples=row.n_samples, ridge=row.penalty if row.penalty == "best" else 0.1
        )
        expected = expected.risk if row.penalty == "best" else expected
        assert row.predicted == pytest.approx(expected / target.null_risk)
    best, fixed = (lines[lines["penalty"] == name]["predicted"].to_numpy() for name in ("best", "0.1"))
    assert np.all(best <= fixed * (1 + 1e-9))
    assert lines[lines["penalty"] == "best"]["predicted"].max() <= 1


def test_a_panel_for_each_penalty():
    plan = curve_runs.curve_plan(SETTING, [6, 20, 60], [0.0, "best"])
    dots = plan.assign(draws=2, measured=0.9, error=0.1, predicted=math.nan)
    dots.loc[0, "measured"] = 500.0  # a peak, which the axis does not follow
    lines = curve_runs.curve_lines(SETTING, [6, 60], [0.0, "best"])
    figure = plot_curves(dots, lines, SETTING)
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == ("no ridge: least norm", "the best ridge at each n")
    assert left.get_xscale() == left.get_yscale() == "log"
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylim()[1] == 60
    assert [text.get_text() for text in left.texts] == ["N d"]  # N = 5 is not in sight
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["RF: random features", "NT: neural tangent", "NN: SGD, each sample used once"]
    for ax, penalty in ((left, "0"), (right, "best")):
        drawn = [line for line in ax.lines if len(line.get_xdata()) == 12]
        for line, regime in zip(drawn, ("RF", "NT"), strict=True):
            expected = lines[(lines["regime"] == regime) & (lines["penalty"] == penalty)]["predicted"]
            np.testing.assert_array_equal(line.get_ydata(), expected)
        dots_at = [container.lines[0].get_ydata() for container in ax.containers]
        assert [len(heights) for heights in dots_at] == [3, 3, 3]
