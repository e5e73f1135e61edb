"""Gaussian moments of piecewise polynomials, and risks of short and long rows, against oracles of many digits."""

import math

import mpmath
import numpy as np
import pytest

import fastlazy
from fastlazy import Activation
from fastlazy.activations.moments import expansion, unit_coefficients
from tests import naive_piecewise as naive
from tests.naive_piecewise import Piecewise

KNOWN = {
    "hardtanh": Piecewise([-1, 1], [[-1], [0, 1], [1]]),
    "clipped relu": Piecewise([0, 6], [[0], [0, 1], [6]]),
    "shifted relu": Piecewise([0.3], [[0], [-0.3, 1]]),
    "far relu": Piecewise([7.5], [[1], [1 - 7.5, 1]]),
    "far clip": Piecewise([-40, 40], [[-40], [0, 1], [40]]),
    "hard sigmoid": Piecewise([-2.5, 2.5], [[0], [0.5, 0.2], [1]]),
    "hat": Piecewise([-0.5, 0, 0.5], [[0], [0.5, 1], [0.5, -1], [0]]),
    "two steps": Piecewise([-0.75, 1.25], [[0], [1], [-0.5]]),
    "sawtooth": Piecewise([-1, 0, 1, 2], [[2, 1], [1, 1], [0, 1], [-1, 1], [-2, 1]]),
    "soft shrink": Piecewise([-0.5, 0.5], [[0.5, 1], [0], [-0.5, 1]]),
    "quadratic": Piecewise([0.25], [[0, 1], [0.0625, 0.5, 1]]),
    "Huber": Piecewise([-1, 1], [[-0.5, -1], [0, 0, 0.5], [-0.5, 1]]),
    "beside": Piecewise([0.5, 0.5001], [[0], [-0.5, 1], [0.5002, -1]]),
    "one and |x|": Piecewise([0], [[1, -1], [1, 1]]),
}
FEW, ANGLES = [1e-12, 1e-4, 0.3, 1.0, 10.0, 1e6], [1e-6, 0.1, 1.0, 3.0]


def activation(function, name="piecewise"):
    breaks = np.array(function.breaks, float)
    pieces = np.zeros((len(breaks) + 1, max(map(len, function.pieces))))
    for i, piece in enumerate(function.pieces):
        pieces[i, : len(piece)] = piece

    def sigma(x):
        i = 0
        for b in breaks:
            if x > b:
                i += 1
        total = 0.0
        for c in pieces[i][::-1]:
            total = total * x + c
        return total

    return Activation(name, sigma)


def drawn(rng):
    """A function with one to four kinks or jumps, at multiples of 1/8 or anywhere, a few of them far out."""
    count = rng.integers(1, 5)
    breaks = rng.uniform(-3, 3, count) * rng.choice([1, 1, 1, 10], count)
    breaks = np.unique(np.round(breaks * 8) / 8 if rng.random() < 0.5 else np.round(breaks, 3))
    pieces = [list(np.round(rng.standard_normal(rng.integers(1, 4)), 2))]
    for b in breaks:  # what is added at a break: a jump, a kink, or a jump of the second derivative
        size, order = float(np.round(rng.uniform(0.2, 2), 2)), rng.integers(0, 3)
        added = [size * math.comb(order, j) * (-b) ** (order - j) for j in range(order + 1)]
        before = pieces[-1]
        longest = max(len(before), len(added))
        pieces.append([*np.pad(before, (0, longest - len(before))) + np.pad(added, (0, longest - len(added)))])
    return Piecewise(breaks, [list(np.round(piece, 10)) for piece in pieces])


def almost_constant(function, r):
    """Whether rows of length r see a constant, but for what is too rare to change it in double precision."""
    breaks = np.array(function.breaks, float)
    return np.abs(breaks).min() > 6 * r and not np.any(function.pieces[int(np.sum(breaks < 0))][1:])


def worst_error(function, sigma, lengths, angles):
    """The worst errors of coefficients and of Gram entries, each relative to what it is part of, and where."""
    worst = (0.0, "nothing")
    with mpmath.workdps(60):
        for r in lengths:
            mean, square = naive.coefficient(function, r, 0), naive.coefficient(function.squared(), r, 0)
            spread = mpmath.sqrt(square - mean**2)
            exact = [naive.coefficient(function, r, k) for k in range(5)]
            found = unit_coefficients(sigma, np.array([r]), 4)[0]
            if not almost_constant(function, r):
                errors = [abs(found[k] - exact[k]) / (spread if k else mpmath.sqrt(square)) for k in range(5)]
                errors.append(abs(expansion(sigma, np.array([r]), 4, first=1).scale[0] / spread - 1))
                worst = max(worst, (float(max(errors)), f"coefficients at {r:g}"))
    for r in lengths:
        for theta in angles if 1e-3 < r < 1e3 else []:
            W = r * np.array([[1, 0], [math.cos(theta), math.sin(theta)]])
            U = fastlazy.rf_gram(W, sigma)
            error = abs(U[0, 1] - naive.pair(function, r, r, math.atan2(W[1, 1], W[1, 0]))) / U[0, 0]
            worst = max(worst, (error, f"pair at {r:g}, {theta:g}"))
    return worst


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "sawtooth" else []) for name in KNOWN]
)
def test_moments_of_known_functions(name):
    error, where = worst_error(KNOWN[name], activation(KNOWN[name], name), FEW, ANGLES)
    assert error < 1e-10, where


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_moments_of_drawn_functions(seed):
    """Four functions a seed, at lengths from 1e-12 to 1e6."""
    rng = np.random.default_rng(seed)
    for _ in range(4):
        function = drawn(rng)
        lengths = [*np.geomspace(1e-12, 1e6, 10), *10 ** rng.uniform(-2, 2, 4)]
        error, where = worst_error(function, activation(function), lengths, [*ANGLES, rng.uniform(0, 0.3)])
        assert error < 1e-9, (where, function.breaks, function.pieces)


def test_hardtanh_at_an_angle():
    """By a conditioned integral to 30 digits."""
    W = [[1, 0], [math.cos(0.1), math.sin(0.1)]]
    assert fastlazy.rf_gram(W, activation(KNOWN["hardtanh"]))[0, 1] == pytest.approx(0.512712221585644285, rel=1e-14)
