"""What README and docs say in words and tables: each number beside where it comes from."""

import inspect
import math
import re
import tomllib
from concurrent.futures import ThreadPoolExecutor

import matplotlib as mpl
import numpy as np
import pages
import pandas as pd
import pytest

import fastlazy
from fastlazy.activations import rf_pairs
from fastlazy.activations.builtin import BUILTIN_NAMES, TANGENT_NAMES
from fastlazy.cli.main import main
from fastlazy.figures import lazy_runs, risk_table
from fastlazy.kernels import rf_gram
from fastlazy.ridge import solve
from fastlazy.risk import nt_solver
from fastlazy.sweeps import cells
from fastlazy.sweeps.keys import REQUIRED
from fastlazy.sweeps.regimes import NN, REGIMES
from fastlazy.targets import gap
from fastlazy.targets.library import FAMILIES
from fastlazy.training import checkpoint

ROOT = pages.ROOT


def words(page):
    """The page without its line ends."""
    return " ".join((ROOT / page).read_text().split())


def said(page, text):
    """Assert that the *page* says it, so that a test whose sentence is gone does not stay behind."""
    assert text in words(page), f"{page} no longer says {text!r}; change the test, too"


def table(page, head):
    """The rows of the table on the page whose first line starts with *head*, as lists of cells."""
    lines = (ROOT / page).read_text().splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith(head))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def codes(text):
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("page", ["docs/quickstart.md", "docs/activations.md", "CHANGELOG.md"])
def test_sixteen_names(page):
    said(page, "sixteen")
    assert len(BUILTIN_NAMES) == 16
    assert all(fastlazy.get_activation(name).name == name for name in BUILTIN_NAMES)


def cells_of_figure(monkeypatch, tmp_path, *options):
    """What `fastlazy figure` would measure."""
    found = []

    def take(asked, *_, **__):
        found.extend(asked)
        raise RuntimeError("enough")

    monkeypatch.setattr("fastlazy.sweeps.driver.run_sweep", take)
    assert main(["figure", "--out", str(tmp_path), *options]) == 2
    return pd.DataFrame(found)


def test_the_figure_is_as_large_as_it_is_said(monkeypatch, tmp_path):
    said("README.md", "at full size (d = 450, up to 4500 neurons)")
    said("docs/reproduce.md", "# d = 450, 12 widths from 30 to 4500, 4 draws")
    quick = cells_of_figure(monkeypatch, tmp_path)
    assert set(quick["d"]) == {450}
    widths = sorted(set(quick["N"]))
    assert (len(widths), widths[0], widths[-1]) == (12, 30, 4500)
    assert set(quick[quick["regime"] == "RF"].groupby("N").size()) == {4}
    said("docs/reproduce.md", "# the authors' 25 widths, 10 draws, 10 million samples for each NN dot")
    paper = cells_of_figure(monkeypatch, tmp_path, "--preset", "paper")
    assert sorted(set(paper["N"])) == risk_table.authors_widths(450)
    assert paper["N"].nunique() == 25
    assert set(paper[paper["regime"] == "NT"].groupby("N").size()) == {10}
    assert set(paper[paper["regime"] == "NN"]["n_samples"]) == {10_000_000}


def test_seeds_on_the_page_are_those_of_the_figure(monkeypatch, tmp_path):
    figure = cells_of_figure(monkeypatch, tmp_path)
    named = [int(number) for number in re.findall(r"seed = (\d{10,})", (ROOT / "docs/reproduce.md").read_text())]
    rows = [("RF", 75), ("NN", 4500)]
    assert len(named) == len(rows)
    for seed, (regime, N) in zip(named, rows, strict=True):
        row = figure[(figure["regime"] == regime) & (figure["N"] == N)].iloc[0].dropna().to_dict()
        row = {name: int(value) if isinstance(value, float) else value for name, value in row.items()}
        assert cells.cell_stream(cells.canonical_cell(row)) == seed


