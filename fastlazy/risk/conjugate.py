"""Conjugate gradients for the risk of the best coefficients, with an estimate of how far off the risk is.

With K the covariances of features and V their covariances with what is learned, the best coefficients solve
(K + penalty) b = V. Conjugate gradients decrease the penalised risk, whose excess over the best is |b - b*|^2 in the
norm of the operator, by known amounts; how these fall says how much is left.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import blas

from fastlazy._support.arguments import Array
from fastlazy._support.rounding import check_risk

TOO_LARGE = "W or the ridge is too large; divide it by a number"
_ROUNDING = 1e-13  # the share of the null risk below which no iteration can resolve an excess


class Problem(NamedTuple):
    """(K + penalty) b = V, to be solved to a tolerance."""

    product: Callable[[Array], Array]  # b to (K + penalty) b, an array of its own
    penalty: Callable[[Array], float]  # b to what of <b, (K + penalty) b> is penalty, and not part of the risk
    V: Array  # (m, n) covariances of the features with what is learned
    null_risk: float
    tolerance: float
    max_iterations: int
    margin: float = 1.0  # the share of the goal at which the iteration ends, as the excess is only estimated

    def goal(self, risk: float) -> float:
        """The excess over the least risk at which the iteration may end."""
        return max(self.tolerance * risk, _ROUNDING * self.null_risk)


class Best(NamedTuple):
    """What an iteration has found."""

    b: Array  # (m, n)
    risk: float
    excess: float  # by how much the risk may be above the least one
    iterations: int


def minimise(problem: Problem, precondition: Callable[[Array], Array]) -> Best:
    """The best b: conjugate gradients until its risk is close enough."""
    b, residual = np.zeros_like(problem.V), problem.V.copy()
    correction = precondition(residual)
    direction = correction.copy()
    gains: list[float] = []  # by how much each step decreased the penalised risk
    sizes = [float(np.vdot(residual, correction))]  # squared sizes <R, M^-1 R> of the residuals R
    risk, excess = problem.null_risk, math.inf
    while excess > problem.margin * problem.goal(risk) and len(gains) < problem.max_iterations:
        image = problem.product(direction)
        curvature = float(np.vdot(direction, image))
        if not curvature > 0:  # the direction is rounding
            break
        step = sizes[-1] / curvature
        add_multiple(direction, b, step)
        add_multiple(image, residual, -step)
        correction = precondition(residual)
        gains.append(step * sizes[-1])
        sizes.append(float(np.vdot(residual, correction)))
        direction *= sizes[-1] / sizes[-2]
        direction += correction
        penalty = problem.penalty(b)
        # 2 <V, b> - <b, K b> = <V, b> + <residual, b> + penalty
        risk = problem.null_risk - float(np.vdot(problem.V, b) + np.vdot(residual, b)) - penalty
        risk = check_risk("nt_risk", risk, TOO_LARGE)
        excess = _excess(gains, sizes, penalty)
    return Best(b, risk, excess, len(gains))


def warn_of_convergence(problem: Problem, best: Best, stacklevel: int) -> bool:
    """Warn that `nt_risk` did not converge, and return True, if the excess is above the goal."""
    if best.excess <= problem.goal(best.risk):
        return False
    share = best.risk / problem.null_risk
    warnings.warn(
        f"nt_risk did not converge in {best.iterations} iterations: the risk is {share:.6g} of the null risk, and may "
        f"be off by {min(best.excess / problem.null_risk, 1.0):.1e} of it; pass a larger max_iterations or tolerance, "
        "or a ridge",
        RuntimeWarning,
        stacklevel=stacklevel + 1,
    )
    return True


def add_multiple(x: Array, y: Array, factor: float) -> None:
    """Add *factor* x to y, in place and without a copy."""
    blas.daxpy(x.reshape(-1), y.reshape(-1), a=factor)


def _excess(gains: list[float], sizes: list[float], penalty: float) -> float:
    """The estimated excess of the risk over the least one, from the *gains* of all steps and the *sizes* of residuals.

    The penalised risk exceeds its minimum by the sum of all later gains. For each past residual the gains made
    since then are a lower bound of its excess; the bound over its size is a ratio. The excess of the last residual is
    taken to be its size times three times the largest ratio, as the gains to come are not in the bounds.

    The risk itself is the penalised risk less the *penalty*, a square of b. If the penalised risk is off by e, the
    penalty is off by 2 sqrt(penalty e) at most, to first order.
    """
    since = np.cumsum(gains[::-1])[::-1]
    rest = 3 * float(np.max(since / sizes[:-1])) * sizes[-1]
    return rest + 2 * math.sqrt(penalty * rest)
