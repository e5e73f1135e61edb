"""Gaussian moments for rows so short that they see only the power series of sigma at zero, to relative accuracy.

With sigma(z) = sum_j even_j z^j + odd_j sign(z) z^j, the coefficients of degree k are sums over j of r^j times numbers
that know nothing of sigma. The powers r^j stay apart, so that h_k ~ r^k keeps its digits however short a row is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import polynomial

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.kinks import NODES, WEIGHTS, power_series

_REACH = 10.0  # a standard normal variable is larger with probability 1e-23
_LARGEST = 1e306


class Expansion(NamedTuple):
    """The Hermite coefficients of sigma(r G) in units of what sigma has of degrees *first* and above."""

    scale: Array  # (n,) the root of sum_{k >= first} hn_k^2
    table: Array  # (n, K + 1) hn_k / scale, the degrees below *first* too; zero where the scale is zero
    rest: Array  # (n,) the part of the squares, 0 to 1, that is of degrees above K
    doubt: Array  # (n,) the largest coefficient, in units of the scale, that rounding of sigma may hide

    def present(self, first: int) -> Array:
        """Which rows have something of degree *first* or more, (n,); their scale may still be too small to write."""
        return (self.table[:, first:] != 0).any(axis=1) | (self.rest > 0)


def short(activation: Activation, r: Array, derivative: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows of lengths r (n,) see the power series of sigma only, (n,)."""
    return (r > 0) & (r <= power_series(activation, derivative).radius / _REACH)


# Coefficients of degrees below *first* may overflow; they are capped.
@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def short_expansion(activation: Activation, r: Array, K: int, first: int, derivative: int, power: int) -> Expansion:
    """The expansion for short rows of lengths r (n,) > 0."""
    n = len(r)
    terms = _terms(activation, r, first, derivative, power)
    if terms is None:
        return Expansion(np.zeros(n), np.zeros((n, K + 1)), np.zeros(n), np.zeros(n))
    basis = _moments(max(K, 15))
    table = terms.above @ basis.table
    squares = np.einsum("ni,ij,nj->n", terms.above, basis.products, terms.above)
    size = np.sqrt(squares - np.sum(table[:, :first] ** 2, axis=1))
    table[:, :first] += np.clip(terms.below, -_LARGEST, _LARGEST) @ basis.table[:first, :first]
    table = np.clip(table / size[:, None], -_LARGEST, _LARGEST)
    rest = np.zeros(n)
    if terms.above[:, 16:].any() or K < 15:
        rest = np.maximum(1 - np.sum(table[:, first : K + 1] ** 2, axis=1), 0)
    return Expansion(size * r**terms.leading, table[:, : K + 1], rest, terms.hidden / size)


def short_function(activation: Activation, r: float, first: int) -> Callable[[Array], Array]:
    """The function x -> sigma(r x) without its degrees below *first*, of unit norm, for a short row that sees more."""
    terms, basis = _terms(activation, np.array([r]), first, 0, 0), _moments(15)
    assert terms is not None
    lower = (terms.above @ basis.table)[0, :first]
    size = np.sqrt((terms.above @ basis.products @ terms.above.T)[0, 0] - lower @ lower)
    even, odd = np.split(terms.above[0] / size, 2)
    even[:first] -= lower / size  # he_0 = 1 and he_1 = x

    def values(x: Array) -> Array:
        return polynomial.polyval(x, even) + np.sign(x) * polynomial.polyval(x, odd)

    return values


class _Terms(NamedTuple):
    """What sigma(r x) consists of, over r^leading: the functions x^j and sign(x) x^j that are there."""

    leading: int
    above: Array  # (n, 32) coefficients of all functions, but zero for x^j with j < first
    below: Array  # (n, first) coefficients of x^j with j < first
    hidden: Array  # (n,) the largest coefficient that rounding may hide


def _terms(activation: Activation, r: Array, first: int, derivative: int, power: int) -> _Terms | None:
    """The terms for rows of lengths r (n,), times x^power, or None if none are of degree *first* or more."""
    series = power_series(activation, derivative)[1:]
    even, odd, noise = (np.pad(part, (power, 0))[:16] for part in series)
    j = np.arange(16)
    lower = j < first
    seen = (odd != 0) | ((even != 0) & ~lower)
    if not seen.any():
        return None
    leading = int(np.argmax(seen))
    powers = r[:, None] ** (j - leading)
    even_part, odd_part, doubt = (np.where(part == 0, 0, part * powers) for part in (even, odd, noise))
    above = np.concatenate([np.where(lower, 0, even_part), odd_part], axis=1)
    return _Terms(leading, above, even_part[:, :first], np.where(seen | lower, 0, doubt).max(axis=1))


class _Basis(NamedTuple):
    """Gaussian moments of the functions G^0 .. G^15, sign(G) G^0 .. sign(G) G^15."""

    table: Array  # (32, K + 1) their Hermite coefficients
    products: Array  # (32, 32) means of their products


@lru_cache(maxsize=8)
def _moments(K: int) -> _Basis:
    half = 0.25
    # Nodes up to 20, where x^30 times the normal density is negligible.
    x = (half * (np.arange(0.5, 40)[:, None] * 2 + NODES)).ravel()
    weight = np.tile(half * WEIGHTS, 40) * 2
    root = np.exp(-x * x / 4) / (2 * math.pi) ** 0.25
    powers = x ** np.arange(16)[:, None] * (root * weight)
    before, now = np.zeros_like(x), root
    table = np.empty((16, K + 1))
    for k in range(K + 1):
        table[:, k] = powers @ now
        before, now = now, (x * now - math.sqrt(k) * before) / math.sqrt(k + 1)
    j, degrees = np.arange(16)[:, None], np.arange(K + 1)
    same = (j + degrees) % 2 == 0
    smooth = np.where(same & (degrees <= j), table, 0)  # x^j is a sum of he_k with k <= j
    absolute = x ** np.arange(31)[:, None] @ (root * root * weight)
    sums, alike = absolute[j + j.T], (j + j.T) % 2 == 0
    own, other = np.where(alike, sums, 0), np.where(alike, 0, sums)
    return _Basis(np.concatenate([smooth, np.where(same, 0, table)]), np.block([[own, other], [other, own]]))
