"""A feature against a tangent feature, E[sigma(r u) sigma'(s v) x], for single pairs of rows at any angle.

For rows e, f of norm 1 at an angle theta, u = <e, x> and v = <f, x>, it is p e + q f (Stein's lemma) with

    p = r E[sigma'(r u) sigma'(s v)],    q = s E[sigma(r u) sigma''(s v)] = E[sigma(r u) sigma'(s v) v] - p cos(theta);

the last form needs no sigma'' and holds for kinks. With hn_k and g_k the normalised Hermite coefficients of sigma and
of sigma' at a length, p = r sum_k cos^k g_k(r) g_k(s) and q = sum_k cos^k hn_k(r) sqrt(k + 1) g_{k+1}(s). They are
taken from closed forms where sigma(t x) = t^n sigma(x), for which s v sigma'(s v) = n sigma(s v); else from the series
with many terms, if these converge; else from integrals over the plane.
"""

from __future__ import annotations

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import line_nodes, square_moments, unit_coefficients
from fastlazy.activations.nt_pairs import block_moments
from fastlazy.activations.plane import plane_nodes
from fastlazy.activations.rf_pairs import pair_moments, terms_needed

_TOLERANCE = 1e-13  # the error of a moment, relative to the norms of both features
_FEW = 200  # terms that are tried first, as they are enough for rows that see sigma smooth
_CHUNK = 4096  # pairs whose series are summed at a time, to save memory
_PARALLEL = 1e-14  # the sine of an angle that counts as zero or pi
_ROOT = np.sqrt(2 * np.pi)


def mixed_moments(activation: Activation, r: Array, s: Array, theta: Array) -> Array:
    """The numbers p and q for pairs of rows of norms r_p, of the feature, and s_p at angles theta_p.

    Parameters
    ----------
    activation : Activation
    r, s : ndarray, shape (m,)
        Norms of the two rows, > 0.
    theta : ndarray, shape (m,)
        Angles between them, in [0, pi].

    Returns
    -------
    ndarray, shape (2, m)
        With an error of about 1e-13 r sqrt(E sigma'(r G)^2 E sigma'(s G)^2).

    Raises
    ------
    ValueError
        If the moments do not converge.
    """
    known = activation.known
    if known.degree is not None and known.pair_moments is not None and known.block_moments is not None:
        p = r * block_moments(activation, r, s, theta)[0]
        return np.stack([p, known.degree / s * pair_moments(activation, r, s, theta) - p * np.cos(theta)])
    parts = [slice(first, first + _CHUNK) for first in range(0, len(r), _CHUNK)]
    return np.concatenate([_series_or_integral(activation, r[c], s[c], theta[c]) for c in parts], axis=1)


def mixed_tables(means: Array, g: Array, r: Array) -> tuple[Array, Array]:
    """The hn_k(r) (n, K) of sigma from its *means* (n,) and the coefficients *g* (n, K + 1) of sigma' at lengths *r*.

    And the numbers sqrt(k + 1) g_{k+1}, (n, K), that stand for s sigma''(s v).
    """
    k = np.arange(1, g.shape[1])
    return np.column_stack([means, r[:, None] * g[:, :-2] / np.sqrt(k[:-1])]), np.sqrt(k) * g[:, 1:]


def _series_or_integral(activation: Activation, r: Array, s: Array, theta: Array) -> Array:
    rows, cosine = np.concatenate([r, s]), np.cos(theta)
    most, squares = (
        terms_needed(activation, rows, np.abs(cosine), _TOLERANCE),
        square_moments(activation, rows, derivative=1),
    )
    for terms in sorted({min(most, _FEW), most}):
        g = unit_coefficients(activation, rows, terms + 1, derivative=1)
        rest = 2 * np.sqrt(np.multiply(*np.split(unresolved(g[:, :-1], squares), 2))) * np.abs(cosine) ** terms
        if not (rest > _TOLERANCE).any():
            break
    h, bent = mixed_tables(unit_coefficients(activation, rows, 0)[:, 0], g, rows)
    left, right = np.split(g, 2)
    values, others = h[: len(r)], bent[len(r) :]
    p, q = np.zeros((2, len(r)))
    for k in range(terms, -1, -1):
        p, q = p * cosine + left[:, k] * right[:, k], q * cosine + values[:, k] * others[:, k]
    moments = np.stack([r * p, q])
    for c in np.flatnonzero(rest > _TOLERANCE):
        moments[:, c] = _integral(activation, float(r[c]), float(s[c]), float(theta[c]))
    return moments


def unresolved(g: Array, squares: Array) -> Array:
    """The share (n,) of the *squares* (n,) = E sigma'^2 that coefficients *g* (n, K) leave out; 0 if it is rounding."""
    left = 1 - np.sum(g**2, axis=1) / np.where(squares > 0, squares, 1)
    return np.where((left > 1e-14) & (squares > 0), left, 0.0)


def _integral(activation: Activation, r: float, s: float, theta: float) -> tuple[float, float]:
    cosine = float(np.cos(theta))
    if np.sin(theta) < _PARALLEL:
        x, weights = line_nodes(activation, np.array([r, s]), 1)
        u = np.concatenate([x, -x])
        v, density = np.sign(cosine) * u, np.tile(weights * np.exp(-x * x / 2) / _ROOT, 2)
        product = activation.values(s * v, 1) * density
        A, along = activation.values(r * u, 1) @ product, activation.values(r * u) @ (product * v)
    else:
        nodes = plane_nodes(activation, r, s, theta, 1)
        product = activation.values(s * nodes.v, 1) * nodes.weights
        A = activation.values(r * nodes.u[:, 0], 1) @ product.sum(axis=1)
        along = activation.values(r * nodes.u[:, 0]) @ (product * nodes.v).sum(axis=1)
    return r * float(A), float(along) - r * float(A) * cosine
