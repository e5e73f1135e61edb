"""The figures of ``fastlazy lazy``: what `fastlazy.figures.lazy_runs` finds in, Figures out."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastlazy.figures.lazy_runs import GapRisks, ScaleRuns
from fastlazy.sweeps.regimes import NN, NT, RF

_DOT: dict[str, Any] = {"linestyle": "none", "markersize": 6.5, "markerfacecolor": "white", "markeredgewidth": 1.5}
_CURVES = 6  # of different alpha, in one panel


def plot_scales(runs: ScaleRuns, d: int, N: int, activation: str = "square") -> Figure:
    """Risk at the end of training against the scale alpha, between the NN and the NT line.

    For another sigma than x^2 no infimum is known: the NN line is that of the network trained without scaling.
    """
    figure, ax = plt.subplots(figsize=(7.2, 4.8), layout="constrained")
    ends = runs.ends
    ax.axhline(runs.nt, color=NT.style["color"], linestyle="--", label="NT: tangent model of the same $W_0$")
    nn = "NN: trained without scaling" if runs.curve is None else "NN: infimum at this width"
    ax.axhline(runs.nn, color=NN.style["color"], linestyle="-.", label=nn)
    if runs.curve is not None:
        ax.plot(runs.curve["scale"], runs.curve["reachable"], color="0.55", label="infimum at this $\\alpha$")
    ax.plot(ends["scale"], ends["risk"], **_DOT, color=NN.style["color"], marker="o", label="trained by SGD")
    ax.set_xscale("log")
    ax.set_ylim(0, 1.15 * max(runs.nt, float(ends["risk"].max())))
    _finish(ax, "scale $\\alpha$", "risk / null risk")
    ax.set_title(f"Training $\\alpha\\,(f - f_0)$, d = {d}, N = {N}{_named(activation)}", fontsize="medium")
    _legend_above(figure, ax, 2)
    return figure


def plot_training(runs: ScaleRuns, d: int, N: int, activation: str = "square") -> Figure:
    """Linearisation error and distance travelled during training, a line for each of some scales."""
    figure, panels = plt.subplots(1, 2, figsize=(10.0, 4.6), layout="constrained")
    scales = runs.ends["scale"].to_numpy()
    chosen = scales[np.unique(np.linspace(0, len(scales) - 1, _CURVES).round().astype(int))]
    quantities = {
        "linearization_error": "linearisation error / null risk",
        "travelled": "distance travelled,  $|W - W_0| / |W_0|$",
    }
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(chosen)))
    for ax, (column, label) in zip(panels, quantities.items(), strict=True):
        for scale, color in zip(chosen, colors, strict=True):
            rows = runs.trajectories[runs.trajectories["scale"] == scale].iloc[1:]
            ax.plot(rows["samples"], rows[column], color=color, label=f"{scale:g}")
        ax.set_yscale("log")
        ax.set_xscale("log")
        _finish(ax, "samples", label)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize="small", title="scale $\\alpha$")
    law = f"for $\\alpha \\geq 10$ the error at the end falls like $\\alpha^{{{runs.slope:.2f}}}$"
    figure.suptitle(f"d = {d}, N = {N}{_named(activation)}; {law}", fontsize="medium")
    return figure


def plot_directions(shares: pd.DataFrame, d: int, N: int) -> Figure:
    """Share captured of each eigendirection of B against its eigenvalue, for RF, NT and NN, and the laws."""
    figure, ax = plt.subplots(figsize=(7.2, 4.8), layout="constrained")
    small: dict[str, Any] = {**_DOT, "markersize": 3.5, "markeredgewidth": 0.9, "alpha": 0.8}
    for regime in (NN, NT, RF):
        style, share = regime.style, shares[regime.name]
        ax.plot(shares["eigenvalue"], share, **small, color=style["color"], marker=style["marker"], zorder=3)
    for regime in (NT, RF):
        style, law = regime.style, shares[f"{regime.name}_law"]
        ax.plot(shares["eigenvalue"], law, color=style["color"], linestyle=style["linestyle"], zorder=2)
    # What the infimum of NN captures: the N largest, and nothing else.
    largest = (shares["rank"] <= N).astype(float)
    ax.plot(shares["eigenvalue"], largest, color=NN.style["color"], linestyle="-.", linewidth=1.0, zorder=1)
    if d > N:
        edge = float(shares["eigenvalue"].iloc[N - 1])
        ax.annotate(
            f"the {N} largest $\\rightarrow$", (edge, 0.6), xytext=(16, 0), textcoords="offset points", fontsize="small"
        )
    for regime in (RF, NT, NN):
        ax.plot([], [], **regime.style, label=regime.label, markersize=5, markerfacecolor="white")
    ax.set_ylim(-0.45, 1.15)
    ax.set_xlim(left=0)
    _finish(ax, "eigenvalue $\\lambda$ of B", "share captured,  $\\langle v, S v\\rangle / \\lambda$")
    ax.set_title(f"dots: measured; lines: predicted; d = {d}, N = {N}", fontsize="medium")
    _legend_above(figure, ax, 3)
    return figure


def plot_gap(risks: GapRisks, d: int) -> Figure:
    """Risk of NT and NN against the width on a gap target."""
    figure, ax = plt.subplots(figsize=(7.2, 4.8), layout="constrained")
    lines, N = risks.lines, risks.N
    for regime in (NT, NN):
        style = regime.style
        ax.plot(lines["N"], lines[regime.name], color=style["color"], linestyle=style["linestyle"])
    ax.plot(risks.dots["N"], risks.dots[NT.name], **_DOT, color=NT.style["color"], marker="^")
    ax.plot([N], [risks.trained], **_DOT, color=NN.style["color"], marker="o", zorder=3)
    here = lines[lines["N"] == N].iloc[0]
    nt, nn = here[NT.name], here[NN.name]
    ax.annotate("", (N, 1.3 * risks.trained), (N, 0.7 * nt), arrowprops={"arrowstyle": "<->", "color": "0.4"})
    ax.annotate(
        f"factor {nt / nn:.0f} at N = {N}\n(asked: {risks.ratio:g})",
        (N, np.sqrt(nt * nn)), xytext=(-8, 0), textcoords="offset points", ha="right", va="center",
    )  # fmt: skip
    for regime in (NT, NN):
        ax.plot([], [], **regime.style, label=regime.label, markersize=6.5, markerfacecolor="white")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(top=2)
    ax.xaxis.set_major_formatter("{x:g}")
    _finish(ax, "neurons N", "risk / null risk")
    ax.set_title(f"A target with one large eigenvalue, d = {d}", fontsize="medium")
    _legend_above(figure, ax, 2)
    return figure


def _named(activation: str) -> str:
    """What a title adds for another sigma than x^2."""
    return "" if activation == "square" else f", {activation}"


def _finish(ax: Axes, x: str, y: str) -> None:
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.grid(True, which="major", color="0.9")
    ax.spines[["top", "right"]].set_visible(False)


def _legend_above(figure: Figure, ax: Axes, columns: int) -> None:
    options: dict[str, Any] = {"frameon": False, "fontsize": "small", "handlelength": 3.2, "columnspacing": 1.5}
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=columns, **options)
