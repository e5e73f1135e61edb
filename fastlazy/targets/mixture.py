"""A mixture of two Gaussians that have one mean and two covariances, the second model of arXiv:1906.08899.

y is 1 or -1, each with probability 1/2, and x given y is N(0, Sigma - y Delta). Everything is computed in the *modes*
of the pair: a matrix A with Sigma = A A^T and Delta = A diag(delta) A^T, so that x = A z, and z given y has independent
entries of variance 1 - y delta_j.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import (
    Array,
    Seed,
    check_count,
    check_float_dtype,
    check_real,
    check_rng,
    check_symmetric,
)
from fastlazy._support.blas import same_bits
from fastlazy._support.summaries import Facts, html_table, one_line
from fastlazy.targets.quadratic import LARGEST, SMALLEST, covariance_root, eigenvalue_rounding, in_dtype

_EPS = float(np.finfo(float).eps)


class Modes(NamedTuple):
    """Both covariances made diagonal at once: Sigma = A A^T and Delta = A diag(delta) A^T."""

    A: Array  # (d, k), k the rank of Sigma
    delta: Array  # (k,) between -1 and 1

    @property
    def spreads(self) -> tuple[Array, Array]:
        """The standard deviations (k,) of the entries of z, x = A z, given y = 1 and given y = -1."""
        return np.sqrt(1 - self.delta), np.sqrt(1 + self.delta)


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Two classes as what is learned: y = 1 or -1, with probability 1/2 each, and x given y is N(0, Sigma - y Delta).

    Parameters
    ----------
    Sigma : array_like, shape (d, d) or (d,)
        The mean of both classes' covariances, or its diagonal. Kept as a read-only copy (d, d).
    Delta : array_like, shape (d, d) or (d,)
        Half the difference of the covariances, that of y = -1 less that of y = 1, or its diagonal. Kept likewise.

    Raises
    ------
    TypeError, ValueError
        If one is not a finite, square, symmetric matrix of real numbers, or they differ in size, or Sigma is zero or
        so large or small that squares of its entries over- or underflow, or Sigma - Delta or Sigma + Delta, the
        covariances of the classes, has a negative eigenvalue.

    References
    ----------
    arXiv:1906.08899, the mixture of Gaussians of Theorems 4 to 6.

    Examples
    --------
    >>> mixture = GaussianMixture([1.0, 1.0], [0.5, 0.0])
    >>> mixture.d, mixture.null_risk
    (2, 1.0)
    >>> X, y = mixture.sample(5, rng=0)
    >>> X.shape, y.shape
    ((5, 2), (5,))
    """

    Sigma: Array
    Delta: Array

    def __init__(self, Sigma: ArrayLike, Delta: ArrayLike) -> None:
        sigma, delta = check_symmetric("Sigma", Sigma), check_symmetric("Delta", Delta)
        if len(sigma) != len(delta):
            raise ValueError(
                f"Sigma has d = {len(sigma)}, but Delta has d = {len(delta)}; pass two matrices of one size"
            )
        largest = float(np.abs(sigma).max())
        if not SMALLEST <= largest <= LARGEST:
            raise ValueError(
                f"Sigma has entries of size {largest:.3g}; it must not be zero, and squares of its entries must be "
                f"within floating point; scale Sigma and Delta to between {SMALLEST:g} and {LARGEST:g}"
            )
        for matrix in (sigma, delta):
            matrix.flags.writeable = False
        object.__setattr__(self, "Sigma", sigma)
        object.__setattr__(self, "Delta", delta)
        self._check_classes()

    def __repr__(self) -> str:
        return one_line(self, self._facts)

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, {**self._facts, "null risk": self.null_risk})

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.Sigma, self.Delta)

    @property
    def _facts(self) -> Facts:
        return {"d": self.d, "trace": float(np.trace(self.Sigma))}

    @property
    def d(self) -> int:
        """The input dimension."""
        return int(self.Sigma.shape[0])

    @property
    def mean(self) -> float:
        """Of y: 0."""
        return 0.0

    @property
    def null_risk(self) -> float:
        """Var y = 1, the risk of the best constant."""
        return 1.0

    @cached_property
    def modes(self) -> Modes:
        """The matrix A (d, k) and delta (k,), the generalised eigenvalues of (Delta, Sigma); k is the rank of Sigma."""
        with same_bits(self.d, self.d):
            A = covariance_root(self.Sigma)
            variances = np.sum(A**2, axis=0)
            if _is_diagonal(self.Sigma) and _is_diagonal(self.Delta):
                kept = self.Sigma.diagonal() > 0
                delta = self.Delta.diagonal()[kept] / self.Sigma.diagonal()[kept]
            else:
                inverse = A / variances  # A^T inverse = I
                whitened = inverse.T @ self.Delta @ inverse
                delta, vectors = np.linalg.eigh((whitened + whitened.T) / 2)
                A = A @ vectors
                # A class that has no spread in a direction has none, not one of the size of rounding.
                delta = np.where(np.abs(delta) >= 1 - 8 * self.d * _EPS, np.sign(delta), delta)
        A, delta = np.ascontiguousarray(A), np.clip(delta, -1, 1)
        A.flags.writeable = delta.flags.writeable = False
        return Modes(A, delta)

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
            1 or -1.

        Raises
        ------
        TypeError, ValueError
            If n is not a positive whole number, rng or dtype is of no known kind, or the points are beyond the range
            of the dtype.
        """
        count, generator, kind = check_count("n", n), check_rng(rng), check_float_dtype(dtype)
        A, delta = self.modes
        y = 2.0 * generator.integers(0, 2, size=count) - 1
        z = generator.standard_normal((count, len(delta))) * np.sqrt(1 - y[:, None] * delta)
        with same_bits(count, self.d):
            X = z @ A.T
        return in_dtype(X, kind), y.astype(kind)

    def _check_classes(self) -> None:
        """Raise ValueError if a class has a variance that is negative beyond rounding."""
        diagonal = all(_is_diagonal(matrix) for matrix in (self.Sigma, self.Delta))
        values: Array
        for sign, y in (("-", "1"), ("+", "-1")):
            covariance = self.Sigma - self.Delta if sign == "-" else self.Sigma + self.Delta
            if diagonal:
                values = covariance.diagonal()
                allowed = 4 * _EPS * self.Sigma.diagonal()
            else:
                with same_bits(*covariance.shape):
                    values = np.linalg.eigvalsh(covariance)
                allowed = np.full(self.d, eigenvalue_rounding(values))
            worst = int(np.argmin(values + allowed))
            if values[worst] < -allowed[worst]:
                raise ValueError(
                    f"Sigma {sign} Delta, the covariance of x given y = {y}, has {np.count_nonzero(values < -allowed)} "
                    f"negative eigenvalues, the least of them {values[worst]:.6g}; multiply Delta by a smaller number, "
                    "or add to Sigma, so that Sigma - Delta and Sigma + Delta have none"
                )


def exponential_mixture(d: int, *, strength: float = 1.0, rng: Seed = None) -> GaussianMixture:
    """The mixture with Sigma = I and Delta = diag(s) / sqrt(d), s iid Exp(1), times its strength.

    Parameters
    ----------
    d : int
        The input dimension.
    strength : float
        A factor of Delta, from 0, where both classes are the same, to 1.
    rng : None, int, SeedSequence or Generator

    Returns
    -------
    GaussianMixture

    Raises
    ------
    TypeError, ValueError
        If d is not a positive whole number, strength is no number from 0 to 1, or rng is of no known kind.

    Notes
    -----
    If the largest s is above sqrt(d), which happens at small d alone, it takes the place of sqrt(d): Sigma - Delta
    must be a covariance.

    References
    ----------
    arXiv:1906.08899, the mixture of Gaussians; the spectrum is that of the headline figure.

    Examples
    --------
    >>> exponential_mixture(450, rng=0)
    GaussianMixture(d=450, trace=450)
    """
    dimension, factor = check_count("d", d), check_real("strength", strength, 0.0)
    if factor > 1:
        raise ValueError(
            f"strength must be at most 1, got {factor:g}: beyond it Sigma - Delta may be no covariance; pass a smaller "
            "one, or GaussianMixture(Sigma, Delta)"
        )
    spectrum = check_rng(rng).exponential(size=dimension)
    return GaussianMixture(np.ones(dimension), factor * spectrum / max(dimension**0.5, float(spectrum.max())))


def _is_diagonal(matrix: Array) -> bool:
    """Whether a matrix (d, d) is diagonal."""
    return bool(np.count_nonzero(matrix) == np.count_nonzero(matrix.diagonal()))
