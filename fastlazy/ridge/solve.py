"""Ridge regression from a symmetric matrix: one penalty by Cholesky, many with leave-one-out errors by one eigh.

Minimised is |y - Phi theta - c|^2 + alpha |theta|^2 over theta and, if it is fitted, the offset c, which is not
penalised. With centred features Phi_c (and y_c) the offset drops out, and theta is in one of two forms:

    primal    (Phi_c^T Phi_c + alpha) theta = Phi_c^T y_c,    c = mean(y) - <mean of Phi, theta>
    dual      (K_c + alpha) u = y_c,  theta = Phi^T u,        c = mean(y) - <mean of the rows of K, u>

with K = Phi Phi^T and K_c = Phi_c Phi_c^T. The row 1 is in the null space of K_c; it is given an eigenvalue like the
others', which changes no u, so that a matrix found singular is one whose features or samples depend on each other.

Weights s of samples, of mean 1, make it sum_i s_i (y_i - f_i)^2 + alpha |theta|^2: the same problem for rows and
responses times sqrt(s_i), with weighted means, and with the row sqrt(s) in the place of 1.

Leave-one-out errors are (y_i - f_i) / (1 - h_i) with h the diagonal of the matrix that takes y to f, offset
included: exact, for every alpha from the same eigenvectors. A sample is left out with all its weight, and its squared
error counts by its weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from scipy.linalg import lapack

from fastlazy._support.arguments import Array
from fastlazy._support.singular import is_noise, jitters, warn_of_jitter, zero_level

Blocks = Callable[[], Iterator[tuple[slice, Array]]]
"""Centred features (s, P), times the roots of weights, block by block, with the samples that each block is of."""

_MIXED = 1500  # unknowns from which on a factor in single precision with refinement is faster
_STEPS = 40  # the most steps of refinement, which take half the time of a factor in double precision


class Ridge(NamedTuple):
    """A solved problem."""

    coefficients: Array  # (P, t) or (n, t): theta or u
    offset: Array  # (t,): c
    alpha: float
    jitter: float  # added to the diagonal besides alpha, 0 if the problem is regular
    score: float | None  # minus the mean squared leave-one-out error, if there were several alphas


def solve_dual(K: Array, y: Array, alphas: Array, *, intercept: bool, weight: Array | None = None) -> Ridge:
    """The dual solution u for the kernel matrix K (n, n) of responses y (n, t); K is overwritten, in place.

    Parameters
    ----------
    K : ndarray, shape (n, n)
        Phi Phi^T, symmetric, C-contiguous.
    y : ndarray, shape (n, t)
    alphas : ndarray, shape (k,)
        Penalties, >= 0. The best of several is the one with the least leave-one-out error.
    intercept : bool
        Whether c is fitted; else 0.
    weight : ndarray, shape (n,), optional
        Weights of samples, > 0 and of mean 1.

    Returns
    -------
    Ridge

    Raises
    ------
    ValueError
        If the matrix is not finite.
    """
    _check_finite(K)
    n, root = len(K), weight_roots(y, weight)
    rows: Array = np.zeros(n)
    level = 0.0
    shift = response_means(y, intercept, weight)
    if weight is not None:
        _scale(K, root)
    if intercept:
        rows = _row_means(K, root)
        level = float(np.trace(K) / n - rows @ root / n) or 1.0  # the mean eigenvalue of K_c
        _center(K, rows, root, level / n)
    with np.errstate(over="ignore", invalid="ignore"):  # _check looks for infinities
        centred = (root[:, None] * (y - shift)).astype(K.dtype)
    _check(K, centred, len(alphas) > 1)
    if len(alphas) == 1:
        alpha, score = float(alphas[0]), None
        u, jitter = solve(K, centred, alpha)
    else:
        values, vectors = _eigh(K)
        floor = _floor(values)
        rotated, squares = vectors.T @ centred, vectors**2

        def errors(alpha: float) -> Array:
            inverse = 1 / np.maximum(values + alpha, floor)
            diagonal = squares @ inverse
            if intercept:  # the vector sqrt(s), of eigenvalue *level*, stands for no feature
                diagonal -= root**2 / (n * max(level + alpha, floor))
            return np.asarray((vectors @ (rotated * inverse[:, None])) / diagonal[:, None])

        alpha, score = _best(alphas, errors)
        u, jitter = _in_eigenbasis(values, vectors, rotated, alpha)
    if intercept:
        u -= (root[:, None] * (root @ u / n)).astype(u.dtype)
    return _finished((root[:, None] * u).astype(u.dtype), shift - rows @ u, alpha, jitter, score)


def solve_primal(
    gram: Array,
    moments: Array,
    means: Array,
    y: Array,
    alphas: Array,
    blocks: Blocks,
    *,
    intercept: bool,
    weight: Array | None = None,
) -> Ridge:
    """The primal solution theta for Phi_c^T Phi_c = *gram* (P, P), which is overwritten, in place.

    With weights of samples Phi_c and y_c are the centred features and responses times their roots, as `blocks` gives
    them.

    Parameters
    ----------
    gram : ndarray, shape (P, P)
        Symmetric, C-contiguous; of the features as they are if there is no intercept.
    moments : ndarray, shape (P, t)
        Phi_c^T y_c.
    means : ndarray, shape (P,)
        Means of the features; zero without an intercept.
    y : ndarray, shape (n, t)
    alphas : ndarray, shape (k,)
        As `solve_dual` takes them.
    blocks : callable
        Gives the centred features anew, for leave-one-out errors.
    intercept, weight
        As above.

    Returns
    -------
    Ridge

    Raises
    ------
    ValueError
        If the matrix is not finite.
    """
    _check_finite(gram)
    n, root = len(y), weight_roots(y, weight)
    shift = response_means(y, intercept, weight)
    _check(gram, moments, False)
    _check(gram, y, len(alphas) > 1)
    if len(alphas) == 1:
        alpha, score = float(alphas[0]), None
        theta, jitter = solve(gram, moments, alpha)
    else:
        values, vectors = _eigh(gram)
        floor = _floor(values)
        rotated = vectors.T @ moments
        inverses = 1 / np.maximum(values[:, None] + alphas, floor)  # (P, k)
        leverage, fitted = np.zeros((n, len(alphas))), np.empty((len(alphas), *y.shape))
        if intercept:
            leverage += root[:, None] ** 2 / n
        for samples, features in blocks():
            turned = features @ vectors
            leverage[samples] += turned**2 @ inverses
            for k in range(len(alphas)):
                fitted[k, samples] = turned @ (rotated * inverses[:, k : k + 1])
        known = alphas.tolist()

        def errors(alpha: float) -> Array:
            k = known.index(alpha)
            # 1 - h is 0 for a sample that has a feature to itself.
            left = np.maximum(1 - leverage[:, k], np.finfo(float).eps)
            return np.asarray((root[:, None] * (y - shift) - fitted[k]) / left[:, None])

        alpha, score = _best(alphas, errors)
        theta, jitter = _in_eigenbasis(values, vectors, rotated, alpha)
    return _finished(theta, shift - means @ theta, alpha, jitter, score)


def response_means(y: Array, intercept: bool, weight: Array | None = None) -> Array:
    """The means (t,) of responses y (n, t), which a fitted offset takes in; zero if there is none."""
    if not intercept:
        return np.zeros(y.shape[1])
    return y.mean(axis=0, dtype=np.float64) if weight is None else weight @ y / len(y)


def weight_roots(y: Array, weight: Array | None) -> Array:
    """The roots (n,) of the weights of samples with responses y (n, t); ones if there are no weights."""
    return np.ones(len(y)) if weight is None else np.sqrt(weight)


def solve(A: Array, B: Array, alpha: float) -> tuple[Array, float]:
    """The solution of (A + alpha) X = B for symmetric A >= 0 (overwritten), and the jitter it took.

    It is that of the first of the `jitters`, from 0 on, for which a Cholesky factor exists and rounding leaves digits
    in the solution. If there is none, it is the least squares solution of least norm, and the jitter returned is the
    size up to which eigenvalues were taken for zero. A warning says what was done. The policy, and why it differs from
    that of the exact risks, is in `fastlazy._support.singular`.
    """
    n, eps = len(A), float(np.finfo(A.dtype).eps)
    diagonal = A.diagonal().astype(np.float64) + alpha
    norm = max(float(_lapack("lange", A)("1", A.T)) + alpha, float(np.finfo(A.dtype).tiny))
    A.flat[:: n + 1] = diagonal
    if n >= _MIXED and A.dtype == np.float64 and (X := _solve_mixed(A, B, norm)) is not None:
        return X, 0.0
    for jitter in jitters(norm, eps):
        if jitter:  # the last factor has overwritten one triangle
            _mirror(A)
            A.flat[:: n + 1] = diagonal + jitter
        lower, info = _lapack("potrf", A)(A.T, lower=1, overwrite_a=1, clean=0)
        if info != 0 or _lapack("pocon", A)(lower, norm + jitter, uplo="L")[0] < eps:
            continue
        X = _lapack("potrs", A)(lower, B, lower=1)[0]
        if jitter == 0 or not is_noise(norm, X, B, eps):
            warn_of_jitter(jitter, "was added to the diagonal", 3)
            return np.ascontiguousarray(X), jitter
    _mirror(A)
    A.flat[:: n + 1] = diagonal
    values, vectors = _eigh(A)
    cut = zero_level(float(np.abs(values).max()), n, eps)
    kept = values > cut
    warn_of_jitter(cut, "is the size up to which eigenvalues were taken for zero", 3)
    return (vectors[:, kept] / values[kept]) @ (vectors[:, kept].T @ B), cut


def _check_finite(A: Array) -> None:
    """Raise ValueError if a sum of the sizes of a row's entries is beyond the dtype of symmetric A."""
    if not np.isfinite(_lapack("lange", A)("1", A.T)):
        single = ", or pass float64" if A.dtype == np.float32 else ""
        raise ValueError(f"products of the features overflow {A.dtype}; divide X or W by a number{single}")


