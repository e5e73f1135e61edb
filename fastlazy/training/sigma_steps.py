"""Where SGD of a network of any sigma starts on a data set or a stream, and step sizes that need no tuning.

As for x^2 (`fastlazy.training.stream_steps`) both come from the last samples seen, some 500, here kept as they are: a
sigma that is not homogeneous has no moments that could be scaled. Sizes (ours): the rows have pre-activations
<w_i, x> of mean square 1, where sigma bends as it was made to, and the second layer has entries +-A,
A^2 N E sigma^2 = Var y, by which f has the size of y. Where the second layer is fixed, a homogeneous sigma has rows of
the size that does it; any other has rows of size 1. Training starts from a tenth of A, or of those rows for a
homogeneous sigma, and with neurons of both signs from pairs that cancel. Where the second layer is fixed and f varies
by more than a tenth of what y does, the rows are halved until it does not.

Steps (ours): the gradients of f(x) are g = vec(a_i sigma'(<w_i, x>) x) in W, h = (sigma(<w_i, x>))_i in a, or
sum_i s_i sigma(<w_i, x>) where one number is trained, and 1 in c. With L the largest eigenvalue of E g g^T,
G = E |g|^4 / E |g|^2 and minibatches of b samples

    eta = 1 / (2 (L + G / b)),    eta_c = eta L / 4,    eta_a = eta L / (8 E |h|^2)

so that a step contracts. They are taken for the network of full size, A and all, and for the network as it is, and the
smaller ones are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastlazy._core.sgd import State
from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.training.start import orthonormal

_SMALL = 0.1  # size of the second layer at the start, or of the rows where that is fixed
_PILOT = 500  # samples from which sizes and curvature are estimated
_FRESH = 250  # new samples after which the curvature is estimated anew, at the latest
# A network whose mean squared error is above so many times the variance of y began on samples of another kind.
_ASTRAY = 10.0
_HALVINGS = 100  # of rows
_TINY, _HUGE = 1e-4, 1e4  # mean squares of pre-activations, relative to a start's, at which a network starts anew


class Curvature(NamedTuple):
    """The curvature of the squared error in a network's parameters."""

    L: float  # of W, along its steepest direction
    G: float  # of W, what single samples add
    F: float  # E |h|^2, of the second layer

    def rates(self, b: int) -> Array:
        """(eta_W, eta_a, eta_c) for minibatches of b samples."""
        steep = self.L + self.G / b
        eta = 1 / (2 * steep) if steep > 0 else 0.0
        share = eta * self.L if steep > 0 else 0.25  # what a step takes off an error
        return np.array([eta, share / (8 * self.F) if self.F > 0 else 0.0, share / 4])


class Seen(NamedTuple):
    """Samples, the last ones."""

    X: Array  # (m, d) float64
    y: Array  # (m,)
    weight: Array  # (m,)

    @property
    def y_mean(self) -> float:
        """The mean of y."""
        return float(np.average(self.y, weights=self.weight))

    @property
    def y_variance(self) -> float:
        """The variance of y."""
        return float(np.average((self.y - self.y_mean) ** 2, weights=self.weight))

    def mean(self, values: Array) -> float:
        """The mean of *values* (m, ...) over samples, and over all that is left."""
        return float(np.average(values.reshape(len(values), -1).mean(axis=1), weights=self.weight))


