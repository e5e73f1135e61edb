"""A network on its way along a gradient flow: where it starts, its coordinates, its force, and errors of a step.

For sigma = x^2 the flow takes place in the eigenbasis of B, where B is diagonal, on rows that are reduced as those of
`fastlazy.fit_nn` are, and lazy scaling is a plain flow on another target (`fastlazy.training.start`). Its target is
that of the call over a unit u, a power of four near |B|: rows are divided by sqrt(u), the offset by u, and times
multiplied by u, so that nothing over- or underflows that need not. For any other sigma it takes place in the
coordinates of the network, and lazy scaling is a plain flow of a network of which one half stays as it is.

For a mixture of two classes it takes place on the rows of its modes, whatever sigma is, as that of `fastlazy.fit_nn`
(`fastlazy.training.classes`); these have a size of their own, and u = 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import square_moments
from fastlazy.activations.radial import radial_moments
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.risk import mixture_network
from fastlazy.risk.gradient import Gradient, population_gradient
from fastlazy.risk.mixture_gradient import class_gradient
from fastlazy.risk.network import network_risk_and_rounding
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction
from fastlazy.training.classes import (
    Learned,
    check_silent_start,
    common_sign,
    feature_means,
    in_modes,
    learned_function,
    left_out,
    outside,
    rows_in_modes,
    way_back,
)
from fastlazy.training.sizes import learned_lengths
from fastlazy.training.start import (
    check_network,
    check_scaled_layer,
    doubled,
    initial_network,
    initial_offset,
    reduced,
    scaled,
)
from fastlazy.training.steps import general_companions

ACCURACY = 1e-4  # the error of one step, relative to the size of each part of the network
_NOTHING = 1e-12  # times the natural norm of the rows, which is as good as zero
_DOUBLE = np.dtype(np.float64)
_LARGEST = 1e30  # entry of B for a sigma that has no unit to change to


@dataclass(frozen=True, eq=False)
class Run:
    """A network, what it learns, and the coordinates of its flow."""

    unit: float  # u
    b0: float  # of the target
    plain: QuadraticFunction  # the eigenvalues of the target over u; for a mixture those of `learned_function`
    learned: QuadraticFunction  # the target of the call, or B + alpha S_0; for a mixture `learned_function`
    frame: Learned  # what is learned, in the coordinates of the flow: without b0, and B diagonal for x^2; or in modes
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
    still: tuple[Array, Array]  # (n, d) rows that stay as they are, with their second layer (n,); n may be 0
    natural: float  # the norm of rows that make the target
    variance: float  # (sum_i |a_i| std sigma(<w_i, x>))^2 at the start, beside which rounding of the risk is small
    layer_scale: float = 1.0  # the second layer of the flow is that of the network times this: alpha, if not x^2
    share: float = 1.0  # of `ACCURACY`, where what is learned is smaller than the network

    @property
    def null_risk(self) -> float:
        """That of the target, over u^2."""
        return self.frame.null_risk if isinstance(self.frame, GaussianMixture) else self.plain.null_risk

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
        network = self._network(y)
        if isinstance(self.frame, GaussianMixture):
            return class_gradient(self.frame.modes, *network, self.sigma, parallel)
        return population_gradient(self.frame, *network, self.sigma, parallel)

    def risk(self, y: Array, parallel: bool) -> tuple[float, float]:
        """The risk there, of a sigma that is not x^2, and how far it is off, from the matrix of all pairs."""
        network = self._network(y)
        if isinstance(self.frame, GaussianMixture):
            return mixture_network.network_risk(self.frame, *network, self.sigma, parallel)
        return network_risk_and_rounding(self.frame, *network, self.sigma, parallel)

    def _network(self, y: Array) -> tuple[Array, Array, float]:
        """As `unpack`, with the rows that stay as they are."""
        rows, layer, c = self.unpack(y)
        if len(self.still[0]):
            rows, layer = np.vstack([rows, self.still[0]]), np.append(layer, self.still[1])
        return rows, layer, c

    def force(self, gradient: Gradient) -> Array:
        """The velocity of the state."""
        W, a = (part[: len(self.rows)] for part in (gradient.W, gradient.a))
        second = {"free": a, "scalar": a.sum(keepdims=True)}.get(self.second_layer, a[:0])
        parts = (W.ravel(), second, np.array([gradient.c]))
        return np.concatenate([-math.sqrt(speed) * part for part, speed in zip(parts, self.speeds, strict=True)])

    def error(self, error: Array, y: Array) -> float:
        """The largest error of the three parts over what is allowed."""
        size = self.rows.size
        rows, layer, _ = self.unpack(y)
        share = self.share * ACCURACY
        if self.sigma.is_square:  # under lazy scaling neurons may be larger than what is learned
            whole = float(np.abs(layer) @ np.einsum("ij,ij->i", rows, rows))
            tau = float(np.abs(self.plain.eigenvalues).sum())
            share *= min(1.0, tau / whole) if tau > 0 and whole > 0 else 1.0
        # Rows far below the size at which they make the target, and offsets far below its own, need no more digits.
        floor = math.sqrt((self.plain.null_risk or self.variance) / self.speeds[2])
        shortest = _NOTHING * self.natural / math.sqrt(self.speeds[0])
        largest = 0.0
        for part, least in ((slice(size), shortest), (slice(size, len(y) - 1), 0.0), (slice(len(y) - 1, None), floor)):
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


def start_flow(target: Learned, N: int, sigma: Activation, choices: Choices, rng: np.random.Generator) -> Run:
    """The run that begins where it was asked for.

    Raises
    ------
    TypeError, ValueError
        If an array of the choices is not finite or of another shape, a number is beyond floating point, or there is no
        lazy scaling for this second layer, or for x^2 and a mixture from this start.
    """
    layer, init, W0 = choices.second_layer, choices.init, rows_in_modes(target, choices.W0)
    check_scaled_layer(sigma, layer, choices.scale)
    learned, common = learned_function(target, N), common_sign(target, N)
    W, a, sign = initial_network(learned, N, sigma, layer, init, W0, choices.a0, rng, common)
    make = _square_run if sigma.is_square else _general_run
    run = make(target, sigma, choices, (W, a), sign)
    if not isinstance(target, GaussianMixture):
        return run
    back, left = way_back(target), outside(target, choices.W0)

    def weights(moved: Array) -> Array:
        rows = run.weights(moved)
        full = rows if back is None else rows @ back
        return full if left is None else full + left

    return replace(run, weights=weights)


def _square_run(target: Learned, sigma: Activation, choices: Choices, start: tuple[Array, Array], sign: float) -> Run:
    """The run for x^2, from the network of rows and second layer *start*."""
    W, a = start
    first = learned = learned_function(target, len(W))
    check_network(W, a, 1.0, _DOUBLE)
    rows, alpha = W, 1.0
    if choices.scale is not None:
        if isinstance(target, GaussianMixture):
            check_silent_start(W, a)
        shifted = scaled(first, W, a, choices.scale, _DOUBLE)
        learned, rows, alpha = shifted.target, shifted.W, shifted.alpha
    c = initial_offset(first, learned.mean - float(a @ np.sum(rows**2, axis=1)), choices.c0, _DOUBLE)
    unit, basis, b0 = 1.0, None, left_out(target)
    frame: Learned
    if isinstance(target, GaussianMixture):
        learned, frame = first, in_modes(target)
    else:
        largest = float(np.abs(target.B).max())
        unit = 4.0 ** round(math.log2(largest) / 2) if largest > 0 else 1.0
        beta, basis = learned.eigenbasis
        frame = QuadraticFunction(beta / unit)
    plain = QuadraticFunction(first.eigenvalues / unit)
    rows = (rows if basis is None else rows @ basis) / math.sqrt(unit)
    rows, second, expand = reduced(rows, a, choices.second_layer != "free")

    def weights(moved: Array) -> Array:
        full = expand(moved)
        return np.ascontiguousarray((full if basis is None else full @ basis.T) * math.sqrt(unit / alpha))

    tau = float(np.abs(plain.eigenvalues).sum()) or 1.0
    speeds = 1 / alpha, 1 / (2 * tau * alpha**2), tau
    return Run(
        unit, b0, plain, learned, frame, len(W), sigma, choices.second_layer, rows, second,
        (c - b0) / unit, weights, a, choices.scale, speeds, sign, (rows[:0], second[:0]), math.sqrt(tau),
        2 * float(np.abs(second) @ np.sum(rows**2, axis=1)) ** 2,
    )  # fmt: skip


def _general_run(target: Learned, sigma: Activation, choices: Choices, start: tuple[Array, Array], sign: float) -> Run:
    """The run for a sigma that is not x^2, from the network of rows and second layer *start*."""
    from fastlazy.kernels.forces import K, own_covariances  # which loads the compiler

    W, a = start
    N, lengths, learned = len(W), unit_rows(W)[1], learned_function(target, len(W))
    largest = float(np.abs(learned.B).max())
    if largest > 0 and not 1 / _LARGEST <= largest <= _LARGEST:
        raise ValueError(
            f"target has entries of size {largest:.3g}, too far from 1 for the flow of a network with activation "
            f"{sigma.name!r}; scale B and b0 to between {1 / _LARGEST:g} and {_LARGEST:g}"
        )
    rows, layer, alpha, mean, share = W, a, 1.0, 0.0, 1.0
    if choices.scale is None:
        mean = float(a @ feature_means(target, sigma, W))
    else:
        plain = doubled(learned, sigma, W, a, choices.scale, _DOUBLE)
        rows, layer, alpha = plain.W, plain.a, plain.alpha
        # By what W -> (1 + e) W changes alpha f, over e, if neurons are independent.
        moved = alpha * math.sqrt(float((a * lengths) ** 2 @ square_moments(sigma, lengths, derivative=1)))
        share = min(1.0, math.sqrt(learned.null_risk) / moved) if learned.null_risk > 0 and moved > 0 else 1.0
    c = initial_offset(learned, learned.mean - mean, choices.c0, _DOUBLE)
    all_lengths = unit_rows(rows)[1]
    variances = own_covariances(radial_moments(sigma, all_lengths, K))[1]
    _, of_a, of_c = general_companions(learned, sigma, W, a, choices.second_layer == "scalar").tolist()
    b0 = left_out(target)
    frame = in_modes(target) if isinstance(target, GaussianMixture) else QuadraticFunction(target.B)
    return Run(
        1.0, b0, QuadraticFunction(learned.eigenvalues), learned, frame, N, sigma,
        choices.second_layer, rows[:N], layer[:N], c - b0, np.array, a, choices.scale,
        (1 / alpha**2, of_a, of_c), sign, (rows[N:], layer[N:]),
        float(np.linalg.norm(learned_lengths(sigma, learned, W, a))),
        float(np.abs(layer) @ np.sqrt(variances)) ** 2, alpha, share,
    )  # fmt: skip
