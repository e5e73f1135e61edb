"""What risks of a mixture of two Gaussians must be: each function returns None, or how a result is wrong."""

from __future__ import annotations

from typing import Any, NamedTuple

import naive_mixture
import numpy as np

from fuzz import oracles
from fuzz.functions import Twin

Moments = tuple[np.ndarray, np.ndarray]


class Pair(NamedTuple):
    """The matrices of a mixture, (d, d)."""

    Sigma: np.ndarray
    Delta: np.ndarray


def _of_classes(pair: Pair, W: Any, twin: Twin | None, moments: Any) -> list[Moments] | None:
    """Means and covariances of the features in both classes, or None if there is no oracle."""
    found = []
    for covariance in (pair.Sigma - pair.Delta, pair.Sigma + pair.Delta):
        values = np.linalg.eigvalsh(covariance)
        if twin is None or not values[0] > 1e-3 * values[-1] or not np.all(np.abs(W) < 1e100):
            return None
        L = np.linalg.cholesky(covariance)
        got = moments(twin, W @ L, np.eye(len(L)))
        if got is None or not np.isfinite(got[1]).all():
            return None
        found.append((got[0], got[1], L))
    if moments is oracles.tangent_moments:
        turns = [np.kron(np.eye(len(W)), L) for _, _, L in found]
        return [(T @ m, T @ U @ T.T) for T, (m, U, _) in zip(turns, found, strict=True)]
    return [(m, U) for m, U, _ in found]


def _risk(pair: Pair, W: Any, twin: Twin | None, ridge: float, got: float, moments: Any) -> str | None:
    if not -1e-12 <= got <= 1 + 1e-7:
        return f"is {got:.6g}, outside 0 to 1"
    found = _of_classes(pair, W, twin, moments)
    if found is None:
        return None
    (first, one), (second, other) = found
    U = (one + other) / 2 + np.outer(first - second, first - second) / 4
    root = np.sqrt(np.where(U.diagonal() > 0, U.diagonal(), 1))
    if np.linalg.cond(U / np.outer(root, root)) > 1e7:
        return None
    return oracles.differs(got, naive_mixture.best_risk(*found, ridge), 1e-6, 1.0)


def rf_risk(pair: Pair, W: Any, twin: Twin | None, ridge: float, got: float) -> str | None:
    return _risk(pair, W, twin, ridge, got, oracles.moments)


def nt_risk(pair: Pair, W: Any, twin: Twin | None, ridge: float, got: float) -> str | None:
    return _risk(pair, W, twin, ridge, got, oracles.tangent_moments)


def _given(pair: Pair, W: Any, theta: Any, c: float, twin: Twin | None, got: float, moments: Any) -> str | None:
    if got < 0:
        return f"is {got:.6g}, below zero"
    found = _of_classes(pair, W, twin, moments)
    if found is None:
        return None
    size = sum((np.abs(theta) @ (np.abs(m) + np.sqrt(np.abs(U.diagonal()))) + abs(c) + 1) ** 2 for m, U in found)
    return oracles.differs(got, naive_mixture.network_risk(*found, theta, c), 1e-8, size)


def network_risk(pair: Pair, W: Any, a: Any, c: float, twin: Twin | None, got: float) -> str | None:
    return _given(pair, W, np.broadcast_to(a, len(W)), c, twin, got, oracles.moments)


def tangent_risk(pair: Pair, W: Any, b: Any, c: float, twin: Twin | None, got: float) -> str | None:
    return _given(pair, W, np.ravel(b), c, twin, got, oracles.tangent_moments)


def form_risk(pair: Pair, S: Any, c: float, got: float, tolerance: float) -> str | None:
    """The risk of <x, S x> + c, class by class."""
    found, size = 0.0, 0.0
    for y, C in ((1, pair.Sigma - pair.Delta), (-1, pair.Sigma + pair.Delta)):
        T = S @ C
        found += (np.trace(T) + c - y) ** 2 / 2 + np.sum(T * T.T)
        size += (np.sum(np.abs(S) @ np.abs(C)) + abs(c) + 1) ** 2
    return oracles.differs(got, found, tolerance, size)


def nn_risk(pair: Pair, N: int, got: float, exact: bool) -> str | None:
    values = np.linalg.eigvalsh(pair.Sigma)
    if not 1 / (1 + len(values) / (4 if exact else 2)) - 1e-12 <= got <= 1:
        return f"is {got:.6g}, outside what any mixture has"
    if not values[0] > 1e-3 * values[-1]:
        return None
    L = np.linalg.inv(np.linalg.cholesky(pair.Sigma))
    squares = np.sort(np.linalg.eigvalsh(L @ pair.Delta @ L.T) ** 2)[::-1][:N]
    gains = squares / (1 + squares) if exact else squares
    return oracles.differs(got, 1 / (1 + np.sum(gains) / 2), 1e-9)


def limit(pair: Pair, got: float) -> str | None:
    return None if 1 / (1 + len(pair.Sigma) / 2) - 1e-9 <= got <= 1 + 1e-12 else f"is {got:.6g}, beyond all modes"
