"""The command ``fastlazy``: parse, call, print."""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastlazy
from fastlazy._validate import check_count

_FILES = ("figure.png", "figure.pdf", "results.csv")
_DESCRIPTION = """\
Draw the risk of random features (RF), the neural tangent model (NT) and the trained
network (NN) against the number of neurons N, for y = <x, Bx> + b0 with eigenvalues of
B iid Exp(1).

Lines are analytic predictions. Dots are measured: for RF and NT the exact risk of drawn
weights, for NN the exact risk of a network trained by SGD. Writes figure.png, figure.pdf
and results.csv; its rows are written as dots are finished.
"""
_EPILOG = """\
examples:
  fastlazy figure                          the headline figure: d = 450, 12 widths from 30 to 4500
  fastlazy figure --preset paper           25 widths, 10 draws, 10 million samples for each NN dot
  fastlazy figure --d 100 --widths 10,30,100,300 --out small
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the arguments *argv* (default: those of the process); the exit status."""
    parser = argparse.ArgumentParser(
        prog="fastlazy", description="Lazy training of two-layer networks: RF, NT and NN side by side."
    )
    parser.add_argument("--version", action="version", version=f"fastlazy {fastlazy.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_figure_command(commands)
    add_info_command(commands)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


def add_figure_command(commands: Any) -> None:
    """Add ``fastlazy figure`` to the *commands* of a parser, in place."""
    parser = commands.add_parser(
        "figure",
        help="draw risk against the number of neurons for RF, NT and NN",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--preset", choices=["quick", "paper"], default="quick",
        help="quick: two minutes on two cores; paper: as in the paper, some twenty minutes (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="DIR", default="fastlazy-figure", help="folder to write to (default: %(default)s)"
    )
    parser.add_argument("--d", type=int, default=450, help="input dimension (default: %(default)s)")
    parser.add_argument("--widths", metavar="N,N,...", help="numbers of neurons (default: the preset's, d/15 to 10 d)")
    parser.add_argument("--draws", type=int, help="draws of the weights for each RF and NT dot (default: 4; paper: 10)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn (default: %(default)s)")
    parser.set_defaults(run=run_figure)


def run_figure(arguments: argparse.Namespace) -> int:
    """Measure, write and print the figure; the exit status."""
    paper = arguments.preset == "paper"
    try:
        d = check_count("--d", arguments.d)
        seed = check_count("--seed", arguments.seed, 0)
        draws = check_count("--draws", arguments.draws if arguments.draws is not None else (10 if paper else 4))
        widths = None if arguments.widths is None else _parse_widths(arguments.widths)
        out = _writable_folder(arguments.out)
    except (ValueError, OSError) as error:
        print(f"fastlazy figure: {error}", file=sys.stderr)
        return 2

    # The heavy modules are loaded once the arguments are known to be good.
    import pandas as pd
    from tqdm import tqdm

    from fastlazy import curves, targets

    if widths is None:
        widths = curves.authors_widths(d) if paper else curves.geometric_widths(d, 12)
    samples = [10_000_000 if paper else curves.quick_samples(N, d) for N in widths]
    target = targets.exponential_target(d, rng=seed)
    cells = curves.figure_cells(widths, draws, samples, seed)

    results = out / "results.csv"
    if results.exists():
        results.replace(out / "results.previous.csv")
    start = time.perf_counter()
    dots: list[curves.Dot] = []
    try:
        with results.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(curves.Dot._fields)
            pause = 0.5 if sys.stderr.isatty() else 10.0  # a log file needs no animation
            bar = tqdm(curves.measure(target, cells), total=len(cells), unit="dot", mininterval=pause)
            for dot in bar:
                dots.append(dot)
                writer.writerow(dot)
                file.flush()
                bar.set_postfix_str(f"{dot.regime} N={dot.N}")
    except KeyboardInterrupt:
        print(f"\ninterrupted: {len(dots)} of {len(cells)} dots are in {results}", file=sys.stderr)
        return 130

    table = pd.DataFrame(dots).sort_values(["regime", "N", "draw"], ignore_index=True)
    _replace(results, lambda path: table.to_csv(path, index=False))
    fine = sorted({*widths, *curves.geometric_widths(d, 200), *range(1, min(d, max(widths)) + 1)})
    lines = curves.predictions(target, [N for N in fine if min(widths) <= N <= max(widths)])
    _save_figure(table, lines, d, out)
    print(_format_summary(curves.summary(table), d))
    print(f"{len(dots)} dots in {time.perf_counter() - start:.0f} s: {out / 'figure.png'}, figure.pdf, results.csv")
    return 0


def add_info_command(commands: Any) -> None:
    """Add ``fastlazy info`` to the *commands* of a parser, in place."""
    parser = commands.add_parser(
        "info",
        help="print versions and what the kernels are compiled for",
        description="Print what a bug report needs.",
    )
    parser.set_defaults(run=run_info)


def run_info(arguments: argparse.Namespace) -> int:
    """Print versions, processor and cache; the exit status."""
    import platform
    from importlib.metadata import version

    from fastlazy._core import tile
    from fastlazy._team import available_cores

    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba", "llvmlite"))
    print(f"fastlazy {fastlazy.__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(packages)
    print(f"compiled for {tile.CPU}, {8 * tile.REGISTER_BYTES}-bit vectors")
    print(f"{available_cores()} cores")
    return 0


def _parse_widths(text: str) -> list[int]:
    try:
        widths = sorted({int(part) for part in text.replace(",", " ").split()})
    except ValueError:
        raise ValueError(
            f"--widths must be whole numbers separated by commas, got {text!r}; try --widths 30,450,4500"
        ) from None
    if not widths or widths[0] < 1:
        raise ValueError(f"--widths must be numbers of at least 1, got {text!r}; try --widths 30,450,4500")
    return widths


def _writable_folder(name: str) -> Path:
    """The folder, made if need be, once it is known that files can be written there."""
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for taken in (folder / file for file in _FILES):
            if taken.is_dir():
                raise IsADirectoryError(f"{taken} is a folder")
    except OSError as error:
        raise OSError(f"cannot write to the folder {name!r} ({error}); choose another with --out") from None
    return folder


def _replace(path: Path, write: Any) -> None:
    """Let *write* make a file beside *path*, then put it in the place of *path* at once."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _save_figure(dots: Any, lines: Any, d: int, out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")  # no screen is needed to write files
    import matplotlib.pyplot as plt

    from fastlazy.figures import plot_risk_curves

    with plt.rc_context({"font.size": 13}):
        figure, ax = plt.subplots(figsize=(7.2, 4.8), layout="constrained")
        plot_risk_curves(dots, lines, d, ax=ax)
        for name in ("figure.png", "figure.pdf"):
            _replace(out / name, lambda path: figure.savefig(path, dpi=200))
        plt.close(figure)


def _format_summary(summary: Any, d: int) -> str:
    """The table of measured beside predicted."""
    lines = [f"{'':6}{'N':>6}{'N/d':>8}{'measured':>11}{'+-':>8}{'predicted':>11}{'difference':>12}"]
    for row in summary.itertuples():
        spread = f"{row.std:8.4f}" if row.dots > 1 else " " * 8
        lines.append(
            f"{row.regime:6}{row.N:6d}{row.N / d:8.3f}{row.measured:11.4f}{spread}{row.predicted:11.4f}"
            f"{row.difference:+12.4f}"
        )
    return "\n".join(lines)
