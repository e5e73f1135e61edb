"""The cells of a figure, their measurement, and the picture."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from fastlazy.figures import risk_table, stored_cells
from fastlazy.figures.risk_curves import plot_activations, plot_risk_curves
from fastlazy.risk.limits import nt_risk_limit
from fastlazy.sweeps.cells import cell_stream, check_cells
from fastlazy.targets.library import exponential_target

matplotlib.use("Agg")  # no screen is needed

# As printed by the authors' scripts at d = 450.
AUTHORS = [30, 37, 45]


def test_widths_at_the_published_dimension():
    widths = risk_table.authors_widths(450)
    assert widths[:3] == AUTHORS
    assert (widths[-1], len(widths)) == (4767, 25)
    widths = risk_table.geometric_widths(450, 13)
    assert (widths[0], widths[-1], len(widths)) == (30, 4500, 13)
    ratios = np.divide(widths[1:], widths[:-1])
    np.testing.assert_allclose(ratios, 150 ** (1 / 12), rtol=0.03)


@pytest.mark.parametrize("d", [1, 3, 20])
def test_widths_in_small_dimensions_are_distinct(d):
    for widths in (risk_table.authors_widths(d), risk_table.geometric_widths(d, 13)):
        assert widths[0] >= 1
        assert np.all(np.diff(widths) > 0)


def test_cells():
    cells = risk_table.figure_cells(20, [3, 8], 2, [100, 200], seed=1)
    assert [(cell["regime"], cell["N"], cell.get("draw", 0), cell.get("n_samples")) for cell in cells] == [
        *[(regime, 3, k, None) for regime in ("RF", "NT") for k in (0, 1)],
        ("NN", 3, 0, 100),
        *[(regime, 8, k, None) for regime in ("RF", "NT") for k in (0, 1)],
        ("NN", 8, 0, 200),
    ]
    streams = [cell_stream(parameters) for parameters in check_cells(cells).values()]
    assert streams[:2] == streams[2:4]
    assert len(set(streams)) == 6
    # A cell's stream depends on its parameters alone.
    assert streams[5] in map(cell_stream, check_cells(risk_table.figure_cells(20, [8], 1, [200], seed=1)).values())
    assert streams[5] not in map(cell_stream, check_cells(risk_table.figure_cells(20, [8], 1, [200], seed=2)).values())
    with pytest.raises(ValueError, match="zip"):
        risk_table.figure_cells(20, [3, 8], 2, [100], seed=1)


def sweep_table():
    """A sweep of two dimensions, with cells that a figure does not show."""
    rows = [("done", "RF", 2, N, 0.0, np.nan, 0.9) for N in (1, 2)] + [("done", "NT", 2, 1, 0.0, np.nan, 0.5)]
    rows += [("done", "NN", 2, 1, np.nan, samples, 0.3 / samples) for samples in (10, 20)]
    rows += [("failed", "RF", 2, 4, 0.0, np.nan, np.nan), ("done", "RF", 2, 1, 0.1, np.nan, 0.95)]
    rows += [("done", "RF", 4, 1, 0.0, np.nan, 0.7)]
    found = pd.DataFrame(rows, columns=["status", "regime", "d", "N", "ridge", "n_samples", "ratio"])
    given = {"activation": "square", "target": "exponential", "target_seed": 3, "exponent": np.nan, "seed": 3}
    return found.assign(draw=0, predicted=0.25, seconds=1.0, stream=7, **given)


def test_one_figure_of_many_cells():
    found = risk_table.one_figure(sweep_table(), d=2)
    assert list(zip(found["regime"], found["N"], found["n_samples"].fillna(0), strict=True)) == [
        ("RF", 1, 0),
        ("RF", 2, 0),
        ("NT", 1, 0),
        ("NN", 1, 20),
    ]
    dots = risk_table.figure_dots(found)
    assert list(dots.columns) == risk_table.DOT_COLUMNS
    assert list(dots["measured"]) == [0.3 / 20, 0.5, 0.9, 0.9]
    np.testing.assert_array_equal(stored_cells.figure_target(found).B, exponential_target(2, rng=3).B)
    with pytest.raises(ValueError, match=r"of 2 targets, .*d = 2; .*d = 4\); choose with --d and --seed"):
        risk_table.one_figure(sweep_table())


def test_a_figure_has_no_dots_of_lazy_training():
    rows = sweep_table()
    lazy = rows[rows["regime"] == "NN"].assign(n_samples=30)
    table = pd.concat([rows, lazy.assign(scale=2.0, init="orthogonal"), lazy.assign(init="symmetric")])
    assert len(risk_table.one_figure(table, d=2)) == len(risk_table.one_figure(rows, d=2))


def test_the_target_of_a_figure_by_its_eigenvalues():
    rows = sweep_table().assign(target="[3.0, -1.0]", target_seed=pd.NA)
    np.testing.assert_array_equal(stored_cells.figure_target(risk_table.one_figure(rows, d=2)).eigenvalues, [3.0, -1.0])


def test_lines_pass_through_all_widths():
    dots = table().assign(N=[2, 30, 2, 30, 2, 30, 10, 2])
    lines = risk_table.figure_lines(exponential_target(6, rng=1), dots)
    assert set(lines["regime"]) == {"RF", "NT", "NN"}
    for _, line in lines.groupby("regime"):
        assert list(line["N"])[:3] == [2, 3, 4]
        assert line["N"].max() == 30


def table():
    rows = [("RF", N, k, 0.9 - 0.1 * k, 0.85) for N in (2, 10, 40) for k in (0, 1)]
    rows += [("NN", 10, 0, 0.2, 0.1), ("NT", 2, 0, 0.7, 0.75)]
    return pd.DataFrame(rows, columns=["regime", "N", "draw", "measured", "predicted"]).assign(activation="square")


def test_summary():
    found = risk_table.summary(table())
    assert list(zip(found["regime"], found["N"], found["dots"], strict=True)) == [
        ("RF", 2, 2),
        ("RF", 10, 2),
        ("RF", 40, 2),
        ("NT", 2, 1),
        ("NN", 10, 1),
    ]
    np.testing.assert_allclose(found["measured"], [0.85, 0.85, 0.85, 0.7, 0.2])
    np.testing.assert_allclose(found["std"], [0.1 / 2**0.5] * 3 + [np.nan] * 2)
    np.testing.assert_allclose(found["difference"], [0, 0, 0, -0.05, 0.1], atol=1e-15)


def test_predictions_have_a_line_for_each_regime():
    lines = risk_table.predictions(exponential_target(6, rng=1), [1, 3, 6, 30])
    assert list(lines["regime"]) == ["RF"] * 4 + ["NT"] * 4 + ["NN"] * 4
    values = lines["predicted"].to_numpy().reshape(3, 4)
    assert np.all(np.diff(values) <= 0)
    assert np.all(values[1:, 2:] == 0)


def test_picture_shows_means_spreads_and_lines():
    lines = pd.DataFrame([("RF", 40, 0.5), ("RF", 2, 0.9)], columns=["regime", "N", "predicted"])
    figure, ax = plt.subplots()
    assert plot_risk_curves(table(), lines, 20, ax=ax) is ax
    drawn = [line for line in ax.lines if len(line.get_xdata())]
    np.testing.assert_allclose(drawn[0].get_xdata(), [0.1, 2.0])
    np.testing.assert_allclose(drawn[0].get_ydata(), [0.9, 0.5])
    bars = {bar.lines[0].get_color(): bar for bar in ax.containers}
    assert len(bars) == 3
    rf = bars["#0072B2"]
    np.testing.assert_allclose(rf.lines[0].get_xydata(), [[0.1, 0.85], [0.5, 0.85], [2.0, 0.85]])
    heights = [np.ptp(segment[:, 1]) for segment in rf.lines[2][0].get_segments()]
    np.testing.assert_allclose(heights, 2 * 0.1 / 2**0.5)
    np.testing.assert_allclose(bars["#111111"].lines[0].get_xydata(), [[0.5, 0.2]])
    assert [text.get_text()[:2] for text in ax.get_legend().get_texts()] == ["RF", "NT", "NN"]
    assert ax.get_xscale() == "log"
    plt.close(figure)


def test_picture_without_lines_and_of_its_own():
    dots = table()
    kept = dots.copy()
    ax = plot_risk_curves(dots, None, 20)
    assert len(ax.containers) == 3
    assert sum(len(line.get_xdata()) > 0 and line.get_linestyle() != "None" for line in ax.lines) == 0
    pd.testing.assert_frame_equal(dots, kept)
    plt.close(ax.figure)


def test_picture_of_a_sweep():
    rows = sweep_table()[lambda rows: (rows["d"] == 2) & (rows["ridge"] != 0.1) & (rows["n_samples"] != 10)]
    rows = pd.concat([rows, rows[:1].assign(draw=1, ratio=0.95)])
    ax = plot_risk_curves(rows)
    bars = {bar.lines[0].get_color(): bar.lines[0].get_xydata() for bar in ax.containers}
    np.testing.assert_allclose(bars["#0072B2"], [[0.5, 0.925], [1.0, 0.9]])
    drawn = {line.get_color(): line for line in ax.lines if len(line.get_xdata()) and line.get_linestyle() != "None"}
    np.testing.assert_allclose(drawn["#0072B2"].get_xydata(), [[0.5, 0.25], [1.0, 0.25]])
    plt.close(ax.figure)
    with pytest.raises(ValueError, match="the table has finished cells of 2 dimensions d, a figure is of one"):
        plot_risk_curves(sweep_table())


MIXED = {
    "ridge": {"ridge": 0.1},
    "n_samples": {"n_samples": 50.0},
    "target": {"target": "identity"},
    "target_seed": {"target_seed": 4},
    "d": {"d": 3},
    "step_size": {"step_size": "0.5"},
    "dtype": {"dtype": "float64"},
}


@pytest.mark.parametrize("name", MIXED)
def test_cells_that_differ_in_a_parameter_are_no_one_dot(name):
    rows = sweep_table()[:4].assign(step_size="auto", dtype="float32")
    other = rows.assign(draw=1, **MIXED[name])
    message = (
        rf"the table has rows with different {name} \(.*\), of which a figure would show the mean; drop the rows of"
    )
    for draw in (plot_risk_curves, plot_activations):
        with pytest.raises(ValueError, match=message):
            draw(pd.concat([rows, other]), d=2)
    plt.close(draw(pd.concat([rows, rows.assign(draw=1, seed=9)]), d=2)[0].figure)


def test_a_scan_over_the_ridge_is_refused_by_both_kinds_of_tables():
    dots = table().assign(ridge=[0.0, 0.1] * 4)
    with pytest.raises(ValueError, match=r"different ridge \(0.0, 0.1\)"):
        plot_risk_curves(dots, None, 20)


def test_where_one_figure_has_many_cells():
    rows = sweep_table()
    samples = rows[rows["regime"] == "RF"].assign(n_samples=50.0, ratio=0.99)
    lazy = rows[rows["regime"] == "NN"].assign(scale=2.0, ratio=0.7)
    both = pd.concat([rows, samples, lazy])

    def found(**where):
        dots = risk_table.one_figure(both, d=2, where=where)
        return sorted(zip(dots["regime"], dots["ratio"], strict=True))

    assert found() == [("NN", 0.3 / 20), ("NT", 0.5), ("RF", 0.9), ("RF", 0.9)]
    assert found(ridge=0.1) == [("NN", 0.3 / 20), ("RF", 0.95)]  # NN has no ridge
    assert found(scale=2.0)[0] == ("NN", 0.7)
    assert found(n_samples=50.0) == [("RF", 0.99), ("RF", 0.99)]
    assert found(target_seed=3) == found()
    for table, where in ((both, {"target": "identity"}), (samples, {})):
        with pytest.raises(
            ValueError, match=r"of the \d+ finished cells of the store none is for this figure, .*--where"
        ):
            risk_table.one_figure(table, d=2, where=where)
    steps = rows.assign(step_size=np.where(rows["regime"] == "NN", "auto", None))
    other = steps[steps["regime"] == "NN"].assign(step_size="0.5")
    with pytest.raises(ValueError, match=r"different step_size \(auto, 0.5\).* choose one with --where step_size=auto"):
        risk_table.one_figure(pd.concat([steps, other]), d=2)
    chosen = risk_table.one_figure(pd.concat([steps, other]), d=2, where={"step_size": "0.5"})
    assert list(chosen["regime"]) == ["RF", "RF", "NT", "NN"]


def test_a_figure_of_a_store_from_before_there_were_non_linearities():
    rows = sweep_table()[:4]
    for old in (rows.drop(columns="activation"), rows.assign(activation=None)):
        assert list(risk_table.figure_dots(risk_table.one_figure(old))["activation"]) == ["square"] * 4


EDITED = {
    "column": (lambda rows: rows.drop(columns=["ratio", "N"]), "the store has no column 'ratio', 'N'; a sweep into it"),
    "width": (
        lambda rows: rows.assign(N=0),
        r"has a row that is of no cell \(N must be at least 1, got 0; pass a larger N\); mend",
    ),
    "regime": (lambda rows: rows.assign(regime="XX"), r"of no cell \(regime = 'XX' is not known"),
    "activation": (lambda rows: rows.assign(activation="cube"), r"of no cell \(activation = 'cube' is not known"),
    "target": (lambda rows: rows.assign(target="[1.0"), r"of no cell \(target = '\[1.0' is not known"),
    "ratio": (lambda rows: rows.assign(ratio=np.inf), "finished rows whose ratio is not a finite number"),
    "nothing": (lambda rows: rows.assign(ratio=np.nan), "finished rows whose ratio is not a finite number"),
}


@pytest.mark.parametrize(("change", "message"), EDITED.values(), ids=EDITED)
def test_a_store_that_was_edited_is_told(change, message):
    with pytest.raises(ValueError, match=message):
        risk_table.one_figure(change(sweep_table()[:2]))


BAD_TABLES = {
    "list": ([[1, 2]], None, TypeError, "dots must be a DataFrame, got list; pass e.g. the table of run_sweep"),
    "none": (None, None, TypeError, "dots must be a DataFrame, got NoneType"),
    "lines": (lambda: table(), [1.0], TypeError, "lines must be a DataFrame, got list"),
    "columns": (lambda: table().drop(columns=["N", "measured"]), None, KeyError, "dots has no column 'N', 'measured'"),
    "status": (lambda: sweep_table().drop(columns="status"), None, KeyError, "dots has no column 'status'"),
    "nothing": (lambda: table()[:0], None, ValueError, "dots has no rows to draw"),
    "unfinished": (lambda: sweep_table().assign(status="failed")[:1], None, ValueError, "dots has no rows to draw"),
    "NaN": (
        lambda: table().assign(measured=np.nan),
        None,
        ValueError,
        "measured of dots must hold finite numbers, got",
    ),
    "inf": (
        lambda: table().assign(measured=np.inf),
        None,
        ValueError,
        "measured of dots must hold finite numbers, got",
    ),
    "N": (lambda: table().assign(N=0), None, ValueError, "N of dots must hold finite numbers of at least 1, got 0"),
    "text": (lambda: table().assign(measured="a"), None, TypeError, "measured of dots must hold numbers, got dtype"),
}


@pytest.mark.parametrize(("dots", "lines", "error", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_what_cannot_be_drawn_is_told(dots, lines, error, message):
    for draw in (plot_risk_curves, plot_activations):
        with pytest.raises(error, match=message):
            draw(dots() if callable(dots) else dots, lines, 2)


def test_axes_that_are_none():
    with pytest.raises(TypeError, match=r"ax must be Axes or None, got int; pass one of plt\.subplots"):
        plot_risk_curves(table(), None, 2, ax=3)


def test_a_figure_of_too_many_draws():
    with pytest.raises(
        ValueError, match=r"these are 2,000,000,001 cells \(1000000000 draws at 1 widths\), and a sweep may"
    ):
        risk_table.figure_cells(20, [3], 10**9, [100], 1)


def test_a_picture_needs_the_dimension():
    with pytest.raises(TypeError, match="d must be a whole number, got None"):
        plot_risk_curves(table(), None)


def test_cells_of_several_non_linearities():
    cells = risk_table.figure_cells(20, [3], 2, [100], 1, ["relu", "step"])
    assert [(cell["regime"], cell.get("activation"), cell.get("draw")) for cell in cells] == [
        *[(regime, "relu", k) for regime in ("RF", "NT") for k in (0, 1)],
        *[("RF", "step", k) for k in (0, 1)],  # it has no tangent model
        ("NN", "relu", None),
    ]
    streams = [cell_stream(parameters) for parameters in check_cells(cells).values()]
    assert streams[0] == streams[2] == streams[4]


@pytest.mark.parametrize("nn", ["sgd", "flow"])
def test_networks_are_trained_as_asked_for(nn):
    cells = risk_table.figure_cells(20, [3], 1, [100], 1, ["square", "relu"], nn)
    trained = [cell for cell in check_cells(cells).values() if cell["regime"] == "NN"]
    assert [(cell["activation"], cell["second_layer"], cell["nn"]) for cell in trained] == [
        ("square", "ones", nn), ("relu", "free", nn)
    ]  # fmt: skip
    assert {cell["n_samples"] for cell in trained} == {100 if nn == "sgd" else None}
    assert [cell["max_gradients"] for cell in trained] == [None, None if nn == "sgd" else 3000]
    assert risk_table.flow_gradients(4500, 450) < 50 < 500 < risk_table.flow_gradients(900, 450)


def several():
    return pd.concat([table(), table().assign(activation="relu", measured=0.5)])


def test_lines_of_several_non_linearities():
    target = exponential_target(6, rng=1)
    lines = risk_table.predictions(target, [2, 9], ["relu", "step"])
    assert list(lines.groupby(["regime", "activation"], sort=False).groups) == [
        ("RF", "relu"), ("RF", "step"), ("NT", "relu"), ("NN", "relu")
    ]  # fmt: skip
    assert lines.loc[lines["regime"] == "NN", "predicted"].isna().all()
    assert lines["predicted"].dtype == float
    of_odd = risk_table.predictions(target, [2, 9], ["tanh"])
    assert list(of_odd["predicted"]) == [1.0] * 6
    of_relu = lines[(lines["regime"] == "NT") & (lines["N"] == 9)]["predicted"].item()
    assert of_relu == nt_risk_limit(target, 9, "relu", refined=True) / target.null_risk


def test_panels_of_several_non_linearities():
    axes = plot_activations(several(), None, 20)
    assert [ax.get_title() for ax in axes] == ["$\\sigma$ = $x^2$", "$\\sigma$ = ReLU"]
    for ax, heights in zip(axes, ((0.85, 0.2), (0.5, 0.5)), strict=True):
        bars = {bar.lines[0].get_color(): bar.lines[0].get_xydata()[:, 1] for bar in ax.containers}
        np.testing.assert_allclose(bars["#0072B2"], heights[0])
        np.testing.assert_allclose(bars["#111111"], heights[1])
    plt.close(axes[0].figure)
    with pytest.raises(ValueError, match="2 non-linearities, these axes are for one"):
        plot_risk_curves(several(), None, 20)
    found = risk_table.summary(several())
    assert set(zip(found["regime"], found["activation"], strict=True)) == {
        ("RF", "square"), ("RF", "relu"), ("NT", "square"), ("NT", "relu"), ("NN", "square"),
        ("NN", "relu"),
    }  # fmt: skip


def test_panels_below_which_there_is_none_name_their_axis():
    names = ["relu", "gelu", "cos", "erf", "sin"]
    axes = plot_activations(pd.concat([table().assign(activation=name) for name in names]), d=20)
    assert [bool(ax.get_xlabel()) for ax in axes] == [False, False, True, True, True]
    plt.close(axes[0].figure)


def test_widths_within_a_decade_have_short_labels():
    ax = plot_risk_curves(table().query("N >= 10"), d=20)
    ax.figure.canvas.draw()
    assert {"0.5", "2"} <= {label.get_text() for label in ax.xaxis.get_minorticklabels()} <= {"0.2", "0.5", "2", "5"}
