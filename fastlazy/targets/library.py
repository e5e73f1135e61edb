"""Targets by name: what figures and sweeps learn. Functions are centred by b0 = -tr B.

A new family is a function and a row of `FAMILIES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from fastlazy._support.arguments import Array, Seed, check_count, check_real, check_rng
from fastlazy.targets.mixture import GaussianMixture, exponential_mixture
from fastlazy.targets.quadratic import LARGEST, SMALLEST, QuadraticTarget

Target: TypeAlias = QuadraticTarget | GaussianMixture


def exponential_target(d: int, *, rng: Seed = None) -> QuadraticTarget:
    """The target of the headline figure: a diagonal B with eigenvalues iid Exp(1), centred by b0 = -tr B.

    Parameters
    ----------
    d : int
        The input dimension.
    rng : None, int, SeedSequence or Generator

    Returns
    -------
    QuadraticTarget

    Raises
    ------
    TypeError, ValueError
        If d is not a positive whole number, or rng is of no known kind.

    References
    ----------
    arXiv:1906.08899, the headline figure (the authors' scripts also divide by sqrt(d), which no ratio sees).

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(450, rng=0)
    >>> target.d, round(target.null_risk, 1)
    (450, 2138.2)
    """
    return centred_target(check_rng(rng).exponential(size=check_count("d", d)))


def power_law_target(d: int, *, exponent: float = 1.0) -> QuadraticTarget:
    """The target with the eigenvalues k^(-exponent), k = 1, ..., d, on a diagonal B, centred by b0 = -tr B.

    Parameters
    ----------
    d : int
        The input dimension.
    exponent : float
        How fast eigenvalues fall; 0 for equal ones.

    Returns
    -------
    QuadraticTarget

    Raises
    ------
    TypeError, ValueError
        If d is not a positive whole number or exponent not a finite number, or squares of eigenvalues overflow.

    Examples
    --------
    >>> power_law_target(4).eigenvalues.round(3)
    array([1.   , 0.5  , 0.333, 0.25 ])
    """
    dimension, power = check_count("d", d), check_real("exponent", exponent)
    _check_power_law(dimension, power)
    return centred_target(np.arange(1.0, dimension + 1) ** -power)


def spiked_target(d: int, *, n_spikes: int = 1, spike: float = 10.0) -> QuadraticTarget:
    """The target whose eigenvalues are all one but for some spikes, on a diagonal B, centred by b0 = -tr B.

    Parameters
    ----------
    d : int
        The input dimension.
    n_spikes : int
        How many eigenvalues, the first ones, are spikes: from 0 to d.
    spike : float
        Their value.

    Returns
    -------
    QuadraticTarget

    Raises
    ------
    TypeError, ValueError
        If d is not a positive whole number, n_spikes not one from 0 to d or spike not a finite number, or its square
        over- or underflows.

    Examples
    --------
    >>> spiked_target(4, n_spikes=2, spike=5.0).eigenvalues
    array([5., 5., 1., 1.])
    """
    dimension, count, value = check_count("d", d), check_count("n_spikes", n_spikes, 0), check_real("spike", spike)
    _check_spikes(dimension, count, value)
    return centred_target(np.where(np.arange(dimension) < count, value, 1.0))


def identity_target(d: int) -> QuadraticTarget:
    """The target |x|^2 - d: all eigenvalues are one, B = I.

    Parameters
    ----------
    d : int
        The input dimension.

    Returns
    -------
    QuadraticTarget

    Raises
    ------
    TypeError, ValueError
        If d is not a positive whole number.

    Examples
    --------
    >>> identity_target(2)([[3.0, 4.0]])
    array([23.])
    """
    return centred_target(np.ones(check_count("d", d)))


def rank_one_target(d: int) -> QuadraticTarget:
    """The target x_1^2 - 1: one eigenvalue is one, the others are zero.

    Parameters
    ----------
    d : int
        The input dimension.

    Returns
    -------
    QuadraticTarget

    Raises
    ------
    TypeError, ValueError
        If d is not a positive whole number.

    Examples
    --------
    >>> rank_one_target(2)([[3.0, 4.0]])
    array([8.])
    """
    return centred_target((np.arange(check_count("d", d)) == 0).astype(float))


def centred_target(eigenvalues: Array) -> QuadraticTarget:
    """The target of a diagonal B with these *eigenvalues*, shape (d,), centred by b0 = -tr B."""
    return QuadraticTarget(eigenvalues, -float(eigenvalues.sum()))


def _check_power_law(d: int, exponent: float) -> None:
    """Raise ValueError if the square of an eigenvalue overflows."""
    if -exponent * math.log10(d) > math.log10(LARGEST):
        raise ValueError(
            f"exponent = {exponent:g} makes an eigenvalue {d}^{-exponent:g}, whose square is beyond floating point; "
            "pass a larger one"
        )


def _check_spikes(d: int, n_spikes: int, spike: float) -> None:
    """Raise ValueError if there are more spikes than eigenvalues, or nothing to learn of them."""
    if n_spikes > d:
        raise ValueError(f"n_spikes = {n_spikes} is more than d = {d}; pass a smaller one")
    if n_spikes == d and abs(spike) < SMALLEST:
        raise ValueError(
            f"n_spikes = {n_spikes} makes all eigenvalues spike = {spike:g}, so that there is nothing to learn"
        )
    if abs(spike) > LARGEST:
        raise ValueError(f"spike = {spike:g} has a square that is beyond floating point; pass a smaller one")


class Family(NamedTuple):
    """Targets that differ in d and a few parameters.

    Attributes
    ----------
    make : callable
        (d, **parameters) to the target.
    parameters : dict of str to int or float
        The parameters beside d, by the names that cells of a sweep have for them, with their defaults. One whose
        default is an int is a whole number from 0 on.
    check : callable, optional
        (d, **parameters) to None, or ValueError where these together are of no target; nothing large is made.
    """

    make: Callable[..., Target]
    parameters: dict[str, int | float]
    check: Callable[..., None] | None = None


FAMILIES: dict[str, Family] = {
    "exponential": Family(lambda d, target_seed: exponential_target(d, rng=target_seed), {"target_seed": 0}),
    "identity": Family(identity_target, {}),
    "power_law": Family(power_law_target, {"exponent": 1.0}, _check_power_law),
    "rank_one": Family(rank_one_target, {}),
    "spiked": Family(spiked_target, {"n_spikes": 1, "spike": 10.0}, _check_spikes),
    "mixture": Family(lambda d, target_seed: exponential_mixture(d, rng=target_seed), {"target_seed": 0}),
}
