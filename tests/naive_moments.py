"""Gaussian moments of features by the plainest means: closed forms in many digits, panels that end at every kink."""

from __future__ import annotations

import math

import mpmath
import numpy as np
from mpmath import mp

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


def _relu(r, s, k):
    c = max(-1, min(1, k / (r * s)))
    theta = mp.acos(c)
    return r * s * (mp.sin(theta) + (mp.pi - theta) * c) / (2 * mp.pi)


def _step(r, s, k):
    return mpmath.mpf(1) / 2 - mp.acos(max(-1, min(1, k / (r * s)))) / (2 * mp.pi)


def _he3(r, s, k):
    return 9 * r**2 * s**2 * k + 6 * k**3 - 9 * (r**2 + s**2) * k + 9 * k


# E sigma(u), E sigma(u) He_2(u / r) and E sigma(u) sigma(v) for normals u, v of deviations r, s and covariance k.
CLOSED = {
    "linear": (lambda r: 0, lambda r: 0, lambda r, s, k: k),
    "square": (lambda r: r**2, lambda r: 2 * r**2, lambda r, s, k: 2 * k**2 + r**2 * s**2),
    "he2": (lambda r: r**2 - 1, lambda r: 2 * r**2, lambda r, s, k: 2 * k**2 + (r**2 - 1) * (s**2 - 1)),
    "he3": (lambda r: 0, lambda r: 0, _he3),
    "step": (lambda r: mpmath.mpf(1) / 2, lambda r: 0, _step),
    "relu": (lambda r: r / mp.sqrt(2 * mp.pi), lambda r: r / mp.sqrt(2 * mp.pi), _relu),
    "leaky_relu": (
        lambda r: (1 - mpmath.mpf(0.01)) * r / mp.sqrt(2 * mp.pi),
        lambda r: (1 - mpmath.mpf(0.01)) * r / mp.sqrt(2 * mp.pi),
        lambda r, s, k: mpmath.mpf(0.01) * k + (1 - mpmath.mpf(0.01)) ** 2 * _relu(r, s, k),
    ),
    "erf": (
        lambda r: 0,
        lambda r: 0,
        lambda r, s, k: 2 / mp.pi * mp.asin(2 * k / mp.sqrt((1 + 2 * r**2) * (1 + 2 * s**2))),
    ),
    "sin": (lambda r: 0, lambda r: 0, lambda r, s, k: mp.exp(-(r**2 + s**2) / 2) * mp.sinh(k)),
    "cos": (
        lambda r: mp.exp(-(r**2) / 2),
        lambda r: -(r**2) * mp.exp(-(r**2) / 2),
        lambda r, s, k: mp.exp(-(r**2 + s**2) / 2) * mp.cosh(k),
    ),
    "exp": (
        lambda r: mp.exp(r**2 / 2),
        lambda r: r**2 * mp.exp(r**2 / 2),
        lambda r, s, k: mp.exp((r**2 + s**2) / 2 + k),
    ),
}  # of leaky_relu: 0.01 x + 0.99 relu, and E u relu(v) = k / 2, so .0001 k + 2 * .01 * .99 k / 2 = .01 k


def _dot(u, v):
    return mpmath.fsum(mpmath.mpf(float(a)) * mpmath.mpf(float(b)) for a, b in zip(u, v, strict=True))


def _form(B, w):
    """<w, B w>."""
    return mpmath.fsum(mpmath.mpf(float(x)) * _dot(row, w) for x, row in zip(w, B, strict=True))


def closed_moments(name, W, B, digits):
    """Means (N), covariances (N, N) and covariances with <x, B x> (N) of the features, to about so many digits."""
    mean, second, pair = CLOSED[name]
    N = len(W)
    with mp.workdps(digits):
        k = [[_dot(W[i], W[j]) for j in range(N)] for i in range(N)]
        r = [mp.sqrt(k[i][i]) for i in range(N)]
        means = [mean(x) if x else mpmath.mpf(_at_zero(name)) for x in r]
        U = mp.matrix(N, N)
        for i in range(N):
            for j in range(N):
                if r[i] and r[j]:
                    U[i, j] = pair(r[i], r[j], k[i][j]) - means[i] * means[j]
        V = [_form(B, W[i]) * second(r[i]) / k[i][i] if r[i] else mpmath.mpf(0) for i in range(N)]
        return means, U, V


def _at_zero(name):
    return {"he2": -1, "cos": 1, "exp": 1}.get(name, 0)


