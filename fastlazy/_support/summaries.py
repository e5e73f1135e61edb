"""What an object shows of itself: one line in a console, a small table in a notebook, of the same facts."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]  # names and what they are: numbers, text, or what has a short str


def one_line(value: Any, facts: Facts) -> str:
    """The repr of *value*: its class with the facts as if they were arguments."""
    return f"{type(value).__name__}({', '.join(f'{name}={_short(fact)}' for name, fact in facts.items())})"


def html_table(title: str, facts: Facts) -> str:
    """A table in HTML with a row for each fact, under its title; it needs nothing from elsewhere."""
    rows = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(fact if isinstance(fact, str) else _short(fact))}</td></tr>'
        for name, fact in facts.items()
    )
    return f'<table><caption style="text-align:left"><b>{html.escape(title)}</b></caption><tbody>{rows}</tbody></table>'


def _short(fact: Any) -> str:
    if isinstance(fact, str):
        return repr(fact)
    return f"{fact:.6g}" if isinstance(fact, float) else str(fact)
