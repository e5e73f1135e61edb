"""A cell of a sweep: one measurement, named by plain parameters.

A cell is a mapping such as ``{"regime": "RF", "d": 450, "N": 900, "draw": 3}``. Here stands, in one table,
which keys a cell of each regime has, what they may be and what they are if not given. A cell in full, every
default filled in, is canonical: the hash of it is the cell's id, and what it draws comes from it alone.

A new key, regime or target is a line in `_COMMON`, `REGIMES` or `_TARGETS`; the store makes the column. Two keys
must differ in more than capitals, which SQLite does not tell apart: samples are n_samples, beside N.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Sized
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastlazy._support.arguments import check_array, check_choice, check_count, check_float_dtype, check_real
from fastlazy.activations.builtin import BUILTIN_NAMES, TANGENT_NAMES
from fastlazy.targets.library import exponential_target
from fastlazy.targets.quadratic import QuadraticTarget

MOST_CELLS = 1_000_000  # of one sweep, whose driver holds a kilobyte for each
_REQUIRED = object()


class Key(NamedTuple):
    """One parameter of a cell.

    Attributes
    ----------
    check : callable
        (name, value) to the canonical value, which JSON can hold, or an error.
    kind : type
        int, float or str; object for what is sometimes text and sometimes not.
    default : object
        The value where none is given; without one the key is required.
    later : bool
        Whether there are stores from before there was this key: at its default it is no part of a cell's id, so
        that what they hold is found.
    """

    check: Callable[[str, Any], Any]
    kind: type
    default: Any = _REQUIRED
    later: bool = False


def _real(name: str, value: Any, minimum: float = -np.inf) -> float:
    return check_real(name, value, minimum) + 0.0  # -0.0 is 0.0


def _choice(name: str, value: Any, choices: Collection[str]) -> str:
    return str(check_choice(name, value, choices))


def _step_size(name: str, value: Any) -> str | float:
    if isinstance(value, str):
        return _choice(name, value, ["auto"])
    return _real(name, value, 0.0)


def _optional_count(name: str, value: Any) -> int | None:
    return None if value is None else check_count(name, value)


def _scale(name: str, value: Any) -> float | None:
    if value is not None and (scale := check_real(name, value, 0.0)) == 0:
        raise ValueError(f"{name} must be a number above 0, got {scale:g}; leave it out for the network itself")
    return None if value is None else scale


def _dtype(name: str, value: Any) -> str:
    return str(check_float_dtype(value))


def _target(name: str, value: Any) -> str | list[float]:
    if isinstance(value, str):
        return _choice(name, value, _TARGETS)
    try:
        eigenvalues = check_array(name, value, 1)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{error}. A target is one of {', '.join(map(repr, _TARGETS))} or a list of eigenvalues; "
            f"a list of them is one value of an axis: grid({name}=[[3.0, 1.0]], ...)"
        ) from None
    if not eigenvalues.any():
        raise ValueError(f"{name} has only zero eigenvalues, so that there is nothing to learn; pass others")
    return [float(value) + 0.0 for value in eigenvalues]


def _flag(name: str, value: Any) -> int:
    if value not in (0, 1):
        raise ValueError(f"{name} must be 0 or 1, got {value!r}; pass one of them")
    return int(value)


_natural = partial(check_count, minimum=0)

_TARGETS: dict[str, dict[str, Key]] = {
    "exponential": {"target_seed": Key(_natural, int, 0)},
    "identity": {},
    "power_law": {"exponent": Key(_real, float, 1.0)},
    "rank_one": {},
}

_COMMON = {
    "regime": Key(lambda name, value: value, str),
    "d": Key(check_count, int),
    "N": Key(check_count, int),
    "activation": Key(partial(_choice, choices=("square",)), str, "square"),
    "target": Key(_target, object, "exponential"),
    "draw": Key(_natural, int, 0),
    "seed": Key(_natural, int, 0),
}
_RIDGE = {
    "ridge": Key(partial(_real, minimum=0.0), float, 0.0),
    "n_samples": Key(_optional_count, int, None, later=True),  # the population if not given
}
_TRAINING = {
    "n_samples": Key(check_count, int),
    "batch_size": Key(check_count, int, 100),
    "step_size": Key(_step_size, object, "auto"),
    "second_layer": Key(partial(_choice, choices=("ones", "signs", "scalar", "free")), str, "ones"),
    "dtype": Key(_dtype, str, "float32"),
    "scale": Key(_scale, float, None, later=True),
    "init": Key(partial(_choice, choices=("orthogonal", "symmetric")), str, "orthogonal", later=True),
    "diagnostics": Key(_flag, int, 0, later=True),
}

REGIMES: dict[str, dict[str, Key]] = {
    "RF": {**_COMMON, "activation": Key(partial(_choice, choices=BUILTIN_NAMES), str, "square"), **_RIDGE},
    "NT": {**_COMMON, "activation": Key(partial(_choice, choices=TANGENT_NAMES), str, "square"), **_RIDGE},
    "NN": {**_COMMON, **_TRAINING},
}

# What the draw of a regime depends on. RF and NT have the same weights at the same draw, whatever the target,
# the ridge or the activation, so that their differences are not those of two draws.
_DRAWN = {"RF": "weights", "NT": "weights", "NN": "training"}
_OF_THE_DRAW = ("d", "N", "draw", "seed")

REPEATS = ("draw", "seed")  # what tells apart measurements of the same, over which means are taken

KEYS: dict[str, Key] = {
    **_COMMON,
    **{name: key for keys in _TARGETS.values() for name, key in keys.items()},
    **{name: key for keys in REGIMES.values() for name, key in keys.items()},
}


def grid(**axes: Any) -> list[dict[str, Any]]:
    """The cells of a product of axes, the last axis changing fastest.

    Parameters
    ----------
    axes : object
        A list, tuple, range or array is an axis; anything else is one value, the same in all cells. A
        target given by its eigenvalues is a list itself: ``target=[[3.0, 1.0]]``.

    Returns
    -------
    list of dict
        One cell for each combination. Add lists for regimes that differ in their keys.

    Raises
    ------
    ValueError
        If there is no axis, one is empty, or there are more than a million combinations. What the values must be,
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
    values: list[Sequence[Any]] = []
    for axis in axes.values():
        several = isinstance(axis, (list, tuple, range)) or (isinstance(axis, np.ndarray) and axis.ndim > 0)
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


