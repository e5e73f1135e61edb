"""The risk of ridge regression on n samples, from the population alone: its deterministic equivalent.

Fitted is f(x) = <theta, phi(x)> + c by the least (1/n) sum_s (y_s - f(x_s))^2 + ridge |theta|^2. With K and V the
covariances of the features with themselves and with y, the fit to many samples acts as the best function of the
population under a larger penalty, the effective ridge nu:

    nu (1 - df1(nu) / n) = ridge,    risk(n) = lost(nu) / (1 - df2(nu) / n),

where lost(nu) is the exact risk at the coefficients (K + nu)^-1 V, and df_k(nu) = tr (K (K + nu)^-1)^k counts the
features that are fitted. The formula is exact as n and the number of features grow in proportion if the features are
like Gaussian ones, and holds up to a share that falls with d for ours.

What is asked of the features, the `Response` at any nu, may come from the eigenvalues of K for given weights
(`fastlazy.risk.spectrum`), or from a prediction of its mean over weights (`fastlazy.risk.limits`).

References: arXiv:2405.15699 (random features, and their mean over weights). For given weights, and NT, ours to apply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize_scalar

from fastlazy._support.arguments import Array, check_array, shown
from fastlazy.activations.units import ridge_in_unit

Penalty: TypeAlias = "float | ArrayLike | Literal['best']"

_PER_DECADE = 3  # places in a decade of nu among which the best one is bracketed
_HIGHEST = 1e300  # the ridge that stands for a larger one
_SMALL = 1e-6  # the share of the null risk below which a risk counts as this, where its error is weighed
_LOWEST = math.log(1e-300)
_FLAT = 1e-12  # the share of a risk below which a gain is rounding
_REACH = 1e12  # above this, in units of the largest eigenvalue, and below its inverse, nothing of interest happens


class BestRidge(NamedTuple):
    """The least risk over all ridges, and where it is.

    Attributes
    ----------
    risk : float or ndarray
        The predicted risk at that ridge.
    ridge : float or ndarray
        The ridge, per sample mean; 0 if none is best, infinite if no function does better than the mean of y. As a
        minimum is flat, it is good to about 1e-6 of itself.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> best = fastlazy.rf_learning_curve(target, W, [100, 1000], ridge="best")
    >>> best.risk.shape, best.ridge.shape
    ((2,), (2,))
    >>> bool(best.ridge[1] < best.ridge[0])  # more samples need less of a penalty
    True
    """

    risk: Any
    ridge: Any


class Response(NamedTuple):
    """What the features do at one effective ridge."""

    lost: float  # the risk of the population
    df1: float
    df2: float
    errors: tuple[float, float, float] = (0.0, 0.0, 0.0)  # how far the three may be off


class Equivalent(NamedTuple):
    """Features as the formula knows them."""

    respond: Callable[[float], Response]  # for every nu >= 0
    df1: Callable[[float], float]  # its df1 alone, which the equation for nu asks for many times
    span: float  # df1(0), the dimension of the span of the features
    scale: float  # about the largest eigenvalue of K
    null_risk: float


def check_sizes(n_samples: ArrayLike) -> Array:
    """*n_samples* as an array of no or one dimension, of numbers of at least one, which may be infinite.

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """
    try:
        infinite = np.isposinf(np.asarray(n_samples, np.float64)) & (np.asarray(n_samples).dtype.kind in "fO")
    except (TypeError, ValueError, OverflowError):  # which check_array says better
        infinite = np.zeros(1, bool)
    given = np.where(infinite, 1.0, n_samples) if infinite.any() else n_samples
    n = check_array("n_samples", given, (0, 1))
    n = np.where(infinite, np.inf, n) if infinite.any() else n
    if (n < 1).any():
        raise ValueError(f"n_samples must be at least 1, got {n.min():g}; pass a number of samples, or several")
    return n


def check_penalty(ridge: Penalty) -> Array | None:
    """*ridge* as an array of penalties, of no or one dimension, or None for the best one.

    Raises
    ------
    TypeError, ValueError
        If it is neither.
    """
    if isinstance(ridge, str):
        if ridge != "best":
            raise ValueError(f"ridge = {shown(ridge)} is not known; pass numbers of at least 0, or 'best'")
        return None
    penalties = check_array("ridge", ridge, (0, 1))
    if (penalties < 0).any():
        raise ValueError(f"ridge must be at least 0, got {penalties.min():g}; pass penalties of 0 or more")
    return penalties


def nothing_to_learn(n: Array, ridge: Array | None) -> Any:
    """The answer for a target that is constant, which the offset fits."""
    if ridge is None:
        zeros = _shaped(np.zeros(n.size).tolist(), n.shape)
        return BestRidge(zeros, zeros)
    return _shaped(np.zeros(n.size * ridge.size).tolist(), n.shape + ridge.shape)


def penalties_in_unit(ridge: Array | None, exponent: int) -> Array | None:
    """Penalties beside features in units of 2^exponent."""
    if ridge is None:
        return None
    found = [min(ridge_in_unit(float(penalty), exponent), _HIGHEST) for penalty in ridge.ravel()]
    return np.reshape(found, ridge.shape)


def finite_risks(features: Equivalent, n: Array, ridge: Array | None) -> tuple[Any, Array]:
    """Risks for n samples, and by how much they may be off, over risk / (1 - df2 / n).

    Both are arrays of the shape of n followed by that of *ridge*; without one the risks are `BestRidge`.
    """
    if ridge is None:
        best = [_best(features, size) for size in n.ravel().tolist()]
        risk, penalty, error = (_shaped(part, n.shape) for part in zip(*best, strict=True))
        return BestRidge(risk, penalty), np.asarray(error)
    found = [
        _risk(features, size, effective_ridge(features, size, penalty))
        for size in n.ravel().tolist()
        for penalty in ridge.ravel().tolist()
    ]
    risks, errors = (_shaped(part, n.shape + ridge.shape) for part in zip(*found, strict=True))
    return risks, np.asarray(errors)


def _shaped(values: Sequence[float], shape: tuple[int, ...]) -> Any:
    """An array of that shape, a float for none."""
    return np.reshape(values, shape) if shape else float(values[0])


def effective_ridge(features: Equivalent, n: float, ridge: float) -> float:
    """The nu that solves nu (1 - df1(nu) / n) = ridge."""
    if math.isinf(n) or (ridge == 0 and n >= features.span):
        return ridge

    def excess(log: float) -> float:  # an increasing function, 1 at infinity
        nu = math.exp(log)
        return 1 - features.df1(nu) / n - ridge / nu

    low = high = math.log(ridge if ridge > 0 else features.scale)
    while ridge == 0 and low > _LOWEST and excess(low) > 0:
        low -= 4
    while excess(high) < 0:
        high += 4
    return math.exp(brentq(excess, low, high, xtol=1e-15, rtol=1e-15)) if high > low else math.exp(low)


def _risk(features: Equivalent, n: float, nu: float) -> tuple[float, float]:
    """The risk, and by how much it may be off, over risk / (1 - df2 / n): its sensitivity to n is in that factor."""
    lost, _, df2, errors = features.respond(nu)
    left = 1 - df2 / n
    if left <= 0 or (nu == 0 and n == features.span):  # as many samples as features, and no ridge
        return (math.inf if lost > 0 else 0.0), 0.0
    risk = lost / left
    if not any(errors) or risk == 0:
        return risk, 0.0
    # An error of df1 moves nu, which solves an equation with it, to first order by that share of itself.
    of_lost, of_df1, of_df2 = errors
    other, _, other_df2, _ = features.respond(nu * math.exp(min(of_df1 / (n - df2), 1.0)))
    moved = abs(other / (1 - other_df2 / n) - risk) if other_df2 < n else risk
    size = max(risk, _SMALL * features.null_risk)
    return risk, (moved * left + of_lost) / size + of_df2 / n


def _best(features: Equivalent, n: float) -> tuple[float, float, float]:
    """The least risk for n samples, the ridge that gives it, and the share by which the risk may be off."""

    def of_log(log: float) -> float:
        lost, _, df2, _ = features.respond(math.exp(log))
        return lost / (1 - df2 / n) if df2 < n else math.inf

    smallest = effective_ridge(features, n, 0.0)
    decades = math.log10(_REACH)
    grid = features.scale * np.logspace(-decades, decades, 1 + int(2 * decades * _PER_DECADE))  # the same for all n
    logs = np.log(grid[grid > smallest])
    k = int(np.argmin([of_log(log) for log in logs]))
    below = logs[k - 1] if k > 0 else math.log(smallest) if smallest > 0 else logs[0]
    around = below, logs[min(k + 1, len(logs) - 1)]
    nu = math.exp(minimize_scalar(of_log, bounds=around, method="bounded", options={"xatol": 1e-7}).x)
    risk, error = _risk(features, n, nu)
    without, its_error = _risk(features, n, smallest)
    if without <= risk * (1 + _FLAT):
        return without, 0.0, its_error
    if risk >= features.null_risk * (1 - _FLAT):
        return features.null_risk, math.inf, 0.0
    return risk, max(nu * (1 - features.df1(nu) / n), 0.0), error
