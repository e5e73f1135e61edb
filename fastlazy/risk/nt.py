"""The exact risk of the neural tangent model for given weights, and any non-linearity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import check_count, check_flag, check_real
from fastlazy._support.blas import same_bits
from fastlazy.activations.builtin import ActivationLike, check_activation
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.activations.units import in_own_unit, ridge_in_unit
from fastlazy.risk.inputs import whitened, whitened_rows
from fastlazy.risk.mixture import check_learned_weights, mixture_solver
from fastlazy.risk.projections import nt_lost
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction, QuadraticTarget, scaled


def nt_risk(
    target: QuadraticFunction | GaussianMixture,
    W: ArrayLike,
    activation: ActivationLike = "square",
    *,
    ridge: float = 0.0,
    tolerance: float = 1e-8,
    max_iterations: int = 1000,
    parallel: bool = True,
) -> float:
    """Exact risk of the neural tangent model: the best sum_i <b_i, x> sigma'(<w_i, x>) + c for these W.

    Parameters
    ----------
    target : QuadraticTarget or GaussianMixture
    W : array_like, shape (N, d)
        Weights at the initialisation, one neuron per row.
    activation : str, Activation or function
        The non-linearity sigma.
    ridge : float
        Penalty ridge * sum_i |b_i|^2 (not on c), >= 0. The risk returned is without it.
    tolerance : float
        Largest error of the risk that ends the iteration for a general sigma, relative to the risk itself, > 0.
    max_iterations : int
        Most iterations for a general sigma.
    parallel : bool
        False: the iteration runs on the calling thread alone, for use inside sweeps.

    Returns
    -------
    float
        The population squared error, not divided by the null risk. For x^2 exact to rounding, and for a quadratic
        target zero once the rows span the space.

        For a general sigma that of coefficients found by iteration, so without a ridge never below the exact one. How
        far it is above is estimated from how the steps gain, to be at most the tolerance, or 1e-13 of the null risk.

    Warns
    -----
    RuntimeWarning
        If the iteration ends before that, or if rounding may have cost more than the tolerance and 1e-9 of the null
        risk, because rows nearly agree or are so short that it hides what the risk depends on. The message says by
        how much the risk may be off.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array, the activation is not known, jumps or has no finite Gaussian moments, a
        number is out of its range, or a moment overflows.

    Notes
    -----
    For x^2 the reachable S = W^T X + X^T W are those with P S P = 0, P the projector off the span of W: risk
    2 |P B P|_F^2. With a ridge, in the right singular basis of W with singular values s (zero off the
    span), entry (j, k) of S is B_jk 4 q / (4 q + ridge), q = s_j^2 + s_k^2 (ours).

    For a general sigma b solves (K + ridge) b = V, K = `nt_gram` centred and V_i = 2 h_1 B u_i + h_3 <u_i, B u_i> u_i
    with u_i = w_i / |w_i| and h_k the Hermite coefficients of sigma'; risk 2 |B|^2 - 2 <b, V> + <b, K b>. It takes
    three to a dozen products with K, or some more. sigma odd: V = 0, nothing is learned. Memory: 4 N^2 numbers, 3 N^2
    where sigma sees all rows alike, and some (N, d). Rows within 1e-7 of each other, but not equal, count as parallel,
    which a warning says.

    If the target has an input_cov, the ridge is on the coefficients of x, not of whitened inputs; x^2 with such a ridge
    is solved as any sigma.

    For a `GaussianMixture` K and V are the covariances of the features over both classes, and with y. x^2 is then
    solved by iteration, too: to 1e-13, or with a ridge as any sigma. The memory is three times as much.

    References
    ----------
    arXiv:1906.08899, the class NT of eq. (1), and Theorem 2.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> [round(fastlazy.nt_risk(target, W, name) / target.null_risk, 3) for name in ("square", "relu", "tanh")]
    [0.443, 0.722, 1.0]
    """
    weights = check_learned_weights(target, W)
    sigma = check_activation(activation)
    penalty, together = check_real("ridge", ridge, 0.0), check_flag("parallel", parallel)
    goal = check_real("tolerance", tolerance, 0.0)
    most = check_count("max_iterations", max_iterations)
    if isinstance(target, GaussianMixture):
        return mixture_solver("nt_risk")(target, weights, sigma, penalty, goal, most, together)
    if isinstance(target, QuadraticTarget) and target.root is not None and penalty > 0:
        from fastlazy.risk import nt_inputs  # which loads the compiler

        return nt_inputs.nt_risk(target, weights, sigma, penalty, goal, most, together)
    weights, target = whitened_rows(target, weights), whitened(target)
    size, unit = scaled(target)
    if sigma.is_quadratic:
        with same_bits(*weights.shape):
            basis, lost = nt_lost(weights, penalty)
            return size**2 * 2 * float(np.sum((lost * (basis @ unit.B @ basis.T)) ** 2))
    if sigma.degree is not None and penalty == 0:  # a length multiplies features by a number, which no risk sees
        weights = unit_rows(weights)[0]
    from fastlazy.risk.nt_solver import solve_nt_risk  # which loads the compiler

    sigma, exponent = in_own_unit(sigma)
    penalty = ridge_in_unit(penalty, exponent)
    with same_bits(weights.size, 1):
        return size**2 * solve_nt_risk(unit, weights, sigma, penalty, goal, most, together)
