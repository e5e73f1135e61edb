"""The dots and the lines of the headline figure: risk of RF, NT and NN against the number of neurons.

A dot of RF or NT is the exact risk of drawn weights; a dot of NN is a network trained by SGD. Dots are
independent of one another, each with a seed of its own, and are spread over the cores longest first.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from fastlazy._team import available_cores
from fastlazy.risk import nt_risk, rf_risk
from fastlazy.sgd import Fit, fit_nn
from fastlazy.targets import QuadraticTarget, draw_weights
from fastlazy.theory import nn_risk_limit, nt_risk_limit, rf_risk_limit

REGIMES = ("RF", "NT", "NN")


class Dot(NamedTuple):
    """One measurement; ratios are risks divided by the null risk."""

    regime: str
    N: int
    draw: int
    measured: float
    predicted: float
    seconds: float
    seed: int


class Cell(NamedTuple):
    """One measurement to make; n_samples is 0 for RF and NT."""

    regime: str
    N: int
    draw: int
    n_samples: int
    seed: int


def geometric_widths(d: int, count: int) -> list[int]:
    """Up to *count* widths in equal ratios from d / 15 to 10 d: 30 to 4500 at d = 450."""
    return sorted({max(1, round(N)) for N in np.geomspace(d / 15, 10 * d, count)})


def authors_widths(d: int) -> list[int]:
    """The 25 widths of the authors' scripts, 30 to 4767 at d = 450, in proportion to d."""
    return sorted({max(1, int(30 * 1.5**power * d / 450)) for power in np.linspace(0, 12.5, 25)})


def quick_samples(N: int, d: int) -> int:
    """Samples that bring an NN dot of width N within about .005 of its optimum, as `fastlazy figure` prints.

    In units of d (d + 150), about d b s, in which all directions are learned once (see `fastlazy.schedule`): few
    for N >= d, where no noise remains, more the narrower the network.
    """
    narrowness = float(np.clip(1 - N / d, 0, 1))
    return max(200_000, math.ceil((2.6 + 37 * math.pow(narrowness, 1.45)) * d * (d + 150)))


def figure_cells(widths: Sequence[int], draws: int, n_samples: Sequence[int], seed: int) -> list[Cell]:
    """The cells of a figure: *draws* of RF and NT, with the same weights, and one NN, for each width."""
    cells = []
    for N, samples in zip(widths, n_samples, strict=True):
        seeds = [int(np.random.SeedSequence([seed, N, k]).generate_state(1, np.uint64)[0]) for k in range(draws + 1)]
        cells += [Cell(regime, N, k, 0, seeds[k]) for regime in ("RF", "NT") for k in range(draws)]
        cells.append(Cell("NN", N, 0, samples, seeds[draws]))
    return cells


def measure(target: QuadraticTarget, cells: Sequence[Cell], *, workers: int | None = None) -> Iterator[Dot]:
    """The dots of *cells*, as they come.

    Closing the iterator early cancels what has not begun and cuts short what has.
    """
    closing = threading.Event()
    jobs = sorted(cells, key=lambda cell: _cost(cell, target.d), reverse=True)
    # One thread per cell: BLAS threads of their own would only get in each other's way.
    with threadpool_limits(limits=1), ThreadPoolExecutor(workers or available_cores()) as pool:
        futures = [pool.submit(_measure_cell, target, cell, closing) for cell in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            closing.set()
            for future in futures:
                future.cancel()


def predicted_ratio(target: QuadraticTarget, regime: str, N: int) -> float:
    """The height of a line at N, RF and NT in their refined form for this d."""
    if regime == "NN":
        risk = nn_risk_limit(target, N)
    else:
        risk = (rf_risk_limit if regime == "RF" else nt_risk_limit)(target, N, refined=True)
    return risk / target.null_risk


def predictions(target: QuadraticTarget, widths: Sequence[int]) -> pd.DataFrame:
    """The lines: columns regime, N, predicted (ratio)."""
    rows = [(regime, N, predicted_ratio(target, regime, N)) for regime in REGIMES for N in widths]
    return pd.DataFrame(rows, columns=["regime", "N", "predicted"])


def summary(dots: pd.DataFrame) -> pd.DataFrame:
    """One row for each regime and N: dots, mean and standard deviation of the measured ratio, prediction."""
    table = dots.groupby(["regime", "N"], as_index=False).agg(
        dots=("measured", "size"),
        measured=("measured", "mean"),
        std=("measured", "std"),
        predicted=("predicted", "first"),
    )
    table["difference"] = table["measured"] - table["predicted"]
    order = {regime: place for place, regime in enumerate(REGIMES)}
    return table.sort_values(["regime", "N"], key=lambda column: column.replace(order)).reset_index(drop=True)


def _cost(cell: Cell, d: int) -> float:
    """Multiply-adds, roughly."""
    if cell.regime == "NN":
        return 2.0 * cell.n_samples * d * min(cell.N, d)
    return cell.N**3 / 6 + cell.N**2 * d / 2 if cell.regime == "RF" else 10.0 * d**3


def _measure_cell(target: QuadraticTarget, cell: Cell, closing: threading.Event) -> Dot:
    start = time.perf_counter()
    if cell.regime == "NN":

        def stop(fit: Fit) -> bool:
            return closing.is_set()

        fit = fit_nn(target, cell.N, n_samples=cell.n_samples, rng=cell.seed, n_threads=1, callback=stop)
        risk = float(fit.risk[-1])
    else:
        W = draw_weights(cell.N, target.d, rng=cell.seed)
        risk = rf_risk(target, W, parallel=False) if cell.regime == "RF" else nt_risk(target, W)
    seconds = time.perf_counter() - start
    predicted = predicted_ratio(target, cell.regime, cell.N)
    return Dot(cell.regime, cell.N, cell.draw, risk / target.null_risk, predicted, seconds, cell.seed)
