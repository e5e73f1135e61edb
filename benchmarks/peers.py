"""Print how fast fastlazy is beside other libraries: `python benchmarks/peers.py sgd|gram|data [--threads 2]`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

if __name__ == "__main__":
    # A script finds only its own folder; first, so that what is measured is the checkout, installed or not.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.side_by_side import data_rows, gram_rows, sgd_rows

COMPARISONS = {"sgd": sgd_rows.compare, "gram": gram_rows.compare, "data": data_rows.compare}


def main(argv: list[str] | None = None) -> None:
    """Parse, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("comparison", choices=COMPARISONS)
    parser.add_argument("--threads", type=int, default=2, help="most threads that anyone may use (default 2)")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer timings")
    parser.add_argument("--only", default="", metavar="TEXT", help="only rows whose name contains it, as 'rf_kernel'")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save all numbers, too")
    arguments = parser.parse_args(argv)
    try:
        report, numbers = COMPARISONS[arguments.comparison](arguments.threads, arguments.quick, arguments.only)
    except ValueError as error:
        parser.error(str(error))
    print(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
