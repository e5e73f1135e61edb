"""A stabilised Runge-Kutta method for gradient flows: explicit, of second order, with adaptive steps.

A gradient flow is stiff, and the Jacobian of its force, minus a Hessian, has real eigenvalues. The method of
Runge, Kutta and Chebyshev (RKC2) takes s evaluations of the force for a step of length 0.65 s^2 / rho, rho the modulus
of the largest eigenvalue, where Euler's method needs 0.33 s^2 of them; it asks for no Jacobian and solves no system.

References
----------
Sommeijer, Shampine and Verwer, RKC: an explicit solver for parabolic PDEs, J. Comput. Appl. Math. 88 (1998) 315-326.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fastlazy._support.arguments import Array

MOST_STAGES = 500
_REFRESH = 20  # steps after which rho is estimated anew
_POWERS = 50  # evaluations for one estimate, at most
_CLOSE = 0.02  # the relative change of an estimate of rho that ends it
_SAFETY = 1.2  # by what rho is taken to be larger than its estimate
_SMALLEST = 1e-13  # a step that is a smaller share of the time passed is none


class Chebyshev:
    """A solution of y' = force(y) that goes on step by step.

    Parameters
    ----------
    force : callable
        Takes y (n,) to y' (n,), a new array, and may give numbers that are not finite: the step is then made shorter.
    error : callable
        Takes the estimated error of a step (n,) and y (n,) to the error over that which is allowed.
    y : ndarray, shape (n,)
        Where it starts.
    """

    def __init__(self, force: Callable[[Array], Array], error: Callable[[Array, Array], float], y: Array) -> None:
        self._force, self._error = force, error
        self.time, self.y, self.slope = 0.0, y, force(y)
        self.evaluations = 1
        self._direction = self.slope
        self._rho, self._age = 0.0, _REFRESH
        self._length = 0.0  # of the step to try next; 0: not known
        self._last: tuple[float, float] | None = None  # length and error of the last step

    def step(self, end: float, stages: int = MOST_STAGES) -> bool:
        """Take one step of so many *stages* at most, not past the time *end*; False if no step is short enough."""
        fresh = False
        while True:
            if self._age >= _REFRESH:
                self._rho, self._age, fresh = self._radius(), 0, True
            if self._length == 0:
                self._length = self._first_length()
            longest = 0.65 * (max(2, min(stages, MOST_STAGES)) ** 2 - 1) / max(self._rho, 1e-300)
            wanted = min(self._length, longest)
            length = min(wanted, end - self.time)
            y, slope = self._stages(length)
            error = self._error(0.8 * (self.y - y) + 0.4 * length * (self.slope + slope), y)
            if error < 1:
                break
            self._length = length * (max(0.1, 0.8 / error ** (1 / 3)) if error < math.inf else 0.1)
            self._last = None
            if not fresh:  # the step may have been unstable
                self._age = _REFRESH
            if not self._length > _SMALLEST * max(self.time, 1e-290):
                return False
        self.time = end if length == end - self.time else self.time + length
        self.y, self.slope = y, slope
        self._age += 1
        growth = self._growth(length, max(error, 1e-10))
        # A step that was cut short says little about the next one.
        self._length = max(length * growth, wanted) if length < wanted else length * growth
        self._last = length, max(error, 1e-10)
        return True

    def _growth(self, length: float, error: float) -> float:
        """By what the next step is longer than one of that length and error."""
        factor = 0.8 / error ** (1 / 3)
        if self._last is not None:
            before, previous = self._last
            factor *= length / before * (previous / error) ** (1 / 3)
        return min(10.0, max(0.1, factor))

    def _evaluate(self, y: Array) -> Array:
        self.evaluations += 1
        return self._force(y)

    def _first_length(self) -> float:
        """A first step: by how much the force changes over 1 / rho."""
        length = 1 / max(self._rho, 1e-300)
        change = length * (self._evaluate(self.y + length * self.slope) - self.slope)
        error = self._error(change, self.y)
        return 0.1 * length / math.sqrt(max(error, 1e-4)) if error < math.inf else 1e-3 * length

    def _radius(self) -> float:
        """An upper estimate of rho: power iteration with differences of the force."""
        size = float(np.linalg.norm(self.y)) or 1.0
        offset = 1e-8 * size
        direction, rho = self._direction, 0.0
        for _ in range(_POWERS):
            norm = float(np.linalg.norm(direction))
            if not 0 < norm < math.inf:
                break
            change = self._evaluate(self.y + (offset / norm) * direction) - self.slope
            before, rho = rho, float(np.linalg.norm(change)) / offset
            direction = change
            if not rho < math.inf or abs(rho - before) <= _CLOSE * rho:
                break
        if np.isfinite(direction).all():
            self._direction = direction
        return _SAFETY * rho if 0 < rho < math.inf else self._rho or 1 / size

    def _stages(self, length: float) -> tuple[Array, Array]:
        """The state after a step of that *length*, and the force there."""
        s = max(2, 1 + int(math.sqrt(1 + 1.54 * length * self._rho)))
        w0 = 1 + 2 / (13 * s * s)
        root = math.sqrt(w0 * w0 - 1)
        arg = s * math.log(w0 + root)
        w1 = math.sinh(arg) * root**2 / (math.cosh(arg) * s * root - w0 * math.sinh(arg))
        start, slope = self.y, self.slope
        b_1 = b_2 = 1 / (2 * w0) ** 2  # those of stages j - 1 and j - 2, as below
        y_2, y_1 = start.copy(), start + (w1 * b_1 * length) * slope
        z_1, z_2, first_1, first_2, second_1, second_2 = w0, 1.0, 1.0, 0.0, 0.0, 0.0  # Chebyshev polynomials at w0
        for _ in range(2, s + 1):
            z = 2 * w0 * z_1 - z_2
            first = 2 * w0 * first_1 - first_2 + 2 * z_1
            second = 2 * w0 * second_1 - second_2 + 4 * first_1
            b = second / first**2
            mu, nu = 2 * w0 * b / b_1, -b / b_2
            tilde, a = 2 * w1 * b / b_1, 1 - z_1 * b_1
            # Sums in place: the arrays may be larger than the cache.
            y = self._evaluate(y_1)
            y *= tilde * length
            y_2 *= nu
            y_2 += y
            np.multiply(start, 1 - mu - nu, out=y)
            y += y_2
            np.multiply(slope, -a * tilde * length, out=y_2)
            y += y_2
            np.multiply(y_1, mu, out=y_2)
            y += y_2
            y_2, y_1 = y_1, y
            z_1, z_2, first_1, first_2, second_1, second_2 = z, z_1, first, first_1, second, second_1
            b_1, b_2 = b, b_1
        return y_1, self._evaluate(y_1)
