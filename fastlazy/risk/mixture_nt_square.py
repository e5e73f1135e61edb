"""The exact risk of the neural tangent model with sigma = x^2 for a mixture of two Gaussians, without a ridge.

In the modes of the mixture, where Sigma = I and Delta = diag(delta), the functions are <z, S z> + c with P S P = 0, P
the projector off the rows, and at the best offset the risk is

    (1 + <S, Delta>)^2 + 2 |S|^2 + 2 tr(S Delta S Delta).

It is the least-squares problem of the features S with the covariances S -> 2 S + 2 Delta S Delta + <S, Delta> Delta and
V = -Delta, solved by conjugate gradients: the first term is a number, so that a few steps are enough.
"""

from __future__ import annotations

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy.risk.conjugate import Problem, minimise, warn_of_convergence
from fastlazy.risk.projections import nt_lost
from fastlazy.targets.mixture import Modes


def square_risk(modes: Modes, rows: Array, max_iterations: int) -> float:
    """The risk for the *rows* W A (N, k) in the modes; called by the solver of `nt_risk`."""
    basis, lost = nt_lost(rows, 0.0)
    delta = (basis * modes.delta) @ basis.T
    delta = (delta + delta.T) / 2
    V = (lost - 1) * delta  # entries of S that are lost stay zero
    if not V.any():
        return 1.0

    def product(S: Array) -> Array:
        image = 2 * S + (1 - lost) * (2 * (delta @ S @ delta)) + float(np.vdot(V, S)) * V
        return (image + image.T) / 2

    problem = Problem(product, lambda S: 0.0, V, 1.0, 0.0, max_iterations)
    best = minimise(problem, lambda R: R / 2)
    warn_of_convergence(problem, best, 4)
    return best.risk
