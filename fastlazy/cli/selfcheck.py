"""Does this machine compute what it should? A few dozen identities, each kernel beside plain NumPy, in seconds.

It is what an administrator runs on a new node: the same checks, at the sizes at which a layout for vector registers
would go wrong, with the processor, the register geometry and the threads at hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import fastlazy
from fastlazy._core import normal
from fastlazy._support.arguments import Array

_TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}  # relative to the largest entry
_SIZES = [(7, 1, 1), (9, 100, 13), (33, 129, 64), (101, 300, 17)]  # samples, neurons, dimension
_STREAM = np.uint64(0x0123456789ABCDEF), np.uint64(0xFEDCBA9876543210)
_POSITIONS = [0, 1, 64, 127, 128, 999]
_NORMALS = {  # bits of the normals of that stream at these positions: known answers, never to change
    np.float32: [0x3F6375C2, 0xBFEC3CCA, 0x3F8CE12A, 0xBF208B64, 0x3FB61685, 0xBD9FE112],
    np.float64: [
        0xBFF09ADD12385657,
        0xC0023F658F031A49,
        0x3FF92805C7BA63E2,
        0x3FD3F0AF47F660E7,
        0x3FE716501829C7C9,
        0xBFD6BCE1AB588F39,
    ],
}


class Finding(NamedTuple):
    """What one check found."""

    name: str
    error: float  # relative to the largest entry of what is right
    tolerance: float

    @property
    def well(self) -> bool:
        """Whether the error is small; NaN is not."""
        return self.error <= self.tolerance


def check_machine() -> list[Finding]:
    """Every check, in the order of `_checks`.

    Returns
    -------
    list of Finding
    """
    return [
        Finding(name, _error(found, right), 0.0 if right.dtype.kind == "u" else _TOLERANCE[found.dtype])
        for name, found, right in _checks()
    ]


def _error(found: Array, right: Array) -> float:
    if found.shape != right.shape:
        return math.inf
    if right.dtype.kind == "u":
        return float(np.count_nonzero(found != right))
    return float(np.max(np.abs(found - right)) / np.max(np.abs(right)))


def _checks() -> Iterator[tuple[str, Array, Array]]:
    """The name of a check, what the package computes and what is right."""
    for dtype in (np.float32, np.float64):
        for sizes in _SIZES:
            where = f"{np.dtype(dtype)}, n = {sizes[0]}, N = {sizes[1]}, d = {sizes[2]}"
            yield from ((f"{name}, {where}", found, right) for name, found, right in _kernels(*sizes, dtype))
        yield f"normals, {np.dtype(dtype)}", *_normals(dtype)
        for second_layer in ("ones", "signs", "scalar", "free"):
            for b in (1, 60):
                found, right = _sgd(second_layer, b, dtype)
                yield f"fit_nn, {second_layer}, batches of {b}, {np.dtype(dtype)}", found, right
    yield from _risks()


def _kernels(n: int, N: int, d: int, dtype: Any) -> Iterator[tuple[str, Array, Array]]:
    rng = np.random.default_rng([n, N, d])
    X, W = rng.standard_normal((n, d)).astype(dtype), (rng.standard_normal((N, d)) / math.sqrt(d)).astype(dtype)
    x, w = X.astype(float), W.astype(float)
    Z = x @ w.T
    features = {"square": Z**2, "tanh": np.tanh(Z), "relu": np.maximum(Z, 0)}
    slopes = {"square": 2 * Z, "tanh": 1 / np.cosh(Z) ** 2, "relu": (Z > 0).astype(float)}
    for name, values in features.items():
        yield f"rf_kernel, {name}", fastlazy.rf_kernel(X, W, name), values @ values.T / N
        right = (x @ x.T) * (slopes[name] @ slopes[name].T) / N
        yield f"nt_kernel, {name}", fastlazy.nt_kernel(X, W, name), right
    Gram, vector = fastlazy.rf_normal_equations(X, X[:, 0], W, "tanh")
    values = features["tanh"]
    yield "rf_normal_equations", np.vstack([Gram, vector]), np.vstack([values.T @ values, values.T @ x[:, 0]]) / n
    inner, p = w @ w.T, 1 + 2 * np.sum(w**2, axis=1)
    yield "rf_gram, square", fastlazy.rf_gram(W, center=True), 2 * inner**2
    # The arcsine law, and its derivatives in the two rows for the tangent features.
    outer = np.outer(p, p)
    yield "rf_gram, erf", fastlazy.rf_gram(W, "erf"), 2 / math.pi * np.arcsin(2 * inner / np.sqrt(outer))
    b = rng.standard_normal((N, d))
    rest = outer - 4 * inner**2
    A = 4 / math.pi / np.sqrt(rest)
    D, Bu, Bv = 4 * A * inner / rest, -2 * A * p / rest, -2 * A * p[:, None] / rest
    P, own = w @ b.T, np.sum(w * b, axis=1)
    right = A @ b + np.sum(Bu * P, axis=1)[:, None] * w + (Bv * own + D * P) @ w + (D @ own)[:, None] * w
    product = fastlazy.nt_gram(W, "erf") @ b.ravel().astype(dtype)
    yield "nt_gram, erf", product.reshape(N, d), right


def _normals(dtype: Any) -> tuple[Array, Array]:
    numbers = np.empty(1000, dtype)
    normal.fill_normals(*_STREAM, numbers)
    bits = numbers.view(f"u{numbers.itemsize}")[_POSITIONS]
    return bits, np.array(_NORMALS[dtype], bits.dtype)


def _sgd(second_layer: str, b: int, dtype: Any) -> tuple[Array, Array]:
    """Steps of `fit_nn` on its documented samples, and the same in float64 NumPy, as one vector (W, a, c, 1)."""
    d, N, steps, seed = 13, 130, 4, 7
    rng = np.random.default_rng(seed)
    target = fastlazy.QuadraticTarget(0.1 + rng.random(d), 0.3)
    W0 = (rng.standard_normal((N, d)) / math.sqrt(d)).astype(dtype)
    a = {"signs": rng.choice([-1.0, 1.0], N), "free": rng.standard_normal(N)}.get(second_layer, np.ones(N))
    eta = 1e-3 / (N * d), 1e-3 / (N if second_layer == "free" else N * N), 1e-2
    fit = fastlazy.fit_nn(
        target, N, n_samples=steps * b, batch_size=b, step_size=lambda u: eta, second_layer=second_layer, W0=W0,
        a0=None if second_layer == "ones" else 1.0 if second_layer == "scalar" else a, c0=0.1, dtype=dtype, rng=seed,
        n_records=2, reduce=False,
    )  # fmt: skip
    key = np.random.default_rng(seed).integers(2**64, dtype=np.uint64)
    X = np.empty((steps * b, d))
    for stream in range(-(-steps * b // 4)):  # both b are such that no group of four has padding
        numbers = np.empty(4 * d, dtype)
        normal.fill_normals(key, np.uint64(stream), numbers)
        X[4 * stream : 4 * stream + 4] = numbers.reshape(d, 4).T
    W, a, c = W0.astype(float), a.copy(), 0.1
    for x in X.reshape(steps, b, d):
        z = x @ W.T
        e = z**2 @ a + c - target(x)
        step_a = {"scalar": e @ z**2 @ np.ones(N), "free": e @ z**2}.get(second_layer, 0.0)
        W = W - eta[0] * 4 / b * ((e[:, None] * z) * a).T @ x
        a = a - eta[1] * 2 / b * step_a
        c = c - eta[2] * 2 * e.mean()
    found = np.concatenate([fit.W.ravel(), np.broadcast_to(fit.a, N), [fit.c, 1.0]])
    return found.astype(dtype), np.concatenate([W.ravel(), a, [c, 1.0]])


def _risks() -> Iterator[tuple[str, Array, Array]]:
    """Exact risks: the nearest functions of random features and of the tangent model, by least squares."""
    target = fastlazy.exponential_target(9, rng=0)
    W = fastlazy.draw_weights(5, 9, rng=1)
    forms = np.einsum("ni,nj->nij", W, W).reshape(5, -1)
    best = np.linalg.lstsq(forms.T, target.B.ravel(), rcond=None)[0] @ forms
    outside = np.eye(9) - np.linalg.pinv(W) @ W
    rf, nt = 2 * np.sum((target.B.ravel() - best) ** 2), 2 * np.sum((outside @ target.B @ outside) ** 2)
    yield "rf_risk, square", np.array([fastlazy.rf_risk(target, W)]), np.array([rf])
    yield "nt_risk, square", np.array([fastlazy.nt_risk(target, W)]), np.array([nt])
