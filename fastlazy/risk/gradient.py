"""The gradient of the population risk of a network, exact for any non-linearity.

With e = f(x) - y and m = E e, the gradient in w_i is 2 a_i E[e sigma'(<w_i, x>) x]; that in a_i is 2 E[e sigma(<w_i,
x>)], and that in c is 2 m. For sigma = x^2 they are 4 a_i (2 D + m) w_i, 2 <w_i, (2 D + m) w_i> and 2 m, D = S - B.
For any other sigma the part that a neuron j has in the first is split along u_i = w_i / r_i and across, which Stein's
lemma gives; the target's is 2 g_1 B u_i + g_3 <u_i, B u_i> u_i, g_k = E[sigma'(r_i G) He_k(G)].
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.linalg import blas

from fastlazy._support.arguments import Array
from fastlazy._support.blas import same_bits
from fastlazy.activations.activation import Activation
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.targets.quadratic import QuadraticFunction, quadratic_form


class Gradient(NamedTuple):
    """The risk of a network, and its derivatives."""

    risk: float
    W: Array  # (N, d)
    a: Array  # (N,)
    c: float


def population_gradient(
    target: QuadraticFunction, W: Array, a: Array, c: float, activation: Activation, parallel: bool = True
) -> Gradient:
    """The gradient at checked weights W (N, d), second layer a (N,) and offset c.

    Numbers are infinite or NaN where they overflow.

    Raises
    ------
    ValueError
        If sigma jumps or its Gaussian moments do not converge or overflow.
    """
    with same_bits(max(W.shape), target.d), np.errstate(over="ignore", invalid="ignore"):
        if activation.is_square:
            return _square_gradient(target, W, a, c)
        return _gradient(target, W, a, c, activation, parallel)


def _square_gradient(target: QuadraticFunction, W: Array, a: Array, c: float) -> Gradient:
    mean = float(a @ np.einsum("ij,ij->i", W, W)) + c - target.mean
    if W.shape[1] > len(W):
        image, weighted, gram = times_form(target, W), a[:, None] * W, W @ W.T
        spread = target.null_risk - 4 * float(np.vdot(weighted, image)) + 2 * float(a @ gram**2 @ a)
        moved = 2 * (gram @ weighted - image) + mean * W
    else:
        D = weighted_form(W, a) - target.B
        spread = 2 * float(np.sum(D**2))
        D *= 2
        D.flat[:: len(D) + 1] += mean
        moved = W @ D
    in_a = 2 * np.einsum("ij,ij->i", W, moved)
    moved *= 4 * a[:, None]
    return Gradient(spread + mean * mean, moved, in_a, 2 * mean)


def weighted_form(W: Array, a: Array) -> Array:
    """S = W^T diag(a) W (d, d); in half the time for a common a."""
    if np.any(a != a[0]):
        return quadratic_form(W, a)
    half = blas.dsyrk(a[0], W.T)  # its upper half; the transpose of rows is an array in columns, as BLAS wants it
    S = half + half.T
    S.flat[:: len(S) + 1] /= 2
    return S


def _gradient(
    target: QuadraticFunction, W: Array, a: Array, c: float, activation: Activation, parallel: bool
) -> Gradient:
    from fastlazy.activations.radial import radial_moments
    from fastlazy.kernels.forces import K, forces  # which loads the compiler

    unit, r = unit_rows(W)
    moments = radial_moments(activation, r, K)
    pull = forces((unit, r), a, activation, moments, parallel)
    g = moments.slopes
    image = times_form(target, unit)
    q = np.einsum("ij,ij->i", unit, image)
    mean = float(a @ moments.values[:, 0]) + c - target.mean
    covariance = math.sqrt(2) * moments.values[:, 2] * q
    risk = target.null_risk - 2 * float(a @ covariance) + float(a @ pull.values) + mean * mean
    along = pull.along + (mean * g[:, 1] - math.sqrt(6) * g[:, 3] * q)
    across = pull.pull
    along -= np.einsum("ij,ij->i", unit, across)
    across += along[:, None] * unit
    across -= 2 * g[:, 1:2] * image
    in_a = 2 * (pull.values + mean * moments.values[:, 0] - covariance)
    return Gradient(risk, 2 * a[:, None] * across, in_a, 2 * mean)


def times_form(target: QuadraticFunction, W: Array) -> Array:
    """W B (N, d): in O(N d) for a diagonal B."""
    values, basis = target.eigenbasis
    return W * values if basis is None else W @ target.B