def test_the_table_of_the_authors_spectrum():
    target = fastlazy.QuadraticTarget(np.random.RandomState(100).exponential(1, 450))
    rows = table("docs/reproduce.md", "| N | RF limit / refined | NT | NN |")
    assert len(rows) == 7
    for N, rf, nt, nn in rows:
        n = int(N)
        limits = [fastlazy.rf_risk_limit(target, n, refined=refined) for refined in (False, True)]
        for risk, text in zip(
            [*limits, fastlazy.nt_risk_limit(target, n), fastlazy.nn_risk_limit(target, n)],
            [*rf.split(" / "), nt, nn],
            strict=True,
        ):
            pages.compare(risk / target.null_risk, text if "." in text else ".0000")


def test_the_size_of_the_tangent_model():
    said("docs/activations.md", "The tangent model has N d unknowns, 2,025,000 at d = 450 and N = 4500")
    said("docs/activations.md", "its Gram matrix would take 32.8 TB")
    assert 450 * 4500 == 2_025_000
    assert f"{8 * 2_025_000**2 / 1e12:.1f}" == "32.8"
    said("docs/activations.md", "Up to 1500 unknowns the matrix is factorized.")
    assert nt_solver.SMALL == 1500
    said("docs/activations.md", "below `tolerance` (1e-8 of the risk)")
    assert inspect.signature(fastlazy.nt_risk).parameters["tolerance"].default == 1e-8


def test_terms_of_the_series():
    said("docs/conventions.md", "as many as its largest cosine needs, at most 64")
    assert rf_gram._TERMS == 64
    said("docs/conventions.md", "a thousand terms")
    assert rf_pairs._TERMS == 1000


def test_numbers_about_estimators():
    datasets = pytest.importorskip("sklearn.datasets")
    page = (ROOT / "docs/estimators.md").read_text()
    for load in (datasets.load_diabetes, datasets.load_digits):
        n, d = load().data.shape
        assert re.search(rf"# {n} samples, d = {d}\n", page)
    said("docs/estimators.md", "NT has 2565 features here")
    N, d = 30, 100  # of docs/learning_curve.py
    assert N * (2 * d - N + 1) // 2 == 2565
    said("docs/estimators.md", "From 1500 unknowns on, float64 problems are factored in float32")
    assert solve._MIXED == 1500


def test_the_keys_of_a_cell_are_those_that_cells_know():
    rows = table("docs/sweeps.md", "| key | of | default | |")
    named = [name for row in rows for name in codes(row[0])]
    assert set(named) == set(cells.KEYS)
    for first, of, default, meaning in rows:
        if not first:  # the same key in other regimes
            continue
        values = ["exponential" if default == '"exponential"' else part.strip(' "`') for part in default.split(",")]
        for k, name in enumerate(codes(first)):
            key = cells.KEYS[name] if name != "n_samples" else NN.keys[name]
            text = values[k] if len(values) > 1 else values[0]
            if text == "required":
                assert key.default is REQUIRED
            elif text in ("none", ""):
                assert key.default is None
            else:
                assert str(key.default) == text, name
            regimes = {regime.name for regime in REGIMES.values() if name in regime.keys}
            wanted = {"all": {"RF", "NT", "NN"}, "RF, NT": {"RF", "NT"}, "NN": {"NN"}}.get(of, set())
            assert wanted <= regimes, (name, meaning)
    targets = next(row[3] for row in rows if codes(row[0]) == ["target"])
    assert all(f'"{name}"' in targets for name in FAMILIES if name != "exponential")


def test_the_docstring_of_run_sweep_names_every_key():
    cells_of = re.search(
        r"cells : list of mapping\n(.*?)\nstore : path", inspect.getdoc(fastlazy.run_sweep), re.DOTALL
    )[1]
    assert set(cells.KEYS) <= set(re.findall(r"\w+", cells_of))
    assert [name for name in BUILTIN_NAMES if name not in TANGENT_NAMES] == ["step"]


