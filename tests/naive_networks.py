"""Slow twins of networks of any sigma: values, expansions, SGD. Imports nothing of the package it checks."""

from __future__ import annotations

import math

import numpy as np
import scipy.special


def _normal(x):
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _below(x):
    return scipy.special.ndtr(x)


SIGMAS = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, 1.0, 0.0)),
    "gelu": (lambda x: x * _below(x), lambda x: _below(x) + x * _normal(x)),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "cos": (np.cos, lambda x: -np.sin(x)),
}


def network(name, W, a, X):
    """sum_i a_i sigma(<w_i, x>) of every row x, neuron by neuron."""
    return sum(a_i * SIGMAS[name][0](X @ w) for a_i, w in zip(a, W, strict=True))


def tangent(name, W0, b, X):
    """sum_i <b_i, x> sigma'(<w0_i, x>) of every row x, neuron by neuron."""
    return sum((X @ b_i) * SIGMAS[name][1](X @ w) for b_i, w in zip(b, W0, strict=True))


def left_out(name, W, a, W0, a0, X):
    """What the linearisation at (W0, a0) leaves out on the rows of X: in all, of NT and of RF."""
    change = network(name, W, a - a0, X) - network(name, W0, a - a0, X)
    nt = network(name, W, a0, X) - network(name, W0, a0, X) - tangent(name, W0, a0[:, None] * (W - W0), X)
    return nt + change, nt, change


def sgd(name, start, alpha, X, y, b, rates, second_layer):
    """SGD of alpha (f - f_0) + c from start = (W0, a0, c0), as it is defined, steps of W and a divided by alpha^2."""
    W0, a0, c = start
    sigma, slope = SIGMAS[name]
    W, a = W0.copy(), a0.copy()
    first = 0
    for eta_W, eta_a, eta_c in rates:
        x, t = X[first : first + b], y[first : first + b]
        first += b
        e = alpha * (network(name, W, a, x) - network(name, W0, a0, x)) + c - t
        z = x @ W.T
        grad_W = alpha * 2 * ((e[:, None] * slope(z)) * a).T @ x / len(x)
        grad_a = alpha * 2 * e @ sigma(z) / len(x)
        W -= eta_W / alpha**2 * grad_W
        if second_layer == "free":
            a -= eta_a / alpha**2 * grad_a
        c -= eta_c * 2 * np.mean(e)
    return W, a, c


def second_hermite(name, r):
    """E[sigma(r G) (G^2 - 1)], G ~ N(0, 1), by a sum over a fine grid."""
    x = np.linspace(-12, 12, 240_001)
    return np.sum(SIGMAS[name][0](r * x) * (x * x - 1) * _normal(x)) * (x[1] - x[0])


def form_of_degree_two(name, W, a):
    """The matrix S of the part <x, S x> - tr S of degree two of a network, neuron by neuron."""
    S = np.zeros((W.shape[1], W.shape[1]))
    for a_i, w in zip(a, W, strict=True):
        r = np.linalg.norm(w)
        S += a_i * second_hermite(name, r) / 2 * np.outer(w, w) / r**2
    return S


def plane_mean(function):
    """E function(x) for x ~ N(0, I) in the plane, by a sum over a fine grid; for smooth functions."""
    line = np.linspace(-10, 10, 801)
    weights = _normal(line) * (line[1] - line[0])
    values = function(np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2))
    return weights @ values.reshape(801, 801) @ weights


def ray_mean(function):
    """The same for a function of degree two along each ray, E |x|^2 = 2, by a sum over many angles."""
    angle = (np.arange(2_000_000) + 0.5) * (2 * math.pi / 2_000_000)
    return 2 * np.mean(function(np.column_stack([np.cos(angle), np.sin(angle)])))
