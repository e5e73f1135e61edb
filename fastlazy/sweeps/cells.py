"""A cell of a sweep: one measurement, named by plain parameters.

A cell is a mapping such as ``{"regime": "RF", "d": 450, "N": 900, "draw": 3}``. Which keys it has, what they may be
and what they are if not given, its regime says (`fastlazy.sweeps.regimes`), and the family of its target
(`fastlazy.targets.library`). A cell in full, every default filled in, is canonical: the hash of it is the cell's id,
and what it draws comes from it alone.

A new key, regime or family of targets is a line in the tables there; the store makes the column. Two keys must differ
in more than capitals, which SQLite does not tell apart: samples are n_samples, beside N.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

import numpy as np

from fastlazy.sweeps.keys import FAMILY_KEYS, REQUIRED, Key, check_cell_target, check_name
from fastlazy.sweeps.objects import Holder, Own
from fastlazy.sweeps.packed import PackedCells
from fastlazy.sweeps.regimes import COMMON, REGIMES
from fastlazy.targets.library import FAMILIES, Target, centred_target

MOST_CELLS = 1_000_000  # of one sweep, whose driver holds a kilobyte for each

# What the draw of a regime depends on, besides what it is for. RF and NT have the same weights at the same draw,
# whatever the target, the ridge or the activation, so that their differences are not those of two draws.
_OF_THE_DRAW = ("d", "N", "draw", "seed")

REPEATS = ("draw", "seed")  # what tells apart measurements of the same, over which means are taken

KEYS: dict[str, Key] = {
    **COMMON,
    **{name: key for keys in FAMILY_KEYS.values() for name, key in keys.items()},
    **{name: key for row in REGIMES.values() for name, key in row.keys.items()},
}


def grid(**axes: Any) -> list[dict[str, Any]]:
    """The cells of a product of axes, the last axis changing fastest.

    Parameters
    ----------
    axes : object
        A list, tuple, range or array is an axis, and so is a mapping, of values with names; anything else is one
        value, the same in all cells. A target given by its eigenvalues is a list itself: ``target=[[3.0, 1.0]]``. A
        matrix B of one's own is an element of a list, ``target=[B]``, or has a name, ``target={"mine": B}``.

    Returns
    -------
    list of dict
        One cell for each combination. Add lists for regimes that differ in their keys.

    Raises
    ------
    ValueError
        If there is no axis, one is empty, the target is a square array, which may be one matrix or several lists, or
        there are more than a million combinations. What the values must be,
        `run_sweep` checks before it begins.

    Examples
    --------
    >>> cells = grid(regime=["RF", "NT"], d=100, N=[30, 300], draw=range(4))
    >>> cells += grid(regime="NN", d=100, N=[30, 300], n_samples=1_000_000)
    >>> len(cells)
    18
    """
    if not axes:
        raise ValueError("grid() has no axis; pass at least regime, d and N")
    target = axes.get("target")
    if isinstance(target, np.ndarray) and target.ndim == 2 and target.shape[0] == target.shape[1] > 1:
        raise ValueError(
            f"target is an array {target.shape}, one matrix or {len(target)} lists of eigenvalues; pass target=[B] or "
            "target={'its name': B} for the matrix, or target=list(B) for the lists"
        )
    values: list[Sequence[Any]] = []
    for axis in axes.values():
        several = isinstance(axis, (list, tuple, range)) or (isinstance(axis, np.ndarray) and axis.ndim > 0)
        if isinstance(axis, Mapping):
            values.append([{name: value} for name, value in axis.items()])
        else:
            values.append(axis if several else [axis])
    sizes = {name: _length(axis) for name, axis in zip(axes, values, strict=True)}
    if empty := [name for name, size in sizes.items() if size == 0]:
        raise ValueError(f"axis {empty[0]} of the grid is empty; pass at least one value")
    check_number_of_cells(
        math.prod(sizes.values()), ", ".join(f"{size} of {name}" for name, size in sizes.items() if size > 1)
    )
    return [dict(zip(axes, combination, strict=True)) for combination in itertools.product(*values)]


def check_number_of_cells(number: int, origin: str) -> None:
    """Check that a sweep may have so many cells; *origin* says where they come from.

    Raises
    ------
    ValueError
        If there are too many.
    """
    if number > MOST_CELLS:
        raise ValueError(
            f"these are {_shown(number)} cells ({origin}), and a sweep may have {_shown(MOST_CELLS)}; "
            "correct a range that is too long, or make several sweeps"
        )


def check_cells(cells: Iterable[Mapping[str, Any]]) -> PackedCells:
    """Canonical parameters by id, in the order given; equal cells are one.

    Raises
    ------
    TypeError, ValueError
        If *cells* is not a sequence of mappings, has too many, or one of them is not a cell; the message says which,
        and why.
    """
    if isinstance(cells, (Mapping, str)) or not isinstance(cells, Iterable):
        raise TypeError(f"cells must be a list of mappings, got one {type(cells).__name__}; pass a list")
    if isinstance(cells, Sized):
        check_number_of_cells(len(cells), "the list given")
    found, holder = PackedCells(), Holder(settled=isinstance(cells, Sized))
    for k, cell in enumerate(cells):
        check_number_of_cells(k + 1, "or more, of an iterator")
        try:
            parameters = canonical_cell(holder.replaced(cell) if isinstance(cell, Mapping) else cell)
        except (TypeError, ValueError) as error:
            raise type(error)(f"cell {k}: {error}") from None
        found.add(cell_id(parameters), parameters)
    return found


def canonical_cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a cell in full: every default filled in, every value in its plainest form.

    Raises
    ------
    TypeError, ValueError
        If keys are missing or not known, a value is not what it must be, or values do not go together.
    """
    if not isinstance(cell, Mapping):
        raise TypeError(f"a cell must be a mapping, got {type(cell).__name__}; pass e.g. one of grid(...)")
    if "regime" not in cell:
        raise ValueError(f"the key 'regime' is missing; pass one of {', '.join(map(repr, REGIMES))}")
    given = cell["regime"]
    regime = check_name("regime", given.upper() if isinstance(given, str) else given, REGIMES)
    target = check_cell_target("target", cell.get("target", COMMON["target"].default))
    # Whoever passes the target itself has said what d is.
    size = target.value.d if isinstance(target, Own) else len(target) if isinstance(target, list) else None
    cell = ({} if size is None else {"d": size}) | {**cell, "target": target}
    keys = {**REGIMES[regime].keys, **(FAMILY_KEYS[target] if isinstance(target, str) else {})}

    if unknown := [str(name) for name in cell if name not in keys]:
        raise ValueError(_unknown_keys(unknown, regime, target, keys))
    if missing := [name for name, key in keys.items() if key.default is REQUIRED and name not in cell]:
        raise ValueError(f"a cell of regime {regime} needs {_listed(missing)} too; add what is missing")
    parameters = {name: key.check(name, cell.get(name, key.default)) for name, key in keys.items()}
    parameters |= {"regime": regime}
    if size not in (None, parameters["d"]):
        own = isinstance(target, Own)
        has = f"{str(target)!r} has d = {size}, but the cell has" if own else f"has {size} eigenvalues, but"
        raise ValueError(f"target {has} d = {parameters['d']}; pass d={size}, or leave it out")
    family = FAMILIES.get(target) if isinstance(target, str) else None
    if family is not None and family.check is not None:
        family.check(parameters["d"], **{name: parameters[name] for name in family.parameters})
    if (complete := REGIMES[regime].complete) is not None:
        complete(parameters)
    return parameters


