"""The table of regimes: what its rows have in common, and that a new row is all that a new regime needs."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from fastlazy.figures.risk_curves import plot_risk_curves
from fastlazy.figures.risk_table import figure_cells, predictions, summary
from fastlazy.sweeps.cells import KEYS, canonical_cell, cell_id, cell_stream
from fastlazy.sweeps.driver import run_sweep
from fastlazy.sweeps.measure import cost, measure, predicted_ratio, warm_up
from fastlazy.sweeps.regimes import COSTLY, NN, NT, REGIMES, RF
from fastlazy.targets.library import exponential_target


def test_rows_agree_with_each_other():
    assert list(REGIMES) == ["RF", "NT", "NN"]
    for name, row in REGIMES.items():
        assert name == row.name == name.upper()  # as cells have it
        assert row.label.startswith(f"{name}: ")
        assert set(row.keys) <= set(KEYS)
        assert "n_samples" in row.keys  # by which kinds of cells are told apart
    for part in ("color", "linestyle", "marker"):
        assert len({row.style[part] for row in REGIMES.values()}) == len(REGIMES)
    assert [row.name for row in REGIMES.values() if row.is_trained] == ["NN"]


def test_the_activations_of_a_row():
    assert RF.among(["relu", "step"]) == ["relu", "step"]
    assert NT.among(["relu", "step"]) == ["relu"]
    assert NN.among(["relu", "step", "square"]) == ["relu", "square"]


@pytest.mark.parametrize("name", REGIMES)
def test_a_cost_goes_by_the_costly_parameters(name):
    cell = canonical_cell({"regime": name, "d": 9, "N": 4, "n_samples": 100})
    assert cost(cell) == cost({"regime": name, **{key: cell.get(key) for key in COSTLY}}) > 0


@pytest.fixture
def copied(monkeypatch):
    """RF under another name, as a row of the table."""
    row = replace(RF, name="RG", label="RG: again", style={"color": "0.5", "linestyle": ":", "marker": "x"})
    monkeypatch.setitem(REGIMES, "RG", row)
    return row


def test_a_copy_of_a_row_is_a_regime(copied, tmp_path):
    shared = {"d": 8, "N": 5, "activation": "relu"}
    for more in ({}, {"n_samples": 20}):
        one, two = (canonical_cell({"regime": name, **shared, **more}) for name in ("RF", "rg"))
        warm_up([two])
        assert cell_id(one) != cell_id(two)
        assert cell_stream(one) == cell_stream(two)
        assert measure(one) == measure(two)
        assert cost(one) == cost(two)
    target = exponential_target(8, rng=0)
    assert predicted_ratio(target, "RG", 5, "relu") == predicted_ratio(target, "RF", 5, "relu")

    cells = figure_cells(8, [3, 5], 2, [50, 50], 0)
    assert {cell["regime"] for cell in cells} == {"RF", "NT", "NN", "RG"}
    some = [cell for cell in cells if cell["regime"] != "NN"]
    with ThreadPoolExecutor(1) as executor:  # in this process, which has the row
        table = run_sweep(some, tmp_path / "a.sqlite", executor=executor, progress=False)
    assert set(table["status"]) == {"done"}
    dots = table.rename(columns={"ratio": "measured"})[["regime", "activation", "N", "measured", "predicted"]]
    assert list(summary(dots)["regime"].unique()) == ["RF", "NT", "RG"]
    ax = plot_risk_curves(dots, predictions(target, [3, 5]), 8)
    assert "RG: again" in [text.get_text() for text in ax.figure.legends[0].get_texts()]
    plt.close(ax.figure)
    with pytest.raises(ValueError, match="regime must be one of 'RF', 'NT', 'NN', 'RG', got XX"):
        plot_risk_curves(pd.DataFrame({"regime": ["XX"], "N": [3], "measured": [0.5]}), d=8)
