"""Slow twins of the population gradient and its flow. Imports nothing of the package it checks."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.integrate import solve_ivp


def plane(count=120, span=9.0):
    """Points (m, 2) and weights (m,) that integrate smooth functions of two normal variables."""
    x = np.linspace(-span, span, count)
    weight = np.exp(-x * x / 2) * (x[1] - x[0]) / np.sqrt(2 * np.pi)
    pairs = list(itertools.product(range(count), repeat=2))
    return np.array([[x[i], x[j]] for i, j in pairs]), np.array([weight[i] * weight[j] for i, j in pairs])


def gradient(B, b0, W, a, c, function, slope, grid=None):
    """Risk and gradient in W, a and c, by their definitions; for d = 2 and smooth functions."""
    X, weight = plane() if grid is None else grid
    z = X @ W.T
    e = function(z) @ a + c - np.einsum("ni,ij,nj->n", X, B, X) - b0
    in_W = 2 * a[:, None] * ((weight * e)[:, None] * slope(z)).T @ X
    return weight @ e**2, in_W, 2 * (weight * e) @ function(z), 2 * weight @ e


def square_gradient(B, b0, W, a, c):
    """The same for x^2 and any d, neuron by neuron."""
    D = sum(a_i * np.outer(w, w) for a_i, w in zip(a, W, strict=True)) - B
    delta = np.trace(D) + c - b0
    M = 2 * D + delta * np.eye(len(B))
    in_W = np.array([4 * a_i * M @ w for a_i, w in zip(a, W, strict=True)])
    return 2 * np.sum(D**2) + delta**2, in_W, np.array([2 * w @ M @ w for w in W]), 2 * delta


def flow(gradient_at, B, W, a, c, times, second_layer, alpha=1.0, speeds=None):
    """W, a and c at the *times*, by a general solver; gradient_at(W, a, c) gives risk and gradient.

    *speeds* are those of the second layer and of the offset, if they are not those of x^2.
    """
    tau, shape = np.abs(np.linalg.eigvalsh(B)).sum(), W.shape
    of_a, of_c = (1 / (2 * tau), tau) if speeds is None else speeds

    def velocity(_, y):
        W, a, c = y[:W_size].reshape(shape), y[W_size:-1], y[-1]
        _, in_W, in_a, in_c = gradient_at(W, a, c)
        if second_layer == "scalar":
            in_a = np.full_like(in_a, in_a.sum())
        elif second_layer != "free":
            in_a = np.zeros_like(in_a)
        return -np.concatenate([in_W.ravel() / alpha**2, of_a * in_a / alpha**2, [of_c * in_c]])

    W_size = W.size
    start = np.concatenate([W.ravel(), a, [c]])
    solved = solve_ivp(velocity, (0, times[-1]), start, "LSODA", times, rtol=1e-9, atol=1e-11)
    return [(y[:W_size].reshape(shape), y[W_size:-1], y[-1]) for y in solved.y.T]


def class_gradient(Sigma, Delta, W, a, c, function, slope, grid=None):
    """As `gradient`, where y is 1 or -1 with probability 1/2 and x given y is N(0, Sigma - y Delta); for d = 2."""
    X, weight = plane() if grid is None else grid
    parts = []
    for y in (1, -1):
        L = np.linalg.cholesky(Sigma - y * Delta)
        risk, in_L, in_a, in_c = gradient(np.zeros((2, 2)), y, W @ L, a, c, function, slope, (X, weight))
        parts.append((risk, in_L @ L.T, in_a, in_c))
    return tuple(sum(part) / 2 for part in zip(*parts, strict=True))


def class_square_gradient(Sigma, Delta, W, a, c):
    """The same for x^2 and any d: E (<x, S x> + c - y)^2 = 2 tr(S C S C) + (tr(S C) + c - y)^2 for the covariance C."""
    S = sum(a_i * np.outer(w, w) for a_i, w in zip(a, W, strict=True))
    risk, slope, in_c = 0.0, np.zeros_like(S), 0.0
    for y in (1, -1):
        C = Sigma - y * Delta
        off = np.trace(S @ C) + c - y
        risk += (2 * np.trace(S @ C @ S @ C) + off**2) / 2
        slope += (4 * C @ S @ C + 2 * off * C) / 2
        in_c += off
    in_W = np.array([2 * a_i * slope @ w for a_i, w in zip(a, W, strict=True)])
    return risk, in_W, np.array([w @ slope @ w for w in W]), in_c
