"""The eigenvalues of B + alpha S_0, S_0 the matrix of a network, for alpha of any size: lazy training tends to them.

If alpha is large, the rounding of alpha S_0 is larger than B, and a sum would lose the small eigenvalues. So the
directions with very large eigenvalues are eliminated first, and their effect on the others is kept to second order.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg

from fastlazy._support.arguments import Array
from fastlazy._support.singular import zero_level
from fastlazy.targets.quadratic import QuadraticFunction, quadratic_form, scaled


def shifted_eigenvalues(target: QuadraticFunction, W: Array, a: Array, alpha: float) -> tuple[float, Array, int, int]:
    """The eigenvalues of B + alpha W^T diag(a) W, but for those that alpha has taken out of reach.

    Returns
    -------
    size : float
        What the eigenvalues are divided by, a power of two.
    values : ndarray, shape (k,)
        Those that are not far above those of B in modulus, ascending; among them all within the norm of B, each with
        an error of about 1e-12 of this norm.
    above, below : int
        How many are far above 0, and far below.

    Notes
    -----
    (Ours.) In the eigenbasis of S_0 = W^T diag(a) W, let Lambda be the eigenvalues of alpha S_0 that are larger than
    1e4 |B|, B_11 and B_12 the entries of B between their directions and to the rest, and A that of B + alpha S_0
    without them. An eigenvalue mu of modulus up to |B| solves det(A - mu - B_21 (Lambda + B_11 - mu)^{-1} B_12) = 0.
    With L = Lambda + B_11 and (L - mu)^{-1} = L^{-1} + mu L^{-2} + ..., this is the symmetric problem
    (A - B_21 L^{-1} B_12) y = mu (1 + B_21 L^{-2} B_12) y, to (|B| / Lambda)^3. No large numbers are subtracted.
    """
    size, unit = scaled(target)
    strengths, basis = _growth(W, a)
    factor = _product(alpha, float(np.abs(a).max()), float(np.abs(W).max()), float(np.abs(W).max()), 1 / size)
    B = basis.T @ unit.B @ basis
    with np.errstate(over="ignore", invalid="ignore"):  # the factor may be infinite where a strength is 0
        grown = np.where(strengths == 0, 0.0, factor * strengths)
    large = np.abs(grown) > 1e4 * np.linalg.norm(B)
    if not large.any():
        return size, np.linalg.eigvalsh(B + np.diag(grown)), 0, 0
    rest = ~large
    inverse = 1 / grown[large]
    # L^{-1} B_12, L = Lambda (1 + Lambda^{-1} B_11)
    solved = np.linalg.solve(
        np.eye(len(inverse)) + inverse[:, None] * B[np.ix_(large, large)], inverse[:, None] * B[np.ix_(large, rest)]
    )
    A = B[np.ix_(rest, rest)] + np.diag(grown[rest]) - B[np.ix_(rest, large)] @ solved
    M = np.eye(len(A)) + solved.T @ solved
    values = scipy.linalg.eigh((A + A.T) / 2, M, eigvals_only=True) if len(A) else np.zeros(0)
    above, below = (int(np.count_nonzero(large & (sign * grown > 0))) for sign in (1, -1))
    return size, values, above, below


def _growth(W: Array, a: Array) -> tuple[Array, Array]:
    """Eigenvalues (d,) and eigenvectors (d, d) in columns of W^T diag(a) W over max|a| max|W|^2; rounding is zero."""
    N, d = W.shape
    largest = float(np.abs(a).max()), float(np.abs(W).max())
    if 0 in largest:
        return np.zeros(d), np.eye(d)
    H = np.sqrt(np.abs(a) / largest[0])[:, None] * (W / largest[1])
    if not (a.min() < 0 < a.max()):  # squares of singular values keep more digits than eigenvalues
        if d < N:
            H = np.linalg.qr(H, mode="r")
        _, values, basis = np.linalg.svd(H)
        kept = values > zero_level(values[0], max(N, d))
        strengths = np.zeros(d)
        sign = np.sign(a[np.argmax(np.abs(a))])  # of all that are not zero, whose sum may overflow
        strengths[: len(values)] = sign * np.where(kept, values, 0) ** 2
        return strengths, basis.T
    strengths, basis = np.linalg.eigh(quadratic_form(H, np.sign(a)))
    return np.where(np.abs(strengths) > zero_level(np.sum(H**2), max(N, d)), strengths, 0.0), basis


def _product(*factors: float) -> float:
    """The product of positive numbers; infinite or zero only if it is itself beyond floating point."""
    parts = [math.frexp(factor) for factor in factors]
    mantissa = math.prod(part[0] for part in parts)
    try:
        return math.ldexp(mantissa, sum(part[1] for part in parts))
    except OverflowError:
        return math.inf
