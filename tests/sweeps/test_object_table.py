"""Objects in a store: content once, names in tables, and the same rows in a new process."""

import math
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from fastlazy.activations.activation import Activation
from fastlazy.sweeps.cells import check_cells, grid
from fastlazy.sweeps.driver import load_sweep, run_sweep
from fastlazy.sweeps.objects import objects_of
from fastlazy.sweeps.planning import plan_sweep
from fastlazy.sweeps.stored_targets import load_targets
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticTarget

B = np.diag([3.0, 2.0, 1.0, -1.0]) + np.eye(4, k=1) + np.eye(4, k=-1)
SIGMA = Activation("bent", lambda x: math.tanh(x) + x * x, lambda x: 1 - math.tanh(x) ** 2 + 2 * x)
MIXTURE = GaussianMixture(np.ones(4), [0.5, 0.25, 0.0, -0.5])
TARGETS = {"mine": B, "two classes": MIXTURE, "with b0": QuadraticTarget(B, 0.25)}


def sweep(path, targets=TARGETS, **more):
    cells = grid(regime="RF", d=4, N=[2, 3], target=targets) + grid(regime="NT", d=4, N=2, activation=["relu", SIGMA])
    with ThreadPoolExecutor(2) as pool:
        return run_sweep([*cells, *more.pop("cells", [])], path, executor=pool, progress=False, **more)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("objects") / "a.sqlite"
    return path, sweep(path), path.read_bytes()


@pytest.fixture
def path(stored, tmp_path):
    """A store of its own."""
    place = tmp_path / "b.sqlite"
    place.write_bytes(stored[2])
    return place


def references(cells):
    return {own.name: reference for reference, own in objects_of(check_cells(cells).values()).items()}


def run_sql(path, statement, *values):
    with closing(sqlite3.connect(path)) as db, db:
        return db.execute(statement, values).fetchall()


def test_tables_have_names(stored):
    path, table, _ = stored
    assert (table["status"] == "done").all(), table["error"].tolist()
    of = references(grid(regime="RF", d=4, N=1, target=TARGETS, activation=SIGMA))
    texts = {name: f"{name} {reference}" for name, reference in of.items()}
    assert table["target"].tolist() == [texts[name] for name in TARGETS] * 2 + ["exponential"] * 2
    assert table["activation"].tolist()[-2:] == ["relu", texts["bent"]]
    pd.testing.assert_frame_equal(load_sweep(path), table.sort_values(["regime", "N", "id"], ignore_index=True))


def test_content_is_stored_once(stored):
    path, _, content = stored
    rows = run_sql(path, "SELECT name, kind, length(content) FROM objects ORDER BY name")
    assert [row[:2] for row in rows] == [
        ("bent", "Activation"), ("mine", "QuadraticTarget"), ("two classes", "GaussianMixture"),
        ("with b0", "QuadraticTarget"),
    ]  # fmt: skip
    assert content.count(np.ascontiguousarray(B).tobytes()) == 2  # of two targets, which differ in b0
    joined = "SELECT name, count(*) FROM cells JOIN objects ON target = reference GROUP BY 1 ORDER BY 1"
    assert run_sql(path, joined) == [("mine", 2), ("two classes", 2), ("with b0", 2)]
    assert "math.tanh(x) + x * x" in run_sql(path, "SELECT content FROM objects WHERE name = 'bent'")[0][0].decode()


def test_targets_come_back_to_the_bit(stored):
    path, table, _ = stored
    found = load_targets(path)
    assert set(found) == set(table["target"]) - {"exponential"}
    by_name = {text.rpartition(" ")[0]: target for text, target in found.items()}
    np.testing.assert_array_equal(by_name["mine"].B, B)
    assert (by_name["mine"].b0, by_name["with b0"].b0) == (-5.0, 0.25)
    np.testing.assert_array_equal(by_name["two classes"].Delta, MIXTURE.Delta)


def test_a_sweep_finds_its_cells_again(path, stored, monkeypatch):
    monkeypatch.setattr("fastlazy.sweeps.driver.attempt_all", None)
    assert sweep(path).equals(stored[1])
    plan = plan_sweep(grid(regime="RF", d=4, N=[2, 3, 4], target=TARGETS), path)
    assert (plan.finished, plan.left) == (6, 3)


def test_times_of_cells_of_an_object_are_those_of_that_object(path):
    cells = grid(regime="NT", d=4, N=[2, 9], activation=[SIGMA, Activation("other", SIGMA.function)])
    plan = plan_sweep(cells, path)
    assert plan.left == 3
    assert plan.measured == 8
    assert 0 < plan.guessed < plan.seconds


def test_a_name_is_that_of_the_last_sweep(path, stored, monkeypatch):
    monkeypatch.setattr("fastlazy.sweeps.driver.attempt_all", None)
    table = sweep(path, {"new": B, "two classes": MIXTURE, "with b0": TARGETS["with b0"]})
    assert table["target"].str.replace("new", "mine").tolist() == stored[1]["target"].tolist()
    assert table.drop(columns="target").equals(stored[1].drop(columns="target"))
    assert {text.split()[0] for text in load_targets(path)} == {"new", "two", "with"}


def test_a_damaged_target_is_told_and_mended(path, stored):
    run_sql(path, "UPDATE objects SET content = substr(content, 1, 60) || x'00' WHERE name = 'mine'")
    with pytest.raises(ValueError, match=r"the target 'mine #.*' in the store .* is not as it was written: .* again"):
        load_targets(path)
    assert load_sweep(path).equals(load_sweep(stored[0]))
    sweep(path)
    np.testing.assert_array_equal(next(t for name, t in load_targets(path).items() if name[:4] == "mine").B, B)


def test_two_objects_of_one_reference_are_told(path):
    run_sql(path, "UPDATE objects SET digest = 'other' WHERE name = 'mine'")
    with pytest.raises(ValueError, match="the store has another object whose reference is #"):
        sweep(path)


def test_stores_without_objects(path, tmp_path):
    run_sql(path, "DROP TABLE objects")
    assert load_targets(path) == {}
    assert load_sweep(path)["target"].str.startswith("#").sum() == 6
    with pytest.raises(FileNotFoundError, match="there is no store"):
        load_targets(tmp_path / "none.sqlite")
    with pytest.raises(TypeError, match="store"):
        load_targets(3)
    run_sql(tmp_path / "other.sqlite", "CREATE TABLE objects (reference TEXT)")
    with pytest.raises(ValueError, match="is an SQLite file, but not the store of a sweep"):
        load_targets(tmp_path / "other.sqlite")


def test_covariances_and_samples(tmp_path):
    inputs = QuadraticTarget(B, 1.0, input_cov=np.arange(1.0, 5.0))
    cells = grid(regime=["RF", "NT"], d=4, N=2, target=[inputs], activation=["square", "relu"], n_samples=[None, 40])
    cells += grid(regime=["RF", "NT"], d=4, N=2, target=[B, MIXTURE], activation=[SIGMA], n_samples=[None, 40])
    options = {"n_samples": 500, "second_layer": "free", "activation": ["square", SIGMA]}
    cells += grid(regime="NN", d=4, N=2, target=[B, MIXTURE], **options)
    cells += grid(regime="NN", d=4, N=2, target=[B], nn="flow", max_gradients=20, second_layer="free", activation=SIGMA)
    with ThreadPoolExecutor(2) as pool:
        table = run_sweep(cells, tmp_path / "a.sqlite", executor=pool, progress=False)
    assert (table["status"] == "done").all(), table["error"].dropna().tolist()
    assert np.isfinite(table["ratio"]).all()
