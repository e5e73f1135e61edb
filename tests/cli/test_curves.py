"""``fastlazy curves``: what it writes and prints, how it goes on, and what it refuses."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

import fastlazy
from fastlazy.cli.main import main
from fastlazy.figures import curve_runs
from fastlazy.sweeps import driver
from fastlazy.sweeps.engines import open_engine

SMALL = ["curves", "--d", "6", "--N", "4", "--sizes", "10,60,400", "--ridges", "0,best", "--draws", "3"]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(curve_runs, "_FINE", 12)
    monkeypatch.setattr(
        driver, "open_engine", lambda executor, n_workers: open_engine(ThreadPoolExecutor(2), n_workers)
    )


def test_it_writes_prints_and_goes_on(tmp_path, capsys):
    out = tmp_path / "curves"
    assert main([*SMALL, "--out", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert {path.name for path in out.iterdir()} >= {"curves.png", "curves.pdf", "curves.csv", "lines.csv"}
    dots, lines = pd.read_csv(out / "curves.csv"), pd.read_csv(out / "lines.csv")
    assert len(dots) == 2 * 2 * 3 + 3
    assert len(lines) == 2 * 2 * 12
    assert printed[0] == "learning curves of relu, d = 6, N = 4; risks over the null risk"
    assert printed[1].split() == ["ridge", "n", "measured", "+-", "predicted", "ratio"]
    target = fastlazy.exponential_target(6, rng=0)
    row = dots[(dots["regime"] == "NT") & (dots["n_samples"] == 400) & (dots["penalty"] == "0")].iloc[0]
    expected = fastlazy.nt_risk_limit(target, 4, "relu", n_samples=400) / target.null_risk
    assert row["predicted"] == pytest.approx(expected)
    written = next(line.split() for line in printed if line.startswith("NT") and line.split()[2] == "400")
    assert written[3:] == [
        f"{row['measured']:.4f}", f"{row['error']:.4f}", f"{expected:.4f}", f"{row['measured'] / expected:.3f}"
    ]  # fmt: skip
    best = dots[dots["penalty"] == "best"].dropna(subset="predicted")
    assert all(f"{ridge:.3g}*" in "\n".join(printed) for ridge in best["ridge"])
    assert printed[-2] == "15 dots" or printed[-1].startswith("15 dots in ")
    before = (out / "curves.csv").read_bytes()
    assert main([*SMALL, "--out", str(out)]) == 0  # from the store
    assert (out / "curves.csv").read_bytes() == before


def test_one_draw_of_x2(tmp_path, capsys):
    arguments = ["curves", "--d", "4", "--activation", "square", "--sizes", "5,50", "--draws", "1", "--ridges", "0.1"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    dots = pd.read_csv(tmp_path / "curves.csv")
    assert dots["error"].isna().all()
    assert np.isfinite(dots["measured"]).all()
    assert dots.loc[dots["regime"] == "NN", "predicted"].tolist() == [0.0, 0.0]  # the infimum at N = 6 > d
    assert "N = 6" in capsys.readouterr().out  # 1.5 d


def test_a_sigma_that_learns_nothing_is_best_not_fitted(tmp_path, capsys):
    arguments = ["curves", "--d", "4", "--activation", "tanh", "--sizes", "9", "--draws", "1", "--ridges", "best"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count(" inf*") == 2  # of RF and NT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ridges", "0,-1"], "--ridges must be a number of at least 0, or 'best', got '-1'"),
        (["--ridges", ","], "--ridges must be penalties separated by commas"),
        (["--ridges", "worst"], "got 'worst'"),
        (["--sizes", "5,a"], "--sizes must be whole numbers"),
        (["--sizes", "0"], "--sizes must be numbers of at least 1"),
        (["--N", "0"], "--N must be at least 1"),
        (["--d", "1"], "--d must be at least 2"),
        (["--draws", "0"], "--draws must be at least 1"),
        (["--activation", "nonsense"], "--activation = 'nonsense' is not known"),
    ],
)
def test_what_it_refuses(arguments, message, tmp_path, capsys):
    assert main(["curves", *arguments, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("fastlazy curves: ")
    assert message in printed
    assert not (tmp_path / "out").exists()
