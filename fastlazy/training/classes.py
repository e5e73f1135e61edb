"""Two Gaussian classes as what a network is trained on: in the modes of the mixture.

With x = A z, rows W of the network see x as the rows R = W A see z, whose entries are independent in either class
(`fastlazy.targets.mixture`). A run takes place on R, and so do its steps (ours). A step -eta grad_R of R is a step
-eta grad_W Sigma^{-1} of W, so that neither the run nor its step sizes depend on the coordinates of x. For Sigma = I
these are the plain steps of W. What W_0 has outside of the range of Sigma meets no x, and stays.

Where a run starts and how large its steps are is told by a quadratic function, as it is for a quadratic target: by
S = -(nn_risk / 2) diag(delta_j / (1 + delta_j^2)) in the modes, whose N largest entries are the best network of N
neurons. The others are kept, as all eigenvalues of a quadratic target are.
"""

from __future__ import annotations

import warnings
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_array, check_columns
from fastlazy._support.blas import same_bits
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import unit_coefficients
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.risk.inputs import rows_through
from fastlazy.risk.nn import nn_risk
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction, check_target

Learned: TypeAlias = QuadraticFunction | GaussianMixture

_NO_DIFFERENCE = 1e-12  # the largest |delta_j| below which the classes count as one: there is nothing to learn


def check_trained_on(target: Any) -> None:
    """Raise an error if *target* is neither a quadratic function of x ~ N(0, I) nor a mixture."""
    if isinstance(target, GaussianMixture):
        return
    if not isinstance(target, QuadraticFunction):
        raise TypeError(
            f"target must be a QuadraticTarget or a GaussianMixture, got {type(target).__name__}; pass "
            "QuadraticTarget(B, b0) or GaussianMixture(Sigma, Delta)"
        )
    check_target(target)


def learned_function(target: Learned, N: int) -> QuadraticFunction:
    """The quadratic function of which starts and steps are made: the target itself, or that of a mixture in its modes.

    That of a mixture has the mean 0, as its y has.
    """
    if not isinstance(target, GaussianMixture):
        return target
    delta = target.modes.delta
    S = -nn_risk(target, N) / 2 * delta / (1 + delta**2)
    if float(np.abs(delta).max()) < _NO_DIFFERENCE:
        S = np.zeros(len(delta))
    return QuadraticFunction(S, -float(np.sum(S)))


def left_out(target: Learned) -> float:
    """The constant that a run leaves out of the target and of c: b0, and 0 for a mixture."""
    return 0.0 if isinstance(target, GaussianMixture) else target.b0


def in_modes(mixture: GaussianMixture) -> GaussianMixture:
    """The classes of z: Sigma = I and Delta = diag(delta)."""
    delta = mixture.modes.delta
    return GaussianMixture(np.ones(len(delta)), delta)


def feature_means(target: Learned, activation: Activation, rows: Array) -> Array:
    """E sigma(<w_i, x>) (N,) for *rows* (N, d), those of the modes for a mixture: there the mean of both classes'."""
    spreads = target.modes.spreads if isinstance(target, GaussianMixture) else (1.0,)
    means = [unit_coefficients(activation, unit_rows(rows * spread)[1], 0)[:, 0] for spread in spreads]
    return np.asarray(sum(means) / len(means))


def rows_in_modes(target: Learned, W0: ArrayLike | None) -> ArrayLike | None:
    """W0 A (N, k) of given rows *W0* (N, d) for a mixture; for a quadratic function they are what they are."""
    if W0 is None or not isinstance(target, GaussianMixture):
        return W0
    return rows_through(target.modes.A, check_columns("W0", check_array("W0", W0, 2), target.d))


def way_back(mixture: GaussianMixture) -> Array | None:
    """The matrix A^+ (k, d) that takes rows of the modes to those of x, or None for the identity."""
    A = mixture.modes.A
    if A.shape[0] == A.shape[1] and np.array_equal(A, np.eye(len(A))):
        return None
    with same_bits(*A.shape):
        return _inverse(A)


def outside(mixture: GaussianMixture, W0: ArrayLike | None) -> Array | None:
    """What given rows *W0* (N, d) have outside of the range of Sigma; None: nothing."""
    A = mixture.modes.A
    if W0 is None or A.shape[0] == A.shape[1]:
        return None
    W = check_array("W0", W0, 2)
    with same_bits(*W.shape):
        return np.asarray(W - W @ A @ _inverse(A))


def _inverse(A: Array) -> Array:
    """A^+ (k, d): no singular value is left out, as A (d, k) has the rank k however much its columns differ in size."""
    return np.asarray(np.linalg.pinv(A, rcond=0.0))


def check_silent_start(W: Array, a: Array) -> None:
    """Raise ValueError if f_0 = sum_i a_i <w_i, x>^2, rows *W* (N, d), is not zero pair by pair.

    Lazy scaling of x^2 is a plain run on another quadratic target, B + alpha S_0 (`fastlazy.training.start`). With y of
    a mixture there is no such target, unless f_0 = 0.
    """
    half = len(W) // 2
    if len(W) % 2 or not (np.array_equal(W[:half], W[half:]) and np.array_equal(a[:half], -a[half:])):
        raise ValueError(
            "scale with activation='square' needs a start with f_0 = 0 on a GaussianMixture; pass init='symmetric' and "
            "an even N, or another activation"
        )


def common_sign(target: Learned, N: int) -> float:
    """The sign that the second layer of N neurons of x^2 starts with if they share it: the better one for a mixture."""
    if not isinstance(target, GaussianMixture):
        return 1.0
    return 1.0 if _risk_of_sign(target, N, 1.0) <= _risk_of_sign(target, N, -1.0) else -1.0


def warn_of_one_sign(mixture: GaussianMixture, N: int, second_layer: str, sign: float) -> None:
    """Warn the caller of `fastlazy.fit_nn` if *N* neurons of x^2 of one *sign* cannot learn what those of both can."""
    risk = _risk_of_sign(mixture, N, sign)
    if risk - nn_risk(mixture, N) > 1e-12:
        what = "positive" if sign > 0 else "negative"
        warnings.warn(
            f"second_layer={second_layer!r} has {what} entries alone, which cannot learn directions in which Delta is "
            f"{what}: the risk stays above {risk:.3g}; pass second_layer='signs'",
            UserWarning,
            stacklevel=3,
        )


def _risk_of_sign(mixture: GaussianMixture, N: int, sign: float) -> float:
    """The least risk of N neurons of x^2 whose second layer is of one sign: directions with sign delta_j < 0 alone."""
    delta = np.sort(np.maximum(-sign * mixture.modes.delta, 0.0))[::-1][:N]
    return 1 / (1 + float(np.sum(delta**2 / (1 + delta**2))) / 2)
