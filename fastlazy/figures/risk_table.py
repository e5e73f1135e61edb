"""The dots and the lines of the headline figure: risk of RF, NT and NN against the number of neurons.

A dot of RF or NT is the exact risk of drawn weights; a dot of NN is a network trained by SGD, or by gradient flow. Dots
are cells of a sweep (`fastlazy.sweeps.driver`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from fastlazy.figures.stored_cells import check_rows
from fastlazy.sweeps.cells import KEYS, REPEATS, canonical_cell, cell_target, check_number_of_cells
from fastlazy.sweeps.keys import FAMILY_KEYS
from fastlazy.sweeps.measure import predicted_ratio
from fastlazy.sweeps.objects import OBJECT_KEYS, name_shown
from fastlazy.sweeps.regimes import REGIMES
from fastlazy.targets.library import FAMILIES, Target

_DOT = {"ratio": "measured", "stream": "seed"}  # a column of a sweep, and what it is called of a dot
DOT_COLUMNS = ["regime", "N", "draw", "measured", "predicted", "seconds", "seed", "activation", "nn", "converged"]
_ALWAYS = ["target", "d", "regime", "N", "draw", "seed"]
# What all dots of one figure have in common.
_SETTING = ["target", *dict.fromkeys(name for keys in FAMILY_KEYS.values() for name in keys), "d"]
TRAINED = [regime.name for regime in REGIMES.values() if regime.is_trained]
_FLOW_WORK = 2.5e11  # multiplications N^2 d of the gradients of one flow
_LATE = 0.01  # of the null risk: a network that learned more in the second half of SGD was not at its end


class Fitted(NamedTuple):
    """How RF and NT are fitted, where not to the population without a ridge."""

    n_samples: float | None  # None: the population, with a ridge
    ridge: float | Literal["best", "each"]

    def options(self, cell: Mapping[str, Any], N: int) -> dict[str, Any]:
        """The keys of a *cell* of this width that say so; the best ridge is the one of its prediction."""
        keys = {"N": N, "n_samples": self.n_samples}
        if self.ridge != "best":
            return {**keys, "ridge": self.ridge}
        best_ridge = REGIMES[cell["regime"]].best_ridge
        assert best_ridge is not None
        return {**keys, "ridge": best_ridge(cell_target(canonical_cell({**cell, **keys})), {**cell, **keys})}


def geometric_widths(d: int, count: int) -> list[int]:
    """Up to *count* widths in equal ratios from d / 15 to 10 d: 30 to 4500 at d = 450."""
    return sorted({max(1, round(N)) for N in np.geomspace(d / 15, 10 * d, count)})


def authors_widths(d: int) -> list[int]:
    """The 25 widths of the authors' scripts, 30 to 4767 at d = 450, in proportion to d."""
    return sorted({max(1, int(30 * 1.5**power * d / 450)) for power in np.linspace(0, 12.5, 25)})


def quick_samples(N: int, d: int) -> int:
    """Samples that bring an NN dot of width N within about .005 of its optimum, as `fastlazy figure` prints.

    In units of d (d + 150), about d b s, in which all directions are learned once (see `fastlazy.training.steps`): few
    for N >= d, where no noise remains, more the narrower the network.
    """
    narrowness = float(np.clip(1 - N / d, 0, 1))
    return max(200_000, math.ceil((2.5 + 39 * math.pow(narrowness, 1.75)) * d * (d + 150)))


def mixture_samples(N: int, d: int) -> int:
    """Samples that bring an NN dot of a mixture of two classes within .01 of its optimum (`docs/mixture.md`).

    y keeps a variance around whatever is learned, so they are many even where no direction is left out. Narrow networks
    have fewer numbers to learn.
    """
    times = 24 + 31 * min(1.0, N / (0.4 * d)) if d > N else 25
    return max(200_000, math.ceil(times * d**2))


def flow_gradients(N: int, d: int) -> int:
    """Gradients that a flow of another sigma than x^2 takes for an NN dot, at most: some 40 seconds of one core.

    The dots of networks wider than d may be unfinished, and are marked.
    """
    return max(30, min(3000, int(_FLOW_WORK / (N**2 * d))))


