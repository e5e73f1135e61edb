"""A page that shows how a sweep stands: one file of HTML with its figures in it, which needs no server."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from string import Template
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from fastlazy.figures.looks import WIDE, drawing, unset
from fastlazy.figures.risk_curves import plot_risk_curves
from fastlazy.sweeps.cells import KEYS, REPEATS
from fastlazy.sweeps.progress import duration
from fastlazy.sweeps.status import Status, words_of_state
from fastlazy.sweeps.tables import load

_MOST = 6  # figures
_TOGETHER = ("regime", "N", *REPEATS)  # what one figure has many of
_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; color: #111; }
h1 { font-size: 1.4rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem .9rem .2rem 0; vertical-align: top; }
th { border-bottom: 1px solid #999; font-weight: 600; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: #f4f4f4; padding: .7rem; overflow-x: auto; font-size: .8rem; }
figure { display: inline-block; margin: 0 1rem 1rem 0; width: 30rem; max-width: 100%; }
figure svg { width: 100%; height: auto; }
figcaption { font-size: .85rem; } .wide { overflow-x: auto; }
</style>
<h1>$title</h1>
<p id="state">$state</p>
$body
<script type="application/json" id="status">$json</script>
</html>
""")


def status_page(status: Status) -> str:
    """The page of a sweep that stands so, with the risk curves of what its store holds.

    Raises
    ------
    ValueError
        If the store holds rows that are not as they were written.
    """
    table = load(status.store)
    body = [_counts(status), _workers(status), *_figures(table[table["status"] == "done"]), _slowest(status)]
    body += [_errors(status), _origin(status)]
    as_json = json.dumps(status._asdict()).replace("</", "<\\/")
    return _PAGE.substitute(
        title=escape(status.store), state=escape(words_of_state(status)), body="\n".join(body), json=as_json
    )


def _counts(status: Status) -> str:
    counts = [(name, _number(count, f"count-{name}")) for name, count in status.counts.items()]
    text = "<h2>Cells</h2>" + _html_table(["status", "cells"], counts)
    if status.rate is None:
        return text
    assert status.seconds_left is not None
    text += f"<p>{status.rate:.3g} cells a second, time left {escape(duration(status.seconds_left))}</p>"
    rows = [
        (
            escape(name),
            _number(row["cells"], f"left-{escape(name)}"),
            duration(row["seconds"]),
            "a guess" * row["guessed"],
        )
        for name, row in status.left.items()
    ]
    return text + _html_table(["regime", "left", "time left", ""], rows)


def _workers(status: Status) -> str:
    if status.workers is None:
        return ""
    rows = [
        (
            escape(str(entry.get("worker", ""))),
            escape(entry["cell"]),
            _number(entry["batch"]),
            escape(duration(entry["seconds"])),
            _number(entry.get("memory_mb") or ""),
        )
        for entry in status.running
    ]
    heads = ["worker", "is at", "cells of its batch", "since", "memory in MB"]
    return f"<h2>{status.workers} workers</h2>" + _html_table(heads, rows)


def _figures(done: pd.DataFrame) -> Iterator[str]:
    """Risk curves of the finished cells, a figure for all that can stand in one."""
    if done.empty:
        return
    yield "<h2>Risk curves</h2>"
    groups = [(name, rows) for name, rows in _groups(done, ["d", "target", "target_seed", "exponent", "activation"])]
    finer = [name for name in KEYS if name not in ("N", *REPEATS) and name in done]
    drawn: list[tuple[str, str]] = []
    for name, rows in groups:
        try:
            drawn.append((name, _svg(rows)))
        except ValueError:  # its cells differ in more than a figure shows
            drawn += [(one, _svg(some)) for one, some in _groups(rows, finer)]
    for name, svg in drawn[:_MOST]:
        yield f"<figure>{svg}<figcaption>{escape(name)}</figcaption></figure>"
    if len(drawn) > _MOST:
        yield f"<p>and {len(drawn) - _MOST} figures more, which <code>fastlazy figure --from</code> draws</p>"


def _groups(rows: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Rows that agree in the columns *names*, and these in words."""
    present = [name for name in names if name in rows]
    for values, some in rows.groupby(present, dropna=False, sort=True):
        pairs: list[tuple[str, Any]] = [*zip(present, values, strict=True)]
        known = [f"{name} = {value}" for name, value in pairs if pd.notna(value)]
        yield ", ".join(known)[:300], some


def _svg(rows: pd.DataFrame) -> str:
    """Risk curves as SVG, to stand in a page with others; their lines are straight, which takes no time."""
    settings = {**unset(WIDE), "svg.fonttype": "none", "font.size": 11, "figure.figsize": (6.8, 4.8)}
    with drawing(settings):
        figure = plot_risk_curves(rows, rows).get_figure(root=True)
        assert figure is not None
        try:
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None})
        finally:
            plt.close(figure)
    return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]


def _slowest(status: Status) -> str:
    rows = [
        (escape(row["cell"]), escape(row["status"]), escape(duration(row["seconds"])), escape(str(row["worker"] or "")))
        for row in status.slowest
    ]
    return "<h2>Slowest cells</h2>" + _html_table(["cell", "status", "took", "worker"], rows) if rows else ""


def _errors(status: Status) -> str:
    if not status.errors:
        return ""
    text = "<h2>Errors</h2>"
    for row in status.errors:
        text += f"<p class='error'>{row['cells']} &times; {escape(row['status'])}: {escape(row['error'])}</p>"
        if row["traceback"]:
            text += f"<details open><summary>where</summary><pre>{escape(row['traceback'])}</pre></details>"
    return text


def _origin(status: Status) -> str:
    rows = [
        (escape(name), escape(" ".join(value) if isinstance(value, list) else str(value)))
        for name, value in status.run.items()
        if value is not None
    ]
    return "<h2>The driver</h2>" + _html_table(["", ""], rows) if rows else ""


def _number(value: Any, name: str = "") -> str:
    """A cell of a table with a number, which `_html_table` takes as it is."""
    return f'<td class="number"{f" id={json.dumps(name)}" if name else ""}>{value}</td>'


def _html_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(c if c.startswith('<td') else f'<td>{c}</td>' for c in row)}</tr>" for row in rows)
    return f"<div class='wide'><table><tr>{head}</tr>{body}</table></div>"
