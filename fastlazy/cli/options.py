"""Options of more than one verb, from the text that came."""

from __future__ import annotations

import argparse
import math


def parse_ridge(name: str, text: str) -> float:
    """A penalty, from the *text* of the option *name*.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of at least 0, or 'best', got {text!r}; try {name} 0.01")
    return value


def parse_counts(name: str, text: str, example: str) -> list[int]:
    """Different whole numbers of at least 1, in order, from the *text* of the option *name*.

    Raises
    ------
    ValueError
        If it holds something else.
    """
    try:
        counts = sorted({int(part) for part in text.replace(",", " ").split()})
    except ValueError:
        raise ValueError(
            f"{name} must be whole numbers separated by commas, got {text!r}; try {name} {example}"
        ) from None
    if not counts or counts[0] < 1:
        raise ValueError(f"{name} must be numbers of at least 1, got {text!r}; try {name} {example}")
    return counts


def parse_scales(name: str, text: str) -> list[float]:
    """Different scales alpha, in order, from the *text* of the option *name*.

    Raises
    ------
    ValueError
        If it holds something else.
    """
    try:
        scales = sorted({float(part) for part in text.replace(",", " ").split()})
    except ValueError:
        scales = []
    if not scales or not 0 < scales[0] <= scales[-1] <= 1e4:
        raise ValueError(f"{name} must be numbers above 0, up to 10000, got {text!r}; try {name} 0.01,1,100")
    return scales


def add_style_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--style`` to a command that draws, in place."""
    parser.add_argument(
        "--style", metavar="STYLE",
        help="a style of matplotlib, by its name or file, such as fastlazy.figures.column, for a journal's column of "
        "3.4 inches (default: your matplotlibrc, and fastlazy.figures.wide in what it leaves open)",
    )  # fmt: skip


def check_style(style: str | None) -> None:
    """Check that matplotlib, which must be loaded, has this *style*; ValueError if it has not."""
    if style is None:
        return
    from fastlazy.figures.looks import drawing

    with drawing(style):
        pass
