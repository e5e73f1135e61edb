"""The cells and the target of a figure, from rows of a store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from fastlazy.sweeps.cells import KEYS, canonical_cell, cell_target
from fastlazy.sweeps.objects import OBJECT_KEYS, Own, name_shown, own_object
from fastlazy.targets.library import Target


def check_rows(rows: pd.DataFrame, targets: Mapping[str, Target]) -> None:
    """Check that finished *rows* are of cells that can be, with finite results.

    Raises
    ------
    ValueError
        If they are not.
    """
    keys = [name for name in KEYS if name in rows]
    for cell in rows[keys].drop_duplicates().to_dict("records"):
        try:
            canonical_cell(_stored_cell(cell, targets))
        except (TypeError, ValueError) as error:
            raise ValueError(f"the store has a row that is of no cell ({error}); mend or remove it") from None
    if not np.isfinite(rows["ratio"].to_numpy(float)).all():
        raise ValueError("the store has finished rows whose ratio is not a finite number; mend or remove them")


def _stored_cell(row: Mapping[Any, Any], targets: Mapping[str, Target]) -> dict[str, Any]:
    """The cell of a *row*, whose lists are JSON and whose numbers may be text; of the user's sigma one of x^2."""
    cell = {str(name): value for name, value in row.items() if name in KEYS and not pd.isna(value)}
    cell["target"] = targets.get(cell.get("target", ""), cell.get("target"))
    if name_shown(cell.get("activation")):
        del cell["activation"]
    for name in ("target", "step_size"):
        with suppress(TypeError, ValueError):  # names and objects, which are no JSON
            cell[name] = json.loads(cell.get(name, ""))
    return cell


def figure_target(rows: pd.DataFrame, targets: Mapping[str, Target] | None = None) -> Target:
    """The target that *rows* of a sweep have in common; *targets* as `one_figure` takes them."""
    return cell_target(canonical_cell(_stored_cell(rows.iloc[0].to_dict(), targets or {})))


def stored_parameters(row: Mapping[Any, Any], objects: Mapping[str, Any]) -> dict[str, Any] | None:
    """The canonical parameters of the cell of a *row*, None if an object of the user's is not among *objects*.

    Parameters
    ----------
    row : mapping
        Of a table of a sweep, from which columns may be left out.
    objects : mapping of str to object
        Targets and non-linearities, by what the table has for them or by their names.

    Raises
    ------
    ValueError
        If an object is not the one of the row.
    """
    own = {key: name for key in OBJECT_KEYS if (name := name_shown(row.get(key)))}
    given: dict[str, Any] = {}
    for key, name in own.items():
        value = objects.get(row[key], objects.get(name))
        if value is None:
            return None
        given[key] = _given_object(key, name, row[key], value)
    try:
        return canonical_cell({**_stored_cell({**row, **dict.fromkeys(given)}, {}), **given})
    except (TypeError, ValueError):  # of a table from which columns are left out
        return None


def _given_object(key: str, name: str, text: str, value: Any) -> Any:
    """*value* as an object of that name; ValueError if it is another than *text* of a table refers to."""
    own = own_object(key, {name: value} if key == "target" else value)
    if not isinstance(own, Own) or f"#{text.rpartition('#')[2]}" != own.reference:
        raise ValueError(
            f"objects has another {key} as {name!r} than the table, {text!r}; pass the one that the sweep was given, "
            "or load_targets(store)"
        )
    return own
