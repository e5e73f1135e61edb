"""A network on its way along a gradient flow: where it starts, its coordinates, its force, and errors of a step.

For sigma = x^2 the flow takes place in the eigenbasis of B, where B is diagonal, on rows that are reduced as those of
`fastlazy.fit_nn` are, and lazy scaling is a plain flow on another target (`fastlazy.training.start`). Its target is
that of the call over a unit u, a power of four near |B|: rows are divided by sqrt(u), the offset by u, and times
multiplied by u, so that nothing over- or underflows that need not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_real
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import hermite_coefficients
from fastlazy.risk.gradient import Gradient, population_gradient
from fastlazy.targets.quadratic import QuadraticFunction
from fastlazy.training.start import check_network, check_size, initial_network, reduced, scaled
from fastlazy.training.steps import general_companions

ACCURACY = 1e-4  # the error of one step, relative to the size of each part of the network
_DOUBLE = np.dtype(np.float64)
_LARGEST = 1e30  # entry of B for a sigma that has no unit to change to


@dataclass(frozen=True, eq=False)
class Run:
    """A network, what it learns, and the coordinates of its flow."""

    unit: float  # u
    b0: float  # of the target
    plain: QuadraticFunction  # the eigenvalues of the target over u
    learned: QuadraticFunction  # the target of the call, or B + alpha S_0
    frame: QuadraticFunction  # what is learned, in the coordinates of the flow: without b0, and B diagonal for x^2
    N: int
    sigma: Activation
    second_layer: str
    rows: Array  # (k, d) where the rows start, in these coordinates
    layer: Array  # (k,) where their second layer starts
    c: float  # where the offset less b0 starts, over u
    weights: Callable[[Array], Array]  # takes rows (k, d) to the weights W (N, d) of the network
    start: Array  # (N,) second layer of the network
    scale: float | None
    speeds: tuple[float, float, float]  # of W, the second layer and the offset
    sign: float  # of what a neuron of a > 0 adds to the target: see `fastlazy.training.start.initial_network`

    @property
    def y(self) -> Array:
        """Where the flow starts."""
        second = {"free": self.layer, "scalar": self.layer[:1]}.get(self.second_layer, self.layer[:0])
        parts = (self.rows.ravel(), second, np.array([self.c]))
        return np.concatenate([part / math.sqrt(speed) for part, speed in zip(parts, self.speeds, strict=True)])

    def unpack(self, y: Array) -> tuple[Array, Array, float]:
        """Rows (k, d), second layer (k,) and offset of the state *y*."""
        size = self.rows.size
        roots = [math.sqrt(speed) for speed in self.speeds]
        rows = (roots[0] * y[:size]).reshape(self.rows.shape)
        layer = self.layer if len(y) == size + 1 else np.broadcast_to(roots[1] * y[size:-1], len(rows))
        return rows, layer, roots[2] * float(y[-1])

    def gradient(self, y: Array, parallel: bool) -> Gradient:
        """The risk and its gradient there."""
        return population_gradient(self.frame, *self.unpack(y), self.sigma, parallel)

    def force(self, gradient: Gradient) -> Array:
        """The velocity of the state."""
        second = {"free": gradient.a, "scalar": gradient.a.sum(keepdims=True)}.get(self.second_layer, gradient.a[:0])
        parts = (gradient.W.ravel(), second, np.array([gradient.c]))
        return np.concatenate([-math.sqrt(speed) * part for part, speed in zip(parts, self.speeds, strict=True)])

    def error(self, error: Array, y: Array) -> float:
        """The largest error of the three parts over what is allowed."""
        size = self.rows.size
        rows, layer, _ = self.unpack(y)
        share = ACCURACY
        if self.sigma.is_square:  # under lazy scaling neurons may be larger than what is learned
            whole = float(np.abs(layer) @ np.einsum("ij,ij->i", rows, rows))
            tau = float(np.abs(self.plain.eigenvalues).sum())
            share *= min(1.0, tau / whole) if tau > 0 and whole > 0 else 1.0
        floor = math.sqrt(self.plain.null_risk / self.speeds[2])
        largest = 0.0
        for part, least in ((slice(size), 0.0), (slice(size, len(y) - 1), 0.0), (slice(len(y) - 1, None), floor)):
            off = float(np.linalg.norm(error[part]))
            if not math.isfinite(off):
                return math.inf
            if off > 0:
                allowed = share * max(float(np.linalg.norm(y[part])), least)
                largest = max(largest, off / allowed if allowed > 0 else math.inf)
        return largest


@dataclass(frozen=True)
class Choices:
    """What a caller chose, checked but for the arrays."""

    second_layer: str
    init: str
    scale: float | None
    W0: ArrayLike | None
    a0: ArrayLike | None
    c0: float | None


def start_flow(target: QuadraticFunction, N: int, sigma: Activation, choices: Choices, rng: np.random.Generator) -> Run:
    """The run that begins where it was asked for.

    Raises
    ------
    TypeError, ValueError
        If an array of the choices is not finite or of another shape, a number is beyond floating point, or lazy scaling
        is asked for and sigma is not x^2.
    """
    if choices.scale is not None and not sigma.is_square:
        raise ValueError(
            f"scale = {choices.scale!r} was given with activation {sigma.name!r}, but lazy scaling needs sigma = x^2 "
            "here; leave scale out, or pass activation='square'"
        )
    layer, init = choices.second_layer, choices.init
    W, a, sign = initial_network(target, N, sigma, layer, init, choices.W0, choices.a0, rng)
    unit, learned, rows, alpha = _unit(target, sigma), target, W, 1.0
    if sigma.is_square:
        check_network(W, a, 1.0, _DOUBLE)
    if choices.scale is not None:
        shifted = scaled(target, W, a, choices.scale, _DOUBLE)
        learned, rows, alpha = shifted.target, shifted.W, shifted.alpha
    means = np.sum(rows**2, axis=1) if sigma.is_square else hermite_coefficients(sigma, _lengths(rows), 0)[:, 0]
    c = learned.mean - float(a @ means) if choices.c0 is None else check_real("c0", choices.c0)
    check_size("c0 differs from b0 by a number", abs(c - target.b0), _DOUBLE)
    frame, basis, second = QuadraticFunction(learned.B / unit), None, a
    expand: Callable[[Array], Array] = _same
    if sigma.is_square:
        beta, basis = learned.eigenbasis
        frame, rows = QuadraticFunction(beta / unit), (rows if basis is None else rows @ basis) / math.sqrt(unit)
        rows, second, expand = reduced(rows, a, layer != "free")

    def weights(moved: Array) -> Array:
        full = expand(moved)
        return np.ascontiguousarray((full if basis is None else full @ basis.T) * math.sqrt(unit / alpha))

    plain = QuadraticFunction(target.eigenvalues / unit)
    if sigma.is_square:
        tau = float(np.abs(plain.eigenvalues).sum()) or 1.0
        speeds = 1 / alpha, 1 / (2 * tau * alpha**2), tau
    else:
        _, of_a, of_c = general_companions(target, sigma, W, a, layer == "scalar").tolist()
        speeds = 1.0, of_a, of_c
    return Run(
        unit, target.b0, plain, learned, frame, N, sigma, layer, rows, second, (c - target.b0) / unit,
        weights, a, choices.scale, speeds, sign,
    )  # fmt: skip


def _unit(target: QuadraticFunction, sigma: Activation) -> float:
    """The unit u."""
    largest = float(np.abs(target.B).max())
    if sigma.is_square:
        return 4.0 ** round(math.log2(largest) / 2) if largest > 0 else 1.0
    if largest > 0 and not 1 / _LARGEST <= largest <= _LARGEST:
        raise ValueError(
            f"target has entries of size {largest:.3g}, too far from 1 for the flow of a network with activation "
            f"{sigma.name!r}; scale B and b0 to between {1 / _LARGEST:g} and {_LARGEST:g}"
        )
    return 1.0


def _lengths(W: Array) -> Array:
    return np.sqrt(np.einsum("ij,ij->i", W, W))


def _same(rows: Array) -> Array:
    return rows
