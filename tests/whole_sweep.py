"""An uninterrupted sweep, and how another is compared with it."""

from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from sweep_cells import CELLS

from fastlazy.sweeps.driver import run_sweep
from fastlazy.sweeps.store import TIMINGS


def assert_same(table, other):
    pd.testing.assert_frame_equal(
        table.drop(columns=list(TIMINGS)), other.drop(columns=list(TIMINGS)), check_exact=True
    )  # fmt: skip


@pytest.fixture(scope="module")
def threads():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def whole(tmp_path_factory, threads):
    """The table of an uninterrupted sweep, in threads."""
    return run_sweep(CELLS, tmp_path_factory.mktemp("whole") / "a.sqlite", executor=threads, progress=False)