def figure_cells(
    d: int,
    widths: Sequence[int],
    draws: int,
    n_samples: Sequence[int],
    seed: int,
    activations: Sequence[str] = ("square",),
    nn: str = "sgd",
    fitted: Fitted | None = None,
    target: str = "exponential",
) -> list[dict[str, Any]]:
    """The cells of a figure: for each width *draws* of RF and NT, with the same weights for all sigma, and one NN.

    NN is trained as *nn* says, with a second layer that is trained, too, but for x^2, which needs none. RF and NT are
    those of the population, unless they are *fitted* to samples, as NN then is.
    """
    common = {"d": d, "seed": seed} | ({"target": target} if target != "exponential" else {})
    common |= {"target_seed": seed} if "target_seed" in FAMILIES[target].parameters else {}
    lazy, trained = (
        [
            {"regime": regime.name, "activation": name, **common}
            for name in activations
            for regime in REGIMES.values()
            if regime.is_trained == is_trained and name in regime.activations
        ]
        for is_trained in (False, True)
    )
    for cell in trained:
        layer = {} if target != "mixture" else {"second_layer": "signs"}
        cell |= layer if cell["activation"] == "square" else {"second_layer": "free"}
        cell |= {} if nn == "sgd" else {"nn": nn}
    check_number_of_cells(len(widths) * (draws * len(lazy) + len(trained)), f"{draws} draws at {len(widths)} widths")
    cells: list[dict[str, Any]] = []
    for N, samples in zip(widths, n_samples, strict=True):
        for cell in lazy:
            options = {"N": N} if fitted is None else fitted.options(cell, N)
            cells += [{**cell, **options, "draw": k} for k in range(draws)]
        for cell in trained:
            limits: dict[str, Any] = {"n_samples": samples} if nn == "sgd" else {}
            if nn == "flow" and cell["activation"] != "square":
                limits = {"max_gradients": flow_gradients(N, d)}
            cells.append({**cell, "N": N, **limits})
    return cells


def figure_dots(table: pd.DataFrame, more: Sequence[str] = ()) -> pd.DataFrame:
    """The dots among the rows of a sweep, ordered by regime, sigma, N and draw: `DOT_COLUMNS`, and *more* of theirs."""
    done = table[table["status"] == "done"].drop(columns=list(_DOT.values()), errors="ignore").rename(columns=_DOT)
    dots = done.assign(nn=trained_by(done), converged=converged(done))
    return dots[[*dict.fromkeys([*DOT_COLUMNS, *more])]].sort_values(
        ["regime", "activation", "N", "draw"], ignore_index=True
    )


def plain_dots(dots: pd.DataFrame) -> pd.DataFrame:
    """The *dots* without the columns that say nothing: of one sigma, all trained by SGD, of x^2."""
    silent = {
        "activation": dots["activation"].nunique() <= 1,
        "nn": not (dots["nn"] == "flow").any(),
        "converged": not dots["converged"].notna().any(),
    }
    return dots.drop(columns=[name for name, is_silent in silent.items() if is_silent])


def trained_by(table: pd.DataFrame) -> pd.Series:
    """The key nn of the rows of a sweep, of which older ones do not have it; empty for those that are not trained."""
    return _column(table, "nn").fillna(KEYS["nn"].default).where(table["regime"].isin(TRAINED))


def converged(table: pd.DataFrame) -> pd.Series:
    """Whether the training of each row of a sweep was at its end; empty where a prediction tells, or none is trained.

    That is so for x^2 by SGD. A flow says so itself; by SGD, a network of any other sigma has converged if its risk
    fell by no more than a hundredth of the null risk in the second half of the samples.
    """
    ways = trained_by(table)
    unfinished = _column(table, "fit_status").eq("unconverged").fillna(False).astype(bool)
    late = pd.to_numeric(_column(table, "late_gain")).gt(_LATE).fillna(False).astype(bool) & ways.eq("sgd")
    told = ways.eq("flow") | (ways.eq("sgd") & _column(table, "activation").fillna("square").ne("square"))
    return (~(unfinished | late)).astype("boolean").where(told.fillna(False).astype(bool))


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    """A column, empty if the table does not have it."""
    return table[name].astype(object) if name in table else pd.Series(None, table.index, object)


