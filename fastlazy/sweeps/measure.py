"""One cell, measured: on one thread, from its parameters alone."""

from __future__ import annotations

import math
import os
import platform
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import LinAlgWarning

from fastlazy._support.arguments import Array
from fastlazy._support.signals import Terminated
from fastlazy._support.threads import one_blas_thread
from fastlazy._version import __version__
from fastlazy.activations.builtin import get_activation
from fastlazy.ridge.linear_models import fit_nt, fit_rf
from fastlazy.risk.limits import nt_risk_limit, rf_risk_limit
from fastlazy.risk.network import network_risk, tangent_risk
from fastlazy.risk.nn import nn_risk_limit
from fastlazy.risk.nt import nt_risk
from fastlazy.risk.rf import rf_risk
from fastlazy.risk.shifted_spectrum import shifted_eigenvalues
from fastlazy.sweeps.cells import cell_stream, cell_target
from fastlazy.targets.library import exponential_target
from fastlazy.targets.quadratic import QuadraticTarget
from fastlazy.targets.weights import draw_weights
from fastlazy.training.diagnostics import Diagnostics
from fastlazy.training.fit import Fit
from fastlazy.training.fit_nn import fit_nn
from fastlazy.training.linearization import lazy_risk

# What a measurement finds, and its kind. Ratios are divided by the null risk; predicted is a ratio.
RESULTS: dict[str, type] = {"risk": float, "null_risk": float, "ratio": float, "predicted": float, "fit_status": str}

# Of cells with diagnostics, at the end of training: their meaning is that of `Diagnostics`. Lists are JSON.
_LISTS = ("angles", "captured")
_DIAGNOSTICS = {field.name: str if field.name in _LISTS else float for field in fields(Diagnostics)}
RESULTS |= _DIAGNOSTICS

# The parameters, besides the regime, by which `cost` goes.
COSTLY = ("N", "d", "n_samples", "activation", "second_layer", "dtype")

_CLOSED_GRAM = ("square", "he2", "relu", "leaky_relu", "step")  # RF's Gram matrix needs no series
_CLOSED_TANGENT = ("square", "he2")  # NT's risk needs no iteration

FAILED = ("failed", "crashed")  # the statuses of cells that have no result

_TRAINING = ("n_samples", "batch_size", "step_size", "second_layer", "dtype", "scale", "init")  # of `fit_nn`

_DIVERGED = "training diverged, and the results are of its last finite state; give a smaller step_size, or 'auto'"

_SPEED = 2e10  # multiply-adds a second of one thread, roughly
_SAMPLES = 1  # tells the stream of samples from that of weights

Parameters = Mapping[str, Any]


def attempt(parameters: Parameters, checkpoint: str | None = None) -> dict[str, Any]:
    """What became of one cell: its status and its results, or the error and where it came from; where and how long.

    The status is "done"; "diverged" if training did, of which the results are those of the last finite state; or
    "failed".

    Parameters
    ----------
    parameters : mapping
        Canonical parameters (see `fastlazy.sweeps.cells`).
    checkpoint : str, optional
        File for the state of a long run; used where its folder is at hand.
    """
    _reset_peak()
    start = time.perf_counter()
    try:
        with one_blas_thread():
            found = {"status": "done", **measure(parameters, checkpoint)}
        if found.get("fit_status") == "diverged":
            found |= {"status": "diverged", "error": _DIVERGED}
    except Terminated:  # of the driver, which an executor without threads runs this in
        raise
    except (Exception, SystemExit) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
        found = {"status": "failed", "error": message, "traceback": traceback.format_exc()}
    return {
        **found,
        "seconds": time.perf_counter() - start,
        "peak_mb": _peak_mb(),
        "worker": f"{platform.node()}/{os.getpid()}",
        "versions": _versions(),
    }


