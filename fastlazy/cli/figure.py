"""``fastlazy figure``: the headline figure, measured or drawn again from what was measured."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

from fastlazy._support.arguments import check_count
from fastlazy._support.files import replace_file, writable_folder
from fastlazy.cli.options import add_style_option, check_style, parse_counts, parse_ridge
from fastlazy.cli.output import complain, load_matplotlib, save_figure, tell

_STORE = "figure.sqlite"
_TARGETS = ("exponential", "identity", "power_law", "rank_one", "spiked", "mixture")
_FILES = ("figure.png", "figure.pdf", "results.csv", _STORE)
_DESCRIPTION = """\
Draw the risk of random features (RF), the neural tangent model (NT) and the trained
network (NN) against the number of neurons N, for y = <x, Bx> + b0 with eigenvalues of
B iid Exp(1). All with sigma = x^2, or a panel for each of --activations; a sigma without a
derivative ("step") has RF alone.

Lines are analytic predictions, where there are any: for NN of x^2, and of a sigma that can
learn nothing. Dots are measured: for RF and NT the exact risk of drawn weights, for NN the
exact risk of a network trained by SGD, or by gradient flow. Networks that were not at the
end of their training are marked: grey crosses, and * in the table. Writes figure.png,
figure.pdf and results.csv. Dots go to figure.sqlite as they are finished: the same command
after an interruption goes on from there.
"""
_EPILOG = """\
examples:
  fastlazy figure                          the headline figure: d = 450, 12 widths from 30 to 4500
  fastlazy figure --preset paper           25 widths, 10 draws, 10 million samples for each NN dot
  fastlazy figure --d 100 --widths 10,30,100,300 --out small
  fastlazy figure --activations square,relu,gelu --out regardless
  fastlazy figure --d 40 --widths 5,20,40,120 --activations square,relu --nn flow --out flow
  fastlazy figure --target mixture --out mixture
  fastlazy figure --d 100 --n-samples 2000 --ridge best --out samples
  fastlazy figure --from sweep.sqlite      draw what a sweep has measured, measure nothing
  fastlazy figure --from sweep.sqlite --where target=identity --where ridge=0.1
  fastlazy figure --from sweep.sqlite --by ridge --col target --style fastlazy.figures.column
  fastlazy figure --d 100 --export figure.tex --export figure.json