def one_figure(
    table: pd.DataFrame,
    *,
    d: int | None = None,
    seed: int | None = None,
    where: Mapping[str, Any] | None = None,
    targets: Mapping[str, Target] | None = None,
    shown: Sequence[str] = (),
) -> pd.DataFrame:
    """The rows of a sweep that make one figure: finished, without ridge or scale, of one target, best trained.

    Parameters
    ----------
    table : DataFrame
        As `load_sweep` returns it.
    d, seed : int, optional
        Only cells of this dimension; of this seed.
    where : mapping, optional
        Only cells that have these values of these keys, if their regime has the key. A ridge, a scale or n_samples
        of RF and NT that are given here are drawn. The name of an object stands for it.
    targets : mapping, optional
        Those of the user's in the store, from `load_targets`.
    shown : sequence of str
        Keys whose values are told apart in the figure, so that it may have several.

    Raises
    ------
    ValueError
        If no row is left, rows of several targets are, dots would be means over different cells, or a row is not
        what a sweep measures.
    """
    wanted = {name: value for name, value in {"d": d, "seed": seed, **(where or {})}.items() if value is not None}
    check_columns(table, [*wanted, *shown])
    rows = done = table[table["status"] == "done"]
    for name, value in {"ridge": 0.0, "scale": None, "init": "orthogonal", **wanted}.items():
        if name in wanted or (name in rows and name not in shown):
            rows = rows[_has(rows, name, value)]
    of_target = {*_SETTING} - {"target", "d"} if "target" in shown else set()
    same = [name for name in _SETTING if name in rows and name not in {*shown, *of_target}]
    settings = rows[same].drop_duplicates()
    if len(settings) > 1:
        listed = "; ".join(
            ", ".join(f"{name} = {value}" for name, value in row.items() if not pd.isna(value))
            for row in settings.head(5).to_dict("records")
        )
        raise ValueError(
            f"the store has finished cells of {len(settings)} targets, a figure is of one"
            f" ({listed}); choose with --d and --seed, or --where KEY=VALUE"
        )
    activation = rows["activation"].fillna("square") if "activation" in rows else "square"  # as before there were more
    rows = rows.assign(activation=activation)
    samples = rows["n_samples"].astype(float)
    alike = [rows[name] for name in dict.fromkeys(["regime", "activation", "N", *shown])]
    most = samples.groupby(alike, dropna=False).transform("max")
    by_sgd = trained_by(rows).eq("sgd").fillna(False).astype(bool)
    if "n_samples" not in {*wanted, *shown}:  # of RF and NT, only risks of the population
        rows = rows[(by_sgd & (samples == most)) | (~by_sgd & samples.isna())]
    if rows.empty:
        raise ValueError(
            f"of the {len(done)} finished cells of the store none is for this figure, which shows those of the "
            "population without ridge and scale; run a sweep, or choose others with --where KEY=VALUE"
        )
    check_rows(rows, targets or {})
    if not shown:
        check_one_setting(rows, "choose one with --where {name}={value}")
    return rows


def check_columns(table: pd.DataFrame, names: Iterable[str] = ()) -> None:
    """Check that a *table* of a sweep has the columns that a figure needs, and *names*.

    Raises
    ------
    ValueError
        If it has not.
    """
    needed = [*names, "status", "ratio", "predicted", "seconds", "stream", "ridge", "n_samples", *_ALWAYS]
    if missing := [name for name in needed if name not in table]:
        raise ValueError(
            f"the store has no column {', '.join(map(repr, missing))}; a sweep into it, or into another, makes them"
        )


def check_one_setting(rows: pd.DataFrame, advice: str) -> None:
    """Check that cells which share a dot, by regime, sigma and N, differ in their draw and seed alone.

    How networks are trained must be the same for all dots of a regime.

    Parameters
    ----------
    rows : DataFrame
        Of a sweep, or with some of its columns.
    advice : str
        What to do about it, with places for {name} and {value}.

    Raises
    ------
    ValueError
        If they do not.
    """
    by = [name for name in ("regime", "activation", "N") if name in rows]
    for name in sorted(KEYS, key=lambda name: name != "nn"):  # first, as other keys differ with it
        if name in rows and name not in (*by, *REPEATS):
            values = filled(rows, name)
            groups = [values] if name in _SETTING else [part for _, part in values.groupby(_of_a_dot(rows, by, name))]
            for group in groups:
                if group.nunique(dropna=False) > 1:
                    found = group.drop_duplicates().tolist()
                    known = next(value for value in found if not pd.isna(value))
                    raise ValueError(
                        f"the table has rows with different {name} ({', '.join(map(str, found[:5]))}), of which a "
                        f"figure would show the mean; {advice.format(name=name, value=known)}"
                    )


def _of_a_dot(rows: pd.DataFrame, by: Sequence[str], name: str) -> list[pd.Series]:
    """What rows of one dot have in common; of the key nn, rows of one regime, which has one label."""
    return [rows[column] for column in (by if name != "nn" else ["regime"])]


