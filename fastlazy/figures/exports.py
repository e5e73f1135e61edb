"""A figure's curves as files for other programs: a picture in LaTeX (pgfplots), or its numbers as JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.colors import to_rgb

from fastlazy._support.files import check_path, check_writable, replace_file
from fastlazy._version import __version__
from fastlazy.figures.curve_groups import Curve, Curves
from fastlazy.figures.labels import label_of, latex_text
from fastlazy.figures.looks import HIGHEST, Color, line_style, open_style, paler, panel_columns, shades_of
from fastlazy.sweeps.regimes import REGIMES

_WHITE = (1.0, 1.0, 1.0)
_DASHES = {"-": "solid", "--": "dashed", "-.": "dash dot", ":": "dotted"}
_MARKS = {"s": "square*", "^": "triangle*", "o": "*", "X": "x"}


def export_curves(curves: Curves, path: str | os.PathLike[str]) -> None:
    """Write the curves of a figure to a file whose ending, .tex or .json, says how.

    Raises
    ------
    ValueError
        If it has another ending.
    OSError
        If the file cannot be written.
    """
    place = check_curves_export(path)
    text = as_tex(curves) if place.suffix == ".tex" else json.dumps(as_json(curves), indent=1) + "\n"
    replace_file(place, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def check_curves_export(path: str | os.PathLike[str]) -> Path:
    """*path*, if `export_curves` can write such a file; errors as there."""
    place = check_path("the file to export to", path)
    if place.suffix not in (".tex", ".json"):
        raise ValueError(f"cannot export a figure to {str(path)!r}; pass a file name that ends in .tex or .json")
    check_writable(place)
    return place


def as_json(curves: Curves) -> dict[str, Any]:
    """What a figure shows: its caption, and the curves of each panel, as columns of numbers."""
    panels = [
        {"title": title, "curves": [_curve(curves, curve) for curve in curves.curves if curve.panel == k]}
        for k, title in enumerate(curves.panels)
    ]
    return {"fastlazy": __version__, "caption": curves.caption, "x": "N / d", "y": "risk / null risk", "panels": panels}


def _curve(curves: Curves, curve: Curve) -> dict[str, Any]:
    return {
        "regime": curve.regime.name,
        "label": label_of(curve.regime, curves.rows),
        "by": None if curve.place is None else curves.names[curve.place],
        "d": curve.d,
        "dots": _columns(curve.dots),
        "line": None if curve.line is None else _columns(curve.line),
    }


def _columns(table: pd.DataFrame) -> dict[str, list[Any]]:
    """The columns of a table; None for numbers that are not finite."""
    return {
        str(name): [None if pd.isna(value) else value for value in column.tolist()] for name, column in table.items()
    }


def as_tex(curves: Curves) -> str:
    """A picture in LaTeX, which a document inputs where it would include a graphic."""
    several = len(curves.panels) > 1
    kind = "groupplot" if several else "axis"
    lines = [
        *(f"% {line}" for line in [f"fastlazy {__version__}", curves.caption]),
        "% \\usepackage{pgfplots} \\usepgfplotslibrary{groupplots} \\pgfplotsset{compat=1.17}",
        "\\begin{tikzpicture}",
        f"\\begin{{{kind}}}[",
        *(f"  {option}," for option in _options(curves)),
        "]",
    ]
    for k, title in enumerate(curves.panels):
        if several:
            lines.append(f"\\nextgroupplot[title={{{tex_label(title)}}}]")
        lines += _legend(curves) if k == 0 else []
        for curve in sorted(curves.curves, key=lambda curve: -curve.regime.weight):  # the thinner ones above
            lines += _plots(curves, curve) if curve.panel == k else []
    return "\n".join([*lines, f"\\end{{{kind}}}", "\\end{tikzpicture}", ""])


def _options(curves: Curves) -> Iterator[str]:
    count = len(curves.panels)
    columns = panel_columns(count)
    if count > 1:
        size = f"group size={columns} by {-(-count // columns)}, horizontal sep=1em, vertical sep=4em"
        yield f"group style={{{size}, ylabels at=edge left, yticklabels at=edge left}}"
    yield f"width={0.98 / columns:.3f}\\linewidth"
    yield f"height={0.65 if columns == 1 else 0.9 / columns:.3f}\\linewidth"
    yield "xmode=log"
    yield "log ticks with fixed point"
    yield f"xlabel={{{'neurons / dimension, $N / d$' if count == 1 else '$N / d$'}}}"
    yield "ylabel={risk / null risk}"
    if max(float(curve.dots["measured"].max()) for curve in curves.curves if len(curve.dots)) > HIGHEST:
        yield "ymode=log"
    else:
        yield "ymin=-0.05"
    yield "unbounded coords=jump"
    yield from (f"{part} style={{font=\\small}}" for part in ("tick label", "label", "title"))
    yield "legend columns=3"
    yield "legend cell align=left"
    above = "2em" if count > 1 else "0.5em"
    spaced = "/tikz/every even column/.append style={column sep=0.5em}"
    yield (
        f"legend style={{at={{(0, 1)}}, anchor=south west, yshift={above}, draw=none, font=\\footnotesize, {spaced}}}"
    )


def _legend(curves: Curves) -> Iterator[str]:
    for regime in REGIMES.values():
        if any(curve.regime is regime for curve in curves.curves):
            yield f"\\addlegendimage{{{_line(line_style(regime, _WHITE))}, {_mark(line_style(regime, _WHITE))}}}"
            yield f"\\addlegendentry{{{tex_label(label_of(regime, curves.rows))}}}"
    for shade, name in zip(shades_of(len(curves.names)), curves.names, strict=False):
        yield f"\\addlegendimage{{line width=2pt, color={_color(paler((0.0, 0.0, 0.0), _WHITE, shade))}}}"
        yield f"\\addlegendentry{{{tex_label(name)}}}"


def _plots(curves: Curves, curve: Curve) -> Iterator[str]:
    """The line and the dots of a curve; crosses where training was not at its end."""
    shade = 0.0 if curve.place is None else shades_of(len(curves.names))[curve.place]
    style = line_style(curve.regime, _WHITE, shade=shade)
    if curve.line is not None:
        yield f"\\addplot[{_line(style)}, no marks, forget plot] table {{%"
        yield from _rows(curve.line["N"] / curve.d, curve.line["predicted"])
        yield "};"
    for converged, own in ((True, style), (False, open_style(_WHITE))):
        rows = curve.dots[curve.dots["converged"] == converged]
        if len(rows):
            bars = "error bars/.cd, y dir=both, y explicit"
            yield (
                f"\\addplot[color={_color(own['color'])}, only marks, {_mark(own)}, forget plot, {bars}] "
                "table[x index=0, y index=1, y error index=2] {%"
            )
            yield from _rows(rows["N"] / curve.d, rows["measured"], rows["spread"])
            yield "};"


def _rows(*columns: pd.Series) -> Iterator[str]:
    for row in zip(*(column.tolist() for column in columns), strict=True):
        yield " ".join("nan" if pd.isna(value) else f"{value:.7g}" for value in row)


def _line(style: dict[str, Any]) -> str:
    width, dashes = 0.5 * style["linewidth"], _DASHES.get(style["linestyle"], "solid")
    return f"color={_color(style['color'])}, {dashes}, line width={width:.2g}pt"


def _mark(style: dict[str, Any]) -> str:
    options = f"solid, fill={_color(style['markerfacecolor'])}"
    mark, size = _MARKS.get(style["marker"], "*"), style["markersize"] / 3.5
    return f"mark={mark}, mark size={size:.2g}pt, mark options={{{options}}}"


def _color(color: Color | str) -> str:
    red, green, blue = to_rgb(color)
    return f"{{rgb,1:red,{red:.3f};green,{green:.3f};blue,{blue:.3f}}}"


def tex_label(label: str) -> str:
    """A label of a figure for LaTeX: mathematics stays, and the rest is shown as it is."""
    parts = re.split(r"((?<!\\)\$(?:[^$\\]|\\.)*\$)", label)
    return "".join(part if k % 2 else latex_text(part.replace(r"\$", "$")) for k, part in enumerate(parts))
