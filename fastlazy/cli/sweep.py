"""``fastlazy sweep``: the cells that a file describes, measured into a store."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import textwrap
import time
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fastlazy._support.arguments import check_count
from fastlazy._support.files import check_path
from fastlazy.cli.output import complain, tell

_DESCRIPTION = """\
Measure the cells that FILE describes, into a store: an SQLite file with one row for each
finished cell. The same command after an interruption, or with more cells in FILE, measures
what is missing.

FILE is TOML. Each table [[grid]] is a product of axes, keys as in fastlazy.run_sweep; [shared]
holds what all have in common. An axis is a value, a list, { range = [first, last] } of whole
numbers, both included, or { geom = [first, last, count] } of whole numbers in equal ratios.
Above them may stand measure = "package.module:function", a quantity of one's own, as in
fastlazy.run_sweep; a module in FILE's folder is found, too.
"""
_EPILOG = """\
example of a FILE:
  [shared]
  d = 450
  N = { geom = [30, 4500, 12] }

  [[grid]]
  regime = ["RF", "NT"]
  draw = { range = [0, 9] }

  [[grid]]
  regime = "NN"
  n_samples = 2_000_000
"""
_ROWS = 60  # of the summary
_ERRORS = 5  # that are printed
_START = 3.0  # seconds in which workers load what they need
_DOUBT = 4.0  # the factor by which a time that is guessed may be off


def add_sweep_command(commands: Any) -> None:
    """Add ``fastlazy sweep`` to the *commands* of a parser, in place."""
    parser = commands.add_parser(
        "sweep",
        help="measure many cells, here or on a cluster",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="the cells, in TOML")
    parser.add_argument("--store", help="where results go (default: FILE's name with .sqlite, in this folder)")
    parser.add_argument("--executor", help="dask:tcp://host:port, a dask scheduler (default: processes here)")
    parser.add_argument("--workers", type=int, help="processes (default: one for each core)")
    parser.add_argument(
        "--export", metavar="TABLE", help="write the table to a .csv or .parquet file, too (default: no)"
    )
    parser.add_argument(
        "--measure", metavar="MODULE:FUNCTION", help="a quantity of one's own (default: FILE's measure, or none)"
    )
    parser.add_argument(
        "--on-change", choices=["measure", "keep"],
        help="cells for which the quantity's function was another: measure them again, or keep their numbers "
        "(default: an error)",
    )  # fmt: skip
    parser.add_argument(
        "--shard", metavar="K/M",
        help="the K-th of M parts of about equal cost, the same on every machine; see fastlazy merge (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="give up a cell that takes longer (default: let it take its time)",
    )
    parser.add_argument(
        "--rerun-failed",
        action="store_true",
        help="try failed, crashed and timed-out cells again (default: leave them)",
    )
    parser.add_argument(
        "--rerun", metavar="STATUS,...", default="",
        help="try cells with these statuses again: failed, crashed, timeout, diverged (default: none)",
    )  # fmt: skip
    parser.add_argument(
        "--tracebacks", action="store_true", help="print where failed cells failed (default: only the errors)"
    )
    parser.add_argument(
        "--log", metavar="LOG", help="where a line is added for each cell that ends (default: STORE.log; '' for none)"
    )
    parser.add_argument(
        "--on-end", metavar="COMMAND",
        help="what the shell runs when the sweep has ended, however, with FASTLAZY_STORE, FASTLAZY_STATUS (the exit "
        "status) and FASTLAZY_SUMMARY in its environment, as to send mail (default: nothing)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="only say how much there is to do (default: do it)")
    parser.set_defaults(run=run_sweep_command)


def run_sweep_command(arguments: argparse.Namespace) -> int:
    """Measure, write and print a sweep; the exit status, 1 if cells have failed."""
    try:
        file = check_path("FILE", arguments.file)
        store = Path(file.with_suffix(".sqlite").name)
        if arguments.store is not None:
            store = check_path("--store", arguments.store)
        if arguments.workers is not None:
            check_count("--workers", arguments.workers)
        arguments.rerun = [status.strip() for status in arguments.rerun.split(",") if status.strip()]
        cells = read_cells(arguments.file)
        arguments.measure = arguments.measure or read_measure(arguments.file)
        if arguments.measure is not None and (folder := str(file.parent.resolve())) not in sys.path:
            sys.path.insert(0, folder)  # as Python does for a script; workers get it, too
        if arguments.dry_run:
            return _dry_run(cells, store, arguments)
        with _told_of_end(store, arguments.on_end) as told:
            told.status = _run(cells, store, arguments)
        return told.status
    except (ValueError, TypeError, OSError, RuntimeError, ModuleNotFoundError) as error:
        complain(f"fastlazy sweep: {error}")
        return 2
    except KeyboardInterrupt:
        complain(f"\ninterrupted: finished cells are in {store}; the same command goes on from there")
        return 130


def read_cells(path: str) -> list[dict[str, Any]]:
    """The cells that a file describes.

    Raises
    ------
    OSError
        If the file cannot be read.
    TypeError, ValueError
        If it is not TOML, or not of the form that the command's help shows.
    """
    from fastlazy.sweeps.cells import check_number_of_cells, grid

    content = _read_toml(path)
    shared, grids = content.pop("shared", {}), content.pop("grid", [])
    if others := content.keys() - {"measure"}:
        listed = ", ".join(map(repr, sorted(others)))
        raise ValueError(f"{path} has {listed}; it may have only measure, [shared] and [[grid]]")
    if not isinstance(shared, dict) or not isinstance(grids, list) or not grids:
        raise ValueError(f"{path} has no [[grid]]; write one for each product of axes, see fastlazy sweep --help")
    cells = []
    for k, table in enumerate(grids):
        try:
            cells += grid(**{name: _axis(name, value) for name, value in {**shared, **table}.items()})
            check_number_of_cells(len(cells), f"of {k + 1} grids")
        except (TypeError, ValueError) as error:
            raise type(error)(f"{path}, [[grid]] number {k + 1}: {error}") from None
    return cells


def read_measure(path: str) -> str | None:
    """The name of the function that the file has for a quantity of the user's, if it has one; errors as `read_cells`.

    Raises
    ------
    TypeError
        If it is no string.
    """
    name = _read_toml(path).get("measure")
    if not isinstance(name, str | None):
        raise TypeError(f"{path}: measure must be a string, got {name!r}; write measure = 'package.module:function'")
    return name


def _read_toml(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text("utf-8-sig"))  # some editors begin a file with a byte order mark
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None


def _axis(name: str, value: Any) -> Any:
    """The values that an axis stands for."""
    if not isinstance(value, dict):
        return value
    match value:
        case {"range": [int(first), int(last)], **others} if not others:
            return range(first, last + 1)
        case {"geom": [int(first), int(last), int(count)], **others} if not others and min(first, last, count) > 0:
            import numpy as np

            from fastlazy.sweeps.cells import check_number_of_cells

            check_number_of_cells(count, f"of {name}")
            check_count(name, max(first, last))
            return sorted({round(number) for number in np.geomspace(first, last, count).tolist()})
    raise ValueError(
        f"{name} = {value} is not an axis; write {{ range = [first, last] }} or {{ geom = [first, last, count] }} of "
        "whole numbers"
    )


class _End:
    """How a sweep ended: with an exit status, if it came so far."""

    status = 2


@contextmanager
def _told_of_end(store: Path, command: str | None) -> Iterator[_End]:
    """Runs *command* when the block is left, however."""
    end = _End()
    try:
        yield end
    except BaseException as error:
        end.status = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "code", end.status)
        raise
    finally:
        if command is not None:
            _run_command(command, store, end.status)


def _run_command(command: str, store: Path, status: int) -> None:
    from fastlazy.sweeps.status import read_status

    summary = ""
    with suppress(OSError, ValueError):
        summary = ", ".join(f"{name} {count}" for name, count in read_status(store).counts.items())
    told = {"FASTLAZY_STORE": str(store), "FASTLAZY_STATUS": str(status), "FASTLAZY_SUMMARY": summary}
    done = subprocess.run(command, shell=True, env={**os.environ, **told})
    if done.returncode:
        complain(f"fastlazy sweep: --on-end {command!r} ended with status {done.returncode}")


def _dry_run(cells: list[dict[str, Any]], store: Path, arguments: argparse.Namespace) -> int:
    from fastlazy._support.threads import available_cores
    from fastlazy.sweeps.planning import plan_sweep
    from fastlazy.sweeps.progress import duration

    options = {"rerun_failed": arguments.rerun_failed, "rerun": arguments.rerun, "shard": arguments.shard}
    plan = plan_sweep(cells, store, **options, **_measuring(arguments))
    workers = arguments.workers or available_cores()
    diverged = f" and {plan.diverged} diverged" if plan.diverged else ""
    ended = f"{plan.finished} finished and {plan.failed} failed{diverged}"
    lines = [f"{plan.cells} cells: {ended} in {store}, {plan.left} to run"]

    def lasting(doubt: float) -> str:
        """How long it lasts if what is guessed takes so many times as long."""
        seconds = max((plan.seconds + (doubt - 1) * plan.guessed) / workers, plan.longest * doubt)
        return duration(seconds + _START if plan.left else 0.0)

    many = f"with {workers} worker{'s' * (workers > 1)}"
    source = f"from {plan.measured} measured cells" if plan.measured else "a guess: no cell has been measured yet"
    if plan.guessed:
        source += "; a guess for cells of other kinds" * (plan.measured > 0)
        lines.append(f"{lasting(1 / _DOUBT)} to {lasting(_DOUBT)} {many} ({source}), and up to a minute to compile")
    else:
        lines.append(f"about {lasting(1.0)} {many} ({source})")
    lines.append(f"the longest cell about {duration(plan.longest)}")
    tell("\n".join(lines))
    return 0


def _run(cells: list[dict[str, Any]], store: Path, arguments: argparse.Namespace) -> int:
    from fastlazy.sweeps.driver import run_sweep
    from fastlazy.sweeps.export import check_export, export
    from fastlazy.sweeps.progress import duration

    if arguments.export is not None:
        check_export(arguments.export)
    start = time.perf_counter()
    table = run_sweep(
        cells,
        store,
        executor=arguments.executor,
        n_workers=arguments.workers,
        rerun_failed=arguments.rerun_failed,
        rerun=arguments.rerun,
        timeout=arguments.timeout,
        shard=arguments.shard,
        log=f"{store}.log" if arguments.log is None else arguments.log or None,
        **_measuring(arguments),
    )
    if arguments.export is not None:
        try:
            export(table, arguments.export)
        except OSError as error:
            raise OSError(
                f"{arguments.export} cannot be written ({error}). All cells are kept in {store}; make room and run the "
                "same command again"
            ) from None
    other = table[table["status"] != "done"]
    diverged = int((table["status"] == "diverged").sum())
    # Of older stores the column may be missing.
    unconverged = int((table["fit_status"] == "unconverged").sum()) if "fit_status" in table else 0
    ended = f"{len(other) - diverged} failed" + f", {diverged} diverged" * (diverged > 0)
    ended += f", {unconverged} not converged" * (unconverged > 0)
    tell(
        "\n".join(
            [*_summary(table), f"{len(table)} cells in {duration(time.perf_counter() - start)}, {ended}: {store}"]
        )
    )
    _complain_of(other, arguments.tracebacks)
    return 1 if len(other) else 0


def _measuring(arguments: argparse.Namespace) -> dict[str, Any]:
    """What a sweep has to know of a quantity of the user's."""
    return {"measure": arguments.measure, "on_change": arguments.on_change or "raise"}


