"""The gain of features with the Gram matrix F F^T + R, where R would be lost in the rounding of the sum.

Short rows have such features. F holds their linear parts, which learn nothing of a quadratic target. R holds their
curved parts, which do learn, and is smaller by r^2, r the length of the rows. In an orthonormal basis whose first
vectors span the range of F, F F^T is zero outside the first rows and columns, so the others hold R to all its digits.
"""

from __future__ import annotations

import warnings

import numpy as np
import scipy.linalg

from fastlazy._support.arguments import Array
from fastlazy._support.singular import EPS, PROMISE, solve_positive, warn_of_short_rows, zero_level
from fastlazy.activations.activation import Activation
from fastlazy.activations.short_rows import Expansion

SHORT = 1e-3  # the share of a feature's norm in degrees above one, below which a sum F F^T + R would lose digits


def graded_gain(name: str, F: Array, R: Array, V: Array, penalty: Array, null_risk: float) -> float:
    """The gain 2 <V, a> - <a, (F F^T + R) a> at the a that solves (F F^T + R + diag(penalty)) a = V.

    F has shape (n, p), R (n, n), V and *penalty* (n,). Features whose penalty is infinite are not used.

    Warns
    -----
    RuntimeWarning
        If rounding may make up more than 1e-9 of the null risk; *name* is the function that it warns of.
    """
    used = np.isfinite(penalty)
    F, R, V, penalty = F[used], R[np.ix_(used, used)], V[used], penalty[used]
    if not V.any():
        return 0.0
    basis, triangle, _ = scipy.linalg.qr(F, pivoting=True)
    inner = basis.T @ (R + np.diag(penalty)) @ basis
    height = np.abs(triangle).max(axis=1)
    size = np.hypot(height, np.sqrt(np.maximum(inner.diagonal(), 0)))
    size[size == 0] = 1
    rows = triangle / size[:, None]
    rows[height <= zero_level(height.max(initial=0), len(F))] = 0  # rows that small are rounding
    K = inner / size / size[:, None] + rows @ rows.T
    scale = np.sqrt(np.where(K.diagonal() > 0, K.diagonal(), 1))
    K = (K + K.T) / 2 / scale / scale[:, None]
    right = basis.T @ V / size / scale
    a = solve_positive(K, right).a
    warn_of_short_rows(name, len(F) * EPS * float(a @ a) / null_risk, 4)
    a /= scale
    linear = rows.T @ a
    a /= size
    back = basis @ a
    return 2 * float(back @ V) - float(a @ inner @ a) - float(linear @ linear) + float(penalty @ back**2)


def ridge_over(ridge: float, expanded: Expansion, first: int) -> Array:
    """The penalties ridge / scale^2 (n,) of features in units of their scale, infinite where there is nothing."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        penalty = ridge / expanded.scale / expanded.scale if ridge > 0 else np.zeros(len(expanded.scale))
    return np.where(expanded.present(first), penalty, np.inf)


def check_digits(name: str, activation: Activation, doubt: Array, scaled: str = "W") -> None:
    """Warn if rounding of sigma may hide what counts, for rows that see hardly more than a constant or a line.

    The argument that scales the rows is called *scaled*.
    """
    worst = float(doubt.max(initial=0))
    if worst > PROMISE:
        warnings.warn(
            f"the rows of W are so short that they see hardly more of activation {activation.name!r} than a constant "
            f"or a line; its values give the rest, on which {name} depends, only to {min(worst, 1.0):.1e} of itself; "
            f"multiply {scaled} by a number",
            RuntimeWarning,
            stacklevel=4,
        )
