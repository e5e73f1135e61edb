"""Networks as functions, their first-order expansion, and exact distances between them.

For sigma = x^2 a network is the function <x, S x> + c, S = W^T diag(a) W, and so is all that is made of it here: its
linearisation at an initialisation, the best random-feature and tangent functions. Each is returned as a
`QuadraticFunction`, which has that form, is evaluated by a call, and can be learned as a target is. For x ~ N(0, I)

    E (f(x) - g(x))^2 = 2 |S_f - S_g|_F^2 + (tr(S_f - S_g) + c_f - c_g)^2.

For another sigma a network and its linearisation are a `FeatureFunction` (`fastlazy.training.feature_functions`), and
the distance is a quadratic form in coefficients.

References: arXiv:1906.08899, eq. (1) for the two parts of the linearisation, RF and NT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_array, check_columns, check_real
from fastlazy._support.blas import same_bits
from fastlazy._support.rounding import check_finite
from fastlazy._support.summaries import Facts, html_table, one_line
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import ActivationLike, check_activation, get_activation
from fastlazy.risk.best_functions import checked_function
from fastlazy.targets.quadratic import QuadraticFunction, check_target, quadratic_form
from fastlazy.training.feature_functions import FeatureFunction, feature_distance, linear_part, network

SQUARE = get_activation("square")


Function: TypeAlias = QuadraticFunction | FeatureFunction


@overload
def network_function(
    W: ArrayLike, a: ArrayLike = 1.0, c: float = 0.0, activation: Literal["square"] = "square"
) -> QuadraticFunction: ...


@overload
def network_function(W: ArrayLike, a: ArrayLike, c: float, activation: ActivationLike) -> Function: ...


def network_function(
    W: ArrayLike, a: ArrayLike = 1.0, c: float = 0.0, activation: ActivationLike = "square"
) -> Function:
    """The network sum_i a_i sigma(<w_i, x>) + c as a function of x.

    Parameters
    ----------
    W : array_like, shape (N, d)
        First-layer weights, one neuron per row.
    a : array_like, shape (N,) or a scalar
        Second layer.
    c : float
        Offset.
    activation : str, Activation or function
        The non-linearity sigma.

    Returns
    -------
    QuadraticFunction or FeatureFunction
        For x^2 the former, with B = W^T diag(a) W and b0 = c.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, the activation is not known, or the function overflows.

    Examples
    --------
    >>> f = network_function([[1.0, 2.0]], a=3.0, c=0.5)
    >>> f([[1.0, 1.0]])
    array([27.5])
    """
    weights = check_array("W", W, 2)
    second = check_second_layer("a", a, weights)
    offset, sigma = check_real("c", c), check_activation(activation)
    if not sigma.is_square:
        return network(sigma, weights, second, offset)
    with same_bits(*weights.shape), np.errstate(over="ignore", invalid="ignore"):  # `checked_function` looks for it
        return checked_function(quadratic_form(weights, second), offset)


def population_distance(f: Function, g: Function) -> float:
    """Mean squared distance of two functions, E (f(x) - g(x))^2 for x ~ N(0, I).

    Parameters
    ----------
    f, g : QuadraticFunction or FeatureFunction
        Targets, networks by `network_function`, and what `linearize` makes of them, of one sigma.

    Returns
    -------
    float
        2 |S_f - S_g|_F^2 + (tr(S_f - S_g) + c_f - c_g)^2 for quadratic functions. Otherwise a quadratic form in the
        coefficients of both, with an error of up to 1e-14 times the sum of the second moments of their single neurons.
        That of a network and its linearisation falls like the fourth power of the distance travelled, or the third
        where sigma has kinks, and the error stays: for weights that have moved by 1e-3 of their length some 3 digits
        hold, at 1e-4 none.

    Raises
    ------
    TypeError, ValueError
        If one is no such function, they are of different dimensions or sigma, or the distance overflows.

    Warns
    -----
    RuntimeWarning
        If rounding may leave no digit of the distance, or cost 1e-9 of the larger of E f^2 and E g^2.

    Examples
    --------
    >>> import fastlazy
    >>> square, one = fastlazy.QuadraticFunction([1.0]), fastlazy.QuadraticFunction([0.0], b0=1.0)
    >>> fastlazy.population_distance(square, one)  # E (x^2 - 1)^2
    2.0
    """
    for name, function in (("f", f), ("g", g)):
        if not isinstance(function, FeatureFunction):
            check_target(function, name)
    if f.d != g.d:
        raise ValueError(f"f has d = {f.d}, but g has d = {g.d}; pass functions of the same x")
    if isinstance(f, FeatureFunction) or isinstance(g, FeatureFunction):
        return feature_distance(f, g)
    D = f.B - g.B
    with np.errstate(over="ignore", invalid="ignore"):  # check_finite looks for it
        mean = float(np.trace(D)) + f.b0 - g.b0
        distance = 2 * float(np.sum(D**2)) + mean * mean
    return check_finite("population_distance", distance, "B or b0 of f or g is too large; divide both by a number")


@dataclass(frozen=True, eq=False)
class Linearization:
    """The first-order expansion of a network f(x; W, a, c) in its weights, at an initialisation.

    Attributes
    ----------
    W : ndarray, shape (N, d)
        First-layer weights at the initialisation.
    a : ndarray, shape (N,)
        Second layer there.
    c : float
        Offset there.
    activation : Activation
        The non-linearity sigma. For x^2 all functions are a `QuadraticFunction`, else a `FeatureFunction`.

    Examples
    --------
    >>> import fastlazy
    >>> W = fastlazy.draw_weights(10, 20, rng=1)
    >>> model = fastlazy.linearize(W)
    >>> bool(abs(model.nt(1.1 * W).B - 0.2 * W.T @ W).max() < 1e-12)  # rows that have grown by a tenth
    True
    """

    W: Array
    a: Array
    c: float
    activation: Activation = SQUARE

    def __repr__(self) -> str:
        return one_line(self, self._facts)

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, self._facts)

    @property
    def _facts(self) -> Facts:
        N, d = self.W.shape
        return {"N": N, "d": d, "activation": self.activation.name}

    @property
    def start(self) -> Function:
        """The network at the initialisation."""
        return network_function(self.W, self.a, self.c, self.activation)

    def rf(self, a: ArrayLike, c: float = 0.0) -> Function:
        """The part of random features: linear in the second layer and the offset.

        Parameters
        ----------
        a : array_like, shape (N,) or a scalar
            Second layer to which the network has moved.
        c : float
            Offset to which it has moved.

        Returns
        -------
        QuadraticFunction or FeatureFunction
            sum_i (a_i - a0_i) sigma(<w0_i, x>) + c - c0.

        Raises
        ------
        TypeError, ValueError
            If an array is not finite or not of that shape.
        """
        moved = check_second_layer("a", a, self.W) - self.a, check_real("c", c) - self.c
        return network_function(self.W, *moved, self.activation)

    def nt(self, W: ArrayLike) -> Function:
        """The neural tangent part: linear in the first layer.

        Parameters
        ----------
        W : array_like, shape (N, d)
            First-layer weights to which the network has moved.

        Returns
        -------
        QuadraticFunction or FeatureFunction
            sum_i a0_i <w_i - w0_i, x> sigma'(<w0_i, x>).

        Raises
        ------
        TypeError, ValueError
            If W is not finite or not of that shape.
        """
        weights = self._check_weights(W)
        if not self.activation.is_square:
            moves = self.a[:, None] * (weights - self.W)
            return linear_part(self.activation, self.W, np.zeros(len(moves)), moves, 0.0)
        with same_bits(*weights.shape), np.errstate(over="ignore", invalid="ignore"):  # `checked_function` looks for it
            return checked_function(2 * ((weights - self.W).T * self.a) @ self.W, 0.0)

    def both(self, W: ArrayLike, a: ArrayLike = 1.0, c: float = 0.0) -> Function:
        """The linearised network: its value at the initialisation and both parts.

        Parameters
        ----------
        W : array_like, shape (N, d)
            First-layer weights to which the network has moved.
        a : array_like, shape (N,) or a scalar
            Second layer to which it has moved.
        c : float
            Offset to which it has moved.

        Returns
        -------
        QuadraticFunction or FeatureFunction

        Raises
        ------
        TypeError, ValueError
            If an array is not finite or not of that shape.
        """
        if not self.activation.is_square:
            moves = self.a[:, None] * (self._check_weights(W) - self.W)
            # sigma(<w0_i, x>) has a0_i at the start, and a_i - a0_i by random features.
            second = check_second_layer("a", a, self.W)
            return linear_part(self.activation, self.W, second, moves, check_real("c", c))
        parts: Any = (self.start, self.rf(a, c), self.nt(W))
        with np.errstate(over="ignore", invalid="ignore"):  # `checked_function` looks for it
            return checked_function(np.sum([part.B for part in parts], axis=0), sum(part.b0 for part in parts))

    def _check_weights(self, W: ArrayLike) -> Array:
        weights = check_columns("W", check_array("W", W, 2), self.W.shape[1], "the initialisation")
        if len(weights) != len(self.W):
            raise ValueError(f"W has {len(weights)} rows, but the initialisation has {len(self.W)}; pass as many")
        return weights


def linearize(W: ArrayLike, a: ArrayLike = 1.0, c: float = 0.0, activation: ActivationLike = "square") -> Linearization:
    """The first-order model of the network sum_i a_i sigma(<w_i, x>) + c at these weights.

    Parameters
    ----------
    W : array_like, shape (N, d)
        First-layer weights at the initialisation, one neuron per row.
    a : array_like, shape (N,) or a scalar
        Second layer there.
    c : float
        Offset there.
    activation : str, Activation or function
        The non-linearity sigma; it must have a derivative.

    Returns
    -------
    Linearization
        With the functions ``start``, ``rf(a, c)``, ``nt(W)`` and their sum ``both(W, a, c)``.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, or the activation is not known or has no derivative.

    Notes
    -----
    What the linearisation lacks is f - both = sum_i a0_i (sigma(<w_i, x>) - sigma(<w0_i, x>) - <w_i - w0_i, x>
    sigma'(<w0_i, x>)), which the tangent part leaves out (for x^2 it is sum_i a0_i <w_i - w0_i, x>^2), and
    sum_i (a_i - a0_i) (sigma(<w_i, x>) - sigma(<w0_i, x>)), which the features lack that stay those of the
    initialisation. `population_distance` says how many digits of it are exact.

    References
    ----------
    arXiv:1906.08899, eq. (1).

    Examples
    --------
    >>> model = linearize([[1.0, 0.0]])
    >>> moved = [[1.0, 0.1]]
    >>> round(population_distance(model.both(moved), network_function(moved)), 6)  # E (0.1 x_2)^4
    0.0003
    """
    weights = check_array("W", W, 2).copy()
    second = check_second_layer("a", a, weights).copy()
    weights.flags.writeable = second.flags.writeable = False
    sigma = check_activation(activation)
    if not sigma.is_square:
        sigma.compiled_derivative  # noqa: B018  (it raises where there is no derivative)
    return Linearization(weights, second, check_real("c", c), sigma)


def check_second_layer(name: str, a: ArrayLike, W: Array) -> Array:
    """The second layer *a* as an array (N,), one entry for each row of *W*."""
    second = check_array(name, a, (0, 1))
    if second.ndim == 1 and len(second) != len(W):
        raise ValueError(f"{name} has {len(second)} entries, but W has {len(W)} rows; pass one for each, or a scalar")
    return np.broadcast_to(second, len(W))
