"""A small run of ``fastlazy figure``, which the tests of the command share."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from fastlazy.cli.main import main
from fastlazy.figures import risk_table
from fastlazy.sweeps import driver
from fastlazy.sweeps.engines import open_engine

COLUMNS = ["regime", "N", "draw", "measured", "predicted", "seconds", "seed"]


SMALL = ["--d", "20", "--widths", "3,20,41", "--draws", "2"]


def run_small(patch):
    """Few samples, and threads, which start faster than processes and give the same."""
    patch.setattr(risk_table, "quick_samples", lambda N, d: 4000)
    patch.setattr(driver, "open_engine", lambda executor, n_workers: open_engine(ThreadPoolExecutor(2), n_workers))


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    run_small(monkeypatch)


def read(path):
    return pd.read_csv(path, dtype={"seed": np.uint64})


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """One run of a small figure: the folder, what it printed, and its dots."""
    out = tmp_path_factory.mktemp("figure") / "made" / "as needed"
    with pytest.MonkeyPatch.context() as patch:
        run_small(patch)
        assert main(["figure", *SMALL, "--seed", "5", "--out", str(out)]) == 0
    return out, read(out / "results.csv")
