"""Sweeps that are killed again and again, at any moment: no row is lost, and tables are the same to the bit.

    python tests/kill_sweeps.py --kills 200

SIGKILL goes to the driver, to one of its workers, and to all of them, each in a third of the cases. A sweep that was
killed is started again on its store; one that is through is compared with an uninterrupted one, and another begins.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

import pandas as pd
import psutil

ROOT = Path(__file__).resolve().parents[1]
PATHS = [str(ROOT), str(ROOT / "tests")]
sys.path[:0] = PATHS

from sweep_cells import CELLS  # noqa: E402  (found through the path above)

from fastlazy.sweeps.driver import load_sweep, run_sweep  # noqa: E402
from fastlazy.sweeps.store import TIMINGS  # noqa: E402

PROGRAM = "import sys, sweep_cells, fastlazy; fastlazy.run_sweep(sweep_cells.CELLS, sys.argv[1], n_workers=2)"
KINDS = ("driver", "worker", "group")
ROWS = 9  # at most so many cells between two kills
DEADLINE = 600.0  # seconds in which something must happen


def kill_sweeps(kills, folder, seed, say=print):
    """Kill so many times; the number of sweeps that came through.

    Raises
    ------
    AssertionError
        If a row was lost, or is not what an uninterrupted sweep has.
    """
    rng, kinds, through = random.Random(seed), deque(islice(cycle(KINDS), kills)), 0
    whole = run_sweep(CELLS, folder / "whole.sqlite", n_workers=2, progress=False)
    while kinds:
        path = folder / f"{through}.sqlite"
        while not live(path, whole, kinds, rng):
            pass
        assert not list(folder.glob(f"{path.name}?*")), "files were left beside the store"
        through += 1
        say(f"{kills - len(kinds)} kills, {through} sweeps came through")
    return through


def live(path, whole, kinds, rng):
    """Start or go on with the sweep at *path*, and kill as *kinds*, a queue, says; whether it came through."""
    kept = read(path)
    with start(path) as driver:
        while kinds and driver.poll() is None:
            kept = wait_for(len(kept) + rng.randrange(ROWS), path, driver)
            time.sleep(rng.uniform(0, 0.3))
            if kill(kinds[0], driver, rng):
                kinds.popleft()
        errors = driver.communicate(timeout=DEADLINE)[1]  # ends when the workers have ended, too, who hold the pipe
    for left in Path("/dev/shm").glob(f"sem.loky-{driver.pid}-*"):  # as docs/sweeps.md says
        left.unlink()
    found = read(path)
    assert set(kept["id"]) <= set(found["id"]), "rows were lost"
    expected = whole.iloc[pd.Index(whole["id"]).get_indexer(found["id"])].reset_index(drop=True)
    columns = [name for name in whole if name not in TIMINGS]
    if len(found):
        pd.testing.assert_frame_equal(found[columns], expected[columns], check_exact=True)
    assert driver.returncode in (0, -signal.SIGKILL), errors
    assert driver.returncode or len(found) == len(CELLS)
    return driver.returncode == 0


def start(path):
    """A driver with two workers, in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}
    command = [sys.executable, "-c", PROGRAM, str(path)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(rows, path, driver):
    """The table of the store once it has so many *rows*, or the sweep has ended."""
    deadline = time.monotonic() + DEADLINE
    while len(table := read(path)) < rows and driver.poll() is None:
        assert time.monotonic() < deadline, "the sweep hangs"
        time.sleep(0.05)
    return table


def read(path):
    """The table of a store that may not be there yet."""
    return load_sweep(path) if path.exists() and path.stat().st_size else pd.DataFrame({"id": []})


def kill(kind, driver, rng):
    """Send SIGKILL; whether there was someone to receive it."""
    if driver.poll() is not None:
        return False
    if kind == "worker":
        with suppress(psutil.Error):
            children = psutil.Process(driver.pid).children()
            workers = [child for child in children if "popen_loky" in " ".join(child.cmdline())]
            if workers:
                rng.choice(workers).kill()
                return True
        return False
    if kind == "group":
        os.killpg(driver.pid, signal.SIGKILL)
    driver.kill()
    driver.wait()
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the moments (default: any)")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        through = kill_sweeps(arguments.kills, Path(folder), arguments.seed)
    print(
        f"{arguments.kills} kills of the {', '.join(KINDS)} in turn, {through} sweeps came through in "
        f"{time.monotonic() - begin:.0f} s: no row was lost, and all tables are equal"
    )


if __name__ == "__main__":
    main()
