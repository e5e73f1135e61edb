"""The least risk of trained networks: exact, and as a function of N the prediction."""

from __future__ import annotations

import numpy as np

from fastlazy._support.arguments import check_count
from fastlazy.risk.inputs import whitened
from fastlazy.risk.mixture import check_learned, mixture_solver
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction


def nn_risk(target: QuadraticFunction | GaussianMixture, N: int) -> float:
    """The infimum of the risk over quadratic networks of width N, all weights trained, signs a_i free.

    Parameters
    ----------
    target : QuadraticTarget or GaussianMixture
    N : int
        Neurons.

    Returns
    -------
    float
        2 sum_{i > N} lambda_i(B)^2, the eigenvalues ordered by modulus; not divided by the null risk. For a
        `GaussianMixture` 1 / (1 + (1/2) sum_{i <= N} delta_i^2 / (1 + delta_i^2)), delta the generalised eigenvalues of
        (Delta, Sigma), ordered likewise.

    Raises
    ------
    TypeError, ValueError
        If N is not a positive whole number.

    Notes
    -----
    S = W^T diag(a) W is any symmetric matrix of rank at most N: the theorem of Eckart and Young. For
    B >= 0 the signs a_i = 1 suffice.

    References
    ----------
    arXiv:1906.08899, Theorem 3; that of the mixture is ours.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.QuadraticTarget([3.0, 2.0, 1.0])
    >>> [fastlazy.nn_risk(target, N) for N in (1, 2, 3)]  # twice the squares of the eigenvalues that are left
    [10.0, 2.0, 0.0]
    """
    check_learned(target)
    if isinstance(target, GaussianMixture):
        return mixture_solver("nn_risk")(target, check_count("N", N))
    return nn_risk_limit(target, N)


def nn_risk_limit(target: QuadraticFunction | GaussianMixture, N: int) -> float:
    """Predicted risk of the trained network with sigma = x^2: what no network of width N goes below.

    Parameters
    ----------
    target : QuadraticTarget or GaussianMixture
    N : int
        Neurons.

    Returns
    -------
    float
        2 sum_{i > N} lambda_i(B)^2, the eigenvalues ordered by modulus (signs a_i free; for B >= 0 also
        with all a_i = 1); not divided by the null risk. It holds at every d, not only in the limit. For a
        `GaussianMixture` 1 / (1 + (1/2) sum_{i <= N} delta_i^2), delta the generalised eigenvalues of (Delta, Sigma):
        only asymptotic, for delta_i that are small, and below `nn_risk`.

    Raises
    ------
    TypeError, ValueError
        If N is not a positive whole number.

    References
    ----------
    arXiv:1906.08899, Theorem 3, and Theorem 6 for the mixture.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(450, rng=0)
    >>> round(fastlazy.nn_risk_limit(target, 150) / target.null_risk, 3)
    0.109
    """
    check_learned(target)
    if isinstance(target, GaussianMixture):
        return mixture_solver("nn_risk_limit")(target, check_count("N", N))
    squares = np.sort(whitened(target).eigenvalues ** 2)
    # Theorem 3
    return 2 * float(np.sum(squares[: max(len(squares) - check_count("N", N), 0)]))
