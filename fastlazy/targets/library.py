"""Targets by name, each centred: what figures and sweeps learn."""

from __future__ import annotations

from fastlazy._support.arguments import (
    Seed,
    check_count,
    check_rng,
)
from fastlazy.targets.quadratic import QuadraticTarget


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
    """
    eigenvalues = check_rng(rng).exponential(size=check_count("d", d))
    return QuadraticTarget(eigenvalues, -float(eigenvalues.sum()))
