"""``fastlazy figure --n-samples``: dots that are fits, lines that are predictions at this n and ridge."""

import pandas as pd
import pytest
from small_figure import _small  # noqa: F401  # a fixture that all tests use

import fastlazy
from fastlazy.cli.main import main
from fastlazy.figures import risk_table, stored_cells
from fastlazy.sweeps.driver import load_sweep

SMALL = ["figure", "--d", "12", "--widths", "3,12,30", "--draws", "2", "--n-samples", "60"]


@pytest.mark.parametrize("ridge", [None, "0.05", "best"])
def test_dots_and_lines(ridge, tmp_path, capsys, monkeypatch):
    drawn = {}
    lines_of = risk_table.figure_lines
    monkeypatch.setattr(risk_table, "figure_lines", lambda *args: drawn.setdefault("lines", lines_of(*args)))
    assert main([*SMALL, *([] if ridge is None else ["--ridge", ridge]), "--out", str(tmp_path)]) == 0
    table = load_sweep(tmp_path / "figure.sqlite")
    assert set(table["n_samples"]) == {60}
    target = fastlazy.exponential_target(12, rng=0)
    limits = {"RF": fastlazy.rf_risk_limit, "NT": fastlazy.nt_risk_limit}
    for row in table[table["regime"] != "NN"].itertuples():
        best = limits[row.regime](target, row.N, n_samples=60, ridge="best").ridge
        assert row.ridge == pytest.approx(best if ridge == "best" else float(ridge or 0), rel=1e-6)
        W = fastlazy.draw_weights(row.N, 12, rng=row.stream)
        assert row.risk > {"RF": fastlazy.rf_risk, "NT": fastlazy.nt_risk}[row.regime](target, W) * (1 - 1e-9)
    lines = drawn["lines"]
    assert set(lines["regime"]) == {"RF", "NT"}
    at = lines[(lines["regime"] == "RF") & (lines["N"] == 30)]["predicted"].item()
    expected = limits["RF"](target, 30, n_samples=60, ridge=ridge if ridge == "best" else float(ridge or 0))
    assert at == pytest.approx((expected.risk if ridge == "best" else expected) / target.null_risk, rel=1e-9)
    printed = capsys.readouterr().out
    trained = [line.split() for line in printed.splitlines() if line.startswith("NN")]
    assert all(len(words) == 4 for words in trained)  # NN is measured, and has no prediction at finite n
    written = pd.read_csv(tmp_path / "results.csv")
    assert written.loc[written["regime"] == "NN", "predicted"].isna().all()


def test_a_store_is_drawn_with_lines_of_its_own_fits(tmp_path, monkeypatch):
    assert main([*SMALL, "--ridge", "0.05", "--out", str(tmp_path)]) == 0
    drawn = {}
    lines_of = risk_table.figure_lines
    monkeypatch.setattr(risk_table, "figure_lines", lambda *args: drawn.setdefault("lines", lines_of(*args)))
    store = str(tmp_path / "figure.sqlite")
    again = ["figure", "--from", store, "--n-samples", "60", "--ridge", "0.05", "--out", str(tmp_path / "again")]
    assert main(again) == 0
    target = fastlazy.exponential_target(12, rng=0)
    at = drawn["lines"].query("regime == 'NT' and N == 12")["predicted"].item()
    assert at == pytest.approx(fastlazy.nt_risk_limit(target, 12, n_samples=60, ridge=0.05) / target.null_risk)
    first, second = (pd.read_csv(folder / "results.csv") for folder in (tmp_path, tmp_path / "again"))
    pd.testing.assert_frame_equal(first, second)


def test_ridges_that_differ_by_width_have_lines_through_their_dots(tmp_path):
    assert main([*SMALL, "--ridge", "best", "--out", str(tmp_path)]) == 0
    table = load_sweep(tmp_path / "figure.sqlite")
    fitted = risk_table.fitted_of(table)
    assert fitted == (60.0, "each")
    dots = risk_table.figure_dots(table)
    lines = risk_table.figure_lines(stored_cells.figure_target(table), dots, fitted)
    assert len(lines) == 9
    assert set(lines["N"]) == {3, 12, 30}


def test_a_ridge_of_the_population_has_lines_of_its_own(tmp_path):
    cells = fastlazy.grid(regime=["RF", "NT"], d=8, N=[3, 9], ridge=0.2)
    table = fastlazy.run_sweep(cells, tmp_path / "cells.sqlite")
    fitted = risk_table.fitted_of(table)
    assert fitted == (None, 0.2)
    lines = risk_table.figure_lines(stored_cells.figure_target(table), risk_table.figure_dots(table), fitted)
    target = fastlazy.exponential_target(8, rng=0)
    at = lines.query("regime == 'RF' and N == 9")["predicted"].item()
    assert at == pytest.approx(fastlazy.rf_risk_limit(target, 9, ridge=0.2) / target.null_risk)
    assert "NN" in set(lines["regime"])
    drawing = ["figure", "--from", str(tmp_path / "cells.sqlite"), "--where", "ridge=0.2", "--out", str(tmp_path)]
    assert main(drawing) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ridge", "0.1"], "--ridge is for fits to samples; pass --n-samples"),
        (["--n-samples", "50", "--nn", "flow"], "--nn flow trains on the population"),
        (["--n-samples", "50", "--ridge", "-1"], "--ridge must be a number of at least 0, or 'best', got '-1'"),
        (["--n-samples", "50", "--ridge", "best", "--from", "store.sqlite"], "--ridge best is for dots to measure"),
        (["--n-samples", "0"], "--n-samples must be at least 1"),
    ],
)
def test_what_it_refuses(arguments, message, tmp_path, capsys):
    assert main(["figure", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
