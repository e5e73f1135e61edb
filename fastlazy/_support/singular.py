"""Symmetric systems U a = V, U >= 0, up to singular ones: what counts as zero, and what is said of the answer.

One policy for the exact risks of random features and of the tangent model:

- A system is *well-conditioned* if the reciprocal condition number of U is above `WELL`. A Cholesky factor then leaves
  so many digits that nothing has to be said.
- A pivot or an eigenvalue counts as zero if it is below n eps of the largest, n the size of the problem. The answer is
  then the minimum-norm solution.
- What rounding of U may have done to the risk is a^T dU a to first order; what it may have hidden is bounded by what
  V has, beyond rounding, where U counts as zero (`hidden_gain`). If the sum is more than the promise, a RuntimeWarning
  says how much.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import scipy.linalg
from scipy.linalg import lapack

from fastlazy._support.arguments import Array

WELL = 1e-8  # the reciprocal condition number above which a Cholesky factor is good for all digits of a risk
PROMISE = 1e-9  # the error of a risk over the null risk from which on there is a warning
EPS = float(np.finfo(float).eps)


def distinct_rows(W: Array) -> Array:
    """W (N, d) without the rows that are equal to an earlier one; in their order."""
    first = np.unique(W, axis=0, return_index=True)[1]
    return W if len(first) == len(W) else W[np.sort(first)]


def factor_positive(U: Array) -> tuple[Array, float]:
    """The lower Cholesky factor of U (n, n), and its reciprocal condition number in the 1-norm, 0 if there is none."""
    norm = float(np.abs(U).sum(axis=0).max())
    factor, info = lapack.dpotrf(U.T, lower=1)
    if info != 0:
        return factor, 0.0
    condition = float(lapack.dpocon(factor, norm, uplo="L")[0])
    return factor, condition if condition > len(U) * EPS else 0.0


def factor_pivoted(U: Array) -> tuple[Array, np.ndarray[Any, np.dtype[np.intp]]]:
    """The Cholesky factor (r, r) of the rows and columns of U (overwritten) that span its range, and their places (r,).

    U has a constant diagonal; a pivot below n eps of it counts as zero. The function of a solution for these rows, zero
    for the rest, is that of the minimum-norm solution: the projection onto the same span.
    """
    factor, pivots, rank, _ = lapack.dpstrf(U, lower=1, tol=len(U) * EPS * U[0, 0])
    return factor[:rank, :rank], pivots[:rank] - 1


def solve_factored(factor: Array, V: Array) -> Array:
    """The solution of U a = V from the lower Cholesky factor of U."""
    return scipy.linalg.cho_solve((factor, True), V, check_finite=False)


def solve_positive(U: Array, V: Array) -> Array:
    """A solution of U a = V for U (n, n) of constant diagonal and V in its range: that of the rows that span it."""
    factor, condition = factor_positive(U)
    if condition > 0:
        return solve_factored(factor, V)
    factor, chosen = factor_pivoted(U.copy())
    a = np.zeros(len(U))
    a[chosen] = solve_factored(factor, V[chosen])
    return a


def hidden_gain(left: Array, size: float, n: int) -> float:
    """What directions that count as zero may be worth, in units of risk.

    *left* is what V - U a has there. V is in the range of U, so it should vanish but for the rounding of U a, of size
    n eps or less times *size*, the norm of U times that of a. More shows that a direction was lost, whose worth
    nothing bounds: infinity. Less may hide a part of V in a direction of strength n eps.
    """
    rounding = 20 * EPS * size
    largest = float(np.abs(left).max(initial=0))
    return math.inf if not largest <= rounding else rounding**2 / (n * EPS)


def warn_of_rounding(risk: str, error: float, promise: float, stacklevel: int) -> None:
    """Warn if the *error*, over the null risk, is more than the *promise*; *risk* says whose it is."""
    if not error <= promise:
        warnings.warn(
            f"the {risk} may be off by {min(error, 1.0):.1e} of the null risk: functions of some rows of W nearly "
            "depend on each other, and rounding does not tell what is left from nothing. Leave out rows that nearly "
            "agree, or pass a ridge",
            RuntimeWarning,
            stacklevel=stacklevel + 1,
        )
