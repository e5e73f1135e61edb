"""A small store, which the tests of stores share."""

import pytest

from fastlazy.sweeps.cells import canonical_cell, cell_id, cell_stream
from fastlazy.sweeps.measure import RESULTS
from fastlazy.sweeps.store import Store

CELLS = [
    {"regime": "RF", "d": 2, "N": 3, "target": [3.0, 1.0]},
    {"regime": "NN", "d": 4, "N": 3, "n_samples": 10, "step_size": 0.25},
    {"regime": "NN", "d": 4, "N": 2, "n_samples": 10, "draw": 1},
]


def row(cell, status="done", **more):
    parameters = canonical_cell(cell)
    found = {"risk": 1 / 3, "null_risk": 2.0, "ratio": 1 / 6, "worker": "here/1", "seconds": 0.5, "attempts": 1}
    found = {**found, "finished": "now", "versions": "all", **more}
    return {"id": cell_id(parameters), "status": status, **parameters, "stream": cell_stream(parameters), **found}


@pytest.fixture
def path(tmp_path):
    with Store(tmp_path / "sweep.sqlite", RESULTS) as db:
        for cell in CELLS:
            db.record(row(cell))
    return tmp_path / "sweep.sqlite"
