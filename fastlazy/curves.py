"""The dots and the lines of the headline figure: risk of RF, NT and NN against the number of neurons.

A dot of RF or NT is the exact risk of drawn weights; a dot of NN is a network trained by SGD. Dots are cells of
a sweep (`fastlazy.sweep`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fastlazy.activations import TANGENT_NAMES
from fastlazy.cells import KEYS, REGIMES, cell_target
from fastlazy.measure import predicted_ratio
from fastlazy.targets import QuadraticTarget

_DOT = {"ratio": "measured", "stream": "seed"}  # a column of a sweep, and what it is called of a dot
DOT_COLUMNS = ["regime", "N", "draw", "measured", "predicted", "seconds", "seed", "activation"]
_SETTING = ["target", "target_seed", "exponent", "d"]  # what all dots of one figure have in common


def geometric_widths(d: int, count: int) -> list[int]:
    """Up to *count* widths in equal ratios from d / 15 to 10 d: 30 to 4500 at d = 450."""
    return sorted({max(1, round(N)) for N in np.geomspace(d / 15, 10 * d, count)})


def authors_widths(d: int) -> list[int]:
    """The 25 widths of the authors' scripts, 30 to 4767 at d = 450, in proportion to d."""
    return sorted({max(1, int(30 * 1.5**power * d / 450)) for power in np.linspace(0, 12.5, 25)})


def quick_samples(N: int, d: int) -> int:
    """Samples that bring an NN dot of width N within about .005 of its optimum, as `fastlazy figure` prints.

    In units of d (d + 150), about d b s, in which all directions are learned once (see `fastlazy.schedule`): few
    for N >= d, where no noise remains, more the narrower the network.
    """
    narrowness = float(np.clip(1 - N / d, 0, 1))
    return max(200_000, math.ceil((2.6 + 37 * math.pow(narrowness, 1.45)) * d * (d + 150)))


def figure_cells(
    d: int,
    widths: Sequence[int],
    draws: int,
    n_samples: Sequence[int],
    seed: int,
    activations: Sequence[str] = ("square",),
) -> list[dict[str, Any]]:
    """The cells of a figure: for each width *draws* of RF and NT, with the same weights for all sigma, and one NN."""
    common = {"d": d, "target_seed": seed, "seed": seed}
    lazy = [
        {"regime": regime, "activation": name, **common}
        for name in activations
        for regime in ("RF", "NT")
        if regime == "RF" or name in TANGENT_NAMES
    ]
    cells: list[dict[str, Any]] = []
    for N, samples in zip(widths, n_samples, strict=True):
        cells += [{**cell, "N": N, "draw": k} for cell in lazy for k in range(draws)]
        cells.append({"regime": "NN", "N": N, "n_samples": samples, **common})
    return cells


def figure_dots(table: pd.DataFrame) -> pd.DataFrame:
    """The dots among the rows of a sweep: columns as in `DOT_COLUMNS`, ordered by regime, sigma, N and draw."""
    done = table[table["status"] == "done"].drop(columns=list(_DOT.values()), errors="ignore").rename(columns=_DOT)
    return done[DOT_COLUMNS].sort_values(["regime", "activation", "N", "draw"], ignore_index=True)


def one_figure(table: pd.DataFrame, *, d: int | None = None, seed: int | None = None) -> pd.DataFrame:
    """The rows of a sweep that make one figure: finished, without ridge or scale, of one target, best trained.

    Parameters
    ----------
    table : DataFrame
        As `load_sweep` returns it.
    d, seed : int, optional
        Only cells of this dimension; of this seed.

    Raises
    ------
    ValueError
        If no row is left, or rows of several targets are.
    """
    rows = table[(table["status"] == "done") & (table["ridge"].fillna(0.0) == 0)]
    if "scale" in rows:  # in stores from before there were none
        rows = rows[rows["scale"].isna() & (rows["init"] != "symmetric")]
    for name, value in (("d", d), ("seed", seed)):
        rows = rows if value is None else rows[rows[name] == value]
    settings = rows[_SETTING].drop_duplicates()
    if len(settings) != 1:
        listed = "; ".join(
            ", ".join(f"{name} = {value}" for name, value in row.items() if not pd.isna(value))
            for row in settings.head(5).to_dict("records")
        )
        raise ValueError(
            f"the store has finished cells of {len(settings)} targets, a figure is of one"
            + (f" ({listed}); choose with --d and --seed" if listed else "; run a sweep first")
        )
    trained = rows["n_samples"].astype(float)
    most = trained.groupby([rows["regime"], rows["N"]]).transform("max")
    is_trained = rows["regime"] == "NN"  # of the others only what is of the population
    return rows[(is_trained & (trained == most)) | (~is_trained & trained.isna())]


def figure_target(rows: pd.DataFrame) -> QuadraticTarget:
    """The target that *rows* of a sweep have in common."""
    first = {str(name): value for name, value in rows.iloc[0].items() if name in KEYS}
    if first["target"].startswith("["):  # eigenvalues
        first["target"] = json.loads(first["target"])
    return cell_target(first)


def figure_lines(target: QuadraticTarget, dots: pd.DataFrame) -> pd.DataFrame:
    """The lines of a figure with these *dots*."""
    low, high = dots["N"].min(), dots["N"].max()
    fine = {*dots["N"], *geometric_widths(target.d, 200), *range(1, min(target.d, high) + 1)}
    activations = list(dots.loc[dots["regime"] != "NN", "activation"].unique())
    return predictions(target, [N for N in sorted(fine) if low <= N <= high], activations)


def predictions(
    target: QuadraticTarget, widths: Sequence[int], activations: Sequence[str] = ("square",)
) -> pd.DataFrame:
    """Lines at these *widths*: columns regime, activation, N, predicted (ratio)."""
    lines = [("RF", name) for name in activations]
    lines += [("NT", name) for name in activations if name in TANGENT_NAMES] + [("NN", "square")]
    rows = [(regime, name, N, predicted_ratio(target, regime, N, name)) for regime, name in lines for N in widths]
    return pd.DataFrame(rows, columns=["regime", "activation", "N", "predicted"])


def summary(dots: pd.DataFrame) -> pd.DataFrame:
    """One row for each regime, sigma and N: dots, mean and standard deviation of the measured ratio, prediction."""
    table = dots.groupby(["regime", "activation", "N"], as_index=False).agg(
        dots=("measured", "size"),
        measured=("measured", "mean"),
        std=("measured", "std"),
        predicted=("predicted", "first"),
    )
    table["difference"] = table["measured"] - table["predicted"]
    order = {regime: place for place, regime in enumerate(REGIMES)}
    by = ["regime", "activation", "N"]
    return table.sort_values(by, key=lambda column: column.replace(order)).reset_index(drop=True)
