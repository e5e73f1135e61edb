"""``fastlazy status``: how a sweep stands, from any shell and while it runs; as text, as JSON, or as a page."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

from fastlazy._support.files import check_path, check_writable, replace_file
from fastlazy.cli.output import complain, tell

_DESCRIPTION = """\
Print how the sweep of a store stands: cells of each status, the rate, the time left by
regime, what each worker is at, the slowest cells and the errors. The store is only read.
"""
_EPILOG = """\
examples:
  fastlazy status sweep.sqlite
  fastlazy status sweep.sqlite --watch
  fastlazy status sweep.sqlite --html sweep.html      a page for the browser, in one file
"""
_EVERY = 2.0  # seconds between two looks of --watch


def add_status_command(commands: Any) -> None:
    """Add ``fastlazy status`` to the *commands* of a parser, in place."""
    parser = commands.add_parser(
        "status",
        help="print how a sweep stands, while it runs or later",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("store", metavar="STORE", help="the store of fastlazy sweep")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="print, and write --html, every other second until the sweep ends (default: once)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one line each time (default: text)")
    parser.add_argument(
        "--html", metavar="FILE", help="also write a page with the table, risk curves and tracebacks (default: no)"
    )
    parser.set_defaults(run=run_status)


def run_status(arguments: argparse.Namespace) -> int:
    """Print how a sweep stands; the exit status."""
    from fastlazy.sweeps.status import read_status

    try:
        if arguments.html is not None:
            check_writable(check_path("--html", arguments.html))
        while True:
            status = read_status(arguments.store)
            tell(json.dumps(status._asdict()) if arguments.json else "\n".join(_lines(status)))
            if arguments.html is not None:
                _write_page(status, arguments.html)
            if not arguments.watch or status.state != "running":
                return 0
            time.sleep(_EVERY)
    except (ValueError, TypeError, OSError) as error:
        complain(f"fastlazy status: {error}")
        return 2


def _write_page(status: Any, path: str) -> None:
    from fastlazy.cli.output import load_matplotlib
    from fastlazy.figures.status_page import status_page

    load_matplotlib()
    page = status_page(status)
    replace_file(check_path("--html", path), lambda temporary: temporary.write_text(page, encoding="utf-8"))


def _lines(status: Any) -> Iterator[str]:
    """What is printed."""
    from fastlazy.sweeps.progress import duration
    from fastlazy.sweeps.status import words_of_state

    yield f"{status.store}: {words_of_state(status)}"
    yield "  " + ", ".join(f"{name} {count}" for name, count in status.counts.items())
    if status.rate is not None:
        guess = " (a guess)" if any(row["guessed"] for row in status.left.values()) else ""
        yield f"  {status.rate:.3g} cells/s, time left {duration(status.seconds_left)}{guess}"
    for regime, row in status.left.items():
        if row["cells"] and status.rate is not None:
            yield f"    {regime}: {row['cells']} left, {duration(row['seconds'])}" + " (a guess)" * row["guessed"]
    if status.workers is not None:
        memory = f", driver {status.memory_mb:.0f} MB" if status.memory_mb else ""
        yield f"  {status.workers} workers{memory}"
    for entry in status.running:
        memory = f", {entry['memory_mb']:.0f} MB" if entry.get("memory_mb") else ""
        many = f" and {entry['batch'] - 1} more" if entry["batch"] > 1 else ""
        yield f"    {entry.get('worker', 'in flight')}: {entry['cell']}{many}, {duration(entry['seconds'])}{memory}"
    if status.slowest:
        yield "  slowest:"
    for row in status.slowest[:5]:
        yield f"    {duration(row['seconds'])}  {row['cell']} ({row['status']})"
    if status.errors:
        yield "  errors (--html shows where they come from):"
    for row in status.errors:
        yield f"    {row['cells']} x {row['status']}: {' '.join(row['error'].split())}"
