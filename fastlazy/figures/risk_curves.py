"""Figures: tables in, Axes out."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from fastlazy._support.arguments import check_count
from fastlazy.figures.risk_table import check_one_setting, converged, not_converged
from fastlazy.risk.bayes import bayes_risk
from fastlazy.sweeps.regimes import REGIMES, Regime
from fastlazy.targets.mixture import GaussianMixture

_DOTS: dict[str, Any] = {"markersize": 6.5, "markerfacecolor": "white", "markeredgewidth": 1.5}
_NEURONS = "neurons / dimension,  N / d"
_BAYES = 100_000  # samples for the Bayes risk: an error of .001
_HIGHEST = 4.0  # the ratio above which the axis is logarithmic
_PEAK = 60.0  # the ratio at which it ends
_OPEN: dict[str, Any] = {"color": "0.55", "marker": "X"}  # not converged


def plot_risk_curves(
    dots: pd.DataFrame, lines: pd.DataFrame | None = None, d: int | None = None, *, ax: Axes | None = None
) -> Axes:
    """Axes with risk ratio against N / d: measured dots, predicted lines.

    Networks whose training was not at its end are grey crosses.

    Parameters
    ----------
    dots : DataFrame
        The table of a sweep of one target, of which the finished cells are drawn. Or any with columns regime
        ("RF", "NT", "NN"), N, measured (risk / null risk). Several rows with the same regime and N, which may differ
        in their draw and seed alone, become their mean with an error bar of one standard deviation. With a column
        converged, a mean over a row where that is False is drawn as not converged.
    lines : DataFrame, optional
        Columns regime, N, predicted (risk / null risk). Default for a sweep the predictions at its widths,
        otherwise none.
    d : int, optional
        Input dimension; default for a sweep the one that it has.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    KeyError
        If a table lacks one of its columns.
    TypeError
        If *dots* or *lines* is no DataFrame, or a column of it that must hold numbers does not.
    ValueError
        If d is not a positive whole number, or missing where the table does not have one; a regime is not known, or a
        number not finite; there is nothing to draw; or dots would be means over cells that differ in more than
        their draw and seed, such as several targets or ridges.

    Examples
    --------
    >>> import pandas as pd
    >>> import fastlazy
    >>> dots = pd.DataFrame([("RF", 50, 0.8), ("NT", 50, 0.1)], columns=["regime", "N", "measured"])
    >>> ax = fastlazy.plot_risk_curves(dots, d=50)
    >>> ax.get_ylabel()
    'risk / null risk'
    """
    dots, lines, d = _check_tables(dots, lines, d)
    if not isinstance(ax, Axes | None):
        raise TypeError(f"ax must be Axes or None, got {type(ax).__name__}; pass one of plt.subplots()")
    if len(_activations(dots)) > 1:
        raise ValueError(
            f"the table has {len(_activations(dots))} non-linearities, these axes are for one; pass rows of one, or "
            "use plot_activations"
        )
    if ax is None:
        _, ax = plt.subplots(figsize=(7.2, 4.8), layout="constrained")
    _draw(ax, dots, lines, d)
    _set_heights(ax, dots)
    _add_legend(ax, dots)
    return ax


def plot_activations(dots: pd.DataFrame, lines: pd.DataFrame | None = None, d: int | None = None) -> list[Axes]:
    """Axes with risk ratio against N / d, one for each non-linearity, with all regimes that have it.

    Parameters
    ----------
    dots, lines, d
        As `plot_risk_curves` takes them, with a column activation in both tables.

    Returns
    -------
    list of Axes
        Of one new figure, in the order in which the non-linearities come in the table.

    Raises
    ------
    KeyError, TypeError, ValueError
        As `plot_risk_curves`.

    Examples
    --------
    >>> import pandas as pd
    >>> import fastlazy
    >>> dots = pd.DataFrame(
    ...     [("RF", 50, "relu", 0.9), ("RF", 50, "square", 0.8)], columns=["regime", "N", "activation", "measured"]
    ... )
    >>> axes = fastlazy.plot_activations(dots, d=50)
    >>> [ax.get_title() for ax in axes]
    ['relu', 'square']
    """
    dots, lines, d = _check_tables(dots, lines, d)
    names = _activations(dots) or ["square"]
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    size = 4.4 * columns, 0.6 + 3.6 * rows
    _, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", sharex=True, sharey=True, squeeze=False)
    axes = list(grid.flat)
    for k, (ax, name) in enumerate(zip(axes, names, strict=False)):
        known = None if lines is None else lines[lines["activation"] == name]
        _draw(ax, dots[dots["activation"] == name], known, d)
        ax.set_title(name, fontsize="medium")
        ax.label_outer()
        if k + columns >= len(names):  # no panel is below
            ax.xaxis.set_tick_params(which="both", labelbottom=True)
            ax.set_xlabel(_NEURONS)
    for ax in axes[len(names) :]:
        ax.set_visible(False)
    _set_heights(axes[0], dots)
    _add_legend(axes[0], dots)
    return axes[: len(names)]


def plot_bayes_risk(axes: list[Axes], target: GaussianMixture) -> None:
    """Draw the Bayes risk of a mixture as a dotted line, in place: an estimate by Monte Carlo, named so."""
    risk = bayes_risk(target, n_samples=_BAYES, rng=0).risk
    for ax in axes:
        ax.axhline(risk, color="0.35", linestyle=":", zorder=1)
        name = ax.annotate(
            "Bayes risk (Monte Carlo)", (1, risk), xycoords=("axes fraction", "data"), xytext=(-3, 3),
            textcoords="offset points", ha="right", fontsize="small", color="0.35", annotation_clip=True,
        )  # fmt: skip
        name.set_in_layout(False)  # beside a high peak the line may be below the axis


def _check_tables(
    dots: pd.DataFrame, lines: pd.DataFrame | None, d: int | None
) -> tuple[pd.DataFrame, pd.DataFrame | None, int]:
    """Dots, lines and dimension, from a table of a sweep or as given."""
    if isinstance(dots, pd.DataFrame) and "ratio" in dots:
        _check_table("dots", dots, ["status", "regime", "N", "predicted", "d", "activation"])
        dots = dots[dots["status"] == "done"].rename(columns={"ratio": "measured"})
        dots = dots.assign(converged=converged(dots))
        lines = dots.drop_duplicates(["regime", "activation", "N"]) if lines is None else lines
        d = _only_dimension(dots) if d is None else d
    _check_table("dots", dots, ["regime", "N", "measured"])
    if dots.empty:
        raise ValueError("dots has no rows to draw; of a sweep these are those with status 'done'")
    _check_numbers("dots", dots, "measured")
    if lines is not None:
        _check_table("lines", lines, ["regime", "N", "predicted"])
        _check_numbers("lines", lines, "predicted", may_lack=True)
    check_one_setting(dots, "drop the rows of all but one {name}, or draw each by itself")
    return dots, lines, check_count("d", d)


def _check_table(name: str, table: Any, columns: list[str]) -> None:
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"{name} must be a DataFrame, got {type(table).__name__}; pass e.g. the table of run_sweep")
    if missing := [column for column in columns if column not in table]:
        raise KeyError(f"{name} has no column {', '.join(map(repr, missing))}")


def _check_numbers(name: str, table: pd.DataFrame, height: str, may_lack: bool = False) -> None:
    """Check regimes, widths and heights of a table; only lines *may_lack* some heights."""
    if unknown := sorted({str(regime) for regime in table["regime"]} - {*REGIMES}):
        known = ", ".join(map(repr, REGIMES))
        raise ValueError(f"regime must be one of {known}, got {', '.join(unknown)}; rename or drop these rows")
    for column, minimum in (("N", 1.0), (height, -np.inf)):
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise TypeError(f"column {column} of {name} must hold numbers, got dtype {table[column].dtype}; convert it")
        numbers = table[column].to_numpy(float, na_value=np.nan)
        lacks = may_lack and column == height
        good = (numbers >= minimum) & (numbers < np.inf) & (numbers > -np.inf) | (np.isnan(numbers) & lacks)
        if not good.all():
            least = " of at least 1" if minimum == 1 else ""
            raise ValueError(f"column {column} of {name} must hold finite numbers{least}, got {numbers[~good][0]:g}")


def _activations(dots: pd.DataFrame) -> list[str]:
    """The non-linearities in their order; none if the table does not have them."""
    return list(dots["activation"].unique()) if "activation" in dots else []


def _draw(ax: Axes, dots: pd.DataFrame, lines: pd.DataFrame | None, d: int) -> None:
    """Draw dots and lines, and name the axes, in place."""
    for regime in REGIMES.values():
        style = regime.style
        if lines is not None:
            line = lines[lines["regime"] == regime.name].sort_values("N")
            ax.plot(line["N"] / d, line["predicted"], color=style["color"], linestyle=style["linestyle"], zorder=2)
        own = dots[dots["regime"] == regime.name]
        is_open = own["N"].isin(own.loc[not_converged(own), "N"])
        _draw_dots(ax, own[~is_open], d, {"color": style["color"], "marker": style["marker"]})
        _draw_dots(ax, own[is_open], d, _OPEN)
        # One legend entry for the line and the dots of a regime.
        has_line = lines is None or line["predicted"].notna().any()
        ax.plot([], [], **(style if has_line else {**style, "linestyle": "none"}), label=regime.label, **_DOTS)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    if dots["N"].max() <= 10 * dots["N"].min():  # else decades are labels enough
        ax.xaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
        ax.xaxis.set_minor_formatter("{x:g}")
    ax.set_xlabel(_NEURONS)
    ax.set_ylabel("risk / null risk")
    ax.grid(True, which="major", color="0.9")
    ax.spines[["top", "right"]].set_visible(False)


def _set_heights(ax: Axes, dots: pd.DataFrame) -> None:
    """Set the limits of the vertical axis, logarithmic for the peak of as many samples as features, in place."""
    low, top = float(dots["measured"].min()), float(dots["measured"].max())
    if top > _HIGHEST:
        ax.set_yscale("log")
        ax.set_ylim(0.7 * max(low, 1e-3), 1.5 * min(top, _PEAK))
    else:
        ax.set_ylim(-0.03, max(1.03, 1.03 * top))


def _draw_dots(ax: Axes, dots: pd.DataFrame, d: int, style: dict[str, Any]) -> None:
    """Draw means and standard deviations at each width, in place."""
    groups = dots.groupby("N")["measured"]
    if groups.ngroups:
        mean, spread = groups.mean(), groups.std().fillna(0.0)
        ax.errorbar(mean.index / d, mean, yerr=spread, **style, **_DOTS, linestyle="none", capsize=2.5, zorder=3)


def _add_legend(ax: Axes, dots: pd.DataFrame) -> None:
    """Explain lines and markers above the axes, where there is no data to cover, in place."""
    handles, _ = ax.get_legend_handles_labels()
    labels = [_label(regime, dots) for regime in REGIMES.values()]
    for name in dots.loc[not_converged(dots), "regime"].unique():
        handles.append(Line2D([], [], **_OPEN, **_DOTS, linestyle="none"))
        labels.append(f"{name}: not converged")
    ax.figure.legend(
        handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize="small", handlelength=3.2,
        columnspacing=1.5,
    )  # fmt: skip


def _label(regime: Regime, dots: pd.DataFrame) -> str:
    """The label of a regime, which may say how it was trained: all its dots are trained in one way."""
    if "nn" not in dots:
        return regime.label
    ways = dots.loc[dots["regime"] == regime.name, "nn"].dropna()
    return regime.other_labels.get(ways.iloc[0], regime.label) if len(ways) else regime.label


def _only_dimension(table: pd.DataFrame) -> int:
    dimensions = table["d"].unique()
    if len(dimensions) != 1:
        raise ValueError(
            f"the table has finished cells of {len(dimensions)} dimensions d, a figure is of one; pass rows of one d"
        )
    return int(dimensions[0])
