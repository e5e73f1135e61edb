"""``fastlazy figure --from --by --col``, ``--export`` and ``--style``."""

import json
import os

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib import image
from small_sweep import WIDTHS, small_sweep  # noqa: F401  (a fixture)

from fastlazy.cli.main import main


@pytest.fixture(scope="module")
def store(small_sweep):
    return str(small_sweep[0])


def test_ridges_and_targets(store, tmp_path, capsys):
    exported = [tmp_path / "figure.tex", tmp_path / "numbers.json"]
    options = [
        "--by",
        "ridge",
        "--col",
        "target",
        "--activations",
        "square",
        "--widths",
        "2,9",
        "--style",
        "fastlazy.figures.column",
    ]
    options += [word for path in exported for word in ("--export", str(path))]
    assert main(["figure", "--from", store, *options, "--out", str(tmp_path)]) == 0
    assert image.imread(tmp_path / "figure.png").shape[1] == 1020  # 3.4 inches at 300 a inch
    printed = capsys.readouterr().out
    assert "\nridge = 2.0, target = identity\n" in printed
    assert "\ntarget = identity\n" in printed  # of NN, which has no ridge
    dots = pd.read_csv(tmp_path / "results.csv")
    assert {"ridge", "target"} <= {*dots}
    assert len(dots) == 2 * (2 * 2 * 2 * 2 + 2 + 2)
    read = json.loads(exported[1].read_text())
    assert sorted(panel["title"] for panel in read["panels"]) == ["$B=I$", "$B_2$", "eigenvalues iid Exp(1)"]
    own = next(panel["curves"] for panel in read["panels"] if panel["title"] == "$B_2$")
    assert all(len(curve["line"]["N"]) > 2 for curve in own)  # the store has the target
    rf = next(curve for curve in own if curve["regime"] == "RF")
    table = pd.read_csv(tmp_path / "results.csv").query("regime == 'RF' and target.str.startswith('$B_2$')")
    assert rf["dots"]["measured"] == pytest.approx(table["measured"].tolist(), rel=1e-12)
    assert "\\begin{groupplot}" in exported[0].read_text()


def test_the_headline_figure_is_exported_with_its_lines(store, tmp_path, monkeypatch):
    monkeypatch.setattr("fastlazy.cli.figure.save_figure", lambda *_: None)
    options = ["--where", "target=identity", "--where", "ridge=0", "--export", str(tmp_path / "figure.json")]
    assert main(["figure", "--from", store, *options, "--out", str(tmp_path)]) == 0
    (panel,) = json.loads((tmp_path / "figure.json").read_text())["panels"]
    assert [curve["regime"] for curve in panel["curves"]] == ["RF", "NT", "NN"]
    assert all(len(curve["line"]["N"]) > 2 * len(WIDTHS) for curve in panel["curves"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "rige"], "--by = 'rige' is no column of the table; pass one of those, such as"),
        (["--col", "target"], "the table has 2 non-linearities, these axes are for one; pass rows of one, or"),
        (["--by", "N"], "--by = 'N' is drawn along an axis"),
        (["--by", "ridge"], "cells of 3 targets, a figure is of one"),
        (["--style", "nothing"], "style is none of matplotlib's"),
        (["--export", "figure.png"], "cannot export a figure to 'figure.png'; pass a file name that ends in .tex or"),
    ],
)
def test_what_it_refuses(options, message, store, tmp_path, capsys):
    assert main(["figure", "--from", store, *options, "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("fastlazy figure: ")
    assert message in told
    assert not os.listdir(tmp_path)


def test_what_is_told_apart_is_in_a_store(tmp_path, capsys):
    assert main(["figure", "--by", "ridge", "--out", str(tmp_path)]) == 2
    assert "--by and --col are for the cells of a store; pass --from STORE" in capsys.readouterr().err


def test_the_users_settings_are_those_of_commands(store, tmp_path):
    with mpl.rc_context({"figure.figsize": (4.0, 3.0), "savefig.dpi": 50.0}):
        options = ["--where", "target=identity", "--where", "regime=RF"]
        assert main(["figure", "--from", store, *options, "--out", str(tmp_path)]) == 0
    assert image.imread(tmp_path / "figure.png").shape[:2] == (150, 200)
