"""Networks of any sigma in figures: how they were trained, and whether training was at its end."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from fastlazy.figures import risk_table
from fastlazy.figures.risk_curves import plot_activations, plot_risk_curves

matplotlib.use("Agg")  # no screen is needed


def sweep(**columns):
    """Finished cells of NN, and one of RF."""
    given = {
        "status": "done", "regime": "NN", "activation": "relu", "d": 2, "N": [1, 2, 4, 1], "ridge": np.nan, "draw": 0,
        "n_samples": 50.0, "ratio": [0.5, 0.4, 0.3, 0.9], "predicted": np.nan, "seconds": 1.0, "stream": 7, "seed": 0,
        "target": "exponential", "target_seed": 3, "fit_status": "finished", "late_gain": 0.001, "nn": "sgd",
    }  # fmt: skip
    rows = pd.DataFrame(given | columns)
    lazy = {"regime": "RF", "nn": None, "n_samples": np.nan, "ridge": 0.0, "late_gain": np.nan, "fit_status": None}
    rows.loc[3, list(lazy)] = list(lazy.values())
    return rows


FLOW = {"nn": "flow", "n_samples": np.nan}


OPEN = {"fit_status": ["unconverged", "finished", "finished", None]}
SQUARE = {"activation": "square"}
KINDS = {
    "SGD": ({"late_gain": [0.02, 0.011, 0.009, 0.5]}, [False, False, True, None]),
    "SGD of x^2": ({"late_gain": [0.02, 0.011, 0.009, 0.5], **SQUARE}, [None] * 4),
    "flow": ({"late_gain": 0.02, **OPEN, **FLOW}, [False, True, True, None]),
    "flow of x^2": ({**OPEN, **SQUARE, **FLOW}, [False, True, True, None]),
}


@pytest.mark.parametrize(("columns", "converged"), KINDS.values(), ids=KINDS)
def test_which_dots_have_converged(columns, converged):
    table = sweep(**columns)
    assert [None if pd.isna(value) else value for value in risk_table.converged(table)] == converged
    dots = risk_table.figure_dots(table)
    assert list(dots["converged"].dropna()) == [value for value in converged if value is not None]
    found = risk_table.summary(dots)
    still = [N for N, value in zip((1, 2, 4), converged[:3], strict=True) if value is False]
    assert list(found.loc[~found["converged"], "N"]) == still


def test_a_store_from_before_there_were_flows():
    table = sweep(activation="square")
    old = table.drop(columns=["nn", "late_gain", "fit_status"])
    dots = risk_table.figure_dots(risk_table.one_figure(old))
    assert list(dots["nn"].dropna()) == ["sgd"] * 3
    assert list(risk_table.plain_dots(dots).columns) == risk_table.DOT_COLUMNS[:-3]
    both = pd.concat([table.assign(nn=None), table.assign(draw=1)])
    assert len(risk_table.one_figure(both)) == 8


def test_columns_that_say_something_are_kept():
    dots = risk_table.figure_dots(sweep())
    assert list(risk_table.plain_dots(dots).columns) == [*risk_table.DOT_COLUMNS[:-3], "converged"]
    dots = risk_table.figure_dots(sweep(**FLOW))
    assert list(risk_table.plain_dots(dots).columns) == [*risk_table.DOT_COLUMNS[:-3], "nn", "converged"]


@pytest.mark.parametrize("draws", [1, 2])
def test_dots_that_have_not_converged_are_grey_crosses(draws):
    table = sweep(late_gain=[0.001, 0.2, 0.001, np.nan])
    table = pd.concat([table, table.assign(draw=1, late_gain=0.0)][:draws])  # one that has not is enough
    (panel,) = plot_activations(table)
    one = plot_risk_curves(table)
    for ax in (panel, one):
        drawn = {bar.lines[0].get_marker(): bar.lines[0] for bar in ax.containers}
        np.testing.assert_allclose(drawn["o"].get_xydata(), [[0.5, 0.5], [2.0, 0.3]])
        np.testing.assert_allclose(drawn["X"].get_xydata(), [[1.0, 0.4]])
        assert drawn["X"].get_color() == "0.55"
        assert drawn["X"].get_markerfacecolor() == (1.0, 1.0, 1.0)
        labels = [text.get_text() for text in ax.figure.legends[0].get_texts()]
        assert labels[-1] == "NN: not converged"
        assert len(labels) == 3  # of NT there is nothing
        plt.close(ax.figure)


@pytest.mark.parametrize("nn", ["sgd", "flow"])
def test_the_legend_says_how_networks_were_trained(nn):
    table = sweep() if nn == "sgd" else sweep(**FLOW)
    for dots in (table, risk_table.figure_dots(table)):
        ax = plot_risk_curves(dots, d=2)
        labels = [text.get_text() for text in ax.figure.legends[0].get_texts()]
        assert labels[1:] == ["NN: trained by SGD" if nn == "sgd" else "NN: trained by gradient flow"]
        plt.close(ax.figure)


def test_sgd_and_flow_are_no_one_curve():
    sgd, flow = sweep(), sweep(**FLOW)
    whole = pd.concat([sgd, flow[:3].assign(ratio=0.1)])
    message = r"different nn \(sgd, flow\).* choose one with --where nn=sgd"
    with pytest.raises(ValueError, match=message):
        risk_table.one_figure(whole)
    with pytest.raises(ValueError, match=message):  # at no width both
        risk_table.one_figure(pd.concat([sgd[:2], flow[2:3]]))
    with pytest.raises(ValueError, match=r"different nn \(sgd, flow\)"):
        plot_risk_curves(whole)
    for nn, ratios in (("sgd", [0.5, 0.4, 0.3]), ("flow", [0.1] * 3)):
        chosen = risk_table.one_figure(whole, where={"nn": nn})
        assert list(chosen.loc[chosen["regime"] == "NN", "ratio"]) == ratios
        assert list(chosen.loc[chosen["regime"] == "RF", "ratio"]) == [0.9]


def test_the_most_samples_are_those_of_each_sigma():
    rows = pd.concat([sweep(n_samples=[9.0, 9.0, 9.0, np.nan]), sweep(activation="square", n_samples=[50.0] * 4)])
    rows.loc[rows["regime"] == "RF", "n_samples"] = np.nan
    assert len(risk_table.one_figure(rows)) == 8
