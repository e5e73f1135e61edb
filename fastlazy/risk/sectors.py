"""The risk of random features at finite d, isotropic rows, by sectors of spherical harmonics. Ours, not the paper's.

With r = |w| and t = <w, w'> / (r r'), E[sigma(<w, x>) sigma(<w', x>)] = sum_k hn_k(r) hn_k(r') t^k, the coefficients of
`fastlazy.activations.moments`. On the sphere t^k = sum_l a_kl P_l(t), with P_l the Gegenbauer polynomials of P_l(1) =
1, and P_l(t) is the mean of D_l products of orthonormal harmonics, D_l the dimension of sector l. So in each harmonic
of sector l a row of length r has the coefficients v_kl(r) / sqrt(D_l), v_kl = hn_k sqrt(a_kl) for k = l, l + 2, ...,
and what no sector resolves is noise of variance tau(r), the sum of hn_k(r)^2 over k > 20. N rows then act as

    Q_l = (I + N E_r[m(r) v_l(r) v_l(r)^T] / D_l)^{-1},    1 / m(r) = tau(r) + sum_l v_l(r)^T Q_l v_l(r)

and leave of the target, which has degree k = 2 in the sectors l = 2 (B without its trace) and l = 0 (the trace),

    ratio = (1 - m) [Q_2]_22 + m [Q_0]_22,    m = (tr B)^2 / (d |B|^2).

A penalty nu on the coefficients is more noise, tau(r) + nu, and 1 - nu m(r) the share of a row that is fitted. The risk
is the penalised risk, whose ratio is the one above, less nu times its derivative.

The equation for m(r) has an increasing and concave right side, so that Newton's iteration from above never leaves the
side it came from. Exact risks of drawn weights are in `tests/risk/test_sectors.py`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import expansion
from fastlazy.risk.equivalent import Equivalent, Response
from fastlazy.risk.row_lengths import row_lengths

_DEGREES = 20  # the highest degree that is not taken for noise
_REST = 1e-13  # the share of the squares of degrees 2 and above up to which a rest is rounding
_LEAST_NOISE = 1e-15  # the noise that stands for none, as the iteration starts from its inverse
_STEEPEST = 1e13  # the size of a linear part, in units of the rest, that counts as infinite
_LARGEST = 1e100  # and the penalty in units of the noise


class _Features(NamedTuple):
    """What the equations take of sigma and d; C classes of lengths.

    Each class has a unit of its own, what sigma has of degrees 2 and above: m(r) follows, and no risk sees it.
    """

    shares: Array  # (C,) the shares of the rows
    unit: Array  # (C,) the units
    tau: Array  # (C,) noise of degrees above 20
    line: Array  # (C,) v_11(r_c) / sqrt(D_1), which is much larger than v where rows are short
    v: Array  # (L, C, K) all others, v[l, c, k - 1] = v_kl(r_c) / sqrt(D_l)
    sizes: Array  # (L,) the dimensions D_l
    span: float  # the dimension of the span of all features, which may be infinite


@lru_cache(maxsize=64)
def sector_equivalent(activation: Activation, length: float, N: int, d: int, m: float) -> Equivalent:
    """The mean response of N rows N(0, length^2 I / d), over the null risk, for m = (tr B)^2 / (d |B|^2)."""
    features = _features(activation, length, d)
    span = float(min(features.span, N))
    target = ((0, m), (2, 1 - m))  # its share in each sector

    @lru_cache(maxsize=1024)  # curves ask again and again for the same nu
    def effective(nu: float) -> tuple[Array, Array, Array]:
        """The penalty (C,) in the units of the classes, m(r) (C,), and the derivatives of their equations (C, C)."""
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            penalty = np.minimum(nu / features.unit / features.unit, _LARGEST) if nu > 0 else 0 * features.unit
        return penalty, *_effective(features, N, penalty)

    def df1(nu: float) -> float:
        if nu == 0:
            return span
        penalty, m_r, _ = effective(nu)
        return N * float(features.shares @ (1 - penalty * m_r))

    def respond(nu: float) -> Response:
        if nu == 0 and features.span <= N:
            lost = sum(share * float(_unreached(features.v[sector])) for sector, share in target)
            return Response(lost, span, span)
        penalty, m_r, slopes = effective(nu)
        missed = penalty * m_r
        moved = -np.linalg.solve(np.eye(len(m_r)) - slopes, m_r * missed)  # nu times the derivative of m_r
        lost = 0.0
        for sector, share in target:
            # Q from its singular vectors: its entry is a sum of terms that are all positive
            v = features.v[sector]
            _, s, directions = np.linalg.svd(np.sqrt(N * features.shares * m_r)[:, None] * v)
            kept = np.ones(len(directions))
            kept[: len(s)] = 1 / (1 + s * s)
            along = (directions[:, 1] * kept) @ directions @ v.T
            lost += share * (float(directions[:, 1] ** 2 @ kept) + N * float(features.shares * moved @ along**2))
        return Response(
            lost, df1(nu), N * float(features.shares @ (1 - 2 * missed - penalty * moved)) if nu > 0 else span
        )

    return Equivalent(respond, df1, span, N * float(np.max(features.unit)) ** 2, 1.0)


def _unreached(v: Array) -> float:
    """The share of degree two in a sector that no combination of the rows of v (C, K) reaches."""
    _, s, directions = np.linalg.svd(v)
    left = float(np.sum(directions[_rank(s) :, 1] ** 2))
    return left if left > _REST else 0.0


def _rank(s: Array) -> int:
    return int(np.count_nonzero(s > 1e-10 * s.max(initial=0)))


def _effective(features: _Features, N: int, penalty: Array) -> tuple[Array, Array]:
    """The solution m(r) (C,) of the equations, and the derivatives (C, C) of their right side 1 / (...) by it."""
    shares, line, v, sizes = features.shares, features.line, features.v, features.sizes
    noise = features.tau + penalty
    now = 1 / noise  # a start above the solution
    for _ in range(100):
        weight = N * shares * now
        u, s, _ = np.linalg.svd(np.sqrt(weight)[:, None] * v, full_matrices=False)
        taken = (u * (s * s / (1 + s * s))[:, None, :]) @ u.transpose(0, 2, 1)  # (L, C, C)
        taken[1] += _taken_by_line(np.sqrt(weight) * line, u[1], s[1])
        inverse = noise + np.einsum("l,lcc->c", sizes, taken) / weight
        slopes = np.einsum("l,lce->ce", sizes, taken**2) / (inverse**2 * weight)[:, None] / now
        step = np.linalg.solve(np.eye(len(now)) - slopes, now - 1 / inverse)
        now = np.maximum(now - step, now / 1000)  # rounding of the last steps cannot make it negative
        if np.all(np.abs(step) <= 1e-12 * now):
            break
    return now, slopes


def _taken_by_line(line: Array, u: Array, s: Array) -> Array:
    """What the vector *line* (C,) adds to A (I + A)^-1, (C, C), for A of eigenvectors u (C, C) and eigenvalues s^2."""
    size = float(np.linalg.norm(line))
    if size == 0:
        return np.zeros_like(u)
    along = u.T @ (line / size)
    left = u @ (along / (1 + s * s))
    return np.outer(left, left) / (1 / size / size + float(along**2 @ (1 / (1 + s * s))))


@lru_cache(maxsize=64)
def _features(activation: Activation, length: float, d: int) -> _Features:
    r, shares = row_lengths(length, d)
    whole, curved = (expansion(activation, r, _DEGREES, first=first) for first in (1, 2))
    bent = curved.present(2)
    hn = np.where(bent[:, None], curved.table, whole.table)
    hn[:, 1] = np.clip(hn[:, 1], -_STEEPEST, _STEEPEST)
    tau = np.where(curved.rest < _REST, 0, curved.rest)
    sizes = _sizes(d)
    v = np.sqrt(_powers(d).T[:, None, 1:] / np.maximum(sizes, 1)[:, None, None]) * hn[:, 1:]
    # Without a rest, sigma is a polynomial.
    span = math.inf if tau.any() else float(np.array([_rank(s) for s in np.linalg.svd(v)[1]]) @ sizes)
    line = v[1, :, 0].copy()
    v[1, :, 0] = 0
    unit = np.where(bent, curved.scale, whole.scale)
    return _Features(shares, unit, np.maximum(tau, _LEAST_NOISE), line, v, sizes, span)


def _powers(d: int) -> Array:
    """The coefficients a_kl of t^k = sum_l a_kl P_l(t), (K + 1, K + 1)."""
    a = np.zeros((_DEGREES + 1, _DEGREES + 1))
    a[0, 0] = 1
    for k in range(_DEGREES):
        # t P_l = up P_{l+1} + (1 - up) P_{l-1}
        for sector in range(k % 2, k + 1, 2):
            up = (sector + d - 2) / (2 * sector + d - 2) if sector else 1.0
            a[k + 1, sector + 1] += a[k, sector] * up
            if sector:
                a[k + 1, sector - 1] += a[k, sector] * (1 - up)
    return a


def _sizes(d: int) -> Array:
    """The dimensions D_l of the harmonics of degree l, (K + 1,): monomials of degree l, less those of degree l - 2."""
    monomials = np.array([math.comb(d + degree - 1, degree) for degree in range(_DEGREES + 1)], dtype=object)
    monomials[2:] -= monomials[:-2].copy()
    return monomials.astype(float)
