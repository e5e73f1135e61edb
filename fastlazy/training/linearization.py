"""Networks as functions, their first-order expansion, and exact distances between them, for sigma = x^2.

A quadratic network is the function <x, S x> + c, S = W^T diag(a) W, and so is all that is made of it here: its
linearisation at an initialisation, the best random-feature and tangent functions. Each is returned as a
`QuadraticFunction`, which has that form, is evaluated by a call, and can be learned as a target is. For x ~ N(0, I)

    E (f(x) - g(x))^2 = 2 |S_f - S_g|_F^2 + (tr(S_f - S_g) + c_f - c_g)^2.

References: arXiv:1906.08899, eq. (1) for the two parts of the linearisation, RF and NT.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_array, check_columns, check_real
from fastlazy._support.blas import same_bits
from fastlazy._support.rounding import check_finite
from fastlazy.risk.projections import nt_form, rf_form
from fastlazy.risk.shifted_spectrum import shifted_eigenvalues
from fastlazy.targets.quadratic import LARGEST, SMALLEST, QuadraticFunction, check_target, quadratic_form

_SPREAD = 6  # lazy_risk warns if the largest neuron is so many powers of ten above the smallest


def network_function(W: ArrayLike, a: ArrayLike = 1.0, c: float = 0.0) -> QuadraticFunction:
    """The network sum_i a_i <w_i, x>^2 + c as a function of x.

    Parameters
    ----------
    W : array_like, shape (N, d)
        First-layer weights, one neuron per row.
    a : array_like, shape (N,) or a scalar
        Second layer.
    c : float
        Offset.

    Returns
    -------
    QuadraticFunction
        With B = W^T diag(a) W and b0 = c.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, or the function overflows.

    Examples
    --------
    >>> f = network_function([[1.0, 2.0]], a=3.0, c=0.5)
    >>> f([[1.0, 1.0]])
    array([27.5])
    """
    weights = check_array("W", W, 2)
    second = _check_second_layer("a", a, weights)
    offset = check_real("c", c)
    with same_bits(*weights.shape), np.errstate(over="ignore", invalid="ignore"):  # _function looks for it
        return _function(quadratic_form(weights, second), offset)


def population_distance(f: QuadraticFunction, g: QuadraticFunction) -> float:
    """Mean squared distance of two functions, E (f(x) - g(x))^2 for x ~ N(0, I).

    Parameters
    ----------
    f, g : QuadraticFunction
        Targets, or networks by `network_function`.

    Returns
    -------
    float
        2 |S_f - S_g|_F^2 + (tr(S_f - S_g) + c_f - c_g)^2.

    Raises
    ------
    TypeError, ValueError
        If one is not a quadratic function, they are of different dimensions, or the distance overflows.
    """
    check_target(f, "f")
    check_target(g, "g")
    if f.d != g.d:
        raise ValueError(f"f has d = {f.d}, but g has d = {g.d}; pass functions of the same x")
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
    """

    W: Array
    a: Array
    c: float

    @property
    def start(self) -> QuadraticFunction:
        """The network at the initialisation."""
        return network_function(self.W, self.a, self.c)

    def rf(self, a: ArrayLike, c: float = 0.0) -> QuadraticFunction:
        """The part of random features: linear in the second layer and the offset.

        Parameters
        ----------
        a : array_like, shape (N,) or a scalar
            Second layer to which the network has moved.
        c : float
            Offset to which it has moved.

        Returns
        -------
        QuadraticFunction
            sum_i (a_i - a0_i) <w0_i, x>^2 + c - c0.

        Raises
        ------
        TypeError, ValueError
            If an array is not finite or not of that shape.
        """
        return network_function(self.W, _check_second_layer("a", a, self.W) - self.a, check_real("c", c) - self.c)

    def nt(self, W: ArrayLike) -> QuadraticFunction:
        """The neural tangent part: linear in the first layer.

        Parameters
        ----------
        W : array_like, shape (N, d)
            First-layer weights to which the network has moved.

        Returns
        -------
        QuadraticFunction
            sum_i 2 a0_i <w_i - w0_i, x> <w0_i, x>.

        Raises
        ------
        TypeError, ValueError
            If W is not finite or not of that shape.
        """
        weights = check_columns("W", check_array("W", W, 2), self.W.shape[1], "the initialisation")
        if len(weights) != len(self.W):
            raise ValueError(f"W has {len(weights)} rows, but the initialisation has {len(self.W)}; pass as many")
        with same_bits(*weights.shape), np.errstate(over="ignore", invalid="ignore"):  # _function looks for it
            return _function(2 * ((weights - self.W).T * self.a) @ self.W, 0.0)

    def both(self, W: ArrayLike, a: ArrayLike = 1.0, c: float = 0.0) -> QuadraticFunction:
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
        QuadraticFunction

        Raises
        ------
        TypeError, ValueError
            If an array is not finite or not of that shape.
        """
        parts = self.start, self.rf(a, c), self.nt(W)
        with np.errstate(over="ignore", invalid="ignore"):  # _function looks for it
            return _function(np.sum([part.B for part in parts], axis=0), sum(part.b0 for part in parts))


def linearize(W: ArrayLike, a: ArrayLike = 1.0, c: float = 0.0) -> Linearization:
    """The first-order model of the network sum_i a_i <w_i, x>^2 + c at these weights.

    Parameters
    ----------
    W : array_like, shape (N, d)
        First-layer weights at the initialisation, one neuron per row.
    a : array_like, shape (N,) or a scalar
        Second layer there.
    c : float
        Offset there.

    Returns
    -------
    Linearization
        With the functions ``start``, ``rf(a, c)``, ``nt(W)`` and their sum ``both(W, a, c)``.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape.

    Notes
    -----
    What the linearisation lacks is f - both = sum_i a0_i <w_i - w0_i, x>^2, which the tangent part leaves out, and
    sum_i (a_i - a0_i) (<w_i, x>^2 - <w0_i, x>^2), which the features lack that stay those of the initialisation.

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
    second = _check_second_layer("a", a, weights).copy()
    weights.flags.writeable = second.flags.writeable = False
    return Linearization(weights, second, check_real("c", c))