def _solve_mixed(A: Array, B: Array, norm: float) -> Array | None:
    """The solution of A X = B to float64's rounding by a factor in float32 and conjugate gradients, or None.

    The factor preconditions A to the identity up to the condition number times 1e-7, so a few products do.
    """
    single = A.astype(np.float32)
    lower, info = lapack.spotrf(single.T, lower=1, overwrite_a=1, clean=0)
    if info != 0 or lapack.spocon(lower, np.float32(norm), uplo="L")[0] < 0.1 * np.finfo(np.float32).eps:
        return None
    X, eps = np.zeros_like(B), float(np.finfo(float).eps)
    R = B.copy()
    # Residuals are scaled to the small range of float32.
    scale = np.maximum(np.abs(B).max(axis=0), np.finfo(float).tiny)
    P, before = np.zeros_like(B), np.ones(B.shape[1])
    for _ in range(_STEPS):
        Z = lapack.spotrs(lower, (R / scale).astype(np.float32), lower=1)[0] * scale
        now = np.einsum("ij,ij->j", R, Z)
        P = Z + P * (now / before)
        AP = A @ P
        curvature = np.einsum("ij,ij->j", P, AP)
        if not (np.all(curvature >= 0) and np.isfinite(curvature).all()):
            return None
        step = now / np.where(curvature > 0, curvature, 1)
        X += P * step
        R -= AP * step
        before = np.where(now > 0, now, 1)
        # a residual of this size is what a factor in float64 leaves
        if np.all(
            np.linalg.norm(R, axis=0) <= 4 * eps * (norm * np.linalg.norm(X, axis=0) + np.linalg.norm(B, axis=0))
        ):
            return X
        scale = np.maximum(np.abs(R).max(axis=0), np.finfo(float).tiny)
    return None


