"""Slow twins in many digits: risks of rows that nearly agree, and of huge scales. Imports nothing of the package."""

from __future__ import annotations

import mpmath
import numpy as np
from mpmath import mp, mpf


def dot(u, v):
    return mpmath.fsum(x * y for x, y in zip(u, v, strict=True))


def many_digits(array):
    """A matrix as rows of numbers of many digits, exactly as it is."""
    return [[mpf(float(x)) for x in row] for row in np.asarray(array)]


def best_risk(K, V, B):
    """2 |B|^2 - V^T K^+ V by elimination with pivots; below 1e-60 of the largest they are zero."""
    K, V, risk = [list(row) for row in K], list(V), 2 * mpmath.fsum(x * x for row in B for x in row)
    active = list(range(len(V)))
    top = max(K[i][i] for i in active)
    while active:
        p = max(active, key=lambda i: K[i][i])
        if K[p][p] < mpf(10) ** -60 * top:
            break
        active.remove(p)
        risk -= V[p] ** 2 / K[p][p]
        for i in active:
            factor = K[i][p] / K[p][p]
            V[i] -= factor * V[p]
            for j in active:
                K[i][j] -= factor * K[p][j]
    return float(risk)


def _prepared(B, W):
    """B, rows of norm one and their norms, in many digits, and the numbers <u_i, B u_i> and B u_i."""
    B, W = many_digits(B), many_digits(W)
    r = [mpmath.sqrt(dot(w, w)) for w in W]
    U = [[x / norm for x in w] for w, norm in zip(W, r, strict=True)]
    images = [[dot(row, u) for row in B] for u in U]
    return B, U, r, images, [dot(image, u) for image, u in zip(images, U, strict=True)]


def _angle(u, v):
    near = mpmath.sqrt(mpmath.fsum((x - y) ** 2 for x, y in zip(u, v, strict=True)))
    far = mpmath.sqrt(mpmath.fsum((x + y) ** 2 for x, y in zip(u, v, strict=True)))
    return 2 * mpmath.atan2(near, far)


def rf_risk(name, B, W, digits=90):
    """Exact risk of random features for "square", "exp" or "relu"."""
    with mp.workdps(digits):
        B, U, r, _, q = _prepared(B, W)
        e = [mpmath.exp(norm**2 / 2) for norm in r]
        V = {
            "square": lambda i: 2 * q[i],
            "exp": lambda i: e[i] * r[i] ** 2 * q[i],
            "relu": lambda i: q[i] / mpmath.sqrt(2 * mp.pi),
        }[name]

        def relu(i, j):
            theta = _angle(U[i], U[j])
            return (mpmath.sin(theta) + (mp.pi - theta) * mpmath.cos(theta) - 1) / (2 * mp.pi)

        entry = {
            "square": lambda i, j: 2 * dot(U[i], U[j]) ** 2,
            "exp": lambda i, j: e[i] * e[j] * mpmath.expm1(r[i] * r[j] * dot(U[i], U[j])),
            "relu": relu,
        }[name]
        N = range(len(U))
        return best_risk([[entry(i, j) for j in N] for i in N], [V(i) for i in N], B)


def nt_risk(name, B, W, digits=90):
    """Exact risk of the tangent model for "exp" or "relu"."""
    with mp.workdps(digits):
        B, U, r, images, q = _prepared(B, W)
        d = range(len(B))

        def exp_moments(i):
            e = mpmath.exp(r[i] ** 2 / 2)
            return r[i] * e, r[i] ** 3 * e

        def exp_block(i, j):
            A = mpmath.exp((r[i] ** 2 + r[j] ** 2) / 2 + r[i] * r[j] * dot(U[i], U[j]))
            return A, r[i] ** 2 * A, r[j] ** 2 * A, r[i] * r[j] * A

        def relu_block(i, j):
            theta = mpf(0) if i == j else _angle(U[i], U[j])
            sine = mpmath.sin(theta) or mp.inf
            own = -mpmath.cos(theta) / (2 * mp.pi * sine)
            return (mp.pi - theta) / (2 * mp.pi), own, own, 1 / (2 * mp.pi * sine)

        root = mpmath.sqrt(2 * mp.pi)
        moments = {"exp": exp_moments, "relu": lambda i: (1 / root, -1 / root)}[name]
        block = {"exp": exp_block, "relu": relu_block}[name]
        K, V = [], []
        for i, u in enumerate(U):
            h1, h3 = moments(i)
            V += [2 * h1 * images[i][k] + h3 * q[i] * u[k] for k in d]
            rows = [[] for _ in d]
            for j, v in enumerate(U):
                A, own, other, cross = block(i, j)
                mean = h1 * moments(j)[0]
                for k in d:
                    rows[k] += [
                        A * (k == m) + own * u[k] * u[m] + other * v[k] * v[m] + cross * (u[k] * v[m] + v[k] * u[m])
                        - mean * u[k] * v[m]
                        for m in d
                    ]  # fmt: skip
            K += rows
        return best_risk(K, V, B)


def lazy_risk(B, W, a, alpha):
    """2 times the squares of those eigenvalues of B + alpha W^T diag(a) W that signs and numbers of a leave."""
    with mp.workdps(60 + 2 * max(0, round(float(mpmath.log10(alpha))))):
        B, W = many_digits(B), many_digits(W)
        d = range(len(B))
        a = [mpf(float(x)) for x in a]
        T = mpmath.matrix(
            [
                [B[i][j] + mpf(alpha) * mpmath.fsum(x * w[i] * w[j] for x, w in zip(a, W, strict=True)) for j in d]
                for i in d
            ]
        )
        values = sorted(mpmath.eigsy(T, eigvals_only=True))
        positive, negative = sum(x > 0 for x in a), sum(x < 0 for x in a)
        left = [
            x for k, x in enumerate(values) if not ((k >= len(values) - positive and x > 0) or (k < negative and x < 0))
        ]
        return float(2 * mpmath.fsum(x * x for x in left))