def filled(rows: pd.DataFrame, name: str) -> pd.Series:
    """A column; of a key that stores from before there was the key do not have, its default in their place."""
    key = KEYS.get(name)
    has_default = key is not None and key.later and key.default is not None
    return rows[name].fillna(key.default) if key is not None and has_default else rows[name]


def _has(rows: pd.DataFrame, name: str, value: Any) -> pd.Series:
    """Which *rows* have this value of a key, or are of a regime that has no such key."""
    column = filled(rows, name)
    equal = column.isna() if value is None else (column == value).fillna(False).astype(bool)
    if name in OBJECT_KEYS:
        equal |= column.map(name_shown).eq(value)
    without = ~rows["regime"].isin([regime.name for regime in REGIMES.values() if name in regime.keys])
    return equal | (without & rows[name].isna())


def fitted_of(rows: pd.DataFrame) -> Fitted | None:
    """How RF and NT of these *rows* of a sweep are fitted; the ridge is "each" if it differs among them."""
    lazy = rows[~rows["regime"].isin(TRAINED)]
    sizes, ridges = ([float(x) for x in filled(lazy, name).dropna().unique()] for name in ("n_samples", "ridge"))
    if not sizes and set(ridges) <= {0.0}:
        return None
    return Fitted(sizes[0] if sizes else None, ridges[0] if len(ridges) == 1 else "each")


def figure_lines(target: Target, dots: pd.DataFrame, fitted: Fitted | None = None) -> pd.DataFrame:
    """The lines of a figure with these *dots*, *fitted* so.

    They go through the predictions of the dots if each has its own ridge, and where sigma is the user's.
    """
    through = dots.drop_duplicates(["regime", "activation", "N"])[["regime", "activation", "N", "predicted"]]
    if fitted is not None and fitted.ridge == "each":
        return through
    own = through[through["activation"].map(name_shown).notna()]
    low, high = dots["N"].min(), dots["N"].max()
    fine = {*dots["N"], *geometric_widths(target.d, 200), *range(1, min(target.d, high) + 1)}
    if fitted is not None:  # these lines take longer, and have no corner at d
        fine = {*dots["N"], *geometric_widths(target.d, 40 if fitted.ridge == "best" else 120)}
    widths = [N for N in sorted(fine) if low <= N <= high]
    names = [name for name in dots["activation"].unique() if name_shown(name) is None]
    lines = predictions(target, widths, names, fitted)
    return pd.concat([lines, own], ignore_index=True) if len(own) else lines


def predictions(
    target: Target,
    widths: Sequence[int],
    activations: Sequence[str] = ("square",),
    fitted: Fitted | None = None,
) -> pd.DataFrame:
    """Lines at these *widths*: columns regime, activation, N, predicted (ratio, empty where theory has none).

    For RF and NT *fitted* to samples theory has none for NN, as its infimum is that of a network trained without end.
    """
    of_samples = fitted is not None and fitted.n_samples is not None
    regimes = [regime for regime in REGIMES.values() if not (of_samples and regime.is_trained)]
    given = {} if fitted is None else fitted._asdict()
    lines = [(regime.name, name) for regime in regimes for name in regime.among(activations)]
    rows = [
        (regime, name, N, predicted_ratio(target, regime, N, name, **given)) for regime, name in lines for N in widths
    ]
    return pd.DataFrame(rows, columns=["regime", "activation", "N", "predicted"]).astype({"predicted": float})


def not_converged(dots: pd.DataFrame) -> pd.Series:
    """Which *dots* say that they have not converged."""
    return _column(dots, "converged").eq(False).fillna(False).astype(bool)


def summary(dots: pd.DataFrame) -> pd.DataFrame:
    """One row for each regime, sigma and N: dots, mean and standard deviation of the measured ratio, prediction.

    And whether all its dots have converged, which is so where none says otherwise.
    """
    table = (
        dots.assign(converged=~not_converged(dots))
        .groupby(["regime", "activation", "N"], as_index=False)
        .agg(
            dots=("measured", "size"),
            measured=("measured", "mean"),
            std=("measured", "std"),
            predicted=("predicted", "first"),
            converged=("converged", "all"),
        )
    )
    table["difference"] = table["measured"] - table["predicted"]
    order = {regime: place for place, regime in enumerate(REGIMES)}
    by = ["regime", "activation", "N"]
    return table.sort_values(by, key=lambda column: column.replace(order)).reset_index(drop=True)
