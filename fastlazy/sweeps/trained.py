"""The trained regime of a sweep, NN: the keys of its cells, and how they are measured, predicted and weighed.

A network is trained by SGD on fresh samples (`fastlazy.fit_nn`), or by gradient flow of the population risk
(`fastlazy.nn_flow`), as the key nn says.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from fastlazy._support.arguments import check_count
from fastlazy.activations.activation import Activation
from fastlazy.sweeps.keys import (
    Found,
    Key,
    Parameters,
    check_bit,
    check_derivative,
    check_dtype,
    check_optional_count,
    check_scale,
    check_step_size,
    check_tolerance,
    choice_key,
)
from fastlazy.sweeps.objects import Own, cell_activation
from fastlazy.targets.library import Target, exponential_target, identity_target
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticTarget

if TYPE_CHECKING:
    from fastlazy.training.fit import Fit

TRAINING = {  # how a network is trained, and arguments of `fit_nn`, each passed on
    "n_samples": Key(check_optional_count, int, None),
    "batch_size": Key(check_count, int, 100),
    "step_size": Key(check_step_size, object, "auto"),
    "second_layer": choice_key(("ones", "signs", "scalar", "free"), "ones"),
    "dtype": Key(check_dtype, str, "float32"),
    "scale": Key(check_scale, float, None, later=True),
    "init": choice_key(("orthogonal", "symmetric"), "orthogonal", later=True),
    "diagnostics": Key(check_bit, int, 0, later=True),
    "nn": choice_key(("sgd", "flow"), "sgd", later=True),
    "tolerance": Key(check_tolerance, float, None, later=True),
    "max_gradients": Key(check_optional_count, int, None, later=True),
}
_OF_SGD = ("n_samples", "batch_size", "step_size", "dtype", "diagnostics")  # which `nn_flow` does not have
_OF_FLOW = ("tolerance", "max_gradients")
_OF_BOTH = ("second_layer", "scale", "init")

# What a cell asks for is meant: its prediction and its ratio tell what cannot be learned, and its fit_status what is
# not converged.
_MEANT = "target has negative eigenvalues|activation '|second_layer='"
_TOLD = "nn_flow took max_"

_GRADIENTS = {True: 1500.0, False: 5000.0}  # of a flow, roughly, whether sigma is x^2 or not


def check_training(parameters: Parameters) -> None:
    """Check that the keys of an NN cell go together.

    Raises
    ------
    ValueError
        If they do not.
    """
    if parameters["nn"] == "sgd":
        if parameters["n_samples"] is None:
            raise ValueError("a cell of regime NN with nn = 'sgd' needs 'n_samples' too; add it, or pass nn='flow'")
        for name in _OF_FLOW:
            if parameters[name] != TRAINING[name].default:
                raise ValueError(
                    f"{name} = {parameters[name]!r} is for nn = 'flow'; leave {name} out, or pass nn='flow' without "
                    "what is for SGD"
                )
    else:
        for name in _OF_SGD:
            if parameters[name] != TRAINING[name].default:
                raise ValueError(
                    f"{name} = {parameters[name]!r} is for nn = 'sgd', and nn = 'flow' takes no samples and no steps "
                    f"of SGD; leave {name} out, or pass nn='sgd'"
                )
    _check_objects(parameters)
    _check_scale_of_any_sigma(parameters)
    if parameters["init"] == "symmetric" and (parameters["N"] % 2 or parameters["second_layer"] in ("ones", "scalar")):
        raise ValueError(
            f"init = 'symmetric' has pairs of neurons of both signs, not N = {parameters['N']} with second_layer = "
            f"{parameters['second_layer']!r}; pass an even N and 'signs' or 'free', or leave init out"
        )


def _check_objects(parameters: Parameters) -> None:
    """Raise ValueError for a target or a sigma of the user's with which no network can be trained."""
    target, sigma = parameters["target"], parameters["activation"]
    if isinstance(target, Own) and getattr(target.value, "input_cov", None) is not None:
        raise ValueError(
            f"target {str(target)!r} has an input_cov, and networks are trained on x ~ N(0, I); pass its whitened, the "
            "same function of z, or another regime"
        )
    check_derivative(sigma, "regime NN")


def _check_scale_of_any_sigma(parameters: Parameters) -> None:
    """Raise ValueError for lazy scaling of a number that neurons of another sigma than x^2 share."""
    sigma = cell_activation(parameters)
    scaled = parameters["scale"] is not None and parameters["second_layer"] == "scalar"
    if scaled and not sigma.is_square:
        raise ValueError(
            f"a scale with second_layer = 'scalar' is for activation='square', got {sigma.name!r}; leave scale out, or "
            "pass second_layer='free'"
        )


def load_training() -> None:
    """Load what trains networks."""
    from fastlazy.training import fit_nn, flow  # noqa: F401


