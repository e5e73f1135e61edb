"""``fastlazy merge``: stores of the shards of a sweep, or of any sweeps, as one."""

from __future__ import annotations

import argparse
from typing import Any

from fastlazy.cli.output import complain, tell

_DESCRIPTION = """\
Write the rows of all stores IN into the store OUT, which is made if it is not there. A cell
that several have is kept once: as it was measured, rather than as it failed. If two stores have
different results of a cell, both are shown, and the exit status is 2.
"""
_EPILOG = """\
example:
  fastlazy sweep FILE --shard 1/2 --store part-1.sqlite      on one machine
  fastlazy sweep FILE --shard 2/2 --store part-2.sqlite      on another
  fastlazy merge all.sqlite part-1.sqlite part-2.sqlite
"""


def add_merge_command(commands: Any) -> None:
    """Add ``fastlazy merge`` to the *commands* of a parser, in place."""
    parser = commands.add_parser(
        "merge",
        help="put stores of sweeps together",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", metavar="OUT", help="the store that gets all rows")
    parser.add_argument("stores", metavar="IN", nargs="+", help="a store of fastlazy sweep")
    parser.set_defaults(run=run_merge)


def run_merge(arguments: argparse.Namespace) -> int:
    """Merge stores; the exit status."""
    from fastlazy.sweeps.merging import merge

    try:
        count = merge(arguments.out, arguments.stores)
    except (ValueError, TypeError, OSError) as error:
        complain(f"fastlazy merge: {error}")
        return 2
    tell(f"{count} cells in {arguments.out}")
    return 0
