"""Slow twins of lazy training and its diagnostics. Imports nothing of the package it checks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import scipy.linalg


def network(W, a, X):
    """sum_i a_i <w_i, x>^2 of every row x, neuron by neuron."""
    return sum(a_i * (X @ w) ** 2 for a_i, w in zip(a, W, strict=True))


def sgd(W0, a0, c, alpha, X, y, b, rates, second_layer):
    """SGD of F = alpha (f - f_0) + c as it is defined, steps of W and a divided by alpha^2; returns W, a, c."""
    W, a = W0.copy(), a0.copy()
    start = 0
    for eta_W, eta_a, eta_c in rates:
        x, t = X[start : start + b], y[start : start + b]
        start += b
        e = alpha * (network(W, a, x) - network(W0, a0, x)) + c - t
        z = x @ W.T
        grad_W = alpha * 4 * ((e[:, None] * z) * a).T @ x / len(x)
        grad_a = alpha * 2 * e @ z**2 / len(x)
        if second_layer == "scalar":
            grad_a = grad_a.sum()
        elif second_layer != "free":
            grad_a = 0.0
        W -= eta_W / alpha**2 * grad_W
        a -= eta_a / alpha**2 * grad_a
        c -= eta_c * 2 * np.mean(e)
    return W, a, c


def form(W, a):
    """W^T diag(a) W."""
    return sum(np.outer(a_i * w, w) for a_i, w in zip(a, W, strict=True))


def second_moment(S):
    """E <x, S x>^2, from the mean and the variance."""
    values = np.linalg.eigvalsh(S)
    return values.sum() ** 2 + 2 * np.sum(values**2)


def linearization_errors(W, a, W0, a0):
    """E (f - f_lin)^2, and what of it is NT's and RF's, the linearisation by its definition."""
    tangent = sum(a_i * (np.outer(w - v, v) + np.outer(v, w - v)) for a_i, w, v in zip(a0, W, W0, strict=True))
    linear = form(W0, a0) + form(W0, a - a0) + tangent
    nt = form(W - W0, a0)
    rf = form(W, a - a0) - form(W0, a - a0)
    return [second_moment(S) for S in (form(W, a) - linear, nt, rf)]


def overlap(W, W0):
    """Share of the row space of W0 that is in that of W, by projectors."""
    P, P0 = (np.linalg.pinv(rows) @ rows for rows in (W, W0))
    return np.trace(P @ P0) / np.trace(P0)


def angles(W, B):
    """Principal angles, ascending, of the row space of W and the eigenvectors of B largest in modulus."""
    values, vectors = np.linalg.eigh(B)
    order = np.argsort(-np.abs(values))
    m = min(len(W), np.linalg.matrix_rank(B))
    return np.sort(scipy.linalg.subspace_angles(scipy.linalg.orth(W.T), vectors[:, order[:m]]))


def captured(S, B):
    """<v, S v> / lambda for each eigenvector of B, by descending eigenvalue."""
    values, vectors = np.linalg.eigh(B)
    pairs = zip(values[::-1], vectors.T[::-1], strict=True)
    return np.array([v @ S @ v / value if abs(value) > 1e-12 else 0.0 for value, v in pairs])


def best_of_signs(T, positive, negative):
    """min 2 |S - T|^2 over S with so many eigenvalues of either sign: every choice of T's eigenvalues is tried."""
    values = np.linalg.eigvalsh(T)
    best = np.inf
    for keep in itertools.product([False, True], repeat=len(values)):
        kept = values[list(keep)]
        if np.sum(kept > 0) <= positive and np.sum(kept < 0) <= negative:
            best = min(best, 2 * np.sum(values[~np.array(keep)] ** 2))
    return best


def learned_under_scale(W, alpha, B):
    """alpha (S - S_0) for the best S of as many positive eigenvalues as W has rows, all a = 1; B >= 0."""
    start = alpha * form(W, np.ones(len(W)))
    values, vectors = np.linalg.eigh(B + start)
    kept = sum(values[-k] * np.outer(vectors[:, -k], vectors[:, -k]) for k in range(1, len(W) + 1))
    return kept - start


def best_rf_of_relu(W, gram, B):
    """The part of degree two, as a matrix, of the best sum_i a_i relu(<w_i, x>) for <x, Bx>; *gram* (N, N) centred."""
    bends = np.linalg.norm(W, axis=1) / math.sqrt(2 * math.pi)  # E[relu(r G) (G^2 - 1)]
    U = W / np.linalg.norm(W, axis=1, keepdims=True)
    forms = [h / 2 * np.outer(u, u) for h, u in zip(bends, U, strict=True)]
    a = np.linalg.lstsq(gram, [2 * np.sum(B * S) for S in forms], rcond=1e-12)[0]
    return sum(a_i * S for a_i, S in zip(a, forms, strict=True))


def best_nt_of_relu(W, gram, B):
    """The same of the best sum_i <b_i, x> 1(<w_i, x> > 0); *gram* (N d, N d) centred."""
    N, d = W.shape
    U = W / np.linalg.norm(W, axis=1, keepdims=True)
    unit = 1 / (2 * math.sqrt(2 * math.pi))

    def form(b):
        """By E[1(g > 0) g] = E[1(g > 0) (g^3 - g)] = 1 / sqrt(2 pi) along each u, and across it."""
        return sum(
            unit * (np.outer(b_i, u) + np.outer(u, b_i) - (b_i @ u) * np.outer(u, u))
            for b_i, u in zip(b, U, strict=True)
        )

    forces = [2 * np.sum(B * form(e.reshape(N, d))) for e in np.eye(N * d)]
    return form(np.linalg.lstsq(gram, forces, rcond=1e-12)[0].reshape(N, d))
