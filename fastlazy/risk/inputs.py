"""Targets whose inputs have a covariance, in coordinates z in which they have none.

With x = A z and z ~ N(0, I), rows W see x as rows W A see z, and <x, B x> is <z, A^T B A z>.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array
from fastlazy._support.blas import same_bits
from fastlazy.targets.quadratic import QuadraticFunction, QuadraticTarget
from fastlazy.targets.weights import cov_spectrum


def root_of(target: QuadraticFunction) -> Array | None:
    """A (d, k), or None if the inputs are N(0, I)."""
    return target.root if isinstance(target, QuadraticTarget) else None


def whitened(target: QuadraticFunction) -> QuadraticFunction:
    """The target as a function of z."""
    return target.whitened if isinstance(target, QuadraticTarget) and target.root is not None else target


def whitened_rows(target: QuadraticFunction, W: Array) -> Array:
    """The rows (N, k) that see z as the rows W (N, d) see x."""
    root = root_of(target)
    return W if root is None else rows_through(root, W)


def rows_through(A: Array, W: Array) -> Array:
    """W A (N, k).

    Raises
    ------
    ValueError
        If an entry overflows.
    """
    with same_bits(max(W.shape), max(A.shape)), np.errstate(over="ignore", invalid="ignore"):  # looked for below
        rows = W @ A
    if not np.isfinite(rows).all():
        raise ValueError(
            f"W has entries of size {np.abs(W).max():.3g}, whose products with the root of the inputs' covariance, of "
            f"size {np.abs(A).max():.3g}, overflow; divide W by a number"
        )
    return rows


def cov_through(A: Array, cov: ArrayLike | None) -> Array:
    """The covariance A^T Gamma A (k, k) of a row of W A; Gamma is I / d, or *cov* of a row of W."""
    variances, basis = cov_spectrum(cov, len(A))
    with same_bits(*A.shape):
        half = A * np.sqrt(variances)[:, None] if basis is None else (basis * np.sqrt(variances)).T @ A
        inner = half.T @ half
    return (inner + inner.T) / 2
