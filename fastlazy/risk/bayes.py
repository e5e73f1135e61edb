"""The Bayes risk of a mixture of two Gaussians, by Monte Carlo: no formula is known."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastlazy._support.arguments import Array, Seed, check_count, check_rng
from fastlazy.targets.mixture import GaussianMixture, Modes

_BLOCK = 4_000_000  # entries of the samples that are held at a time


class BayesRisk(NamedTuple):
    """An estimate of the Bayes risk.

    Attributes
    ----------
    risk : float
        The mean over samples.
    error : float
        Its standard error.

    Examples
    --------
    >>> import fastlazy
    >>> estimate = fastlazy.bayes_risk(fastlazy.exponential_mixture(100, rng=0), rng=1)
    >>> round(estimate.risk, 1), estimate.error < 0.01
    (0.3, True)
    """

    risk: float
    error: float


def bayes_risk(target: GaussianMixture, *, n_samples: int = 100_000, rng: Seed = None) -> BayesRisk:
    """The least squared error of any function of x, E[1 - E[y|x]^2], estimated from samples.

    Parameters
    ----------
    target : GaussianMixture
    n_samples : int
        Samples of x, at least 2.
    rng : None, int, SeedSequence or Generator

    Returns
    -------
    BayesRisk
        The estimate and its standard error, (risk, error); the risk of the best constant is 1.

    Raises
    ------
    TypeError, ValueError
        If target is no `GaussianMixture`, n_samples is no whole number of at least 2, or rng is of no known kind.

    Notes
    -----
    In the modes z of the mixture (x = A z) the logarithm of p(x | y = 1) / p(x | y = -1) is the sum over j of
    log((1 + delta_j) / (1 - delta_j)) / 2 - z_j^2 delta_j / (1 - delta_j^2), and E[y|x] the hyperbolic tangent of half
    of it. No quadratic function is as good: the infimum of a network of x^2 is larger.

    Examples
    --------
    >>> import fastlazy
    >>> risk, error = bayes_risk(fastlazy.exponential_mixture(100, rng=0), rng=1)
    >>> 0 < risk < 1, error < 0.002
    (True, True)
    """
    if not isinstance(target, GaussianMixture):
        raise TypeError(
            f"target must be a GaussianMixture, got {type(target).__name__}; the Bayes risk of a function of x is zero"
        )
    n, generator = check_count("n_samples", n_samples, 2), check_rng(rng)
    modes = target.modes
    step = max(1, _BLOCK // max(len(modes.delta), 1))
    parts = [_losses(modes, min(step, n - start), generator) for start in range(0, n, step)]
    losses = np.concatenate(parts)
    return BayesRisk(float(losses.mean()), float(losses.std(ddof=1)) / math.sqrt(n))


def _losses(modes: Modes, n: int, generator: np.random.Generator) -> Array:
    """The conditional variance 1 - E[y|x]^2 at n samples of x, (n,)."""
    delta = modes.delta
    y = 2.0 * generator.integers(0, 2, size=n) - 1
    z = generator.standard_normal((n, len(delta))) * np.sqrt(1 - y[:, None] * delta)
    proper = np.abs(delta) < 1
    inner = delta[proper]
    half = np.sum(np.arctanh(inner)) / 2 - z[:, proper] ** 2 @ (inner / (1 - inner**2)) / 2
    losses = 1 / np.cosh(np.minimum(np.abs(half), 300.0)) ** 2
    # Where a class has no spread in a mode, that mode is zero for it alone, and tells the class.
    return losses if proper.all() else np.zeros(n)