"""


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
    parser.add_argument("--d", type=int, help="input dimension (default: 450)")
    parser.add_argument("--widths", metavar="N,N,...", help="numbers of neurons (default: the preset's, d/15 to 10 d)")
    parser.add_argument("--draws", type=int, help="draws of the weights for each RF and NT dot (default: 4; paper: 10)")
    parser.add_argument(
        "--activations", metavar="NAME,...",
        help="non-linearities, a panel for each (default: square; with --from: all)",
    )  # fmt: skip
    parser.add_argument(
        "--target", choices=list(_TARGETS), metavar="NAME",
        help="what is learned: exponential, identity, power_law, rank_one, spiked, or mixture, the paper's two "
        "Gaussian classes, with the Bayes risk by Monte Carlo as a dotted line (default: exponential; with --from: the "
        "store's)",
    )  # fmt: skip
    parser.add_argument(
        "--nn", choices=["sgd", "flow"],
        help="how NN is trained: by SGD, each sample used once, or by gradient flow of the population risk, which for "
        "other sigma than x^2 takes up to a minute a dot (default: sgd; with --from: as it was)",
    )  # fmt: skip
    parser.add_argument(
        "--n-samples", type=int, metavar="n",
        help="fit RF and NT to so many samples, and train NN on as many, each used once (default: the population)",
    )  # fmt: skip
    parser.add_argument(
        "--ridge", metavar="R",
        help="with --n-samples: the penalty per sample mean of RF and NT, or 'best', the one of the least predicted "
        "risk at each width (default: 0, the solution of least norm)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="seed of everything that is drawn (default: 0)")
    parser.add_argument("--workers", type=int, help="processes to measure with (default: one for each core)")
    parser.add_argument(
        "--from", dest="store", metavar="STORE",
        help="draw the cells of this store, all or those of --d and --seed (default: measure)",
    )  # fmt: skip
    parser.add_argument(
        "--where", metavar="KEY=VALUE", action="append", default=[],
        help="with --from: only cells with this parameter, which may be given several times (default: those of the "
        "population, without ridge and scale)",
    )  # fmt: skip
    parser.add_argument(
        "--by", metavar="KEY",
        help="with --from: a parameter whose values are shades of a regime's colour, such as ridge (default: none)",
    )  # fmt: skip
    parser.add_argument(
        "--col", metavar="KEY",
        help="with --from: a parameter with a panel for each of its values, such as target (default: activation, if "
        "there are several)",
    )  # fmt: skip
    parser.add_argument(
        "--export", metavar="FILE", action="append", default=[],
        help="write the figure to FILE, too, which may be given several times: .tex, a picture for LaTeX with "
        "pgfplots, or .json, the numbers of its dots and lines (default: no)",
    )  # fmt: skip
    add_style_option(parser)
    parser.set_defaults(run=run_figure)


def run_figure(arguments: argparse.Namespace) -> int:
    """Measure or read, write and print the figure; the exit status."""
    start = time.perf_counter()
    out = Path(arguments.out)
    try:
        for name, minimum in (("d", 1), ("draws", 1), ("seed", 0), ("workers", 1), ("n_samples", 1)):
            if getattr(arguments, name) is not None:
                check_count(f"--{name.replace('_', '-')}", getattr(arguments, name), minimum)
        widths = None if arguments.widths is None else parse_counts("--widths", arguments.widths, "30,450,4500")
        names = None if arguments.activations is None else _parse_activations(arguments.activations)
        where = parse_where(arguments.where)
        if where and arguments.store is None:
            raise ValueError("--where chooses among the cells of a store; pass --from STORE, too")
        if (arguments.by or arguments.col) and arguments.store is None:
            raise ValueError("--by and --col are for the cells of a store; pass --from STORE, too")
        ridge = _parse_ridge(arguments)
        if arguments.store is not None and arguments.n_samples is not None:
            where = {"n_samples": arguments.n_samples, **({} if ridge is None else {"ridge": ridge}), **where}
        if arguments.target is not None:
            where = {"target": arguments.target, **where}
        if arguments.nn is not None:
            where = {"nn": arguments.nn, **where}
        writable_folder(arguments.out, _FILES)
        load_matplotlib()
        check_style(arguments.style)
        for path in arguments.export:
            _check_export(path)
        targets: dict[str, Any] = {}  # of the user's, in a store
        if arguments.store is None:
            table = _measured(arguments, widths, names, ridge, out)
        else:
            table, targets = _stored(arguments, widths, names, where)
    except (ValueError, OSError, RuntimeError) as error:
        complain(f"fastlazy figure: {error}")
        return 2
    except KeyboardInterrupt:
        complain(f"\ninterrupted: dots are in {out / _STORE}; the same command goes on from there")
        return 130

    failed = table[table["status"] != "done"]
    for row in failed.itertuples():
        complain(f"fastlazy figure: no dot {row.regime} N = {row.N}: {row.error}")
    if len(failed) == len(table):
        return 1
    try:
        printed = _write(table, targets, names, ridge, arguments, out)
    except OSError as error:
        again = f"fastlazy figure --from {arguments.store or out / _STORE} --out ELSEWHERE"
        complain(f"fastlazy figure: the figure cannot be written ({error}). All dots are kept; make room, and: {again}")
        return 2
    tell(f"{printed} in {time.perf_counter() - start:.0f} s: {out / 'figure.png'}, figure.pdf, results.csv")
    return 1 if len(failed) else 0


def _write(
    table: Any, targets: dict[str, Any], names: list[str] | None, ridge: Any, arguments: argparse.Namespace, out: Path
) -> str:
    """Write dots and figure into *out*, and what is exported; the printed table, and the number of dots."""
    from fastlazy.figures import risk_table, stored_cells
    from fastlazy.figures.curve_groups import curves_of
    from fastlazy.figures.exports import export_curves

    shown = [key for key in (arguments.by, arguments.col) if key is not None]
    dots = risk_table.figure_dots(table, shown)
    target = stored_cells.figure_target(table, targets)
    fitted = risk_table.fitted_of(table)
    if fitted is not None and ridge == "best":
        fitted = fitted._replace(ridge="best")
    if fitted is not None and fitted.n_samples is not None:  # what the cells of NN have is for any number of samples
        dots = dots.assign(predicted=dots["predicted"].where(~dots["regime"].isin(risk_table.TRAINED)))
    results = out / "results.csv"
    text = risk_table.plain_dots(dots).to_csv(index=False)
    if results.exists() and results.read_text() != text:
        results.replace(out / "results.previous.csv")
    replace_file(results, lambda path: path.write_text(text))
    place = {name: k for k, name in enumerate(names or sorted(dots["activation"].unique()))}  # of panels
    table = table.sort_values("activation", key=lambda column: column.map(place), kind="stable", ignore_index=True)
    curves: dict[str, Any] = {"by": arguments.by, "col": arguments.col, "objects": targets}
    if not shown:
        several = dots["activation"].nunique() > 1
        curves = {"lines": risk_table.figure_lines(target, dots, fitted), "col": "activation" if several else None}
    save_figure(lambda: _figure(table, curves, None if "target" in shown else target), out, "figure", arguments.style)
    if arguments.export:
        exported = curves_of(table, **curves)
        for path in arguments.export:
            export_curves(exported, path)
    printed = _format_all(table, shown) if shown else _format_summary(risk_table.summary(dots), target.d)
    return f"{printed}\n{len(dots)} dots"


def _measured(
    arguments: argparse.Namespace,
    widths: list[int] | None,
    activations: list[str] | None,
    ridge: Any,
    out: Path,
) -> Any:
    """The rows of the figure's sweep, whose store is in the folder *out*."""
    # The heavy modules are loaded once the arguments are known to be good.
    from fastlazy.figures import risk_table
    from fastlazy.sweeps.driver import run_sweep

    paper = arguments.preset == "paper"
    d, seed = 450 if arguments.d is None else arguments.d, arguments.seed or 0
    draws = (10 if paper else 4) if arguments.draws is None else arguments.draws
    if widths is None:
        widths = risk_table.authors_widths(d) if paper else risk_table.geometric_widths(d, 12)
    n, fitted = arguments.n_samples, None
    if n is not None:
        fitted = risk_table.Fitted(n, ridge or 0.0)
    target = arguments.target or "exponential"
    enough = risk_table.mixture_samples if target == "mixture" else risk_table.quick_samples
    samples = [n or (10_000_000 if paper else enough(N, d)) for N in widths]
    cells = risk_table.figure_cells(
        d, widths, draws, samples, seed, activations or ["square"], arguments.nn or "sgd", fitted, target
    )
    return run_sweep(cells, out / _STORE, n_workers=arguments.workers, rerun_failed=True)


