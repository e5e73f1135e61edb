"""Slow twins of Hermite coefficients h_k(r) = E[sigma(r G) He_k(G)]: closed forms and exact sums."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache


def double_factorial(n):
    """n (n - 2) ... for odd n; 1 for -1, and -1 for -3."""
    return math.prod(range(n, 0, -2)) if n >= -1 else -1


def relu(r, k):
    """Of max(x, 0)."""
    if k == 1:
        return r / 2
    if k % 2:
        return 0.0
    return r * (-1) ** (k // 2 + 1) * double_factorial(k - 3) / math.sqrt(2 * math.pi)


def step(r, k):
    """Of 1 for x > 0."""
    if k == 0:
        return 0.5
    return (-1) ** ((k - 1) // 2) * double_factorial(k - 2) / math.sqrt(2 * math.pi) if k % 2 else 0.0


def exponential(r, k):
    """Of e^x, each derivative of which is e^x."""
    return r**k * math.exp(r * r / 2)


def cosine(r, k):
    """Of cos(x)."""
    return 0.0 if k % 2 else (-1) ** (k // 2) * r**k * math.exp(-r * r / 2)


def sine(r, k):
    """Of sin(x)."""
    return (-1) ** (k // 2) * r**k * math.exp(-r * r / 2) if k % 2 else 0.0


def error_function(r, k):
    """Of erf(x), whose derivative is a Gaussian."""
    if k % 2 == 0:
        return 0.0
    s = 1 + 2 * r * r
    shrunk = (-2 * r * r / s) ** (k // 2) * double_factorial(k - 2)
    return 2 * r / math.sqrt(math.pi * s) * shrunk


@cache
def polynomial(k):
    """The coefficients of He_k in powers of x, as whole numbers."""
    before, now = [0], [1]
    for j in range(k):
        up, down = [0, *now], [j * value for value in before]
        before, now = now, [a - b for a, b in zip(up, down + [0] * (len(up) - len(down)), strict=True)]
    return now


def series(coefficients, x):
    """sum_k coefficients[k] He_k(x) / k!, exactly for the floats given, as a fraction."""
    x, total = Fraction(x), Fraction(0)
    for k, value in enumerate(coefficients):
        total += Fraction(value) / math.factorial(k) * sum(c * x**j for j, c in enumerate(polynomial(k)))
    return total


def scaled(coefficients, r, k):
    """The h_k(r) of that series: E[He_j(r G) He_k(G)] = j! / (m! 2^m) r^k (r^2 - 1)^m, m = (j - k) / 2, exactly."""
    r, total = Fraction(r), Fraction(0)
    for m, value in enumerate(coefficients[k::2]):
        total += Fraction(value) * r**k * (r * r - 1) ** m / (math.factorial(m) * 2**m)
    return float(total)
