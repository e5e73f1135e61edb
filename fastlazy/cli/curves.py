"""``fastlazy curves``: learning curves, measured and predicted."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

from fastlazy._support.arguments import check_choice, check_count
from fastlazy._support.files import replace_file, writable_folder
from fastlazy.cli.options import add_style_option, check_style, parse_counts, parse_ridge
from fastlazy.cli.output import complain, load_matplotlib, save_figure, tell

_STORE = "curves.sqlite"
_FILES = ("curves.png", "curves.pdf", "curves.csv", "lines.csv", _STORE)
_DESCRIPTION = """\
Draw the risk of random features (RF), the neural tangent model (NT) and the trained network
(NN) against the number of samples n, at one width N, for y = <x, Bx> + b0 with eigenvalues of
B iid Exp(1). A panel for each ridge: the penalty beside the mean of the squared errors.

Lines are predictions, for which no sample is drawn; dots are fits to samples, and networks
trained by SGD that saw each sample once: means of exact risks over draws, with standard errors.
Without a ridge RF and NT peak where n is the number of their parameters, N and N d; for x^2
NT at the number of its functions, d (d + 1) / 2 for N >= d. Writes curves.png, curves.pdf, and
curves.csv and lines.csv with their numbers. Dots go to curves.sqlite as they are finished: the
same command after an interruption goes on from there.
"""
_EPILOG = """\
examples:
  fastlazy curves                           d = 40, N = 60, relu, ridges 0, 0.1 and the best
  fastlazy curves --activation square --N 20
  fastlazy curves --ridges 0,best --sizes 30,100,300,1000,3000 --draws 20
"""


def add_curves_command(commands: Any) -> None:
    """Add ``fastlazy curves`` to the *commands* of a parser, in place."""
    parser = commands.add_parser(
        "curves",
        help="draw risk against the number of samples for RF, NT and NN",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", metavar="DIR", default="fastlazy-curves", help="folder to write to (default: %(default)s)"
    )
    parser.add_argument("--d", type=int, default=40, help="input dimension (default: %(default)s)")
    parser.add_argument("--N", type=int, metavar="N", help="neurons (default: 1.5 d)")
    parser.add_argument(
        "--activation", metavar="NAME", default="relu", help="non-linearity of all (default: %(default)s)"
    )
    parser.add_argument(
        "--ridges", metavar="R,R,...", default="0,0.1,best",
        help="penalties, a panel for each; 'best' is the one of the least predicted risk at each n "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--sizes", metavar="n,n,...", help="numbers of samples (default: 18 from d/4 to 8 N d)")
    parser.add_argument("--draws", type=int, default=8, help="of weights and samples for a dot (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn (default: %(default)s)")
    parser.add_argument("--workers", type=int, help="processes to measure with (default: one for each core)")
    add_style_option(parser)
    parser.set_defaults(run=run_curves)


def run_curves(arguments: argparse.Namespace) -> int:
    """Measure, write and print the curves; the exit status."""
    start = time.perf_counter()
    out = Path(arguments.out)
    try:
        for name, minimum in (("d", 2), ("N", 1), ("draws", 1), ("seed", 0), ("workers", 1)):
            if getattr(arguments, name) is not None:
                check_count(f"--{name}", getattr(arguments, name), minimum)
        penalties = _parse_ridges(arguments.ridges)
        sizes = None if arguments.sizes is None else parse_counts("--sizes", arguments.sizes, "30,300,3000")
        _check_activation(arguments.activation)
        writable_folder(arguments.out, _FILES)
        load_matplotlib()
        check_style(arguments.style)
        failed, printed = _draw(arguments, penalties, sizes, out)
    except (ValueError, OSError, RuntimeError) as error:
        complain(f"fastlazy curves: {error}")
        return 2
    except KeyboardInterrupt:
        complain(f"\ninterrupted: dots are in {out / _STORE}; the same command goes on from there")
        return 130
    if printed is None:
        return 1
    tell(f"{printed} in {time.perf_counter() - start:.0f} s: {out / 'curves.png'}, curves.pdf, curves.csv, lines.csv")
    return 1 if failed else 0


def _draw(
    arguments: argparse.Namespace, penalties: list[Any], sizes: list[int] | None, out: Path
) -> tuple[int, str | None]:
    """How many cells failed, and what there is to print once all is written; None if no cell is left."""
    # The heavy modules are loaded once the arguments are known to be good.
    from fastlazy.figures import curve_runs
    from fastlazy.figures.curve_plots import plot_curves
    from fastlazy.sweeps.driver import run_sweep

    d = arguments.d
    setting = curve_runs.Setting(d, arguments.N or math.ceil(1.5 * d), arguments.activation, arguments.seed)
    sizes = sizes or curve_runs.geometric_sizes(d, setting.N, 18)
    plan = curve_runs.curve_plan(setting, sizes, penalties)
    cells = curve_runs.curve_cells(setting, plan, arguments.draws)
    table = run_sweep(cells, out / _STORE, n_workers=arguments.workers, rerun_failed=True)
    failed = table[table["status"] != "done"]
    for row in failed.itertuples():
        complain(f"fastlazy curves: no dot {row.regime} n = {row.n_samples}: {row.error}")
    if len(failed) == len(table):
        return len(failed), None
    dots = curve_runs.curve_dots(table, plan)
    lines = curve_runs.curve_lines(setting, sizes, penalties)
    replace_file(out / "curves.csv", lambda path: dots.to_csv(path, index=False))
    replace_file(out / "lines.csv", lambda path: lines.to_csv(path, index=False))
    save_figure(lambda: plot_curves(dots, lines, setting), out, "curves", arguments.style)
    return len(failed), f"{_format(dots, setting)}\n{len(dots)} dots"


def _check_activation(name: str) -> None:
    from fastlazy.activations.builtin import BUILTIN_NAMES

    check_choice("--activation", name, BUILTIN_NAMES)


def _parse_ridges(text: str) -> list[float | str]:
    parts = list(dict.fromkeys(text.replace(",", " ").split()))
    if not parts:
        raise ValueError(f"--ridges must be penalties separated by commas, got {text!r}; try --ridges 0,0.1,best")
    found = [part if part == "best" else parse_ridge("--ridges", part) for part in parts]
    return list(dict.fromkeys(found))


def _format(dots: Any, setting: Any) -> str:
    """The table of measured beside predicted."""
    from fastlazy.sweeps.regimes import LARGEST_RIDGE

    lines = [
        f"learning curves of {setting.activation}, d = {setting.d}, N = {setting.N}; risks over the null risk",
        f"{'':6}{'ridge':>10}{'n':>9}{'measured':>11}{'+-':>9}{'predicted':>11}{'ratio':>8}",
    ]
    for row in dots.itertuples():
        best = f"{row.ridge if row.ridge < LARGEST_RIDGE else math.inf:.3g}*"
        ridge = best if row.penalty == "best" else row.penalty
        spread = f"{row.error:9.4f}" if row.draws > 1 else " " * 9
        known = row.penalty and row.predicted == row.predicted
        theory = f"{row.predicted:11.4f}{row.measured / row.predicted:8.3f}" if known and row.predicted > 0 else ""
        lines.append(f"{row.regime:6}{ridge:>10}{row.n_samples:9d}{row.measured:11.4f}{spread}{theory}".rstrip())
    if (dots["penalty"] == "best").any():
        lines.append("* the best ridge at this n")
    return "\n".join(lines)
