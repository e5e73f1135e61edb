"""Which rows are which curve in which panel, and lines that are smooth."""

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from small_sweep import BENT, WIDTHS, B, named, small_sweep  # noqa: F401  (a fixture)

import fastlazy
from fastlazy.figures.curve_groups import curves_of, refined
from fastlazy.sweeps.regimes import NN, RF


@pytest.fixture(scope="module")
def table(small_sweep):
    return small_sweep[1]


def test_shades_and_panels(table):
    found = curves_of(named(table), named(table), by="ridge", col="target")
    assert sorted(found.panels) == ["$B=I$", "eigenvalues iid Exp(1)"]
    assert found.names == ["ridge 0", "ridge 2"]
    kinds = [(curve.panel, curve.place, curve.regime.name) for curve in found.curves]
    expected = [(p, *rest) for p in (0, 1) for rest in ((None, "NN"), (0, "RF"), (0, "NT"), (1, "RF"), (1, "NT"))]
    assert kinds == expected  # NN, which has no ridge, once in each panel
    for curve in found.curves:
        assert list(curve.line["N"]) == WIDTHS
        target = "identity" if found.panels[curve.panel] == "$B=I$" else "exponential"
        own = table[(table["target"] == target) & (table["regime"] == curve.regime.name)]
        if curve.place is not None:
            own = own[own["ridge"] == 2.0 * curve.place]
        np.testing.assert_array_equal(curve.dots["N"], WIDTHS)
        means = [own.loc[own["N"] == N, "ratio"].mean() for N in WIDTHS]
        np.testing.assert_allclose(curve.dots["measured"], means, rtol=1e-12)
        draws = 1 if curve.regime is NN else 2
        assert set(curve.dots["draws"]) == {draws}
        spread = [0.0 if draws == 1 else own.loc[own["N"] == N, "ratio"].std() for N in WIDTHS]
        np.testing.assert_allclose(curve.dots["spread"], spread, rtol=1e-12)


def test_lines_are_predictions_between_the_dots_too(table):
    found = curves_of(named(table).query("target == 'exponential'"), by="ridge")
    target = fastlazy.exponential_target(6, rng=0)
    between = 0
    for curve in found.curves:
        limits = {"RF": fastlazy.rf_risk_limit, "NT": fastlazy.nt_risk_limit}
        assert set(WIDTHS) <= set(curve.line["N"])
        for N, predicted in curve.line.itertuples(index=False):
            if curve.regime is NN:
                expected = fastlazy.nn_risk_limit(target, N)
            else:
                expected = limits[curve.regime.name](target, N, refined=True, ridge=2.0 * curve.place)
            assert predicted == pytest.approx(expected / target.null_risk, rel=1e-12, abs=1e-14)
            between += N not in WIDTHS
    assert between > 10


def test_the_users_objects_have_smooth_lines_where_they_are_given(small_sweep):
    path, table = small_sweep
    own = table[table["target"].str.contains("#")]
    target = fastlazy.QuadraticTarget(B, -np.trace(B))
    straight = curves_of(own, by="activation")
    assert sorted(straight.names) == ["$\\sigma$ = $x^2$", "$\\sigma$ = bent"]
    assert all(list(curve.line["N"]) == WIDTHS for curve in straight.curves)
    square = own[own["activation"] == "square"]
    for rows, objects in ((own, {"$B_2$": B, "bent": BENT}), (square, fastlazy.load_targets(path))):
        smooth = curves_of(rows, by="activation", objects=objects)
        for curve in smooth.curves:
            is_bent = smooth.names[curve.place].endswith("bent")
            limit = fastlazy.rf_risk_limit if curve.regime is RF else fastlazy.nt_risk_limit
            assert len(curve.line) > len(WIDTHS)
            N, predicted = curve.line.iloc[1]
            expected = limit(target, int(N), BENT if is_bent else "square", refined=True)
            assert predicted == pytest.approx(expected / target.null_risk, rel=1e-9)
    with pytest.raises(ValueError, match=r"objects has another target as '\$B_2\$' than the table, .*load_targets"):
        curves_of(own, by="activation", objects={"$B_2$": 2 * B})
    with pytest.raises(ValueError, match="objects has another activation as 'bent'"):
        curves_of(own, by="activation", objects={"$B_2$": B, "bent": "relu"})


def test_rows_whose_columns_are_left_out_have_lines_through_their_predictions(table):
    some = named(table).query("target == 'exponential' and ridge == 2.0").drop(columns=["ridge", "target_seed"])
    for curve in curves_of(some).curves:
        assert list(curve.line["N"]) == WIDTHS  # with the default ridge, 0, the line would be another


def test_each_draw_can_be_a_curve(table):
    rf = named(table).query("regime == 'RF' and ridge == 0 and target == 'identity'")
    found = curves_of(rf, rf, by="draw")
    assert found.names == ["draw 0", "draw 1"]
    assert all(list(curve.dots["draws"]) == [1] * 4 for curve in found.curves)


