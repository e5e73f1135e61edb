"""What no training under lazy scaling can beat, for sigma = x^2: the infimum of the risk at each scale."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import Array, check_array, check_columns, check_real
from fastlazy._support.blas import same_bits
from fastlazy.risk.shifted_spectrum import shifted_eigenvalues
from fastlazy.targets.quadratic import QuadraticFunction, check_target
from fastlazy.training.linearization import check_second_layer

_SPREAD = 6  # lazy_risk warns if the largest neuron is so many powers of ten above the smallest


def lazy_risk(target: QuadraticFunction, W: ArrayLike, a: ArrayLike = 1.0, *, scale: float) -> float:
    """The infimum of the risk over networks alpha (f - f_0) + c, f_0 the one of W and a, f of the same signs.

    Parameters
    ----------
    target : QuadraticTarget
    W : array_like, shape (N, d)
        First-layer weights at the initialisation.
    a : array_like, shape (N,) or a scalar
        Second layer; its signs are kept.
    scale : float
        alpha >= 0; 0 for the best network of these signs.

    Returns
    -------
    float
        Not divided by the null risk. For rows that are linearly independent it goes, as alpha grows, from the risk of
        the best network of these signs (for B >= 0 and a = 1 `nn_risk`) to `nt_risk` of W.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or not of that shape, or the scale is negative.

    Warns
    -----
    RuntimeWarning
        If neurons |a_i|^(1/2) |w_i| differ in size by more than 1e6, so that rounding of the largest may cost more than
        1e-9 of the null risk.

    Notes
    -----
    (Ours.) With S_0 = W^T diag(a) W the error is alpha S - (B + alpha S_0), and alpha S is any matrix with at most as
    many positive (negative) eigenvalues as a has. So the infimum is 2 sum lambda^2 over the eigenvalues of
    B + alpha S_0 but for so many of the largest (smallest) of that sign. As alpha grows those of the span of W leave
    to infinity, and the others tend to those of P B P, P the projector off that span: the theorem of NT. They are
    computed to 1e-12 of |B| for every alpha, if the neurons are of one size (`fastlazy.risk.shifted_spectrum`,
    `tests/risk/test_shifted_spectrum.py`).

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> [round(fastlazy.lazy_risk(target, W, scale=scale) / target.null_risk, 4) for scale in (0.0, 1.0, 1e6)]
    [0.0251, 0.066, 0.4432]
    >>> round(fastlazy.nn_risk(target, 10) / target.null_risk, 4)
    0.0251
    >>> round(fastlazy.nt_risk(target, W) / target.null_risk, 4)
    0.4432
    """
    check_target(target)
    alpha = check_real("scale", scale, 0.0)
    weights = check_columns("W", check_array("W", W, 2), target.d)
    second = check_second_layer("a", a, weights)
    if not target.B.any():
        return 0.0
    _warn_of_lengths(weights, second)
    with same_bits(*weights.shape):
        size, values, above, below = shifted_eigenvalues(target, weights, second, alpha)
    positive, negative = (int(np.count_nonzero(sign * second > 0)) for sign in (1, -1))
    top = np.arange(len(values)) >= len(values) - positive + above
    bottom = np.arange(len(values)) < negative - below
    reached = (top & (values > 0)) | (bottom & (values < 0))
    return size**2 * 2 * float(np.sum(values[~reached] ** 2))


def _warn_of_lengths(W: Array, a: Array) -> None:
    """Warn if rounding of the longest neuron may hide the shortest."""
    used = (a != 0) & W.any(axis=1)
    # By logarithms, as neither a size nor the quotient of two need be a number.
    sizes = np.log10(np.abs(a[used])) / 2 + np.log10(np.abs(W[used]).max(axis=1))
    spread = float(np.ptp(sizes)) if used.any() else 0.0
    if spread > _SPREAD:
        warnings.warn(
            f"lazy_risk may be off: neurons |a_i|^(1/2) |w_i| differ in size by a factor of 10^{spread:.1f}, and "
            "rounding of the largest hides the smallest; leave out the smallest, or multiply their rows of W",
            RuntimeWarning,
            stacklevel=3,
        )
