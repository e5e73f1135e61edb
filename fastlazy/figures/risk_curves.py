"""Figures of risk against the number of neurons: tables in, Axes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from fastlazy._support.arguments import check_flag
from fastlazy.figures.curve_groups import Curve, Curves, check_table, curves_of
from fastlazy.figures.labels import label_of, line_label_of
from fastlazy.figures.looks import (
    HIGHEST,
    Legend,
    Lines,
    Style,
    add_caption,
    add_legend,
    background_of,
    drawing,
    label_outer,
    line_style,
    new_panels,
    open_style,
    paler,
    shades_of,
)
from fastlazy.risk.bayes import bayes_risk
from fastlazy.sweeps.regimes import REGIMES
from fastlazy.targets.mixture import GaussianMixture

_NEURONS, _SHORT = "neurons / dimension,  N / d", "N / d"
_NARROW = 2.2  # inches of a panel's width, below which the short label is taken
_BAYES = 100_000  # samples for the Bayes risk: an error of .001
_PEAK = 60.0  # the ratio at which it ends
_SIZE, _PANEL = (7.2, 4.8), (4.4, 4.0)  # of a figure with one panel, and of each of several


@overload
def plot_risk_curves(
    dots: pd.DataFrame, lines: pd.DataFrame | None = ..., d: int | None = ..., *, by: str | None = ...,
    col: None = ..., ax: Axes | None = ..., legend: Legend = ..., style: Style | None = ...,
    caption: bool | str | None = ..., objects: Mapping[str, Any] | None = ...,
) -> Axes: ...  # fmt: skip
@overload
def plot_risk_curves(
    dots: pd.DataFrame, lines: pd.DataFrame | None = ..., d: int | None = ..., *, by: str | None = ...,
    col: str, ax: Sequence[Axes] | np.ndarray[Any, Any] | None = ..., legend: Legend = ..., style: Style | None = ...,
    caption: bool | str | None = ..., objects: Mapping[str, Any] | None = ...,
) -> list[Axes]: ...  # fmt: skip
def plot_risk_curves(
    dots: pd.DataFrame,
    lines: pd.DataFrame | None = None,
    d: int | None = None,
    *,
    by: str | None = None,
    col: str | None = None,
    ax: Any = None,
    legend: Legend = True,
    style: Style | None = None,
    caption: bool | str | None = None,
    objects: Mapping[str, Any] | None = None,
) -> Axes | list[Axes]:
    """Axes with risk ratio against N / d: measured dots, predicted lines.

    Networks whose training was not at its end are grey crosses. A regime has the same colour, line and marker in all
    figures; sizes, fonts, grids and the rest are matplotlib's settings at the time.

    Parameters
    ----------
    dots : DataFrame
        The table of a sweep, of which the finished cells are drawn. Or any with columns regime ("RF", "NT", "NN"), N,
        measured (risk / null risk). Several rows with the same regime, N and value of *by*, which may differ in their
        draw and seed alone, become their mean with an error bar of one standard deviation. With a column converged, a
        mean over a row where that is False is drawn as not converged.
    lines : DataFrame, optional
        Columns regime, N, predicted (risk / null risk), and *by* and *col* if lines differ in them. Default for a
        sweep the predictions, at as many widths as make them smooth, otherwise none. The table of a sweep itself, as
        lines, has its predictions joined straight, which takes no time.
    d : int, optional
        Input dimension; default for a sweep the one that it has.
    by : str, optional
        A column that tells curves of one regime apart, such as "ridge", "target" or "d": its values are shades of the
        regime's colour, from the first to the palest. Numbers come in order, others as they come in the table or in
        the order of a categorical column. A regime that has no such key, as NN has no ridge, is drawn once.
    col : str, optional
        A column with a panel for each of its values; a regime that has no such key is in all panels.
    ax : Axes or sequence of Axes, optional
        Where to draw: one, or with *col* one for each value, such as `plt.subplots` or a subfigure makes them. Default
        a new figure, of the user's ``figure.figsize`` if that is set: its width, and the height of a row.
    legend : bool, str or mapping, optional
        True: above a new figure, in as many columns as it has room for, or within the first of given axes. False: none.
        A place such as "upper right" (within) or "outside right center"; or options of ``Axes.legend``.
    style : str, path, mapping or sequence of these, optional
        A style of matplotlib, for this figure: "fastlazy.figures.column" is for a journal's column of 3.4 inches,
        "fastlazy.figures.wide" the look of the commands. A mapping has rcParams, or lines by regime:
        ``{"NN": {"color": "tab:red"}}``.
    caption : bool or str, optional
        Below the figure: True for a line with d, the range of N, the target and what dots and lines are; or another
        text. Default for a new figure.
    objects : mapping of str to object, optional
        What the user's own targets and non-linearities in the table are, by their names or what the table has for them,
        as `load_targets` returns the targets. Lines of others are joined straight through their predictions.

    Returns
    -------
    Axes
        Or with *col* a list of Axes.

    Raises
    ------
    KeyError
        If a table lacks one of its columns.
    TypeError
        If an argument is of another type, or a column that must hold numbers does not.
    ValueError
        If d is not a positive whole number, or missing where the table does not have one; a regime is not known, or a
        number not finite; there is nothing to draw; *by* or *col* is no column of the table, or has too many values; or
        dots would be means over cells that differ in more than their draw and seed, such as several targets or ridges.

    Examples
    --------
    >>> import pandas as pd
    >>> dots = pd.DataFrame({"regime": "RF", "N": [30, 300, 30, 300], "measured": [0.9, 0.6, 0.95, 0.8]})
    >>> ax = plot_risk_curves(dots.assign(ridge=[0.0, 0.0, 1.0, 1.0]), d=100, by="ridge")
    >>> [text.get_text() for text in ax.figure.legends[0].get_texts()]
    ['RF: random features', 'ridge 0', 'ridge 1']
    """
    if objects is not None and not isinstance(objects, Mapping):
        raise TypeError(f"objects must be a mapping, got {type(objects).__name__}; pass e.g. load_targets(store)")
    if not isinstance(caption, str | None):
        caption = check_flag("caption", caption)
    curves = curves_of(dots, lines, d, by=by, col=col, objects=objects)
    given = None if ax is None else _check_axes(ax, None if col is None else curves.panels)
    with drawing(style) as regime_lines:
        axes = given or new_panels(len(curves.panels), _SIZE, _PANEL, sharex=True, sharey=True)[1]
        _draw_panels(axes, curves, regime_lines)
        if given is None:
            label_outer(axes)
        handles, labels = _explained(axes[0], curves, regime_lines)
        add_legend(axes, handles, labels, legend, is_new=given is None)
        if caption or (caption is None and given is None):
            figure = axes[0].get_figure()
            assert figure is not None
            add_caption(figure, caption if isinstance(caption, str) else curves.caption)
    return axes[0] if col is None else axes


def plot_activations(
    dots: pd.DataFrame,
    lines: pd.DataFrame | None = None,
    d: int | None = None,
    *,
    by: str | None = None,
    ax: Sequence[Axes] | np.ndarray[Any, Any] | None = None,
    legend: Legend = True,
    style: Style | None = None,
    caption: bool | str | None = None,
    objects: Mapping[str, Any] | None = None,
) -> list[Axes]:
    """Axes with risk ratio against N / d, one for each non-linearity, with all regimes that have it.

    Parameters
    ----------
    dots, lines, d
        As `plot_risk_curves` takes them, with a column activation in both tables.
    by, ax, legend, style, caption, objects : optional
        As there, with col="activation".

    Returns
    -------
    list of Axes
        In the order in which the non-linearities come in the table.

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
    >>> [ax.get_title().split(" = ")[1] for ax in axes]
    ['ReLU', '$x^2$']
    """
    if isinstance(dots, pd.DataFrame) and "ratio" not in dots and not dots.empty:
        check_table("dots", dots, ["activation"])
    return plot_risk_curves(
        dots, lines, d,
        by=by, col="activation", ax=ax, legend=legend, style=style, caption=caption, objects=objects,
    )  # fmt: skip


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


def _check_axes(ax: Any, panels: list[str] | None) -> list[Axes]:
    """The Axes that are given for these *panels*, None if there is one that has no title."""
    if panels is None:
        if not isinstance(ax, Axes):
            raise TypeError(f"ax must be Axes or None, got {type(ax).__name__}; pass one of plt.subplots()")
        return [ax]
    several = [ax] if isinstance(ax, Axes) else list(ax.flat) if isinstance(ax, np.ndarray) else ax
    if not isinstance(several, Sequence) or not all(isinstance(one, Axes) for one in several):
        raise TypeError(
            f"ax must be a sequence of Axes, one for each value of col, got {type(ax).__name__}; pass e.g. those of "
            f"plt.subplots(1, {len(panels)})"
        )
    if len(several) != len(panels):
        raise ValueError(
            f"ax has {len(several)} Axes, and col has {len(panels)} values ({', '.join(panels)}); pass one for each"
        )
    return list(several)


def _draw_panels(axes: Sequence[Axes], curves: Curves, lines: Lines) -> None:
    """Draw the curves into the axes of their panels, in place."""
    limits = [_limits(ax, curves.rows) for ax in axes]  # before there is more in them
    shades = shades_of(len(curves.names))
    for curve in curves.curves:
        ax = axes[curve.panel]
        shade = 0.0 if curve.place is None else shades[curve.place]
        _draw(ax, curve, line_style(curve.regime, background_of(ax), lines, shade))
    for k, (ax, title, (scale, low, high)) in enumerate(zip(axes, curves.panels, limits, strict=True)):
        if title:
            ax.set_title(title, fontsize="medium")
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
        here = [curve.dots["N"] / curve.d for curve in curves.curves if curve.panel == k and len(curve.dots)]
        if max(widths.max() for widths in here) <= 10 * min(widths.min() for widths in here):  # else decades do
            ax.xaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
            ax.xaxis.set_minor_formatter("{x:g}")
        figure = ax.get_figure(root=True)
        assert figure is not None
        width = ax.get_position().width * figure.get_figwidth()
        ax.set_xlabel(_NEURONS if width > _NARROW else _SHORT)
        ax.set_ylabel("risk / null risk")
        ax.set_yscale(scale)
        ax.set_ylim(low, high)


def _draw(ax: Axes, curve: Curve, style: dict[str, Any]) -> None:
    """Draw one curve, in place; of curves that lie on each other the thinner ones above."""
    above = 2.0 + (1 - curve.regime.weight) / 10
    if curve.line is not None:
        as_line = {**style, "marker": "none"}
        ax.plot(curve.line["N"] / curve.d, curve.line["predicted"], **as_line, zorder=above)
    for rows, own in (
        (curve.dots[curve.dots["converged"]], style),
        (curve.dots[~curve.dots["converged"]], open_style(background_of(ax))),
    ):
        if len(rows):
            ax.errorbar(
                rows["N"] / curve.d, rows["measured"], yerr=rows["spread"], **{**own, "linestyle": "none"},
                elinewidth=plt.rcParams["lines.linewidth"], zorder=1 + above,
            )  # fmt: skip


def _limits(ax: Axes, dots: pd.DataFrame) -> tuple[str, float, float]:
    """Scale and limits of the vertical axis, logarithmic for the peak of as many samples as features.

    What the axes have already stays in sight.
    """
    low, top = float(dots["measured"].min()), float(dots["measured"].max())
    held = ax.get_ylim() if ax.has_data() else None
    if top > HIGHEST or (held is not None and ax.get_yscale() == "log"):
        scale, low, top = "log", 0.7 * max(low, 1e-3), 1.5 * min(top, _PEAK)
    else:
        scale, low, top = "linear", -0.05, max(1.03, 1.03 * top)
    if held is not None and (scale == "linear" or held[0] > 0):
        low, top = min(low, held[0]), max(top, held[1])
    return scale, low, top


def _explained(ax: Axes, curves: Curves, lines: Lines) -> tuple[list[Line2D], list[str]]:
    """What the legend explains: regimes, the values of *by*, and what has not converged."""
    handles, labels = [], []
    for regime in REGIMES.values():
        own = [curve for curve in curves.curves if curve.regime is regime]
        if own:
            style = line_style(regime, background_of(ax), lines)
            has_line, has_dots = (any(some) for some in zip(*map(_has, own), strict=True))
            style |= ({} if has_line else {"linestyle": "none"}) | ({} if has_dots else {"marker": "none"})
            handles.append(Line2D([], [], **style))
            labels.append(label_of(regime, curves.rows) if has_dots else line_label_of(regime))
    background = background_of(ax)
    ink = to_rgb(plt.rcParams["text.color"])
    for shade, name in zip(shades_of(len(curves.names)), curves.names, strict=False):
        handles.append(Line2D([], [], color=paler(ink, background, shade), linewidth=4, solid_capstyle="butt"))
        labels.append(name)
    unfinished = [curve.regime.name for curve in curves.curves if not curve.dots["converged"].all()]
    for name in dict.fromkeys(unfinished):
        handles.append(Line2D([], [], **open_style(background_of(ax))))
        labels.append(f"{name}: not converged")
    return handles, labels


def _has(curve: Curve) -> tuple[bool, bool]:
    """Whether a curve has a line, and dots."""
    return curve.line is not None, len(curve.dots) > 0
