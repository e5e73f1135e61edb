"""Parameters of the estimators, checked: scikit-learn's errors, and more where it lets pass what has no sense."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from fastlazy._support.arguments import Array, check_array, check_choice, shown
from fastlazy._support.arguments import check_count as check_whole
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import check_activation
from fastlazy.estimators._sklearn import check_random, check_scalar, generator
from fastlazy.targets.weights import draw_weights

_SECOND_LAYERS = ("ones", "signs", "scalar", "free")


def check_count(name: str, value: Any) -> int:
    """*value* as a positive int, at most 10^15; scikit-learn's errors, also for True and None."""
    if value is None or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an instance of int, got {value}; pass a number")
    return check_whole(name, check_scalar(value, name, (int, np.integer), min_val=1))


def check_number(name: str, value: Any) -> float:
    """*value* as a finite float >= 0; scikit-learn's errors, also for True, None and NaN."""
    if value is None or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an instance of float, got {value}; pass a number")
    try:
        number = float(check_scalar(value, name, Real, min_val=0.0))
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}; pass a number >= 0")
    return number


def check_flags(estimator: Any, *names: str) -> None:
    """Raise TypeError unless the estimator's parameters of these *names*, those that it has, are True or False."""
    for name in names:
        value = getattr(estimator, name, False)
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(
                f"{name} must be True or False, got {shown(value)} of type {type(value).__name__}; pass one of them"
            )


def check_alpha(alpha: Any) -> Array:
    """The penalties (k,) of one number or several."""
    if isinstance(alpha, (Real, np.bool_)):
        check_number("alpha", alpha)
    alphas = np.atleast_1d(check_array("alpha", alpha, (0, 1)))
    if alphas.min() < 0:
        raise ValueError(f"alpha == {alphas.min():g}, must be >= 0.0.")
    return alphas


def check_network(estimator: Any) -> None:
    """Raise TypeError or ValueError unless the parameters of a trained network are what they must be."""
    for name in ("n_neurons", "batch_size", "max_epochs", "n_iter_no_change"):
        check_count(name, getattr(estimator, name))
    check_flags(estimator, "shuffle", "warm_start", "parallel")
    if not isinstance(estimator.early_stopping, str):
        check_flags(estimator, "early_stopping")
    else:
        check_choice("early_stopping", estimator.early_stopping, ["auto"], "True, False")
    check_number("tol", estimator.tol)
    check_number("validation_fraction", estimator.validation_fraction)
    check_scalar(
        estimator.validation_fraction, "validation_fraction", Real, min_val=0, max_val=1, include_boundaries="neither"
    )
    check_choice("second_layer", estimator.second_layer, _SECOND_LAYERS)
    automatic = isinstance(estimator.step_size, str) and estimator.step_size == "auto"
    if not automatic and not callable(estimator.step_size):
        check_number("step_size", estimator.step_size)


def weights_of(estimator: Any, d: int, dtype: Any) -> Array:
    """The estimator's first-layer weights (N, d): given, or drawn N(0, I / d)."""
    N = check_count("n_neurons", estimator.n_neurons)  # a mistake is one, though given weights make it harmless
    check_random(estimator.random_state)
    W = given_weights(estimator, d, dtype)
    if W is None:
        W = draw_weights(N, d, rng=generator(estimator.random_state)).astype(dtype)
    return W


def given_weights(estimator: Any, d: int, dtype: Any) -> Array | None:
    """A copy of the weights (N, d) that the estimator was given, or None."""
    if estimator.weights is None:
        return None
    W = check_array("weights", estimator.weights, 2, dtype)
    if W.shape[1] != d:
        raise ValueError(f"weights has rows of length {W.shape[1]}, but X has {d} features; pass shape (N, {d})")
    return W.copy()


def check_size(name: str, array: Array, dtype: Any, largest: float) -> None:
    """Raise ValueError if there are entries beyond *largest*, or none that is above its inverse but zero."""
    size = float(np.abs(array).max())
    if size > largest or 0 < size < 1 / largest:
        raise ValueError(
            f"{name} has entries of size {size:.3g}, whose powers over- or underflow {dtype}; scale {name} to between "
            f"{1 / largest:g} and {largest:g}, e.g. with a StandardScaler"
        )


def tangent_activation(activation: Any) -> Activation:
    """The non-linearity, which has a derivative; ValueError if it has none."""
    sigma = check_activation(activation)
    sigma.compiled_derivative  # noqa: B018  (it raises where there is no derivative)
    return sigma


def is_even(activation: Any) -> bool:
    """Whether sigma(-x) = sigma(x): then no odd part of a response can be learned."""
    try:
        sigma = check_activation(activation)
    except (TypeError, ValueError):
        return False
    x = np.linspace(0.1, 3, 30)
    return bool(np.array_equal(sigma.values(x), sigma.values(-x)))