def test_dimensions_can_be_told_apart():
    dots = pd.DataFrame({"regime": "RF", "N": [2, 4, 2, 4], "measured": [0.9, 0.5, 0.8, 0.4], "d": [2, 2, 4, 4]})
    for option in ("by", "col"):
        found = curves_of(dots, **{option: "d"})
        assert [curve.d for curve in found.curves] == [2, 4]
        assert [*found.names, *found.panels] == (["d = 2", "d = 4", ""] if option == "by" else ["d = 2", "d = 4"])
    with pytest.raises(ValueError, match=r"of 2 dimensions d, a figure is of one; .* by='d' or col='d'"):
        curves_of(dots)


def test_values_come_in_order_of_numbers_or_categories(table):
    rows = named(table).query("regime == 'RF' and ridge == 0 and d == 6")
    backwards = rows.assign(target=pd.Categorical(rows["target"], ["identity", "exponential", "unused"]))
    assert curves_of(backwards, rows, by="target").names == ["$B=I$", "eigenvalues iid Exp(1)"]
    several = pd.concat([rows.assign(mine=value) for value in (10.0, 0.5, np.nan)])
    assert curves_of(several.query("target == 'identity'"), rows, by="mine").names == ["mine 0.5", "mine 10", "no mine"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"by": "rige"}, ValueError, "by = 'rige' is no column of the table; pass one of those, such as "),
        ({"by": 3}, TypeError, "by must be the name of a column, got 3; pass e.g. by='ridge'"),
        ({"by": "N"}, ValueError, "by = 'N' is drawn along an axis; pass a column that tells cells apart"),
        ({"by": "regime"}, ValueError, "by = 'regime' has its colours"),
        ({"by": "ridge", "col": "ridge"}, ValueError, "by and col are both 'ridge'"),
        ({"by": "id", "col": "ridge"}, ValueError, "by = 'id' has 24 values, and a figure can show 12"),
        ({}, ValueError, r"different target \(.*pass by='target' or col='target'"),
        (
            {"by": "target"},
            ValueError,
            r"different ridge \(0.0, 2.0\).*; drop the rows of all but one ridge, or pass by",
        ),
    ],
)
def test_what_cannot_be_told_apart(options, error, message, table):
    rows = named(table).query("draw == 0 and regime != 'NN'")
    lines = rows[:1]
    rows = rows if options.get("by") != "id" else rows[:24]
    with pytest.raises(error, match=message):
        curves_of(rows, lines, **options)


def test_a_key_that_no_row_has(table):
    with pytest.raises(ValueError, match="by = 'ridge' has no value in any row of the table; pass another column"):
        curves_of(named(table).query("regime == 'NN'"), by="ridge")


def test_a_line_has_points_where_it_bends():
    def straight(N):
        return 1 - 0.1 * math.log(N)

    ends = {1: straight(1), 10_000: straight(10_000)}
    points = list(refined(straight, ends, 80))
    assert len(points) < 35  # no more than are needed to see that it is straight
    assert max(high / low for low, high in itertools.pairwise(points)) < 2.1

    def bent(N):
        return 1 / (1 + (N / 100) ** 2)

    points = refined(bent, {1: bent(1), 10_000: bent(10_000)}, 80)
    assert list(points) == sorted(points)
    grid = np.geomspace(1, 10_000, 500).round()
    off = np.interp(np.log(grid), np.log(list(points)), list(points.values())) - bent(grid)
    assert 10 < len(points) < 80
    assert abs(off).max() < 0.01

    def peak(N):
        return math.nan if N == 100 else abs(N - 100.0) ** -0.5

    points = refined(peak, {N: peak(N) for N in (10, 100, 1000)}, 40)
    assert len(points) == 40
    assert np.isnan(points[100])


def test_given_lines_are_told_apart_too(table):
    dots = named(table).query("regime == 'RF' and target == 'identity' and draw == 0")
    lines = pd.DataFrame({"regime": "RF", "N": [2, 3, 2, 3], "predicted": [0.9, 0.8, 0.7, 0.6], "ridge": [0, 0, 2, 2]})
    found = curves_of(dots, lines, by="ridge")
    assert [list(curve.line["predicted"]) for curve in found.curves] == [[0.9, 0.8], [0.7, 0.6]]
    ax = fastlazy.plot_risk_curves(dots, lines, by="ridge")
    drawn = [line for line in ax.lines if line.get_linestyle() == "-"]
    assert [list(line.get_ydata()) for line in drawn] == [[0.9, 0.8], [0.7, 0.6]]
    plt.close(ax.figure)


def test_text_that_says_what_converged_is_refused():
    dots = pd.DataFrame({"regime": "NN", "N": [3, 30], "measured": [0.9, 0.6], "converged": ["True", "False"]})
    with pytest.raises(TypeError, match="the column converged of dots must hold True, False or nothing"):
        curves_of(dots, None, 10)
