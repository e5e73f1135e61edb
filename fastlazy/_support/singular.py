"""Symmetric systems U a = V, U >= 0, up to singular ones: what counts as zero, what the answer is, what is said.

Two kinds of problems use it, and what the user is promised differs.

*Exact risks* (random features, quadratic forms, the tangent model) are promised to 1e-9 of the null risk:

- A system is *well-conditioned* if the reciprocal condition number of U is above `WELL`. A Cholesky factor then gives
  the risk to all its digits.
- A pivot, a singular value or an eigenvalue counts as zero if it is below n eps of the largest, n the size of the
  problem (`zero_level`). The answer is then the minimum-norm solution.
- Rounding of U changes the risk by a^T dU a to first order, which each solver estimates for its own features. A
  direction that counts as zero may hide what V has there, which `hidden_gain` bounds. If the sum of both is more than
  `PROMISE`, a RuntimeWarning says how large it is (`warn_of_rounding`, and `warn_of_short_rows` where short rows are
  the cause).

*Ridge regression on samples* (`fastlazy.ridge.solve`) is promised to fit as scikit-learn's `Ridge` does. Its matrix
holds sums over samples, in float32 too, whose noise is far above rounding, and it is used for predictions on new
samples. A minimum-norm solution that keeps every eigenvalue above n eps would divide noise by eps there. So:

- A problem counts as singular if its reciprocal condition number is below eps of its dtype, or its Cholesky factor does
  not exist.
- The answer is then that of a larger alpha, the first of a ladder of jitters (`jitters`) that leaves digits in the
  solution; if none does, the minimum-norm solution, with the zero level of above.
- A LinAlgWarning says which jitter it was (`warn_of_jitter`). How far off the predictions are is not known, as the
  function that the samples come from is not.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from scipy.linalg import lapack

from fastlazy._support.arguments import Array

WELL = 1e-8  # the reciprocal condition number above which a Cholesky factor is good for all digits of a risk
PROMISE = 1e-9  # the error of a risk over the null risk from which on there is a warning
EPS = float(np.finfo(float).eps)


class Solution(NamedTuple):
    """A solution of U a = V, and how well it is known."""

    a: Array  # (n,)
    condition: float  # the reciprocal condition number of U, 0 if U counts as singular
    hidden: float  # what directions that count as zero may be worth, in units of risk


def zero_level(largest: float, n: int, eps: float = EPS) -> float:
    """The size n eps *largest* up to which a pivot, singular value or eigenvalue counts as zero.

    *largest* is the largest of them, n the size of the problem, and *eps* belongs to the dtype of its matrix.
    """
    return n * eps * largest


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
    return factor, condition if condition > zero_level(1.0, len(U)) else 0.0


def factor_pivoted(U: Array) -> tuple[Array, np.ndarray[Any, np.dtype[np.intp]]]:
    """The Cholesky factor (r, r) of the rows and columns of U (overwritten) that span its range, and their places (r,).

    U has a constant diagonal, against which a pivot is measured. The function of a solution for these rows, zero for
    the rest, is that of the minimum-norm solution: the projection onto the same span.
    """
    factor, pivots, rank, _ = lapack.dpstrf(U, lower=1, tol=zero_level(U[0, 0], len(U)))
    return factor[:rank, :rank], pivots[:rank] - 1


def solve_factored(factor: Array, V: Array) -> Array:
    """The solution of U a = V from the lower Cholesky factor of U."""
    return scipy.linalg.cho_solve((factor, True), V, check_finite=False)


def solve_positive(U: Array, V: Array) -> Solution:
    """A solution of U a = V for U (n, n) of constant diagonal and V in its range.

    If U counts as singular, it is the solution for the rows that span its range, zero for the rest.
    """
    factor, condition = factor_positive(U)
    if condition > 0:
        return Solution(solve_factored(factor, V), condition, 0.0)
    factor, chosen = factor_pivoted(U.copy())
    a = np.zeros(len(U))
    a[chosen] = solve_factored(factor, V[chosen])
    hidden = hidden_gain(np.delete(V - U @ a, chosen), float(np.abs(a).sum()), len(U))
    return Solution(a, condition, hidden)


def hidden_gain(left: Array, size: float, n: int) -> float:
    """The most by which the risk may fall along directions that count as zero, in units of risk.

    *left* is V - U a along these directions, and *size* the norm of U times that of a. V lies in the range of U, so
    *left* is zero up to the rounding of U a, which is at most 20 eps *size*. A larger entry shows that a direction with
    a part of V was taken for zero. Its worth left^2 / lambda has no bound, as nothing is known of its eigenvalue
    lambda: the result is infinity. Otherwise lambda is about n eps, and the worth at most rounding^2 / (n eps).
    """
    rounding = 20 * EPS * size
    largest = float(np.abs(left).max(initial=0))
    return math.inf if not largest <= rounding else rounding**2 / zero_level(1.0, n)


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


def warn_of_short_rows(name: str, error: float, stacklevel: int) -> None:
    """Warn if the *error* of the function called *name*, over the null risk, is more than `PROMISE`."""
    if error > PROMISE:
        warnings.warn(
            f"the rows of W are so short that rounding may change what {name} returns by {min(error, 1.0):.1e} of the "
            "null risk; multiply W by a number, of which it hardly depends",
            RuntimeWarning,
            stacklevel=stacklevel + 1,
        )


def jitters(norm: float, eps: float) -> tuple[float, ...]:
    """The ladder of jitters for the diagonal of a ridge problem: 0 first, then larger and larger shares of its *norm*.

    *norm* is that of the matrix, and *eps* belongs to its dtype.
    """
    return tuple(factor * norm for factor in (0.0, 10 * eps, eps**0.75, eps**0.5))


def is_noise(norm: float, X: Array, B: Array, eps: float) -> bool:
    """Whether the solution X of a ridge problem A X = B is so large that it may be mostly amplified rounding.

    Rounding of A, whose norm is *norm*, changes A X by eps |A| |X|, which must stay below eps^(3/8) |B|.
    """
    return eps * norm * float(np.abs(X).max(initial=0)) > eps**0.375 * float(np.abs(B).max(initial=0))


def warn_of_jitter(jitter: float, what: str, stacklevel: int) -> None:
    """Warn that a ridge problem is singular, unless the *jitter* that it took is zero; *what* says where it went."""
    if jitter:
        warnings.warn(
            f"the ridge problem is singular to rounding: a jitter of {jitter:.3g} {what}. Pass a larger alpha, fewer "
            "neurons, or leave out repeated samples",
            scipy.linalg.LinAlgWarning,
            stacklevel=stacklevel + 1,
        )
