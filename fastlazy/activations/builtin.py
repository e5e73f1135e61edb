"""The non-linearities that have a name: one row of `_ROWS` each, with all that is known of it.

To add one, write its row here and its compiled function, and that of its derivative if it has one, in
`fastlazy._core.activation`, under the same name. The row holds NumPy expressions, for the theory; a test compares both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

import numpy as np
from scipy import special

from fastlazy._core.constants import LEAKY_SLOPE
from fastlazy._support.arguments import Array, check_choice, shown
from fastlazy._support.snapshot import content, hashable
from fastlazy.activations import closed_forms
from fastlazy.activations.activation import Activation, Function, Known

ActivationLike: TypeAlias = str | Activation | Function


class _Builtin(Activation):
    """A non-linearity of the package: its functions take arrays, and its compiled functions are found by its name."""

    _known: Known

    def __init__(self, name: str, function: Function, derivative: Function | None, known: Known) -> None:
        parts = {"name": name, "function": function, "derivative": derivative, "_known": known}
        for attribute, value in parts.items():
            object.__setattr__(self, attribute, value)

    def __repr__(self) -> str:
        return f"get_activation({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return get_activation, (self.name,)

    @property
    def identity(self) -> str:
        return ascii(self.name)

    @property
    def _content(self) -> str:
        return self.name

    @property
    def known(self) -> Known:
        return self._known

    @cached_property
    def compiled(self) -> Any:
        from fastlazy._core import activation

        return getattr(activation, self.name)

    @cached_property
    def compiled_derivative(self) -> Any:
        from fastlazy._core import activation

        if self.derivative is None:
            raise ValueError(
                f"activation {self.name!r} jumps, so its derivative is no function and it has no tangent model; "
                "pass one without jumps"
            )
        return getattr(activation, f"d_{self.name}")

    def values(self, x: Array, derivative: int = 0) -> Array:
        function: Any = self.derivative if derivative else self.function
        with np.errstate(all="ignore"):
            return np.asarray(function(x), np.float64)


def get_activation(name: str) -> Activation:
    """The non-linearity of that name.

    Parameters
    ----------
    name : str
        "linear", "square" (x^2), "he2" (x^2 - 1), "he3" (x^3 - 3x), "step" (1 for x > 0), "relu", "leaky_relu" (slope
        1/100 for x < 0), "erf", "tanh", "sigmoid", "softplus" (log(1 + e^x)), "gelu" (x times the normal distribution
        function), "silu" (x sigmoid(x)), "sin", "cos" or "exp".

    Returns
    -------
    Activation

    Raises
    ------
    TypeError, ValueError
        If it is no name of a non-linearity.

    Examples
    --------
    >>> import fastlazy
    >>> relu = fastlazy.get_activation("relu")
    >>> relu.name, float(relu.function(-1.0)), float(relu.function(2.0))
    ('relu', 0.0, 2.0)
    """
    return _BUILTINS[check_choice("name", name, _BUILTINS)]


def check_activation(value: Any) -> Activation:
    """The non-linearity that *value*, a name, an `Activation` or a function of one number, stands for.

    A function that has a named non-linearity, as np.tanh has, is that one. Any other becomes an `Activation` of its own
    name: one for all that compute the same, so that it is compiled once. A function whose variables have changed since
    is another one.

    Raises
    ------
    TypeError, ValueError
        If it is none of them, an unknown name, or a function that is no non-linearity (see `Activation`).
    """
    if isinstance(value, Activation):
        return value
    if isinstance(value, str):
        return _BUILTINS[check_choice("activation", value, _BUILTINS)]
    if not callable(value) or isinstance(value, type):
        raise TypeError(
            f"activation must be a name, an Activation or a function of one number, got {shown(value)}; pass e.g. "
            "'relu', lambda x: max(x, 0.0), or Activation(name, function, derivative)"
        )
    if hashable(value) and value in _FUNCTIONS:
        return _FUNCTIONS[value]
    name = getattr(value, "__name__", type(value).__name__)
    return _of_function(_Bare(name, content(value), value))


def is_builtin(activation: Activation) -> bool:
    """Whether *activation* is one of those that have a name."""
    return _BUILTINS.get(activation.name) is activation


@dataclass(frozen=True)
class _Bare:
    """A function of the user's; two are the same if their names are and what they compute."""

    name: str
    content: Any
    function: Function = field(compare=False)


