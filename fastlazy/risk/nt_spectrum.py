"""The tangent model of any sigma as the formula for finite samples knows it: by eigenvalues, or by quadrature."""

from __future__ import annotations

from functools import cache

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy._support.singular import warn_of_short_rows
from fastlazy.activations.activation import Activation
from fastlazy.kernels.nt_gram import dense, tangent_gram, tangent_slopes
from fastlazy.risk.equivalent import Equivalent
from fastlazy.risk.nt_quadrature import Task, quadrature_equivalent
from fastlazy.risk.nt_solver import drowned, solve_nt_risk, target_covariances
from fastlazy.risk.spectrum import spectrum_of
from fastlazy.targets.quadratic import QuadraticFunction

_EXACT, _MOST = 1e-8, 1000  # the tolerance and the iterations of `nt_risk`


def dense_equivalent(target: QuadraticFunction, W: Array, sigma: Activation, parallel: bool) -> Equivalent:
    """By the eigenvalues of K (N d, N d)."""
    slopes = tangent_slopes(W, sigma)
    gram = tangent_gram(slopes, np.dtype(np.float64), True, parallel)
    V = target_covariances(slopes.g, target, slopes.unit).ravel()
    found = spectrum_of(dense(gram), V, target.null_risk, constant=not slopes.squares.any())
    return found.equivalent(lambda: solve_nt_risk(target, W, sigma, 0.0, _EXACT, _MOST, parallel))


def large_equivalent(
    target: QuadraticFunction,
    W: Array,
    sigma: Activation,
    n: Array,
    ridge: Array | None,
    tolerance: float,
    max_iterations: int,
    parallel: bool,
) -> Equivalent:
    """By products with K, to a tolerance for n samples and these ridges."""
    slopes = tangent_slopes(W, sigma)
    warn_of_short_rows("nt_learning_curve", drowned(slopes.varying), 3)
    gram = tangent_gram(slopes, np.dtype(np.float64), True, parallel)

    @cache
    def lost_at_zero() -> float:
        return solve_nt_risk(target, W, sigma, 0.0, min(tolerance, _EXACT), max(max_iterations, _MOST), parallel)

    task = Task(n, ridge, tolerance, max_iterations, lost_at_zero)
    return quadrature_equivalent(gram, target_covariances(slopes.g, target, slopes.unit), target.null_risk, task)
