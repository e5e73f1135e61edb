"""Which rows of a table are which curve in which panel: tables in, dots and lines of curves out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastlazy._support.arguments import check_count
from fastlazy.figures.labels import table_caption, value_labels
from fastlazy.figures.risk_table import check_one_setting, converged, filled, not_converged
from fastlazy.figures.stored_cells import stored_parameters
from fastlazy.sweeps.cells import KEYS, cell_target
from fastlazy.sweeps.keys import FAMILY_KEYS
from fastlazy.sweeps.regimes import REGIMES, Regime

_MOST = {"by": 12, "col": 24}  # values that a figure can have
_FLAT = 0.002  # of the null risk: what a line may be off where it is drawn straight
_NEAR = 1.7  # the ratio of two widths beyond which a line may bend both ways between them
_POINTS = 80  # of a line, which a prediction of some milliseconds is computed for
_OF_FITS = 40  # likewise, of fits to samples, whose predictions take longer
_HEIGHTS = ("N", "measured", "ratio", "predicted", "risk")


class Curve(NamedTuple):
    """One regime in one panel.

    Attributes
    ----------
    panel : int
    place : int or None
        Which of the values of *by* it has; None if its regime has none of them.
    regime : Regime
    d : int
    dots : DataFrame
        Columns N, measured (the mean), spread (standard deviation, 0 of one), draws, converged.
    line : DataFrame or None
        Columns N, predicted (empty where it is infinite).
    """

    panel: int
    place: int | None
    regime: Regime
    d: int
    dots: pd.DataFrame
    line: pd.DataFrame | None


class Curves(NamedTuple):
    """All curves of a figure, the titles of its panels, the labels of the values of *by*, and its caption."""

    curves: list[Curve]
    panels: list[str]
    names: list[str]
    caption: str
    rows: pd.DataFrame  # those that are drawn


def curves_of(
    dots: pd.DataFrame,
    lines: pd.DataFrame | None = None,
    d: int | None = None,
    *,
    by: str | None = None,
    col: str | None = None,
    objects: Mapping[str, Any] | None = None,
) -> Curves:
    """The curves of a table; arguments and errors as of `fastlazy.plot_risk_curves`."""
    dots, lines, is_sweep = _check_tables(dots, lines)
    for name, key in (("by", by), ("col", col)):
        check_axis(name, key, dots)
    if by is not None and by == col:
        raise ValueError(f"by and col are both {by!r}; pass another column as one of them")
    panels, values = _values("col", col, dots), _values("by", by, dots)
    found: list[Curve] = []
    for k, panel in enumerate(panels):
        in_panel = _having(dots, col, panel)
        known = None if lines is None else _having(lines, col, panel)
        lazy = in_panel[~in_panel["regime"].isin([name for name, row in REGIMES.items() if row.is_trained])]
        of_samples = "n_samples" in lazy and bool(lazy["n_samples"].notna().any())
        for place, own in _parts(in_panel, by, values):
            size = _dimension(own, d)
            check_one_setting(own, "drop the rows of all but one {name}, or pass by={name!r} or col={name!r}")
            _check_one_activation(own)
            for regime in REGIMES.values():
                rows = own[own["regime"] == regime.name]
                if known is not None:
                    line = _given_line(_lines_of(known, own, by, place, values), rows, regime)
                elif is_sweep and not rows.empty and not (of_samples and regime.is_trained):
                    line = _predicted_line(rows, regime, objects or {})
                else:
                    line = None
                if len(rows) or line is not None:
                    found.append(Curve(k, place, regime, size, _means(rows), line))
    names = [] if by is None else value_labels(by, values)
    titles = [""] if col is None else value_labels(col, panels)
    shown = [key for key in (by, col) if key is not None]
    has_lines = any(curve.line is not None for curve in found)
    caption = table_caption(dots, [curve.d for curve in found], shown=shown, lines=has_lines)
    return Curves(found, titles, names, caption, dots)


def _check_tables(dots: Any, lines: Any) -> tuple[pd.DataFrame, pd.DataFrame | None, bool]:
    """Dots and lines, of the finished rows of a sweep or as given, and whether they are those of a sweep."""
    is_sweep = isinstance(dots, pd.DataFrame) and "ratio" in dots
    if is_sweep:
        check_table("dots", dots, ["status", "regime", "N", "predicted", "d", "activation"])
        dots = dots[dots["status"] == "done"].rename(columns={"ratio": "measured"})
        dots = dots.assign(converged=converged(dots))
    check_table("dots", dots, ["regime", "N", "measured"])
    if dots.empty:
        raise ValueError("dots has no rows to draw; of a sweep these are those with status 'done'")
    _check_numbers("dots", dots, "measured")
    if "converged" in dots and not dots["converged"].dropna().isin([True, False]).all():
        raise TypeError("the column converged of dots must hold True, False or nothing; convert it, e.g. == 'True'")
    if lines is not None:
        check_table("lines", lines, ["regime", "N", "predicted"])
        _check_numbers("lines", lines, "predicted", may_lack=True)
    return dots, lines, is_sweep


def check_table(name: str, table: Any, columns: list[str]) -> None:
    """Check that *table* is one with these *columns*; TypeError or KeyError if it is not."""
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


def check_axis(name: str, key: Any, dots: pd.DataFrame) -> None:
    """Check that *key*, given as by or col, is a column whose values can tell curves or panels apart."""
    if key is None:
        return
    if not isinstance(key, str):
        raise TypeError(f"{name} must be the name of a column, got {key!r}; pass e.g. {name}='ridge'")
    refused = {**dict.fromkeys(_HEIGHTS, "is drawn along an axis"), "converged": "is drawn as a marker"}
    refused |= {"regime": "has its colours"} if name == "by" else {}
    if key in refused:
        raise ValueError(f"{name} = {key!r} {refused[key]}; pass a column that tells cells apart, such as 'ridge'")
    if key not in dots:
        differ = [column for column in KEYS if column in dots and column not in refused and dots[column].nunique() > 1]
        raise ValueError(
            f"{name} = {key!r} is no column of the table; pass one of those, such as {', '.join(differ[:5]) or 'd'}"
        )


def _values(name: str, key: str | None, dots: pd.DataFrame) -> list[Any]:
    """The different values of a column, in order: of numbers, of categories, or in which they come."""
    if key is None:
        return [None]
    column = filled(dots, key)[~_lacking(dots, key)]
    if isinstance(column.dtype, pd.CategoricalDtype):
        found = [value for value in column.cat.categories if (column == value).any()]
    elif pd.api.types.is_numeric_dtype(column):
        found = sorted(column.dropna().unique().tolist())
    else:
        found = column.dropna().unique().tolist()
    found += [None] * bool(column.isna().any())
    if not found:
        raise ValueError(f"{name} = {key!r} has no value in any row of the table; pass another column")
    if len(found) > _MOST[name]:
        raise ValueError(
            f"{name} = {key!r} has {len(found)} values, and a figure can show {_MOST[name]}; pass some of the rows"
        )
    return found


def _lacking(table: pd.DataFrame, key: str) -> Any:
    """Which rows are of a regime that has no such key, so that they belong to all its values."""
    of_families = {name for keys in FAMILY_KEYS.values() for name in keys}
    if key not in KEYS or key in of_families:
        return pd.Series(False, table.index)
    without = [name for name, regime in REGIMES.items() if key not in regime.keys]
    return table["regime"].isin(without) & table[key].isna()


def _is(table: pd.DataFrame, key: str, value: Any) -> Any:
    """Which rows have this value, and none of the others."""
    column = filled(table, key)
    return column.isna() & ~_lacking(table, key) if pd.isna(value) else (column == value).fillna(False).astype(bool)


def _having(table: pd.DataFrame, key: str | None, value: Any) -> pd.DataFrame:
    """The rows that have this value, or whose regime has no such key; all where the table has no such column."""
    return table if key is None or key not in table else table[_is(table, key, value) | _lacking(table, key)]


def _parts(rows: pd.DataFrame, by: str | None, values: list[Any]) -> Iterator[tuple[int | None, pd.DataFrame]]:
    """The rows of a panel by the value that they have of *by*, with its place; those that have none first."""
    common = rows if by is None else rows[_lacking(rows, by)]
    if not common.empty:
        yield None, common
    for place, value in enumerate(values if by is not None else []):
        own = rows[_is(rows, str(by), value)]
        if not own.empty:
            yield place, own


def _lines_of(
    lines: pd.DataFrame, rows: pd.DataFrame, by: str | None, place: int | None, values: list[Any]
) -> pd.DataFrame:
    """The given lines that belong to these *rows* of a panel, which have that value of *by*."""
    if by is None:
        return lines
    if place is None or by not in lines:
        return lines[lines["regime"].isin(rows["regime"])]
    return lines[_is(lines, by, values[place])]


def _dimension(rows: pd.DataFrame, d: int | None) -> int:
    if d is not None or "d" not in rows:
        return check_count("d", d)
    dimensions = rows["d"].unique()
    if len(dimensions) != 1:
        raise ValueError(
            f"the table has finished cells of {len(dimensions)} dimensions d, a figure is of one; pass rows of one d, "
            "or by='d' or col='d'"
        )
    return int(dimensions[0])


def _check_one_activation(rows: pd.DataFrame) -> None:
    if "activation" in rows and (several := rows["activation"].nunique()) > 1:
        raise ValueError(
            f"the table has {several} non-linearities, these axes are for one; pass rows of one, or "
            "col='activation' or by='activation', or use plot_activations"
        )


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """Means and standard deviations at each width."""
    found = (
        rows.assign(converged=~not_converged(rows))
        .groupby("N", as_index=False)
        .agg(
            measured=("measured", "mean"),
            spread=("measured", "std"),
            draws=("measured", "size"),
            converged=("converged", "all"),
        )
    )
    return found.astype({"converged": bool}).assign(spread=found["spread"].fillna(0.0))


def _given_line(lines: pd.DataFrame, rows: pd.DataFrame, regime: Regime) -> pd.DataFrame | None:
    own = lines[lines["regime"] == regime.name]
    if "activation" in own and "activation" in rows and len(rows):
        own = own[own["activation"] == rows["activation"].iloc[0]]
    own = own.drop_duplicates("N").sort_values("N")[["N", "predicted"]]
    return own.reset_index(drop=True) if own["predicted"].notna().any() else None


def _predicted_line(rows: pd.DataFrame, regime: Regime, objects: Mapping[str, Any]) -> pd.DataFrame | None:
    """The prediction of rows of a sweep, smooth where what they are of is known, else straight from dot to dot.

    It is known for the targets and non-linearities of the package, and for the user's among *objects*.
    """
    through = _given_line(rows, rows, regime)
    if through is None:
        return None
    differing = [name for name in ("n_samples", "ridge", "second_layer") if name in rows]
    settings = rows[differing].drop_duplicates()
    parameters = stored_parameters(rows.iloc[0].to_dict(), objects) if len(settings) == 1 or not differing else None
    if parameters is None:
        return through
    target = cell_target(parameters)

    def predicted(N: int) -> float:
        ratio = regime.predicted(target, {**parameters, "N": N})
        return math.nan if ratio is None else ratio

    known = dict(zip(through["N"].astype(int), through["predicted"].astype(float), strict=True))
    again = {N: predicted(N) for N in list(known)[:: max(1, len(known) // 3)]}
    if not all(np.isclose(value, known[N], rtol=1e-6, atol=1e-9, equal_nan=True) for N, value in again.items()):
        return through  # an earlier version predicted otherwise, or columns are left out
    corner = [N for N in (parameters["d"] - 1, parameters["d"]) if min(known) < N < max(known)]
    known |= {N: predicted(N) for N in corner if N not in known}
    fitted = not regime.is_trained and parameters.get("n_samples") is not None
    points = refined(predicted, known, _OF_FITS if fitted else _POINTS)
    return pd.DataFrame({"N": [*points], "predicted": [*points.values()]})


def refined(predicted: Callable[[int], float], known: Mapping[int, float], most: int) -> dict[int, float]:
    """The points of a line, in order: those that are *known*, and up to *most* in all where it is not straight.

    Widths are halved on a logarithmic scale as long as the line bends there by more than one can see.
    """
    found = dict(sorted(known.items()))
    widths = list(found)
    waiting = [*pairwise(widths)]
    while waiting and len(found) < most:
        low, high = waiting.pop(0)
        middle = round(math.sqrt(low * high))
        if middle in (low, high):
            continue
        found[middle] = height = predicted(middle)
        share = math.log(middle / low) / math.log(high / low)
        straight = found[low] + share * (found[high] - found[low])
        is_flat = abs(height - straight) <= _FLAT * max(1.0, abs(height))  # which is False where one is infinite
        if middle > _NEAR * low or not is_flat:
            waiting += [(low, middle), (middle, high)]
    return dict(sorted(found.items()))
