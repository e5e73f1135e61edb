"""Quadratic functions: those that are learned from samples, which are targets, and those that learning leads to.

The target of Ghorbani, Mei, Misiakiewicz, Montanari (arXiv:1906.08899) is y = <x, B x> + b0 with x ~ N(0, I_d), and a
network with sigma = x^2 is a function of the same form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, partial
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
from fastlazy._support.summaries import Facts, html_table, one_line

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
        return one_line(self, self._facts)

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, {**self._facts, "null risk": self.null_risk})

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
    def _facts(self) -> Facts:
        return {"d": self.d, "trace": float(np.trace(self.B)), "b0": self.b0}

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
    """The quadratic function y = <x, B x> + b0 of Gaussian x as what is learned: it can be sampled.

    Parameters
    ----------
    B : array_like, shape (d, d) or (d,)
        A symmetric matrix, or the eigenvalues of a diagonal one. Kept as a read-only copy (d, d).
    b0 : float
        The constant.
    input_cov : array_like, shape (d, d) or (d,), optional
        The covariance of x, which has mean zero, or its diagonal; default I. Kept likewise.

    Raises
    ------
    TypeError, ValueError
        If B is not a finite, square, symmetric matrix of real numbers, or b0 not a finite number, or if the
        squares of B's entries over- or underflow, or input_cov is not a covariance of that size.

    Notes
    -----
    With an input_cov Sigma = A A^T, x = A z and z ~ N(0, I), the target is that of A^T B A in z, which is `whitened`. A
    network of rows W sees z as one of rows W A. Risks and predictions take such a target; training and functions that
    return functions of x do not.

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
    >>> QuadraticTarget([3.0, 1.0], input_cov=[4.0, 1.0]).whitened.eigenvalues
    array([12.,  1.])
    """

    input_cov: Array | None = None

    def __init__(self, B: ArrayLike, b0: float = 0.0, *, input_cov: ArrayLike | None = None) -> None:
        super().__init__(B, b0)
        covariance = None if input_cov is None else _check_covariance(input_cov, self.d)
        object.__setattr__(self, "input_cov", covariance)
        if covariance is not None:
            self._check_whitened()

    def _repr_html_(self) -> str:
        inputs = "N(0, I)" if self.input_cov is None else "N(0, input_cov)"
        return html_table(type(self).__name__, {**self._facts, "inputs": inputs, "null risk": self.null_risk})

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), input_cov=self.input_cov), (self.B, self.b0)

    @property
    def mean(self) -> float:
        """Of a value: E y = <B, input_cov> + b0."""
        return self.whitened.mean if self.input_cov is not None else super().mean

    @property
    def null_risk(self) -> float:
        """Var y = 2 |A^T B A|_F^2, A A^T = input_cov: the risk of the best constant."""
        return self.whitened.null_risk if self.input_cov is not None else super().null_risk

    @cached_property
    def root(self) -> Array | None:
        """A (d, k) with input_cov = A A^T and k the rank of it; None for inputs N(0, I)."""
        return None if self.input_cov is None else covariance_root(self.input_cov)

    @cached_property
    def whitened(self) -> QuadraticFunction:
        """The same target as a function of z ~ N(0, I_k), x = A z."""
        if self.root is None:
            return QuadraticFunction(self.B, self.b0)
        with same_bits(self.d, self.d):
            inner = self.root.T @ self.B @ self.root
        return QuadraticFunction((inner + inner.T) / 2, self.b0)

    def _check_whitened(self) -> None:
        """Raise ValueError if squares of entries of A^T B A over- or underflow."""
        try:
            _ = self.whitened
        except ValueError:
            assert self.input_cov is not None
            raise ValueError(
                f"input_cov, with entries of size {np.abs(self.input_cov).max():.3g}, times B, of size "
                f"{np.abs(self.B).max():.3g}, is beyond floating point; multiply one of them by a number"
            ) from None

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
        if self.root is None:
            X = generator.standard_normal((count, self.d), dtype=kind.type)
        else:
            with same_bits(count, self.d):
                wide = generator.standard_normal((count, self.root.shape[1])) @ self.root.T
            X = in_dtype(wide, kind)
        y, limits = self(X), np.finfo(kind)
        largest = float(np.abs(y).max())
        if largest > float(limits.max) or 0 < largest < limits.tiny:
            raise ValueError(
                f"y has values of size {largest:.3g}, beyond the range of dtype {kind}; pass dtype=np.float64, or "
                "multiply the target by a number"
            )
        return X, y.astype(kind)


def check_target(target: QuadraticFunction, name: str = "target") -> None:
    """Raise an error if *target*, the argument of that *name*, is no quadratic function of x ~ N(0, I).

    Raises
    ------
    TypeError
        If it is no target, and no other quadratic function.
    ValueError
        If it has an input_cov.
    """
    if not isinstance(target, QuadraticFunction):
        raise TypeError(f"{name} must be a QuadraticTarget, got {type(target).__name__}; pass QuadraticTarget(B, b0)")
    if isinstance(target, QuadraticTarget) and target.input_cov is not None:
        raise ValueError(
            f"{name} has an input_cov, but this takes x ~ N(0, I) alone; pass {name}.whitened, the same function of z, "
            f"where x = {name}.root @ z"
        )


def covariance_root(covariance: Array) -> Array:
    """A (d, k) with *covariance* = A A^T (d, d) and k its rank; its columns are orthogonal."""
    variances, basis = eigenbasis(covariance)
    # What rounding left of eigenvalues that are zero is not kept.
    kept = np.flatnonzero(variances > (0.0 if basis is None else eigenvalue_rounding(variances)))
    return (np.eye(len(variances)) if basis is None else basis)[:, kept] * np.sqrt(variances[kept])


def eigenvalue_rounding(eigenvalues: Array) -> float:
    """The size up to which an eigenvalue of a matrix with these *eigenvalues* (d,) is rounding."""
    return 4 * len(eigenvalues) * float(np.finfo(float).eps) * float(np.abs(eigenvalues).max())


def _check_covariance(value: ArrayLike, d: int) -> Array:
    """*value*, the argument input_cov, as a read-only covariance (d, d)."""
    covariance = check_symmetric("input_cov", value)
    if len(covariance) != d:
        raise ValueError(f"input_cov has d = {len(covariance)}, but B has d = {d}; pass two matrices of one size")
    largest = float(np.abs(covariance).max())
    values, _ = eigenbasis(covariance)
    if not SMALLEST <= largest <= LARGEST or values.min() < -eigenvalue_rounding(values):
        raise ValueError(
            f"input_cov must be a covariance matrix, with no negative eigenvalue, and its size between {SMALLEST:g} "
            f"and {LARGEST:g}, got eigenvalues from {values.min():.3g} to {values.max():.3g}; pass e.g. A.T @ A"
        )
    covariance.flags.writeable = False
    return covariance


def in_dtype(X: Array, kind: np.dtype[Any]) -> Array:
    """X in that dtype.

    Raises
    ------
    ValueError
        If its size is beyond the range of the dtype.
    """
    largest, limits = float(np.abs(X).max()), np.finfo(kind)
    if largest > float(limits.max) or 0 < largest < limits.tiny:
        raise ValueError(
            f"x has entries of size {largest:.3g}, beyond the range of dtype {kind}; pass dtype=np.float64, or "
            "multiply the covariance of x by a number"
        )
    return X.astype(kind)


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
