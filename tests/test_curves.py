"""The cells of a figure, their measurement, and the picture."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from fastlazy import curves
from fastlazy.figures import plot_risk_curves
from fastlazy.sgd import fit_nn
from fastlazy.targets import exponential_target

matplotlib.use("Agg")  # no screen is needed

# As printed by the authors' scripts at d = 450.
AUTHORS = [30, 37, 45]


def test_widths_at_the_published_dimension():
    widths = curves.authors_widths(450)
    assert widths[:3] == AUTHORS
    assert (widths[-1], len(widths)) == (4767, 25)
    widths = curves.geometric_widths(450, 13)
    assert (widths[0], widths[-1], len(widths)) == (30, 4500, 13)
    ratios = np.divide(widths[1:], widths[:-1])
    np.testing.assert_allclose(ratios, 150 ** (1 / 12), rtol=0.03)


@pytest.mark.parametrize("d", [1, 3, 20])
def test_widths_in_small_dimensions_are_distinct(d):
    for widths in (curves.authors_widths(d), curves.geometric_widths(d, 13)):
        assert widths[0] >= 1
        assert np.all(np.diff(widths) > 0)


def test_cells():
    cells = curves.figure_cells([3, 8], 2, [100, 200], seed=1)
    assert [cell[:4] for cell in cells] == [
        *[(regime, 3, k, 0) for regime in ("RF", "NT") for k in (0, 1)],
        ("NN", 3, 0, 100),
        *[(regime, 8, k, 0) for regime in ("RF", "NT") for k in (0, 1)],
        ("NN", 8, 0, 200),
    ]
    assert [cell.seed for cell in cells[:2]] == [cell.seed for cell in cells[2:4]]
    assert len({cell.seed for cell in cells}) == 6
    # A cell's seed depends on its parameters alone.
    assert curves.figure_cells([8], 1, [200], seed=1)[0].seed == cells[5].seed
    assert curves.figure_cells([8], 1, [200], seed=2)[0].seed != cells[5].seed
    with pytest.raises(ValueError, match="zip"):
        curves.figure_cells([3, 8], 2, [100], seed=1)


def test_dots_do_not_depend_on_the_number_of_workers():
    target = exponential_target(12, rng=0)
    cells = curves.figure_cells([2, 5, 20], 2, [500, 500, 500], seed=3)
    runs = []
    for workers in (1, 3):
        dots = sorted(curves.measure(target, cells, workers=workers))
        assert len(dots) == len(cells)
        runs.append([dot._replace(seconds=0.0) for dot in dots])
    assert runs[0] == runs[1]


def test_closing_cuts_the_measurement_short(monkeypatch):
    fits = []

    def recorded_fit(*arguments, **options):
        fits.append(fit_nn(*arguments, **options))
        return fits[-1]

    monkeypatch.setattr(curves, "fit_nn", recorded_fit)
    target = exponential_target(12, rng=0)
    cells = curves.figure_cells([2], 30, [5 * 10**7], seed=3)[30:]
    dots = curves.measure(target, cells, workers=2)
    assert next(dots).regime == "NT"
    dots.close()
    assert list(dots) == []
    assert [fit.status for fit in fits] == ["stopped"]


def table():
    rows = [("RF", N, k, 0.9 - 0.1 * k, 0.85) for N in (2, 10, 40) for k in (0, 1)]
    rows += [("NN", 10, 0, 0.2, 0.1), ("NT", 2, 0, 0.7, 0.75)]
    return pd.DataFrame(rows, columns=["regime", "N", "draw", "measured", "predicted"])


def test_summary():
    found = curves.summary(table())
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
    lines = curves.predictions(exponential_target(6, rng=1), [1, 3, 6, 30])
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
    assert [text.get_text()[:2] for text in figure.legends[0].get_texts()] == ["RF", "NT", "NN"]
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
