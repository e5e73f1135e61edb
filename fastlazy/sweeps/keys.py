"""The kinds of parameters that a cell of a sweep has: each checks a value and brings it to its plainest form."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastlazy._support.arguments import Array, check_array, check_choice, check_count, check_float_dtype, check_real
from fastlazy.sweeps.objects import Own, own_object
from fastlazy.targets.library import FAMILIES

Parameters = Mapping[str, Any]  # of a cell, by key

REQUIRED = object()  # in the place of a default


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
    default: Any = REQUIRED
    later: bool = False


class Found(NamedTuple):
    """What a regime finds of a cell: results, and the weights that they are of.

    Attributes
    ----------
    results : dict of str to object
        Among them the risk.
    W : ndarray, shape (N, d)
        First-layer weights: drawn, or trained.
    a : float or ndarray, shape (N,), or None
        Second layer of NN, and of RF that is fitted to samples.
    b : ndarray, shape (N, d), or None
        The coefficients of NT that is fitted to samples.
    c : float or None
        The offset beside a or b.
    fit : Fit or None
        The training of NN.
    """

    results: dict[str, Any]
    W: Array
    a: float | Array | None = None
    b: Array | None = None
    c: float | None = None
    fit: Any = None


def choice_key(choices: Collection[str], default: str, *, later: bool = False) -> Key:
    """The key of a name among *choices*."""
    return Key(partial(check_name, choices=choices), str, default, later)


def check_name(name: str, value: Any, choices: Collection[str]) -> str:
    """*value*, if it is one of *choices*; errors as `check_choice`."""
    return str(check_choice(name, value, choices))


def check_number(name: str, value: Any, minimum: float = -np.inf) -> float:
    """*value* as a float, if it is a finite number of at least *minimum*; errors as `check_real`."""
    return check_real(name, value, minimum) + 0.0  # -0.0 is 0.0


check_natural = partial(check_count, minimum=0)


def check_step_size(name: str, value: Any) -> str | float:
    """*value*, if it is "auto" or a number of at least 0."""
    return check_name(name, value, ["auto"]) if isinstance(value, str) else check_number(name, value, 0.0)


def check_optional_count(name: str, value: Any) -> int | None:
    """*value*, if it is None or a positive whole number."""
    return None if value is None else check_count(name, value)


def check_scale(name: str, value: Any) -> float | None:
    """*value*, if it is None or a number above 0."""
    if value is not None and (scale := check_real(name, value, 0.0)) == 0:
        raise ValueError(f"{name} must be a number above 0, got {scale:g}; leave it out for the network itself")
    return None if value is None else scale


def check_tolerance(name: str, value: Any) -> float | None:
    """*value*, if it is None or a number of at least 0."""
    return None if value is None else check_number(name, value, 0.0)


def check_dtype(name: str, value: Any) -> str:
    """The name of the dtype that *value* stands for, if it is float32 or float64."""
    return str(check_float_dtype(value))


def check_bit(name: str, value: Any) -> int:
    """*value* as a whole number, if it is 0 or 1."""
    if value not in (0, 1):
        raise ValueError(f"{name} must be 0 or 1, got {value!r}; pass one of them")
    return int(value)


def check_cell_target(name: str, value: Any) -> str | list[float] | Own:
    """*value*, if it is the name of a family of targets, a list of eigenvalues, as floats, or an object."""
    value = own_object(name, value)
    if isinstance(value, Own):
        return value
    if isinstance(value, str):
        return check_name(name, value, FAMILIES)
    try:
        eigenvalues = check_array(name, value, 1)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{error}. A target is one of {', '.join(map(repr, FAMILIES))}, a list of eigenvalues, a symmetric matrix "
            "(d, d), a QuadraticTarget or a GaussianMixture; a list of them is one value of an axis: "
            f"grid({name}=[[3.0, 1.0]], ...)"
        ) from None
    if not eigenvalues.any():
        raise ValueError(f"{name} has only zero eigenvalues, so that there is nothing to learn; pass others")
    return [float(value) + 0.0 for value in eigenvalues]


def check_derivative(sigma: Any, use: str) -> None:
    """Check that *sigma*, that of a cell, has the derivative that its *use* needs, if it is the user's.

    Raises
    ------
    ValueError
        If it has none.
    """
    if isinstance(sigma, Own) and sigma.value.derivative is None:
        raise ValueError(
            f"activation {str(sigma)!r} has no derivative, which {use} needs; pass "
            "Activation(name, function, derivative=...)"
        )


def _family_key(default: int | float) -> Key:
    """The key of a parameter of a family: a whole number from 0 on, or a real one, as its default is."""
    return Key(check_natural, int, default) if isinstance(default, int) else Key(check_number, float, default)


# The keys that only cells of a certain family of targets have.
FAMILY_KEYS: dict[str, dict[str, Key]] = {
    name: {key: _family_key(default) for key, default in family.parameters.items()} for name, family in FAMILIES.items()
}
