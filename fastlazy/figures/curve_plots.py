"""The figure of ``fastlazy curves``: what `fastlazy.figures.curve_runs` finds in, a Figure out."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from fastlazy.figures.curve_runs import Setting
from fastlazy.sweeps.regimes import NN, REGIMES

_DOT: dict[str, Any] = {
    "linestyle": "none", "markersize": 6, "markerfacecolor": "white", "markeredgewidth": 1.4, "capsize": 2.5,
    "zorder": 3,
}  # fmt: skip
_LABELS = {name: regime.label for name, regime in REGIMES.items()} | {NN.name: "NN: SGD, each sample used once"}
_HIGHEST = 60.0  # where the axis ends: the means of peaks are above it


def plot_curves(dots: pd.DataFrame, lines: pd.DataFrame, setting: Setting) -> Figure:
    """Risk ratio against the number of samples, a panel for each penalty, with NN in all."""
    penalties = [name for name in dots["penalty"].unique() if name]
    size = 0.8 + 4.2 * len(penalties), 4.9
    figure, grid = plt.subplots(1, len(penalties), figsize=size, layout="constrained", sharey=True, squeeze=False)
    for ax, penalty in zip(grid[0], penalties, strict=True):
        _draw(ax, dots[dots["penalty"].isin([penalty, ""])], lines[lines["penalty"] == penalty], setting)
        title = {"best": "the best ridge at each n", "0": "no ridge: least norm"}
        ax.set_title(title.get(penalty, f"ridge {penalty}"), fontsize="medium")
        ax.label_outer()
    first = grid[0][0]
    low = min(float(dots["measured"].min()), float(lines["predicted"].min()))
    top = max(1.5 * float(dots["measured"].max()), 10.0 if "0" in penalties else 1.5)  # the peak is in sight
    first.set_ylim(0.7 * max(low, 1e-3), min(_HIGHEST, top))
    first.yaxis.set_major_formatter("{x:g}")
    first.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
    first.yaxis.set_minor_formatter("{x:g}")
    first.set_ylabel("risk / null risk")
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize="small")
    named = "$x^2$" if setting.activation == "square" else setting.activation
    figure.supxlabel(
        f"d = {setting.d}, N = {setting.N}, $\\sigma$ = {named}; dots: means over {dots['draws'].max()} draws of "
        "weights and samples, with standard errors, the same draws for all n; lines: predicted means",
        fontsize="small",
        color="0.3",
    )
    return figure


def _draw(ax: Axes, dots: pd.DataFrame, lines: pd.DataFrame, setting: Setting) -> None:
    """Draw the curves of one penalty, in place."""
    ax.axhline(1.0, color="0.8", linewidth=1, zorder=1)
    for name, regime in REGIMES.items():
        own, line = dots[dots["regime"] == name], lines[lines["regime"] == name]
        if own.empty:
            continue
        style = {"color": regime.style["color"], "marker": regime.style["marker"]}
        ax.errorbar(own["n_samples"], own["measured"], yerr=own["error"].fillna(0.0), **style, **_DOT)
        ax.plot(
            line["n_samples"], line["predicted"], color=style["color"], linestyle=regime.style["linestyle"], zorder=2
        )
        whole = {**regime.style, "linestyle": "none"} if regime is NN else regime.style
        ax.plot([], [], **whole, markersize=6, markerfacecolor="white", markeredgewidth=1.4, label=_LABELS[name])
    for peak, text in ((setting.N, "N"), (setting.N * setting.d, "N d")):
        if dots["n_samples"].min() < peak < dots["n_samples"].max():
            ax.axvline(peak, color="0.85", linewidth=1, linestyle=":", zorder=1)
            ax.annotate(
                text, (peak, 0), xycoords=("data", "axes fraction"), xytext=(3, 4), textcoords="offset points",
                fontsize="small", color="0.5",
            )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("samples n")
    ax.grid(True, which="major", color="0.93")
    ax.spines[["top", "right"]].set_visible(False)
