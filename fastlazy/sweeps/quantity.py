"""A quantity of the user's: a function from a measured cell to numbers, which become columns of the table.

The function is known by a digest of what it computes, its helpers included (`fastlazy._support.identity`). Workers
import it by its name, and check the digest; one that no other process can import, of a script or a notebook, goes to
them by value.
"""

from __future__ import annotations

import importlib
import inspect
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastlazy._support.arguments import Array, check_choice, check_real, shown
from fastlazy._support.identity import described, digest, source_of
from fastlazy.activations.activation import Activation
from fastlazy.targets.library import Target

if TYPE_CHECKING:
    from fastlazy.training.fit import Fit

_OWN_NUMBERS = 2  # tells the stream of the user's quantity from those of weights and samples
_MOST = 100  # numbers of one cell
_DIGITS = 12  # of the digest in a table


@dataclass(frozen=True, eq=False)
class MeasuredCell:
    """A cell of a sweep as a quantity of the user's sees it.

    Attributes
    ----------
    parameters : mapping of str to object
        All keys of the cell, defaults filled in; for objects what tables show.
    target : QuadraticTarget or GaussianMixture
    activation : Activation
    W : ndarray, shape (N, d)
        First-layer weights: drawn (RF, NT), or at the end of training (NN).
    a : float or ndarray, shape (N,), or None
        Second layer of NN and of RF that is fitted to samples, as in `network_risk`.
    b : ndarray, shape (N, d), or None
        Coefficients of NT that is fitted to samples, as in `tangent_risk`.
    c : float or None
        The offset beside a or b.
    fit : Fit or None
        The training of NN.
    results : mapping of str to object
        What the table has of the cell besides: risk, null_risk, ratio, predicted and others.
    stream : int
        The seed of what the cell draws, as in the table.

    Examples
    --------
    >>> import tempfile
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from pathlib import Path
    >>> import fastlazy
    >>> def longest_row(cell):
    ...     return {"longest_row": float((cell.W**2).sum(axis=1).max() ** 0.5)}
    >>> cells = fastlazy.grid(regime="RF", d=10, N=[5, 20])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = fastlazy.run_sweep(
    ...         cells, Path(folder, "s.sqlite"), executor=ThreadPoolExecutor(1), progress=False, measure=longest_row
    ...     )
    >>> table["longest_row"].round(3).tolist()
    [1.361, 1.469]
    """

    parameters: Mapping[str, Any]
    target: Target
    activation: Activation
    W: Array
    a: float | Array | None
    b: Array | None
    c: float | None
    fit: Fit | None
    results: Mapping[str, Any]
    stream: int

    @property
    def rng(self) -> np.random.Generator:
        """A new generator at the start of this cell's own stream, independent of its weights and samples."""
        return np.random.default_rng(np.random.SeedSequence([self.stream, _OWN_NUMBERS]))


class Quantity(NamedTuple):
    """A function of the user's, as the driver and its workers know it.

    Attributes
    ----------
    name : str
        That of the function.
    digest : str
        Of what it computes.
    module : str or None
        Where workers find it; None if it is pickled.
    pickled : bytes
        The function by value, if it has no module that can be imported.
    source : str
        As far as it is known.
    """

    name: str
    digest: str
    module: str | None
    pickled: bytes
    source: str

    @property
    def label(self) -> str:
        """What the rows have that were measured with it."""
        return f"{self.name} #{self.digest[:_DIGITS]}"


def check_measure(measure: Any, on_change: Any) -> Quantity | None:
    """The quantity that *measure*, a function or "package.module:function", is; None for None.

    Raises
    ------
    TypeError
        If it is no function that is written with def, takes no single argument, or cannot be sent to workers.
    ValueError
        If it is no name of that form, or there is no such function; or *on_change* is not known.
    """
    check_choice("on_change", on_change, ["raise", "measure", "keep"])
    if measure is None:
        return None
    function = _named(measure) if isinstance(measure, str) else measure
    _check_function(function)
    name, module = function.__qualname__, function.__module__
    sent = None if _is_importable(function) else _pickled(function)
    return Quantity(name, _digest(function), module if sent is None else None, sent or b"", source_of(function))


