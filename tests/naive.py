"""Slow twins: the same quantities by the plainest means. Imports nothing of the package it checks."""

from __future__ import annotations

import itertools

import numpy as np


def features(W, X):
    """Quadratic random features <w_i, x>^2 of every row x, (n, N)."""
    return (X @ W.T) ** 2


def tangent_features(W, X):
    """Features 2 <w_i, x> x_j of every row x, (n, N d)."""
    return np.stack([np.outer(2 * (W @ x), x).ravel() for x in X])


def form_moment(S, T):
    """E[<x, S x> <x, T x>] for x ~ N(0, I), by Isserlis' theorem, summed index by index."""
    d = len(S)
    total = 0.0
    for i, j, k, m in itertools.product(range(d), repeat=4):
        pairings = (i == j) * (k == m) + (i == k) * (j == m) + (i == m) * (j == k)
        total += S[i, j] * T[k, m] * pairings
    return total


def best_risk(forms, B):
    """min over c, theta of E[(sum theta_k <x, S_k x> + c - <x, B x>)^2]: least squares on matrices.

    With the offset fitted, the squared error is 2 |sum theta_k S_k - B|_F^2.
    """
    design = np.stack([((S + S.T) / 2).ravel() for S in forms], axis=1)
    theta = np.linalg.lstsq(design, B.ravel(), rcond=1e-12)[0]
    return 2 * np.sum((design @ theta - B.ravel()) ** 2)


def rf_forms(W):
    """The matrices of the random features."""
    return [np.outer(w, w) for w in W]


def nt_forms(W):
    """The matrices of the tangent features: 2 w_i e_j^T, made symmetric."""
    d = W.shape[1]
    return [np.outer(w, e) + np.outer(e, w) for w in W for e in np.eye(d)]


def ridge_risk(forms, B, ridge):
    """Risk, without the penalty, of the theta that minimises 2 |sum theta_k S_k - B|^2 + ridge |theta|^2."""
    design = np.stack([S.ravel() for S in forms], axis=1)
    theta = np.linalg.solve(2 * design.T @ design + ridge * np.eye(len(forms)), 2 * design.T @ B.ravel())
    return 2 * np.sum((design @ theta - B.ravel()) ** 2)


def loss(W, a, c, X, y):
    """Mean squared error of the network on a batch."""
    return np.mean((((X @ W.T) ** 2) @ a + c - y) ** 2)


def sgd(W, a, c, X, y, b, rates, second_layer, sigma=(np.square, lambda z: 2 * z), metric=None):
    """Plain SGD, one minibatch after another, on copies; returns W, a, c.

    *a* is a vector throughout; for "scalar" all its entries move together, by the gradient of the common
    factor. *sigma* is the non-linearity and its derivative. *metric* (d, d) multiplies the gradient of W.
    """
    function, slope = sigma
    W, a = W.copy(), a.copy()
    start = 0
    for eta_W, eta_a, eta_c in rates:
        x, t = X[start : start + b], y[start : start + b]
        start += b
        z = x @ W.T
        h = function(z)
        e = h @ a + c - t
        grad_W = 2 * ((e[:, None] * slope(z)) * a).T @ x / len(x)
        if second_layer == "free":
            grad_a = 2 * e @ h / len(x)
        elif second_layer == "scalar":
            grad_a = 2 * e @ np.sum(h, axis=1) / len(x)
        else:
            grad_a = 0.0
        W -= eta_W * (grad_W if metric is None else grad_W @ metric)
        a -= eta_a * grad_a
        c -= eta_c * 2 * np.mean(e)
    return W, a, c


def rf_limit_isotropic(B, N):
    """Refined prediction for x^2 and isotropic W in closed form, the effective M by a scan and bisection."""
    d = len(B)
    low, high = 0.0, 1e12
    for _ in range(300):
        M = (low + high) / 2
        taken = d * (d + 1) / 2 * (4 * M / d**2) / (1 + 4 * M / d**2)
        low, high = (M, high) if taken < N else (low, M)
    m = np.trace(B) ** 2 / (d * np.sum(B**2))
    return (1 - m) / (1 + 4 * M / d**2) + m / (1 + 4 * M * (1 / d**2 + 1 / (2 * d)))


def rf_limit(B, cov, N, lam1=0.0, lam2=2.0, tau=0.0):
    """Ratio of RF as N, d grow together; psi by bisection on its equation as it stands. Default: sigma = x^2."""
    d = len(B)
    cov = cov / np.trace(cov)
    t = d * np.linalg.eigvalsh(cov)
    low, high = 0.0, N / d / (tau + lam2**2 / 2)
    for _ in range(300):
        psi = (low + high) / 2
        excess = np.mean(lam1**2 * t / (1 + lam1**2 * t * psi)) + tau + lam2**2 / 2 - N / d / psi
        low, high = (psi, high) if excess < 0 else (low, psi)
    gain = lam2**2 * psi * d
    return 1 - gain * np.trace(cov @ B) ** 2 / (np.sum(B**2) * (2 + gain * np.sum(cov**2)))


