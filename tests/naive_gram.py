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


def erf_gram(W):
    """E[erf(<w_i, x>) erf(<w_j, x>)], the arcsine law (C. Williams, "Computing with infinite networks", 1996)."""
    p = 1 + 2 * np.sum(W**2, axis=1)
    return 2 / np.pi * np.arcsin(2 * W @ W.T / np.sqrt(np.outer(p, p)))


def erf_tangent_product(W, b):
    """sum_j E[erf'(u) erf'(v) x x^T] b_j for all i, from derivatives of A = E[erf'(u) erf'(v)], u = <w_i, x>.

    The block is A I + Bu w_i w_i^T + Bv w_j w_j^T + D (w_i w_j^T + w_j w_i^T), by Stein's lemma.
    """
    inner, squares = W @ W.T, np.sum(W**2, axis=1)
    p, q = (1 + 2 * squares)[:, None], 1 + 2 * squares
    determinant = p * q - 4 * inner**2
    A = 4 / np.pi / np.sqrt(determinant)
    Bu, Bv, D = -2 * A * q / determinant, -2 * A * p / determinant, 4 * A * inner / determinant
    P, own = W @ b.T, np.sum(W * b, axis=1)  # P_ij = <w_i, b_j>
    return A @ b + np.sum(Bu * P, axis=1)[:, None] * W + (Bv * own) @ W + (D @ own)[:, None] * W + (D * P) @ W


def plane_moment(sigma, r, s, theta, powers=((0, 0),), kink=0.0):
    """E[sigma(r u) sigma(s v) u^p t^q] for normals u, v at an angle, t across u in their plane, for all powers p, q.

    Over the plane, panels shrink towards where an argument of sigma is at its *kink*.
    """
    nodes, weights = np.polynomial.legendre.leggauss(10)
    p, q = np.array(powers).T[:, :, None]

    def mesh(edges):
        width = np.diff(edges)[:, None]
        return (edges[:-1, None] + width * (1 + nodes) / 2).ravel(), (width * weights / 2).ravel()

    graded = np.geomspace(1e-3, 12, 16)
    even = np.arange(-12, 12.25, 0.5)
    across, slope = np.sin(theta), np.cos(theta)
    near, far = (kink / r, kink / s * np.sign(slope)) if kink else (0.0, 0.0)
    places = [edge for center in (near, far) for edge in (*(center - graded), center, *(center + graded))]
    x, x_weights = mesh(np.unique(np.clip([*places, *even], -12, 12)))
    if abs(across) < 1e-9:
        density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * x**p * (q != 1)
        return (density * x_weights) @ (sigma(r * x) * sigma(s * np.sign(slope) * x))
    total = 0.0
    for u, weight in zip(x, x_weights, strict=True):
        near = np.clip(((kink / s if kink else 0.0) - slope * u) / across, -12, 12)
        edges = np.concatenate([near - graded, [near], near + graded, even])
        y, y_weights = mesh(np.unique(np.clip(edges, -12, 12)))
        density = np.exp(-(u**2 + y**2) / 2) / (2 * np.pi) * sigma(r * u) * sigma(s * (slope * u + across * y))
        total = total + weight * (u**p * y**q) @ (y_weights * density)
    return total


def plane_block(slope, r, s, theta, kink=0.0):
    """E[sigma'(r u) sigma'(s v) x x^T], x in three dimensions: u along the first, v in the plane of the first two."""
    first, second, outside, mixed = plane_moment(slope, r, s, theta, ((2, 0), (0, 2), (0, 0), (1, 1)), kink)
    block = np.diag([first, second, outside])
    block[0, 1] = block[1, 0] = mixed
    return block


def nt_gram(W, slope, block):
    """The whole matrix (N d, N d) from blocks for pairs of rows, each turned from the basis of its own plane."""
    N, d = W.shape
    K = np.empty((N, d, N, d))
    for i, u in enumerate(W):
        for j, v in enumerate(W):
            r, s = np.linalg.norm(u), np.linalg.norm(v)
            first = u / r
            theta = np.arccos(np.clip(first @ v / s, -1, 1)) if i != j else 0.0
            second = v - (first @ v) * first
            second = second / np.linalg.norm(second) if i != j else np.zeros(d)
            M = block(slope, r, s, theta)
            plane = np.stack([first, second])
            K[i, :, j] = M[2, 2] * (np.eye(d) - plane.T @ plane) + plane.T @ M[:2, :2] @ plane
    return K.reshape(N * d, N * d)


def nt_risk(W, slope, B, K, ridge):
    """The best tangent model's risk by a dense solve, K the Gram matrix of its features before centring."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    t = (np.arange(-14, 14, 0.5)[:, None] + (1 + nodes) / 4).ravel()
    density = np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi) * np.tile(weights / 4, 56)
    V, mean = np.empty_like(W), np.empty_like(W)
    for i, w in enumerate(W):
        r = np.linalg.norm(w)
        u = w / r
        first, third = (np.sum(density * slope(r * t) * t**k) for k in (1, 3))
        # x = t u + z, z across u: E[<x, B x> x | t] = t^3 <u, B u> u + 2 t (B u - <u, B u> u) + t (tr B - <u, B u>) u
        along = u @ B @ u
        V[i] = third * along * u + first * (2 * (B @ u - along * u) + (np.trace(B) - along) * u)
        mean[i] = first * u
        V[i] -= np.trace(B) * mean[i]
    V, mean = V.ravel(), mean.ravel()
    K = K - np.outer(mean, mean)
    b = np.linalg.solve(K + ridge * np.eye(len(K)), V)
    return 2 * np.sum(B**2) - 2 * V @ b + b @ K @ b
