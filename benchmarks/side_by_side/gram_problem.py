"""The Gram matrices, kernels and normal equations that every library is given, and each of them in plain float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from fastlazy._core.gram import INNER


class Inputs(NamedTuple):
    """What a call takes."""

    X: np.ndarray  # (n, d) samples
    W: np.ndarray  # (N, d) weights
    y: np.ndarray  # (n,) responses


@dataclass(frozen=True)
class Problem:
    """A call of the public function *work*; rf_gram has no part for the n samples."""

    work: str
    activation: str
    n: int
    dtype: str = "float64"
    N: int = 4500
    d: int = 450

    @property
    def name(self) -> str:
        """How the problem is called in the tables."""
        samples = f"n = {self.n}, " if self.n else ""
        return f"{self.work} {self.activation}, {samples}N = {self.N}, {self.dtype}"

    def small(self) -> Problem:
        """The same call at a size where every entry is checked in no time, of more than one block of anyone."""
        n, N = (5300, 300) if self.work == "rf_normal_equations" else (300, 2500)
        if self.activation == "tanh" and self.work == "rf_gram":
            N = 40  # the integral of every entry takes its time
        return replace(self, n=min(self.n, n), N=min(self.N, N), d=min(self.d, 40))

    def inputs(self) -> Inputs:
        """Samples x ~ N(0, I), weights w ~ N(0, I / d), responses of the size of 1; made without temporaries."""
        rng = np.random.default_rng(1)
        W = rng.standard_normal((self.N, self.d), np.dtype(self.dtype))
        W /= np.sqrt(self.d)
        X = rng.standard_normal((self.n, self.d), np.dtype(self.dtype))
        return Inputs(X, W, np.einsum("ij,ij->i", X, X) / self.d)

    def flops(self) -> float:
        """Useful operations: two for each multiply-add, of symmetric products the half, none but those of products.

        Passes over features or entries do not count, nor does what is done on bits: of the ReLU NT kernel only W x
        and <x, y>.
        """
        n, N, d = self.n, self.N, self.d
        counts = {
            "rf_gram": N**2 * d,
            "rf_kernel": 2 * n * N * d + n**2 * N,
            "nt_kernel": 2 * n**2 * d + 2 * n * d**2 + N * d**2
            if self.activation == "square"
            else 2 * n * N * d + n**2 * d + (0 if self.activation == "relu" else n**2 * N),
            "rf_normal_equations": 2 * n * N * d + n * N**2,
        }
        return float(counts[self.work])

    def bytes_moved(self) -> float:
        """What must pass between memory and processor: inputs and results once, and sums taken up again.

        A result that is a sum over more neurons or samples than one part of features holds is read and written once
        more for each further part; of symmetric ones that is a triangle.
        """
        n, N, d = self.n, self.N, self.d
        result = N**2 if self.work in ("rf_gram", "rf_normal_equations") else n**2
        summed = {"rf_kernel": N, "rf_normal_equations": n, "nt_kernel": N if self.activation == "tanh" else 0}
        parts = max(1, math.ceil(summed.get(self.work, 0) / INNER))
        entries = n * d + N * d + result + (parts - 1) * result
        return float(entries * np.dtype(self.dtype).itemsize)

    def plain(self) -> tuple[np.ndarray, ...]:
        """The results in float64, from the formulas as they stand; x^2 and ReLU, and the population's of tanh."""
        X, W, y = (array.astype(float) for array in self.inputs())
        if self.work == "rf_gram":
            return (_POPULATION[self.activation](W),)
        products = X @ W.T
        if self.work == "nt_kernel":
            slopes = _SLOPES[self.activation](products)
            return (X @ X.T * (slopes @ slopes.T) / self.N,)
        features = products**2 if self.activation == "square" else np.where(products > 0, products, 0.0)
        if self.work == "rf_kernel":
            return (features @ features.T / self.N,)
        return features.T @ features / self.n, features.T @ y / self.n

    def error(self, results: tuple[Any, ...]) -> float:
        """The largest error of *results*, each relative to its largest entry."""
        wanted = self.plain()
        if len(results) != len(wanted):
            raise ValueError(f"{self.work} gives {len(wanted)} arrays, got {len(results)}")
        return max(
            float(np.abs(np.asarray(result, float) - plain).max() / np.abs(plain).max())
            for result, plain in zip(results, wanted, strict=True)
        )


def _square_gram(W: np.ndarray) -> np.ndarray:
    norms = np.sum(W**2, axis=1)
    return 2 * (W @ W.T) ** 2 + np.outer(norms, norms)


def _relu_gram(W: np.ndarray) -> np.ndarray:
    r = np.linalg.norm(W, axis=1)
    cosine = np.clip(W @ W.T / np.outer(r, r), -1, 1)
    theta = np.arccos(cosine)
    return np.outer(r, r) * (np.sin(theta) + (np.pi - theta) * cosine) / (2 * np.pi)


def _tanh_gram(W: np.ndarray) -> np.ndarray:
    """By the trapezoidal rule in the plane of each pair of rows."""
    z = np.arange(-9, 9.2, 0.2)
    weights = 0.2 * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    r = np.linalg.norm(W, axis=1)
    cosine = np.clip(W @ W.T / np.outer(r, r), -1, 1)
    sine = np.sqrt(1 - cosine**2)
    own = np.tanh(np.outer(r, z)) * weights
    gram = np.empty_like(cosine)
    for i, j in np.ndindex(gram.shape):
        other = np.tanh(r[j] * (cosine[i, j] * z[:, None] + sine[i, j] * z))
        gram[i, j] = own[i] @ other @ weights
    return gram


_SLOPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "square": lambda z: 2 * z,
    "relu": lambda z: np.where(z > 0, 1.0, 0.0),
    "tanh": lambda z: 1 / np.cosh(z) ** 2,
}
_POPULATION = {"square": _square_gram, "relu": _relu_gram, "tanh": _tanh_gram}