def _check(A: Array, B: Array, squared: bool) -> None:
    """Raise ValueError if the matrix or the right-hand side has overflown, or will where errors are *squared*."""
    with np.errstate(over="ignore", invalid="ignore"):
        large = float(np.abs(B).max(initial=0))
        size = float(A.trace()) + (large * large if squared else large)
    if not math.isfinite(size):
        raise ValueError(
            f"the products of the features, or what is made of them and y, overflow {A.dtype}; divide X, W or y by a "
            "number"
        )


def _scale(K: Array, root: Array) -> None:
    """Multiply rows and columns of K (n, n) by the roots (n,) of weights, in place."""
    columns = root.astype(K.dtype)
    for part in _rows(K):
        K[part] *= columns[part, None]
        K[part] *= columns


def _row_means(K: Array, root: Array) -> Array:
    """K root / n for symmetric K (n, n), float64: the means of its rows where there are no weights."""
    sums = np.zeros(len(K))
    for part in _rows(K):
        sums += root[part] @ K[part].astype(np.float64, copy=False)
    return sums / len(K)


def _center(K: Array, rows: Array, root: Array, constant: float) -> None:
    """Take the part of sqrt(s) = *root* (n,) out of K and add a constant times root root^T, in place.

    *rows* (n,) is K root / n; without weights, means of rows and columns are taken out.
    """
    means, ones = rows.astype(K.dtype), root.astype(K.dtype)
    left = (rows - (rows @ root / len(K) + constant) * root).astype(K.dtype)
    for part in _rows(K):
        K[part] -= ones[part, None] * means
        K[part] -= left[part, None] * ones


