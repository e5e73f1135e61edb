"""Slow twins of the Gram matrices and kernels, with every feature stored. Imports nothing of the package it checks."""

from __future__ import annotations

import numpy as np
import scipy.special

ACTIVATIONS = {
    "square": (lambda x: x**2, lambda x: 2 * x),
    "linear": (lambda x: x, np.ones_like),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(float)),
    "step": (lambda x: (x > 0).astype(float), None),
    "erf": (scipy.special.erf, lambda x: 2 / np.sqrt(np.pi) * np.exp(-(x**2))),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "cos": (np.cos, lambda x: -np.sin(x)),
}


def square_gram(W, center):
    """E[<w_i, x>^2 <w_j, x>^2] by Isserlis' theorem, entry by entry."""
    U = np.empty((len(W), len(W)))
    for i, u in enumerate(W):
        for j, v in enumerate(W):
            U[i, j] = 2 * np.dot(u, v) ** 2 + (0 if center else np.dot(u, u) * np.dot(v, v))
    return U


def rf_kernel(X, W, activation, Y):
    sigma, _ = ACTIVATIONS[activation]
    return sigma(X @ W.T) @ sigma(Y @ W.T).T / len(W)


def nt_kernel(X, W, activation, Y):
    """Inner products of the explicit Jacobians sigma'(<w_i, x>) x, summed over i."""
    _, slope = ACTIVATIONS[activation]
    J_X, J_Y = ((slope(Z @ W.T)[:, :, None] * Z[:, None, :]).reshape(len(Z), -1) for Z in (X, Y))
    return J_X @ J_Y.T / len(W)


def rf_normal_equations(X, y, W, activation):
    features = ACTIVATIONS[activation][0](X @ W.T)
    return features.T @ features / len(X), features.T @ y / len(X)
