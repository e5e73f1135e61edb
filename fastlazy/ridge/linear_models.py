"""Ridge regression in the regimes RF and NT on given samples, in the smaller of the primal and the dual.

Minimised is sum_s |y_s - f(x_s)|^2 + alpha |theta|^2, as scikit-learn's Ridge does on the features, with

    RF          f(x) = sum_i a_i sigma(<w_i, x>) + c                      theta = a
    NT          f(x) = sum_i <b_i, x> sigma'(<w_i, x>) + c                theta = b
    NT and RF   the sum of the two                                        theta = (a, b)

For sigma = x^2 NT is the space of forms <x, S x> with S = W^T b + b^T W: in the right singular basis of W, with
singular values s, the least |b|^2 for S is sum_{j <= k} theta_jk^2 with S_jk = theta_jk sqrt(s_j^2 + s_k^2) (twice
s_j on the diagonal), so that there are no more than d (d + 1) / 2 features, whatever N is (ours;
`tests/ridge/test_linear_models.py`).

Weights s of samples make the sum sum_s s |y_s - f(x_s)|^2, as scikit-learn's Ridge has it. What is solved has weights
of mean 1, and alpha over the mean of s: the same coefficients, and no sum of weights overflows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy._support.singular import zero_level
from fastlazy._support.threads import one_blas_thread
from fastlazy.activations.activation import Activation
from fastlazy.kernels.centred import centred_nt_kernel, centred_rf_kernel
from fastlazy.kernels.features import features, form_values, nt_coefficients, nt_values, rf_coefficients, rf_values
from fastlazy.kernels.kernels import nt_kernel
from fastlazy.kernels.normal_equations import centred_normal_equations
from fastlazy.ridge.solve import Ridge, response_means, solve_dual, solve_primal, weight_roots
from fastlazy.targets.quadratic import quadratic_form

_BLOCK = 4_000_000  # entries of the feature matrix that are made at a time
_PILOT = 512  # samples whose mean features are the origin


class Linear(NamedTuple):
    """A linear model for t outputs; what it does not have is None."""

    W: Array  # (N, d)
    activation: Activation
    a: Array | None  # (t, N)
    b: Array | None  # (t, N, d)
    offset: Array  # (t,)
    ridge: Ridge | None = None  # how it was fitted

    def values(self, X: Array, *, parallel: bool = True) -> Array:
        """f(x) for rows of X (n, d) of the dtype of W; shape (n, t), float64.

        Parameters
        ----------
        X : ndarray, shape (n, d)
        parallel : bool
            False: on the calling thread alone.

        Returns
        -------
        ndarray

        Raises
        ------
        ValueError
            If a value is not finite.
        """
        with _blas(parallel):
            N, d = self.W.shape
            # <x, S x> takes d^2 operations, and S itself as many as d values of the sum over neurons
            if self.activation.is_square and d < min((2 if self.b is not None else 1) * N, len(X)):
                return form_values(X, _form(self.W, self.a, self.b)) + self.offset
            out = np.zeros((len(X), len(self.offset))) + self.offset
            if self.a is not None:
                out += rf_values(X, self.W, self.a, self.activation, parallel=parallel)
            if self.b is not None:
                out += nt_values(X, self.W, self.b, self.activation, parallel=parallel)
            return out


def fit_rf(
    X: Array,
    y: Array,
    W: Array,
    sigma: Activation,
    alphas: Array,
    *,
    weight: Array | None = None,
    intercept: bool = True,
    parallel: bool = True,
) -> Linear:
    """Random features fitted to X (n, d) and y (n, t), for weights W (N, d) of the dtype of X.

    The best of several *alphas* (k,) is the one with the least leave-one-out error. *weight* (n,), > 0, is what the
    squared errors count.

    Raises
    ------
    ValueError
        If a feature is not finite, or alphas over the mean weight overflow.
    """
    n, N = len(X), len(W)
    weight, scaled = _relative(weight, alphas)
    with _blas(parallel):
        origin = _origin(X, W, sigma, 0, intercept, parallel, weight)
        if n >= N and weight is not None:

            def made(rows: Array) -> Array:
                return features(rows, W, sigma, parallel=parallel)

            ridge = _fit_explicit(X, y, made, N, scaled, intercept, weight)
            a = np.ascontiguousarray(ridge.coefficients.T)
        elif n >= N:
            responses = np.column_stack([y - response_means(y, intercept), np.ones(n)])
            gram, sums = centred_normal_equations(X, responses, W, sigma, origin, parallel=parallel)
            gram *= n
            rest = sums[:, -1] if intercept else np.zeros(N)
            if intercept:
                _take_out(gram, rest, n)
            means = origin + rest

            def blocks() -> Iterator[tuple[slice, Array]]:
                for part in _parts(n, N):
                    yield part, features(X[part], W, sigma, parallel=parallel) - means.astype(W.dtype)

            moments = (n * sums[:, :-1]).astype(gram.dtype)
            ridge = solve_primal(gram, moments, means, y, scaled, blocks, intercept=intercept)
            a = np.ascontiguousarray(ridge.coefficients.T)
        else:
            K = centred_rf_kernel(X, W, sigma, origin, parallel=parallel)
            ridge = solve_dual(K, y, scaled, intercept=intercept, weight=weight)
            u = _dual(ridge, intercept, weight)
            a = rf_coefficients(X, u, W, sigma, origin=origin, parallel=parallel).astype(W.dtype)
    ridge = _in_units(ridge, scaled, alphas)
    model = Linear(W, sigma, a, None, np.zeros(y.shape[1]), ridge)
    return _with_offset(model, X, y, weight, parallel) if intercept else model


def fit_nt(
    X: Array,
    y: Array,
    W: Array,
    sigma: Activation,
    alphas: Array,
    *,
    weight: Array | None = None,
    include_rf: bool = False,
    intercept: bool = True,
    parallel: bool = True,
) -> Linear:
    """The neural tangent model, or with *include_rf* that and random features, fitted as `fit_rf` says.

    Raises
    ------
    ValueError
        If sigma has no derivative, a feature is not finite, or alphas over the mean weight overflow.
    """
    n, d = X.shape
    N = len(W)
    weight, scaled = _relative(weight, alphas)
    square = sigma.is_square
    rank = min(N, d)
    by_forms = square and not include_rf
    size = rank * (2 * d - rank + 1) // 2 if by_forms else N * (d + include_rf)
    a, mean = None, _mean(X, intercept, weight)
    with _blas(parallel):
        if 2 * size <= n:  # for more features their Gram matrix costs more than the kernel and its factor
            if by_forms:
                forms = _Forms(W, mean)
                ridge = _fit_explicit(X, y, forms.features, forms.size, scaled, intercept, weight)
                b = _products(W, forms.moves(ridge.coefficients))
            else:

                def made(rows: Array) -> Array:
                    return _jacobian(rows, W, sigma, include_rf, parallel)

                ridge = _fit_explicit(X, y, made, size, scaled, intercept, weight)
                both = ridge.coefficients.T.reshape(-1, N, d + include_rf)
                b, a = np.ascontiguousarray(both[:, :, :d]), np.ascontiguousarray(both[:, :, d]) if include_rf else None
        else:
            slopes = _origin(X, W, sigma, 1, intercept, parallel, weight)
            if intercept:
                K = centred_nt_kernel(X, W, sigma, slopes, mean, parallel=parallel)
            else:
                K = nt_kernel(X, W, sigma, parallel=parallel)
                K *= N
            if include_rf:
                origin = _origin(X, W, sigma, 0, intercept, parallel, weight)
                K += centred_rf_kernel(X, W, sigma, origin, parallel=parallel)
            ridge = solve_dual(K, y, scaled, intercept=intercept, weight=weight)
            del K
            u = _dual(ridge, intercept, weight)
            if square:
                b = _products(W, _forms_of_dual(X, u, mean))
            else:
                b = nt_coefficients(X, u, W, sigma, origin=slopes, parallel=parallel)
            if include_rf:
                a = rf_coefficients(X, u, W, sigma, origin=origin, parallel=parallel).astype(W.dtype)
    ridge = _in_units(ridge, scaled, alphas)
    model = Linear(W, sigma, a, b, np.zeros(y.shape[1]), ridge)
    return _with_offset(model, X, y, weight, parallel) if intercept else model


def _relative(weight: Array | None, alphas: Array) -> tuple[Array | None, Array]:
    """Weights over their mean, None if all are equal, and alphas over that mean."""
    if weight is None:
        return None, alphas
    shares = weight / weight.max()  # no sum of these overflows
    relative = shares / shares.mean()
    with np.errstate(over="ignore"):
        scaled = alphas / shares.mean() / weight.max()
    if not np.isfinite(scaled).all():
        raise ValueError(
            f"alpha over the mean of sample_weight overflows float64, got weights up to {weight.max():.3g}; multiply "
            "sample_weight, and alpha, by a number"
        )
    return (None if (relative == 1).all() else relative), scaled


def _in_units(ridge: Ridge, scaled: Array, alphas: Array) -> Ridge:
    """What was solved for *scaled* penalties, as the solution for *alphas*."""
    return ridge._replace(alpha=float(alphas[scaled.tolist().index(ridge.alpha)]))


def _origin(
    X: Array,
    W: Array,
    sigma: Activation,
    derivative: int,
    intercept: bool,
    parallel: bool,
    weight: Array | None,
) -> Array:
    """Means of the features sigma(<w_i, x>), or of sigma' of it, over some of the samples, (N,), of W's dtype.

    Zero without an offset, which alone makes features that differ by a constant the same problem.
    """
    if not intercept:
        return np.zeros_like(W[:, 0])
    # Samples may be sorted, so a random choice stands for all.
    some = np.random.default_rng(0).permutation(len(X))[:_PILOT]
    made = features(X[some], W, sigma, derivative=derivative, parallel=parallel)
    return _average(made, None if weight is None else weight[some]).astype(W.dtype)


def _mean(X: Array, intercept: bool, weight: Array | None) -> Array:
    """The mean of the samples, (d,), of their dtype; zero without an offset, as above."""
    return _average(X, weight).astype(X.dtype) if intercept else np.zeros_like(X[0])


def _average(rows: Array, weight: Array | None) -> Array:
    """The mean of rows (n, m), (m,), float64, by *weight* (n,) if there is any."""
    return np.asarray(rows.mean(axis=0, dtype=np.float64) if weight is None else weight @ rows / weight.sum())


def _dual(ridge: Ridge, intercept: bool, weight: Array | None) -> Array:
    """The dual solution u (n, t), float64; with an offset it sums to zero, to float64's rounding."""
    u = ridge.coefficients.astype(np.float64)
    if not intercept:
        return u
    return u - u.mean(axis=0) * (1 if weight is None else weight[:, None])