def check_cells(cells: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
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
    found: dict[str, dict[str, Any]] = {}
    for k, cell in enumerate(cells):
        check_number_of_cells(k + 1, "or more, of an iterator")
        try:
            parameters = canonical_cell(cell)
        except (TypeError, ValueError) as error:
            raise type(error)(f"cell {k}: {error}") from None
        found[cell_id(parameters)] = parameters
    return found


def canonical_cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a cell in full: every default filled in, every value in its plainest form.

    Raises
    ------
    TypeError, ValueError
        If keys are missing or not known, or a value is not what it must be.
    """
    if not isinstance(cell, Mapping):
        raise TypeError(f"a cell must be a mapping, got {type(cell).__name__}; pass e.g. one of grid(...)")
    if "regime" not in cell:
        raise ValueError(f"the key 'regime' is missing; pass one of {', '.join(map(repr, REGIMES))}")
    given = cell["regime"]
    regime = _choice("regime", given.upper() if isinstance(given, str) else given, REGIMES)
    target = _target("target", cell.get("target", _COMMON["target"].default))
    keys = {**REGIMES[regime], **(_TARGETS[target] if isinstance(target, str) else {})}

    if unknown := [str(name) for name in cell if name not in keys]:
        raise ValueError(_unknown_keys(unknown, regime, target, keys))
    if missing := [name for name, key in keys.items() if key.default is _REQUIRED and name not in cell]:
        raise ValueError(f"a cell of regime {regime} needs {_listed(missing)} too; add what is missing")
    parameters = {name: key.check(name, cell.get(name, key.default)) for name, key in keys.items()}
    parameters |= {"regime": regime, "target": target}
    if isinstance(target, list) and len(target) != parameters["d"]:
        raise ValueError(f"target has {len(target)} eigenvalues, but d = {parameters['d']}; pass d={len(target)}")
    return parameters


def cell_id(parameters: Mapping[str, Any]) -> str:
    """The SHA-256 of canonical *parameters*, less later keys at their defaults."""
    keys = REGIMES[parameters["regime"]]
    left_out = {name for name, key in keys.items() if key.later and parameters[name] == key.default}
    return _digest({name: value for name, value in parameters.items() if name not in left_out}).hexdigest()


def cell_stream(parameters: Mapping[str, Any]) -> int:
    """The seed of what a cell draws, a number of 63 bits, from its canonical *parameters* alone.

    It depends on d, N, draw and seed, and on whether weights are drawn (RF, NT) or a network is trained (NN).
    """
    drawn = {name: parameters[name] for name in _OF_THE_DRAW}
    digest = _digest({**drawn, "drawn": _DRAWN[parameters["regime"]]}).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def cell_target(parameters: Mapping[str, Any]) -> QuadraticTarget:
    """The target of a cell with canonical *parameters*, centred by b0 = -tr B."""
    target, d = parameters["target"], parameters["d"]
    if target == "exponential":
        return exponential_target(d, rng=parameters["target_seed"])
    if target == "identity":
        eigenvalues = np.ones(d)
    elif target == "power_law":
        eigenvalues = np.arange(1.0, d + 1) ** -parameters["exponent"]
    elif target == "rank_one":
        eigenvalues = np.arange(d) == 0
    else:
        eigenvalues = np.array(target)
    return QuadraticTarget(eigenvalues, -float(eigenvalues.sum()))


def _digest(parameters: Mapping[str, Any]) -> Any:
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode())


def _unknown_keys(unknown: list[str], regime: str, target: str | list[float], keys: Mapping[str, Key]) -> str:
    close = {name: difflib.get_close_matches(name, keys, 1) for name in unknown}
    hints = [f"{near[0]!r} for {name!r}" for name, near in close.items() if near]
    return (
        f"a cell of regime {regime} with target {target if isinstance(target, str) else 'given by eigenvalues'!r} "
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
