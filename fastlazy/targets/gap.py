"""Targets on which the trained network beats the neural tangent model by any factor."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaincinv

from fastlazy._support.arguments import check_count, check_real
from fastlazy.targets.library import centred_target
from fastlazy.targets.quadratic import QuadraticTarget

_FAILURE = 1e-6  # probability with which weights may miss the ratio


def gap_target(d: int, N: int, ratio: float) -> QuadraticTarget:
    """A target with B >= 0 whose NT risk is at least *ratio* times the NN risk at width N.

    Parameters
    ----------
    d : int
        Input dimension, at least 2.
    N : int
        Neurons, fewer than d: with d, both risks are zero.
    ratio : float
        Of `nt_risk` to `nn_risk`, from 1 to 1e200.

    Returns
    -------
    QuadraticTarget
        Diagonal, with one eigenvalue 1 and d - 1 eigenvalues eps, centred by b0 = -tr B.

    Raises
    ------
    TypeError, ValueError
        If d, N or ratio is not of that kind or size.

    Notes
    -----
    Claim (ours; that the gap can be arbitrarily large is in the talk on arXiv:1906.08899). For W of N rows whose span
    is isotropic, as for independent rows N(0, I/d) or random orthonormal ones, NT / NN >= ratio holds with
    probability at least 1 - 1e-6. (The exact mean of NT is the refined `nt_risk_limit`.)

    Proof. Let u be the first unit vector and P the projector off the span of W, of rank k = d - N, so that NT
    has the risk 2 |P B P|_F^2. As B >= u u^T >= 0, also P B P >= P u u^T P >= 0, so |P B P|_F >= |P u u^T P|_F
    = |P u|^2: the NT risk is at least 2 |P u|^4, for every W. For an isotropic span |P u|^2 is the squared length of
    the projection of a random unit vector onto k of d coordinates, distributed as Beta(k/2, N/2) exactly. Let q be the
    quantile of that law at 1e-6. The NN risk is 2 sum_{i > N} lambda_i^2 = 2 k eps^2, and eps = q / sqrt(k ratio) makes
    it 2 q^2 / ratio. So NT / NN >= ratio |P u|^4 / q^2, which is at least ratio unless |P u|^2 < q.

    Training has the freedom that NT lacks: with a single row it can turn to u. NN falls to 2 (d - 1) eps^2 at width
    one; NT stays near 2 (1 - N/d)^2 at all.

    References
    ----------
    arXiv:1906.08899, Theorems 2 and 3.

    Examples
    --------
    >>> from fastlazy import draw_weights, nn_risk, nt_risk
    >>> target = gap_target(450, 45, 1000.0)
    >>> nt_risk(target, draw_weights(45, 450, rng=0)) > 1000 * nn_risk(target, 45)
    True
    """
    dimension, neurons = check_count("d", d, 2), check_count("N", N)
    factor = check_real("ratio", ratio, 1.0)
    if neurons >= dimension:
        raise ValueError(
            f"N must be less than d = {dimension}, got {neurons}: from d on NT has no risk; pass a smaller N"
        )
    if factor > 1e200:
        raise ValueError(f"ratio must be at most 1e200, got {factor:g}, beyond floating point; pass a smaller one")
    k = dimension - neurons
    q = float(betaincinv(k / 2, neurons / 2, _FAILURE))
    eigenvalues = np.full(dimension, q / math.sqrt(k) / math.sqrt(factor))
    eigenvalues[0] = 1.0
    return centred_target(eigenvalues)
