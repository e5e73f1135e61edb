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


def plane_moment(sigma, r, s, theta):
    """E[sigma(r u) sigma(s v)] for normals u, v at an angle: over the plane, panels shrink towards kinks."""
    nodes, weights = np.polynomial.legendre.leggauss(10)

    def mesh(edges):
        width = np.diff(edges)[:, None]
        return (edges[:-1, None] + width * (1 + nodes) / 2).ravel(), (width * weights / 2).ravel()

    graded = np.geomspace(1e-3, 12, 16)
    even = np.arange(-12, 12.25, 0.5)
    x, x_weights = mesh(np.unique(np.concatenate([-graded, [0], graded, even])))
    across, slope = np.sin(theta), np.cos(theta)
    if abs(across) < 1e-9:
        density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
        return np.sum(x_weights * density * sigma(r * x) * sigma(s * np.sign(slope) * x))
    total = 0.0
    for u, weight in zip(x, x_weights, strict=True):
        kink = np.clip(-slope * u / across, -12, 12)
        edges = np.concatenate([kink - graded, [kink], kink + graded, even])
        y, y_weights = mesh(np.unique(np.clip(edges, -12, 12)))
        density = np.exp(-(u**2 + y**2) / 2) / (2 * np.pi)
        total += weight * np.sum(y_weights * density * sigma(r * u) * sigma(s * (slope * u + across * y)))
    return total
