"""Slow twins of learning curves: matrices and bisection, and the theorem for the mean over weights as published."""

from __future__ import annotations

import math

import numpy as np


def bisected(excess, low=-80.0, high=80.0):
    """The place where an increasing function of the logarithm turns positive."""
    for _ in range(300):
        middle = (low + high) / 2
        low, high = (low, middle) if excess(math.exp(middle)) > 0 else (middle, high)
    return math.exp(low)


def curve(K, V, null, n, ridge):
    """The risk of n samples for features of covariance K, by inverses."""
    unit = np.eye(len(K))

    def degrees(nu, power):
        return np.trace(np.linalg.matrix_power(K @ np.linalg.inv(K + nu * unit), power))

    nu = bisected(lambda nu: nu * (1 - degrees(nu, 1) / n) - ridge)
    a = np.linalg.solve(K + nu * unit, V)
    return (null - 2 * a @ V + a @ K @ a) / (1 - degrees(nu, 2) / n)


def rf_mean(B, N, n, ridge, lam1, lam2, tau):
    """Mean over weights with rows of length one, in the symbols of arXiv:2405.15699; degrees above two are noise.

    Ratio. Features are over sqrt(N), so that the penalty on the sum is lam = n ridge / N.
    """
    d = len(B)
    xi = np.concatenate(
        [np.full(d, lam1**2 / d), np.full(d * (d + 1) // 2 - 1, lam2**2 / (d * (d + 2))), [lam2**2 / (2 * d)]]
    )
    traceless, trace = 2 * (np.sum(B**2) - np.trace(B) ** 2 / d), 2 * np.trace(B) ** 2 / d
    lam = n * ridge / N

    def df(nu, power):
        return np.sum((xi / (xi + nu)) ** power) + (tau / nu if power == 1 else 0.0)

    def first(nu2):
        return nu2 * (1 - df(nu2, 1) / N)

    # nu1 = first(nu2), and n - lam / nu1 = df1(nu2)
    nu2 = bisected(lambda nu: first(nu) * (n - df(nu, 1)) - lam if first(nu) > 0 else -1.0)
    nu1 = first(nu2)
    df2 = df(nu2, 2)
    chi = (np.sum(xi / (xi + nu2) ** 2) + tau / nu2**2) / (N - df2)
    upsilon = N / n * ((1 - nu1 / nu2) ** 2 + (nu1 / nu2) ** 2 * df2 / (N - df2))
    lost = 0.0
    for share, place in ((traceless, lam2**2 / (d * (d + 2))), (trace, lam2**2 / (2 * d))):
        lost += share / (place + nu2) ** 2 * (1 + chi * place)
    return nu2**2 / (1 - upsilon) * lost / (2 * np.sum(B**2))
