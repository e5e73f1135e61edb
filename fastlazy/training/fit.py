"""The result of `fastlazy.fit_nn`, and the records of a run of which it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastlazy._core.sgd import State
from fastlazy._support.arguments import Array
from fastlazy.risk.network import network_risk
from fastlazy.targets.quadratic import QuadraticFunction
from fastlazy.training.checkpoint import Progress
from fastlazy.training.diagnostics import Diagnostics, Watch
from fastlazy.training.linearization import network_function
from fastlazy.training.settings import Settings
from fastlazy.training.start import Frame, Start

_DIVERGED = 1e6  # times the larger of the null risk and the risk at the start


@dataclass(frozen=True, eq=False)
class Fit:
    """A trained network and how it got there.

    Attributes
    ----------
    W : ndarray, shape (N, d)
        First-layer weights.
    a : float or ndarray, shape (N,)
        Second layer; a float where one number serves all neurons ("ones", "scalar").
    c : float
        Offset.
    samples : ndarray of int, shape (k,)
        Samples seen at each record, from 0 on.
    risk : ndarray, shape (k,)
        Exact population risk at each record, not divided by the null risk. The last is that
        of (W, a, c), to rounding.
    status : str
        "finished", "stopped" (by the callback) or "diverged" (then the state is the last finite one);
        "running" in what a callback is given.
    W0, a0, c0 : ndarray, float or ndarray, float
        Where it started, shapes as of W, a and c.
    scale : float or None
        alpha of lazy scaling: what is trained, and has this risk, is alpha (f - f_0) + c, f and f_0 the networks
        of W, a and W0, a0 without offset. None: the network itself.
    diagnostics : Diagnostics or None
        How lazy the run was at each record, if asked for.
    """

    W: Array
    a: float | Array
    c: float
    samples: np.ndarray[Any, np.dtype[np.int64]]
    risk: Array
    status: str
    W0: Array
    a0: float | Array
    c0: float
    scale: float | None = None
    diagnostics: Diagnostics | None = None

    @property
    def function(self) -> QuadraticFunction:
        """What was trained, as a function of x.

        Raises
        ------
        ValueError
            If its coefficients are so small or large that their squares are beyond floating point.
        """
        f = network_function(self.W, self.a)
        if self.scale is None:
            return QuadraticFunction(f.B, self.c)
        return QuadraticFunction(self.scale * (f.B - network_function(self.W0, self.a0).B), self.c)


class History:
    """What a run has recorded: samples, risks and diagnostics, and the state recorded last.

    Parameters
    ----------
    settings : Settings
    start : Start
    frame : Frame
        The coordinates of the states.
    state : State
        The first state of the run, which is recorded.

    Raises
    ------
    ValueError
        If the numbers of the start are not finite.
    """

    def __init__(self, settings: Settings, start: Start, frame: Frame, state: State) -> None:
        self._settings, self._start, self._frame, self._state = settings, start, frame, state
        self._watch: Watch | None = None
        if settings.diagnostics:
            self._watch = Watch(settings.target, frame.basis, state, settings.N, start.scale is not None)
        risk, watched = self._look(state)
        if not risk < math.inf:
            raise ValueError(
                f"the start is beyond floating point in dtype {settings.dtype}; pass smaller W0 and a0, or a c0 that "
                "is nearer to b0"
            )
        self.seen = 0  # samples that were seen when this process began: more than 0 after `restore`
        self.samples, self._risks, self._watched = [0], [risk], [watched]
        self._bound = min(_DIVERGED * max(risk, settings.target.null_risk), float(np.finfo(np.float64).max))
        self._first = self._weights(state)

    def record(self, seen: int, state: State) -> bool:
        """Record *state*, after so many samples; or, if the run has diverged, answer False and do not."""
        risk, watched = self._look(state)
        if not risk <= self._bound:
            return False
        self._state = state
        self.samples.append(seen)
        self._risks.append(risk)
        self._watched.append(watched)
        return True

    def fit(self, status: str) -> Fit:
        """The `Fit` so far."""
        scale = self._start.scale
        return Fit(
            *self._weights(self._state), np.array(self.samples), np.array(self._risks), status, *self._first,
            scale=None if scale is None else float(scale),
            diagnostics=self._watch.collect(self._watched) if self._watch else None,
        )  # fmt: skip

    def progress(self, seen: int) -> Progress:
        """What a checkpoint keeps of the records, after so many samples."""
        return Progress(seen, self.samples, self._risks, self._watched, self._state)

    def restore(self, progress: Progress) -> None:
        """Go on from the records that a checkpoint has kept."""
        self.seen, self.samples, self._risks, self._watched, self._state = progress

    def _look(self, state: State) -> tuple[float, Array]:
        """The risk, and a record of the diagnostics; the risk is infinite where any number is not finite."""
        record: Array = np.empty(0)
        with np.errstate(over="ignore", invalid="ignore"):
            risk = _risk(self._frame.target, state)
            if self._watch is not None and risk < math.inf:
                record = self._watch(state)
        return risk if np.isfinite(record).all() else math.inf, record

    def _weights(self, state: State) -> tuple[Array, float | Array, float]:
        """W, the second layer and c of the network whose run is in that *state*."""
        settings, start, basis = self._settings, self._start, self._frame.basis
        rows = self._frame.expand(state.W)
        W = (rows if basis is None else rows @ basis.T) / start.row_scale
        second = {"signs": start.a.copy(), "free": state.a.copy()}.get(settings.second_layer, state.gain)
        return np.ascontiguousarray(W, settings.dtype), second, state.c + settings.target.b0


def _risk(target: QuadraticFunction, state: State) -> float:
    """The exact risk, infinite for a state that is not finite."""
    numbers, arrays = (state.gain, state.c), (state.W, state.a)
    if not all(map(math.isfinite, numbers)) or any(not np.isfinite(array).all() for array in arrays):
        return math.inf
    return network_risk(target, state.W, state.gain * state.a, state.c)
