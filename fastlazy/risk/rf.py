"""The exact risk of random features for given weights, and any non-linearity."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastlazy._support.arguments import check_flag, check_real
from fastlazy._support.blas import same_bits
from fastlazy.activations.builtin import ActivationLike, check_activation
from fastlazy.activations.rf_pairs import unit_rows
from fastlazy.activations.units import in_own_unit, ridge_in_unit
from fastlazy.risk.inputs import whitened, whitened_rows
from fastlazy.risk.mixture import check_learned_weights, mixture_solver
from fastlazy.risk.projections import best_rf_form, form_risk
from fastlazy.risk.rf_solver import solve_rf_risk
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction, scaled


def rf_risk(
    target: QuadraticFunction | GaussianMixture,
    W: ArrayLike,
    activation: ActivationLike = "square",
    *,
    ridge: float = 0.0,
    parallel: bool = True,
) -> float:
    """Exact risk of random features: the best sum_i a_i sigma(<w_i, x>) + c for these W.

    Parameters
    ----------
    target : QuadraticTarget or GaussianMixture
    W : array_like, shape (N, d)
        First-layer weights, one neuron per row.
    activation : str, Activation or function
        The non-linearity sigma.
    ridge : float
        Penalty ridge * |a|^2 on the second layer (not on c), >= 0. The risk returned is without it.
    parallel : bool
        False: the Gram matrix is filled on the calling thread alone, for use inside sweeps.

    Returns
    -------
    float
        The population squared error, not divided by the null risk. For a singular Gram matrix it is that
        of the minimum-norm solution.

    Raises
    ------
    TypeError, ValueError
        If W is not a finite (N, d) array, the activation is not known or has no finite Gaussian moments, or the ridge
        is negative.

    Warns
    -----
    RuntimeWarning
        If the risk may be off by more than 1e-9 of the null risk, because features nearly depend on each other (the
        message says by how much), or if rows are so short that rounding of sigma hides what the risk depends on.

    Notes
    -----
    a solves (U + ridge) a = V with U = `rf_gram` centred and V_i = <w_i, B w_i> h_2(|w_i|) / |w_i|^2, h_2 the
    second Hermite coefficient; the risk is 2 |B|^2 - 2 <a, V> + <a, U a>. For x^2, V_i = 2 <w_i, B w_i>; without a
    ridge the risk then depends on the directions of the rows alone, as it does for ReLU and other powers.

    For x^2, where U is nearly singular and N d^2 <= 2e7, the features themselves are solved for, and exact differences
    take the place of rows that nearly agree. Pairs of rows at any distance h then keep all digits; of three or more
    rows within h of each other the error is about 1e-16 / h of the null risk, not its square. Where that is not done,
    for larger problems and other functions, the error grows as 1e-16 / h^2. Directions that differ by rounding count
    as one (`tests/_support/test_singular.py`).

    For a `GaussianMixture` V is half the mean of the features given y = 1 less that given y = -1, and U is their
    covariance over both classes, that of y included; for x^2 they are solved for likewise, but without the differences
    of rows that nearly agree.

    References
    ----------
    arXiv:1906.08899, the class RF of eq. (1).

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> [round(fastlazy.rf_risk(target, W, name) / target.null_risk, 3) for name in ("square", "relu", "tanh")]
    [0.894, 0.957, 1.0]
    """
    weights = check_learned_weights(target, W)
    sigma = check_activation(activation)
    penalty, together = check_real("ridge", ridge, 0.0), check_flag("parallel", parallel)
    if isinstance(target, GaussianMixture):
        with same_bits(*weights.shape):
            return mixture_solver("rf_risk")(target, weights, sigma, penalty, together)
    weights, target = whitened_rows(target, weights), whitened(target)
    size, unit = scaled(target)
    with same_bits(*weights.shape):
        if sigma.is_quadratic:
            return size**2 * form_risk(unit.B, best_rf_form(unit.B, weights, penalty, together))
        if sigma.degree is not None and penalty == 0:  # a length multiplies a feature by a number, which no risk sees
            weights = unit_rows(weights)[0]
        sigma, exponent = in_own_unit(sigma)
        penalty = ridge_in_unit(penalty, exponent)
        return size**2 * solve_rf_risk(unit, weights, sigma, penalty, together)