def rf_limit_refined(B, cov, N, lam1=0.0, lam2=2.0, tau=0.0):
    """Ratio b^T (I + M A)^{-1} b / |b|^2 with the d^2 x d^2 matrix A; M by bisection on N = M tau + sum s / (1 + s)."""
    d = len(B)
    cov = cov / np.trace(cov)
    g = np.linalg.eigvalsh(cov)
    strengths = [lam1**2 * x for x in g] + [lam2**2 * g[j] * g[k] for j in range(d) for k in range(j + 1)]
    low, high = 0.0, 1e9
    for _ in range(300):
        M = (low + high) / 2
        taken = M * tau + sum(M * s / (1 + M * s) for s in strengths)
        low, high = (M, high) if taken < N else (low, M)
    A = lam2**2 * (np.kron(cov, cov) + np.outer(cov.ravel(), cov.ravel()) / 2)
    return B.ravel() @ np.linalg.solve(np.eye(d * d) + M * A, B.ravel()) / np.sum(B**2)


def nt_limit(B, cov, N):
    """Ratio of NT for N < d and a regular cov, in matrices: Q = (I + z cov)^{-1} with tr Q = d - N."""
    d = len(B)
    low, high = 0.0, 1e9
    for _ in range(300):
        z = (low + high) / 2
        Q = np.linalg.inv(np.eye(d) + z * cov)
        low, high = (z, high) if np.trace(Q) > d - N else (low, z)
    spread = np.trace(Q @ cov @ Q @ B) ** 2 / (N - z**2 * np.trace(Q @ cov @ Q @ cov))
    return (np.trace(Q @ B @ Q @ B) + z**2 * spread) / np.sum(B**2)


def quadratic_risk(S, c, B, b0):
    """E[(<x, S x> + c - <x, B x> - b0)^2], expanded, each moment index by index."""
    D, offset = S - B, c - b0
    return form_moment(D, D) + 2 * offset * np.trace(D) + offset**2


def erf(x):
    """The error function in extended precision, (n,): 2 / sqrt(pi) e^(-x^2) sum of x (2 x^2)^k / (2 k + 1)!!."""
    x = np.asarray(x, np.longdouble)
    total = term = np.minimum(np.abs(x), 7)
    square = term * term
    for k in range(1, 250):
        term = term * 2 * square / (2 * k + 1)
        total = total + term
    return np.sign(x) * total * np.exp(-square) / np.sqrt(np.arctan(np.longdouble(1)))


def gaussian_mean(function, span=14.0, step=1e-3):
    """E[function(G)] by the trapezoidal rule: to rounding if it is smooth, to step^2 at a kink, to step at a jump."""
    count = round(span / step)
    x = (np.arange(-count, count) + 0.5) * step  # so that 0 lies between two points
    return np.sum(function(x) * np.exp(-x * x / 2)) * step / np.sqrt(2 * np.pi)


def hermite(k, x):
    """He_k(x) / sqrt(k!), by the recurrence."""
    before, now = 0.0, np.ones_like(x)
    for j in range(k):
        before, now = now, (x * now - np.sqrt(j) * before) / np.sqrt(j + 1)
    return now


def hermite_coefficient(function, r, k, **rule):
    """E[function(r G) He_k(G)] / sqrt(k!)."""
    return gaussian_mean(lambda x: function(r * x) * hermite(k, x), **rule)


def rf_risk(B, W, function, degree=25):
    """Exact risk of random features of any function, by Mehler's series and a solve; rows must not be parallel."""
    r = np.linalg.norm(W, axis=1)
    cosine = (W / r[:, None]) @ (W / r[:, None]).T
    x = (np.arange(-1400, 1400) + 0.5) / 100
    density = np.exp(-x * x / 2) / np.sqrt(2 * np.pi) / 100
    values = function(np.outer(r, x))
    h = np.array([(values * hermite(k, x)) @ density for k in range(degree)])
    U = sum(cosine**k * np.outer(h[k], h[k]) for k in range(1, degree))
    np.fill_diagonal(U, values**2 @ density - h[0] ** 2)
    V = np.einsum("ij,jk,ik->i", W, B, W) * np.sqrt(2) * h[2] / r**2
    return 2 * np.sum(B**2) - V @ np.linalg.solve(U, V)
