"""The records of a `fastlazy.Fit` as a table, and as a picture of its risk.

It stands here and not among the figures, because a `Fit` has both as methods, and imports go down only: figures are of
sweeps, which are made of fits. pandas and matplotlib are loaded when they are asked for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlazy._support.arguments import check_real
from fastlazy._support.styles import STYLES
from fastlazy.training.diagnostics import SINGLES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from fastlazy.training.fit import Fit

_LINE: dict[str, Any] = {"markersize": 4, "markerfacecolor": "white", "markeredgewidth": 1.1, "linewidth": 1.2}
_ENDS = ("diverged", "unconverged")  # marked by a cross


def records_of(fit: Fit) -> pd.DataFrame:
    """The table of `Fit.to_frame`."""
    import pandas as pd

    columns: dict[str, Any] = {"samples": fit.samples}
    if fit.times is not None:
        columns["times"] = fit.times
    columns["risk"] = fit.risk
    if fit.diagnostics is not None:
        columns |= {name: getattr(fit.diagnostics, name) for name in SINGLES}
        for name, values in (("angle", fit.diagnostics.angles), ("captured", fit.diagnostics.captured)):
            columns |= {f"{name}_{k}": column for k, column in enumerate(values.T, start=1)}
    return pd.DataFrame(columns)


def draw_risk(fit: Fit, null_risk: float | None, ax: Axes | None) -> Axes:
    """The picture of `Fit.plot`."""
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.ticker import LogLocator

    if not isinstance(ax, Axes | None):
        raise TypeError(f"ax must be Axes or None, got {type(ax).__name__}; pass one of plt.subplots()")
    unit = 1.0 if null_risk is None else check_real("null_risk", null_risk, 0.0)
    if unit == 0:
        raise ValueError("null_risk must be above 0, got 0; pass target.null_risk, or leave it out")
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    risk, (N, d) = fit.risk / unit, fit.W.shape
    x, name = _abscissa(fit)
    style = {"color": STYLES["NN"]["color"], "marker": STYLES["NN"]["marker"]}
    told = f", {fit.status}" if fit.status in _ENDS else ""
    ax.plot(x, risk, **style, **_LINE, label=f"NN: {fit.activation.name}, N = {N}, d = {d}{told}")
    if told:
        ax.plot(x[-1:], risk[-1:], color=style["color"], marker="X", markersize=9, linestyle="none")
    if np.all(risk > 0):
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        if risk.max() <= 1e3 * risk.min():  # else decades are labels enough
            ax.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
            ax.yaxis.set_minor_formatter("{x:g}")
    if x is fit.times:  # steps of a flow get longer as it gets slower, from the start at 0 on
        ax.set_xscale("symlog", linthresh=10.0 ** math.ceil(math.log10(x[x > 0].min())))
        ax.set_xlim(left=0.0)
    ax.set_xlabel(name)
    ax.set_ylabel("risk" if null_risk is None else "risk / null risk")
    ax.grid(True, which="major", color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize="small")
    return ax


def _abscissa(fit: Fit) -> tuple[np.ndarray[Any, Any], str]:
    """Samples, or for gradient flow, which has none, the time; and its name."""
    if fit.times is not None and fit.times.any() and not fit.samples.any():
        return fit.times, "time t"
    return fit.samples, "samples"
