"""Step sizes of SGD: the rule that needs no tuning, and what a caller may pass instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from fastlazy._validate import Array, check_real
from fastlazy.targets import QuadraticTarget

StepSize: TypeAlias = str | float | Callable[[float], float | tuple[float, float, float]]

Rule: TypeAlias = Callable[[Array], Array]

_TIMES = 10_000  # at most this often is a callable asked


def nuclear_norm(target: QuadraticTarget) -> float:
    """tau = sum_i |lambda_i(B)|: tr B for B >= 0; 1 for B = 0, where any scale will do."""
    return float(np.sum(np.abs(target.eigenvalues))) or 1.0


def step_rule(step_size: StepSize, target: QuadraticTarget, b: int, steps: int) -> Rule:
    """The rule that takes fractions of training done (k,), in [0, 1), to (eta_W, eta_a, eta_c), shape (k, 3).

    Parameters
    ----------
    step_size : "auto", float or callable
        As `fastlazy.fit_nn` takes it.
    target : QuadraticTarget
    b : int
        Samples of one step.
    steps : int
        Steps of the whole run.

    Raises
    ------
    TypeError, ValueError
        If step_size is of another kind, or is or returns something that is not finite and >= 0.
    """
    tau = nuclear_norm(target)
    companions = np.array([1.0, 4 / tau, 4 * tau])
    if isinstance(step_size, str):
        if step_size != "auto":
            raise ValueError(f"step_size = {step_size!r} is not known; pass 'auto', a float or a callable")
        eta = 1 / (8 * tau * (1 + (target.d + 2) / b))
        return lambda fractions: eta * (1 - fractions[:, None]) * companions
    if not callable(step_size):
        constant = check_real("step_size", step_size, 0.0) * companions
        return lambda fractions: np.tile(constant, (len(fractions), 1))

    times = min(steps, _TIMES)
    table = np.empty((times, 3))
    for k in range(times):
        answer = step_size(k / times)
        if np.ndim(answer) == 0:
            table[k] = check_real("step_size(fraction)", answer, 0.0) * companions
        elif np.shape(answer) == (3,):
            table[k] = [check_real("step_size(fraction)", eta, 0.0) for eta in answer]
        else:
            raise ValueError(
                f"step_size(fraction) must return one number or three (for W, the second layer, the offset), "
                f"got {answer!r}; return such a value"
            )
    return lambda fractions: table[(fractions * times + 1e-6).astype(int)]