def solve(U, V, ridge=0, digits=60):
    """The a of (U + ridge) a = V by Cholesky with pivoting, in many digits; directions without any are left out."""
    N = len(V)
    with mp.workdps(digits):
        A = U.copy()
        for i in range(N):
            A[i, i] += ridge
        first = [A[i, i] for i in range(N)]
        left, order, L = set(range(N)), [], []
        while left:
            best = max(left, key=lambda i: A[i, i] / first[i] if first[i] > 0 else -1)
            if not first[best] > 0 or A[best, best] <= first[best] * mpmath.mpf(10) ** (-digits * 2 // 3):
                break
            pivot = A[best, best]
            column = {i: A[i, best] / pivot for i in left}
            left.remove(best)
            for i in left:
                for j in left:
                    A[i, j] -= column[i] * column[j] * pivot
            order.append((best, pivot))
            L.append(column)
        y, rest = [], list(V)
        for (best, pivot), column in zip(order, L, strict=True):
            y.append(rest[best] / pivot)
            value = rest[best]
            for i in column:
                if i != best:
                    rest[i] -= column[i] * value
        a = [mpmath.mpf(0)] * N
        for k in reversed(range(len(order))):
            column = L[k]
            a[order[k][0]] = y[k] - mpmath.fsum(column[i] * a[i] for i in column if i != order[k][0])
        return a


def rf_risk(name, W, B, ridge=0.0):
    """Exact risk of random features from closed forms, in as many digits as short rows need."""
    lengths = [float(np.linalg.norm(w / np.abs(w).max()) * np.abs(w).max()) for w in W if np.any(w)]
    scale = max([abs(math.log10(x)) for x in lengths], default=0)
    digits = int(80 + 20 * scale)
    _, U, V = closed_moments(name, W, B, digits)
    with mp.workdps(digits):
        penalty = mpmath.mpf(float(ridge))
        a = solve(U, V, penalty, digits)
        null = 2 * mpmath.fsum(mpmath.mpf(float(x)) ** 2 for x in np.ravel(B))
        product = [mpmath.fsum(U[i, j] * a[j] for j in range(len(a))) for i in range(len(a))]
        risk = null - 2 * mpmath.fdot(a, V) + mpmath.fdot(a, product)
        return float(risk)


def network_risk(name, W, a, B, shift):
    """Exact risk of a network, *shift* its offset less the mean of the target, from closed forms."""
    digits = 80
    means, U, V = closed_moments(name, W, B, digits)
    with mp.workdps(digits):
        a = [mpmath.mpf(float(x)) for x in a]
        null = 2 * mpmath.fsum(mpmath.mpf(float(x)) ** 2 for x in np.ravel(B))
        product = [mpmath.fsum(U[i, j] * a[j] for j in range(len(a))) for i in range(len(a))]
        mean = mpmath.fdot(a, means) + mpmath.mpf(float(shift))
        return float(null - 2 * mpmath.fdot(a, V) + mpmath.fdot(a, product) + mean**2)


def best_of_signs(B, S0, alpha, positive, negative, digits=400):
    """Risk of the best alpha (S - S_0) for S of so many positive and negative eigenvalues: those of B + alpha S_0."""
    with mp.workdps(digits):
        T = mp.matrix(B.tolist()) + mpmath.mpf(float(alpha)) * S0
        values = sorted(mp.eigsy(T, eigvals_only=True))
        left = [
            x
            for k, x in enumerate(values)
            if not (x > 0 and k >= len(values) - positive) and not (x < 0 and k < negative)
        ]
        return float(2 * mpmath.fsum(x**2 for x in left))


def form(W, a, digits=400):
    """W^T diag(a) W in many digits."""
    with mp.workdps(digits):
        rows = mp.matrix(np.asarray(W, float).tolist())
        return rows.T * mp.diag([mpmath.mpf(float(x)) for x in a]) * rows


def line(function, r, kinks=(), powers=(0,)):
    """E[function(r G) G^p] for each of *powers*."""
    nodes, weights = _mesh(_edges(r, [kink / r for kink in (0.0, *kinks)])[None])
    density = (np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi) * weights)[0]
    values = function(r * nodes[0])
    return np.array([np.sum(density * values * nodes[0] ** p) for p in powers])


def plane(function, r, s, cosine, kinks=(), powers=((0, 0),)):
    """E[function(r u) function(s v) u^p t^q] for normals u, v of correlation *cosine*, t across u in their plane."""
    across = math.sqrt(max(0.0, 1 - cosine**2))
    places = [kink / r for kink in (0.0, *kinks)]
    if across < 1e-7:
        x, weight = (
            part[0] for part in _mesh(_edges(max(r, s), [*places, *(kink / s * cosine for kink in kinks)])[None])
        )
        values = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * function(r * x) * function(s * np.sign(cosine) * x) * weight
        return np.array([np.sum(values * x**p) * (1.0 if q == 0 else float(q == 2)) for p, q in powers])
    far = [kink / (s * cosine) for kink in (0.0, *kinks)] if abs(cosine) > 1e-3 else []
    x, weight = (part[0] for part in _mesh(_edges(max(r, s), [*places, *far], across)[None]))
    centers = (np.array([0.0, *kinks]) / s - cosine * x[:, None]) / across
    graded = np.concatenate([-_graded(s * across), [0.0], _graded(s * across)])
    moving = (centers[:, :, None] + graded).reshape(len(x), -1)
    fixed = np.broadcast_to(np.arange(-12, 12.5, 0.5), (len(x), 49))
    y, y_weight = _mesh(np.sort(np.clip(np.concatenate([moving, fixed], axis=1), -12, 12), axis=1))
    values = function(s * (cosine * x[:, None] + across * y)) * np.exp(-(y**2) / 2) * y_weight / (2 * np.pi)
    outer = function(r * x) * np.exp(-(x**2) / 2) * weight
    return np.array([np.sum(outer * x**p * np.sum(values * y**q, axis=1)) for p, q in powers])


def _graded(steepness):
    return np.geomspace(1e-2 / max(1.0, steepness), 12, 14)


def _edges(r, centers, across=1.0):
    graded = _graded(r / across)
    places = [edge for center in centers for edge in (*(center - graded), center, *(center + graded))]
    return np.unique(np.clip([*places, *np.arange(-12, 12.5, 0.5)], -12, 12))


def _mesh(edges):
    """Nodes and weights (rows, panels * 12) of panels between *edges* (rows, panels + 1)."""
    width = np.diff(edges, axis=1)[:, :, None]
    nodes = edges[:, :-1, None] + width * (1 + _NODES) / 2
    return nodes.reshape(len(edges), -1), (width * _WEIGHTS / 2).reshape(len(edges), -1)
