"""The tangent model of inputs that are Gaussian in one class or in two: what both have in common, and its best risk.

A class has inputs z = s g, with standard deviations s and g ~ N(0, I). So the features sigma'(<u_i, z>) z with
coefficients b are those of the rows u_i s with coefficients b s, for standard normal inputs, and their covariances are
s K s, with K the centred `nt_gram` of these rows. A ridge is on the coefficients of x = A z; they are expressed in an
orthonormal basis of the range of A, so that b A = beta L with |b| = |beta|, and L is the *frame*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy._support.rounding import check_risk
from fastlazy._support.singular import EPS, PROMISE, warn_of_rounding, warn_of_short_rows
from fastlazy.activations.activation import Activation
from fastlazy.kernels.nt_gram import (
    TangentGram,
    dense,
    rotate,
    tangent_gram,
    tangent_product,
    tangent_rounding,
    tangent_slopes,
)
from fastlazy.risk.conjugate import TOO_LARGE, Problem, add_multiple, minimise, warn_of_convergence
from fastlazy.risk.nt_preconditioner import inverse, model_of
from fastlazy.risk.nt_solver import SMALL, drowned, merged, solve_dense

_MEAN_ERROR = 50 * EPS  # the error of a feature's mean, over the root of its mean square


class Class(NamedTuple):
    """The tangent features of one class, for standard normal inputs; without any if the class has no spread."""

    gram: TangentGram | None
    spread: Array  # (k,) the standard deviations
    g: Array  # (N, K) normalised Hermite coefficients of sigma' at the rows
    mean: Array  # (N, k) means of the features
    unit: Array  # (N, k) directions of the rows

    def product(self, b: Array) -> Array:
        """Their covariances times b (N, k)."""
        return np.zeros_like(b) if self.gram is None else tangent_product(self.gram, b)


class Features(NamedTuple):
    """The tangent features of all classes, equally likely, with the mean of their covariances and between between^T."""

    classes: Sequence[Class]
    between: Array  # (N, k) half the difference of the means of two classes, zero if there is one class
    frame: Array | None  # (k, k) L, or None if there is no ridge
    drowned: float  # the share of the null risk that rounding may drown, as rows are short

    def forth(self, part: Class, b: Array) -> Array:
        """Coefficients of the standard normal inputs of a class for the coefficients b (N, k) that are solved for."""
        return (b if self.frame is None else b @ self.frame) * part.spread

    def back(self, part: Class, b: Array) -> Array:
        """The transpose of `forth`."""
        moved = b * part.spread
        return moved if self.frame is None else moved @ self.frame.T

    def product(self, ridge: float, b: Array) -> Array:
        """The covariance, and the ridge, times b (N, k)."""
        result = float(np.vdot(self.between, b)) * self.between
        for part in self.classes:
            result += self.back(part, part.product(self.forth(part, b))) / len(self.classes)
        add_multiple(b, result, ridge)
        return result

    def dense(self) -> Array:
        """The covariance (N k, N k)."""
        N, k = self.between.shape
        H = np.zeros((N, k, N, k))
        for part in self.classes:
            if part.gram is not None:
                K = dense(part.gram).reshape(H.shape) * part.spread[:, None, None] * part.spread / len(self.classes)
                L = self.frame
                H += K if L is None else np.einsum("pj,ijlm,qm->iplq", L, K, L, optimize=True)
        H = H.reshape(N * k, N * k)
        return (H + H.T) / 2 + np.outer(self.between, self.between)

    def rounding(self, b: Array) -> float:
        """How far off the risk of the coefficients b (N, k) may be."""
        total = 0.0
        for part in self.classes:
            if part.gram is not None:
                moved = self.forth(part, b)
                total += tangent_rounding(part.gram, moved) / len(self.classes)
                sizes = np.linalg.norm(moved, axis=1) * np.sqrt(part.gram.squares)
                total += _MEAN_ERROR * float(np.linalg.norm(sizes))
        return total


def tangent_features(
    spreads: Sequence[Array], rows: Array, sigma: Activation, frame: Array | None, parallel: bool
) -> Features:
    """The features of the *rows* u_i (N, k) in classes of these standard deviations."""
    classes, share = [], 1.0
    for spread in spreads:
        if not spread.any():  # z = 0, and so are the features
            classes.append(Class(None, spread, np.zeros((len(rows), 4)), np.zeros_like(rows), np.zeros_like(rows)))
            continue
        slopes = tangent_slopes(rows * spread, sigma)
        share = min(share, drowned(slopes.varying))  # a class that sees sigma' vary is enough
        gram = tangent_gram(slopes, np.dtype(np.float64), True, parallel)
        classes.append(Class(gram, spread, slopes.g, gram.mean, slopes.unit))
    features = Features(classes, np.zeros_like(rows), frame, share)
    if len(classes) == 1:
        return features
    means = [features.back(part, part.mean) for part in classes]
    return features._replace(between=(means[0] - means[1]) / 2)


def square_rows(W: Array) -> Array:
    """At most d rows (m, d) with which x^2 has the risk of the rows W (N, d), with any ridge.

    With W = Q R, W^T b + b^T W = R^T Q^T b + (Q^T b)^T R, and |Q^T b| is at most |b|.
    """
    return W if len(W) <= W.shape[1] else np.asarray(np.linalg.qr(W, mode="r"))


def best_risk(
    features: Features,
    V: Array,
    null_risk: float,
    rows: Array,
    sigma: Activation,
    ridge: float,
    tolerance: float,
    max_iterations: int,
    parallel: bool,
) -> float:
    """The risk of the best coefficients, for covariances V (N, k) with what is learned, for solvers of `nt_risk`."""
    if not V.any():
        return null_risk
    warn_of_short_rows("nt_risk", features.drowned, 4)
    hidden = 0.0
    if rows.size <= SMALL:
        U = features.dense()
        squares = U.diagonal().reshape(V.shape).max(axis=1)
        b, hidden = solve_dense(U, squares, V, ridge)
        gain = 2 * float(np.vdot(b, V)) - float(b.ravel() @ U @ b.ravel())
        risk = check_risk("nt_risk", null_risk - gain, TOO_LARGE)
    else:
        precondition, margin = _preconditioner(features, rows, sigma, ridge, parallel)

        def product(b: Array) -> Array:
            return features.product(ridge, b)

        def penalty(b: Array) -> float:
            return ridge * float(np.vdot(b, b))

        problem = Problem(product, penalty, V, null_risk, tolerance, max_iterations, margin)
        best = minimise(problem, precondition)
        b, risk = best.b, best.risk
        if warn_of_convergence(problem, best, 4):
            return risk
    if ridge == 0 and any(merged(part.unit) for part in features.classes):
        hidden = math.inf
    error = 0.0 if features.drowned > PROMISE else (features.rounding(b) + min(hidden, risk)) / null_risk
    warn_of_rounding("risk of the tangent model", error, max(tolerance * risk / null_risk, PROMISE), 4)
    return risk


def _preconditioner(
    features: Features, rows: Array, sigma: Activation, ridge: float, parallel: bool
) -> tuple[Callable[[Array], Array], float]:
    """The inverse of what the covariance nearly is if z ~ N(0, I) in all classes, and the margin of the iteration.

    With a frame L = V sqrt(s) Z^T and coefficients over (s + ridge / c)^(1/2), c the noise of a feature, the operator
    along V is (s K + ridge) / (s + ridge / c), between K and c whatever s is. The mean share of c stands for all.
    """
    gram = features.classes[0].gram
    if gram is None or len(features.classes) > 1:
        gram = tangent_gram(tangent_slopes(rows, sigma), np.dtype(np.float64), True, parallel)
    if features.frame is None:
        model = model_of(gram, ridge)
        undo = inverse(model, rotate(gram, model.basis))
        return lambda R: undo(R @ model.basis) @ model.basis.T, model.margin
    V, root, Z = np.linalg.svd(features.frame)
    noise = max(float(np.mean(gram.squares - gram.g[:, 0] ** 2)), EPS * float(np.max(gram.squares)))
    weight = root**2 + ridge / noise
    share = min(float(np.mean(ridge / noise / weight)), 1 - EPS)
    model = model_of(gram, noise * share / (1 - share))
    undo = inverse(model, rotate(gram, model.basis))
    turned = (V / np.sqrt(weight)) @ Z @ model.basis
    return lambda R: undo(R @ turned) @ turned.T, model.margin
