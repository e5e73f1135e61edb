"""The SGD run that every library is given: a problem, its start, and one step of it in plain float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SIGMAS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "square": (np.square, lambda z: 2 * z),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype)),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
}


@dataclass(frozen=True)
class Problem:
    """Minibatch SGD of f(x) = a sum_i sigma(<w_i, x>) + c towards y = sum_j beta_j x_j^2 + b0, x ~ N(0, I_d).

    With *scalar* the common a is trained too: the protocol of the paper's authors, f = (alpha a / N) |W x|^2 +
    beta c with gradients scaled by N eta_w / alpha^2, eta_a / alpha^2 and eta_c / beta^2, here for alpha = beta = 1
    and with a / N called a; it is for sigma = x^2.
    """

    N: int
    b: int
    d: int = 450
    dtype: str = "float32"
    scalar: bool = False
    activation: str = "square"

    @property
    def beta(self) -> np.ndarray:
        """Eigenvalues of the target, shape (d,): exponential, as in the paper's experiments."""
        return np.random.default_rng(100).exponential(size=self.d) / np.sqrt(self.d)

    @property
    def b0(self) -> float:
        """The constant that centres the target."""
        return -float(self.beta.sum())

    @property
    def rates(self) -> tuple[float, float, float]:
        """Constant steps (eta_W, eta_a, eta_c) that stay stable for as long as one cares to measure."""
        tau = float(self.beta.sum())
        r = float(self.beta.max()) / tau
        stiffness = 1.5 + 4 * r + (self.d + 2 + 100 * r) / self.b
        if self.activation != "square":  # slopes are at most 1
            return 1 / (2 * self.N * stiffness), 0.0, 1 / (8 * stiffness)
        eta = 1 / (8 * tau * stiffness)
        # For d = 450 and batch 100 this is near the rate of 1e-3, and 4 tau near the factor of 100 for the offset,
        # with which the authors' protocol converges.
        return (self.N * eta, eta / self.N**2, 4 * eta * tau) if self.scalar else (eta, eta / (2 * tau), eta * tau)

    def start(self) -> tuple[np.ndarray, float, float]:
        """W (N, d) in the problem's dtype, a and c."""
        W = np.random.default_rng(1).standard_normal((self.N, self.d)) / np.sqrt(self.d)
        if not self.scalar and self.activation == "square":
            W *= np.sqrt(self.beta.sum() / max(self.N, self.d))
        return W.astype(self.dtype), 1 / self.N if self.scalar else 1.0, 0.0

    def flops(self, neurons: int) -> float:
        """Operations of the two matrix products of a step on *neurons* rows of weights."""
        return 4.0 * self.b * self.d * neurons

    def stepped(self, batches: np.ndarray) -> np.ndarray:
        """W (N, d) after one step on each of *batches* (k, b, d), from the start, in float64."""
        W, a, c = self.start()
        W = W.astype(float)
        eta_W, eta_a, eta_c = self.rates
        function, slope = SIGMAS[self.activation]
        for X in batches.astype(float):
            Z = X @ W.T
            q = np.sum(function(Z), axis=1)
            e = a * q + c - (X**2 @ self.beta + self.b0)
            W = W - eta_W * 2 * a / self.b * (slope(Z).T * e) @ X
            a -= eta_a * 2 * float(np.mean(e * q)) if self.scalar else 0.0
            c -= eta_c * 2 * float(np.mean(e))
        return W

    def error(self, W: np.ndarray, batches: np.ndarray) -> float:
        """The error of a *W* (N, d) that went through *batches*, relative to how far they move it."""
        wanted = self.stepped(batches)
        return float(np.linalg.norm(W - wanted) / np.linalg.norm(wanted - self.start()[0]))
