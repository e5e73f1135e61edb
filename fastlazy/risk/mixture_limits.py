"""Risks of a mixture of two Gaussians that need no weights: predictions, and the infimum of the trained network.

If the modes delta_j are small, the classes' moments are those of z ~ N(0, I) and differ by a first-order term: with the
quadratic target <z, diag(delta) z>, whose covariances with the features are -2 V, <V, H^{-1} V> is a quarter of what
the features gain of the target's null risk. So each prediction follows from that of this target (ours; for RF, for NT
with x^2 and for NN it is Theorems 4 to 6 of arXiv:1906.08899):

    risk = 1 / (1 + (null_risk - prediction) / 4).

The terms left out are of relative order delta^2, which is 1 / d in the paper's regime.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.risk import limits, nn
from fastlazy.risk.inputs import cov_through
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction


def nn_risk(mixture: GaussianMixture, N: int) -> float:
    """The infimum over quadratic networks of width N (the exact form is ours).

    T = diag(t) in the modes has the gain sum_j t_j delta_j and the variance 2 sum_j t_j^2 (1 + delta_j^2). By Cauchy's
    interlacing no other T of rank N does better than the N modes that are largest in modulus.
    """
    squares = np.sort(mixture.modes.delta**2)[::-1][:N]
    return 1 / (1 + float(np.sum(squares / (1 + squares))) / 2)


def nn_risk_limit(mixture: GaussianMixture, N: int) -> float:
    """The prediction for NN, Theorem 6: the modes' squares are small beside one."""
    target = _quadratic(mixture)
    return _from_gain(target.null_risk - nn.nn_risk_limit(target, N))


def _check_population(n: Array, ridge: Array | None) -> None:
    """Raise ValueError unless n is infinite and the ridge zero."""
    if not np.isinf(n).all() or ridge is None or ridge.any():
        raise ValueError(
            "for a GaussianMixture no prediction is known with a finite n_samples or a ridge; leave both out, or take "
            "the mean of rf_risk or nt_risk with that ridge over some draws"
        )


def _from_lazy(
    prediction: Callable[..., float],
    mixture: GaussianMixture,
    N: int,
    activation: Activation,
    cov: ArrayLike | None,
    refined: bool,
    n: Array,
    ridge: Array | None,
) -> float:
    """The risk that follows from the *prediction* of RF or NT: Theorem 4, and Theorem 5 for x^2."""
    _check_population(n, ridge)
    inner = cov_through(mixture.modes.A, cov)
    if not inner.any():  # the rows see only directions in which x is zero
        return 1.0
    target = _quadratic(mixture)
    return _from_gain(target.null_risk - prediction(target, N, activation, cov=inner, refined=refined))


rf_risk_limit = partial(_from_lazy, limits.rf_risk_limit)
nt_risk_limit = partial(_from_lazy, limits.nt_risk_limit)


def _quadratic(mixture: GaussianMixture) -> QuadraticFunction:
    """The quadratic target <z, diag(delta) z>."""
    return QuadraticFunction(mixture.modes.delta)


def _from_gain(gain: float) -> float:
    """The risk that follows from what is gained of the null risk of the quadratic target."""
    return 1 / (1 + max(gain, 0.0) / 4)