@lru_cache(maxsize=64)
def _of_function(bare: _Bare) -> Activation:
    return Activation(bare.name, bare.function)


def _step(x: Any) -> Any:
    return np.where(x > 0, 1.0, 0.0)


def _leaky_slope(x: Any) -> Any:
    return np.where(x > 0, 1.0, LEAKY_SLOPE)


def _silu_slope(x: Any) -> Any:
    return special.expit(x) * (1 + x * special.expit(-x))


def _gelu_slope(x: Any) -> Any:
    return special.ndtr(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


_ROWS = (
    _Builtin("linear", lambda x: x, np.ones_like, Known(degree=1, parity=-1)),
    _Builtin("square", lambda x: x * x, lambda x: 2 * x, Known(degree=2, parity=1, constant=0.0)),
    _Builtin("he2", lambda x: x * x - 1, lambda x: 2 * x, Known(parity=1, constant=-1.0)),
    _Builtin("he3", lambda x: x * (x * x - 3), lambda x: 3 * (x * x - 1), Known(parity=-1)),
    _Builtin("step", _step, None, Known(degree=0, kinks=(0.0,), pair_moments=closed_forms.step_pair)),
    _Builtin(
        "relu",
        lambda x: np.maximum(x, 0),
        _step,
        Known(
            degree=1,
            binary_slope=True,
            kinks=(0.0,),
            pair_moments=closed_forms.relu_pair,
            block_moments=closed_forms.relu_block,
        ),
    ),
    _Builtin(
        "leaky_relu",
        lambda x: x * _leaky_slope(x),
        _leaky_slope,
        Known(
            degree=1,
            kinks=(0.0,),
            pair_moments=closed_forms.leaky_relu_pair,
            block_moments=closed_forms.leaky_relu_block,
        ),
    ),
    _Builtin(
        "erf",
        special.erf,
        lambda x: 2 / math.sqrt(math.pi) * np.exp(-x * x),
        Known(
            parity=-1,
            pair_moments=closed_forms.erf_pair,
            along_moments=closed_forms.erf_along,
            block_moments=closed_forms.erf_block,
        ),
    ),
    _Builtin("tanh", np.tanh, lambda x: 4 * special.expit(2 * x) * special.expit(-2 * x), Known(parity=-1)),
    _Builtin("sigmoid", special.expit, lambda x: special.expit(x) * special.expit(-x), Known()),
    _Builtin("softplus", lambda x: np.logaddexp(0, x), special.expit, Known()),
    _Builtin("gelu", lambda x: x * special.ndtr(x), _gelu_slope, Known()),
    _Builtin("silu", lambda x: x * special.expit(x), _silu_slope, Known()),
    _Builtin(
        "sin",
        np.sin,
        np.cos,
        Known(parity=-1, pair_moments=closed_forms.sin_pair, slope_moments=closed_forms.cos_pair),
    ),
    _Builtin(
        "cos",
        np.cos,
        lambda x: -np.sin(x),
        Known(parity=1, pair_moments=closed_forms.cos_pair, slope_moments=closed_forms.sin_pair),
    ),
    _Builtin(
        "exp",
        np.exp,
        np.exp,
        Known(
            pair_moments=closed_forms.exp_pair,
            along_moments=closed_forms.exp_along,
            block_moments=closed_forms.exp_block,
        ),
    ),
)

_BUILTINS: dict[str, Activation] = {activation.name: activation for activation in _ROWS}

# Functions of NumPy, SciPy and Python that are named non-linearities.
_FUNCTIONS: dict[Any, Activation] = {
    np.square: _BUILTINS["square"],
    special.erf: _BUILTINS["erf"],
    math.erf: _BUILTINS["erf"],
    np.tanh: _BUILTINS["tanh"],
    math.tanh: _BUILTINS["tanh"],
    special.expit: _BUILTINS["sigmoid"],
    np.sin: _BUILTINS["sin"],
    math.sin: _BUILTINS["sin"],
    np.cos: _BUILTINS["cos"],
    math.cos: _BUILTINS["cos"],
    np.exp: _BUILTINS["exp"],
    math.exp: _BUILTINS["exp"],
}

BUILTIN_NAMES = tuple(_BUILTINS)

TANGENT_NAMES = tuple(name for name, activation in _BUILTINS.items() if activation.derivative is not None)