def measure(parameters: Parameters, checkpoint: str | None = None) -> dict[str, Any]:
    """The results of the cell with canonical *parameters*: a value for each of `RESULTS`, or none."""
    target = cell_target(parameters)
    found = _MEASURES[parameters["regime"]](target, parameters, checkpoint)
    if not math.isfinite(found["risk"]):
        raise FloatingPointError(f"the risk is {found['risk']}; numbers are too large or too small for this target")
    ratios = {"null_risk": target.null_risk, "ratio": found["risk"] / target.null_risk}
    return {"predicted": _predicted(target, parameters), **found, **ratios}


def _measure_lazy(
    risk: Callable[..., float], target: QuadraticTarget, parameters: Parameters, _checkpoint: str | None
) -> dict[str, Any]:
    W = draw_weights(parameters["N"], target.d, rng=cell_stream(parameters))
    if parameters["n_samples"] is not None:
        return {"risk": _fitted_risk(target, W, parameters)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        found = risk(target, W, parameters["activation"], ridge=parameters["ridge"], parallel=False)
    return {"risk": found, "fit_status": str(caught[0].message) if caught else None}


def _fitted_risk(target: QuadraticTarget, W: Array, parameters: Parameters) -> float:
    """The exact risk of ridge regression on drawn samples, of which more have fewer for their first."""
    stream = np.random.SeedSequence([cell_stream(parameters), _SAMPLES])
    X, y = target.sample(parameters["n_samples"], rng=stream)
    sigma, alphas = get_activation(parameters["activation"]), np.array([len(X) * parameters["ridge"]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)  # singular without a ridge: the answer is all the same
        fit = (fit_rf if parameters["regime"] == "RF" else fit_nt)(X, y[:, None], W, sigma, alphas, parallel=False)
    c = float(fit.offset[0])
    if fit.b is not None:
        return tangent_risk(target, W, fit.b[0], c, sigma, parallel=False)
    assert fit.a is not None
    return network_risk(target, W, fit.a[0], c, sigma, parallel=False)


def _measure_trained(target: QuadraticTarget, parameters: Parameters, checkpoint: str | None) -> dict[str, Any]:
    if checkpoint is not None and not os.access(os.path.dirname(checkpoint), os.W_OK):
        checkpoint = None  # on another machine, perhaps
    options = {name: parameters[name] for name in _TRAINING}
    with warnings.catch_warnings():  # what a cell asks for is meant, and `_predicted` knows what it cannot learn
        warnings.filterwarnings("ignore", "target has negative eigenvalues", UserWarning)
        fit = fit_nn(
            target, parameters["N"], rng=cell_stream(parameters), n_threads=1, checkpoint=checkpoint,
            diagnostics=bool(parameters["diagnostics"]), **options,
        )  # fmt: skip
    found = {"risk": float(fit.risk[-1]), "fit_status": fit.status}
    if fit.diagnostics is not None:
        found |= {name: getattr(fit.diagnostics, name)[-1].tolist() for name in _DIAGNOSTICS}
    if parameters["scale"] is not None or parameters["init"] == "symmetric":
        found["predicted"] = _reachable(target, fit, parameters["second_layer"]) / target.null_risk
    return found


def _reachable(target: QuadraticTarget, fit: Fit, second_layer: str) -> float:
    """What lazy training goes to from where this one started."""
    if second_layer != "free":
        return lazy_risk(target, fit.W0, fit.a0, scale=fit.scale or 0.0)
    a = np.broadcast_to(fit.a0, len(fit.W0))
    # Of any sign: all but the N largest in modulus are left.
    size, values, above, below = shifted_eigenvalues(target, fit.W0, a, fit.scale or 0.0)
    moduli = np.sort(np.abs(values))
    return size**2 * 2 * float(np.sum(moduli[: max(0, len(values) - len(fit.W0) + above + below)] ** 2))


_MEASURES: dict[str, Callable[[QuadraticTarget, Parameters, str | None], dict[str, Any]]] = {
    "RF": lambda *arguments: _measure_lazy(rf_risk, *arguments),
    "NT": lambda *arguments: _measure_lazy(nt_risk, *arguments),
    "NN": _measure_trained,
}


def predicted_ratio(target: QuadraticTarget, regime: str, N: int, activation: str = "square") -> float:
    """The height of a line at N, RF and NT without ridge and in their refined form for this d."""
    if regime == "NN":
        risk = nn_risk_limit(target, N)
    else:
        limit = {"RF": rf_risk_limit, "NT": nt_risk_limit}[regime]
        risk = limit(target, N, activation, refined=True)
    return risk / target.null_risk


def _predicted(target: QuadraticTarget, parameters: Parameters) -> float | None:
    """The ratio that theory has for a cell, or None if it has none."""
    if parameters.get("ridge", 0.0) > 0 or (parameters["regime"] != "NN" and parameters["n_samples"] is not None):
        return None
    if parameters.get("second_layer") in ("ones", "scalar"):  # no neuron can learn a negative eigenvalue
        positive = np.maximum(target.eigenvalues, 0.0)
        if not positive.any():
            return 1.0
        lost = 2 * float(np.sum(np.minimum(target.eigenvalues, 0.0) ** 2))
        return (lost + nn_risk_limit(QuadraticTarget(positive), parameters["N"])) / target.null_risk
    return predicted_ratio(target, parameters["regime"], parameters["N"], parameters["activation"])


def cost(parameters: Parameters) -> float:
    """Seconds that a cell takes on one thread, within a factor of 3 or so, by its `COSTLY` parameters.

    Multiply-adds are counted, and weighed by what cells of d = 20 to 450 took on one machine.
    """
    N, d, n = parameters["N"], parameters["d"], parameters["n_samples"]
    if parameters["regime"] == "NN":
        width = N if parameters["second_layer"] in ("signs", "free") else min(N, d)  # as it is trained
        product = 2.0 if parameters["dtype"] == "float64" else 1.0
        return (1e8 + n * d * (40.0 + product * width) + 50.0 * d * width**2) / _SPEED  # start, steps, exact risks
    if parameters["regime"] == "RF":
        expanded = 0.0 if parameters["activation"] in _CLOSED_GRAM else 6e8 + 1e3 * N**2
        work = 4e7 + expanded + N**3 / 3 + N**2 * d
        unknowns = N
    else:
        iterated = 0.0 if parameters["activation"] in _CLOSED_TANGENT else 6e8 + 60.0 * N**2 * (d + 80.0)
        work = 4e7 + iterated + 3.0 * d**3 + N * d * min(N, d)
        unknowns = N * d
    if n is not None:
        small = min(unknowns, n)
        work += n * (40.0 * d + 2.0 * N * d + small * max(N, n) / 2) + small**3 / 6
    return work / _SPEED


def warm_up(cells: Iterable[Parameters]) -> None:
    """Compile what *cells* need, here and now, so that workers that start find it in the cache."""
    cells = list(cells)
    if any(parameters["regime"] == "RF" for parameters in cells):
        for activation in ("square", "relu"):  # one of each kind of Gram matrix
            rf_risk(exponential_target(2, rng=0), np.eye(2), activation, parallel=False)
    if any(cell["regime"] == "NT" and cell["activation"] not in _CLOSED_TANGENT for cell in cells):
        nt_risk(exponential_target(40, rng=0), np.eye(40), "relu", parallel=False)  # so many that it iterates
    fitted = [cell for cell in cells if cell["regime"] != "NN" and cell["n_samples"] is not None]
    for cell in {parameters["regime"]: parameters for parameters in fitted}.values():
        measure({**cell, "d": 2, "N": 2, "n_samples": 5, "target": "identity"})
    for dtype in sorted({parameters["dtype"] for parameters in cells if parameters["regime"] == "NN"}):
        fit_nn(exponential_target(2, rng=0), 2, n_samples=2, dtype=dtype, rng=0, n_threads=1)


@cache
def _versions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba"))
    return f"fastlazy {__version__}, {packages}, Python {platform.python_version()}"


def _reset_peak() -> None:
    """Let the peak memory of this process be counted from now on, where the system can do that."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def _peak_mb() -> float | None:
    """Peak resident memory of this process in MB, since the last reset or its start."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1000 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1000