def _rows(K: Array) -> Iterator[slice]:
    """Some rows at a time, which stay in the cache."""
    for start in range(0, len(K), 64):
        yield slice(start, start + 64)


def _mirror(A: Array) -> None:
    """Copy the triangle below the diagonal, which no factor takes, to the one above, in place."""
    for start in range(0, len(A), 512):
        stop = min(start + 512, len(A))
        A[:start, start:stop] = A[start:stop, :start].T
        block = A[start:stop, start:stop]
        A[start:stop, start:stop] = np.tril(block) + np.tril(block, -1).T


def _eigh(A: Array) -> tuple[Array, Array]:
    """Eigenvalues, ascending, and eigenvectors of symmetric A, which is overwritten."""
    values, vectors = scipy.linalg.eigh(A.T, overwrite_a=True, check_finite=False, driver="evd")
    return values, vectors


def _floor(values: Array) -> float:
    """The least eigenvalue that a leave-one-out error divides by: the zero level, to which smaller ones are raised."""
    return zero_level(float(np.abs(values).max()), len(values), float(np.finfo(values.dtype).eps)) or 1.0


def _in_eigenbasis(values: Array, vectors: Array, rotated: Array, alpha: float) -> tuple[Array, float]:
    """The solution (n, t) for one alpha, and by how much the smallest eigenvalue was raised.

    *values* (n,) and *vectors* (n, n) are those of the matrix, and *rotated* (n, t) the right side in their basis.
    """
    floor = _floor(values)
    jitter = max(0.0, floor - float(values[0] + alpha))
    return vectors @ (rotated / np.maximum(values + alpha, floor)[:, None]), jitter


def _best(alphas: Array, errors: Callable[[float], Array]) -> tuple[float, float]:
    """The alpha of the least mean squared leave-one-out error, and minus that error."""
    losses = [float(np.mean(errors(alpha) ** 2, dtype=np.float64)) for alpha in alphas.tolist()]
    best = int(np.argmin(losses))
    return float(alphas[best]), -losses[best]


def _finished(coefficients: Array, offset: Array, alpha: float, jitter: float, score: float | None) -> Ridge:
    if not (np.isfinite(coefficients).all() and np.isfinite(offset).all()):
        raise ValueError(
            f"the coefficients of the ridge problem overflow {coefficients.dtype}; divide y by a number or pass a "
            "larger alpha"
        )
    if score is not None:
        warn_of_jitter(jitter, "is what the smallest eigenvalues were raised by", 3)
    return Ridge(coefficients, np.asarray(offset, np.float64), alpha, jitter, score)


def _lapack(name: str, A: Array) -> Any:
    return lapack.get_lapack_funcs(name, (A,))
