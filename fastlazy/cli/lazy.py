"""``fastlazy lazy``: watch lazy training hold, and break."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastlazy._support.arguments import check_choice, check_count, check_real
from fastlazy._support.files import replace_file, writable_folder
from fastlazy.cli.options import add_style_option, check_style, parse_scales
from fastlazy.cli.output import complain, load_matplotlib, save_figure, tell

_FIGURES = ("scales", "training", "directions", "gap")
_GENERAL = ("scales", "training")  # those for any non-linearity
_FILES = tuple(f"{name}.{ending}" for name in _FIGURES for ending in ("png", "pdf", "csv"))
_RANKS = (1, 2, 5, 10, 20, 40, 60, 80, 100, 120, 150, 200, 300, 400)  # of the printed directions
_DESCRIPTION = """\
Draw when training is lazy, and what that costs. Four figures, each as .png and .pdf with its
numbers in a .csv, and a table of each here:

  scales       risk of the trained alpha (f - f_0) against alpha, between the NN and NT lines
  training     linearisation error and distance travelled during training, for several alpha
  directions   share of each eigendirection of B that RF, NT and NN capture
  gap          a target on which NT is worse than NN by a factor that is asked for

All risks are exact; lines are predictions or infima, dots are measured. With --activation another
non-linearity is trained in scales and training: no infimum is known there, so the NN line is the
network trained without scaling. The others are for x^2.
"""
_EPILOG = """\
examples:
  fastlazy lazy                             scales and training at d = 100, the others at d = 450
  fastlazy lazy --d 450 --scales 0.01,1,1000
  fastlazy lazy --only gap --ratio 1e6
  fastlazy lazy --activation relu           scales and training; the NN line is then measured
