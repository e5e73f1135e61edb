"""Slow twins for two Gaussian classes: moments of all features, class by class, and least squares on them.

A class is the covariance C of x. The moments of sigma are given by functions, as `line` and `plane` of `naive_moments`
are: mean(r, p) = E[f(r G) G^p], and pair(r, s, cosine, powers) = E[f(r u) f(s v) u^p t^q] for each (p, q) of powers,
with t across u in the plane of u and v. Imports nothing of the package it checks.
"""

from __future__ import annotations

import naive
import numpy as np
import scipy.optimize


def best_risk(plus, minus, ridge=0.0):
    """The risk of the best <theta, phi> + c for y = 1 and -1, from the means and covariances of phi in both classes."""
    (m_plus, C_plus), (m_minus, C_minus) = plus, minus
    V = (m_plus - m_minus) / 2
    U = (C_plus + C_minus) / 2 + np.outer(V, V)
    theta = np.linalg.lstsq(U + ridge * np.eye(len(U)), V, rcond=1e-13)[0]
    return 1 - 2 * theta @ V + theta @ U @ theta


def network_risk(plus, minus, theta, c):
    """The risk of <theta, phi> + c: that of each class, and their mean."""
    risks = [theta @ C @ theta + (theta @ m + c - y) ** 2 for y, (m, C) in ((1, plus), (-1, minus))]
    return (risks[0] + risks[1]) / 2


def form_moments(C, forms):
    """Means and covariances of <x, S x> for each S of *forms*, index by index."""
    L = np.linalg.cholesky(C)
    inner = [L.T @ ((S + S.T) / 2) @ L for S in forms]
    mean = np.array([np.trace(T) for T in inner])
    second = np.array([[naive.form_moment(S, T) for T in inner] for S in inner])
    return mean, second - np.outer(mean, mean)


def rf_moments(C, W, mean, pair):
    """Means and covariances of sigma(<w_i, x>)."""
    rows = W @ np.linalg.cholesky(C)
    r = np.linalg.norm(rows, axis=1)
    means = np.array([mean(x, 0) for x in r])
    second = np.empty((len(W), len(W)))
    for i, j in np.ndindex(second.shape):
        cosine = 1.0 if i == j else rows[i] @ rows[j] / (r[i] * r[j])
        (second[i, j],) = pair(r[i], r[j], cosine, [(0, 0)])
    return means, second - np.outer(means, means)


def nt_moments(C, W, mean, pair):
    """Means and covariances of sigma'(<w_i, x>) x, the moments given being those of sigma'."""
    L = np.linalg.cholesky(C)
    rows = W @ L
    N, d = rows.shape
    r = np.linalg.norm(rows, axis=1)
    unit = rows / r[:, None]
    means = np.stack([L @ (mean(x, 1) * u) for x, u in zip(r, unit, strict=True)]).ravel()
    second = np.empty((N, d, N, d))
    for i, j in np.ndindex(N, N):
        cosine = 1.0 if i == j else unit[i] @ unit[j]
        none, along, across, mixed = pair(r[i], r[j], cosine, [(0, 0), (2, 0), (0, 2), (1, 1)])
        block = none * np.eye(d) + (along - none) * np.outer(unit[i], unit[i])
        if i != j:
            t = unit[j] - cosine * unit[i]
            t /= np.linalg.norm(t)
            block += (across - none) * np.outer(t, t) + mixed * (np.outer(unit[i], t) + np.outer(t, unit[i]))
        second[i, :, j] = L @ block @ L.T
    return means, second.reshape(N * d, N * d) - np.outer(means, means)


def quadratic_optimum(Sigma, Delta, N):
    """The least risk over S = sum_i a_i w_i w_i^T, i <= N, by plain minimisation from random starts and signs."""
    d = len(Sigma)

    def risk(w, a):
        S = (w.reshape(N, d).T * a) @ w.reshape(N, d)
        return (1 + np.sum(S * Delta)) ** 2 + 2 * np.trace(S @ Sigma @ S @ Sigma + S @ Delta @ S @ Delta)

    rng = np.random.default_rng(N)
    starts = [(rng.standard_normal(N * d) / 2, rng.choice([-1.0, 1.0], N)) for _ in range(20)]
    return min(scipy.optimize.minimize(risk, w, args=(a,)).fun for w, a in starts)
