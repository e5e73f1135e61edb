"""One cell, measured: on one thread, from its parameters alone."""

from __future__ import annotations

import math
import os
import platform
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from fastlazy._support.signals import Terminated
from fastlazy._support.threads import one_blas_thread
from fastlazy.sweeps.black_box import CellTimeoutError, mark, time_limit
from fastlazy.sweeps.cells import REPEATS, cell_stream, cell_target
from fastlazy.sweeps.keys import Parameters
from fastlazy.sweeps.objects import Own, cell_activation
from fastlazy.sweeps.provenance import provenance
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

FAILED = ("failed", "crashed", "timeout")  # the statuses of cells that have no result
STATUSES = ("done", "diverged", *FAILED)

_DIVERGED = (
    "training diverged, and the results are of its last finite state; give a smaller step_size to SGD, or 'auto'"
)


def attempt_all(
    cells: Sequence[tuple[Parameters, str | None]],
    seconds: float,
    timeout: float | None,
    quantity: Quantity | None = None,
) -> list[dict[str, Any]]:
    """What became of the first of *cells*, each with its checkpoint: of as many as begin within so many *seconds*.

    That is at least one. A cell of milliseconds takes less time than it takes to hand it out, so that they go in
    batches; the time is limited since it is not known before.
    """
    found, end = [], time.perf_counter() + seconds
    for k, (parameters, checkpoint) in enumerate(cells):
        mark(k)
        found.append(attempt(parameters, checkpoint, timeout, quantity))
        if time.perf_counter() >= end:
            break
    mark(0)
    return found


def attempt(
    parameters: Parameters,
    checkpoint: str | None = None,
    timeout: float | None = None,
    quantity: Quantity | None = None,
) -> dict[str, Any]:
    """What became of one cell: its status and its results, or the error and where it came from; where and how long.

    The status is "done"; "diverged" if training did, of which the results are those of the last finite state;
    "failed"; or "timeout".

    Parameters
    ----------
    parameters : mapping
        Canonical parameters (see `fastlazy.sweeps.cells`).
    checkpoint : str, optional
        File for the state of a long run; used where its folder is at hand.
    timeout : float, optional
        Seconds that it may take. A worker of ours that takes longer ends (see `fastlazy.sweeps.black_box`).
    quantity : Quantity, optional
        What the user measures besides: numbers by name, as "own". If that fails or takes too long the cell keeps its
        results.
    """
    found: dict[str, Any] = {"status": "done"}
    _reset_peak()
    start = time.perf_counter()
    try:
        with one_blas_thread(), time_limit(timeout):
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
    except CellTimeoutError:
        found |= {"status": "timeout", "error": timeout_error(timeout), "traceback": traceback.format_exc()}
    except (Exception, SystemExit) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
        found |= {"status": "failed", "error": message, "traceback": traceback.format_exc()}
    return {
        **found,
        "seconds": time.perf_counter() - start,
        "peak_mb": _peak_mb(),
        "worker": f"{platform.node()}/{os.getpid()}",
        **provenance(),
    }


def timeout_error(timeout: float | None) -> str:
    """What a cell is told that took longer than it may."""
    return f"it took more than {timeout:g} s; give it more time, or another budget"


def measure(parameters: Parameters, checkpoint: str | None = None) -> dict[str, Any]:
    """The results of the cell with canonical *parameters*: a value for each of `RESULTS`, or none."""
    return dict(measured_cell(parameters, checkpoint).results)


def measured_cell(parameters: Parameters, checkpoint: str | None = None) -> MeasuredCell:
    """The cell with canonical *parameters*, measured."""
    shared, regime, stream = _shared(parameters), REGIMES[parameters["regime"]], cell_stream(parameters)
    target = shared.target
    results, W, a, b, c, fit = regime.measure(target, parameters, stream, checkpoint)
    if not math.isfinite(results["risk"]):
        raise FloatingPointError(f"the risk is {results['risk']}; numbers are too large or too small for this target")
    ratios = {"null_risk": target.null_risk, "ratio": results["risk"] / target.null_risk}
    results = {"predicted": shared.predicted, **results, **ratios}
    plain = {name: str(value) if isinstance(value, Own) else value for name, value in parameters.items()}
    return MeasuredCell(plain, target, cell_activation(parameters), W, a, b, c, fit, results, stream)


class _Shared:
    """What cells that differ in their draw and seed alone have in common."""

    def __init__(self, setting: Parameters) -> None:
        self._setting = setting
        self.target = cell_target(setting)

    @cached_property
    def predicted(self) -> float | None:
        """The ratio that theory has for them."""
        return REGIMES[self._setting["regime"]].predicted(self.target, self._setting)


def _shared(parameters: Parameters) -> _Shared:
    setting = {name: value for name, value in parameters.items() if name not in REPEATS}
    kept = _place(repr(setting))
    if not kept:
        kept.append(_Shared(setting))
    return kept[0]


@lru_cache(maxsize=1)  # of the cells that come one after the other
def _place(setting: str) -> list[_Shared]:
    """Where a worker keeps what cells of that *setting* have in common."""
    return []


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


def kind(parameters: Parameters) -> tuple[Any, ...]:
    """What cells have in common that take as long as their costs say, or all as many times as long."""
    return parameters["regime"], str(parameters["activation"]), parameters["n_samples"] is None


def warm_up(cells: Iterable[Parameters]) -> None:
    """Compile what *cells* need, here and now, so that workers that start find it in the cache."""
    of_regime = defaultdict[str, list[Parameters]](list)
    for parameters in cells:
        of_regime[parameters["regime"]].append(parameters)
    for name, same in of_regime.items():
        REGIMES[name].warm_up(same)


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