def _forms_of_dual(X: Array, u: Array, mean: Array) -> list[Array]:
    """2 sum_s u_s x_s x_s^T for each column of u, whose sum is zero unless the *mean* is; float64."""
    centred, m = X.astype(np.float64) - mean, mean.astype(np.float64)
    forms = []
    for column in u.T:
        mixed = np.outer(m, column @ centred)
        forms.append(2 * (quadratic_form(centred, column) + mixed + mixed.T))
    return forms


def _with_offset(model: Linear, X: Array, y: Array, weight: Array | None, parallel: bool) -> Linear:
    """The model with the offset that makes its mean error on the samples zero, which takes in rounding, too."""
    return model._replace(offset=_average(y - model.values(X, parallel=parallel), weight))


class _Forms:
    """The features of sigma = x^2's tangent model in the right singular basis of W: x_j x_k times a weight."""

    def __init__(self, W: Array, mean: Array) -> None:
        self.mean = mean
        _, values, self.basis = (
            np.linalg.svd(W, full_matrices=True) if len(W) < W.shape[1] else np.linalg.svd(np.linalg.qr(W, mode="r"))
        )
        d = W.shape[1]
        s = np.zeros(d, W.dtype)
        s[: len(values)] = np.where(
            values > zero_level(values[0], max(W.shape), float(np.finfo(W.dtype).eps)), values, 0
        )
        self.j, self.k = np.triu_indices(d)
        self.strength = s[self.j] ** 2 + s[self.k] ** 2
        kept = self.strength > 0
        self.j, self.k, self.strength = self.j[kept], self.k[kept], self.strength[kept]
        self.size = len(self.j)

    def features(self, X: Array) -> Array:
        """Features (n, size) less those at the mean m: x_j x_k - m_j m_k = x_j xi_k + xi_j m_k for x = m + xi."""
        m, xi = self.basis @ self.mean, (X - self.mean) @ self.basis.T
        weight = np.where(self.j == self.k, np.sqrt(2), 2) * np.sqrt(self.strength)
        made = (xi + m)[:, self.j] * xi[:, self.k] + xi[:, self.j] * m[self.k]
        return np.asarray(made * weight.astype(X.dtype))

    def moves(self, theta: Array) -> Array:
        """Q (t, d, d) symmetric for coefficients (size, t): b = W Q is the least b for the function."""
        d = len(self.basis)
        Q = np.zeros((theta.shape[1], d, d), theta.dtype)
        # S_jj = 2 s_j theta, S_jk = sqrt(s_j^2 + s_k^2) theta; Q = S over the strength
        Q[:, self.j, self.k] = (theta / np.sqrt(self.strength)[:, None]).T * np.where(self.j == self.k, np.sqrt(2), 1)
        Q[:, self.k, self.j] = Q[:, self.j, self.k]
        return np.asarray(self.basis.T @ Q @ self.basis)


