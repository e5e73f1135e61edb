"""What commands do where nobody reads, a disk is full, a font is missing, or a signal comes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweep_cells import CELLS

from fastlazy.sweeps.driver import load_sweep

ROOT = Path(__file__).resolve().parents[2]
FIGURE = ["figure", "--d", "6", "--widths", "2,3", "--draws", "1", "--workers", "1"]
SWEEP = '[[grid]]\nregime = "NT"\nd = 3\nN = { range = [1, 20] }\n'
FULL = Path("/dev/full")
posix = pytest.mark.skipif(os.name != "posix", reason="has other signals and devices")
has_full = pytest.mark.skipif(not FULL.exists(), reason="has no device that is always full")

# Few samples, and threads instead of processes, which start faster and give the same.
FEW = """
import sys
from concurrent.futures import ThreadPoolExecutor
from fastlazy.cli.main import main
from fastlazy.figures import risk_table
from fastlazy.figures import lazy_runs
from fastlazy.sweeps import driver
from fastlazy.sweeps.engines import open_engine
lazy_runs._SAMPLES, lazy_runs.quick_samples = 4000, lambda N, d: 4000
risk_table.quick_samples = lazy_runs.quick_samples
driver.open_engine = lambda executor, n_workers: open_engine(ThreadPoolExecutor(2), n_workers)
sys.exit(main(sys.argv[1:]))
"""


def run(arguments, folder, before="", **options):
    """A command in a process of its own, in *folder*."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "", **options.pop("env", {})}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(
        [sys.executable, "-c", before + FEW, *arguments], cwd=folder, env=environment, text=True, **options
    )  # fmt: skip


@pytest.fixture
def unread():
    """A pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.slow
@posix
def test_lazy_saves_all_figures_though_nobody_reads(unread, tmp_path):
    child = run(["lazy", "--d", "8", "--scales", "1,100", "--out", "."], tmp_path, stdout=unread)
    assert child.stderr == ""
    assert child.returncode == 0
    assert len(list(tmp_path.glob("*.pdf"))) == len(list(tmp_path.glob("*.csv"))) == 4


@pytest.mark.slow
@posix
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_sweep_and_a_figure_go_on_though_nobody_reads(stream, unread, tmp_path):
    (tmp_path / "a.toml").write_text(SWEEP)
    assert run(["sweep", "a.toml"], tmp_path, **{stream: unread}).returncode == 0
    assert set(load_sweep(tmp_path / "a.sqlite")["status"]) == {"done"}
    child = run([*FIGURE, "--out", "f"], tmp_path, **{stream: unread})
    assert child.returncode == 0
    assert (tmp_path / "f" / "figure.pdf").exists()
    for output in (child.stdout, child.stderr):
        assert not output or "Error" not in output


@pytest.mark.sampled(1)
@has_full
@pytest.mark.parametrize("arguments", [["info"], ["sweep", "a.toml"], [*FIGURE, "--out", "f"]], ids=lambda a: a[0])
def test_an_output_that_cannot_be_written_is_told(arguments, tmp_path):
    (tmp_path / "a.toml").write_text(SWEEP)
    with FULL.open("w") as full:
        child = run(arguments, tmp_path, stdout=full)
        quiet = run(arguments, tmp_path, stdout=full, stderr=full)
    assert child.returncode == quiet.returncode == 2
    message = child.stderr.splitlines()[-1]
    assert re.fullmatch(rf"fastlazy {arguments[0]}: the output cannot be written \(.*\); make room, or .*", message)


@has_full
def test_help_that_cannot_be_written_is_quiet(tmp_path):
    with FULL.open("w") as full:
        child = run(["--help"], tmp_path, stdout=full)
    assert (child.returncode, child.stderr) == (0, "")


@pytest.mark.slow
@posix
def test_a_sweep_runs_though_its_standard_streams_are_closed(tmp_path):
    (tmp_path / "a.toml").write_text(SWEEP)
    command = f"exec {sys.executable} -m fastlazy sweep a.toml --workers 1 >&- 2>&-"
    child = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert child.returncode == 0
    assert len(load_sweep(tmp_path / "a.sqlite")) == 20


LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"  # as a full disk does


@pytest.mark.slow
@posix
def test_a_full_disk_keeps_the_dots_of_a_figure(tmp_path):
    child = run([*FIGURE, "--out", "f"], tmp_path, before=LIMITED)
    assert child.returncode == 2
    message = child.stderr.splitlines()[-1]
    assert message.startswith("fastlazy figure: the figure cannot be written ([Errno 27] File too large")
    assert "All dots are kept; make room, and: fastlazy figure --from f/figure.sqlite --out ELSEWHERE" in message
    assert len(load_sweep(tmp_path / "f" / "figure.sqlite")) == 6
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["figure.sqlite", "results.csv"]
    assert run(["figure", "--from", "f/figure.sqlite", "--out", "g"], tmp_path).returncode == 0


@pytest.mark.slow
@posix
def test_a_full_disk_keeps_the_numbers_of_lazy_training(tmp_path):
    child = run(["lazy", "--d", "8", "--only", "gap", "--out", "."], tmp_path, before=LIMITED)
    assert child.returncode == 2
    assert "gap target, d = 8" in child.stdout
    assert "File too large" in child.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", [FIGURE, ["lazy", "--d", "8", "--only", "gap"]], ids=lambda command: command[0])
def test_settings_with_which_nothing_can_be_drawn_are_set_aside(command, tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    settings = {"MATPLOTLIBRC": ".", "MPLBACKEND": "no such backend", "PATH": ""}  # without LaTeX
    child = run([*command, "--out", "f"], tmp_path, env=settings)
    assert child.returncode == 0, child.stderr
    assert "fastlazy: matplotlib cannot draw with your settings (Failed to process string with tex" in child.stderr
    assert len(list((tmp_path / "f").glob("*.pdf"))) == 1


def test_settings_that_cannot_be_read_are_told_before_anything_is_measured(tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe")
    child = run([*FIGURE, "--out", "f"], tmp_path, env={"MATPLOTLIBRC": "."})
    assert child.returncode == 2
    assert "fastlazy figure: matplotlib cannot be loaded (" in child.stderr
    assert "Traceback" not in child.stderr
    assert list((tmp_path / "f").iterdir()) == []


# Sends Ctrl-C to the process itself when a module is asked for.
EARLY = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
module = sys.argv[1]
class Finder:
    def find_spec(self, name, *_):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.modules.pop(module, None)
sys.argv = ["fastlazy", "sweep", "a.toml"]
runpy.run_module("fastlazy", run_name="__main__", alter_sys=True)
"""


