"""The sizes that a network of any sigma starts with: its rows are r long, its second layer has entries +-A.

With h_k(r) = E[sigma(r G) He_k(G)], a neuron a sigma(<w, x>) with w = r u, |u| = 1, has the part a h_2(r) / 2
(<u, x>^2 - 1) of degree two, the only one that meets a quadratic target. For x^2 that is a r^2 (<u, x>^2 - 1), and
N neurons with r^2 = tau / max(N, d), tau = sum_i |lambda_i(B)|, have a matrix of the target's size. So (ours)

    A |h_2(r)| / 2 = tau / max(N, d)

for every sigma. Where A is trained, r = 1, for which sigma bends as it was made to, and this gives A. Where A = 1 is
fixed, it gives the shortest r; if there is none, as for a bounded sigma, r is where |h_2| is largest.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.moments import square_moments, unit_coefficients
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.targets.quadratic import QuadraticFunction

_SHORTEST, _LONGEST = 1e-6, 1e6  # lengths of rows that are tried
_FLAT = 1e-12  # the |h_2| over the root of E sigma^2 that counts as zero


class Sizes(NamedTuple):
    """The sizes at the start."""

    r: float  # the length of the rows
    A: float  # the size of the second layer, positive
    sign: float  # the sign of h_2(r): that of a neuron with a > 0, as the target sees it; 0 if it sees none


def start_sizes(activation: Activation, target: QuadraticFunction, N: int, fixed: bool, alpha: float = 1.0) -> Sizes:
    """The sizes for *N* neurons; *fixed* says whether the second layer is of size one for good.

    They are those of a network f for which alpha f is of the target's size.
    """
    tau = (float(np.abs(target.eigenvalues).sum()) or 1.0) / alpha
    wanted = tau / max(N, target.d)
    if not fixed:
        bend, root = _bends(activation, 1.0)
        if bend == 0:  # odd: nothing can be learned, and the function is given the target's size
            return Sizes(1.0, math.sqrt((target.null_risk or 1.0) / N) / (root or 1.0) / alpha, 0.0)
        return Sizes(1.0, wanted / abs(bend), float(np.sign(bend)))
    r, bend = _shortest(activation, wanted)
    return Sizes(r, 1.0, float(np.sign(bend)))


def learned_lengths(activation: Activation, target: QuadraticFunction, W: Array, a: Array) -> Array:
    """The lengths (N,) that rows *W* (N, d) may have at the end: at least so long that all together reach the target.

    N neurons of the size A of the second layer have its trace where A |h_2(r)| / 2 = tau / N.
    """
    lengths, A = unit_rows(W)[1], math.sqrt(float(np.mean(a**2)))
    tau = float(np.abs(target.eigenvalues).sum())
    if tau == 0 or A == 0 or _bends(activation, 1.0)[0] == 0:
        return lengths
    return np.maximum(lengths, _shortest(activation, tau / (len(W) * A))[0])


def _shortest(activation: Activation, wanted: float) -> tuple[float, float]:
    """The shortest length r with |h_2(r)| / 2 = *wanted*, or that of the largest, and h_2(r) / 2 there."""
    r, bend = 1.0, _bends(activation, 1.0)[0]
    if activation.degree is not None and bend != 0:
        return (wanted / abs(bend)) ** (1 / activation.degree), math.copysign(wanted, bend)
    while abs(bend) >= wanted and r > _SHORTEST:  # until it is too short
        r /= 2
        bend = _bends(activation, r)[0]
    best = r, bend
    while abs(bend) < wanted and r < _LONGEST and abs(bend) >= abs(best[1]) / 2:
        best = max(best, (r, bend), key=lambda found: abs(found[1]))
        r *= 2
        try:
            bend = _bends(activation, r)[0]
        except ValueError:  # moments overflow for rows that long
            return best
    if abs(bend) < wanted:
        return best
    low, high = r / 2, r
    for _ in range(40):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if abs(_bends(activation, middle)[0]) < wanted else (low, middle)
    return high, bend


def _bends(activation: Activation, r: float) -> tuple[float, float]:
    """h_2(r) / 2 at a length r, zero where it is rounding, and the root of E sigma(r G)^2."""
    lengths = np.array([r])
    h_2 = math.sqrt(2) * float(unit_coefficients(activation, lengths, 2)[0, 2])
    root = math.sqrt(float(square_moments(activation, lengths)[0]))
    return h_2 / 2 if abs(h_2) > _FLAT * root else 0.0, root


def learned_slope_size(activation: Activation, target: QuadraticFunction, N: int, fixed: bool, alpha: float) -> float:
    """`slope_size` of max(N, d) neurons for which alpha f is of the target's size (`start_sizes`)."""
    r, A, _ = start_sizes(activation, target, N, fixed, alpha)
    return max(N, target.d) * A**2 * float(square_moments(activation, np.array([r]), derivative=1)[0])


def bends(activation: Activation, r: Array) -> Array:
    """h_2(r_i) / 2 (N,): a neuron has the part a_i h_2(r_i) / 2 (<u_i, x>^2 - 1) of degree two."""
    return unit_coefficients(activation, r, 2)[:, 2] / math.sqrt(2)


def slope_size(activation: Activation, r: Array, a: Array) -> float:
    """sum_i a_i^2 E sigma'(r_i G)^2: the mean of |grad_W f|^2 over d, for rows of lengths r (N,) and *a* (N,)."""
    return float(a**2 @ square_moments(activation, r, derivative=1))


def slope_kurtosis(activation: Activation, r: float) -> float:
    """E sigma'(r G)^4 / (E sigma'(r G)^2)^2: 3 for x^2; at most 10^6, roughly, as steps need it."""
    x = np.linspace(-12, 12, 4800)  # 0, where a kink may be, is between two nodes
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        squares, weight = activation.values(r * x, 1) ** 2, np.exp(-x * x / 2)
        found = float((weight @ squares**2) * weight.sum() / (weight @ squares) ** 2)
    return min(found, 1e6) if math.isfinite(found) else 3.0


def feature_size(activation: Activation, r: Array, together: bool) -> float:
    """sum_i E sigma(r_i G)^2, or where the neurons have one weight *together* E (sum_i sigma_i)^2, rows orthogonal."""
    squares = float(square_moments(activation, r).sum())
    if not together:
        return squares
    means = unit_coefficients(activation, r, 0)[:, 0]
    return squares + float(means.sum() ** 2 - means @ means)
