"""``fastlazy explore``: a page with sliders for a lecture, in one file."""

from __future__ import annotations

import argparse
import webbrowser
from typing import Any

from fastlazy._support.arguments import check_count
from fastlazy._support.files import check_path, check_writable, replace_file
from fastlazy.cli.output import complain, tell

_LARGEST = 200  # of d; the page holds of the order of d^2 numbers, and making it takes a time of d^3
_DESCRIPTION = """\
Write a page with sliders for the number of neurons and the scale alpha, and a choice of the
spectrum of B and of the non-linearity. Lines of RF, NT and NN, and the shares that they capture of
each eigendirection, move at once. One file of HTML, which needs no network and no server.
"""
_EPILOG = """\
examples:
  fastlazy explore                              writes the page and opens it in the browser
  fastlazy explore --out lecture.html --no-open
"""


def add_explore_command(commands: Any) -> None:
    """Add ``fastlazy explore`` to the *commands* of a parser, in place."""
    parser = commands.add_parser(
        "explore",
        help="write a page with sliders, for a lecture",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", metavar="FILE", default="fastlazy-explore.html", help="the page (default: %(default)s)"
    )
    parser.add_argument("--no-open", action="store_true", help="do not open it in the browser (default: open it)")
    parser.add_argument("--d", type=int, default=100, help="input dimension, 2 to 200 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all that is drawn (default: %(default)s)")
    parser.set_defaults(run=run_explore)


def run_explore(arguments: argparse.Namespace) -> int:
    """Write the page and open it; the exit status."""
    try:
        path = check_path("--out", arguments.out)
        check_writable(path)
        check_count("--seed", arguments.seed, 0)
        if check_count("--d", arguments.d, 2) > _LARGEST:
            raise ValueError(f"--d must be at most {_LARGEST}, got {arguments.d}; the page would be too large")
        # The heavy modules are loaded once the arguments are known to be good.
        from fastlazy.figures.explore_page import explore_page
        from fastlazy.figures.explore_tables import explore_data

        page = explore_page(explore_data(arguments.d, arguments.seed))
        replace_file(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))
        address = path.resolve().as_uri()
        tell(f"{path}: open {address}")
        if not arguments.no_open and not webbrowser.open(address):
            complain("fastlazy explore: no browser was found; open the page by hand")
    except (ValueError, OSError) as error:
        complain(f"fastlazy explore: {error}")
        return 2
    return 0
