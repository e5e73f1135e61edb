"""The user's settings and styles, and legends and captions that fit."""

from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from small_sweep import named, small_sweep  # noqa: F401  (a fixture)

import fastlazy
from fastlazy.figures import looks
from fastlazy.sweeps.regimes import NN, NT, REGIMES, RF

COLUMN = "fastlazy.figures.column"


@pytest.fixture(scope="module")
def table(small_sweep):
    return named(small_sweep[1])


@pytest.fixture(scope="module")
def plain(table):
    """Dots of one setting, whose lines take no time."""
    return table.query("target == 'identity' and ridge != 2.0")


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def drawn_with(ax):
    """The line of each regime that has points."""
    lines = [line for line in ax.lines if len(line.get_xdata()) and line.get_marker() in ("None", "none")]
    return {line.get_linestyle(): line for line in lines}


def test_the_users_settings_are_kept(plain):
    settings = {
        "lines.linewidth": 4.0, "lines.markersize": 11.0, "lines.markeredgewidth": 3.0, "errorbar.capsize": 7.0,
        "figure.figsize": (5.0, 3.0), "axes.facecolor": "0.9", "axes.grid": True, "axes.spines.top": True,
        "legend.frameon": True, "font.size": 7.0,
    }  # fmt: skip
    with mpl.rc_context(settings):
        ax = fastlazy.plot_risk_curves(plain, plain)
        assert {name: mpl.rcParams[name] for name in settings} == {**settings, "figure.figsize": [5.0, 3.0]}
    figure = ax.figure
    assert tuple(figure.get_size_inches()) == (5.0, 3.0)
    assert drawn_with(ax)["-"].get_linewidth() == 4.0
    (rf,) = (bar.lines[0] for bar in ax.containers if bar.lines[0].get_marker() == "s")
    assert (rf.get_markersize(), rf.get_markeredgewidth()) == (11.0, 3.0)
    assert rf.get_markerfacecolor() == (0.9, 0.9, 0.9)
    assert ax.spines["top"].get_visible()
    assert figure.legends[0].get_frame_on()
    assert ax.xaxis.label.get_fontsize() == 7.0
    spare = fastlazy.plot_risk_curves(plain, plain)
    assert spare.spines["top"].get_visible()
    assert not spare.xaxis.get_gridlines()[0].get_visible()


def test_a_style_is_for_one_figure(plain):
    before = mpl.rcParams.copy()
    one = fastlazy.plot_risk_curves(
        plain,
        plain,
        style=[COLUMN, {"lines.linewidth": 3.0, "NN": {"color": "tab:red", "ls": "--"}}, {"NT": {"lw": 9}}],
    )
    assert mpl.rcParams == before
    assert one.figure.get_figwidth() == 3.4
    lines = [line for line in one.lines if line.get_marker() in ("None", "none")]
    assert [(line.get_color(), line.get_linestyle(), line.get_linewidth()) for line in lines] == [
        (RF.style["color"], "-", 3.0), (NT.style["color"], "--", 9), ("tab:red", "--", pytest.approx(3.0 * NN.weight)),
    ]  # fmt: skip
    handle = one.figure.legends[0].get_lines()[-1]
    assert (handle.get_color(), handle.get_linestyle()) == ("tab:red", "--")


def test_a_colour_for_each_regime(plain):
    ax = fastlazy.plot_risk_curves(plain, plain)
    assert {line.get_color() for line in drawn_with(ax).values()} == {row.style["color"] for row in REGIMES.values()}


def test_nt_is_seen_around_nn(plain):
    """Both are zero for N >= d, where the curves lie on each other."""
    ax = fastlazy.plot_risk_curves(plain, plain)
    lines, dots = drawn_with(ax), {bar.lines[0].get_marker(): bar.lines[0] for bar in ax.containers}
    nt, nn = (lines[row.style["linestyle"]] for row in (NT, NN))
    assert nt.get_linewidth() > 1.5 * nn.get_linewidth()
    assert dots["^"].get_markersize() > 1.5 * dots["o"].get_markersize()
    assert nn.get_zorder() > nt.get_zorder()
    assert dots["o"].get_zorder() > dots["^"].get_zorder()
    ax.figure.canvas.draw()
    x, y = ax.transData.transform((4.0, 0.0))  # the last dots of both
    pixels = np.asarray(ax.figure.canvas.buffer_rgba())[..., :3].astype(int)
    near = pixels[int(len(pixels) - y) - 9 : int(len(pixels) - y) + 10, int(x) - 9 : int(x) + 10].reshape(-1, 3)
    for row in (NT, NN):
        color = 255 * np.array(mpl.colors.to_rgb(row.style["color"]))
        assert (abs(near - color).max(axis=1) < 30).sum() > 5


def test_what_lies_on_a_dark_background_is_seen(plain):
    with plt.style.context("dark_background"):
        ax = fastlazy.plot_risk_curves(plain, plain)
    assert drawn_with(ax)["-."].get_color() == "white"
    assert drawn_with(ax)["-"].get_color() == RF.style["color"]


def test_shades_are_from_the_regimes_colour_towards_the_background(table):
    ax = fastlazy.plot_risk_curves(table.query("target == 'identity'"), table, by="ridge")
    rf = [mpl.colors.to_rgb(line.get_color()) for line in ax.lines if line.get_linestyle() == "-"]
    first, last = (np.array(color) for color in rf)
    np.testing.assert_allclose(first, mpl.colors.to_rgb(RF.style["color"]))
    assert np.all(last > first + 0.1)


TWO = {"by": "ridge", "col": "target"}


