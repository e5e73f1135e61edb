"""Step sizes that need no tuning for SGD of the quadratic network on samples that come block by block.

They come (ours) from what is seen of the stream, of which `Moments` keeps the numbers that are needed. Let
g = 2 vec(W x x^T) be the gradient of f(x), L the largest eigenvalue of E g g^T and G = E |g|^4 / E |g|^2. With

    eta = 1 / (2 (L + G / b)),    eta_c = eta L / 4,    eta_a = eta L / (8 E f^2)

a step on b samples contracts, whatever the covariance of x. For x ~ N(0, I) and W^T W = (tau / d) I, tau as in
`fastlazy.training.steps`, L = 4 tau and G = 4 tau d up to terms of order 1: this is half of the step given there. The
rows of W have the directions that training starts along, and a squared size that is the largest of three: that which
gives f the size of y, tau / d = sd(y) / sd(|x|^2); the same for the size of the errors; and that of the network as it
is. So a block of samples that is constant, or of another scale, does no lasting harm.

Training starts from a hundredth of that size, and with neurons of both signs from pairs that cancel: from the function
0, or nearly, so that the network keeps no trace of a random start where the samples say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastlazy._core.sgd import State
from fastlazy._support.arguments import Array
from fastlazy.training.start import orthonormal

_SMALL = 0.1  # size of the rows at the start
_PILOT = 500  # samples from which sizes and moments are estimated
# A network whose mean squared error is above so many times the variance of y began on samples of another kind.
_ASTRAY = 10.0
_TINY = 1e-4  # squared size of rows, relative to that which y asks for, below which a network is started anew


class Moments(NamedTuple):
    """What samples tell of the sizes of x and y, and of the gradients of a network of given directions."""

    number: float  # samples seen
    y_mean: float
    y_variance: float
    squares_mean: float  # mean of |x|^2
    squares_variance: float  # its variance
    L: float  # the curvature, for a network of these directions; so are the moments below
    g2: float  # E |g|^2
    g4: float  # E |g|^4
    f2: float  # E f^2 of the network with |a|
    error: float  # mean squared error of the network at that time

    def size(self, d: int, error: float = 0.0) -> float:
        """The factor tau / d of the squared directions that gives f the size of y, or of an *error* if that is more."""
        spread = max(math.sqrt(self.squares_variance), self.squares_mean * math.sqrt(2 / d))
        return max(math.sqrt(self.y_variance), error) / spread if spread > 0 else 0.0

    def rates(self, b: int, size: float) -> Array:
        """(eta_W, eta_a, eta_c) for minibatches of b samples and a network of that *size*."""
        if not (self.L * size > 0 and self.f2 * size**2 > 0):
            return np.zeros(3)
        eta = 1 / (2 * (self.L + self.g4 / self.g2 / b))
        return np.array([eta / size, eta * self.L / (8 * self.f2 * size**2), min(eta * self.L / 4, 0.5)])


def pooled(several: list[Moments]) -> Moments:
    """The moments of all samples of *several* blocks, L being an upper bound."""
    table = np.array(several)
    share = table[:, 0] / table[:, 0].sum()
    whole = Moments(*(share @ table).tolist())
    return whole._replace(
        number=float(table[:, 0].sum()),
        y_variance=whole.y_variance + float(share @ (table[:, 1] - whole.y_mean) ** 2),
        squares_variance=whole.squares_variance + float(share @ (table[:, 3] - whole.squares_mean) ** 2),
    )


def directions(N: int, d: int, second_layer: str, rng: np.random.Generator) -> Array:
    """Rows (N, d) that training starts along: random orthogonal ones, in pairs if there are neurons of both signs."""
    if second_layer in ("signs", "free"):
        return np.repeat(orthonormal((N + 1) // 2, d, rng), 2, axis=0)[:N]
    return orthonormal(N, d, rng)


def initial_state(X: Array, W: Array, second_layer: str, weight: Array | None = None) -> State:
    """The network of rows W that training starts from, and the offset that makes its mean, by *weight*, zero."""
    a = np.ones(len(W))
    if second_layer in ("signs", "free"):
        a[1::2] = -1
    values = (X[:_PILOT].astype(np.float64) @ W.T) ** 2 @ a
    return State(W, a, 1.0, -float(np.mean(values) if weight is None else np.average(values, weights=weight[:_PILOT])))


def moments(
    X: Array, y: Array, rows: Array, error: float, rng: np.random.Generator, weight: Array | None = None
) -> Moments:
    """The moments of these samples, or of some of them, for a network of directions *rows*; by *weight* (n,)."""
    chosen = rng.permutation(len(X))[:_PILOT]
    x = X[chosen].astype(np.float64)
    Z = x @ rows.T
    kernel = 4 * (x @ x.T) * (Z @ Z.T)
    f, g2, squares = np.sum(Z**2, axis=1), kernel.diagonal(), np.einsum("ij,ij->i", x, x)
    if weight is not None:
        return _weighted_moments(x, y, weight, chosen, (kernel, f, squares), error)
    return Moments(
        number=len(x),
        y_mean=float(y.mean(dtype=np.float64)),
        y_variance=float(y.var(dtype=np.float64)),
        squares_mean=float(squares.mean()),
        squares_variance=float(squares.var()),
        L=float(np.linalg.eigvalsh(kernel)[-1]) / len(x),
        g2=float(g2.mean()),
        g4=float(np.mean(g2**2)),
        f2=float(np.mean(f**2)),
        error=error,
    )


def _weighted_moments(
    x: Array, y: Array, weight: Array, chosen: Any, seen: tuple[Array, Array, Array], error: float
) -> Moments:
    """As `moments`, of the kernel (m, m), f (m,) and |x|^2 (m,) of the *chosen* samples x (m, d)."""
    kernel, f, squares = seen
    share = weight[chosen] / weight[chosen].sum()
    y_mean = float(np.average(y, weights=weight))
    root, g2, squares_mean = np.sqrt(share), kernel.diagonal(), float(share @ squares)
    return Moments(
        number=len(x),
        y_mean=y_mean,
        y_variance=float(np.average((y - y_mean) ** 2, weights=weight)),
        squares_mean=squares_mean,
        squares_variance=float(share @ (squares - squares_mean) ** 2),
        L=float(np.linalg.eigvalsh(root[:, None] * kernel * root)[-1]),
        g2=float(share @ g2),
        g4=float(share @ g2**2),
        f2=float(share @ f**2),
        error=error,
    )


class Steps:
    """The steps of a network in training, which follow what is seen of its samples.

    Parameters
    ----------
    rows : ndarray, shape (N, d)
        The directions that the network starts along, of any size.
    """

    def __init__(self, rows: Array) -> None:
        self.directions = rows * np.sqrt(min(rows.shape) / max(float(np.sum(rows**2)), 1e-300))
        self._window: list[Moments] = []
        self._size = 0.0
        self._factor = 1.0
        self._proportions: Array | None = None

    @property
    def moments(self) -> Moments:
        """Those of the last samples seen, some `_PILOT`: what came before may have been of another kind."""
        return pooled(self._window)

    def see(self, X: Array, y: Array, error: float, rng: np.random.Generator, weight: Array | None = None) -> None:
        """Take in samples X (n, d), y (n,) on which the network has that mean squared *error*, in place.

        Means are by *weight* (n,), of mean 1.
        """
        self._window.append(moments(X, y, self.directions, error, rng, weight))
        while sum(block.number for block in self._window[1:]) >= _PILOT:
            del self._window[0]

    def lost(self, rows: Array) -> bool:
        """Whether a network of *rows* a_i w_i (N, d) had better start anew.

        It is far worse than a constant, or so small that it would take long to grow, since it began, or was trained,
        on samples of another kind.
        """
        seen = self.moments
        astray = seen.y_variance > 0 and seen.error > _ASTRAY * seen.y_variance
        return astray or self._size_of(rows) < _TINY * seen.size(rows.shape[1])

    def small_rows(self) -> Array:
        """Rows (N, d) to start from; zero if nothing that could be learned was seen. Errors made are forgotten."""
        self._window = [block._replace(error=0.0) for block in self._window]
        return _SMALL * math.sqrt(self.moments.size(self.directions.shape[1])) * self.directions

    def suit(self, rows: Array, error: float) -> None:
        """Fit the steps to a network of *rows* a_i w_i (N, d) and its root mean squared *error*, in place."""
        seen, d = self.moments, rows.shape[1]
        self._size = max(seen.size(d, error), self._size_of(rows))
        self._factor = min(1.0, 2 * self._factor)

    def halve(self) -> None:
        """Halve the automatic steps, in place: training diverged."""
        self._factor /= 2

    def rates(self, b: int, fraction: float, step_size: str | float | Callable[[float], float]) -> Array:
        """(eta_W, eta_a, eta_c) for minibatches of b samples at a fraction of the training.

        A given step of W brings the others in the proportions that the first samples gave that told them.
        """
        rates = self.moments.rates(b, self._size)
        if isinstance(step_size, str):
            return np.asarray(rates * (self._factor * (1 - fraction)))
        if self._proportions is None and rates[0] > 0:
            self._proportions = rates / rates[0]
        eta = float(step_size(fraction) if callable(step_size) else step_size)
        return np.zeros(3) if self._proportions is None else np.asarray(eta * self._proportions)

    def _size_of(self, rows: Array) -> float:
        return float(np.sum(rows**2) / max(np.sum(self.directions**2), np.finfo(float).tiny))
