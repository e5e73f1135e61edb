"""How much of a sweep is left, and how long that may take, by what finished cells of the same kind took."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastlazy._support.arguments import check_choice
from fastlazy._support.files import check_path
from fastlazy.sweeps.cells import check_cells
from fastlazy.sweeps.measure import FAILED, STATUSES, cost, kind
from fastlazy.sweeps.merging import check_shard, shard_cells
from fastlazy.sweeps.objects import Own, objects_of
from fastlazy.sweeps.packed import PackedCells
from fastlazy.sweeps.quantity import MeasuredCell, check_measure, stale_cells
from fastlazy.sweeps.regimes import COSTLY, REGIMES
from fastlazy.sweeps.tables import load


class Plan(NamedTuple):
    """What a sweep would do."""

    cells: int
    finished: int
    failed: int
    seconds: float  # estimated time of the cells that are left, on one thread
    longest: float  # estimated time of the longest of them
    measured: int  # cells from which this is estimated
    guessed: float  # the part of `seconds` for cells of a kind of which none was measured
    diverged: int
    left: int  # cells that would be run


def plan_sweep(
    cells: Iterable[Mapping[str, Any]],
    store: str | os.PathLike[str],
    *,
    rerun_failed: bool = False,
    rerun: Collection[str] = (),
    shard: tuple[int, int] | None = None,
    measure: Callable[[MeasuredCell], Mapping[str, float]] | str | None = None,
    on_change: str = "raise",
) -> Plan:
    """What `run_sweep` would do; errors as there. Times are those of finished cells of the same kind, if there are any.

    Without any they are those of `fastlazy.sweeps.measure.cost`.
    """
    place, quantity = check_path("store", store), check_measure(measure, on_change)
    again = check_rerun(rerun, rerun_failed)
    part = None if shard is None else check_shard(shard)
    wanted = check_cells(cells)
    if part is not None:
        wanted = shard_cells(wanted, *part)
    table = load(place) if place.exists() else pd.DataFrame(columns=["id", "status", "regime"])
    done = table[table["status"] == "done"]
    labels = done.reindex(columns=["id", "measure"]).astype(object)
    rows = labels.where(labels.notna(), None).itertuples(index=False, name=None)
    stale = stale_cells(rows, wanted, quantity, on_change)
    statuses = {key: status for key, status in zip(table["id"], table["status"], strict=True) if key not in stale}
    rates, measured = _rates(done, objects_of(wanted.settings()))
    left = left_cells(wanted, statuses.items(), again)
    each = [(cost(parameters) * rates.get(kind(parameters), 1.0), parameters) for parameters in left.values()]
    ended = Counter(statuses.get(key) for key in wanted)
    return Plan(
        cells=len(wanted),
        finished=ended["done"],
        failed=sum(ended[status] for status in FAILED),
        seconds=sum(seconds for seconds, _ in each),
        longest=max((seconds for seconds, _ in each), default=0.0),
        measured=measured,
        guessed=sum(seconds for seconds, parameters in each if kind(parameters) not in rates),
        diverged=ended["diverged"],
        left=len(left),
    )


def _rates(done: pd.DataFrame, objects: Mapping[str, Own]) -> tuple[dict[tuple[Any, ...], float], int]:
    """Seconds that finished cells took over their cost, by kind, and how many cells these are.

    Of cells with an object only those count whose object is among *objects*, by reference.
    """
    spent, expected, measured = defaultdict[Any, float](float), defaultdict[Any, float](float), 0
    for seconds, *values in done.reindex(columns=["seconds", "regime", *COSTLY]).itertuples(index=False):
        known = [None if pd.isna(value) else value for value in values]
        parameters: dict[str, Any] = dict(zip(["regime", *COSTLY], known, strict=True))
        _, mark, digits = str(parameters["activation"]).rpartition("#")
        parameters["activation"] = objects.get(mark + digits) if mark else parameters["activation"]
        regime = REGIMES.get(parameters["regime"])
        lacks_samples = parameters["n_samples"] is None and parameters["nn"] != "flow"
        if regime is None or not seconds > 0 or (regime.is_trained and lacks_samples):
            continue  # the row was edited by hand
        if parameters["activation"] is None:
            continue
        measured += 1
        spent[kind(parameters)] += seconds
        expected[kind(parameters)] += cost(parameters)
    return {kind: spent[kind] / expected[kind] for kind in spent}, measured


def check_rerun(rerun: Collection[str], rerun_failed: bool) -> set[str]:
    """The statuses of cells that are to be run again.

    Raises
    ------
    TypeError, ValueError
        If *rerun* is no collection of such statuses.
    """
    known = [status for status in STATUSES if status != "done"]
    if isinstance(rerun, str) or not isinstance(rerun, Collection):
        raise TypeError(f"rerun must be a list of statuses, got {rerun!r}; pass some of {', '.join(map(repr, known))}")
    return {check_choice("rerun", status, known) for status in rerun} | (set(FAILED) if rerun_failed else set())


def left_cells(wanted: PackedCells, statuses: Iterable[tuple[str, str]], again: Collection[str]) -> PackedCells:
    """The cells to run, longest first: all but those that have one of the *statuses*, unless it is to be run *again*.

    Cells that differ in their draw and seed alone follow each other, so that they share what they have in common.
    """
    keys = dict.fromkeys(wanted)
    for key, status in statuses:
        if status not in again:
            keys.pop(key, None)
    left = list(keys)
    place: dict[int, int] = {}
    settings = np.array([place.setdefault(id(wanted.setting(key)), len(place)) for key in left], np.int64)
    costs = np.array([cost(setting) for setting in wanted.only(left).settings()])
    if not left:
        return wanted.only([])
    return wanted.only(left[k] for k in np.lexsort((settings, -costs[settings])))
