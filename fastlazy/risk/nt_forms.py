"""The least risk of the tangent model with sigma = x^2, for inputs that are Gaussian in one class or in two.

The functions are <x, S x> + c with S = W^T b + b^T W, and at the best offset the risk is

    null_risk - 2 <S, V> + 2 tr(S Sigma S Sigma) + 2 tr(S Delta S Delta) + <S, V>^2,

Sigma the mean of the classes' covariances and Delta half their difference. Of two classes, y = 1 and -1, V is -Delta
and the null risk 1. Of one class there is no Delta and no <S, V>^2; the target <x, B x> has V = 2 Sigma B Sigma.

In the right singular basis of W the reachable S are free where the *lost* share of `nt_lost` is below one. A ridge
adds 2 lost / (1 - lost) S_jk^2 there. With S = sqrt(1 - lost) Y, both are one least-squares problem in Y, solved by
conjugate gradients. Where Sigma = I a few steps are enough.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy.risk.conjugate import Problem, minimise, warn_of_convergence
from fastlazy.risk.projections import nt_lost


class FormProblem(NamedTuple):
    """What there is to learn, by matrices (d, d)."""

    Sigma: Array
    Delta: Array | None  # None if there is one class
    V: Array
    null_risk: float


def least_risk(problem: FormProblem, W: Array, ridge: float, max_iterations: int) -> float:
    """The risk of the best function for W (N, d), for solvers of `nt_risk`.

    It is computed for x over a power of two, so that Sigma is of size one.
    """
    exponent = 2 * int(np.ceil(np.log2(np.abs(problem.Sigma).max()) / 2))
    basis, lost = nt_lost(np.ldexp(W, exponent // 2), float(np.ldexp(ridge, -exponent)))

    def turned(matrix: Array) -> Array:
        inner = basis @ np.ldexp(matrix, -exponent) @ basis.T
        return (inner + inner.T) / 2

    sigma, root = turned(problem.Sigma), np.sqrt(1 - lost)
    delta = None if problem.Delta is None else turned(problem.Delta)
    V = root * turned(problem.V)
    if not V.any():
        return problem.null_risk

    def product(Y: Array) -> Array:
        S = root * Y
        image = sigma @ S @ sigma
        if delta is not None:
            image += delta @ S @ delta
        image = 2 * root * image + 2 * lost * Y
        if delta is not None:
            image += float(np.vdot(V, Y)) * V
        return (image + image.T) / 2

    def penalty(Y: Array) -> float:
        return 2 * float(np.sum(lost * Y**2))

    own = sigma.diagonal()
    scale = 2 * (1 - lost) * (np.outer(own, own) + sigma**2) + 2 * lost
    scale[scale == 0] = 1
    iteration = Problem(product, penalty, V, problem.null_risk, 0.0, max_iterations)
    best = minimise(iteration, lambda R: R / scale)
    warn_of_convergence(iteration, best, 4)
    return best.risk
