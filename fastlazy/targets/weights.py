"""First-layer weights to learn with: rows drawn from a normal distribution, and the spectrum of their covariance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import (
    Array,
    Seed,
    check_columns,
    check_count,
    check_rng,
    check_symmetric,
)
from fastlazy._support.blas import same_bits
from fastlazy.targets.quadratic import eigenbasis


def draw_weights(N: int, d: int, *, cov: ArrayLike | None = None, rng: Seed = None) -> Array:
    """First-layer weights W with independent rows N(0, cov).

    Parameters
    ----------
    N, d : int
        Neurons and input dimension.
    cov : array_like, shape (d, d) or (d,), optional
        Covariance of a row, or the diagonal of one; default I/d, so that E|w_i|^2 = 1.
    rng : None, int, SeedSequence or Generator

    Returns
    -------
    ndarray, shape (N, d)

    Raises
    ------
    TypeError, ValueError
        If N or d is not a positive whole number, cov is not a covariance of that size, or rng is of no
        known kind.

    References
    ----------
    arXiv:1906.08899 (w_i ~ N(0, Gamma)).

    Examples
    --------
    >>> import fastlazy
    >>> fastlazy.draw_weights(10, 20, rng=1).shape
    (10, 20)
    >>> W = fastlazy.draw_weights(1000, 2, cov=[0.9, 0.1], rng=1)  # longer along the first axis
    >>> (W**2).mean(axis=0).round(1)
    array([0.9, 0.1])
    """
    shape = check_count("N", N), check_count("d", d)
    variances, basis = cov_spectrum(cov, shape[1])
    W = check_rng(rng).standard_normal(shape) * np.sqrt(variances)
    with same_bits(*shape):
        return W if basis is None else W @ basis.T


def cov_spectrum(cov: ArrayLike | None, d: int) -> tuple[Array, Array | None]:
    """Eigenvalues (d,) >= 0 and eigenvectors (d, d) of the covariance of a row of W; None for the identity.

    Raises
    ------
    TypeError, ValueError
        If cov is not a covariance of size d, or is zero.
    """
    if cov is None:
        return np.full(d, 1 / d), None
    values, vectors = eigenbasis(check_columns("cov", check_symmetric("cov", cov), d, "a row of W"))
    largest = float(values.max())
    if largest <= 0 or float(values.min()) < -1e-10 * largest:
        raise ValueError(
            f"cov must be a covariance matrix, with no negative eigenvalue and not zero, got eigenvalues from "
            f"{values.min():.3g} to {largest:.3g}; pass e.g. A.T @ A"
        )
    if vectors is not None:  # what rounding left of eigenvalues that are zero
        values = np.where(values > d * np.finfo(float).eps * largest, values, 0.0)
    return np.maximum(values, 0.0), vectors