def _jacobian(X: Array, W: Array, sigma: Activation, include_rf: bool, parallel: bool) -> Array:
    """Features sigma'(<w_i, x>) x, each followed by sigma(<w_i, x>) with *include_rf*, (n, N (d + include_rf))."""
    n, d = X.shape
    out = np.empty((n, len(W), d + include_rf), X.dtype)
    np.multiply(features(X, W, sigma, derivative=1, parallel=parallel)[:, :, None], X[:, None, :], out=out[:, :, :d])
    if include_rf:
        out[:, :, d] = features(X, W, sigma, parallel=parallel)
    return out.reshape(n, -1)


@np.errstate(over="ignore", invalid="ignore")  # solve_primal refuses a matrix that has overflown
def _fit_explicit(
    X: Array,
    y: Array,
    made: Callable[[Array], Array],
    size: int,
    alphas: Array,
    intercept: bool,
    weight: Array | None,
) -> Ridge:
    """The primal on features that are made block by block."""
    n, root = len(X), weight_roots(y, weight)
    means, shift = np.zeros(size), response_means(y, intercept, weight)
    if intercept:
        for part in _parts(n, size):
            means += root[part] ** 2 @ made(X[part])
        means /= n

    def blocks() -> Iterator[tuple[slice, Array]]:
        for part in _parts(n, size):
            block = made(X[part])
            block -= means.astype(block.dtype)
            if weight is not None:
                block *= root[part, None].astype(block.dtype)
            yield part, block

    gram, moments = np.zeros((size, size), X.dtype), np.zeros((size, y.shape[1]), X.dtype)
    for part, block in blocks():
        gram += block.T @ block
        moments += block.T @ (root[part, None] * (y[part] - shift)).astype(X.dtype)
    return solve_primal(gram, moments, means, y, alphas, blocks, intercept=intercept, weight=weight)