def cell_id(parameters: Mapping[str, Any]) -> str:
    """The SHA-256 of canonical *parameters*, less later keys at their defaults."""
    keys = REGIMES[parameters["regime"]].keys
    left_out = {name for name, key in keys.items() if key.later and parameters[name] == key.default}
    return _digest({name: value for name, value in parameters.items() if name not in left_out}).hexdigest()


def cell_stream(parameters: Mapping[str, Any]) -> int:
    """The seed of what a cell draws, a number of 63 bits, from its canonical *parameters* alone.

    It depends on d, N, draw and seed, and on whether weights are drawn (RF, NT) or a network is trained (NN).
    """
    drawn = {name: parameters[name] for name in _OF_THE_DRAW}
    digest = _digest({**drawn, "drawn": REGIMES[parameters["regime"]].drawn}).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def cell_target(parameters: Mapping[str, Any]) -> Target:
    """The target of a cell with canonical *parameters*; a function that is no object is centred by b0 = -tr B."""
    target = parameters["target"]
    if isinstance(target, Own):
        return target.value
    if isinstance(target, list):
        return centred_target(np.array(target))
    family = FAMILIES[target]
    return family.make(parameters["d"], **{name: parameters[name] for name in family.parameters})


def _digest(parameters: Mapping[str, Any]) -> Any:
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_identity)
    return hashlib.sha256(text.encode())


def _identity(own: Own) -> dict[str, str]:
    """What stands for an object in what is hashed."""
    return {"sha256": own.digest}


def _unknown_keys(unknown: list[str], regime: str, target: str | list[float] | Own, keys: Mapping[str, Key]) -> str:
    close = {name: difflib.get_close_matches(name, keys, 1) for name in unknown}
    hints = [f"{near[0]!r} for {name!r}" for name, near in close.items() if near]
    shown = "given by eigenvalues" if isinstance(target, list) else str(target)
    return (
        f"a cell of regime {regime} with target {shown!r} "
        f"has no key {_listed(unknown)}; it has {', '.join(keys)}" + (f". Perhaps {', '.join(hints)}?" if hints else "")
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _length(axis: Sequence[Any]) -> int:
    """The number of values, also of a range that is longer than len() can say."""
    return max(0, -(-(axis.stop - axis.start) // axis.step)) if isinstance(axis, range) else len(axis)


def _shown(number: int) -> str:
    """A number that may have any number of digits."""
    return f"{number:,}" if number < 10**15 else f"{float(min(number, 10**300)):.0e}"
