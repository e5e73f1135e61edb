"""Ridge regression in the neural tangent model on a data set, as every library is given it, and in plain float64."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np


class Inputs(NamedTuple):
    """What fit and predict take."""

    X: np.ndarray  # (n, d) samples
    y: np.ndarray  # (n,) responses
    new: np.ndarray  # (n, d) samples to predict
    W: np.ndarray  # (N, d) weights at the initialisation


@dataclass(frozen=True)
class Problem:
    """Fit on n samples without an offset, which KernelRidge has not, and predict n more."""

    activation: str
    n: int = 10_000
    N: int = 4500
    d: int = 450

    @property
    def name(self) -> str:
        """How the problem is called in the tables."""
        return f"NT {self.activation}, n = {self.n}, N = {self.N}, d = {self.d}"

    @property
    def alpha(self) -> float:
        """The penalty of sum_i |b_i|^2: 1 on the kernel that is a mean over neurons."""
        return float(self.N)

    def small(self) -> Problem:
        """The same at a size that is checked in no time."""
        return replace(self, n=min(self.n, 300), N=min(self.N, 200), d=min(self.d, 20))

    def inputs(self) -> Inputs:
        """Samples x ~ N(0, I), weights w ~ N(0, I / d), y a quadratic function and noise."""
        rng = np.random.default_rng(1)
        W = rng.standard_normal((self.N, self.d)) / np.sqrt(self.d)
        X, new = rng.standard_normal((self.n, self.d)), rng.standard_normal((self.n, self.d))
        y = np.sum(X**2, axis=1) / self.d + rng.standard_normal(self.n)
        return Inputs(X, y, new, W)

    def plain(self) -> np.ndarray:
        """The predictions by the explicit Jacobian and a solve."""
        X, y, new, W = self.inputs()

        def jacobian(rows: np.ndarray) -> np.ndarray:
            Z = rows @ W.T
            slopes = 2 * Z if self.activation == "square" else np.where(Z > 0, 1.0, 0.0)
            return (slopes[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)

        J = jacobian(X)
        return jacobian(new) @ (J.T @ np.linalg.solve(J @ J.T + self.alpha * np.eye(len(X)), y))

    def error(self, predictions: np.ndarray) -> float:
        """The largest error, relative to the largest prediction."""
        plain = self.plain()
        return float(np.abs(predictions - plain).max() / np.abs(plain).max())
