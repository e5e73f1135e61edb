"""The figure of ``fastlazy curves``: what `fastlazy.figures.curve_runs` finds in, a Figure out."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from fastlazy.figures.curve_runs import Setting
from fastlazy.figures.labels import activation_label
from fastlazy.figures.looks import (
    above_all,
    add_caption,
    background_of,
    bare_style,
    dot_style,
    label_outer,
    line_style,
    new_panels,
)
from fastlazy.sweeps.regimes import NN, REGIMES

_LABELS = {name: regime.label for name, regime in REGIMES.items()} | {NN.name: "NN: SGD, each sample used once"}
_HIGHEST = 60.0  # where the axis ends: the means of peaks are above it


def plot_curves(dots: pd.DataFrame, lines: pd.DataFrame, setting: Setting) -> Figure:
    """Risk ratio against the number of samples, a panel for each penalty, with NN in all."""
    penalties = [name for name in dots["penalty"].unique() if name]
    figure, axes = new_panels(len(penalties), (5.6, 5.0), (4.4, 5.0), sharey=True)
    for ax, penalty in zip(axes, penalties, strict=True):
        _draw(ax, dots[dots["penalty"].isin([penalty, ""])], lines[lines["penalty"] == penalty], setting)
        title = {"best": "the best ridge at each n", "0": "no ridge: least norm"}
        ax.set_title(title.get(penalty, f"ridge {penalty}"), fontsize="medium")
    first = axes[0]
    low = min(float(dots["measured"].min()), float(lines["predicted"].min()))
    top = max(1.5 * float(dots["measured"].max()), 10.0 if "0" in penalties else 1.5)  # the peak is in sight
    first.set_ylim(0.7 * max(low, 1e-3), min(_HIGHEST, top))
    first.yaxis.set_major_formatter("{x:g}")
    first.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
    first.yaxis.set_minor_formatter("{x:g}")
    for ax in axes:
        ax.set_ylabel("risk / null risk")
    label_outer(axes)
    _explain(figure, first, dots)
    add_caption(
        figure,
        f"d = {setting.d}, N = {setting.N}, $\\sigma$ = {activation_label(setting.activation)}, "
        f"target: eigenvalues iid Exp(1) (seed {setting.seed}). Dots: exact risks, means and standard errors of "
        f"{dots['draws'].max()} draws of weights and samples, the same for all n. Lines: predicted means.",
    )
    return figure


def _explain(figure: Figure, ax: Axes, dots: pd.DataFrame) -> None:
    """Name the regimes above the figure, in place; NN has no line."""
    present = [regime for name, regime in REGIMES.items() if (dots["regime"] == name).any()]
    styles = [(dot_style if regime is NN else line_style)(regime, background_of(ax)) for regime in present]
    above_all(figure, [Line2D([], [], **style) for style in styles], [_LABELS[regime.name] for regime in present])


def _draw(ax: Axes, dots: pd.DataFrame, lines: pd.DataFrame, setting: Setting) -> None:
    """Draw the curves of one penalty, in place."""
    background = background_of(ax)
    ax.axhline(1.0, color="0.8", linewidth=1, zorder=1)
    for name, regime in REGIMES.items():
        own, line = dots[dots["regime"] == name], lines[lines["regime"] == name]
        if own.empty:
            continue
        errors = own["error"].fillna(0.0)
        ax.errorbar(own["n_samples"], own["measured"], yerr=errors, **dot_style(regime, background), zorder=3)
        ax.plot(line["n_samples"], line["predicted"], **bare_style(regime, background), zorder=2)
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
