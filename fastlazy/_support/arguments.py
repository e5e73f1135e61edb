"""Arguments, checked: each function returns a clean value or raises an error that helps.

Every message names the argument, says what came, what is wanted and what to do about it. Integer,
Fortran-ordered, strided and read-only arrays are converted; what would change the meaning is refused.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

Array: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]
Seed: TypeAlias = int | np.random.SeedSequence | np.random.Generator | None


_LARGEST_COUNT = 10**15


def largest_entry(rows: Array) -> float:
    """The largest modulus of an entry, without a copy of all moduli; NaN if one is."""
    return float(np.maximum(rows.max(), -rows.min()))


def check_array(name: str, value: ArrayLike, ndim: int | tuple[int, ...], dtype: Any = np.float64) -> Array:
    """*value* as a finite C-contiguous array of *dtype* with one of the numbers of dimensions *ndim*.

    Raises
    ------
    TypeError
        If *value* does not hold real numbers.
    ValueError
        If it has another number of dimensions, is empty, or holds NaN or infinity.
    """
    wanted = (ndim,) if isinstance(ndim, int) else ndim
    if hasattr(value, "toarray"):
        raise TypeError(f"{name} is a sparse array of type {type(value).__name__}; pass {name}.toarray()")
    if np.ma.is_masked(value):
        raise ValueError(f"{name} is a masked array with masked entries; pass {name}.filled(...) or drop them")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"{name} cannot be made an array ({error}); pass numbers in rows of equal length") from None
    if array.dtype.kind == "O":
        array = _numbers(name, array)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} must hold real numbers, got an array of dtype {array.dtype}; "
            f"convert it first, e.g. with {name}.astype(float)"
        )
    if array.ndim == 0 and array.dtype.kind == "b":
        raise TypeError(f"{name} must hold real numbers, got {shown(value)}; pass a float")
    if array.ndim not in wanted:
        counts = " or ".join(f"{n}-dimensional" for n in wanted)
        hint = f"; for one row pass {name}[None, :]" if array.ndim == 1 and wanted == (2,) else ""
        raise ValueError(f"{name} must be {counts}, got shape {array.shape}{hint}")
    if array.size == 0:
        raise ValueError(f"{name} is empty, got shape {array.shape}; pass at least one row and one column")
    with np.errstate(over="ignore"):  # of long doubles: found below
        array = np.asarray(array, dtype, order="C")
    if not np.isfinite(largest_entry(array)):
        bad = array.size - int(np.count_nonzero(np.isfinite(array)))
        where = np.unravel_index(int(np.argmin(np.isfinite(array))), array.shape)
        index = ", ".join(str(int(i)) for i in where)
        raise ValueError(
            f"{name} must be finite, got {bad} NaN or infinite entries, the first at [{index}]; remove or replace them"
        )
    return array


def _numbers(name: str, objects: np.ndarray[Any, Any]) -> Array:
    """The real numbers of an array of Python objects, as a table of pandas with nullable or several dtypes gives it."""
    for index, entry in np.ndenumerate(objects):
        if isinstance(entry, (Real, np.bool_)):
            continue
        where = f" at [{', '.join(map(str, index))}]" if index else ""
        if index and (entry is None or type(entry).__name__ in ("NAType", "NaTType")):
            raise TypeError(f"{name} has a missing value, {entry!r}{where}; fill or drop what is missing first")
        raise TypeError(
            f"{name} must hold real numbers, got {shown(entry)} of type {type(entry).__name__}{where}; convert it first"
        )
    try:
        return objects.astype(np.float64)
    except OverflowError:
        raise ValueError(f"{name} has entries beyond the range of float64; divide it by a number first") from None


def shown(value: Any) -> str:
    """*value* in one line of an error message."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def check_flag(name: str, value: Any) -> bool:
    """*value* as a bool.

    Raises
    ------
    TypeError
        If it is anything else than True, False, 1 or 0.
    """
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, (int, np.integer)) and value in (0, 1)):
        return bool(value)
    raise TypeError(
        f"{name} must be True or False, got {shown(value)} of type {type(value).__name__}; pass one of them"
    )


