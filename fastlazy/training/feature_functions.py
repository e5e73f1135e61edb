"""Networks of any sigma and their linearisations as functions, and exact distances between them.

Both have the form f(x) = sum_i a_i sigma(<w_i, x>) + sum_j <b_j, x> sigma'(<v_j, x>) + c, and so has the difference of
two. Its second moment for x ~ N(0, I) is a quadratic form in (a, b, c) (`fastlazy.kernels.joint_gram`). For sigma = x^2
all are functions <x, S x> + c, of fewer numbers and more digits: see `fastlazy.training.linearization`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_array, check_columns
from fastlazy._support.blas import same_bits
from fastlazy._support.rounding import check_finite
from fastlazy._support.singular import PROMISE
from fastlazy._support.summaries import Facts, html_table, one_line
from fastlazy.activations.activation import Activation
from fastlazy.activations.units import in_own_unit, times_power
from fastlazy.kernels.features import nt_values, rf_values
from fastlazy.kernels.joint_gram import JointGram, joint_gram, tangents_at
from fastlazy.risk.rf_solver import feature_moments
from fastlazy.targets.quadratic import QuadraticFunction

_TOO_LARGE = "W, a or the offset of f or g is too large; divide them by a number"
_Indices = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True, eq=False)
class FeatureFunction:
    """f(x) = sum_i a_i sigma(<w_i, x>) + sum_j <b_j, x> sigma'(<v_j, x>) + c: a network, or its linearisation.

    Attributes
    ----------
    activation : Activation
        The non-linearity sigma, which is not x^2.
    W : ndarray, shape (n, d)
        Weights of the features; n may be 0.
    a : ndarray, shape (n,)
        Their second layer.
    V : ndarray, shape (m, d)
        Weights of the tangent features; m may be 0.
    b : ndarray, shape (m, d)
        Their coefficients.
    c : float
        Offset.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> f = fastlazy.network_function(W, 1.0, 0.0, "relu")
    >>> type(f).__name__, f.a.shape, f.b.shape  # ten neurons, and no tangent features
    ('FeatureFunction', (10,), (0, 20))
    >>> f([[0.0] * 20])
    array([0.])
    """

    activation: Activation
    W: Array
    a: Array
    V: Array
    b: Array
    c: float

    def __repr__(self) -> str:
        return one_line(self, self._facts)

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, self._facts)

    @property
    def _facts(self) -> Facts:
        counts = {"features": len(self.W), "tangent_features": len(self.V)}
        return {**counts, "d": self.d, "activation": self.activation.name, "c": self.c}

    @property
    def d(self) -> int:
        """The dimension of x."""
        return int(self.W.shape[1])

    def __call__(self, X: ArrayLike) -> Array:
        """The values of f.

        Parameters
        ----------
        X : array_like, shape (n, d)
            Samples.

        Returns
        -------
        ndarray, shape (n,)

        Raises
        ------
        TypeError, ValueError
            If X is not a finite (n, d) array, or a value overflows.
        """
        samples = check_columns("X", check_array("X", X, 2), self.d)
        f = np.full(len(samples), self.c)
        if self.a.any():
            f += rf_values(samples, self.W, self.a[None], self.activation)[:, 0]
        if self.b.any():
            f += nt_values(samples, self.V, self.b[None], self.activation)[:, 0]
        return f


def network(activation: Activation, W: Array, a: Array, c: float) -> FeatureFunction:
    """The network sum_i a_i sigma(<w_i, x>) + c, arrays copied."""
    none = np.zeros((0, W.shape[1]))
    return FeatureFunction(activation, _kept(W), _kept(a), none, none, c)


def linear_part(activation: Activation, W0: Array, a: Array, b: Array, c: float) -> FeatureFunction:
    """sum_i a_i sigma(<w0_i, x>) + sum_i <b_i, x> sigma'(<w0_i, x>) + c, arrays copied."""
    rows = _kept(W0)
    return FeatureFunction(activation, rows, _kept(a), rows, _kept(b), c)


