"""How figures look: the user's settings of matplotlib and styles, lines and dots of regimes, legends and captions.

Nothing here changes what the user has set. What a regime is drawn with (colour, line, marker) is the same in all
figures, and a *style* may say otherwise.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any, TypeAlias

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib import cbook
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from fastlazy._support.arguments import shown
from fastlazy.sweeps.regimes import REGIMES, Regime

Style: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | Sequence[str | os.PathLike[str] | Mapping[str, Any]]
Lines: TypeAlias = Mapping[str, Mapping[str, Any]]  # properties of lines that a user gives, by regime
Color: TypeAlias = tuple[float, float, float]
Legend: TypeAlias = bool | str | Mapping[str, Any] | None

WIDE = "fastlazy.figures.wide"  # the look of the commands
HIGHEST = 4.0  # the ratio above which the axis of risks is logarithmic
_NARROWEST = 1.5  # inches of a panel's width
_CAPTION = 0.95  # of the width of a figure, at most
_NOT_SEEN = 0.25  # difference of lightness from the background
_PALEST = 0.6  # how far the last of several shades is from the colour to the background
_PALEST_ON_DARK = 0.45


@contextmanager
def drawing(style: Style | None) -> Iterator[Lines]:
    """Within, matplotlib's settings are those of *style*; what it says of the lines of regimes.

    Raises
    ------
    TypeError, ValueError
        If it is no style.
    """
    lines, settings = _parts(style)
    try:
        context = plt.style.context(settings)
        context.__enter__()
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"style is none of matplotlib's ({reason[:200]}); pass a name of plt.style.available, a file, or a mapping "
            "of rcParams or of regimes, such as {'NN': {'color': 'red'}}"
        ) from None
    try:
        yield lines
    finally:
        context.__exit__(None, None, None)


def _parts(style: Style | None) -> tuple[dict[str, dict[str, Any]], list[Any]]:
    """The lines of regimes in a style, and what is for matplotlib."""
    several = [] if style is None else [style] if isinstance(style, (str, os.PathLike, Mapping)) else style
    if not isinstance(several, Sequence):
        raise TypeError(
            f"style must be a style of matplotlib, got {shown(style)}; pass e.g. 'fastlazy.figures.column', or a "
            "mapping of rcParams or of regimes"
        )
    lines: dict[str, dict[str, Any]] = {}
    settings: list[Any] = []
    for one in several:
        if not isinstance(one, Mapping):
            settings.append(one)
            continue
        settings.append({name: value for name, value in one.items() if name not in REGIMES})
        for name in REGIMES:
            if name in one:
                lines[name] = lines.get(name, {}) | _checked_line(name, one[name])
    return lines, settings


def _checked_line(name: str, properties: Any) -> dict[str, Any]:
    """What a user says of the line of a regime, in matplotlib's long names."""
    try:
        found = dict(cbook.normalize_kwargs(properties, Line2D))
        Line2D([], [], **found)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"style has {shown(properties)} for {name}, which no line of matplotlib has ({error}); pass e.g. "
            f"{{{name!r}: {{'color': 'red', 'linewidth': 2}}}}"
        ) from None
    return found


def unset(style: str) -> dict[str, Any]:
    """The settings of a style of this package that the user has not set: those which are still matplotlib's."""
    package, _, name = style.rpartition(".")
    with resources.as_file(resources.files(package) / f"{name}.mplstyle") as path:
        settings = mpl.rc_params_from_file(path, use_default_template=False)
    return {name: value for name, value in settings.items() if mpl.rcParams[name] == mpl.rcParamsDefault[name]}