def _stored(
    arguments: argparse.Namespace, widths: list[int] | None, activations: list[str] | None, where: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The rows of a store that make one figure, and the targets of the user's in it."""
    from fastlazy.figures import risk_table
    from fastlazy.figures.curve_groups import check_axis, curves_of
    from fastlazy.sweeps.driver import load_sweep
    from fastlazy.sweeps.stored_targets import load_targets

    table, targets = load_sweep(arguments.store), load_targets(arguments.store)
    risk_table.check_columns(table)
    if widths is not None:
        table = table[table["N"].isin(widths)]
    if activations is not None:
        table = table[table["activation"].isin(activations)]
    for name in ("by", "col"):
        check_axis(f"--{name}", getattr(arguments, name), table)
    shown = [key for key in (arguments.by, arguments.col) if key is not None]
    apart = [key for key in shown if key != "regime"]
    found = risk_table.one_figure(table, d=arguments.d, seed=arguments.seed, where=where, targets=targets, shown=apart)
    if shown:  # whether curves and panels can be told apart
        curves_of(found, found, by=arguments.by, col=arguments.col)
    return found, targets


def parse_where(texts: list[str]) -> dict[str, Any]:
    """The values of keys that *texts* such as "ridge=0.1" give.

    Raises
    ------
    ValueError
        If one of them is not of this form, or has a key or a value that no cell can have.
    """
    from fastlazy.sweeps.cells import KEYS

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in KEYS:
            raise ValueError(f"--where must be KEY=VALUE, got {text!r}; a KEY is one of {', '.join(KEYS)}")
        kind = KEYS[name].kind
        try:
            found[name] = kind(value) if kind in (int, float) else value
        except ValueError:
            raise ValueError(f"--where {text}: {name} must be a number, got {value!r}; pass one") from None
    return found


def _parse_ridge(arguments: argparse.Namespace) -> float | str | None:
    """The ridge that is asked for, None if none is."""
    if arguments.n_samples is None:
        if arguments.ridge is not None:
            raise ValueError("--ridge is for fits to samples; pass --n-samples, too, or --where ridge=R with --from")
        return None
    if arguments.nn == "flow":
        raise ValueError("--nn flow trains on the population; leave out --n-samples, or pass --nn sgd")
    if arguments.ridge == "best" and arguments.store is not None:
        raise ValueError("--ridge best is for dots to measure, and those of a store have ridges; pass one of them")
    if arguments.ridge is None or arguments.ridge == "best":
        return arguments.ridge
    return parse_ridge("--ridge", arguments.ridge)


def _parse_activations(text: str) -> list[str]:
    from fastlazy.activations.builtin import BUILTIN_NAMES

    names = list(dict.fromkeys(text.replace(",", " ").split()))
    unknown = [name for name in names if name not in BUILTIN_NAMES]
    if unknown or not names:
        raise ValueError(
            f"--activations must be names separated by commas, got {text!r}; choose among {', '.join(BUILTIN_NAMES)}"
        )
    return names


def _figure(table: Any, curves: dict[str, Any], target: Any) -> Any:
    from fastlazy.figures.risk_curves import plot_bayes_risk, plot_risk_curves
    from fastlazy.targets.mixture import GaussianMixture

    drawn = plot_risk_curves(table, **curves)
    axes = drawn if isinstance(drawn, list) else [drawn]
    if isinstance(target, GaussianMixture):
        plot_bayes_risk(axes, target)
    return axes[0].get_figure(root=True)


def _check_export(path: str) -> None:
    from fastlazy.figures.exports import check_curves_export

    check_curves_export(path)


def _format_all(table: Any, shown: list[str]) -> str:
    """A table of measured beside predicted for the cells of each combination of values of the keys that are *shown*."""
    from fastlazy.figures import risk_table

    texts = []
    for values, rows in table[table["status"] == "done"].groupby(shown, dropna=False):
        told = ", ".join(f"{key} = {value}" for key, value in zip(shown, values, strict=True) if value == value)
        for d, some in rows.groupby("d"):
            texts.append(f"{told}\n{_format_summary(risk_table.summary(risk_table.figure_dots(some)), int(d))}")
    return "\n\n".join(texts)


def _format_summary(summary: Any, d: int) -> str:
    """The table of measured beside predicted."""
    several = summary["activation"].nunique() > 1
    width = 2 + max(map(len, summary["activation"])) if several else 0
    head = f"{'':6}{'':{width}}{'N':>6}{'N/d':>8}{'measured':>11}{'+-':>8}{'predicted':>11}{'difference':>12}"
    lines = [head]
    for row in summary.itertuples():
        spread = f"{row.std:8.4f}" if row.dots > 1 else " " * 8
        mark = " " if row.converged else "*"
        theory = "" if math.isnan(row.predicted) else f"{row.predicted:11.4f}{row.difference:+12.4f}"
        name = f"{row.regime:6}{row.activation if several else '':{width}}"
        lines.append(f"{name}{row.N:6d}{row.N / d:8.3f}{row.measured:11.4f}{mark}{spread[1:]}{theory}".rstrip())
    if not summary["converged"].all():
        lines.append("* not converged: the risk was still falling when training ended")
    return "\n".join(lines)
