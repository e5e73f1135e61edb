"""Slow twin of the prediction by harmonic sectors: integrals for coefficients, matrices, plain iteration."""

from __future__ import annotations

import math

import naive
import numpy as np
from scipy.special import eval_gegenbauer, roots_genlaguerre


def power_coefficient(k, sector, d):
    """a_kl of t^k = sum_l a_kl P_l(t) for d > 2: D_l times the mean of t^k P_l(t), t a coordinate on the sphere."""
    angle = (np.arange(20_000) + 0.5) * math.pi / 20_000
    t, weight = np.cos(angle), np.sin(angle) ** (d - 2)
    P = eval_gegenbauer(sector, d / 2 - 1, t) / eval_gegenbauer(sector, d / 2 - 1, 1.0)
    return np.sum(weight * t**k * P) / np.sum(weight * P * P)


def rf_limit(function, B, N, length=1.0, degrees=20, classes=9):
    """Ratio of RF for isotropic rows: m_r of each class by iteration from below, Q_l by inverses."""
    d = len(B)
    nodes, shares = roots_genlaguerre(classes, d / 2 - 1)
    r, shares = length * np.sqrt(2 * nodes / d), shares / np.sum(shares)
    hn = np.array([[naive.hermite_coefficient(function, x, k) for k in range(degrees + 1)] for x in r])
    squares = np.array([naive.gaussian_mean(lambda g, x=x: function(x * g) ** 2) for x in r])
    tau = squares - np.sum(hn**2, axis=1)
    vectors, sizes = [], []
    for sector in range(degrees + 1):
        degree = list(range(max(sector, 2 - sector % 2), degrees + 1, 2))
        vectors.append(hn[:, degree] * np.sqrt([power_coefficient(k, sector, d) for k in degree]))
        sizes.append(math.comb(d + sector - 1, sector) - (math.comb(d + sector - 3, sector - 2) if sector > 1 else 0))

    def operators(m):
        return [
            np.linalg.inv(np.eye(v.shape[1]) + N * (v.T * shares * m) @ v / size)
            for v, size in zip(vectors, sizes, strict=True)
        ]

    m = np.zeros(classes)
    for _ in range(20_000):
        used = sum(np.einsum("ci,ij,cj->c", v, Q, v) for v, Q in zip(vectors, operators(m), strict=True))
        before, m = m, 1 / (tau + used)
        if np.abs(m - before).max() < 1e-13 * m.max():
            break
    Q = operators(m)
    trace = np.trace(B) ** 2 / (d * np.sum(B**2))
    return trace * Q[0][0, 0] + (1 - trace) * Q[2][0, 0]
