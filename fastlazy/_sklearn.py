"""What the estimators take from scikit-learn, wherever its version has it, and what they share."""

from __future__ import annotations

import re
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from fastlazy._validate import Array, check_array
from fastlazy.targets import draw_weights

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
    "CallbackSupportMixin",
    "Task",
    "check_count",
    "check_flags",
    "check_number",
    "checked",
    "generator",
    "weights_of",
    "with_callbacks",
]

DTYPES = [np.float64, np.float32]


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

    def part(self, name: str) -> Task:
        """A part that begins."""
        context = None if self.context is None else self.context.subcontext(task_name=name)
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


def checked(estimator: Any, X: Any, **options: Any) -> Any:
    """X, or X and y if that is among the options, as scikit-learn checks them: C-contiguous float64 or float32."""
    numeric = {"y_numeric": True} if "y" in options else {}
    for name, value in (("X", X), ("y", options.get("y"))):
        if np.ma.is_masked(value):
            raise ValueError(f"{name} is a masked array with masked entries; pass {name}.filled(...) or drop them")
    return validate_data(estimator, X, dtype=DTYPES, order="C", **numeric, **options)


def check_count(name: str, value: Any) -> int:
    """*value* as a positive int; scikit-learn's errors, also for True."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an instance of int, not bool, got {value}; pass a number")
    return int(check_scalar(value, name, (int, np.integer), min_val=1))


def check_number(name: str, value: Any) -> float:
    """*value* as a finite float >= 0; scikit-learn's errors, also for True and NaN."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an instance of float, not bool, got {value}; pass a number")
    number = float(check_scalar(value, name, Real, min_val=0.0))
    if not np.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}; pass a number >= 0")
    return number


def check_flags(estimator: Any, *names: str) -> None:
    """Raise TypeError unless the estimator's parameters of these *names*, those that it has, are True or False."""
    for name in names:
        value = getattr(estimator, name, False)
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name} must be True or False, got {value!r} of type {type(value).__name__}")


def generator(random_state: Any) -> np.random.Generator:
    """A generator from what scikit-learn takes for a random state."""
    return np.random.default_rng(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def weights_of(estimator: Any, d: int, dtype: Any) -> Array:
    """The estimator's first-layer weights (N, d): given, or drawn N(0, I / d)."""
    if estimator.weights is None:
        N = check_count("n_neurons", estimator.n_neurons)
        return draw_weights(N, d, rng=generator(estimator.random_state)).astype(dtype)
    W = check_array("weights", estimator.weights, 2, dtype)
    if W.shape[1] != d:
        raise ValueError(f"weights has rows of length {W.shape[1]}, but X has {d} features; pass shape (N, {d})")
    return W.copy()
