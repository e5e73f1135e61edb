"""Eigenvalues of features and the target's part along each eigenvector: all that finite samples ask of weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy._support.singular import EPS, zero_level
from fastlazy.risk.equivalent import Equivalent, Response


class Spectrum(NamedTuple):
    """The covariance K of features, and V of the features with the target, in the eigenbasis of K."""

    values: Array  # (m,) eigenvalues s_k
    counts: Array  # (m,) how many each stands for
    shares: Array  # (m,) the target's part along their eigenvectors, (V^T v_k)^2 / s_k
    null_risk: float
    rounding: float = 0.0  # how far an eigenvalue may be off
    level: float = 0.0  # up to which one counts as zero

    def equivalent(self) -> Equivalent:
        """The features as the formula for finite samples knows them."""
        s, counts, shares, null_risk, rounding, level = self
        seen = s > level
        # Along a direction that rounding may have made, nothing is fitted unless the ridge is larger, too.
        parts = [(s[kept], counts[kept], shares[kept]) for kept in (seen, s > 0)]
        left = [max(null_risk - float(share.sum()), 0.0) for *_, share in parts]

        def respond(nu: float) -> Response:
            which = int(nu > level)
            s, counts, shares = parts[which]
            kept = s / (s + nu)
            away = nu / (s + nu)
            lost = left[which] + float(shares @ away**2)
            df1, df2 = float(counts @ kept), float(counts @ kept**2)
            if not rounding:
                return Response(lost, df1, df2)
            moved = rounding / (s + nu)
            errors = 4 * float(shares @ (kept * moved)), float(counts @ (away * moved)), float(counts @ (2 * kept * away * moved))
            return Response(lost, df1, df2, errors)

        return Equivalent(respond, float(counts[seen].sum()), float(s.max(initial=0)) or 1.0, null_risk)


def spectrum_of(K: Array, V: Array, null_risk: float) -> Spectrum:
    """The spectrum of a symmetric K (P, P) >= 0 with the covariances V (P,) of its features with the target."""
    values, vectors = np.linalg.eigh(K)
    rounding = EPS * float(values[-1])
    shares = (V @ vectors) ** 2 / np.maximum(values, rounding)
    return Spectrum(
        np.maximum(values, 0), np.ones(len(V)), shares, null_risk, rounding, zero_level(float(values[-1]), len(V))
    )