def new_panels(
    count: int, size: tuple[float, float], panel: tuple[float, float], **shared: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, of which up to three are in a row.

    The user's figure.figsize is the width of the figure, and the height of a row. If it is not set, one panel has this
    *size* in inches, and each of several that of *panel*.
    """
    columns = panel_columns(count)
    width, height = mpl.rcParams["figure.figsize"]
    if [width, height] == mpl.rcParamsDefault["figure.figsize"]:
        width, height = size if count == 1 else (panel[0] * columns, panel[1])
    columns = min(columns, max(1, int(width / _NARROWEST)))
    rows = -(-count // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(width, height * rows), layout="constrained", squeeze=False, **shared
    )
    axes = list(grid.flat)
    for ax in axes[count:]:
        ax.set_visible(False)
    return figure, axes[:count]


def panel_columns(count: int) -> int:
    """How many panels are in a row."""
    return 2 if count == 4 else min(count, 3)


def label_outer(axes: Sequence[Axes]) -> None:
    """Leave labels to the outer ones of new panels, in place."""
    grid = axes[0].get_gridspec()
    columns = 1 if grid is None else grid.ncols
    text = axes[0].get_xlabel()
    for k, ax in enumerate(axes):
        ax.label_outer()
        if k + columns >= len(axes):  # no panel is below
            ax.xaxis.set_tick_params(which="both", labelbottom=True)
            ax.set_xlabel(text)


def background_of(ax: Axes) -> Color:
    """The colour on which these axes draw."""
    return to_rgb(ax.get_facecolor())


def line_style(regime: Regime, background: Color, lines: Lines | None = None, shade: float = 0.0) -> dict[str, Any]:
    """The properties of the line and the markers of a regime on this background, paler by a *shade* from 0 to 1."""
    given = dict((lines or {}).get(regime.name, {}))
    color = given.pop("color", _seen(regime.style["color"], background))
    color = paler(to_rgb(color), background, shade) if shade else color
    found = {
        **regime.style,
        "color": color,
        "markerfacecolor": background if regime.style.get("markerfacecolor") == "white" else color,
        "linewidth": regime.weight * mpl.rcParams["lines.linewidth"],
        "markersize": regime.weight * mpl.rcParams["lines.markersize"],
        "markeredgewidth": mpl.rcParams["lines.markeredgewidth"],
    }
    return found | given


def dot_style(regime: Regime, background: Color, size: float = 1.0) -> dict[str, Any]:
    """The properties of the dots of a regime alone, of this *size* beside those of lines with dots."""
    style = line_style(regime, background)
    sizes = {name: size * style[name] for name in ("markersize", "markeredgewidth")}
    return {**style, **sizes, "linestyle": "none"}


def bare_style(regime: Regime, background: Color) -> dict[str, Any]:
    """The properties of the line of a regime alone."""
    return {**line_style(regime, background), "marker": "none"}


def open_style(background: Color) -> dict[str, Any]:
    """The properties of dots whose training was not at its end: grey crosses."""
    return {
        "linestyle": "none",
        "color": "0.55",
        "marker": "X",
        "markerfacecolor": background,
        "markersize": mpl.rcParams["lines.markersize"],
        "markeredgewidth": mpl.rcParams["lines.markeredgewidth"],
    }


def _seen(color: Any, background: Color) -> Any:
    """*color*, if it can be told from the background, else that of labels."""
    return color if abs(_lightness(to_rgb(color)) - _lightness(background)) > _NOT_SEEN else mpl.rcParams["text.color"]


def _lightness(color: Color) -> float:
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def paler(color: Color, background: Color, shade: float) -> Color:
    """A colour nearer to the background by a *shade* from 0 to 1."""
    share = shade * (_PALEST if _lightness(background) > 0.5 else _PALEST_ON_DARK)
    red, green, blue = ((1 - share) * c + share * b for c, b in zip(color, background, strict=True))
    return red, green, blue


def shades_of(count: int) -> list[float]:
    """How much paler the curves of each value of *by* are, from 0 to 1."""
    return [0.0] if count < 2 else [k / (count - 1) for k in range(count)]


def add_legend(
    axes: Sequence[Axes], handles: Sequence[Any], labels: Sequence[str], legend: Legend, *, is_new: bool
) -> None:
    """Explain *handles*, in place, as `fastlazy.plot_risk_curves` says of its *legend*."""
    if legend is None or legend is False:
        return
    if not isinstance(legend, (bool, str, Mapping)):
        raise TypeError(
            f"legend must be True, False, a place or a mapping, got {shown(legend)}; pass e.g. legend='upper right'"
        )
    options = dict(legend) if isinstance(legend, Mapping) else {"loc": legend} if isinstance(legend, str) else {}
    outside = str(options.get("loc", "outside" if is_new else "best")).startswith("outside")
    try:
        if not outside:
            axes[0].legend(handles, labels, **options)
            return
        figure = axes[0].get_figure()
        assert figure is not None
        above_all(figure, handles, labels, {"loc": "outside upper center", **options})
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"legend = {shown(legend)} is none of matplotlib's ({error}); pass a place such as 'upper right' or "
            "'outside upper center', or options of Axes.legend"
        ) from None


def above_all(
    figure: Figure | SubFigure, handles: Sequence[Any], labels: Sequence[str], options: Mapping[str, Any] | None = None
) -> None:
    """Add a legend to the figure, above its axes, with as many columns as its width has room for, in place."""
    options = {"loc": "outside upper center", **(options or {})}
    if "ncols" in options or "ncol" in options:
        figure.legend(handles, labels, **options)
        return
    for rows in range(1, len(labels) + 1):
        legend = figure.legend(handles, labels, ncols=-(-len(labels) // rows), **options)
        if rows == len(labels) or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def add_caption(figure: Figure | SubFigure, text: str) -> None:
    """Write the caption line of a figure below its axes, in lines that its width has room for, in place."""
    written = figure.supxlabel("", fontsize="small")
    lines: list[str] = []
    for sentence in re.split(r"(?<=\.) (?=[A-Z])", text):  # a line has as many as it has room for
        written.set_text(" ".join([*lines[-1:], sentence]))
        if lines and written.get_window_extent().width <= _CAPTION * figure.bbox.width:
            lines[-1] += f" {sentence}"
        else:
            lines.append(sentence)
    written.set_text("\n".join(lines))
    written.set_wrap(True)
