"""What became of a call: right, warned, clear, refused, unclear, silent.

Hangs and crashes the runner sees; "broken" is a fault of the fuzzer itself.
"""

from __future__ import annotations

import dataclasses
import inspect
import linecache
import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fuzz.values import Value

CLASSES = ("right", "warned", "clear", "refused", "unclear", "silent", "hang", "crash", "broken")
FAULTS = ("refused", "unclear", "silent", "hang", "crash", "broken")
_RAISING = re.compile(r"[/\\](fastlazy(?![/\\]_core)|sklearn)[/\\].*\.py$")
# Warnings of libraries, which tell a user of this package nothing.
_FOREIGN = re.compile(
    "encountered in|divide by zero|Ill-conditioned|Matrix is singular|invalid value|Mean of empty|Degrees of freedom"
    "|deprecated|Casting complex|unsafe cast|object of type|Polyfit|did not converge|never awaited|unclosed"
    "|More than 20 figures"
)
# Texts of Python and its libraries that happen to hold the name of an argument.
_INSIDE = re.compile(
    "broadcast|could not convert|unsupported operand|not subscriptable|has no attribute|not iterable|truth value"
    "|not supported between|leading minor|infs or NaNs|cannot reshape|out of bounds|must be real number|unhashable"
    "|not callable|cannot unpack|setting an array element|ufunc|only (integer|length)|NoneType"
)


class Call(NamedTuple):
    """A call that the grammar made.

    Attributes
    ----------
    name : str
        The public name that it tries.
    function : callable
        Called with the values of the arguments, by keyword.
    arguments : dict of Value
    check : callable, optional
        Gets the result; None if it is right, else what is wrong with it.
    names : tuple of str
        What a clear error may name, beside the arguments.
    allowed : tuple of exception types
        What is documented, beside TypeError and ValueError.
    infinite : bool
        Whether a result may be infinite.
    """

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Value]
    check: Callable[[Any], str | None] | None = None
    names: tuple[str, ...] = ()
    allowed: tuple[type[BaseException], ...] = ()
    infinite: bool = False


class Outcome(NamedTuple):
    """The class of a call, and why."""

    kind: str
    note: str


class ClearExitError(Exception):
    """A command that ended with a message that names an option; the text is the message."""


def judge(call: Call) -> Outcome:
    """Make the call and say what became of it."""
    values = {name: argument.value for name, argument in call.arguments.items()}
    before = {name: value.tobytes() for name, value in values.items() if _is_array(value) and name != "out"}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            result, error = call.function(**values), None
        except Exception as caught:
            result, error = None, caught
    told = [f"{w.category.__name__}: {w.message}" for w in told if w.category is not ImportWarning]
    if changed := [name for name, was in before.items() if values[name].tobytes() != was]:
        return Outcome("silent", f"modified its argument {changed[0]}")
    if error is not None:
        return _of_error(call, error)
    bad = [name for name, argument in call.arguments.items() if argument.kind == "bad"]
    if bad:
        return Outcome("silent", f"accepted a bad {', '.join(bad)}: {short(values[bad[0]])}")
    foreign = [text for text in told if _FOREIGN.search(text)]
    told = [text for text in told if text not in foreign]
    good = (lambda value: not np.isnan(value)) if call.infinite else np.isfinite
    wrong = next((f"{where} = {value}" for where, value in numbers_of(result) if not good(value)), None)
    if wrong is None and call.check is not None:
        with np.errstate(all="ignore"):
            wrong = call.check(result)
    if wrong is None and foreign:
        return Outcome("unclear", f"leaks a warning: {foreign[0][:160]}")
    if wrong is None:
        return Outcome("right", "")
    return Outcome("warned" if told else "silent", wrong + (f" ({told[0][:160]})" if told else ""))


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype != object


def _of_error(call: Call, error: Exception) -> Outcome:
    text, kind = str(error), type(error).__name__
    note = f"{kind}: {' '.join(text.split())[:200]}"
    if isinstance(error, ClearExitError):
        good = all(argument.kind == "good" for argument in call.arguments.values())
        return Outcome("refused" if good else "clear", note)
    last = traceback.extract_tb(error.__traceback__)[-1]
    raised = linecache.getline(last.filename, last.lineno or 0).strip().startswith("raise")
    documented = isinstance(error, call.allowed)  # may come from the library that finds it, a file or a column missing
    allowed = documented or type(error) in (TypeError, ValueError)
    where = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
    if not allowed:
        return Outcome("unclear", f"{note} [{where}, not documented]")
    inside = not (raised and _RAISING.search(last.filename)) or _INSIDE.search(_own_words(text))
    if inside and not documented:
        return Outcome("unclear", f"{note} [{where}, from inside]")
    names = {*call.arguments, *call.names, *_parameters(call.function)}
    # All users know what scikit-learn's own checks say; an error of a file has its path.
    told = "/sklearn/" in last.filename or isinstance(error, (OSError, MemoryError))
    if not told and not any(_mentions(text, name) for name in names):
        return Outcome("unclear", f"{note} [{where}, names no argument]")
    good = all(argument.kind == "good" for argument in call.arguments.values())
    return Outcome("refused" if good else "clear", note)


def _own_words(text: str) -> str:
    """A message without what it quotes: values, and errors in brackets."""
    return re.sub(r"\(.*\)|'[^']*'|\"[^\"]*\"|got .*?;", "", text)


def _parameters(function: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def _mentions(text: str, name: str) -> bool:
    """Whether a message names an argument; one small letter, which may be a word, where an argument is expected."""
    if len(name) == 1 and name.islower():
        return bool(re.search(rf"(^|: |or |and ){name} (has|have|must|is|holds|cannot|=|\+|from|and|or)\b", text))
    return bool(re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", text))


def numbers_of(result: Any, where: str = "result", depth: int = 0) -> Iterator[tuple[str, float]]:
    """The first number that is not finite, or some number, of every part of a result; tables may have gaps."""
    if isinstance(result, (float, np.floating)):
        yield where, float(result)
    elif isinstance(result, np.ndarray) and result.dtype.kind == "f" and result.size:
        flat = result.reshape(-1)
        yield where, float(flat[np.argmin(np.isfinite(flat))])
    elif depth < 3 and isinstance(result, (tuple, list)):
        for k, part in enumerate(result):
            yield from numbers_of(part, f"{where}[{k}]", depth + 1)
    elif depth < 3 and isinstance(result, dict):
        for key, part in result.items():
            yield from numbers_of(part, f"{where}[{key!r}]", depth + 1)
    elif depth < 3 and dataclasses.is_dataclass(result):
        for field in dataclasses.fields(result):
            yield from numbers_of(getattr(result, field.name), f"{where}.{field.name}", depth + 1)


def short(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, np.ndarray) and value.size > 4:
        return f"array of shape {value.shape}, {value.dtype}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