def feature_distance(f: FeatureFunction | QuadraticFunction, g: FeatureFunction | QuadraticFunction) -> float:
    """E (f(x) - g(x))^2 of functions of one dimension, of which one has features at least.

    Raises
    ------
    ValueError
        If they are of different sigma, its moments do not converge, or the distance overflows.

    Warns
    -----
    RuntimeWarning
        If rounding may cost all digits of the distance, or more than 1e-9 of the larger of E f^2 and E g^2. It points
        at the line that called `fastlazy.population_distance`.
    """
    if isinstance(f, QuadraticFunction):
        f, g = g, f
    assert isinstance(f, FeatureFunction)
    with same_bits(*f.W.shape), np.errstate(over="ignore", invalid="ignore"):  # check_finite looks for it
        if isinstance(g, QuadraticFunction):
            distance, rounding, size = _distance_to_form(f, g)
        else:
            if f.activation != g.activation:
                raise ValueError(
                    f"f has activation {f.activation.name!r}, but g {g.activation.name!r}; pass functions of one"
                )
            distance, rounding, size = _distance(f, g)
    check_finite("population_distance", distance, _TOO_LARGE)
    if rounding > min(distance, PROMISE * size):
        warnings.warn(
            f"population_distance may be off by {rounding:.1e} where it is {distance:.1e}: it is the small difference "
            "of large numbers, and rounding leaves it too few digits; move the weights further, or make the "
            "coefficients smaller",
            RuntimeWarning,
            stacklevel=3,
        )
    return distance


def _distance(f: FeatureFunction, g: FeatureFunction) -> tuple[float, float, float]:
    """The distance, its rounding, and the larger of E f^2 and E g^2."""
    sigma, exponent = in_own_unit(f.activation)
    W, place = np.unique(np.vstack([f.W, g.W]), axis=0, return_inverse=True)
    V, tangent_place = np.unique(np.vstack([f.V, g.V]), axis=0, return_inverse=True)
    gram = gram_at(sigma, W, V)
    layers = _gathered(place.ravel(), len(W), f.a[:, None], g.a[:, None])
    moves = _gathered(tangent_place.ravel(), len(V), f.b, g.b)
    parts = [(times_power(a[:, 0], exponent), times_power(b, exponent)) for a, b in zip(layers, moves, strict=True)]
    size = max(gram.moment(*part, c)[0] for part, c in zip(parts, (f.c, g.c), strict=True))
    (a, b), (other_a, other_b) = parts
    distance, rounding = gram.moment(a - other_a, b - other_b, f.c - g.c)
    return distance, rounding, max(size, distance)


def _distance_to_form(f: FeatureFunction, g: QuadraticFunction) -> tuple[float, float, float]:
    """As `_distance`, from a function <x, B x> + b0."""
    from fastlazy.risk.nt_solver import target_covariances  # which loads the compiler

    sigma, exponent = in_own_unit(f.activation)
    a, b = times_power(f.a, exponent), times_power(f.b, exponent)
    gram = gram_at(sigma, f.W, f.V)
    variance, rounding = gram.moment(a, b, -gram.mean(a, b))
    covariance = 0.0
    if len(f.W):
        covariance += float(a @ feature_moments(g, f.W, sigma, True)[2])
    if gram.tangents is not None:
        slopes = gram.tangents.slopes
        covariance += float(np.vdot(target_covariances(slopes.g, g, slopes.unit), b))
    off = gram.mean(a, b) + f.c - g.mean
    spread = max(variance - 2 * covariance + g.null_risk, 0.0)
    return spread + off * off, rounding, max(g.null_risk, variance)


def gram_at(activation: Activation, W: Array, V: Array) -> JointGram:
    """The joint Gram matrix of features at the rows of W (n, d) and tangent features at those of V (m, d)."""
    return joint_gram(W, tangents_at(V, activation) if len(V) else None, activation)


def _gathered(place: _Indices, count: int, first: Array, second: Array) -> tuple[Array, Array]:
    """Coefficients (n, k) of two functions as those of the *count* rows at which they stand, added up."""
    sums = np.zeros((2, count, first.shape[1]))
    np.add.at(sums[0], place[: len(first)], first)
    np.add.at(sums[1], place[len(first) :], second)
    return sums[0], sums[1]


def _kept(array: Array) -> Array:
    copy = np.array(array, np.float64)
    copy.flags.writeable = False
    return copy