@posix
@pytest.mark.parametrize(
    "module", ["argparse", "fastlazy.cli.main", "numpy", "fastlazy._support.arguments", "pandas", "numba"]
)
def test_control_c_while_modules_are_loaded_is_quiet(module, tmp_path):
    (tmp_path / "a.toml").write_text(SWEEP)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.run(
        [sys.executable, "-c", EARLY, module], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert child.returncode in (130, -signal.SIGINT), child.stderr
    assert "Traceback" not in child.stderr


PROGRAM = "import sys, sweep_cells, fastlazy; fastlazy.run_sweep(sweep_cells.CELLS, sys.argv[1], n_workers=2)"


@pytest.mark.sampled(1)
@posix
@pytest.mark.parametrize("to", ["driver", "group"])
def test_sigterm_ends_a_sweep_like_control_c(to, tmp_path):
    path = tmp_path / "a.sqlite"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-c", PROGRAM, str(path)]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as driver:
        deadline = time.monotonic() + 300
        while not (path.exists() and path.stat().st_size and len(load_sweep(path)) >= 3):
            assert driver.poll() is None, driver.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (os.kill if to == "driver" else os.killpg)(driver.pid, signal.SIGTERM)
        errors = driver.communicate(timeout=60)[1]  # the workers hold the pipe: they have ended as well
    assert driver.returncode == 128 + signal.SIGTERM
    assert errors.endswith(f"\nterminated: finished cells are in {path}; the same call goes on from there\n")
    assert "Traceback" not in errors
    assert 3 <= len(load_sweep(path)) < len(CELLS)
    assert os.listdir(tmp_path) == ["a.sqlite"]
