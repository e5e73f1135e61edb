"""One cell, measured: on one thread, from its parameters alone."""

from __future__ import annotations

import math
import os
import platform
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastlazy._support.signals import Terminated
from fastlazy._support.threads import one_blas_thread
from fastlazy._version import __version__
from fastlazy.sweeps.cells import cell_stream, cell_target
from fastlazy.sweeps.keys import Parameters
from fastlazy.sweeps.objects import Own, cell_activation
from fastlazy.sweeps.quantity import MeasuredCell, Quantity, own_numbers
from fastlazy.sweeps.regimes import REGIMES
from fastlazy.targets.library import Target
from fastlazy.training.diagnostics import Diagnostics

# What a measurement finds, and its kind. Ratios are divided by the null risk; predicted is a ratio, and late_gain is by
# how much the ratio fell in the second half of training.
RESULTS: dict[str, type] = {
    "risk": float, "null_risk": float, "ratio": float, "predicted": float, "fit_status": str, "late_gain": float,
}  # fmt: skip

# Of cells with diagnostics, at the end of training: their meaning is that of `Diagnostics`. Lists are JSON.
_LISTS = ("angles", "captured")
RESULTS |= {field.name: str if field.name in _LISTS else float for field in fields(Diagnostics)}

for _regime in REGIMES.values():  # as a worker starts, not on the clock of its first cell
    _regime.load()

FAILED = ("failed", "crashed")  # the statuses of cells that have no result

_DIVERGED = (
    "training diverged, and the results are of its last finite state; give a smaller step_size to SGD, or 'auto'"
)


def attempt(parameters: Parameters, checkpoint: str | None = None, quantity: Quantity | None = None) -> dict[str, Any]:
    """What became of one cell: its status and its results, or the error and where it came from; where and how long.

    The status is "done"; "diverged" if training did, of which the results are those of the last finite state; or
    "failed".

    Parameters
    ----------
    parameters : mapping
        Canonical parameters (see `fastlazy.sweeps.cells`).
    checkpoint : str, optional
        File for the state of a long run; used where its folder is at hand.
    quantity : Quantity, optional
        What the user measures besides: numbers by name, as "own". If that fails the cell has failed, with its results.
    """
    found: dict[str, Any] = {"status": "done"}
    _reset_peak()
    start = time.perf_counter()
    try:
        with one_blas_thread():
            if quantity is None:
                found |= measure(parameters, checkpoint)
            else:
                cell = measured_cell(parameters, checkpoint)
                found |= cell.results
                if found.get("fit_status") != "diverged":
                    found |= {"own": own_numbers(quantity, cell), "measure": quantity.label}
        if found.get("fit_status") == "diverged":
            found |= {"status": "diverged", "error": _DIVERGED}
    except Terminated:  # of the driver, which an executor without threads runs this in
        raise
    except (Exception, SystemExit) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
        found |= {"status": "failed", "error": message, "traceback": traceback.format_exc()}
    return {
        **found,
        "seconds": time.perf_counter() - start,
        "peak_mb": _peak_mb(),
        "worker": f"{platform.node()}/{os.getpid()}",
        "versions": _versions(),
    }


def measure(parameters: Parameters, checkpoint: str | None = None) -> dict[str, Any]:
    """The results of the cell with canonical *parameters*: a value for each of `RESULTS`, or none."""
    return dict(measured_cell(parameters, checkpoint).results)


def measured_cell(parameters: Parameters, checkpoint: str | None = None) -> MeasuredCell:
    """The cell with canonical *parameters*, measured."""
    target, regime, stream = cell_target(parameters), REGIMES[parameters["regime"]], cell_stream(parameters)
    results, W, a, b, c, fit = regime.measure(target, parameters, stream, checkpoint)
    if not math.isfinite(results["risk"]):
        raise FloatingPointError(f"the risk is {results['risk']}; numbers are too large or too small for this target")
    ratios = {"null_risk": target.null_risk, "ratio": results["risk"] / target.null_risk}
    results = {"predicted": regime.predicted(target, parameters), **results, **ratios}
    plain = {name: str(value) if isinstance(value, Own) else value for name, value in parameters.items()}
    return MeasuredCell(plain, target, cell_activation(parameters), W, a, b, c, fit, results, stream)


def predicted_ratio(
    target: Target,
    regime: str,
    N: int,
    activation: str = "square",
    *,
    n_samples: float | None = None,
    ridge: float | str = 0.0,
) -> float | None:
    """The height of a line at N: RF and NT in their refined form for this d, n and ridge, which may be "best"."""
    given = {"N": N, "activation": activation, "n_samples": n_samples, "ridge": ridge}
    return REGIMES[regime].predicted(target, given)


def cost(parameters: Parameters) -> float:
    """Seconds that a cell takes on one thread, within a factor of 3 or so, by its `COSTLY` parameters."""
    return REGIMES[parameters["regime"]].cost(parameters)


def warm_up(cells: Iterable[Parameters]) -> None:
    """Compile what *cells* need, here and now, so that workers that start find it in the cache."""
    of_regime = defaultdict[str, list[Parameters]](list)
    for parameters in cells:
        of_regime[parameters["regime"]].append(parameters)
    for name, same in of_regime.items():
        REGIMES[name].warm_up(same)


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
