"""A non-linearity of the user's: any function of one number that numba compiles, and what may be known of one.

The non-linearities that have a name are the rows of `fastlazy.activations.builtin`.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_array, shown
from fastlazy._support.identity import described, digest
from fastlazy._support.snapshot import content, snapshot
from fastlazy._support.summaries import html_table
from fastlazy.activations.closed_forms import BlockMoments, PairMoments
from fastlazy.activations.refusals import refusal

Function = Callable[[Any], Any]


class Known(NamedTuple):
    """What is known of a sigma beforehand, and need not be computed; the defaults are those of a smooth function."""

    degree: int | None = None  # the p for which sigma(r x) = r^p sigma(x) for all r > 0, if there is one
    parity: int | None = None  # 1 if sigma is even, -1 if it is odd
    constant: float | None = None  # the c of sigma(x) = x^2 + c, if sigma is of this form
    binary_slope: bool = False  # whether all values of sigma' are 0 or 1, which kernels pack into bits
    kinks: tuple[float, ...] | None = ()  # where sigma or sigma' has a kink or jumps; None: not known, to be found
    pair_moments: PairMoments | None = None  # the closed form of E[sigma(r u) sigma(s v)], if there is one
    along_moments: PairMoments | None = None  # that of E[u sigma'(r u) sigma(s v)], likewise
    block_moments: BlockMoments | None = None  # the closed form of E[sigma'(r u) sigma'(s v) x x^T], likewise
    slope_moments: PairMoments | None = None  # that of E[sigma'(r u) sigma'(s v)], where the blocks have none


UNKNOWN = Known(kinks=None)


@dataclass(frozen=True, eq=False)
class Activation:
    """A non-linearity sigma, and its derivative.

    What the functions are is fixed here: later changes of variables, arrays and modules that they refer to have no
    effect, for no dtype and in no copy. Copies, those of pickle too, are equal to the original, and so are two
    non-linearities of one name made of the same functions with equal variables.

    Parameters
    ----------
    name : str
        What errors and tables call it. The name of a built-in does not make it one: see `get_activation`.
    function : callable
        sigma, of one number: a Python function that numba compiles, or a function that numba has compiled.
    derivative : callable, optional
        sigma', likewise. Population quantities do without it, sigma being differentiated numerically, but for a sigma
        with kinks and two rows that differ little in direction; `nt_kernel` needs it.

    Raises
    ------
    TypeError
        If the name is no string or a function is not callable.
    ValueError
        If numba cannot compile a function, or it raises an error or gives NaN or infinity between -10 and 10.

    Examples
    --------
    >>> import math
    >>> from fastlazy import Activation
    >>> shifted = Activation("shifted tanh", lambda x: math.tanh(x + 0.5))
    >>> shifted([0.0])
    array([0.46211716])
    """

    name: str
    function: Function
    derivative: Function | None = None

    def __init__(self, name: str, function: Function, derivative: Function | None = None) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, got {shown(name)}; pass e.g. 'shifted tanh'")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "function", snapshot(function))
        object.__setattr__(self, "derivative", snapshot(derivative))
        self._check("function", 0)
        if derivative is not None:
            self._check("derivative", 1)

    def __repr__(self) -> str:
        return f"Activation({self.name!r}, {'with' if self.derivative else 'without'} a derivative)"

    def _repr_html_(self) -> str:
        values = ", ".join(f"{value:.6g}" for value in self.values(np.array([-1.0, 0.0, 1.0])))
        given = "none" if self.derivative is None else "known"
        return html_table("Activation", {"name": self.name, "derivative": given, "values at -1, 0, 1": values})

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Activation) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    def __copy__(self) -> Activation:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Activation:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.name, self._pickled)

    @property
    def key(self) -> Any:
        """A hashable value that equal non-linearities share."""
        return self._content

    @cached_property
    def identity(self) -> str:
        """A text that equal non-linearities share in all processes of one minor version of Python.

        Raises
        ------
        TypeError
            If a function refers to something that no two processes can be sure to have alike.
        """
        try:
            return digest([self.name, *(described(part, strict=True) for part in (self.function, self.derivative))])
        except TypeError as error:
            raise TypeError(
                f"activation {self.name!r} has no identity outside of this process: {error}; make it of Python "
                "functions, or of functions that numba.njit has compiled, which refer to numbers, arrays and each other"
            ) from None

    @cached_property
    def _content(self) -> Any:
        return self.name, content(self.function), content(self.derivative)

    @cached_property
    def _pickled(self) -> bytes:
        """The functions by value: what they refer to goes with them."""
        import cloudpickle

        try:
            return cloudpickle.dumps((self.function, self.derivative))
        except Exception as error:
            raise TypeError(
                f"activation {self.name!r} cannot be pickled ({error}); make it of Python functions, or of "
                "functions that numba.njit has compiled, which refer to numbers and arrays"
            ) from error

    def __call__(self, x: ArrayLike) -> Array:
        """The values of sigma.

        Parameters
        ----------
        x : array_like, any shape

        Returns
        -------
        ndarray, of that shape

        Raises
        ------
        TypeError, ValueError
            If x does not hold finite real numbers, or sigma is not finite there.
        """
        points = check_array("x", x, tuple(range(33)))
        values = self.values(points)
        if not np.isfinite(values).all():
            where = float(points[~np.isfinite(values)][0])
            raise ValueError(
                f"x has entries, as {where:.6g}, where activation {self.name!r} gives NaN or infinity; leave them "
                "out, or divide x by a number"
            )
        return values

    @property
    def known(self) -> Known:
        """What is known of sigma: of a user's function nothing, not even its kinks."""
        return UNKNOWN

    @property
    def degree(self) -> int | None:
        """The p for which sigma(r x) = r^p sigma(x) for all r > 0, if there is one and it is known."""
        return self.known.degree

    @property
    def is_square(self) -> bool:
        """Whether sigma is known to be x^2: its networks are functions <x, S x> + c, and W enters by W^T W alone."""
        return self.known.constant == 0

    @property
    def is_quadratic(self) -> bool:
        """Whether sigma is known to be x^2 plus a constant: its slope is 2 x, and a fitted offset takes in the rest."""
        return self.known.constant is not None

    @property
    def has_closed_gram(self) -> bool:
        """Whether the Gram matrix of random features needs no Hermite expansion at the length of each row.

        For x^2 plus a constant its entries are polynomials in the rows; a homogeneous sigma is expanded once, at
        length one.
        """
        return self.is_quadratic or self.degree is not None

    @cached_property
    def compiled(self) -> Any:
        """The function for compiled code: gives the dtype of its argument."""
        from fastlazy._core import activation

        return activation.scalar(self.function)

    @cached_property
    def compiled_derivative(self) -> Any:
        """The derivative for compiled code.

        Raises
        ------
        ValueError
            If sigma has none, or was made without.
        """
        from fastlazy._core import activation

        if self.derivative is None:
            raise ValueError(
                f"activation {self.name!r} has no derivative, which is needed here at single points; "
                "pass Activation(name, function, derivative=...)"
            )
        return activation.scalar(self.derivative)

    def values(self, x: Array, derivative: int = 0) -> Array:
        """The values of sigma or sigma', for the package's own use: infinite and NaN where they are.

        Parameters
        ----------
        x : ndarray of float64, any shape
        derivative : {0, 1}
            1: of sigma' in place of sigma.

        Returns
        -------
        ndarray, of that shape

        Raises
        ------
        ValueError
            If sigma' is asked for and not there.
        """
        from fastlazy._core import activation

        loops = self._loops
        if derivative not in loops:
            loops[derivative] = activation.evaluator(self.compiled_derivative if derivative else self.compiled)
        out = np.empty(x.shape)
        loops[derivative](np.ascontiguousarray(x).reshape(-1), out.reshape(-1))
        return out

    @cached_property
    def _loops(self) -> dict[int, Any]:
        return {}

    def _check(self, argument: str, derivative: int) -> None:
        """Raise if that function cannot be used."""
        if not callable(getattr(self, argument)):
            raise TypeError(f"{argument} must be a function of one number, got {shown(getattr(self, argument))}")
        try:
            self.values(np.zeros(0), derivative)  # compiles it, and calls it nowhere
        except Exception as error:  # of numba, and of what the function refers to
            raise ValueError(
                f"the {argument} of activation {self.name!r} cannot be compiled by numba: {refusal(error)}"
            ) from error
        x = np.linspace(-10, 10, 401)
        try:
            y = self.values(x, derivative)
        except Exception as error:
            raise ValueError(
                f"the {argument} of activation {self.name!r} raises {error!r} somewhere between -10 and 10; a "
                "non-linearity must give a number for every x"
            ) from error
        bad = ~np.isfinite(y)
        if bad.any():
            raise ValueError(
                f"the {argument} of activation {self.name!r} gives {y[bad][0]} at x = {x[bad][0]:g}; a non-linearity "
                "must be finite for every x, so define it there too"
            )


@lru_cache(maxsize=64)  # a worker gets one with every task, and compiles it once
def _restored(kind: type[Activation], name: str, pickled: bytes) -> Activation:
    """The non-linearity that was pickled."""
    return kind(name, *pickle.loads(pickled))
