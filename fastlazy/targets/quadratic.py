"""Quadratic functions: those that are learned from samples, which are targets, and those that learning leads to.

The target of Ghorbani, Mei, Misiakiewicz, Montanari (arXiv:1906.08899) is y = <x, B x> + b0 with x ~ N(0, I_d), and a
network with sigma = x^2 is a function of the same form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import (
    Array,
    Seed,
    check_array,
    check_columns,
    check_count,
    check_float_dtype,
    check_real,
    check_rng,
    check_symmetric,
)
from fastlazy._support.blas import same_bits

# Sizes of B's largest entry for which the null risk neither under- nor overflows, up to d = 9000.
SMALLEST, LARGEST = 1e-152, 1e150


@dataclass(frozen=True, eq=False)
class QuadraticFunction:
    """The function <x, B x> + b0 of x ~ N(0, I_d), such as a network with sigma = x^2.

    Parameters
    ----------
    B : array_like, shape (d, d) or (d,)
        A symmetric matrix, or the eigenvalues of a diagonal one. Kept as a read-only copy (d, d).
    b0 : float
        The constant.

    Raises
    ------
    TypeError, ValueError
        If B is not a finite, square, symmetric matrix of real numbers, or b0 not a finite number, or if the
        squares of B's entries over- or underflow.

    Notes
    -----
    It can be learned, too: what takes a `QuadraticTarget` takes any such function, a teacher network for example. To
    draw samples of it, make it a target: ``QuadraticTarget(f.B, f.b0)``.

    Examples
    --------
    >>> f = QuadraticFunction([3.0, 1.0], b0=-4.0)
    >>> f([[1.0, 2.0]])
    array([3.])
    >>> f.mean, f.null_risk
    (0.0, 20.0)
    """

    B: Array
    b0: float = 0.0

    def __init__(self, B: ArrayLike, b0: float = 0.0) -> None:
        matrix = check_symmetric("B", B)
        largest = float(np.abs(matrix).max())
        if largest > 0 and not SMALLEST <= largest <= LARGEST:
            raise ValueError(
                f"B has entries of size {largest:.3g}, whose squares are beyond floating point; scale it to between "
                f"{SMALLEST:g} and {LARGEST:g}"
            )
        matrix.flags.writeable = False
        object.__setattr__(self, "B", matrix)
        object.__setattr__(self, "b0", check_real("b0", b0))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(d={self.d}, trace={np.trace(self.B):.6g}, b0={self.b0:.6g})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.B, self.b0)

    def __call__(self, X: ArrayLike) -> Array:
        """The values at the rows of X.

        Parameters
        ----------
        X : array_like, shape (n, d)

        Returns
        -------
        ndarray, shape (n,)

        Raises
        ------
        TypeError, ValueError
            If X is not a finite array of that shape, or a value overflows.
        """
        points = check_columns("X", check_array("X", X, 2), self.d)
        with same_bits(*points.shape), np.errstate(over="ignore", invalid="ignore"):  # looked for below
            values = np.einsum("ij,ij->i", points @ self.B, points) + self.b0
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise ValueError(
                f"the target overflows at row {row} of X, which has entries of size {np.abs(points[row]).max():.3g}, "
                f"with B of size {np.abs(self.B).max():.3g} and b0 = {self.b0:.3g}; divide X or the target by a number"
            )
        return values

    @property
    def d(self) -> int:
        """The input dimension."""
        return int(self.B.shape[0])

    @property
    def mean(self) -> float:
        """Of a value f(x): E f(x) = tr B + b0."""
        return float(np.trace(self.B)) + self.b0

    @property
    def null_risk(self) -> float:
        """Var f(x) = 2 |B|_F^2, the risk of the best constant."""
        return 2 * float(np.sum(self.B**2))

    @cached_property
    def eigenvalues(self) -> Array:
        """The eigenvalues of B, descending, shape (d,)."""
        values = np.sort(self.eigenbasis[0])[::-1].copy()
        values.flags.writeable = False
        return values

    @cached_property
    def eigenbasis(self) -> tuple[Array, Array | None]:
        """Eigenvalues (d,) and orthonormal eigenvectors (d, d) in columns; None for a B that is diagonal."""
        return eigenbasis(self.B)


@dataclass(frozen=True, eq=False, init=False, repr=False)
class QuadraticTarget(QuadraticFunction):
    """The quadratic function y = <x, B x> + b0 of x ~ N(0, I_d) as what is learned: it can be sampled.

    Parameters
    ----------
    B : array_like, shape (d, d) or (d,)
        A symmetric matrix, or the eigenvalues of a diagonal one. Kept as a read-only copy (d, d).
    b0 : float
        The constant.

    Raises
    ------
    TypeError, ValueError
        If B is not a finite, square, symmetric matrix of real numbers, or b0 not a finite number, or if the
        squares of B's entries over- or underflow.

    References
    ----------
    arXiv:1906.08899, the quadratic target of Theorems 1 to 3.

    Examples
    --------
    >>> target = QuadraticTarget([3.0, 1.0], b0=-4.0)
    >>> target([[1.0, 2.0]])
    array([3.])
    >>> target.mean, target.null_risk
    (0.0, 20.0)
    >>> X, y = target.sample(5, rng=0)
    >>> X.shape, y.shape
    ((5, 2), (5,))
    """

    def sample(self, n: int, *, rng: Seed = None, dtype: Any = np.float64) -> tuple[Array, Array]:
        """Draw n independent pairs (x, y).

        Parameters
        ----------
        n : int
        rng : None, int, SeedSequence or Generator
        dtype : float32 or float64

        Returns
        -------
        X : ndarray, shape (n, d)
        y : ndarray, shape (n,)

        Raises
        ------
        TypeError, ValueError
            If n is not a positive whole number, rng or dtype is of no known kind, or the responses are beyond the
            range of the dtype.
        """
        count, generator, kind = check_count("n", n), check_rng(rng), check_float_dtype(dtype)
        X = generator.standard_normal((count, self.d), dtype=kind.type)
        y, limits = self(X), np.finfo(kind)
        largest = float(np.abs(y).max())
        if largest > float(limits.max) or 0 < largest < limits.tiny:
            raise ValueError(
                f"y has values of size {largest:.3g}, beyond the range of dtype {kind}; pass dtype=np.float64, or "
                "multiply the target by a number"
            )
        return X, y.astype(kind)


def check_target(target: QuadraticFunction, name: str = "target") -> None:
    """Raise TypeError if *target*, the argument of that *name*, is no target, and no other quadratic function."""
    if not isinstance(target, QuadraticFunction):
        raise TypeError(f"{name} must be a QuadraticTarget, got {type(target).__name__}; pass QuadraticTarget(B, b0)")


def quadratic_form(W: Array, a: Array) -> Array:
    """S = W^T diag(a) W (d, d), so that sum_i a_i <w_i, x>^2 = <x, S x>; symmetric up to rounding."""
    return (W.T * a) @ W


def scaled(target: QuadraticFunction) -> tuple[float, QuadraticFunction]:
    """A power of two s and the function <x, (B / s) x> with entries of size one: s = 1 if B = 0, and no constant.

    Risks at the best offset are s^2 times those of the scaled one, to the bit, and nothing on the way to them
    over- or underflows that need not.
    """
    largest = float(np.abs(target.B).max())
    size = math.ldexp(1.0, math.frexp(largest)[1]) if largest > 0 else 1.0
    return size, QuadraticFunction(target.B / size)


def eigenbasis(matrix: Array) -> tuple[Array, Array | None]:
    """Eigenvalues (d,) and eigenvectors (d, d) in columns of a symmetric matrix, read-only; None for a diagonal one."""
    diagonal = np.diag(matrix)
    if np.count_nonzero(matrix) == np.count_nonzero(diagonal):
        return diagonal, None
    with same_bits(*matrix.shape):
        values, vectors = np.linalg.eigh(matrix)
    values.flags.writeable = vectors.flags.writeable = False
    return values, vectors
