"""Where SGD starts: the first-layer weights and the second layer, given or chosen, and the rows on which it is run.

Lazy scaling (ours). alpha (f - f_0) + c with f = sum_i a_i <w_i, x>^2, errors measured against B and the step of W
divided by alpha^2, is the plain network of rows v_i = sqrt(alpha) w_i on another target: its errors are those of
sum_i a_i <v_i, x>^2 + c against B + alpha S_0, S_0 = W_0^T diag(a_0) W_0, and a step eta / alpha^2 of W is a step
eta / alpha of V. So nothing but the start, the target and the steps differs from a plain run.

For another sigma (ours) it is the plain network of the 2 N rows [W; W_0] and the second layer [alpha a; -alpha a_0],
whose second half stays as it is. A step eta / alpha^2 of W is one there, too; the same step of a is a step eta of
alpha a. Where f_0 = 0, from a symmetric start, there is no second half.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_array, check_columns, check_real
from fastlazy._support.singular import EPS, PROMISE
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import square_moments
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.risk.nn import nn_risk
from fastlazy.targets.quadratic import QuadraticFunction
from fastlazy.training.classes import Learned
from fastlazy.training.linearization import network_function
from fastlazy.training.sizes import start_sizes

INITS = ("orthogonal", "symmetric")
_LARGEST_SCALE = {np.dtype(np.float32): 1e4, np.dtype(np.float64): 1e10}
# Rounding of the start is told if it is more than this part of the target.
_ROUNDED = 1e-2
_LARGEST = {np.dtype(np.float32): 1e30, np.dtype(np.float64): 1e145}  # sizes of f whose square can still grow


class Scaled(NamedTuple):
    """Lazy training as the plain training of the rows *W* (N, d) on *target*."""

    alpha: float
    target: QuadraticFunction  # B + alpha S_0
    W: Array  # sqrt(alpha) W_0

    @property
    def row_scale(self) -> float:
        """What the rows of the network are multiplied by."""
        return math.sqrt(self.alpha)


class Doubled(NamedTuple):
    """Lazy training of any sigma as the plain training of the first N of these rows."""

    alpha: float
    W: Array  # (2 N, d) the rows [W_0; W_0], or (N, d) where f_0 = 0
    a: Array  # (2 N,) the second layer [alpha a_0; -alpha a_0], or (N,)


@dataclass(frozen=True, eq=False)
class Start:
    """Where a run starts, as a plain run, and how it goes on from there."""

    target: QuadraticFunction  # what the plain run learns: that of the call, or B + alpha S_0
    W: Array  # (N, d) first layer of the plain run; or (2 N, d), of which the second half stays as it is
    a: Array  # (N,) or (2 N,) second layer
    c: float  # offset
    scale: float | None  # alpha of lazy scaling, if that was asked for
    row_scale: float  # rows of the plain run are those of the network times this: 1, or sqrt(alpha) for x^2
    key: np.uint64  # selects the samples
    rule: Callable[[Array], Array]  # the steps: see `fastlazy.training.steps.step_rule`
    layer_scale: float = 1.0  # the second layer of the plain run is that of the network times this: alpha, if not x^2
    outside: Array | None = None  # W (N, d) outside of the range of the inputs' covariance, which is none of the run


@dataclass(frozen=True, eq=False)
class Frame:
    """The coordinates in which a run takes place: the eigenbasis of its target, or modes; and its rows are reduced."""

    target: Learned  # what is learned, in these coordinates: B is diagonal, b0 is 0; or Sigma is I, Delta diagonal
    basis: Array | None  # (d, d) the eigenvectors, in columns; None for the identity
    expand: Callable[[Array], Array]  # takes the rows of the run to all N rows: see `reduced`
    shape: tuple[int, int]  # (k, d), the shape of the rows of the run
    back: Array | None  # (d, dimension of W) what takes rows of the run to those of the network; None for the identity


def initial_weights(
    W0: ArrayLike | None, target: QuadraticFunction, N: int, rng: np.random.Generator, init: str, r: float | None = None
) -> Array:
    """The first layer at the start, shape (N, d); *r* is the length of the rows, for a sigma that is not x^2."""
    if init == "symmetric":
        if W0 is not None:
            raise ValueError(
                "W0 was given, but init='symmetric' draws it; pass W0=[V, V] and a0=[1, -1] as rows of their own"
            )
        if N % 2:
            raise ValueError(f"N must be even for init='symmetric', which has pairs of neurons, got {N}; pass {N + 1}")
        half = initial_weights(None, target, N // 2, rng, "orthogonal", r)
        return np.vstack([half, half])
    if W0 is None and r is not None:
        blocks = [orthonormal(min(target.d, N - first), target.d, rng) for first in range(0, N, target.d)]
        return r * np.vstack(blocks)
    if W0 is None:
        return orthonormal(N, target.d, rng) * np.sqrt(np.abs(target.eigenvalues).sum() / target.d)
    W = check_columns("W0", check_array("W0", W0, 2), target.d)
    if len(W) != N:
        raise ValueError(f"W0 has {len(W)} rows (shape {W.shape}), but N = {N}; pass N rows, or N={len(W)}")
    return W


def initial_network(
    target: QuadraticFunction,
    N: int,
    activation: Activation,
    second_layer: str,
    init: str,
    W0: ArrayLike | None,
    a0: ArrayLike | None,
    rng: np.random.Generator,
    common: float = 1.0,
) -> tuple[Array, Array, float]:
    """First layer (N, d) and second layer (N,) at the start, and the sign of what a neuron of a > 0 adds to the target.

    The sign is 0 if it adds nothing, for sigma is odd but for a constant. *common* is the sign, as the target sees it,
    of a second layer that is one number.
    """
    if activation.is_square:
        W = initial_weights(W0, target, N, rng, init)
        return W, initial_second_layer(a0, target, N, second_layer, init, 1.0, common), 1.0
    r, A, sign = start_sizes(activation, target, N, second_layer in ("ones", "signs"))
    W = initial_weights(W0, target, N, rng, init, r)
    return W, initial_second_layer(a0, target, N, second_layer, init, math.copysign(A, sign), common), sign


def orthonormal(N: int, d: int, rng: np.random.Generator) -> Array:
    """N orthonormal rows of length d, or if N > d orthonormal columns; uniformly distributed."""
    Q, R = np.linalg.qr(rng.standard_normal((max(N, d), min(N, d))))
    Q *= np.sign(np.diag(R))
    return np.asarray(Q if d <= N else Q.T)


def initial_second_layer(
    a0: ArrayLike | None,
    target: QuadraticFunction,
    N: int,
    second_layer: str,
    init: str,
    A: float = 1.0,
    common: float = 1.0,
) -> Array:
    """The second layer at the start, shape (N,).

    *A* is its size, with the sign of what a neuron adds to the target, and *common* the sign that "scalar" is to add.
    """
    if init == "symmetric":
        if second_layer not in ("signs", "free"):
            raise ValueError(
                f"init='symmetric' has neurons of both signs, not second_layer={second_layer!r}; pass 'signs' or 'free'"
            )
        if a0 is not None:
            raise ValueError("a0 was given, but init='symmetric' has +1 and -1 in equal parts; leave it out")
        return np.repeat([A, -A], N // 2)
    if a0 is None:
        if second_layer == "ones":
            return np.ones(N)
        return A * (_best_signs(target, N) if second_layer in ("signs", "free") else np.full(N, common))
    a = check_array("a0", a0, (0, 1))
    if second_layer == "ones":
        raise ValueError("a0 was given, but second_layer='ones' has a = 1; pass second_layer='signs' or 'free'")
    if second_layer == "scalar" and a.ndim == 1:
        raise ValueError(f"a0 must be one number for second_layer='scalar', got shape {a.shape}; pass a float")
    if a.ndim == 1 and len(a) != N:
        raise ValueError(f"a0 has {len(a)} entries, but N = {N}; pass one entry per neuron, or a scalar")
    if second_layer == "signs" and not np.all(np.abs(a) == 1):
        raise ValueError("a0 must hold only +1 and -1 for second_layer='signs'; pass signs, or second_layer='free'")
    return np.broadcast_to(a, N).copy()


def initial_offset(target: QuadraticFunction, default: float, c0: float | None, dtype: np.dtype[Any]) -> float:
    """The offset at the start: *c0*, or the *default* if that is None.

    Raises
    ------
    TypeError, ValueError
        If *c0* is not a finite number, or *dtype* does not bear the difference from b0.
    """
    c = default if c0 is None else check_real("c0", c0)
    what = "W0 and a0 make a function" if c0 is None else "c0 differs from b0 by a number"
    check_size(what, abs(c - target.b0), dtype)
    return c


def check_network(W: Array, a: Array, alpha: float, dtype: np.dtype[Any]) -> None:
    """Raise ValueError if *dtype* does not bear alpha sum_i a_i <w_i, x>^2, rows *W* (N, d) and *a* (N,)."""
    check_entries(W, a, dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        size = alpha * float(np.abs(a) @ np.sum(W**2, axis=1))
    check_size("W0 and a0 make a function", size, dtype)


def check_entries(W: Array, a: Array, dtype: np.dtype[Any]) -> None:
    """Raise ValueError if *dtype* does not hold the entries of *W* and *a*."""
    if max(np.abs(W).max(), np.abs(a).max()) > np.finfo(dtype).max:
        raise ValueError(
            f"W0 or a0 has entries beyond the range of dtype {dtype}; pass smaller ones, or dtype=np.float64"
        )


def check_size(what: str, size: float, dtype: np.dtype[Any]) -> None:
    """Raise ValueError if *dtype* does not bear a function of that *size*."""
    if not size <= _LARGEST[dtype]:
        more = ", or dtype=np.float64" if size <= _LARGEST[np.dtype(np.float64)] else ""
        raise ValueError(
            f"{what} of size {size:.3g}, whose square leaves no room in dtype {dtype}; pass one below "
            f"{_LARGEST[dtype]:g}{more}"
        )


def check_scaled_layer(activation: Activation, second_layer: Any, scale: Any) -> None:
    """Raise ValueError for lazy scaling of a number that neurons of a sigma other than x^2 share."""
    if scale is not None and not activation.is_square and isinstance(second_layer, str) and second_layer == "scalar":
        raise ValueError(
            f"second_layer='scalar' with a scale is for activation='square', got {activation.name!r}: the number would "
            "multiply the f_0 that is subtracted, too; pass second_layer='ones' or 'free'"
        )


def warn_of_signs(target: QuadraticFunction, N: int, second_layer: str, null_risk: float) -> None:
    """Warn the caller of `fastlazy.fit_nn` if *N* neurons of one sign cannot learn what those of both signs can."""
    positive = np.maximum(target.eigenvalues, 0.0)  # descending
    risk = target.null_risk - 2 * float(np.sum(positive[:N] ** 2))
    if risk - nn_risk(target, N) > 1e-12 * target.null_risk:
        warnings.warn(
            f"target has negative eigenvalues, which second_layer={second_layer!r} cannot learn: the risk stays above "
            f"{risk / null_risk:.3g} of the null risk; pass second_layer='signs'",
            UserWarning,
            stacklevel=3,
        )


def warn_of_bend(activation: Activation, sign: float, second_layer: str, chosen: bool, *, stacklevel: int = 5) -> None:
    """Warn the caller of `fastlazy.fit_nn`, so many levels above, if a network can learn nothing, or little.

    *sign* is that of h_2 (see `fastlazy.training.sizes`), *chosen* whether the second layer was chosen to suit it.
    """
    text = ""
    if sign == 0:
        text = "has no part of degree two, so no even target can be learned; pass another activation"
    elif sign < 0 and (second_layer == "ones" or not chosen):
        text = (
            f"bends downwards, so second_layer={second_layer!r} of positive entries cannot learn B >= 0; leave a0 out"
        )
        text += " and pass second_layer='scalar' or 'free'"
    if text:
        warnings.warn(f"activation {activation.name!r} {text}", UserWarning, stacklevel=stacklevel)


def hidden_share(rounding: float, risk: float, null_risk: float) -> float:
    """The *rounding* of a *risk* over the null risk, or 0 if it is small beside either."""
    return rounding / (null_risk or 1.0) if rounding > PROMISE * max(risk, null_risk) else 0.0


def warn_of_hidden_risk(share: float, *, stacklevel: int) -> None:
    """Warn the caller, so many levels above, if rounding hides this share of the null risk; 0: none."""
    if share > 0:
        warnings.warn(
            f"recorded risks may be off by {share:.1e} of the null risk, as neurons are so large that what they add up "
            "to is lost in their rounding; pass smaller W0 and a0, or smaller steps",
            RuntimeWarning,
            stacklevel=stacklevel,
        )


def scaled(target: QuadraticFunction, W: Array, a: Array, scale: Any, dtype: np.dtype[Any]) -> Scaled:
    """The plain run that is training alpha (f - f_0) + c from *W* (N, d) and *a* (N,), alpha = *scale*.

    Raises
    ------
    TypeError, ValueError
        If the scale is not a number of a size that *dtype* bears.

    Warns
    -----
    RuntimeWarning
        If rounding of alpha f_0, which is learned beside the target, is not small beside it. It points at the line that
        called `fastlazy.fit_nn`.
    """
    alpha = _check_scale(scale, dtype)
    check_network(W, a, alpha, dtype)
    start = alpha * network_function(W, a).B
    size, rounding = float(np.abs(target.B).max()), float(np.finfo(dtype).eps * np.abs(start).max())
    if rounding > _ROUNDED * size:
        more = "dtype=np.float64, " if dtype == np.float32 else ""
        warnings.warn(
            f"the start is so large that rounding of scale f_0 to {dtype} is {rounding:.1e} where target has entries "
            f"up to {size:.1e}, which hides what is learned and its risk; pass {more}a smaller scale or a smaller W0",
            RuntimeWarning,
            stacklevel=4,
        )
    shifted = target.B + start
    return Scaled(alpha, QuadraticFunction(shifted, target.b0), np.sqrt(alpha) * W)


def doubled(
    target: QuadraticFunction, activation: Activation, W: Array, a: Array, scale: Any, dtype: np.dtype[Any]
) -> Doubled:
    """The plain run that is training alpha (f - f_0) + c from *W* (N, d) and *a* (N,), for a sigma that is not x^2.

    Raises
    ------
    TypeError, ValueError
        As `scaled`.

    Warns
    -----
    RuntimeWarning
        If rounding of alpha f_0, or that of the recorded risks, is not small beside the target. It points at the line
        that called `fastlazy.fit_nn`.
    """
    alpha = _check_scale(scale, dtype)
    half = len(W) // 2
    paired = len(W) % 2 == 0 and np.array_equal(W[:half], W[half:]) and np.array_equal(a[:half], -a[half:])
    rows, layer = (W, alpha * a) if paired else (np.vstack([W, W]), alpha * np.concatenate([a, -a]))
    with np.errstate(over="ignore"):
        squares = float(layer**2 @ square_moments(activation, unit_rows(rows)[1]))
    null = target.null_risk or 1.0
    text = ""
    if (rounding := float(np.finfo(dtype).eps) * math.sqrt(squares)) > _ROUNDED * math.sqrt(null):
        more = "dtype=np.float64, " if dtype == np.float32 else ""
        text = f"that of scale f_0 to {dtype} is {rounding:.1e}; pass {more}a smaller scale or a smaller a0"
    elif 4 * EPS * squares > PROMISE * null:
        text = (
            f"recorded risks, not the training, may be off by {4 * EPS * squares / null:.1e} of the null risk; pass a "
            "smaller scale if that matters"
        )
    if text:
        text = f"the start is so large that rounding is not small beside the target: {text}"
        warnings.warn(text, RuntimeWarning, stacklevel=5)
    return Doubled(alpha, rows, layer)


def _check_scale(scale: Any, dtype: np.dtype[Any]) -> float:
    """alpha, if it is a number of a size that *dtype* bears."""
    alpha, largest = check_real("scale", scale), _LARGEST_SCALE[dtype]
    if not 1e-10 <= alpha <= largest:
        more = "; pass dtype=np.float64, or a smaller scale" if largest < alpha <= 1e10 else "; pass another"
        raise ValueError(f"scale must be from 1e-10 to {largest:g} for dtype {dtype}, got {alpha:g}{more}")
    return alpha


def reduced(W: Array, a: Array, reduce: bool) -> tuple[Array, Array, Callable[[Array], Array]]:
    """Rows R and their a with the same W^T diag(a) W, and the function that takes R(t) back to W(t).

    W = Q R for the rows of each a, where they are more than d: every step is a multiplication from the right.
    """
    N, d = W.shape
    rows: list[Array] = []
    back: list[tuple[Any, Array | None, slice]] = []
    values: list[Array] = []
    start = 0
    for value in np.unique(a) if reduce else [None]:
        chosen = np.flatnonzero(a == value) if reduce else np.arange(N)
        part, Q = W[chosen], None
        if reduce and len(chosen) > d:
            Q, part = np.linalg.qr(part)
        rows.append(part)
        values.append(a[chosen][: len(part)])
        back.append((chosen, Q, slice(start, start + len(part))))
        start += len(part)

    def expand(R: Array) -> Array:
        full = np.empty((N, d))
        for chosen, Q, place in back:
            full[chosen] = R[place] if Q is None else Q @ R[place]
        return full

    return np.vstack(rows), np.concatenate(values), expand


def _best_signs(target: QuadraticFunction, N: int) -> Array:
    """Signs (N,) with which width N can reach `nn_risk`: those of the largest eigenvalues, +1 first."""
    largest = target.eigenvalues[np.argsort(-np.abs(target.eigenvalues), kind="stable")[:N]]
    negative = int(np.count_nonzero(largest < 0))
    if target.d < N:  # the neurons that are to spare get signs in the same proportion
        negative += round((N - target.d) * negative / target.d)
    return np.where(np.arange(N) < N - negative, 1.0, -1.0)
