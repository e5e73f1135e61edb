"""The film of ``fastlazy animate``: what training captures of each eigendirection, frame by frame, for sigma = x^2."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, FuncAnimation, PillowWriter
from matplotlib.axes import Axes

from fastlazy._support.arguments import Array
from fastlazy.figures.risk_table import quick_samples
from fastlazy.risk.captured import nt_captured_limit, rf_captured_limit
from fastlazy.sweeps.regimes import NN, NT, RF
from fastlazy.targets.library import exponential_target
from fastlazy.training.fit_nn import fit_nn

ENDINGS = (".gif", ".mp4")
_FRAMES = 72  # at most, of training
_RECORDS = 600  # of which the frames are chosen
_HELD = 15  # how often the last frame is shown
_RATE = 12  # frames a second
_PIXELS = 100  # an inch


class ShareRuns(NamedTuple):
    """Training runs from the same weights and samples under different scales alpha, at F moments."""

    d: int
    N: int
    scales: Sequence[float]
    samples: Array  # (F,)
    captured: Array  # (S, F, d): the share of each eigendirection, descending eigenvalues
    risks: Array  # (S, F): over the null risk
    laws: dict[str, Array]  # (d,) each: what RF and NT of this width capture, as predicted


def share_runs(d: int, N: int, scales: Sequence[float], seed: int) -> ShareRuns:
    """Runs of fit_nn on the exponential target; their frames lie evenly on a logarithmic axis of samples."""
    target = exponential_target(d, rng=seed)
    n_samples = quick_samples(N, d)
    fits = [
        fit_nn(target, N, n_samples=n_samples, rng=seed, scale=scale, n_records=_RECORDS, diagnostics=True)
        for scale in scales
    ]
    length = min(len(fit.samples) for fit in fits)  # a run that diverges is shorter
    later = np.unique(np.geomspace(1, max(length - 1, 1), _FRAMES - 1).round().astype(int))
    chosen = np.concatenate([[0], later])
    chosen = chosen[chosen < length]
    captured = [fit.diagnostics.captured[chosen] for fit in fits if fit.diagnostics is not None]
    risks = [fit.risk[chosen] / target.null_risk for fit in fits]
    laws = {RF.name: rf_captured_limit(target, N), NT.name: nt_captured_limit(target, N, refined=True)}
    return ShareRuns(d, N, scales, fits[0].samples[chosen], np.array(captured), np.array(risks), laws)


def share_frames(runs: ShareRuns) -> FuncAnimation:
    """The animation: a panel for each scale, dots for the network and lines for what RF, NT and NN capture."""
    panels = len(runs.scales)
    figure, grid = plt.subplots(
        1, panels, figsize=(1.2 + 5.2 * panels, 5.2), layout="constrained", sharey=True, squeeze=False
    )
    moving = [_draw_panel(ax, runs, scale) for ax, scale in zip(grid[0], runs.scales, strict=True)]
    grid[0, 0].set_ylabel("share captured")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize="small")
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: panels must not move, and it takes most of the time of a frame

    def show(frame: int) -> list[Any]:
        for k, (dots, told) in enumerate(moving):
            dots.set_ydata(runs.captured[k, frame])
            told.set_text(f"{runs.samples[frame]:,} samples\nrisk {runs.risks[k, frame]:.3f} of null".replace(",", " "))
        return [part for parts in moving for part in parts]

    last = len(runs.samples) - 1
    return FuncAnimation(figure, show, frames=[*range(last + 1), *[last] * _HELD], interval=1000 / _RATE)


def film_writer(path: Path) -> AbstractMovieWriter:
    """What writes a film of the ending of *path*.

    Raises
    ------
    ValueError
        If the ending is another, or ffmpeg is needed and not there.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"the film must end in {' or '.join(ENDINGS)}, got {str(path)!r}; try shares.gif")
    if path.suffix.lower() == ".gif":
        return PillowWriter(fps=_RATE)
    if not FFMpegWriter.isAvailable():
        raise ValueError(
            "ffmpeg, which writes .mp4, is not installed; install it (Debian: apt-get install ffmpeg) or write a .gif"
        )
    return FFMpegWriter(fps=_RATE)


def save_film(animation: FuncAnimation, path: Path) -> None:
    """Write the *animation* to *path*.

    Raises
    ------
    ValueError
        If ffmpeg cannot write it.
    """
    try:
        animation.save(path, writer=film_writer(path), dpi=_PIXELS)
    except (subprocess.CalledProcessError, BrokenPipeError) as error:
        raise ValueError(f"ffmpeg cannot write the film ({error}); write a .gif") from None


def _draw_panel(ax: Axes, runs: ShareRuns, scale: float) -> tuple[Any, Any]:
    """Draw what stands still, in place; what moves: the dots and the text."""
    ranks = np.arange(1, runs.d + 1)
    reached = {**runs.laws, NN.name: (ranks <= runs.N).astype(float)}
    names = {RF.name: "RF, predicted", NT.name: "NT, predicted", NN.name: "NN, infimum"}
    for regime in (RF, NT, NN):
        style = {key: regime.style[key] for key in ("color", "linestyle")}
        ax.plot(ranks, reached[regime.name], **style, linewidth=2, label=names[regime.name])
    dots = ax.plot(
        ranks, runs.captured[0, 0], linestyle="none", marker="o", markersize=5.5, markerfacecolor="white",
        markeredgewidth=1.6, color=NN.style["color"], label="trained by SGD", zorder=3,
    )[0]  # fmt: skip
    paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.9}  # over the line that leaves the panel there
    told = ax.text(0.98, 0.97, "", transform=ax.transAxes, ha="right", va="top", bbox=paper, zorder=4)
    ax.set_ylim(-0.45, 1.45)
    ax.set_yticks([0, 0.5, 1])
    ax.set_xlabel("eigendirection, largest first")
    ax.set_title(f"$\\alpha\\,(f - f_0)$,  $\\alpha$ = {scale:g},  d = {runs.d}, N = {runs.N}", fontsize="medium")
    ax.grid(True, color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    return dots, told