def measure_trained(target: Target, parameters: Parameters, stream: int, checkpoint: str | None) -> Found:
    """Train the network of a cell: its risk, and how the training went."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _MEANT, UserWarning)
        warnings.filterwarnings("ignore", _TOLD, RuntimeWarning)
        fit = _train(target, parameters, stream, checkpoint)
    found = {"risk": float(fit.risk[-1]), "fit_status": fit.status, "late_gain": _late_gain(fit) / target.null_risk}
    if fit.diagnostics is not None:
        names = [field.name for field in fields(fit.diagnostics)]
        found |= {name: getattr(fit.diagnostics, name)[-1].tolist() for name in names}
    moved = parameters["scale"] is not None or parameters["init"] == "symmetric"
    if moved and isinstance(target, QuadraticTarget) and cell_activation(parameters).is_quadratic:
        found["predicted"] = _reachable(target, fit, parameters["second_layer"]) / target.null_risk
    return Found(found, fit.W, a=fit.a, c=fit.c, fit=fit)


def _train(target: Target, parameters: Parameters, stream: int, checkpoint: str | None) -> Fit:
    """The trained network of a cell."""
    N, activation = parameters["N"], cell_activation(parameters)
    options = {name: parameters[name] for name in _OF_BOTH}
    if parameters["nn"] == "flow":
        from fastlazy.training.flow import nn_flow

        options |= {name: parameters[name] for name in _OF_FLOW}
        return nn_flow(target, N, activation, rng=stream, parallel=False, **options)
    from fastlazy.training.fit_nn import fit_nn

    if checkpoint is not None and not os.access(os.path.dirname(checkpoint), os.W_OK):
        checkpoint = None  # on another machine, perhaps
    options |= {name: parameters[name] for name in _OF_SGD}
    return fit_nn(target, N, activation=activation, rng=stream, n_threads=1, checkpoint=checkpoint, **options)


def _late_gain(fit: Fit) -> float:
    """By how much the risk fell in the second half of the samples, or of the time of a flow."""
    course = fit.samples if fit.samples[-1] > 0 else fit.times
    assert course is not None
    half = int(np.argmin(np.abs(course - course[-1] / 2)))
    return float(fit.risk[half] - fit.risk[-1])


def _reachable(target: QuadraticTarget, fit: Fit, second_layer: str) -> float:
    """What lazy training goes to from where this one started."""
    from fastlazy.risk.shifted_spectrum import shifted_eigenvalues
    from fastlazy.training.infimum import lazy_risk

    if second_layer != "free":
        return lazy_risk(target, fit.W0, fit.a0, scale=fit.scale or 0.0)
    a = np.broadcast_to(fit.a0, len(fit.W0))
    # Of any sign: all but the N largest in modulus are left.
    size, values, above, below = shifted_eigenvalues(target, fit.W0, a, fit.scale or 0.0)
    moduli = np.sort(np.abs(values))
    return size**2 * 2 * float(np.sum(moduli[: max(0, len(values) - len(fit.W0) + above + below)] ** 2))


def predicted_trained(target: Target, parameters: Parameters) -> float | None:
    """The least ratio of a network: of x^2 by a formula, 1 for a sigma that learns nothing, for others not known."""
    from fastlazy.risk.nn import nn_risk, nn_risk_limit

    if not cell_activation(parameters).is_quadratic:
        return 1.0 if _learns_nothing(cell_activation(parameters)) else None
    if isinstance(target, GaussianMixture):  # the exact infimum, as the limit takes all modes for small
        return (
            nn_risk(target, parameters["N"]) if parameters.get("second_layer", "signs") in ("signs", "free") else None
        )
    learned, lost = target, 0.0
    if parameters.get("second_layer") in ("ones", "scalar"):  # no neuron can learn a negative eigenvalue
        positive = np.maximum(target.eigenvalues, 0.0)
        if not positive.any():
            return 1.0
        learned, lost = QuadraticTarget(positive), 2 * float(np.sum(np.minimum(target.eigenvalues, 0.0) ** 2))
    return (lost + nn_risk_limit(learned, parameters["N"])) / target.null_risk


@cache
def _learns_nothing(activation: Activation) -> bool:
    """Whether this sigma, odd but for a constant, has no part of degree two."""
    from fastlazy.training.sizes import start_sizes

    return start_sizes(activation, identity_target(1), 1, fixed=False).sign == 0


def training_work(parameters: Parameters) -> float:
    """Multiply-adds of a cell, weighed by their speed."""
    N, d, n = parameters["N"], parameters["d"], parameters["n_samples"]
    is_square = cell_activation(parameters).is_square
    if parameters["nn"] == "flow":
        one = 2e6 + 4.0 * d**2 * min(N, d) if is_square else 5e7 + 6.0 * N**2 * d
        gradients = min(_GRADIENTS[is_square], parameters.get("max_gradients") or math.inf)
        return 1e8 + gradients * one
    width, risk = N, N**2 * (d / 2 + 400.0)
    if is_square:
        width = N if parameters["second_layer"] in ("signs", "free") else min(N, d)  # as it is trained
        risk = 1.0 * d * width**2
    elif not cell_activation(parameters).has_closed_gram:
        risk += 5e8
    product = 2.0 if parameters["dtype"] == "float64" else 1.0
    return float(1e8 + n * d * (40.0 + product * width) + 50 * risk)  # start, steps, exact risks


def warm_up_training(cells: Sequence[Parameters]) -> None:
    """Compile what *cells* need: each sigma in each dtype by SGD, each sigma in a flow."""
    wanted = {(cell["nn"], cell_activation(cell), cell["dtype"]) for cell in cells}
    target = exponential_target(2, rng=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _MEANT, UserWarning)
        for nn, activation, dtype in sorted(wanted, key=str):
            if nn == "flow":
                from fastlazy.training.flow import nn_flow

                nn_flow(target, 2, activation, time=0.0, rng=0, parallel=False)
            else:
                from fastlazy.training.fit_nn import fit_nn

                fit_nn(target, 2, n_samples=2, activation=activation, dtype=dtype, rng=0, n_threads=1)
