"""What a function has captured of each eigendirection of B: measured, and predicted for RF and NT.

"NT fits random directions, NN learns the most important ones": of v_j, B v_j = lambda_j v_j, a function with the
matrix S has captured the share <v_j, S v_j> / lambda_j. The predictions are ours; so far as they go, they follow from
arXiv:1906.08899, Theorems 1 and 2, whose risks are sums over the same directions.

For isotropic weights and any sigma, the mean over W of the map from B to what is learned of it commutes with rotations
of x. So it multiplies B without its trace by 1 - s_0, and the trace by 1 - s_1, where s_0 and s_1 are the mean risks,
over the null risk, on a target without a trace and on B = I. The share is 1 - s_0 + (s_0 - s_1) tr(B) / (d lambda_j).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastlazy._support.arguments import Array, check_count, check_flag
from fastlazy._support.blas import same_bits
from fastlazy.activations.builtin import ActivationLike, check_activation
from fastlazy.risk.limits import nt_risk_limit, rf_risk_limit
from fastlazy.targets.library import identity_target
from fastlazy.targets.quadratic import QuadraticFunction, QuadraticTarget, check_target


def captured_share(target: QuadraticFunction, f: QuadraticFunction) -> Array:
    """Share of each eigendirection of B that a function has captured.

    Parameters
    ----------
    target : QuadraticTarget
    f : QuadraticFunction
        The function: `network_function`, `rf_function`, `nt_function`, or the `function` of a `Fit`.

    Returns
    -------
    ndarray, shape (d,)
        <v_j, S v_j> / lambda_j, S the matrix of f, in the order of `target.eigenvalues`: 1 where f has all
        of it, 0 where nothing, or where lambda_j = 0 and there is nothing to capture.

    Raises
    ------
    TypeError, ValueError
        If one is not a quadratic function, or they are of different dimensions, or a share overflows.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> W = fastlazy.draw_weights(10, 20, rng=1)  # N = 10 neurons
    >>> f = fastlazy.nt_function(target, W)
    >>> shares = fastlazy.captured_share(target, f)
    >>> shares.shape, shares[:3].round(3)  # of the largest eigenvalues
    ((20,), array([0.617, 0.629, 0.364]))
    """
    check_target(target)
    check_target(f, "f")
    if f.d != target.d:
        raise ValueError(f"f has d = {f.d}, but the target has d = {target.d}; pass functions of the same x")
    vectors = eigendirections(target)
    with same_bits(target.d, target.d):
        image = f.B @ vectors
    found = shares(np.einsum("ij,ij->j", vectors, image), target.eigenvalues)
    if not np.isfinite(found).all():
        j = int(np.argmin(np.isfinite(found)))
        raise ValueError(
            f"the share of eigendirection {j} overflows: lambda = {target.eigenvalues[j]:.3g} is too small beside what "
            "f has there; set eigenvalues of B that small to 0"
        )
    return found


def rf_captured_limit(target: QuadraticFunction, N: int, activation: ActivationLike = "square") -> Array:
    """Predicted share of each eigendirection of B that random features capture, isotropic weights.

    Parameters
    ----------
    target : QuadraticTarget
    N : int
        Neurons.
    activation : str, Activation or function
        The non-linearity sigma.

    Returns
    -------
    ndarray, shape (d,)
        In the order of `target.eigenvalues`; 0 where lambda_j = 0.

    Raises
    ------
    TypeError, ValueError
        If N is not a positive whole number, or the activation is not known or has no finite moments.

    Notes
    -----
    (Ours.) For x^2 t + (1 - t) s tr(B) / (d lambda_j) with t = N / (d (d + 1) / 2) and s = (t d / 2) / (1 + t d / 2):
    what the mean of the projector onto the features makes of B (see the refined `rf_risk_limit`). For N of order d that
    is rho / (1 + rho) tr(B) / (d lambda_j): the trace of B, spread over all directions alike, and nothing of its own.
    For another sigma the formula at the top of `fastlazy.risk.captured`, with the refined `rf_risk_limit` for the mean
    risks.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> fastlazy.rf_captured_limit(target, 10)[:3].round(3)
    array([0.116, 0.174, 0.18 ])
    """
    check_target(target)
    neurons, sigma = check_count("N", N), check_activation(activation)
    if not sigma.is_quadratic:
        return _by_symmetry(target, lambda simple: rf_risk_limit(simple, neurons, sigma, refined=True))
    d = target.d
    t = min(1.0, neurons / (d * (d + 1) / 2))
    s = (t * d / 2) / (1 + t * d / 2)
    eigenvalues = target.eigenvalues
    return shares(t * eigenvalues + (1 - t) * s * float(np.sum(eigenvalues)) / d, eigenvalues)


def nt_captured_limit(
    target: QuadraticFunction, N: int, activation: ActivationLike = "square", *, refined: bool = False
) -> Array:
    """Predicted share of each eigendirection of B that the neural tangent model captures, isotropic weights.

    Parameters
    ----------
    target : QuadraticTarget
    N : int
        Neurons.
    activation : str, Activation or function
        The non-linearity sigma.
    refined : bool
        False: the limit N, d -> infinity with rho = N/d fixed. True: for x^2 the exact mean at this d, for another
        sigma the refined form of `nt_risk_limit`.

    Returns
    -------
    ndarray, shape (d,)
        In the order of `target.eigenvalues`; 0 where lambda_j = 0.

    Raises
    ------
    TypeError, ValueError
        If N is not a positive whole number, the activation is not known, jumps or has no finite moments, or refined
        is neither True nor False.

    Notes
    -----
    (Ours.) For x^2 NT learns B - P B P with P the projector onto the k = d - N dimensions that W leaves out, so the
    share is 1 - sum_l P_jl^2 lambda_l / lambda_j. For isotropic W the means are E P_jj^2 = k (k + 2) / (d (d + 2)) and,
    for l != j, E P_jl^2 = k (d - k) / (d (d - 1) (d + 2)). In the limit

        1 - (1 - rho)^2 - rho (1 - rho) tr(B) / (d lambda_j),

    which may be negative where lambda_j is small. For another sigma the formula at the top of
    `fastlazy.risk.captured`, with `nt_risk_limit`, which is not proved, for the mean risks.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> fastlazy.nt_captured_limit(target, 10, refined=True)[:3].round(3)
    array([0.686, 0.641, 0.636])
    """
    check_target(target)
    neurons, sigma, finite = check_count("N", N), check_activation(activation), check_flag("refined", refined)
    if not sigma.is_quadratic:
        return _by_symmetry(target, lambda simple: nt_risk_limit(simple, neurons, sigma, refined=finite))
    d, eigenvalues = target.d, target.eigenvalues
    k = d - min(d, neurons)
    if k == 0:
        return shares(eigenvalues, eigenvalues)
    own, other = ((k / d) ** 2, (1 - k / d) * k / d**2)
    if finite:
        own, other = k * (k + 2) / (d * (d + 2)), k * (d - k) / (d * (d - 1) * (d + 2))
        own -= other  # the sum over all l below has this term for l = j as well
    return shares((1 - own) * eigenvalues - other * float(np.sum(eigenvalues)), eigenvalues)


def without_trace(d: int) -> QuadraticTarget:
    """A target of dimension d >= 2 whose B has the trace zero."""
    return QuadraticTarget(np.concatenate([[1.0, -1.0], np.zeros(d - 2)]))


def _by_symmetry(target: QuadraticFunction, mean_risk: Callable[[QuadraticTarget], Any]) -> Array:
    """Mean shares (d,) that a model of isotropic weights captures, by the *mean_risk* that it has on a target."""
    d, eigenvalues = target.d, target.eigenvalues
    simple = [without_trace(d) if d > 1 else identity_target(d), identity_target(d)]
    of_rest, of_trace = (mean_risk(one) / one.null_risk for one in simple)
    return shares((1 - of_rest) * eigenvalues + (of_rest - of_trace) * float(np.sum(eigenvalues)) / d, eigenvalues)


def eigendirections(target: QuadraticFunction) -> Array:
    """Eigenvectors of B in columns, in the order of `target.eigenvalues`, shape (d, d)."""
    values, vectors = target.eigenbasis
    order = np.argsort(-values, kind="stable")
    return np.eye(target.d)[:, order] if vectors is None else vectors[:, order]


def shares(learned: Array, eigenvalues: Array) -> Array:
    """*learned* (d,) over *eigenvalues* (d,): zero for those below 1e-300 of the largest, infinite on overflow."""
    there = np.abs(eigenvalues) > 1e-300 * np.abs(eigenvalues).max()
    with np.errstate(over="ignore"):
        return np.where(there, learned, 0.0) / np.where(there, eigenvalues, 1.0)