def test_statuses_and_columns_of_a_sweep():
    page = words("docs/sweeps.md")
    listed = re.search(r"Columns id, status \(([^)]*)\)", inspect.getdoc(fastlazy.run_sweep))[1]
    for status in re.findall(r'"(\w+)"', listed):
        assert f"| {status} |" in page
    said("docs/sweeps.md", "whose worker died three times, or as often as `retries` says")
    assert inspect.signature(fastlazy.run_sweep).parameters["retries"].default + 1 == 3
    said("docs/sweeps.md", "Training runs that take more than half a minute keep a checkpoint")
    assert checkpoint._SECONDS == 30
    said("docs/sweeps.md", "A process needs 0.3 GB and an RF cell 16 N² bytes: 0.6 GB in all at N = 4500.")
    assert f"{0.3 + 16 * 4500**2 / 1e9:.1f}" == "0.6"


def test_a_sweep_is_the_same_but_for_the_columns_named(tmp_path):
    named = re.search(r"but for the columns ([\w, ]+) and (\w+)\.", words("docs/sweeps.md"))
    own = [*named[1].split(", "), named[2]]
    asked = fastlazy.grid(regime=["RF", "NT"], d=5, N=[2, 7]) + fastlazy.grid(regime="NN", d=5, N=2, n_samples=1000)
    tables = []
    for k, order in enumerate((1, -1)):
        with ThreadPoolExecutor(k + 1) as pool:
            tables.append(fastlazy.run_sweep(asked[::order], tmp_path / f"{k}.sqlite", executor=pool, progress=False))
    assert set(own) < set(tables[0].columns)
    first, second = (frame.drop(columns=own).sort_values("id", ignore_index=True) for frame in tables)
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_every_room_is_in_the_layout_and_every_dependency_has_its_reason():
    rooms = {
        codes(row[0])[0]: set(codes(row[2])) for row in table("docs/development.md", "| folder | what lives there |")
    }
    found = {
        folder.parent: {file.stem for file in folder.parent.glob("*.py")}
        for folder in ROOT.glob("fastlazy/*/__init__.py")
    }
    assert rooms == {f"{folder.name}/": names - {"__init__"} for folder, names in found.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [name for row in table("docs/development.md", "| package | why |") for name in row[0].split(",")]
    wanted = {re.split("[>=<]", name)[0] for name in project["dependencies"]} | set(project["optional-dependencies"])
    assert {name.strip("* ") for name in listed} == wanted


def test_how_sure_the_gap_is():
    said("docs/lazy.md", "with probability 1 − 10⁻⁶ or more")
    assert gap._FAILURE == 1e-6


def test_where_nt_captures_less_than_nothing():
    said("docs/lazy.md", "(1 − ρ)/(2 − ρ) times the mean eigenvalue it is negative")
    target = fastlazy.exponential_target(200, rng=0)
    rho = 0.35
    edge = (1 - rho) / (2 - rho) * target.eigenvalues.mean()
    shares = fastlazy.nt_captured_limit(target, 70)
    assert np.array_equal(shares < 0, target.eigenvalues < edge)


@pytest.mark.slow
def test_what_is_seen_of_lazy_training(tmp_path, capsys):
    """The figures of `fastlazy lazy`, and what the page says of them."""
    mpl.use("Agg")
    assert main(["lazy", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    said("docs/lazy.md", "four figures, four tables")
    assert [len(list(tmp_path.glob(f"*.{ending}"))) for ending in ("png", "csv")] == [4, 4]
    said("docs/lazy.md", "at d = 100, N = 50 to .003 at every α")
    scales = pd.read_csv(tmp_path / "scales.csv")
    pages.compare((scales["risk"] - scales["reachable"]).abs().max(), ".003")
    said("docs/lazy.md", "the error like α^−2.02, fitted from α = 10 on")
    pages.compare(float(re.search(r"falls like alpha\^(\S+)", printed)[1]), "-2.02")
    said("docs/lazy.md", "Below α = 1 the weights leave their start by as much as their length and more")
    assert scales.loc[scales["scale"] < 1, "travelled"].min() > 1
    said("docs/lazy.md", "the distance is within 7 % of where it ends, and the error within 22 %")
    for _, run in pd.read_csv(tmp_path / "training.csv").groupby("scale"):
        early, end = run[run["samples"] >= 0.1 * run["samples"].max()].iloc[0], run.iloc[-1]
        assert abs(early["travelled"] / end["travelled"] - 1) < 0.07
        assert abs(early["linearization_error"] / end["linearization_error"] - 1) < 0.22
    said("docs/lazy.md", "at d = 450, N = 100, each of the 60 largest is captured to at least .98")
    shares = pd.read_csv(tmp_path / "directions.csv")
    assert shares["NN"].head(60).min() >= 0.98


@pytest.mark.slow
def test_what_is_seen_of_lazy_training_of_relu(tmp_path, capsys):
    mpl.use("Agg")
    assert main(["lazy", "--activation", "relu", "--only", "scales", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    runs = pd.read_csv(tmp_path / "scales.csv").set_index("scale")["risk"]
    said("docs/lazy.md", "within .02 of the tangent model's .56 at α = 100")
    target = fastlazy.exponential_target(100, rng=0)
    assert runs.index.tolist() == lazy_runs.GENERAL_SCALES
    pages.compare(runs[100.0], ".54 to .58")
    said("docs/lazy.md", "within .01 of the .13 of a plain run at α = .01 (4 million samples)")
    options = {"n_samples": 4_000_000, "second_layer": "signs", "n_records": 2}
    plain = fastlazy.fit_nn(target, 50, activation="relu", rng=0, **options)
    assert lazy_runs._GENERAL_SAMPLES == 4_000_000
    pages.compare(plain.risk[-1] / target.null_risk, ".13")
    pages.compare(fastlazy.nt_risk(target, plain.W0, "relu") / target.null_risk, ".56")
    assert abs(runs[0.01] - plain.risk[-1] / target.null_risk) < 0.01


@pytest.mark.slow
def test_what_is_seen_of_lazy_training_at_full_size():
    said("docs/lazy.md", "at d = 450, N = 225 to .0145")
    ends = lazy_runs.scale_runs(450, 225, [0.01, 1.0, 1000.0], 0).ends
    assert (ends["risk"] - ends["reachable"]).abs().max() < 0.0145


@pytest.mark.slow
@pytest.mark.parametrize(("N", "left"), [(75, ".0050"), (4500, ".0045")])
def test_how_near_dots_of_the_figure_come(monkeypatch, tmp_path, N, left):
    said("docs/performance.md", f"{left} " + ("at most, at N = 75" if N == 75 else "for N > d"))
    figure = cells_of_figure(monkeypatch, tmp_path, "--widths", str(N))
    row = figure[figure["regime"] == "NN"].iloc[0].dropna().to_dict()
    cell = cells.canonical_cell({name: int(v) if isinstance(v, float) else v for name, v in row.items()})
    target = cells.cell_target(cell)
    fit = fastlazy.fit_nn(target, N, n_samples=cell["n_samples"], rng=cells.cell_stream(cell))
    pages.compare((fit.risk[-1] - fastlazy.nn_risk(target, N)) / target.null_risk, left)


def mixture_of_the_table():
    said("docs/mixture.md", "s = `RandomState(100).exponential(1, 450)`")
    spectrum = np.random.RandomState(100).exponential(1, 450)
    return fastlazy.GaussianMixture(np.ones(450), spectrum / math.sqrt(450))


def test_training_on_a_mixture_ends_as_near_as_it_is_said():
    said(
        "docs/mixture.md",
        "29d² to 55d² samples for N < d, the more the wider the network, and 25d² from N = d on, end within .01",
    )
    mixture = mixture_of_the_table()
    for N, samples, risk, infimum, _ in table("docs/mixture.md", "| N | samples"):
        assert int(samples) == risk_table.mixture_samples(int(N), 450)
        assert float(infimum) == pytest.approx(fastlazy.nn_risk(mixture, int(N)), abs=5e-5)
        assert 0 < float(risk) - float(infimum) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("row", range(2))
def test_training_on_a_mixture_ends_where_it_is_said(row):
    N, samples, risk, _, _ = table("docs/mixture.md", "| N | samples")[row]
    fit = fastlazy.fit_nn(mixture_of_the_table(), int(N), n_samples=int(samples), rng=int(N), n_records=2)
    assert fit.risk[-1] == pytest.approx(float(risk), abs=2e-4)
