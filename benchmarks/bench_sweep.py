"""Sweeps under asv: what a trivial cell costs, how fast finished ones load, the driver's memory, a second worker.

The sizes stand here, where the tests replace them by small ones.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fastlazy
from fastlazy.sweeps.cells import cell_stream, check_cells
from fastlazy.sweeps.engines import Workers
from fastlazy.sweeps.measure import RESULTS
from fastlazy.sweeps.store import Store

CELLS = 100_000  # finished cells in a store, and tiny cells of one sweep
TRIVIAL = 1000
EQUAL = 40  # cells of one second
SAMPLES = 100_000  # of one of them
# In a process of its own, whose memory is the driver's alone; threads in place of workers would count, too.
DRIVER = """
import resource, sys
import fastlazy
cells = fastlazy.grid(regime="RF", d=5, N=3, draw=range(int(sys.argv[2])))
fastlazy.run_sweep(cells, sys.argv[1], progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
"""


def trivial_cells(count):
    """Cells that take next to nothing."""
    return fastlazy.grid(regime="RF", d=5, N=3, draw=range(count))


class Folder:
    """A folder for stores, and its end."""

    timeout = 3600

    def setup(self, *_):
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self, *_):
        self.folder.cleanup()

    def store(self, name):
        return Path(self.folder.name) / f"{name}.sqlite"

    def seconds(self, cells, name, n_workers):
        """Seconds of a sweep by workers that are up."""
        with Workers(n_workers) as pool:
            options = {"executor": pool, "n_workers": n_workers, "progress": False}
            fastlazy.run_sweep(cells[: 2 * n_workers], self.store(name), **options)
            start = time.perf_counter()
            fastlazy.run_sweep(cells[2 * n_workers :], self.store(name), **options)
            return time.perf_counter() - start


class Overhead(Folder):
    """A sweep of cells that take next to nothing."""

    params = ([1, 2],)
    param_names = ("workers",)

    def track_each(self, workers):
        return 1e3 * self.seconds(trivial_cells(TRIVIAL + 2 * workers), "trivial", workers) / TRIVIAL

    track_each.unit = "ms"


class Load(Folder):
    """A store of finished cells."""

    def setup(self):
        super().setup()
        with Store(self.store("many"), RESULTS) as db:
            for key, parameters in check_cells(trivial_cells(CELLS)).items():
                row = {"id": key, "status": "done", **parameters, "stream": cell_stream(parameters), "attempts": 1}
                timings = {"seconds": 0.1, "worker": "node/123", "finished": "2026", "versions": 60 * "x"}
                db.record({**row, **timings, **dict.fromkeys(("risk", "null_risk", "ratio", "predicted"), 1 / 3)})

    def time_load(self):
        fastlazy.load_sweep(self.store("many"))

    def time_resume(self):
        fastlazy.run_sweep(trivial_cells(CELLS), self.store("many"), progress=False)


class Memory(Folder):
    """The driver of many tiny cells."""

    def track_driver(self):
        command = [sys.executable, "-c", DRIVER, str(self.store("tiny")), str(CELLS)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    track_driver.unit = "MB"


class SecondWorker(Folder):
    """Equal cells with two workers, in the time that one takes."""

    def track_ratio(self):
        draws = {count: range(EQUAL + 2 * count) for count in (1, 2)}
        cells = {k: fastlazy.grid(regime="NN", d=450, N=450, n_samples=SAMPLES, draw=draws[k]) for k in draws}
        one, two = (self.seconds(cells[count], f"workers-{count}", count) for count in (1, 2))
        return two / one

    track_ratio.unit = "of the time of one"