def block_directions(N: int, d: int, pairs: bool, rng: np.random.Generator) -> Array:
    """Rows (N, d) of length 1, random and orthogonal in blocks of d; each twice if there are to be *pairs*."""
    if pairs:
        return np.repeat(block_directions((N + 1) // 2, d, False, rng), 2, axis=0)[:N]
    return np.vstack([orthonormal(min(d, N - first), d, rng) for first in range(0, N, d)])


def curvature(seen: Seen, W: Array, a: Array, activation: Activation, second_layer: str) -> Curvature:
    """That of the network of rows W (N, d) and second layer a (N,)."""
    z = seen.X @ W.T
    slopes, values = activation.values(z, 1) * a, activation.values(z)
    root = np.sqrt(seen.weight / seen.weight.sum())
    kernel = (seen.X @ seen.X.T) * (slopes @ slopes.T)
    squares = kernel.diagonal()
    weighted = root[:, None] * kernel * root
    g2, g4 = root**2 @ squares, root**2 @ squares**2
    together = np.sum(values**2, axis=1) if second_layer == "free" else (values @ np.sign(a)) ** 2
    if not (np.isfinite(weighted).all() and g2 > 0):
        return Curvature(0.0, 0.0, float(root**2 @ together))
    return Curvature(float(np.linalg.eigvalsh(weighted)[-1]), float(g4 / g2), float(root**2 @ together))


class SigmaSteps:
    """The start and the steps of a network in training, which follow what is seen of its samples.

    Parameters
    ----------
    rows : ndarray, shape (N, d)
        The directions that the network starts along, or the rows themselves if they are *given*.
    activation : Activation
        sigma, with a derivative.
    second_layer : str
        "ones", "signs", "scalar" or "free".
    given : bool
        Whether the rows are to stay of the size they have.
    """

    def __init__(self, rows: Array, activation: Activation, second_layer: str, given: bool = False) -> None:
        self.activation, self.second_layer, self._given = activation, second_layer, given
        self._directions = rows
        self._trained = second_layer in ("scalar", "free")
        self._signs = np.ones(len(rows))
        if second_layer in ("signs", "free"):
            self._signs[1::2] = -1
        self.moments = Seen(np.zeros((0, rows.shape[1])), np.zeros(0), np.zeros(0))
        self._fresh, self._factor = 0, 1.0
        self._curvatures: list[Curvature] = []
        self._proportions: Array | None = None

    def see(self, X: Array, y: Array, weight: Array | None, rng: np.random.Generator) -> None:
        """Take in samples X (n, d), y (n,), of *weight* (n,) if not of one, in place."""
        chosen = rng.permutation(len(X))[:_PILOT]
        new = (X[chosen], y[chosen], np.ones(len(chosen)) if weight is None else weight[chosen])
        parts = [np.concatenate([old, part])[-_PILOT:] for old, part in zip(self.moments, new, strict=True)]
        self.moments = Seen(*(part.astype(np.float64) for part in parts))
        self._fresh += len(chosen)

    def start(self) -> State:
        """The network that training starts from, and the offset that makes its mean zero."""
        rows, size = self._full()
        self._curvatures = []
        if self._trained:
            size *= _SMALL
        rows = self._small(rows)
        a, gain = (self._signs, size) if self.second_layer == "scalar" else (size * self._signs, 1.0)
        return State(rows, a, gain, -gain * self.moments.mean(self.activation.values(self.moments.X @ rows.T) @ a))

    def lost(self, W: Array, a: Array, c: float) -> bool:
        """Whether the network of rows W (N, d), second layer a (N,) and offset c had better start anew.

        It is far worse than a constant, or of pre-activations that are far too small or too large, since it began, or
        was trained, on samples of another kind.
        """
        seen = self.moments
        full = self._full()[0]
        least, most = (seen.mean((seen.X @ rows.T) ** 2) for rows in (self._small(full), full))
        z = seen.X @ W.T
        values = self.activation.values(z) @ a + c
        error, variance, size = seen.mean((values - seen.y) ** 2), seen.y_variance, seen.mean(z**2)
        by_rows = self.activation.degree is not None and not self._trained  # f has its size by the rows alone
        astray = variance > 0 and not error <= _ASTRAY * variance
        return astray or size < _TINY * least or (size > _HUGE * most > 0 and not by_rows)

    def suit(self, W: Array, a: Array, error: float) -> None:
        """Fit the steps to the network of rows W, second layer a (N,) and root mean squared *error*, in place."""
        self._factor = min(1.0, 2 * self._factor)
        if self._fresh >= min(_FRESH, len(self.moments.y) // 2) or not self._curvatures:
            rows, A = self._full(error)
            networks = [(rows, A * self._signs), (W, a)]
            self._curvatures = [curvature(self.moments, *one, self.activation, self.second_layer) for one in networks]
            self._fresh = 0

    def halve(self) -> None:
        """Halve the automatic steps, in place: training diverged."""
        self._factor /= 2

    def rates(self, b: int, fraction: float, step_size: str | float | Callable[[float], float]) -> Array:
        """(eta_W, eta_a, eta_c) for minibatches of b samples at a fraction of the training.

        A given step of W brings the others in the proportions that the first samples gave that told them.
        """
        rates = np.min([one.rates(b) for one in self._curvatures], axis=0)
        if self.moments.y_variance == 0:
            rates = np.zeros(3)
        if isinstance(step_size, str):
            return np.asarray(rates * (self._factor * (1 - fraction)))
        if self._proportions is None and rates[0] > 0:
            self._proportions = rates / rates[0]
        eta = float(step_size(fraction) if callable(step_size) else step_size)
        return np.zeros(3) if self._proportions is None else np.asarray(eta * self._proportions)

    def _full(self, error: float = 0.0) -> tuple[Array, float]:
        """The rows and the size A of the second layer that give f the size of y, or of an *error* if that is more."""
        seen = self.moments
        wanted = max(math.sqrt(seen.y_variance), error) / math.sqrt(len(self._directions))
        rows = self._directions
        if not self._given:
            square = seen.mean((seen.X @ rows.T) ** 2)
            rows = rows / math.sqrt(square) if square > 0 else rows
        with np.errstate(over="ignore", invalid="ignore"):
            size = math.sqrt(seen.mean(self.activation.values(seen.X @ rows.T) ** 2))
        if not math.isfinite(size):
            raise ValueError(
                f"weights and X are so large that squares of activation {self.activation.name!r} overflow; divide one "
                "of them by a number"
            )
        ratio = wanted / size if size > 0 else 1.0
        if self._trained:
            return rows, ratio
        degree = self.activation.degree
        return (rows if self._given or not degree else ratio ** (1 / degree) * rows), 1.0

    def _small(self, W: Array) -> Array:
        """W, or where the second layer is fixed rows of its directions for which f varies little beside y."""
        if self._trained or self._given:
            return W
        seen = self.moments
        W = _SMALL * W if self.activation.degree else W
        for _ in range(_HALVINGS):
            values = self.activation.values(seen.X @ W.T) @ self._signs
            if seen.mean((values - seen.mean(values)) ** 2) <= _SMALL**2 * seen.y_variance:
                break
            W = W / 2
        return W
