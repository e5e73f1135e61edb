"""Figures as LaTeX and as JSON."""

import json
import math
import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from small_sweep import WIDTHS, named, small_sweep  # noqa: F401  (a fixture)

from fastlazy.figures.curve_groups import curves_of
from fastlazy.figures.exports import as_json, as_tex, export_curves, tex_label
from fastlazy.sweeps.regimes import REGIMES


@pytest.fixture(scope="module")
def curves(small_sweep):
    table = named(small_sweep[1])
    return curves_of(table, table, by="ridge", col="target")


def test_numbers_come_back_to_the_bit(curves, tmp_path):
    export_curves(curves, tmp_path / "figure.json")
    read = json.loads((tmp_path / "figure.json").read_text())
    assert read["caption"] == curves.caption
    assert [panel["title"] for panel in read["panels"]] == curves.panels
    found = [one for panel in read["panels"] for one in panel["curves"]]
    for one, curve in zip(found, curves.curves, strict=True):
        assert (one["regime"], one["d"]) == (curve.regime.name, 6)
        assert one["by"] == (None if curve.place is None else curves.names[curve.place])
        pd.testing.assert_frame_equal(pd.DataFrame(one["dots"]), curve.dots, check_dtype=False, check_exact=True)
        pd.testing.assert_frame_equal(pd.DataFrame(one["line"]), curve.line, check_dtype=False, check_exact=True)


def plots(text):
    """The plots of a picture in pgfplots: options, and rows of numbers."""
    found = re.findall(r"\\addplot\[(.*)\] table(?:\[.*\])? \{%\n([^}]*)\};", text)
    return [(options, [tuple(map(float, row.split())) for row in rows.splitlines()]) for options, rows in found]


def test_a_picture_in_latex(curves, tmp_path):
    export_curves(curves, tmp_path / "figure.tex")
    text = (tmp_path / "figure.tex").read_text()
    head = [line for line in text.splitlines() if line.startswith("%")]
    assert head[1] == f"% {curves.caption}"
    assert text.count("\\nextgroupplot") == 2
    assert text.count("{") == text.count("}")
    for environment in re.findall(r"\\begin\{(\w+)\}", text):
        assert f"\\end{{{environment}}}" in text
    legend = re.findall(r"\\addlegendentry\{(.*)\}", text)
    assert legend == [*(regime.label for regime in REGIMES.values()), "ridge 0", "ridge 2"]
    drawn = plots(text)
    assert len(drawn) == 2 * len(curves.curves)
    red, green, blue = mpl.colors.to_rgb(REGIMES["RF"].style["color"])
    rf = f"color={{rgb,1:red,{red:.3f};green,{green:.3f};blue,{blue:.3f}}}"
    curve = next(c for c in curves.curves if c.regime.name == "RF" and c.place == 0 and c.panel == 0)
    (dots,) = (rows for options, rows in drawn[: len(drawn) // 2] if rf in options and "only marks" in options)
    expected = np.array([np.array(WIDTHS) / 6, curve.dots["measured"], curve.dots["spread"]]).T
    np.testing.assert_allclose(dots, expected, rtol=1e-6)


def test_what_has_not_converged_and_what_is_infinite():
    rows = pd.DataFrame({"regime": "NN", "N": [2, 4, 8], "measured": [9.0, 0.5, 0.2], "converged": [True, False, True]})
    lines = pd.DataFrame({"regime": "NN", "N": [2, 4, 8], "predicted": [0.9, math.nan, 0.1]})
    found = curves_of(rows, lines, 2)
    text = as_tex(found)
    assert "\\begin{axis}" in text
    assert "ymode=log" in text
    line, dots, crosses = plots(text)
    assert [row[0] for row in line[1]] == [1.0, 2.0, 4.0]
    assert math.isnan(line[1][1][1])
    assert "unbounded coords=jump" in text
    assert ("mark=*" in dots[0], [row[0] for row in dots[1]]) == (True, [1.0, 4.0])
    assert ("mark=x" in crosses[0], [row[0] for row in crosses[1]]) == (True, [2.0])
    (curve,) = as_json(found)["panels"][0]["curves"]
    assert curve["line"]["predicted"] == [0.9, None, 0.1]
    assert curve["dots"]["converged"] == [True, False, True]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("$\\sigma$ = $x^2$", "$\\sigma$ = $x^2$"),
        ("my_target, 5% of #3", "my\\_target, 5\\% of \\#3"),
        ("costs 5\\$ and $a_b$", "costs 5\\$ and $a_b$"),
    ],
)
def test_labels(label, expected):
    assert tex_label(label) == expected


def test_what_it_refuses(curves, tmp_path):
    for name in ("figure.csv", "figure", "tex"):
        with pytest.raises(ValueError, match=r"cannot export a figure to .* that ends in \.tex or \.json"):
            export_curves(curves, tmp_path / name)
    with pytest.raises(OSError, match="none"):
        export_curves(curves, tmp_path / "none" / "figure.tex")
