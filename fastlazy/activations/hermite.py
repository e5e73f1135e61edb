"""Hermite coefficients of a non-linearity, and the non-linearity that has given ones.

With G ~ N(0, 1) and He_k the Hermite polynomials of leading coefficient 1,

    h_k(r) = E[sigma(r G) He_k(G)],    sigma(x) = sum_k h_k(1) He_k(x) / k!,

so that h_k(1) of sigma' is h_{k+1}(1) of sigma. Nothing is divided by sqrt(k!) here, unlike in
`fastlazy.activations.moments`.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.polynomial import hermite_e
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_array, check_count
from fastlazy._support.identity import digest
from fastlazy.activations.activation import Activation, Function
from fastlazy.activations.builtin import ActivationLike, check_activation
from fastlazy.activations.moments import unit_coefficients
from fastlazy.activations.units import in_own_unit, times_power

_MOST = 171  # coefficients: 170! is the largest factorial within float64
_LONGEST = 40  # characters of a name


def hermite_coefficients(activation: ActivationLike, r: ArrayLike, k: int) -> Array:
    """The first k Hermite coefficients h_0(r), ..., h_{k-1}(r), h_j(r) = E[sigma(r G) He_j(G)] with G ~ N(0, 1).

    Parameters
    ----------
    activation : str, Activation or function
        The non-linearity sigma.
    r : float or array_like, shape (n,)
        The scale of the argument of sigma, which is the length of a row of W; 0 or more. At r = 1 these are the
        lambda_j of the theorems.
    k : int
        How many, at most 171.

    Returns
    -------
    ndarray, shape (k,) or (n, k)
        Not divided by sqrt(j!): sigma(x) = sum_j h_j(1) He_j(x) / j!. The error of h_j(r) is about
        1e-14 sqrt(j! E sigma(r G)^2); if r is so small that sigma is a short power series there, 1e-12 of h_j(r).

    Raises
    ------
    TypeError, ValueError
        If the activation is not known, or has no finite Gaussian moments; r is not finite or negative; k is no whole
        number from 1 to 171; or a coefficient overflows.

    Examples
    --------
    >>> hermite_coefficients("square", 1.0, 4)
    array([1., 0., 2., 0.])
    >>> hermite_coefficients("relu", [1.0, 2.0], 3).round(4)
    array([[0.3989, 0.5   , 0.3989],
           [0.7979, 1.    , 0.7979]])
    """
    sigma, exponent = in_own_unit(check_activation(activation))
    scales, count = check_array("r", r, (0, 1)), check_count("k", k)
    if scales.min() < 0:
        raise ValueError(f"r must be 0 or more, got {scales.min():g}; pass the length of a row, |w|")
    if count > _MOST:
        raise ValueError(f"k must be at most {_MOST}, got {count}: later factorials overflow; pass a smaller k")
    roots = np.sqrt([float(math.factorial(j)) for j in range(count)])
    values: Array = times_power(roots * unit_coefficients(sigma, np.atleast_1d(scales), count - 1), exponent)
    if not np.isfinite(values).all():
        raise ValueError(
            f"k = {count} coefficients of activation {sigma.name!r} overflow at r = {scales.max():g}; pass a smaller k "
            "or r, or divide the activation by a number"
        )
    return values.reshape(*scales.shape, count)


def hermite_activation(coefficients: ArrayLike) -> Activation:
    """The non-linearity with these Hermite coefficients, sigma(x) = sum_k coefficients[k] He_k(x) / k!.

    Parameters
    ----------
    coefficients : array_like, shape (K,)
        coefficients[k] = E[sigma(G) He_k(G)], G ~ N(0, 1), as `hermite_coefficients` gives them at r = 1; at most 171.
        So [0, 0, 2] is He_2, and [0, 0, 1, 1] is He_2 / 2 + He_3 / 6. A sum of c_k He_k has k! c_k.

    Returns
    -------
    Activation
        With its derivative. Equal coefficients make equal non-linearities, in every process.

    Raises
    ------
    TypeError, ValueError
        If the coefficients are not finite numbers of that shape, or sigma overflows between -10 and 10.

    Examples
    --------
    >>> sigma = hermite_activation([0, 0, 1, 1])
    >>> sigma([2.0])  # (2^2 - 1) / 2 + (2^3 - 3 * 2) / 6
    array([1.83333333])
    >>> bool(np.allclose(hermite_coefficients(sigma, 1.0, 5), [0, 0, 1, 1, 0]))
    True
    """
    given = check_array("coefficients", coefficients, 1)
    if len(given) > _MOST:
        raise ValueError(
            f"coefficients has {len(given)} entries, and may have {_MOST}: later factorials overflow; leave some out"
        )
    sigma = _Series(tuple((given + 0.0).tolist()))  # -0.0 is 0.0
    x = np.linspace(-10, 10, 401)
    if not all(np.isfinite(sigma.values(x, derivative)).all() for derivative in (0, 1)):
        raise ValueError("coefficients are so large that sigma overflows between -10 and 10; divide them by a number")
    return sigma


class _Series(Activation):
    """sum_k coefficients[k] He_k(x) / k!, known by its coefficients."""

    coefficients: tuple[float, ...]

    def __init__(self, coefficients: tuple[float, ...]) -> None:
        name = f"hermite({', '.join(f'{value:.6g}' for value in coefficients)})"
        parts = {
            "name": name if len(name) <= _LONGEST else f"{name[: _LONGEST - 4]}...)",
            "function": _sum_of(coefficients),
            "derivative": _sum_of(coefficients[1:] or (0.0,)),
            "coefficients": coefficients,
        }
        for attribute, value in parts.items():
            object.__setattr__(self, attribute, value)

    def __repr__(self) -> str:
        return f"hermite_activation([{', '.join(f'{value:.6g}' for value in self.coefficients)}])"

    def __reduce__(self) -> tuple[Any, ...]:
        return hermite_activation, (self.coefficients,)

    @cached_property
    def identity(self) -> str:
        return digest(["hermite", *map(repr, self.coefficients)])

    @property
    def _content(self) -> tuple[float, ...]:
        return self.coefficients

    def values(self, x: Array, derivative: int = 0) -> Array:
        terms = _terms(self.coefficients[derivative:] or (0.0,))
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(hermite_e.hermeval(x, terms), np.float64)


def _terms(coefficients: tuple[float, ...]) -> tuple[float, ...]:
    """The factors of He_0, He_1, ..."""
    return tuple(value / math.factorial(k) for k, value in enumerate(coefficients))


def _sum_of(coefficients: tuple[float, ...]) -> Function:
    """The function sum_k coefficients[k] He_k(x) / k! of one number, which numba can compile: Clenshaw's sum."""
    terms = _terms(coefficients)
    last = len(terms) - 1

    def sigma(x: Any) -> Any:
        now, after = terms[last], 0.0
        for k in range(last - 1, -1, -1):
            now, after = terms[k] + x * now - (k + 1) * after, now
        return now

    return sigma
