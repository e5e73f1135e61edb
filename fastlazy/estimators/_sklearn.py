"""What the estimators take from scikit-learn, wherever its version has it, and what they share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from fastlazy._support.arguments import shown

_NEEDED = (1, 6)


def _check_version() -> None:
    try:
        from sklearn import __version__ as found
    except ImportError:
        found = None
    if found is None or tuple(map(int, re.findall(r"\d+", found)[:2])) < _NEEDED:
        raise ImportError(
            f"fastlazy.estimators needs scikit-learn {'.'.join(map(str, _NEEDED))} or later, "
            f"{'which is not installed' if found is None else 'got ' + found}; pip install 'fastlazy[sklearn]'"
        )


_check_version()

from sklearn.utils import check_random_state, check_scalar  # noqa: E402  (the check comes first)
from sklearn.utils.validation import validate_data  # noqa: E402

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9: progress by verbose only

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for scikit-learn's."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """The method itself."""
        return method


__all__ = [
    "DTYPES",
    "CallbackSupportMixin",
    "Task",
    "check_random",
    "check_scalar",
    "checked",
    "generator",
    "with_callbacks",
]

DTYPES = [np.float64, np.float32]
_CONVERSION = re.compile(r"float\(\) argument|could not convert|value of NA is ambiguous")


class Task:
    """A fit, or a part of it, as scikit-learn's callbacks see it; nothing where there are none."""

    def __init__(self, estimator: Any, context: Any, **data: Any) -> None:
        self.estimator, self.context, self.data = estimator, context, data
        if context is not None:
            context.call_on_fit_task_begin(estimator=estimator, **data)

    @classmethod
    def fit(cls, estimator: Any, parts: int, **data: Any) -> Task:
        """The task of the whole fit, with so many *parts*."""
        begin = getattr(estimator, "_init_callback_context", None)
        return cls(estimator, None if begin is None else begin(max_subtasks=parts), **data)

    def part(self, name: str, parts: int = 0) -> Task:
        """A part that begins, with so many *parts* of its own."""
        context = None if self.context is None else self.context.subcontext(task_name=name, max_subtasks=parts)
        return Task(self.estimator, context, **self.data)

    def end(self, attributes: Callable[[], dict[str, Any]]) -> bool:
        """Whether a callback asks to stop; *attributes* make a fitted estimator of this state."""
        if self.context is None:
            return False
        return bool(
            self.context.call_on_fit_task_end(
                estimator=self.estimator, reconstruction_attributes=attributes, **self.data
            )
        )


def checked(estimator: Any, X: Any, *, numeric: bool = True, **options: Any) -> Any:
    """X, or X and y if that is among the options, as scikit-learn checks them: C-contiguous float64 or float32.

    y holds real numbers if *numeric*, else labels of any kind.
    """
    for name, value in (("X", X), ("y", options.get("y"))):
        if np.ma.is_masked(value):
            raise ValueError(f"{name} is a masked array with masked entries; pass {name}.filled(...) or drop them")
        if isinstance(value, (list, tuple)):
            try:
                np.asarray(value)
            except ValueError as error:
                raise ValueError(f"{name} is no array ({error}); pass numbers in rows of equal length") from None
    if hasattr(options.get("y"), "toarray"):
        raise TypeError("y is a sparse array; pass y.toarray()")
    dtype = getattr(options.get("y"), "dtype", None)
    if dtype is None and isinstance(options.get("y"), (list, tuple)):
        dtype = np.asarray(options["y"]).dtype
    if numeric and getattr(dtype, "kind", None) in ("U", "S", "m", "M"):  # which scikit-learn lets pass
        raise TypeError(f"y must hold real numbers, got an array of dtype {dtype}; convert it first")
    if "y" in options:
        options["y_numeric"] = numeric
    try:
        return validate_data(estimator, X, dtype=DTYPES, order="C", **options)
    except (TypeError, ValueError) as error:  # of NumPy or pandas, which names no argument
        if not _CONVERSION.search(str(error)):
            raise
        name = "X" if not _holds_numbers(X) else "y"
        raise type(error)(f"{name} must hold real numbers ({error}); convert or drop what is none") from None


def _holds_numbers(values: Any) -> bool:
    try:
        np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return False
    return True


def check_random(random_state: Any) -> Any:
    """What scikit-learn makes of a random state, from which nothing is drawn yet; its errors, with the name."""
    try:
        return check_random_state(random_state)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"random_state must be None, an int from 0 to 2^32 - 1 or a RandomState, got {shown(random_state)}; "
            "pass one of them"
        ) from None


def generator(random_state: Any) -> np.random.Generator:
    """A generator from what scikit-learn takes for a random state."""
    return np.random.default_rng(check_random(random_state).randint(np.iinfo(np.int32).max))
