"""The figures of ``fastlazy lazy``: what `fastlazy.figures.lazy_runs` finds in, Figures out."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fastlazy.figures.labels import activation_label
from fastlazy.figures.lazy_runs import GapRisks, ScaleRuns
from fastlazy.figures.looks import (
    above_all,
    add_caption,
    background_of,
    bare_style,
    dot_style,
    line_style,
    new_panels,
)
from fastlazy.sweeps.regimes import NN, NT, RF, Regime

_SIZE = (7.2, 5.0)  # of a figure with one panel
_CURVES = 6  # of different alpha, in one panel
_TARGET = "target: eigenvalues iid Exp(1)"
_GREY = "0.55"


def plot_scales(runs: ScaleRuns, d: int, N: int, activation: str = "square") -> Figure:
    """Risk at the end of training against the scale alpha, between the NN and the NT line.

    For another sigma than x^2 no infimum is known: the NN line is that of the network trained without scaling.
    """
    figure, (ax,) = new_panels(1, _SIZE, _SIZE)
    background, ends, known = background_of(ax), runs.ends, runs.curve is not None
    ax.axhline(runs.nt, **bare_style(NT, background), label="NT: tangent model of the same $W_0$")
    nn = "NN: infimum at this width" if known else "NN: trained without scaling"
    ax.axhline(runs.nn, **bare_style(NN, background), label=nn)
    if runs.curve is not None:
        ax.plot(runs.curve["scale"], runs.curve["reachable"], color=_GREY, label="infimum at this $\\alpha$")
    ax.plot(ends["scale"], ends["risk"], **dot_style(NN, background), zorder=3, label="trained by SGD")
    ax.set_xscale("log")
    ax.set_ylim(0, 1.15 * max(runs.nt, float(ends["risk"].max())))
    ax.set_xlabel("scale $\\alpha$")
    ax.set_ylabel("risk / null risk")
    above_all(figure, *ax.get_legend_handles_labels())
    lines = "for these $W_0$" if known else "of NT for these $W_0$, of NN measured"
    add_caption(
        figure,
        f"{_setting(d, N, activation)}. Dots: exact risks of $\\alpha\\,(f-f_0)$ at the end of training, one run each. "
        f"Lines: exact, {lines}.",
    )
    return figure


def plot_training(runs: ScaleRuns, d: int, N: int, activation: str = "square") -> Figure:
    """Linearisation error and distance travelled during training, a line for each of some scales."""
    figure, panels = new_panels(2, _SIZE, (5.0, 5.0))
    scales = runs.ends["scale"].to_numpy()
    chosen = scales[np.unique(np.linspace(0, len(scales) - 1, _CURVES).round().astype(int))]
    quantities = {
        "linearization_error": "linearisation error",
        "travelled": "travelled, $|W-W_0|/|W_0|$",
    }
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(chosen)))
    for ax, (column, label) in zip(panels, quantities.items(), strict=True):
        for scale, color in zip(chosen, colors, strict=True):
            rows = runs.trajectories[runs.trajectories["scale"] == scale].iloc[1:]
            ax.plot(rows["samples"], rows[column], color=color, label=f"$\\alpha$ = {scale:g}")
        ax.set_yscale("log")
        ax.set_xscale("log")
        ax.set_xlabel("samples")
        ax.set_ylabel(label)
    above_all(figure, *panels[0].get_legend_handles_labels())
    law = f"For $\\alpha \\geq 10$ the error at the end falls like $\\alpha^{{{runs.slope:.2f}}}$."
    add_caption(
        figure,
        f"{_setting(d, N, activation)}. Lines: exact, errors over the null risk, in training by SGD from "
        "the same $W_0$." + (f" {law}" if runs.slope == runs.slope else ""),
    )
    return figure


def plot_directions(shares: pd.DataFrame, d: int, N: int) -> Figure:
    """Share captured of each eigendirection of B against its eigenvalue, for RF, NT and NN, and the laws."""
    figure, (ax,) = new_panels(1, _SIZE, _SIZE)
    background, eigenvalues = background_of(ax), shares["eigenvalue"]
    for regime in (RF, NT, NN):
        ax.plot(eigenvalues, shares[regime.name], **dot_style(regime, background, 0.6), alpha=0.8, zorder=3)
    for regime in (RF, NT):
        ax.plot(eigenvalues, shares[f"{regime.name}_law"], **bare_style(regime, background), zorder=2)
    # What the infimum of NN captures: the N largest, and nothing else.
    ax.plot(eigenvalues, (shares["rank"] <= N).astype(float), **bare_style(NN, background), zorder=1)
    if d > N:
        edge = float(eigenvalues.iloc[N - 1])
        ax.annotate(
            f"the {N} largest $\\rightarrow$", (edge, 0.6), xytext=(16, 0), textcoords="offset points", fontsize="small"
        )
    ax.set_ylim(-0.45, 1.15)
    ax.set_xlim(left=0)
    ax.set_xlabel("eigenvalue $\\lambda$ of B")
    ax.set_ylabel("share captured,  $\\langle v, S v\\rangle / \\lambda$")
    _explain(figure, ax, (RF, NT, NN))
    add_caption(
        figure,
        f"{_setting(d, N, 'square')}. Dots: measured, of RF and NT means over draws, of NN one run. "
        "Lines: predictions, for NN what its infimum captures.",
    )
    return figure


def plot_gap(risks: GapRisks, d: int) -> Figure:
    """Risk of NT and NN against the width on a gap target."""
    figure, (ax,) = new_panels(1, _SIZE, _SIZE)
    background, lines, N = background_of(ax), risks.lines, risks.N
    for regime in (NT, NN):
        ax.plot(lines["N"], lines[regime.name], **bare_style(regime, background))
    draws = risks.dots.groupby("N")[NT.name].agg(["mean", "min", "max", "size"])
    spread = [draws["mean"] - draws["min"], draws["max"] - draws["mean"]]
    ax.errorbar(draws.index, draws["mean"], yerr=spread, **dot_style(NT, background), zorder=3)
    ax.plot([N], [risks.trained], **dot_style(NN, background), zorder=4)
    here = lines[lines["N"] == N].iloc[0]
    nt, nn = here[NT.name], here[NN.name]
    ax.annotate("", (N, 1.3 * risks.trained), (N, 0.7 * nt), arrowprops={"arrowstyle": "<->", "color": "0.4"})
    ax.annotate(
        f"factor {nt / nn:.0f} at N = {N}\n(asked: {risks.ratio:g})",
        (N, np.sqrt(nt * nn)), xytext=(8, 0), textcoords="offset points", va="center", fontsize="small",
    )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(top=2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("neurons N")
    ax.set_ylabel("risk / null risk")
    _explain(figure, ax, (NT, NN))
    add_caption(
        figure,
        f"d = {d}, N = {lines['N'].min()} to {lines['N'].max()}, $\\sigma$ = $x^2$, target: one large eigenvalue. "
        f"Dots: exact risks, of NT means and ranges of {draws['size'].max()} draws, of NN one "
        "run. Lines: predicted means of NT, for NN the infimum.",
    )
    return figure


def _setting(d: int, N: int, activation: str) -> str:
    return f"d = {d}, N = {N}, $\\sigma$ = {activation_label(activation)}, {_TARGET}"


def _explain(figure: Figure, ax: Axes, regimes: tuple[Regime, ...]) -> None:
    """Name the regimes above the figure, in place."""
    handles = [Line2D([], [], **line_style(regime, background_of(ax))) for regime in regimes]
    above_all(figure, handles, [regime.label for regime in regimes])