def own_numbers(quantity: Quantity, cell: MeasuredCell) -> dict[str, float]:
    """The numbers that the user's function finds of a *cell*.

    Raises
    ------
    TypeError, ValueError
        If it returns something else. Errors of the function itself are passed on.
    """
    found = _function(quantity)(cell)
    told = f"measure {quantity.name!r} must return a dict of finite numbers by their names"
    if not isinstance(found, Mapping):
        raise TypeError(f"{told}, got {shown(found)} of type {type(found).__name__}; return e.g. {{'overlap': 0.5}}")
    if len(found) > _MOST:
        raise ValueError(f"{told}, at most {_MOST} of them, got {len(found)}; return fewer")
    numbers = {}
    for name, value in found.items():
        if not isinstance(name, str):
            raise TypeError(f"{told}, got the name {shown(name)} of type {type(name).__name__}; return a string")
        if value is None:
            continue
        try:
            numbers[name] = check_real(name, value)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{told}, got {name} = {shown(value)} of type {type(value).__name__}; return a float, or leave the "
                "name out where there is no number"
            ) from None
    return numbers


def stale_cells(
    rows: Iterable[tuple[str, str | None]], wanted: Mapping[str, Any], quantity: Quantity | None, on_change: str
) -> set[str]:
    """The ids of finished cells that have to be measured again, to have the numbers of *quantity*.

    Parameters
    ----------
    rows : iterable of (id, label)
        Finished cells, and the label of the quantity with which they were measured, if there was one.
    wanted : mapping
        By ids, the cells that count.
    quantity : Quantity or None
    on_change : str
        What is done about cells that were measured with another version: "raise", "measure" or "keep".

    Raises
    ------
    ValueError
        If there are some, and *on_change* is "raise".
    """
    if quantity is None:
        return set()
    stale, changed = set(), set()
    for key, label in rows:
        if key in wanted:
            if label is None:
                stale.add(key)
            elif label.rpartition("#")[2] != quantity.digest[:_DIGITS]:
                changed.add(key)
    if changed and on_change == "raise":
        raise ValueError(
            f"measure {quantity.name!r} is not what it was when {len(changed)} cells of the store were measured: it, "
            "or what it refers to, or the version of Python has changed. Pass on_change='measure' to measure these "
            "cells again, 'keep' to keep their numbers, or another store; the store's table measures has the source"
        )
    return stale | changed if on_change == "measure" else stale


def _named(text: str) -> Any:
    """The function of that name, "package.module:function"."""
    module, colon, name = text.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), *name.split(".")]):
        raise ValueError(f"measure = {text!r} is no name of a function; pass 'package.module:function'")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"measure = {text!r} is not there: {error}; check the name, or add the module's folder to PYTHONPATH"
        ) from None
    except Exception as error:
        raise ValueError(f"measure = {text!r} cannot be imported: {error!r}; mend its module") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(f"measure = {text!r} is not there: {module} has no {name!r}; check the name")
        found = getattr(found, part)
    return found


def _check_function(function: Any) -> None:
    if not isinstance(function, FunctionType):
        raise TypeError(
            f"measure must be a function that is written with def, or 'package.module:function', got {shown(function)} "
            f"of type {type(function).__name__}; write def measure(cell): ..."
        )
    if function.__name__ == "<lambda>":
        raise TypeError("measure must have a name, by which tables know it, got a lambda; write it with def")
    if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
        raise TypeError(f"measure {function.__name__!r} must return a dict, not yield or be awaited; use return alone")
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        raise TypeError(
            f"measure {function.__name__!r} must take one argument, the measured cell, but {error}; write "
            f"def {function.__name__}(cell): ..."
        ) from None


def _is_importable(function: FunctionType) -> bool:
    """Whether workers can import the function by its name."""
    found: Any = sys.modules.get(function.__module__)
    if function.__module__ == "__main__" or getattr(found, "__spec__", None) is None:
        return False
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is function


def _pickled(function: FunctionType) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(function))
    except Exception as error:
        raise TypeError(
            f"measure {function.__name__!r} cannot be sent to workers ({error}); write it in a module that can be "
            "imported, and pass 'module:function'"
        ) from error


def _digest(function: Any) -> str:
    return digest(described(function, strict=False, home=function.__module__))


@lru_cache(maxsize=8)
def _function(quantity: Quantity) -> Callable[[MeasuredCell], Any]:
    """The function itself, in a worker."""
    if quantity.module is None:
        return pickle.loads(quantity.pickled)
    function: Any = _named(f"{quantity.module}:{quantity.name}")
    if not isinstance(function, FunctionType) or _digest(function) != quantity.digest:
        raise RuntimeError(
            f"measure {quantity.name!r} of {quantity.module} is not what it was when the sweep began: its module was "
            "changed, or is another one here; end the sweep, and begin again"
        )
    return function