"""


def add_lazy_command(commands: Any) -> None:
    """Add ``fastlazy lazy`` to the *commands* of a parser, in place."""
    parser = commands.add_parser(
        "lazy",
        help="draw when training is lazy, and what that costs",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", metavar="DIR", default="fastlazy-lazy", help="folder to write to (default: %(default)s)"
    )
    parser.add_argument("--d", type=int, help="input dimension of all figures (default: 100 and 450)")
    parser.add_argument(
        "--scales", metavar="A,A,...", help="scales alpha (default: 11 from 0.01 to 1000; for another sigma 9 to 100)"
    )
    parser.add_argument(
        "--activation", metavar="NAME", default="square", help="non-linearity of scales and training (default: x^2)"
    )
    parser.add_argument("--ratio", type=float, default=1000.0, help="of the gap target (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn (default: %(default)s)")
    parser.add_argument("--only", metavar="NAME,...", help="some of the figures (default: all)")
    add_style_option(parser)
    parser.set_defaults(run=run_lazy)


def run_lazy(arguments: argparse.Namespace) -> int:
    """Measure, write and print the figures; the exit status."""
    try:
        if arguments.d is not None:
            check_count("--d", arguments.d, 4)
        check_count("--seed", arguments.seed, 0)
        check_real("--ratio", arguments.ratio, 1.0)
        names = _parse_names(arguments.only, arguments.activation)
        scales = None if arguments.scales is None else parse_scales("--scales", arguments.scales)
        out = writable_folder(arguments.out, _FILES)
        start = time.perf_counter()
        _draw_all(names, scales, arguments, out)
        written = ", ".join(f"{name}.png" for name in names)
        tell(f"{written}, and as .pdf and .csv, in {out}: {time.perf_counter() - start:.0f} s")
    except (ValueError, OSError) as error:
        complain(f"fastlazy lazy: {error}")
        return 2
    return 0


def _draw_all(names: list[str], scales: list[float] | None, arguments: argparse.Namespace, out: Path) -> None:
    """The figures *names*, each written, and its numbers printed once they are on the disk."""
    load_matplotlib()
    check_style(arguments.style)
    # The heavy modules are loaded once the arguments are known to be good.
    import pandas as pd

    from fastlazy.figures import lazy_plots, lazy_runs
    from fastlazy.sweeps.regimes import NN, NT

    d, seed, style = arguments.d or 100, arguments.seed, arguments.style
    if "scales" in names or "training" in names:
        N = d // 2
        sigma = arguments.activation
        usual = lazy_runs.SCALES if sigma == "square" else lazy_runs.GENERAL_SCALES
        runs = lazy_runs.scale_runs(d, N, scales or usual, seed, activation=sigma)
        with _told(_format_scales(runs, d, N)):
            if "scales" in names:
                _save(lambda: lazy_plots.plot_scales(runs, d, N, sigma), runs.ends, "scales", out, style)
            if "training" in names:
                _save(lambda: lazy_plots.plot_training(runs, d, N, sigma), runs.trajectories, "training", out, style)
    d = arguments.d or 450
    if "directions" in names:
        N = max(1, round(d / 4.5))
        shares = lazy_runs.direction_shares(d, N, seed)
        with _told(_format_directions(shares, d, N)):
            _save(lambda: lazy_plots.plot_directions(shares, d, N), shares, "directions", out, style)
    if "gap" in names:
        risks = lazy_runs.gap_risks(d, max(1, d // 10), arguments.ratio, seed)
        lines = risks.lines.melt(id_vars="N", var_name="regime", value_name="predicted")
        dots = risks.dots.rename(columns={NT.name: "measured"}).assign(regime=NT.name)
        trained = pd.DataFrame({"N": [risks.N], "regime": [NN.name], "measured": [risks.trained]})
        with _told(_format_gap(risks, d)):
            _save(lambda: lazy_plots.plot_gap(risks, d), pd.concat([lines, dots, trained]), "gap", out, style)


def _parse_names(text: str | None, activation: str) -> list[str]:
    from fastlazy.activations.builtin import TANGENT_NAMES

    check_choice("--activation", activation, TANGENT_NAMES)
    known = _FIGURES if activation == "square" else _GENERAL
    names = [*known] if text is None else text.replace(",", " ").split()
    if not names or not set(names) <= set(_FIGURES):
        raise ValueError(f"--only must name some of {', '.join(_FIGURES)}, got {text!r}; try --only scales,gap")
    if not set(names) <= set(known):
        raise ValueError(
            f"--only {text} has figures whose lines are known for x^2 only; with --activation {activation} ask for "
            f"{' or '.join(_GENERAL)}"
        )
    return names


@contextmanager
def _told(text: str) -> Iterator[None]:
    """Print *text* after what is within, which writes the same to files, also if that fails."""
    try:
        yield
    finally:
        tell(text)


def _save(draw: Callable[[], Any], table: Any, name: str, out: Path, style: str | None) -> None:
    replace_file(out / f"{name}.csv", lambda path: table.to_csv(path, index=False))
    save_figure(draw, out, name, style)


def _format_scales(runs: Any, d: int, N: int) -> str:
    infimum, known = "reachable" in runs.ends, "NN" if "reachable" in runs.ends else "NN trained without scaling"
    lines = [
        f"alpha (f - f_0), d = {d}, N = {N}: {known} {runs.nn:.4f}, NT of the same W_0 {runs.nt:.4f}",
        f"{'alpha':>9}{'trained':>10}{'infimum' if infimum else '':>10}{'travelled':>12}{'linearisation error':>21}",
    ]
    for row in runs.ends.itertuples():
        reachable = f"{row.reachable:.4f}" if infimum else ""
        lines.append(
            f"{row.scale:9g}{row.risk:10.4f}{reachable:>10}{row.travelled:12.3g}{row.linearization_error:21.3g}"
        )
    smallest, largest = runs.ends["risk"].iloc[0] - runs.nn, runs.ends["risk"].iloc[-1] - runs.nt
    lines.append(f"smallest alpha less NN {smallest:+.4f}, largest alpha less NT {largest:+.4f}")
    if runs.slope == runs.slope:
        lines.append(f"linearisation error falls like alpha^{runs.slope:.3f} from alpha = 10 on")
    return "\n".join([*lines, ""])


def _format_directions(shares: Any, d: int, N: int) -> str:
    lines = [
        f"share of eigendirections captured, d = {d}, N = {N}",
        f"{'rank':>6}{'eigenvalue':>12}{'RF':>9}{'law':>9}{'NT':>9}{'law':>9}{'NN':>9}",
    ]
    for row in shares[shares["rank"].isin(_RANKS)].itertuples():
        lines.append(
            f"{row.rank:6d}{row.eigenvalue:12.4f}{row.RF:9.4f}{row.RF_law:9.4f}{row.NT:9.4f}{row.NT_law:9.4f}"
            f"{row.NN:9.4f}"
        )
    top = shares.head(max(1, round(0.6 * N)))
    error = float(((top["NT"] - top["NT_law"]) ** 2).mean() ** 0.5)
    lines.append(f"of the {len(top)} largest NN captures at least {top['NN'].min():.4f} each")
    lines.append(f"there NT less its law is {error:.4f} in root mean square, {top['NT_std'].mean():.4f} a draw")
    return "\n".join([*lines, ""])


def _format_gap(risks: Any, d: int) -> str:
    here = risks.lines[risks.lines["N"] == risks.N].iloc[0]
    dots = risks.dots.loc[risks.dots["N"] == risks.N, "NT"]
    return "\n".join(
        [
            f"gap target, d = {d}, N = {risks.N}, asked for a factor {risks.ratio:g}; risks over the null risk",
            f"NN {here['NN']:.3g}, trained {risks.trained:.3g}, NT {here['NT']:.4f}; of draws {dots.min():.4f} or more",
            f"NT / NN {here['NT'] / here['NN']:.1f}, of draws at least {dots.min() / here['NN']:.1f}",
            "",
        ]
    )
