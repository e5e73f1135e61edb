"""A small sweep for tests of figures: two targets of the package and one of the user's, two ridges and two sigmas."""

import math
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import pytest

from fastlazy.activations.activation import Activation
from fastlazy.sweeps.cells import grid
from fastlazy.sweeps.driver import run_sweep

matplotlib.use("Agg")  # no screen is needed

WIDTHS = [2, 4, 9, 24]
B = np.diag(np.arange(1.0, 7.0)) + np.eye(6, k=1) + np.eye(6, k=-1)
BENT = Activation("bent", lambda x: math.tanh(x) + x * x, lambda x: 1 - math.tanh(x) ** 2 + 2 * x)


_MADE = []  # by the first module of a process that asks for it


@pytest.fixture(scope="module")
def small_sweep(tmp_path_factory):
    """The path of the store, and its table; both are only read."""
    if not _MADE:
        _MADE.append(_measured(tmp_path_factory.mktemp("small") / "sweep.sqlite"))
    return _MADE[0]


def _measured(path):
    cells = grid(
        regime=["RF", "NT"], d=6, N=WIDTHS, ridge=[0.0, 2.0], target=["exponential", "identity"], draw=range(2)
    )
    cells += grid(regime="NN", d=6, N=WIDTHS, n_samples=2000, target=["exponential", "identity"])
    cells += grid(regime=["RF", "NT"], d=6, N=WIDTHS, target={"$B_2$": B}, activation=["square", BENT])
    with ThreadPoolExecutor(2) as pool:
        table = run_sweep(cells, path, executor=pool, progress=False)
    assert (table["status"] == "done").all(), table["error"].tolist()
    return path, table


def named(table):
    """The rows whose target and sigma are the package's."""
    return table[~table["target"].str.contains("#")]