def check_truth(name: str, value: Any) -> bool:
    """Whether *value*, which may be anything that Python calls true or false, is true.

    Raises
    ------
    TypeError
        If it is neither, as an array of several entries.
    """
    try:
        return bool(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be true or false, got {shown(value)}; pass e.g. its any() or all()") from None


def check_columns(name: str, array: Array, d: int, of: str = "the target") -> Array:
    """*array*, if its rows have *d* entries, as those *of* something have.

    Raises
    ------
    ValueError
        If they have not.
    """
    if array.shape[-1] != d:
        hint = "; pass its transpose" if array.ndim == 2 and array.shape[0] == d else ""
        raise ValueError(
            f"{name} has rows of length {array.shape[-1]} (shape {array.shape}), but {of} has d = {d}; "
            f"{name} must have shape (..., {d}){hint}"
        )
    return array


def check_count(name: str, value: Any, minimum: int = 1) -> int:
    """*value* as an int that is at least *minimum*, and at most 10^15.

    Raises
    ------
    TypeError
        If it is not a whole number.
    ValueError
        If it is too small or too large.
    """
    number = value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
    try:
        if isinstance(number, (bool, np.bool_)):
            raise TypeError
        whole = isinstance(number, (float, np.floating)) and number.is_integer()
        count = int(number) if whole else operator.index(number)
    except TypeError:
        raise TypeError(
            f"{name} must be a whole number, got {shown(value)} of type {type(value).__name__}; pass an int"
        ) from None
    if count < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {count}; pass a larger {name}")
    if count > _LARGEST_COUNT:
        raise ValueError(f"{name} must be at most {_LARGEST_COUNT:.0e}, got a number of {len(str(count))} digits")
    return count


def check_real(name: str, value: Any, minimum: float = -math.inf) -> float:
    """*value* as a finite float that is at least *minimum*.

    Raises
    ------
    TypeError
        If it is not a real number, or a boolean.
    ValueError
        If it is NaN, infinite or too small.
    """
    try:
        if isinstance(value, (str, bytes)) or np.ndim(value) > 0 or np.asarray(value).dtype.kind in "bc":
            raise TypeError
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a real number, got {shown(value)}; pass a float") from None
    if not math.isfinite(number) or number < minimum:
        bound = "" if minimum == -math.inf else f" at least {minimum:g}"
        raise ValueError(f"{name} must be a finite number{bound}, got {number}; pass such a value")
    return number


def check_choice(name: str, value: Any, choices: Iterable[str], others: str = "") -> str:
    """*value*, if it is one of the names *choices*; an error tells of what may be passed besides them as *others*.

    Raises
    ------
    TypeError
        If it is not a string.
    ValueError
        If it is another name.
    """
    known = list(choices)
    listed = ", ".join([*map(repr, known), *([others] if others else [])])
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a name, got {shown(value)}; pass one of {listed}")
    if value not in known:
        raise ValueError(f"{name} = {shown(value)} is not known; pass one of {listed}")
    return value


def check_rng(rng: Seed) -> np.random.Generator:
    """A generator from None (fresh entropy), a seed, a SeedSequence or a Generator (used as it is).

    Raises
    ------
    TypeError
        If *rng* is none of these.
    ValueError
        If a seed is negative.
    """
    allowed = (int, np.integer, np.random.SeedSequence, np.random.Generator)
    if rng is not None and (not isinstance(rng, allowed) or isinstance(rng, bool)):
        raise TypeError(
            f"rng must be None, an int, a SeedSequence or a Generator, got {type(rng).__name__}; "
            "pass e.g. rng=0 for a result that can be repeated"
        )
    if isinstance(rng, (int, np.integer)) and rng < 0:
        raise ValueError(f"rng must not be negative, got {rng}; pass a seed of 0 or more")
    return np.random.default_rng(rng)


def check_float_dtype(value: Any) -> np.dtype[Any]:
    """*value* as the dtype float32 or float64.

    Raises
    ------
    TypeError
        If it is no dtype.
    ValueError
        If it is another dtype.
    """
    try:
        # NumPy takes None for float64, an array for its own dtype, and bytes for the name that they spell.
        if value is None or isinstance(value, bytes) or (hasattr(value, "dtype") and not isinstance(value, type)):
            raise TypeError
        dtype = np.dtype(value)
    except (TypeError, ValueError):
        raise TypeError(f"dtype must be a NumPy dtype, got {shown(value)}; pass np.float32 or np.float64") from None
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {dtype}; pass np.float32 or np.float64")
    return dtype


def check_symmetric(name: str, value: ArrayLike) -> Array:
    """*value* as an exactly symmetric (d, d) array; (d,) is taken as a diagonal.

    Raises
    ------
    TypeError, ValueError
        As `check_array`, and if the matrix is not square, or not symmetric beyond rounding.
    """
    array = check_array(name, value, (1, 2))
    given = np.asarray(value).dtype
    if array.ndim == 1:
        return np.diag(array)
    if array.shape[0] != array.shape[1]:
        raise ValueError(f"{name} must be square, got shape {array.shape}; pass (d, d), or (d,) for a diagonal")
    eps = np.finfo(given).eps if given.kind == "f" else np.finfo(float).eps
    asymmetry = float(np.abs(array - array.T).max())
    if asymmetry > 100 * eps * float(np.abs(array).max()):
        raise ValueError(
            f"{name} must be symmetric, got entries that differ from the transpose's by up to {asymmetry:.3g}; "
            f"pass ({name} + {name}.T) / 2, which gives the same quadratic form"
        )
    return array / 2 + array.T / 2
