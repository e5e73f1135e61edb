"""The exact risk of the neural tangent model with sigma = x^2 for a mixture of two Gaussians.

The functions are <x, S x> + c with S = W^T b + b^T W, and at the best offset

    risk = (1 + <S, Delta>)^2 + 2 tr(S Sigma S Sigma) + 2 tr(S Delta S Delta).

In the right singular basis of W the reachable S are free where the *lost* share of `nt_lost` is below one. A ridge
adds 2 lost / (1 - lost) S_jk^2 there. With S = sqrt(1 - lost) Y, both are one least-squares problem in Y, solved by
conjugate gradients. Without a ridge it is set up in the modes, where Sigma = I: then a few steps are enough.
"""

from __future__ import annotations

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy.risk.conjugate import Problem, minimise, warn_of_convergence
from fastlazy.risk.projections import nt_lost
from fastlazy.targets.mixture import GaussianMixture


def square_risk(mixture: GaussianMixture, W: Array, rows: Array, ridge: float, max_iterations: int) -> float:
    """The risk for W (N, d), or *rows* W A (N, k) in the modes of the mixture."""
    if ridge == 0:
        delta = mixture.modes.delta
        basis, lost = nt_lost(rows, 0.0)
        sigma, difference = np.eye(len(delta)), (basis * delta) @ basis.T
    else:  # for x over a power of two, so that Sigma is of size one
        size = 4.0 ** np.ceil(np.log2(np.abs(mixture.Sigma).max()) / 2)
        basis, lost = nt_lost(W * np.sqrt(size), ridge / size)
        sigma, difference = (basis @ (matrix / size) @ basis.T for matrix in (mixture.Sigma, mixture.Delta))
    root = np.sqrt(1 - lost)
    V = -root * difference
    V = (V + V.T) / 2
    if not V.any():
        return 1.0

    def product(Y: Array) -> Array:
        S = root * Y
        image = 2 * root * (sigma @ S @ sigma + difference @ S @ difference) + 2 * lost * Y
        image += float(np.vdot(V, Y)) * V
        return (image + image.T) / 2

    own = sigma.diagonal()
    scale = 2 * (1 - lost) * (np.outer(own, own) + sigma**2) + 2 * lost
    scale[scale == 0] = 1

    def penalty(Y: Array) -> float:
        return 2 * float(np.sum(lost * Y**2))

    problem = Problem(product, penalty, V, 1.0, 0.0, max_iterations)
    best = minimise(problem, lambda R: R / scale)
    warn_of_convergence(problem, best, 4)
    return best.risk