def _complain_of(cells: Any, tracebacks: bool) -> None:
    """Print the errors of *cells*, each once, the most frequent first, and where they come from if asked for."""
    for error, count in cells["error"].value_counts().head(_ERRORS).items():
        complain(f"  {count} x {error}")
        first = cells[cells["error"] == error].iloc[0]["traceback"]
        if tracebacks and isinstance(first, str):
            complain(textwrap.indent(first, "      "))
    if not tracebacks and cells["traceback"].notna().any():
        complain("  --tracebacks shows where they come from, as does the column traceback of the store")


def _summary(table: Any) -> Iterable[str]:
    """Mean and standard deviation of the measured ratio for each setting, beside the prediction."""
    import pandas as pd

    from fastlazy.sweeps.cells import KEYS, REPEATS

    done = table[table["status"] == "done"]
    axes = [name for name in KEYS if name not in REPEATS and (name in ("regime", "N") or _varies(table, name))]
    groups = done.groupby(axes, dropna=False, sort=True)
    rows = [[*axes, "cells", "measured", "+-", "predicted"]]
    for values, group in groups:
        ratio, predicted = group["ratio"], group["predicted"].iloc[0]
        spread = f"{ratio.std():.4f}" if len(ratio) > 1 else ""
        numbers = [f"{ratio.mean():.4f}", spread, "" if pd.isna(predicted) else f"{predicted:.4f}"]
        rows.append([*("" if pd.isna(value) else _shown(value) for value in values), str(len(group)), *numbers])
    hidden = len(rows) - 1 - _ROWS
    rows = rows[: _ROWS + 1]
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.rjust(size) for cell, size in zip(row, sizes, strict=True))
    if hidden > 0:
        yield f"and {hidden} rows more"


def _varies(table: Any, name: str) -> bool:
    """Whether cells differ in a key, those of one regime perhaps in having it."""
    within = table.groupby("regime")[name].nunique(dropna=False)
    return bool(table[name].nunique() > 1 or (within > 1).any())


def _shown(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."
