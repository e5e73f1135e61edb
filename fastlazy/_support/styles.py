"""How a regime looks in every figure, whichever floor draws it."""

from __future__ import annotations

from typing import Any

# Regimes are told apart by line, marker and filling as well as by colour (a palette for colour-blind readers).
STYLES: dict[str, dict[str, Any]] = {
    "RF": {"color": "#0072B2", "linestyle": "-", "marker": "s", "markerfacecolor": "white"},
    "NT": {"color": "#D55E00", "linestyle": "--", "marker": "^", "markerfacecolor": "white"},
    "NN": {"color": "#111111", "linestyle": "-.", "marker": "o"},
}