@pytest.mark.parametrize(("width", "options"), [(3.4, {}), (3.4, TWO), (7.0, TWO)])
def test_legend_and_caption_fit(width, options, table):
    rows = table if "col" in options else table.query("target == 'identity'")
    rows = rows if options else rows.query("ridge != 2.0")
    drawn = fastlazy.plot_risk_curves(rows, rows, style=[COLUMN, {"figure.figsize": (width, 2.8)}], **options)
    axes = drawn if isinstance(drawn, list) else [drawn]
    figure = axes[0].figure
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    caption = figure._supxlabel.get_window_extent()
    for box in (legend, caption):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    boxes = [ax.get_tightbbox() for ax in axes]
    assert all(caption.y1 <= box.y0 + 1 and box.y1 <= legend.y0 + 1 for box in boxes)
    assert all(left.x1 <= right.x0 + 1 for left, right in pairwise(boxes))
    text = figure._supxlabel.get_text()
    assert text.replace("\n", " ").startswith("d = 6, N = 2 to 24, $\\sigma$ = $x^2$")
    heights = [ax.get_window_extent().height for ax in axes]
    assert min(heights) > 0.25 * figure.bbox.height


def test_given_axes_are_the_users(table, plain):
    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    assert fastlazy.plot_risk_curves(plain, plain, ax=left) is left
    assert not figure.legends
    assert figure._supxlabel is None
    assert len(left.get_legend().get_texts()) == 3
    assert fastlazy.plot_risk_curves(plain, plain, ax=right, legend=False, caption="mine") is right
    assert right.get_legend() is None
    assert figure._supxlabel.get_text() == "mine"
    parts = plt.figure(layout="constrained").subfigures(2, 1)
    drawn = fastlazy.plot_risk_curves(table, table, by="ridge", col="target", ax=parts[1].subplots(1, 2), caption=True)
    assert [ax.get_title() for ax in drawn] == [ax.get_title() for ax in parts[1].axes]
    assert parts[1]._supxlabel.get_text().startswith("d = 6")
    assert parts[0]._supxlabel is None


def test_axes_that_have_dots_already_keep_them_in_sight(plain):
    _, ax = plt.subplots()
    fastlazy.plot_risk_curves(plain.assign(ratio=plain["ratio"] + 2.5), plain, ax=ax)
    fastlazy.plot_risk_curves(plain, plain, ax=ax)
    assert ax.get_ylim()[1] > 3


@pytest.mark.parametrize(
    ("legend", "place"), [("upper right", 1), ({"loc": "lower left", "ncols": 2}, 3), ("outside right center", None)]
)
def test_places_of_the_legend(legend, place, plain):
    ax = fastlazy.plot_risk_curves(plain, plain, legend=legend)
    if place is None:
        assert ax.get_legend() is None
        assert len(ax.figure.legends) == 1
    else:
        assert ax.get_legend()._loc == place
        assert not ax.figure.legends


def test_no_legend_and_no_caption(plain):
    ax = fastlazy.plot_risk_curves(plain, plain, legend=None, caption=False)
    assert not ax.figure.legends
    assert ax.figure._supxlabel is None


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"style": "nothing"}, ValueError, "style is none of matplotlib's .*nothing.*plt.style.available"),
        ({"style": {"lines.nothing": 3}}, ValueError, "style is none of matplotlib's .*lines.nothing"),
        ({"style": 3}, TypeError, "style must be a style of matplotlib, got 3; pass e.g. 'fastlazy.figures.column'"),
        ({"style": {"NN": {"colour": "red"}}}, ValueError, "style has {'colour': 'red'} for NN, which no line"),
        ({"style": {"NN": 3}}, ValueError, "style has 3 for NN, which no line of matplotlib has"),
        ({"legend": 3}, TypeError, "legend must be True, False, a place or a mapping, got 3"),
        ({"legend": "nowhere"}, ValueError, "legend = 'nowhere' is none of matplotlib's"),
        ({"legend": {"nothing": 3}}, ValueError, "legend = {'nothing': 3} is none of matplotlib's"),
        ({"caption": 3}, TypeError, "caption must be True or False, got 3"),
        ({"objects": [3]}, TypeError, "objects must be a mapping, got list; pass e.g. load_targets"),
        ({"ax": 3, "col": "regime"}, TypeError, "ax must be a sequence of Axes, one for each value of col, got int"),
        ({"ax": [], "col": "regime"}, ValueError, "ax has 0 Axes, and col has 3 values"),
    ],
)
def test_what_cannot_be_drawn_so(options, error, message, plain):
    with pytest.raises(error, match=message):
        fastlazy.plot_risk_curves(plain, plain, **options)


def test_commands_set_what_the_user_has_left_open():
    with mpl.rc_context({"font.size": 21.0, "axes.grid": False}):
        settings = looks.unset(looks.WIDE)
        assert "font.size" not in settings
        assert settings["legend.frameon"] is False
        with looks.drawing(settings):
            assert mpl.rcParams["font.size"] == 21.0
            assert mpl.rcParams["axes.grid"] is True


def test_four_panels_are_two_by_two():
    rows = pd.DataFrame({"regime": "RF", "N": [2, 4] * 4, "measured": 0.5, "ridge": np.repeat([0.0, 1.0, 2.0, 3.0], 2)})
    axes = fastlazy.plot_risk_curves(rows, d=2, col="ridge")
    assert [ax.get_subplotspec().rowspan.start for ax in axes] == [0, 0, 1, 1]
    narrow = fastlazy.plot_risk_curves(rows.query("ridge < 3"), d=2, col="ridge", style={"figure.figsize": (3.4, 2.6)})
    assert [ax.get_subplotspec().colspan.start for ax in narrow] == [0, 1, 0]
    assert narrow[0].figure.get_size_inches().tolist() == [3.4, 5.2]
    assert narrow[2].get_xlabel() == "N / d"
