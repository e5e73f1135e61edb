"""Slow twin of SGD of a network of any sigma on samples with weights. Imports nothing of the package it checks."""

from __future__ import annotations

import numpy as np

SIGMAS = {
    "square": (lambda z: z**2, lambda z: 2 * z),
    "relu": (lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, 1.0, 0.0)),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "cos": (np.cos, lambda z: -np.sin(z)),
}


def epoch(W, a, c, X, y, b, rates, second_layer, sigma, weight=None):
    """One pass over the samples in their order, in minibatches of b; returns W, a, c and the mean squared error.

    *a* is a vector throughout; for "scalar" all its entries, equal at the start, move together, by the gradient of
    the common factor.
    """
    function, slope = SIGMAS[sigma]
    W, a = W.copy(), a.copy()
    weight = np.ones(len(y)) if weight is None else weight
    eta_W, eta_a, eta_c = rates
    total = 0.0
    for start in range(0, len(X), b):
        x, t, s = X[start : start + b], y[start : start + b], weight[start : start + b]
        z = x @ W.T
        e = function(z) @ a + c - t
        total += np.sum(s * e**2)
        g = s * e / len(x)
        grad_W = 2 * (g[:, None] * slope(z) * a).T @ x
        grad_a = {"free": 2 * g @ function(z), "scalar": 2 * g @ function(z).sum(axis=1)}.get(second_layer, 0.0)
        W -= eta_W * grad_W
        a -= eta_a * grad_a
        c -= eta_c * 2 * g.sum()
    return W, a, c, total / len(X)
