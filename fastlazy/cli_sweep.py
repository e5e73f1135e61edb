"""``fastlazy sweep``: the cells that a file describes, measured into a store."""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastlazy._validate import check_count

_DESCRIPTION = """\
Measure the cells that FILE describes, into a store: an SQLite file with one row for each
finished cell. The same command after an interruption, or with more cells in FILE, measures
what is missing.

FILE is TOML. Each table [[grid]] is a product of axes, keys as in fastlazy.run_sweep; [shared]
holds what all have in common. An axis is a value, a list, { range = [first, last] } of whole
numbers, both included, or { geom = [first, last, count] } of whole numbers in equal ratios.
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
_REPEATS = ("draw", "seed")  # what the summary takes the mean over


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
    parser.add_argument("--rerun-failed", action="store_true", help="try failed cells again (default: leave them)")
    parser.add_argument("--dry-run", action="store_true", help="only say how much there is to do (default: do it)")
    parser.set_defaults(run=run_sweep_command)


def run_sweep_command(arguments: argparse.Namespace) -> int:
    """Measure, write and print a sweep; the exit status, 1 if cells have failed."""
    store = Path(arguments.store or Path(arguments.file).with_suffix(".sqlite").name)
    try:
        if arguments.workers is not None:
            check_count("--workers", arguments.workers)
        cells = read_cells(arguments.file)
        return _dry_run(cells, store, arguments) if arguments.dry_run else _run(cells, store, arguments)
    except (ValueError, TypeError, OSError, RuntimeError, ModuleNotFoundError) as error:
        print(f"fastlazy sweep: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ninterrupted: finished cells are in {store}; the same command goes on from there", file=sys.stderr)
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
    from fastlazy.cells import grid

    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    shared, grids = content.pop("shared", {}), content.pop("grid", [])
    if content:
        raise ValueError(f"{path} has {', '.join(map(repr, content))}; it may have only [shared] and [[grid]]")
    if not isinstance(shared, dict) or not isinstance(grids, list) or not grids:
        raise ValueError(f"{path} has no [[grid]]; write one for each product of axes, see fastlazy sweep --help")
    cells = []
    for k, table in enumerate(grids):
        try:
            cells += grid(**{name: _axis(name, value) for name, value in {**shared, **table}.items()})
        except (TypeError, ValueError) as error:
            raise type(error)(f"{path}, [[grid]] number {k + 1}: {error}") from None
    return cells


def _axis(name: str, value: Any) -> Any:
    """The values that an axis stands for."""
    if not isinstance(value, dict):
        return value
    match value:
        case {"range": [int(first), int(last)], **others} if not others:
            return list(range(first, last + 1))
        case {"geom": [int(first), int(last), int(count)], **others} if not others and min(first, last, count) > 0:
            import numpy as np

            return sorted({round(number) for number in np.geomspace(first, last, count).tolist()})
    raise ValueError(
        f"{name} = {value} is not an axis; write {{ range = [first, last] }} or {{ geom = [first, last, count] }} of "
        "whole numbers"
    )


def _dry_run(cells: list[dict[str, Any]], store: Path, arguments: argparse.Namespace) -> int:
    from fastlazy._team import available_cores
    from fastlazy.sweep import duration, plan_sweep

    plan = plan_sweep(cells, store, rerun_failed=arguments.rerun_failed)
    workers = arguments.workers or available_cores()
    left = plan.cells - plan.finished - (0 if arguments.rerun_failed else plan.failed)
    seconds = max(plan.seconds / workers, plan.longest)
    source = f"from {plan.measured} measured cells" if plan.measured else "a guess: no cell has been measured yet"
    print(f"{plan.cells} cells: {plan.finished} finished and {plan.failed} failed in {store}, {left} to run")
    many = f"{workers} worker{'s' * (workers > 1)}"
    print(f"about {duration(seconds)} with {many} ({source}); the longest cell {duration(plan.longest)}")
    return 0


def _run(cells: list[dict[str, Any]], store: Path, arguments: argparse.Namespace) -> int:
    from fastlazy.store import check_export, export
    from fastlazy.sweep import duration, run_sweep

    if arguments.export is not None:
        check_export(arguments.export)
    start = time.perf_counter()
    table = run_sweep(
        cells,
        store,
        executor=arguments.executor,
        n_workers=arguments.workers,
        rerun_failed=arguments.rerun_failed,
    )
    if arguments.export is not None:
        export(table, arguments.export)
    failed = table[table["status"] != "done"]
    print("\n".join(_summary(table)))
    print(f"{len(table)} cells in {duration(time.perf_counter() - start)}, {len(failed)} failed: {store}")
    for error, count in failed["error"].value_counts().head(5).items():
        print(f"  {count} x {error}", file=sys.stderr)
    return 1 if len(failed) else 0


def _summary(table: Any) -> Iterable[str]:
    """Mean and standard deviation of the measured ratio for each setting, beside the prediction."""
    from fastlazy.cells import KEYS

    done = table[table["status"] == "done"]
    axes = [name for name in KEYS if name not in _REPEATS and (name in ("regime", "N") or _varies(table[name]))]
    groups = done.groupby(axes, dropna=False, sort=True)
    rows = [[*axes, "cells", "measured", "+-", "predicted"]]
    for values, group in groups:
        ratio, predicted = group["ratio"], group["predicted"].iloc[0]
        spread = f"{ratio.std():.4f}" if len(ratio) > 1 else ""
        numbers = [f"{ratio.mean():.4f}", spread, "" if predicted != predicted else f"{predicted:.4f}"]
        rows.append([*("" if value != value else _shown(value) for value in values), str(len(group)), *numbers])
    hidden = len(rows) - 1 - _ROWS
    rows = rows[: _ROWS + 1]
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.rjust(size) for cell, size in zip(row, sizes, strict=True))
    if hidden > 0:
        yield f"and {hidden} rows more"


def _varies(column: Any) -> bool:
    return column.nunique(dropna=True) > 1


def _shown(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."
