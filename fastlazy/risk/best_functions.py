"""The best functions of the lazy regimes for sigma = x^2: those whose risks are `rf_risk` and `nt_risk`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array
from fastlazy.risk.projections import nt_form, rf_form
from fastlazy.targets.quadratic import LARGEST, SMALLEST, QuadraticFunction


def rf_function(target: QuadraticFunction, W: ArrayLike) -> QuadraticFunction:
    """The best random-feature function for these W, the one whose risk is `rf_risk`.

    Parameters
    ----------
    target : QuadraticTarget
    W : array_like, shape (N, d)
        First-layer weights, one neuron per row.

    Returns
    -------
    QuadraticFunction
        sum_i a_i <w_i, x>^2 + c with the best a and c.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array.

    References
    ----------
    arXiv:1906.08899, the class RF of eq. (1).

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)
    >>> f = fastlazy.rf_function(target, W)
    >>> abs(fastlazy.population_distance(f, target) / fastlazy.rf_risk(target, W) - 1) < 1e-9
    True
    """
    return _best(target, rf_form(target, W))


def nt_function(target: QuadraticFunction, W: ArrayLike) -> QuadraticFunction:
    """The best neural tangent function for these W, the one whose risk is `nt_risk`.

    Parameters
    ----------
    target : QuadraticTarget
    W : array_like, shape (N, d)
        Weights at the initialisation, one neuron per row.

    Returns
    -------
    QuadraticFunction
        With the matrix B - P B P, P the projector off the span of W, and the best offset.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array.

    References
    ----------
    arXiv:1906.08899, the class NT of eq. (1).

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)
    >>> f = fastlazy.nt_function(target, W)
    >>> abs(fastlazy.population_distance(f, target) / fastlazy.nt_risk(target, W) - 1) < 1e-9
    True
    """
    return _best(target, nt_form(target, W))


def _best(target: QuadraticFunction, S: Array) -> QuadraticFunction:
    return checked_function(S, target.mean - float(np.trace(S)))


def checked_function(S: Array, c: float) -> QuadraticFunction:
    """<x, S x> + c, or ValueError if squares of its coefficients are beyond floating point."""
    largest = float(np.abs(S).max())
    if not (largest == 0 or SMALLEST <= largest <= LARGEST) or not math.isfinite(c):
        raise ValueError(
            f"the function has coefficients of size {largest:.3g} and the constant {c:.3g}, whose squares are beyond "
            "floating point; divide W, a or c by a number, or multiply them if they are small"
        )
    return QuadraticFunction(S / 2 + S.T / 2, c)
