"""What the page of ``fastlazy explore`` holds, at each position of its sliders. Targets in, a dictionary for JSON out.

Isotropic weights know no directions. So the mean risk of RF and of NT, over the null risk, is (1 - m) s_0 + m s_1 with
m = (tr B)^2 / (d |B|^2), where s_0 is that on a target without a trace and s_1 that on B = I; and the mean share that
is captured of an eigendirection is 1 - s_0 + (s_0 - s_1) tr(B) / (d lambda) (`fastlazy.risk.captured`). Two numbers for
each sigma and N serve every spectrum, and the page computes the rest from them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy._support.threads import one_blas_thread
from fastlazy._version import __version__
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import get_activation
from fastlazy.figures.lazy_runs import SCALES
from fastlazy.risk.captured import eigendirections, shares, without_trace
from fastlazy.risk.limits import nt_risk_limit, rf_risk_limit
from fastlazy.sweeps.regimes import NN, NT, RF, Regime
from fastlazy.targets.library import (
    exponential_target,
    identity_target,
    power_law_target,
    spiked_target,
)
from fastlazy.targets.quadratic import QuadraticTarget, quadratic_form
from fastlazy.targets.weights import draw_weights

SIGMAS = {
    "square": "x²",
    "relu": "ReLU",
    "gelu": "GELU",
    "softplus": "softplus",
    "cos": "cos",
    "exp": "exp",
    "tanh": "tanh",
    "step": "step",
}
UNIT = 1e-4  # of shares under lazy scaling, which the page holds as integers of two bytes
_PER_DECADE = 20  # widths in each factor of ten
_DASHES = {"-": "none", "--": "9 5", "-.": "10 4 2 4", ":": "2 4"}  # of SVG, by matplotlib's names


def explore_data(d: int, seed: int) -> dict[str, Any]:
    """All that the page shows, of dimension *d*; the exponential spectrum and the weights W_0 are drawn.

    "lazy_shares" is the base64 of little-endian integers of two bytes, in units of `UNIT` and clipped to what these
    can hold: for each spectrum, width below d and scale one for each eigendirection.
    """
    widths = _widths(d)
    spectra = spectra_of(d, seed)
    W = draw_weights(d, d, rng=seed)
    with one_blas_thread():  # more of them cost matrices this small more than they give
        narrow = widths[: widths.index(d)]
        reached = [[lazy_optimum(target, W[:N], SCALES) for N in narrow] for *_, target in spectra.values()]
    of_directions = np.array([[captured for _, captured in row] for row in reached])
    return {
        "version": __version__,
        "d": d,
        "seed": seed,
        "widths": widths,
        "scales": SCALES,
        "lines": {regime.name: _drawn_as(regime) for regime in (RF, NT, NN)},
        "spectra": [
            {
                "name": name,
                "label": label,
                "law": law,
                "eigenvalues": target.eigenvalues.tolist(),
                "lazy_risk": [[round(float(risk), 8) for risk in risks] for risks, _ in row],
            }
            for (name, (label, law, target)), row in zip(spectra.items(), reached, strict=True)
        ],
        "sigmas": [_sigma(name, d, widths) for name in SIGMAS],
        "share_unit": UNIT,
        "lazy_shares": _packed(of_directions),
    }


def spectra_of(d: int, seed: int) -> dict[str, tuple[str, str, QuadraticTarget]]:
    """The targets of the page by name, each after its label there and its law; all have B >= 0."""
    spikes = max(1, d // 20)
    return {
        "exponential": ("exponential", "λ iid Exp(1)", exponential_target(d, rng=seed)),
        "root": ("1/√k", "power law, λₖ = 1/√k", power_law_target(d, exponent=0.5)),
        "power": ("1/k", "power law, λₖ = 1/k", power_law_target(d)),
        "spiked": ("spiked", f"{spikes} of λ = 10, rest 1", spiked_target(d, n_spikes=spikes)),
        "flat": ("flat", "all λ = 1", identity_target(d)),
    }


def lazy_optimum(target: QuadraticTarget, W: Array, scales: list[float]) -> tuple[Array, Array]:
    """The least risk (k,) of alpha (f - f_0) + c over the null risk, and the shares (k, d) that it captures.

    (Ours.) The network has a = 1 and the rows W (N, d) at its start, N < d, and B >= 0. Then the best alpha S is what
    B + alpha S_0 has in its N largest eigenvalues, and the rest is what is left of the target (see `lazy_risk`).
    """
    shifted = target.B + np.multiply.outer(scales, quadratic_form(W, np.ones(len(W))))
    values, vectors = np.linalg.eigh(shifted)
    values, vectors = values[:, : -len(W)], vectors[..., : -len(W)]
    along = eigendirections(target).T @ vectors
    left = np.sum(along**2 * values[:, None], axis=-1)
    eigenvalues = target.eigenvalues
    captured = np.array([shares(eigenvalues - row, eigenvalues) for row in left])
    return 2 * np.sum(values**2, axis=1) / target.null_risk, captured


def _widths(d: int) -> list[int]:
    """Widths from 1 to 10 d, evenly on a logarithmic axis, d among them."""
    first = -math.ceil(_PER_DECADE * math.log10(d))
    return sorted({max(1, round(d * 10 ** (step / _PER_DECADE))) for step in range(first, _PER_DECADE + 1)})


def _sigma(name: str, d: int, widths: list[int]) -> dict[str, Any]:
    """The mean risks (s_0, s_1) of RF and NT at each width for one sigma, and what each line is, in words."""
    sigma = get_activation(name)
    square = name == "square"
    notes = {
        "RF": "mean over weights at this d: ours, approximate. As d → ∞: Theorem 1",
        "NT": "mean over weights at this d: ours, approximate, not proved",
        "NN": "no infimum is known for this σ",
        "lazy": "no infimum is known for this σ",
    }
    if square:
        notes |= {
            "NT": "mean over weights at this d: ours, exact. As d → ∞: Theorem 2",
            "NN": "infimum at this width: Theorem 3",
            "lazy": "infimum from drawn W₀: ours, exact. That SGD reaches it is seen",
        }
    tables: dict[str, Array | None] = {"RF": _mean_risks(rf_risk_limit, sigma, d, widths), "NT": None}
    if sigma.derivative is not None:
        tables["NT"] = _mean_risks(nt_risk_limit, sigma, d, widths)
    for line, table in tables.items():
        if table is None:
            notes[line] = "σ jumps: there is no tangent model"
        elif np.all(table == 1):
            notes[line] = "σ has no part of degree two: nothing of B is learned"
    lines = {line: None if table is None else table.tolist() for line, table in tables.items()}
    return {"name": name, "label": SIGMAS[name], "notes": notes, **lines, "NN": square}


def _mean_risks(limit: Callable[..., Any], sigma: Activation, d: int, widths: list[int]) -> Array:
    """The mean risks (s_0, s_1) at each width, shape (k, 2), to eight digits."""
    simple = without_trace(d), identity_target(d)
    risks = [[limit(target, N, sigma, refined=True) / target.null_risk for target in simple] for N in widths]
    return np.round(risks, 8)


def _drawn_as(regime: Regime) -> dict[str, str]:
    """Colour and dashes of the lines of a regime, as in all figures."""
    return {"color": regime.style["color"], "dash": _DASHES[regime.style["linestyle"]]}


def _packed(values: Array) -> str:
    steps = np.clip(np.round(values / UNIT), -(2**15), 2**15 - 1)
    return base64.b64encode(steps.astype("<i2").tobytes()).decode("ascii")
