"""Eigenvalues of features and the target's part along each eigenvector: all that finite samples ask of weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy._support.singular import EPS, zero_level
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import expansion
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.risk.equivalent import Equivalent, Response
from fastlazy.risk.graded import check_digits
from fastlazy.risk.projections import right_singular
from fastlazy.risk.rf_solver import feature_moments
from fastlazy.targets.quadratic import QuadraticFunction

_UNSEEN = 1e-9  # the share of a direction below which it is not asked what it holds
_LEAST = 1e-280  # the largest variance of features whose eigenvalues keep no digits


class Spectrum(NamedTuple):
    """The covariance K of features, and V of the features with the target, in the eigenbasis of K."""

    values: Array  # (m,) eigenvalues s_k >= 0
    shares: Array  # (m,) the target's part along their eigenvectors, (V^T v_k)^2 / s_k
    null_risk: float
    unreached: float | None = None  # what no combination of features reaches; None: what the shares leave
    rounding: float = 0.0  # how far an eigenvalue may be off
    level: float = 0.0  # up to which one counts as zero

    def equivalent(self, lost_at_zero: Callable[[], float] | None = None) -> Equivalent:
        """The features as the formula for finite samples knows them.

        Without a penalty the risk of the population is *lost_at_zero*, if it is given: that of a solver which knows
        the features' own units, and what of the target lies along directions that count as zero here.
        """
        s, shares, null_risk, unreached, rounding, level = self
        dropped = float(np.count_nonzero(s <= level))
        exact = cache(lost_at_zero) if lost_at_zero is not None else None

        @cache
        def hidden() -> float:
            """What of the target directions reach that count as zero."""
            return max(left[0] - exact(), 0.0) if exact is not None and dropped else 0.0

        seen = s > level
        # Along a direction that rounding may have made nothing is fitted, unless the penalty is larger, too.
        parts = [(s[kept], shares[kept]) for kept in (seen, s > 0)]
        left = [max(null_risk - float(part.sum()), 0.0) if unreached is None else unreached for _, part in parts]

        def df1(nu: float) -> float:
            s = parts[int(nu > level)][0]
            return float(np.sum(s / (s + nu)))

        def respond(nu: float) -> Response:
            which = int(nu > level)
            s, shares = parts[which]
            inverse = 1 / (s + nu)
            kept, away = s * inverse, nu * inverse
            lost = left[which] + float(shares @ away**2)
            df1, df2 = float(kept.sum()), float(kept @ kept)
            if nu == 0 and exact is not None:
                lost = exact()
            if not rounding:
                return Response(lost, df1, df2)
            unseen = min(1.0, 2 * level / nu) if nu > 0 else 0.0  # how far a direction below the level may be fitted
            unseen = unseen * hidden() if unseen > _UNSEEN else 0.0
            of_lost, of_df1, of_df2 = 4 * shares @ (kept * inverse), away @ inverse, 2 * (kept * away) @ inverse
            errors = rounding * float(of_lost) + unseen, rounding * float(of_df1), rounding * float(of_df2)
            if nu <= level:  # how many of the directions that count as zero are there is not known
                unknown = dropped if hidden() > _UNSEEN * null_risk else 0.0
                errors = errors[0] if nu > 0 else 0.0, unknown, unknown
            return Response(lost, df1, df2, errors)

        return Equivalent(respond, df1, float(np.count_nonzero(seen)), float(s.max(initial=0)) or 1.0, null_risk)


def spectrum_of(K: Array, V: Array, null_risk: float, *, constant: bool) -> Spectrum:
    """The spectrum of a symmetric K (P, P) >= 0 with the covariances V (P,) of its features with the target.

    Raises
    ------
    ValueError
        If the features are so small that K loses its digits, unless they are *constant*.
    """
    if constant:
        return Spectrum(np.zeros(1), np.zeros(1), null_risk)
    values, vectors = np.linalg.eigh(K)
    largest = float(values[-1])
    if largest < _LEAST:
        raise ValueError(
            f"the features have a variance of {largest:.1e}, of which floating point loses the squares; multiply W, or "
            "the activation, by a number"
        )
    shares = (V @ vectors) ** 2 / np.maximum(values, EPS * largest)
    return Spectrum(np.maximum(values, 0), shares, null_risk, None, EPS * largest, zero_level(largest, len(V)))


def rf_spectrum(target: QuadraticFunction, W: Array, sigma: Activation, parallel: bool) -> Spectrum:
    """That of random features sigma(<w_i, x>)."""
    r = unit_rows(W)[1]
    curved = expansion(sigma, r, 2, first=2)  # rows may hardly see what the target has, degree two
    check_digits("rf_learning_curve", sigma, curved.doubt[curved.table[:, 2] != 0])
    _, U, V = feature_moments(target, W, sigma, parallel)
    constant = not expansion(sigma, r, 2, first=1).present(1).any()
    return spectrum_of(U, V, target.null_risk, constant=constant)


def square_nt_spectrum(target: QuadraticFunction, W: Array) -> Spectrum:
    """That of the tangent features of x^2, in closed form.

    In the right singular basis of W, with singular values s, the least |b|^2 for the form S is the sum over j <= k of
    S_jk^2 / q, halved for j = k, q = s_j^2 + s_k^2, and the form's variance 2 |S|^2: an eigenvalue 4 q for each entry
    (ours).
    """
    s, basis = right_singular(W)
    B = basis @ target.B @ basis.T
    j, k = np.triu_indices(len(s))
    values, parts = 4 * (s[j] ** 2 + s[k] ** 2), np.where(j == k, 2, 4) * B[j, k] ** 2
    reached = values > 0
    return Spectrum(values[reached], parts[reached], target.null_risk, float(parts[~reached].sum()))