def _products(W: Array, several: Iterable[Array]) -> Array:
    """W Q for each Q, (t, N, d): products of two matrices, which NumPy leaves to BLAS."""
    return np.stack([(W @ Q).astype(W.dtype) for Q in several])


def _form(W: Array, a: Array | None, b: Array | None) -> Array:
    """S (t, d, d), symmetric, float64, for which sigma = x^2 gives <x, S x>."""
    S: Any = 0.0
    wide = W.astype(np.float64)
    if b is not None:
        S = np.stack([part.T @ wide for part in b])
        S = S + S.transpose(0, 2, 1)
    if a is not None:
        S = S + np.stack([quadratic_form(wide, second) for second in a])
    if not np.isfinite(S).all():
        raise ValueError("the fitted function overflows float64; divide X, W or y by a number")
    return np.asarray(S)


def _take_out(gram: Array, means: Array, n: int) -> None:
    """Take n means means^T out of a Gram matrix, in place."""
    for start in range(0, len(gram), 64):
        gram[start : start + 64] -= (n * means[start : start + 64, None] * means).astype(gram.dtype)


def _parts(n: int, size: int) -> Iterator[slice]:
    """Samples of which all features are made at a time."""
    step = max(1, min(n, _BLOCK // size))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


@contextmanager
def _blas(parallel: bool) -> Iterator[None]:
    """BLAS on one thread unless *parallel*, and no word of overflow, which is looked for where a result is known."""
    with nullcontext() if parallel else one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        yield