def rf_function(target: QuadraticFunction, W: ArrayLike) -> QuadraticFunction:
    """The best random-feature function for these W, the one whose risk is `rf_risk`.

    Parameters
    ----------
    target : QuadraticTarget
    W : array_like, shape (N, d)
        First-layer weights, one neuron per row.

    Returns
    -------
    QuadraticFunction
        sum_i a_i <w_i, x>^2 + c with the best a and c.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array.

    References
    ----------
    arXiv:1906.08899, the class RF of eq. (1).
    """
    return _best(target, rf_form(target, W))


def nt_function(target: QuadraticFunction, W: ArrayLike) -> QuadraticFunction:
    """The best neural tangent function for these W, the one whose risk is `nt_risk`.

    Parameters
    ----------
    target : QuadraticTarget
    W : array_like, shape (N, d)
        Weights at the initialisation, one neuron per row.

    Returns
    -------
    QuadraticFunction
        With the matrix B - P B P, P the projector off the span of W, and the best offset.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array.

    References
    ----------
    arXiv:1906.08899, the class NT of eq. (1).
    """
    return _best(target, nt_form(target, W))


def lazy_risk(target: QuadraticFunction, W: ArrayLike, a: ArrayLike = 1.0, *, scale: float) -> float:
    """The infimum of the risk over networks alpha (f - f_0) + c, f_0 the one of W and a, f of the same signs.

    Parameters
    ----------
    target : QuadraticTarget
    W : array_like, shape (N, d)
        First-layer weights at the initialisation.
    a : array_like, shape (N,) or a scalar
        Second layer; its signs are kept.
    scale : float
        alpha >= 0; 0 for the best network of these signs.

    Returns
    -------
    float
        Not divided by the null risk. For rows that are linearly independent it goes, as alpha grows, from the risk of
        the best network of these signs (for B >= 0 and a = 1 `nn_risk`) to `nt_risk` of W.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, or the scale is negative.

    Warns
    -----
    RuntimeWarning
        If neurons |a_i|^(1/2) |w_i| differ in size by more than 1e6, so that rounding of the largest may cost more than
        1e-9 of the null risk.

    Notes
    -----
    (Ours.) With S_0 = W^T diag(a) W the error is alpha S - (B + alpha S_0), and alpha S is any matrix with at most as
    many positive (negative) eigenvalues as a has. So the infimum is 2 sum lambda^2 over the eigenvalues of
    B + alpha S_0 but for so many of the largest (smallest) of that sign. As alpha grows those of the span of W leave
    to infinity, and the others tend to those of P B P, P the projector off that span: the theorem of NT. They are
    computed to 1e-12 of |B| for every alpha, if the neurons are of one size (`fastlazy.risk.shifted_spectrum`,
    `tests/risk/test_shifted_spectrum.py`).
    """
    check_target(target)
    alpha = check_real("scale", scale, 0.0)
    weights = check_columns("W", check_array("W", W, 2), target.d)
    second = _check_second_layer("a", a, weights)
    if not target.B.any():
        return 0.0
    _warn_of_lengths(weights, second)
    with same_bits(*weights.shape):
        size, values, above, below = shifted_eigenvalues(target, weights, second, alpha)
    positive, negative = (int(np.count_nonzero(sign * second > 0)) for sign in (1, -1))
    top = np.arange(len(values)) >= len(values) - positive + above
    bottom = np.arange(len(values)) < negative - below
    reached = (top & (values > 0)) | (bottom & (values < 0))
    return size**2 * 2 * float(np.sum(values[~reached] ** 2))


def _warn_of_lengths(W: Array, a: Array) -> None:
    """Warn if rounding of the longest neuron may hide the shortest."""
    used = (a != 0) & W.any(axis=1)
    # By logarithms, as neither a size nor the quotient of two need be a number.
    sizes = np.log10(np.abs(a[used])) / 2 + np.log10(np.abs(W[used]).max(axis=1))
    spread = float(np.ptp(sizes)) if used.any() else 0.0
    if spread > _SPREAD:
        warnings.warn(
            f"lazy_risk may be off: neurons |a_i|^(1/2) |w_i| differ in size by a factor of 10^{spread:.1f}, and "
            "rounding of the largest hides the smallest; leave out the smallest, or multiply their rows of W",
            RuntimeWarning,
            stacklevel=3,
        )


def _best(target: QuadraticFunction, S: Array) -> QuadraticFunction:
    return _function(S, target.mean - float(np.trace(S)))


def _function(S: Array, c: float) -> QuadraticFunction:
    largest = float(np.abs(S).max())
    if not (largest == 0 or SMALLEST <= largest <= LARGEST) or not math.isfinite(c):
        raise ValueError(
            f"the function has coefficients of size {largest:.3g} and the constant {c:.3g}, whose squares are beyond "
            "floating point; divide W, a or c by a number, or multiply them if they are small"
        )
    return QuadraticFunction(S / 2 + S.T / 2, c)


def _check_second_layer(name: str, a: ArrayLike, W: Array) -> Array:
    """A second layer as an array (N,)."""
    second = check_array(name, a, (0, 1))
    if second.ndim == 1 and len(second) != len(W):
        raise ValueError(f"{name} has {len(second)} entries, but W has {len(W)} rows; pass one for each, or a scalar")
    return np.broadcast_to(second, len(W))
