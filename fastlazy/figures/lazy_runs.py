"""The experiments of ``fastlazy lazy``: when training is lazy, and what that costs. Targets in, tables out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastlazy._support.threads import available_cores, one_blas_thread
from fastlazy.figures.risk_table import quick_samples
from fastlazy.risk.best_functions import nt_function, rf_function
from fastlazy.risk.captured import captured_share, nt_captured_limit, rf_captured_limit
from fastlazy.risk.limits import nt_risk_limit
from fastlazy.risk.nn import nn_risk
from fastlazy.risk.nt import nt_risk
from fastlazy.targets.gap import gap_target
from fastlazy.targets.library import exponential_target
from fastlazy.targets.quadratic import QuadraticTarget
from fastlazy.targets.weights import draw_weights
from fastlazy.training.fit import Fit
from fastlazy.training.fit_nn import fit_nn
from fastlazy.training.infimum import lazy_risk

SCALES = [float(f"{alpha:.3g}") for alpha in np.logspace(-2, 3, 11)]
# Rounding of exact risks and linearisation errors grows like alpha^2 for any sigma but x^2.
GENERAL_SCALES = [alpha for alpha in SCALES if alpha <= 100]
_SAMPLES = 1_000_000
_RECORDS = 200
_GENERAL_SAMPLES = 4_000_000  # for another sigma than x^2, whose tangent model is learned more slowly
_GENERAL_RECORDS = 40  # as each takes longer
_LAZY = 10.0  # scales from which on the slope of the linearisation error is fitted


class ScaleRuns(NamedTuple):
    """Training under lazy scaling, from the same weights for each alpha; risks over the null risk."""

    ends: pd.DataFrame  # scale, risk, reachable (x^2 only), travelled, linearization_error: at the end
    curve: pd.DataFrame | None  # scale, reachable: the infimum, at many scales; known for x^2 only
    trajectories: pd.DataFrame  # scale, samples, risk, travelled, linearization_error: at each record
    nn: float  # what no network of this width beats, for x^2; else what it is trained to without scaling
    nt: float  # the tangent model of the very weights at the start
    slope: float  # of log linearization_error against log scale, where training is lazy


def scale_runs(
    d: int,
    N: int,
    scales: Sequence[float],
    seed: int,
    *,
    n_samples: int | None = None,
    activation: str = "square",
) -> ScaleRuns:
    """Runs of fit_nn with each of *scales* on the exponential target.

    The second layer stays as it is, so that the tangent model has the first alone: a = 1 for x^2, and for another sigma
    the sign with which it bends as the target does.
    """
    target = exponential_target(d, rng=seed)
    square = activation == "square"
    samples = quick_samples(N, d) if n_samples is None else n_samples
    if n_samples is None:
        samples = max(_SAMPLES, samples) if square else max(_GENERAL_SAMPLES, samples)
    options: dict[str, Any] = {"n_samples": samples, "rng": seed, "n_threads": 1}
    options |= {"n_records": _RECORDS if square else _GENERAL_RECORDS}
    if not square:
        options |= {"activation": activation, "second_layer": "signs"}
    fits = _fits(target, N, scales if square else [*scales, None], options)
    trajectories = _trajectories(target, scales, fits)
    ends = trajectories.groupby("scale", as_index=False).last().drop(columns="samples")

    def reachable(scale: float) -> float:
        return lazy_risk(target, fits[0].W0, fits[0].a0, scale=scale) / target.null_risk

    curve = None
    if square:
        ends.insert(2, "reachable", ends["scale"].map(reachable))
        curve = pd.DataFrame({"scale": np.geomspace(min(scales), max(scales), 61)})
        curve["reachable"] = curve["scale"].map(reachable)
    lazy = ends[(ends["scale"] >= _LAZY) & (ends["linearization_error"] > 0)]
    logs = np.log(lazy[["scale", "linearization_error"]].to_numpy())
    slope = float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0]) if len(lazy) > 1 else float("nan")
    nn = nn_risk(target, N) if square else float(fits[-1].risk[-1])
    nt = nt_risk(target, fits[0].W0, activation)
    return ScaleRuns(ends, curve, trajectories, nn / target.null_risk, nt / target.null_risk, slope)


def _fits(target: QuadraticTarget, N: int, scales: Sequence[float | None], options: dict[str, Any]) -> list[Fit]:
    """A run for each of *scales*, several at a time; None: without scaling."""
    ended = threading.Event()

    def train(scale: float | None) -> Fit:
        return fit_nn(
            target, N, scale=scale, diagnostics=scale is not None, callback=lambda fit: ended.is_set(), **options
        )

    with one_blas_thread(), ThreadPoolExecutor(available_cores()) as pool:
        try:
            return list(pool.map(train, scales))
        finally:  # if one failed, or at Ctrl-C, those that run stop at their next record
            ended.set()


def _trajectories(target: QuadraticTarget, scales: Sequence[float], fits: list[Fit]) -> pd.DataFrame:
    """The records of the runs with a scale, which come first."""
    return pd.concat(
        pd.DataFrame(
            {
                "scale": scale,
                "samples": fit.samples,
                "risk": fit.risk / target.null_risk,
                "travelled": fit.diagnostics.travelled_W,
                "linearization_error": fit.diagnostics.linearization_error / target.null_risk,
            }
        )
        for scale, fit in zip(scales, fits, strict=False)
        if fit.diagnostics is not None
    ).reset_index(drop=True)


def direction_shares(d: int, N: int, seed: int, *, draws: int = 8, n_samples: int | None = None) -> pd.DataFrame:
    """Share of each eigendirection of the exponential target that RF, NT and NN capture.

    Columns rank, eigenvalue, RF and NT (means over *draws* of the weights), NT_std, RF_law, NT_law and NN (one run).
    """
    target = exponential_target(d, rng=seed)
    samples = quick_samples(N, d) if n_samples is None else n_samples
    fit = fit_nn(target, N, n_samples=samples, rng=seed, n_records=2)
    weights = [draw_weights(N, d, rng=np.random.SeedSequence([seed, draw])) for draw in range(draws)]
    rf, nt = (
        np.array([captured_share(target, best(target, W)) for W in weights]) for best in (rf_function, nt_function)
    )
    return pd.DataFrame(
        {
            "rank": np.arange(1, d + 1),
            "eigenvalue": target.eigenvalues,
            "RF": rf.mean(axis=0),
            "RF_law": rf_captured_limit(target, N),
            "NT": nt.mean(axis=0),
            "NT_std": nt.std(axis=0, ddof=1) if draws > 1 else np.nan,
            "NT_law": nt_captured_limit(target, N),
            "NN": captured_share(target, fit.function),
        }
    )


class GapRisks(NamedTuple):
    """Risks on a gap target, over its null risk."""

    lines: pd.DataFrame  # N, NN, NT: the infimum, and the exact mean over isotropic weights
    dots: pd.DataFrame  # N, draw, NT: exact, of drawn weights
    trained: float  # a network of width N trained by SGD
    N: int
    ratio: float


def gap_risks(d: int, N: int, ratio: float, seed: int, *, draws: int = 4, n_samples: int | None = None) -> GapRisks:
    """Risks at all widths on the gap target for width *N*."""
    target = gap_target(d, N, ratio)
    null = target.null_risk
    widths = range(1, d)
    lines = pd.DataFrame(
        [(n, nn_risk(target, n) / null, nt_risk_limit(target, n, refined=True) / null) for n in widths],
        columns=["N", "NN", "NT"],
    )
    some = sorted({N, *(max(1, min(d - 1, round(n))) for n in np.geomspace(1, 0.9 * d, 8))})
    dots = pd.DataFrame(
        [
            (n, draw, nt_risk(target, draw_weights(n, d, rng=np.random.SeedSequence([seed, n, draw]))) / null)
            for n in some
            for draw in range(draws)
        ],
        columns=["N", "draw", "NT"],
    )
    samples = _SAMPLES if n_samples is None else n_samples
    # One direction has nearly all of the variance, so that errors have heavy tails, which small minibatches feel.
    fit = fit_nn(target, N, n_samples=samples, batch_size=max(100, 2 * d), rng=seed, n_records=2)
    return GapRisks(lines, dots, float(fit.risk[-1]) / null, N, ratio)
