"""The command: real runs at small size, what they leave on disk, and what they say when they cannot run."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import image
from numpy.testing import assert_array_equal
from small_figure import COLUMNS, SMALL, _small, read, run_small, small_run  # noqa: F401

import fastlazy
from fastlazy.cli import info
from fastlazy.cli.main import main
from fastlazy.figures import risk_table
from fastlazy.risk import limits
from fastlazy.risk.nt import nt_risk
from fastlazy.risk.rf import rf_risk
from fastlazy.sweeps import driver
from fastlazy.targets.library import exponential_target
from fastlazy.targets.weights import draw_weights
from fastlazy.training import flow
from fastlazy.training.fit_nn import fit_nn

ROOT = Path(__file__).resolve().parents[2]

FILES = ["figure.pdf", "figure.png", "figure.sqlite", "results.csv"]


def test_results_have_one_row_per_dot(small_run):
    out, dots = small_run
    assert list(dots.columns) == COLUMNS
    expected = [("NN", N, 0) for N in (3, 20, 41)]
    expected += [(regime, N, draw) for regime in ("NT", "RF") for N in (3, 20, 41) for draw in (0, 1)]
    assert list(dots[["regime", "N", "draw"]].itertuples(index=False, name=None)) == expected
    assert np.all((dots["measured"] >= 0) & (dots["measured"] <= 1))
    assert np.all(dots["seconds"] > 0)
    assert sorted(path.name for path in out.iterdir()) == FILES


def test_images_are_valid(small_run):
    out, _ = small_run
    pixels = image.imread(out / "figure.png")
    assert pixels.shape[0] > 500
    assert pixels.shape[1] > 800
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x11, 0x11, 0x11)):  # RF, NT, NN
        assert np.count_nonzero(np.abs(pixels[:, :, :3] - np.array(colour) / 255).max(axis=2) < 0.01) > 500
    pdf = (out / "figure.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")


def test_predictions_are_the_refined_theory(small_run):
    _, dots = small_run
    target = exponential_target(20, rng=5)
    for dot in dots.itertuples():
        expected = {
            "RF": lambda N: limits.rf_risk_limit(target, N, refined=True),
            "NT": lambda N: limits.nt_risk_limit(target, N, refined=True),
            "NN": lambda N: fastlazy.nn_risk_limit(target, N),
        }[dot.regime](dot.N)
        assert dot.predicted == pytest.approx(expected / target.null_risk, rel=1e-12, abs=1e-15)


def test_a_dot_is_repeated_from_its_seed(small_run):
    _, dots = small_run
    target = exponential_target(20, rng=5)
    for dot in dots[dots["regime"] != "NN"].itertuples():
        W = draw_weights(dot.N, 20, rng=int(dot.seed))
        risk = {"RF": rf_risk, "NT": nt_risk}[dot.regime](target, W)
        assert dot.measured == pytest.approx(risk / target.null_risk, rel=1e-9, abs=1e-12)
    for dot in dots[dots["regime"] == "NN"].itertuples():
        fit = fit_nn(target, dot.N, n_samples=4000, rng=int(dot.seed))
        assert dot.measured == pytest.approx(fit.risk[-1] / target.null_risk, rel=1e-6)


def test_rf_and_nt_share_their_weights_and_draws_do_not(small_run):
    _, dots = small_run
    rf, nt = dots[dots["regime"] == "RF"], dots[dots["regime"] == "NT"]
    assert_array_equal(rf["seed"], nt["seed"])
    assert dots[dots["regime"] != "NT"]["seed"].is_unique


def test_the_same_seed_gives_the_same_results_and_another_does_not(small_run, tmp_path):
    _, dots = small_run
    assert main(["figure", *SMALL, "--seed", "5", "--out", str(tmp_path)]) == 0
    kept = [column for column in COLUMNS if column != "seconds"]
    pd.testing.assert_frame_equal(read(tmp_path / "results.csv")[kept], dots[kept], check_exact=True)
    assert main(["figure", *SMALL, "--seed", "6", "--out", str(tmp_path)]) == 0
    other = read(tmp_path / "results.csv")
    assert not np.any((other["measured"] == dots["measured"])[dots["regime"] == "RF"])
    assert not np.any(other["seed"] == dots["seed"])


def test_a_dot_does_not_depend_on_the_other_widths(small_run, tmp_path):
    _, dots = small_run
    assert main(["figure", "--d", "20", "--widths", "20", "--draws", "1", "--seed", "5", "--out", str(tmp_path)]) == 0
    alone = read(tmp_path / "results.csv")
    shared = dots[(dots["N"] == 20) & (dots["draw"] == 0)]
    assert len(alone) == 3
    assert_array_equal(alone["measured"], shared["measured"])


def test_the_table_shows_measured_beside_predicted(tmp_path, capsys):
    assert main(["figure", *SMALL, "--seed", "5", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["N", "N/d", "measured", "+-", "predicted", "difference"]
    rows = [line.split() for line in printed[1:10]]
    assert [(row[0], int(row[1])) for row in rows] == [(r, N) for r in ("RF", "NT", "NN") for N in (3, 20, 41)]
    dots = read(tmp_path / "results.csv")
    for regime, N, ratio, measured, *spread, predicted, difference in rows:
        cell = dots[(dots["regime"] == regime) & (dots["N"] == int(N))]
        assert ratio == f"{int(N) / 20:.3f}"
        assert measured == f"{cell['measured'].mean():.4f}"
        assert spread == ([] if regime == "NN" else [f"{cell['measured'].std():.4f}"])
        assert predicted == f"{cell['predicted'].iloc[0]:.4f}"
        assert difference == f"{cell['measured'].mean() - cell['predicted'].iloc[0]:+.4f}"
    assert re.fullmatch(r"15 dots in \d+ s: .*figure\.png, figure\.pdf, results\.csv", printed[10])
    assert str(tmp_path) in printed[10]


def test_widths_are_sorted_and_counted_once(tmp_path):
    arguments = ["figure", "--d", "6", "--widths", "4 2, 4,", "--draws", "1", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert sorted(set(read(tmp_path / "results.csv")["N"])) == [2, 4]


@pytest.mark.parametrize("d", [1, 7])
def test_default_widths_fit_small_dimensions(d, tmp_path):
    assert main(["figure", "--d", str(d), "--draws", "1", "--out", str(tmp_path)]) == 0
    assert sorted(set(read(tmp_path / "results.csv")["N"])) == risk_table.geometric_widths(d, 12)
    assert (tmp_path / "figure.png").exists()


def test_presets(tmp_path, monkeypatch):
    cells = {}

    def run_sweep(jobs, store, **options):
        cells["all"] = jobs
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "run_sweep", run_sweep)
    assert main(["figure", "--preset", "paper", "--out", str(tmp_path)]) == 130
    widths = sorted({cell["N"] for cell in cells["all"]})
    assert (widths[:3], widths[-1], len(widths)) == ([30, 37, 45], 4767, 25)
    assert {cell["n_samples"] for cell in cells["all"] if cell["regime"] == "NN"} == {10_000_000}
    assert max(cell["draw"] for cell in cells["all"] if cell["regime"] == "RF") == 9
    assert main(["figure", "--out", str(tmp_path)]) == 130
    widths = sorted({cell["N"] for cell in cells["all"]})
    assert widths == risk_table.geometric_widths(450, 12)
    assert (widths[0], widths[-1]) == (30, 4500)
    assert max(cell["draw"] for cell in cells["all"] if cell["regime"] == "RF") == 3
    assert {cell["d"] for cell in cells["all"]} == {450}


def test_old_results_are_kept(tmp_path):
    (tmp_path / "results.csv").write_text("old\n")
    assert main(["figure", "--d", "5", "--widths", "2", "--draws", "1", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "results.previous.csv").read_text() == "old\n"
    assert len(read(tmp_path / "results.csv")) == 3


def test_no_temporary_file_is_left(tmp_path):
    assert main(["figure", "--d", "5", "--widths", "2", "--draws", "1", "--out", str(tmp_path)]) == 0
    assert sorted(os.listdir(tmp_path)) == FILES


@pytest.fixture
def _nothing_is_computed(monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("computed before the arguments were checked")

    monkeypatch.setattr(driver, "run_sweep", fail)


@pytest.mark.usefixtures("_nothing_is_computed")
def test_a_folder_that_cannot_be_written_is_found_first(tmp_path, capsys):
    (tmp_path / "file").write_text("kept")
    for name in ("file", "file/folder"):  # a parent that is a file stops even root
        assert main(["figure", *SMALL, "--out", str(tmp_path / name)]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("fastlazy figure: cannot write to the folder ")
        assert str(tmp_path / name) in captured.err
        assert captured.err.endswith("choose another with --out\n")
        assert captured.out == ""
    assert (tmp_path / "file").read_text() == "kept"


BAD_ARGUMENTS = {
    "no width": (["--widths", ","], "--widths must be numbers of at least 1, got ','; try --widths 30,450,4500"),
    "empty": (["--widths", ""], "--widths must be numbers of at least 1, got ''"),
    "zero width": (["--widths", "0,3"], "--widths must be numbers of at least 1, got '0,3'"),
    "negative width": (["--widths=-3,3"], "--widths must be numbers of at least 1, got '-3,3'"),
    "word": (["--widths", "3,many"], "--widths must be whole numbers separated by commas, got '3,many'; try --widths"),
    "fraction": (["--widths", "1.5"], "--widths must be whole numbers separated by commas, got '1.5'"),
    "d": (["--d", "0"], "--d must be at least 1, got 0"),
    "negative d": (["--d", "-4"], "--d must be at least 1, got -4"),
    "draws": (["--draws", "0"], "--draws must be at least 1, got 0"),
    "seed": (["--seed", "-1"], "--seed must be at least 0, got -1"),
    "workers": (["--workers", "0"], "--workers must be at least 1, got 0"),
}


@pytest.mark.usefixtures("_nothing_is_computed")
@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments(arguments, message, tmp_path, capsys):
    assert main(["figure", *arguments, "--out", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"fastlazy figure: {message}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("_nothing_is_computed")
def test_bad_widths_do_not_move_old_results(tmp_path):
    (tmp_path / "results.csv").write_text("old\n")
    assert main(["figure", "--widths", "many", "--out", str(tmp_path)]) == 2
    assert os.listdir(tmp_path) == ["results.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["plot"], "invalid choice: 'plot'"),
        (["figure", "--d", "many"], "argument --d: invalid int value: 'many'"),
        (["figure", "--draws", "1.5"], "argument --draws: invalid int value: '1.5'"),
        (["figure", "--preset", "slow"], "argument --preset: invalid choice: 'slow'"),
        (["figure", "--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_unknown_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [[], ["figure"], ["curves"], ["lazy"], ["explore"], ["animate"], ["sweep"], ["info"]],
    ids=lambda command: " ".join(command),
)
def test_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: {' '.join(['fastlazy', *command])} ")
    for option in {
        "figure": [
            "--preset",
            "--out",
            "--d",
            "--widths",
            "--draws",
            "--seed",
            "--workers",
            "--from",
            "--nn",
            "--n-samples",
            "--ridge",
        ],
        "curves": ["--out", "--d", "--N", "--activation", "--ridges", "--sizes", "--draws", "--seed", "--workers"],
        "lazy": ["--out", "--d", "--scales", "--ratio", "--seed", "--only"],
        "explore": ["--out", "--no-open", "--d", "--seed"],
        "animate": ["--d", "--N", "--scales", "--seed"],
        "sweep": ["--store", "--executor", "--workers", "--export", "--rerun-failed", "--dry-run"],
    }.get(*command or ["none"], []):
        line = re.search(rf"\n  {option} .*(\n {{5,}}.*)*", printed)
        assert line, option
        assert "default" in line.group(), option
    if not command:
        verbs = ["figure", "curves", "lazy", "explore", "animate", "sweep", "merge", "status", "info"]
        assert re.search("".join(rf"\n +{verb} +\w.*" for verb in verbs), printed)


def test_version(capsys):
    command = [sys.executable, "-m", "fastlazy", "--version"]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert child.stdout == f"fastlazy {fastlazy.__version__}\n"
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == child.stdout


@pytest.mark.parametrize(("error", "message"), [(MemoryError(), "there is not enough memory"), (OSError("no"), "no")])
def test_what_goes_wrong_outside_of_a_command_is_told(error, message, monkeypatch, capsys):
    def fail(_):
        raise error

    monkeypatch.setattr(info, "run_info", fail)
    assert main(["info"]) == 2
    assert capsys.readouterr().err == f"fastlazy info: {message}\n"


def test_where_needs_a_store_and_a_key(tmp_path, capsys):
    for arguments, message in [
        (["--where", "ridge=0.1"], "--where chooses among the cells of a store; pass --from STORE, too"),
        (["--from", "a", "--where", "ridge"], "--where must be KEY=VALUE, got 'ridge'; a KEY is one of regime, d, N,"),
        (["--from", "a", "--where", "rige=1"], "--where must be KEY=VALUE, got 'rige=1'; a KEY is one of"),
        (["--from", "a", "--where", "ridge=x"], "--where ridge=x: ridge must be a number, got 'x'; pass one"),
    ]:
        assert main(["figure", *arguments, "--out", str(tmp_path)]) == 2
        assert capsys.readouterr().err.startswith(f"fastlazy figure: {message}")


def test_a_folder_in_the_place_of_a_file_is_found_at_once(tmp_path, capsys):
    (tmp_path / "figure.png").mkdir()
    assert main(["figure", "--d", "20", "--out", str(tmp_path)]) == 2
    assert "figure.png is a folder" in capsys.readouterr().err
    assert not (tmp_path / "results.csv").exists()


def test_networks_by_gradient_flow(tmp_path, monkeypatch, capsys):
    """One that is cut short is told; SGD and flow lie in one store, and one of them is drawn."""
    few = ["figure", "--d", "6", "--widths", "2,9", "--draws", "1", "--out", str(tmp_path)]
    assert main(few) == 0
    by_sgd = (tmp_path / "results.csv").read_text()
    monkeypatch.setattr(flow, "nn_flow", partial(flow.nn_flow, max_steps=3))
    assert main([*few, "--nn", "flow"]) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"^NN .*\d\*  ", printed, re.MULTILINE)) == 2
    assert "\n* not converged: the risk was still falling when training ended\n6 dots in" in printed
    dots = pd.read_csv(tmp_path / "results.csv")
    assert list(dots.columns) == [*COLUMNS, "nn", "converged"]
    assert dots["nn"].dropna().tolist() == ["flow"] * 2
    assert dots["converged"].dropna().tolist() == [False] * 2
    again = ["figure", "--from", str(tmp_path / "figure.sqlite"), "--out", str(tmp_path / "again")]
    assert main(again) == 2
    told = capsys.readouterr().err
    assert re.search(
        r"different nn \((sgd, flow|flow, sgd)\), of which .*; choose one with --where nn=(sgd|flow)", told
    )
    for choice, text in ((["--nn", "sgd"], by_sgd), (["--where", "nn=flow"], (tmp_path / "results.csv").read_text())):
        assert main([*again, *choice]) == 0
        assert (tmp_path / "again" / "results.csv").read_text() == text


def test_one_other_non_linearity(tmp_path, capsys):
    few = ["figure", "--d", "6", "--widths", "2,9", "--draws", "1", "--activations", "relu", "--out", str(tmp_path)]
    assert main(few) == 0
    assert list(pd.read_csv(tmp_path / "results.csv").columns) == [*COLUMNS, "converged"]
    assert "nan" not in capsys.readouterr().out


@pytest.mark.slow
def test_figure_of_several_non_linearities(tmp_path, capsys):
    asked = ["figure", *SMALL, "--activations", "relu,tanh", "--out", str(tmp_path)]
    assert main(asked) == 0
    dots = pd.read_csv(tmp_path / "results.csv")
    odd = dots[dots["activation"] == "tanh"]
    assert set(odd["regime"]) == {"RF", "NT", "NN"}
    np.testing.assert_allclose(odd.loc[odd["regime"] != "NN", "measured"], 1, rtol=1e-12)
    np.testing.assert_array_equal(odd["predicted"], 1)
    assert set(dots["activation"]) == {"relu", "tanh"}
    assert set(dots.loc[dots["regime"] == "NN", "converged"]) <= {True, False}
    assert dots.loc[(dots["regime"] == "NN") & (dots["activation"] == "relu"), "predicted"].isna().all()
    assert "NT    relu" in capsys.readouterr().out
    again = ["figure", "--from", str(tmp_path / "figure.sqlite"), "--activations", "relu", "--out", str(tmp_path / "b")]
    assert main(again) == 0
    alone = pd.read_csv(tmp_path / "b" / "results.csv")
    assert list(alone.columns) == [*COLUMNS, "converged"]  # and no activation, as there is one
    assert set(alone["regime"]) == {"RF", "NT", "NN"}
    assert main(["figure", "--activations", "reluu", "--out", str(tmp_path)]) == 2
    assert "--activations must be names separated by commas, got 'reluu'" in capsys.readouterr().err
