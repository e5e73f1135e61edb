"""Risks of a mixture of two Gaussians: where a public function finds their solver, and what all solvers share.

In the modes of the mixture x = A z, and z given y has independent entries of variance 1 - y delta_j: the features of W
are those of the rows W A, and given y those of these rows times the standard deviations, for standard normal inputs.
With H the mean of both classes' covariances of the features phi, and V half the difference of the classes' means,

    E (<a, phi> + c - y)^2 = (1 - <a, V>)^2 + <a, H a> + (mean of <a, phi> + c)^2.

So the best coefficients are a = (H + V V^T)^{-1} V = H^{-1} V / (1 + q), q = <V, H^{-1} V>, with the risk 1 / (1 + q).
It is H + V V^T that is solved for: V lies in its range even if a class has no spread in some directions.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_array, check_columns
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction

_SOLVERS = {
    "rf_risk": "mixture_rf",
    "nt_risk": "mixture_nt",
    "nn_risk": "mixture_limits",
    "network_risk": "mixture_network",
    "tangent_risk": "mixture_network",
    "rf_risk_limit": "mixture_limits",
    "nt_risk_limit": "mixture_limits",
    "nn_risk_limit": "mixture_limits",
}


def mixture_solver(name: str) -> Callable[..., Any]:
    """The function of that *name* for a mixture and checked arguments; its module is loaded when it is first used."""
    return getattr(importlib.import_module(f"fastlazy.risk.{_SOLVERS[name]}"), name)


def check_learned(target: QuadraticFunction | GaussianMixture) -> None:
    """Raise TypeError if *target* is neither a quadratic function nor a mixture."""
    if not isinstance(target, (QuadraticFunction, GaussianMixture)):
        raise TypeError(
            f"target must be a QuadraticTarget or a GaussianMixture, got {type(target).__name__}; pass "
            "QuadraticTarget(B, b0) or GaussianMixture(Sigma, Delta)"
        )


def check_learned_weights(target: QuadraticFunction | GaussianMixture, W: ArrayLike) -> Array:
    """W as a finite (N, d) array for the d of a quadratic function or a mixture, or TypeError or ValueError."""
    check_learned(target)
    return check_columns("W", check_array("W", W, 2), target.d)
