"""Step sizes of SGD: the rule that needs no tuning, and what a caller may pass instead.

The rule (ours). With tau = sum_i |lambda_i(B)|, r = max_i |lambda_i(B)| / tau and b samples a step,

    eta = kappa / (8 tau s),    s = 3/2 + 4 r + (d + 2 + 100 r + 3 d max(0, r - 1/20)) / b,

does not depend on the target's scale, and kappa up to 2 was stable on every spectrum tried, from rank one to the
identity (tests/training/test_fit_nn.py): the first two terms of s bound the mean step (of the trace of W^T W, which
moves with the offset, and of the largest eigenvalue), the others its noise; the last of them what single samples do
that lie far out along one of a few directions. Learning all directions takes n samples in proportion to d b s, and two
things limit a run of T = n / (d b s):

- directions whose eigenvalues are nearly equal are told apart slowly, which asks for large steps;
- for N < d an error of variance nu = nn_risk / null_risk remains however well W is chosen, and its noise asks
  for small ones, in the end like 1 / t.

So kappa = 2 (1 - u) / (1 + (5/4) nu T u) at the fraction u of the run. The offset and the second layer, each of
which acts on every sample alike, have steps eta tau and eta / (2 tau), of the same order in their own units.

For another sigma the mean of |grad_W f|^2 / d, Q = sum_i a_i^2 E sigma'(r_i G)^2, stands for the 4 tau that it is for
x^2, since 2 eta E |grad_W f|^2 / b is by what a step changes f(x) at its own sample, over the error. r_i is |w_i| at
the start, or the length at which N neurons together reach the target, if that is more (`learned_lengths`). Along one
of a few directions all rows see the same z, and in the place of the 3 in s, which is E z^4 / (E z^2)^2, there is the
kurtosis of sigma'(z). The offset and the second layer have eta Q / 4 and eta Q / (8 F), F = E (sum_i sigma(<w_i, x>))^2
where the neurons have one weight together and sum_i E sigma(<w_i, x>)^2 where each has its own (`general_step_rule`).

Under lazy scaling the start is part of what has to be moved, and tau and r tau are those of the target plus those of
the rows at the start (`scaled_step_rule`). For another sigma (`doubled_step_rule`), whose steps of W are divided by
alpha^2, a step changes alpha f(x) by 2 eta Q / b times the error, Q of f itself, for every alpha; but Q grows as the
network grows until alpha f is of the target's size. So Q is that of the start plus that of a network of the size of
the target / alpha. The latter is small for large alpha, where W hardly moves; for x^2 it is 4 tau / alpha, and the rule
is that of above. r is the share of the largest direction in the same sum, and nu is as for x^2, with the part of degree
two of f_0 in the place of S_0.

Two classes (ours). Around the best function S (`fastlazy.training.classes`) y has the variance R = nn_risk, whatever
is learned, and this noise, not the speed, is what limits a run. Steps that are large at first leave noise in those
entries of S that move slowly, where no later decay removes it. So the steps start small and fall to 0 on a line,

    kappa = kappa_0 (1 - u),    kappa_0 = min(1, K, (5 - 4 min(1, N / d)) (2 |S|^2 / R)^0.3 T^-0.7).

The last term is fitted, to runs of d = 150, N = 10 to 150 and T = 4 to 42 with exponential Delta; it was good for weak,
strong, flat, power-law and indefinite Delta, too. N < d directions have to be told apart, which takes larger steps. K
bounds what noise adds to S: a step multiplies all rows by I plus a matrix whose entries have the variance
(4 eta)^2 R / b, which in balance adds eta R d / b to each of d eigenvalues. That is to be of the size of tau together,
K = 2 (8 tau^2 b s) / (R d^2). tau and r are those of S, and 3 (1 + max delta_j^2), the kurtosis of an entry of z, is in
the place of 3. For another sigma, and under lazy scaling, the rules are those above with nu = R.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fastlazy._support.arguments import Array, check_real, shown
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import square_moments
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.risk.nn import nn_risk
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction, quadratic_form
from fastlazy.training.sizes import (
    bends,
    feature_size,
    learned_lengths,
    learned_slope_size,
    slope_kurtosis,
    slope_size,
)
from fastlazy.training.start import Scaled

StepSize: TypeAlias = str | float | Callable[[float], float | tuple[float, float, float]]

Rule: TypeAlias = Callable[[Array], Array]

_TIMES = 10_000  # a callable is asked at most so often


def step_rule(
    step_size: StepSize,
    target: QuadraticFunction,
    N: int,
    b: int,
    steps: int,
    mixture: GaussianMixture | None = None,
) -> Rule:
    """The rule that takes fractions of training done (k,), in [0, 1), to (eta_W, eta_a, eta_c), shape (k, 3).

    Parameters
    ----------
    step_size : "auto", float or callable
        As `fastlazy.fit_nn` takes it.
    target : QuadraticTarget
    N : int
        Neurons.
    b : int
        Samples of one step.
    steps : int
        Steps of the whole run.
    mixture : GaussianMixture, optional
        What is learned, *target* being the best quadratic function of it (`fastlazy.training.classes`).

    Raises
    ------
    TypeError, ValueError
        If step_size is of another kind, or is or returns something that is not finite and >= 0.
    """
    tau = float(np.sum(np.abs(target.eigenvalues))) or 1.0  # for B = 0 any tau > 0 will do
    companions = np.array([1.0, 1 / (2 * tau), tau])
    if not _is_auto(step_size):
        return _given_rule(step_size, companions, steps)
    r = float(np.max(np.abs(target.eigenvalues))) / tau
    if mixture is not None:
        return _class_rule(_Scales(tau, companions, r, nn_risk(mixture, N)), target, mixture, N, b, steps)
    return _auto_rule(_Scales(tau, companions, r, _share_left(target, N)), target.d, b, steps)


def general_step_rule(
    step_size: StepSize,
    target: QuadraticFunction,
    activation: Activation,
    W: Array,
    a: Array,
    shared: bool,
    b: int,
    steps: int,
    noise: float | None = None,
) -> Rule:
    """The rule for any sigma from rows *W* (N, d) and *a* (N,), *shared* if it is one number; else as `step_rule`."""
    companions = general_companions(target, activation, W, a, shared)
    if not _is_auto(step_size):
        return _given_rule(step_size, companions, steps)
    moduli = np.abs(target.eigenvalues)
    noise = _share_left(target, len(W)) if noise is None else noise
    r = float(moduli.max() / (moduli.sum() or 1.0))
    tails = slope_kurtosis(activation, float(np.median(learned_lengths(activation, target, W, a))))
    return _auto_rule(_Scales(float(companions[2]), companions, r, noise, tails), target.d, b, steps)


def general_companions(target: QuadraticFunction, activation: Activation, W: Array, a: Array, shared: bool) -> Array:
    """Steps of W, the second layer and the offset over eta, shape (3,): 1, Q / (8 F) and Q / 4."""
    lengths = learned_lengths(activation, target, W, a)
    quarter = slope_size(activation, lengths, a) / 4 or 1.0
    return np.array([1.0, quarter / (2 * (feature_size(activation, lengths, shared) or 1.0)), quarter])


def _is_auto(step_size: Any) -> bool:
    if isinstance(step_size, str) and step_size != "auto":
        raise ValueError(f"step_size = {step_size!r} is not known; pass 'auto', a float or a callable")
    return isinstance(step_size, str)


def _given_rule(step_size: Any, companions: Array, steps: int) -> Rule:
    """The rule of a number or a callable; *companions* are steps of W, the second layer and the offset over eta."""
    if not callable(step_size):
        with np.errstate(over="ignore"):  # steps beyond floating point diverge, which is told
            constant = check_real("step_size", step_size, 0.0) * companions
        return lambda fractions: np.tile(constant, (len(fractions), 1))

    times = min(steps, _TIMES)
    table = np.empty((times, 3))
    for k in range(times):
        value = step_size(k / times)
        try:
            answer = np.asarray(value)
        except ValueError:  # a list of lists of several lengths is no array
            answer = np.empty((0, 0))
        if answer.shape not in ((), (3,)):
            raise ValueError(
                f"step_size(fraction) must return one number or three (for W, the second layer, the offset), "
                f"got {shown(value)}; return such a value"
            )
        etas = [check_real("step_size(fraction)", eta, 0.0) for eta in answer.ravel().tolist()]
        table[k] = etas if len(etas) == 3 else etas[0] * companions

    def tabulated(fractions: Array) -> Array:
        # k / steps * times may come out just below k, so a margin is added before it is cut to an integer.
        return table[np.minimum((fractions * times + 1e-6).astype(int), times - 1)]

    return tabulated


def scaled_step_rule(
    step_size: StepSize,
    target: QuadraticFunction,
    start: Scaled,
    a: Array,
    b: int,
    steps: int,
    noise: float | None = None,
) -> Rule:
    """The rule of lazy training as the plain run from *start*, second layer *a* (N,); the others as in `step_rule`."""
    N = len(a)
    plain = step_rule(step_size, target, N, b, steps)
    if not isinstance(step_size, str):
        factors = np.array([1 / start.alpha, 1 / start.alpha**2, 1.0])

        def scaled(fractions: Array) -> Array:
            with np.errstate(over="ignore"):  # steps beyond floating point diverge, which is told
                return np.asarray(plain(fractions) * factors)

        return scaled
    # Per squared length of a row, a neuron adds |a| to the function and a^2 to the kernel: the larger is counted.
    heights = np.maximum(np.abs(a), a**2)
    tau = float(np.sum(np.abs(target.eigenvalues)) + heights @ np.sum(start.W**2, axis=1)) or 1.0
    top = float(np.max(np.abs(target.eigenvalues))) + np.linalg.norm(np.sqrt(heights)[:, None] * start.W, 2) ** 2
    noise = min(1.0, nn_risk(start.target, N) / (target.null_risk or 1.0)) if noise is None else noise
    companions = np.array([1.0, 1 / (2 * tau), tau])
    return _auto_rule(_Scales(tau, companions, float(top) / tau, noise), target.d, b, steps)


def doubled_step_rule(
    step_size: StepSize,
    target: QuadraticFunction,
    activation: Activation,
    start: tuple[Array, Array, float],
    fixed: bool,
    b: int,
    steps: int,
    noise: float | None = None,
) -> Rule:
    """The rule of lazy training of any sigma, for the steps of W, alpha a and c; the others as in `step_rule`.

    *start* is W (N, d), a (N,) and alpha, and *fixed* says whether the second layer is of size one for good.
    """
    W, a, alpha = start
    N, d = W.shape
    factors = np.array([1 / alpha**2, 1.0, 1.0])
    if not _is_auto(step_size):
        plain = general_step_rule(step_size, target, activation, W, a, False, b, steps, noise)

        def scaled(fractions: Array) -> Array:
            with np.errstate(over="ignore"):  # steps beyond floating point diverge, which is told
                return np.asarray(plain(fractions) * factors)

        return scaled
    unit, lengths = unit_rows(W)
    own = a**2 * square_moments(activation, lengths, derivative=1)
    learned = learned_slope_size(activation, target, N, fixed, alpha)
    quarter = (float(own.sum()) + learned) / 4 or 1.0
    moduli = np.abs(target.eigenvalues)
    top = learned * float(moduli.max() / (moduli.sum() or 1.0)) + np.linalg.norm(np.sqrt(own)[:, None] * unit, 2) ** 2
    bent = quadratic_form(unit, a * bends(activation, lengths))
    if noise is None:
        shifted = QuadraticFunction(target.B + alpha * (bent + bent.T) / 2)
        noise = min(1.0, nn_risk(shifted, min(N, d)) / (target.null_risk or 1.0))
    companions = np.array([1.0, quarter / (2 * (feature_size(activation, lengths, False) or 1.0)), quarter])
    rule = _auto_rule(_Scales(quarter, companions, float(top) / (4 * quarter), noise), d, b, steps)
    return lambda fractions: rule(fractions) * factors


def _share_left(target: QuadraticFunction, N: int) -> float:
    """nn_risk / null_risk."""
    return nn_risk(target, N) / (target.null_risk or 1.0)


class _Scales(NamedTuple):
    """What the rule above takes of the problem."""

    tau: float  # or a quarter of Q
    companions: Array  # (3,) steps of W, the second layer and the offset over eta
    r: float
    noise: float  # nu
    tails: float = 3.0  # the kurtosis of sigma'(<w, x>), which is 3 for x^2

    def stiffness(self, d: int, b: int) -> float:
        """The factor s of the rules."""
        return 1.5 + 4 * self.r + (d + 2 + 100 * self.r + self.tails * d * max(0.0, self.r - 0.05)) / b


def _auto_rule(scales: _Scales, d: int, b: int, steps: int) -> Rule:
    stiffness = scales.stiffness(d, b)
    decay = 1.25 * scales.noise * steps / (d * stiffness)

    def auto(fractions: Array) -> Array:
        kappa = 2 * (1 - fractions) / (1 + decay * fractions)
        return np.asarray(kappa[:, None] / (8 * scales.tau * stiffness) * scales.companions)

    return auto


def _class_rule(
    scales: _Scales, target: QuadraticFunction, mixture: GaussianMixture, N: int, b: int, steps: int
) -> Rule:
    d, tau, R = target.d, scales.tau, scales.noise
    # An entry of z has the kurtosis 3 (1 + delta_j^2), as its variance is that of one class or of the other.
    scales = scales._replace(tails=3 * (1 + float(np.max(mixture.modes.delta**2))))
    s = scales.stiffness(d, b)
    signal = target.null_risk / R or 1.0  # where there is none, nothing asks for small steps
    wanted = (5 - 4 * min(1.0, N / d)) * signal**0.3 * (d * s / steps) ** 0.7
    first = min(1.0, wanted, 2 * 8 * tau**2 * b * s / (R * d**2))
    return lambda fractions: np.asarray((first * (1 - fractions) / (8 * tau * s))[:, None] * scales.companions)
