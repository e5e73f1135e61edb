"""The result of training, and the records of a run of `fastlazy.fit_nn` of which it is made."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._core.sgd import State
from fastlazy._support.arguments import Array, check_array, check_columns
from fastlazy._support.summaries import html_table, one_line
from fastlazy.activations.activation import Activation
from fastlazy.kernels.features import rf_values
from fastlazy.risk import mixture_network
from fastlazy.risk.network import network_risk, network_risk_and_rounding
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction
from fastlazy.training.checkpoint import Progress
from fastlazy.training.classes import Learned
from fastlazy.training.diagnostics import Diagnostics, Watch
from fastlazy.training.linearization import network_function
from fastlazy.training.loop import SQUARE
from fastlazy.training.settings import Settings
from fastlazy.training.start import Frame, Start, hidden_share
from fastlazy.training.trajectory import draw_risk, records_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_AT_ONCE = 100_000  # steps that are summed at a time
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
        Samples seen at each record, from 0 on; for gradient flow zeros.
    risk : ndarray, shape (k,)
        Exact population risk at each record, not divided by the null risk. The last is that
        of (W, a, c), to rounding.
    status : str
        "finished", "stopped" (by the callback), "diverged" (then the state is the last finite one) or, of gradient
        flow, "unconverged" (after its last step); "running" in what a callback is given.
    W0, a0, c0 : ndarray, float or ndarray, float
        Where it started, shapes as of W, a and c.
    scale : float or None
        alpha of lazy scaling: what is trained, and has this risk, is alpha (f - f_0) + c, f and f_0 the networks
        of W, a and W0, a0 without offset. None: the network itself.
    diagnostics : Diagnostics or None
        How lazy the run was at each record, if asked for.
    times : ndarray, shape (k,), or None
        Time at each record: that of gradient flow, or the sum of the steps eta of W that SGD has taken, which is
        the time of the flow that it follows if they are small.
    activation : Activation
        The non-linearity of the network.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> fit = fastlazy.fit_nn(target, 5, n_samples=20_000, rng=0, n_records=3)
    >>> fit.status, fit.samples
    ('finished', array([    0, 10000, 20000]))
    >>> bool(fit.risk[-1] < fit.risk[0])
    True
    >>> X, y = target.sample(100, rng=1)
    >>> fit(X).shape
    (100,)
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
    times: Array | None = None
    activation: Activation = SQUARE

    def __repr__(self) -> str:
        N, d = self.W.shape
        last = {"status": self.status, "risk": float(self.risk[-1])}
        return one_line(self, {"N": N, "d": d, "activation": self.activation.name, **last})

    def _repr_html_(self) -> str:
        N, d = self.W.shape
        kept = "; the state is the last finite one" if self.status == "diverged" else ""
        facts: dict[str, Any] = {
            "N": N,
            "d": d,
            "activation": self.activation.name,
            "second layer": f"{N} numbers" if np.ndim(self.a) else f"{self.a:.6g} for all neurons",
            "dtype": self.W.dtype,
            "status": self.status + kept,
            "samples": f"{self.samples[-1]:,}",
            "risk": f"{self.risk[0]:.6g} at the start, {self.risk[-1]:.6g} at the end",
            "records": f"{len(self.risk)}, {'with' if self.diagnostics else 'without'} diagnostics",
        }
        if self.times is not None:
            facts["time"] = float(self.times[-1])
        if self.scale is not None:
            facts["scale"] = self.scale
        return html_table(type(self).__name__, facts)

    def to_frame(self) -> pd.DataFrame:
        """The records as a table.

        Returns
        -------
        DataFrame
            One row a record, with columns samples, times, risk and those of `Diagnostics` if there are any. Of angles
            and captured, which have several numbers a record: angle_1, ..., angle_m and captured_1, ..., captured_d.

        Raises
        ------
        ImportError
            If pandas cannot be imported.
        """
        return records_of(self)

    def plot(self, *, null_risk: float | None = None, ax: Axes | None = None) -> Axes:
        """Axes with the risk against the samples seen; of gradient flow, against time.

        Parameters
        ----------
        null_risk : float, optional
            Unit of the risk, such as ``target.null_risk``, above 0; default 1.
        ax : Axes, optional
            Where to draw; default a new figure.

        Returns
        -------
        Axes
            A run that diverged, or did not converge, ends with a cross.

        Raises
        ------
        TypeError, ValueError
            If null_risk is no number above 0, or ax no Axes.
        """
        return draw_risk(self, null_risk, ax)

    @property
    def function(self) -> QuadraticFunction:
        """What was trained, as a function of x, for sigma = x^2.

        Raises
        ------
        ValueError
            If its coefficients are so small or large that their squares are beyond floating point, or sigma is not x^2.
        """
        if not self.activation.is_square:
            raise ValueError(
                f"a network of activation {self.activation.name!r} is no quadratic function; call the fit on samples X "
                "for its values, or pass its W, a and c to network_function"
            )
        f = network_function(self.W, self.a)
        if self.scale is None:
            return QuadraticFunction(f.B, self.c)
        return QuadraticFunction(self.scale * (f.B - network_function(self.W0, self.a0).B), self.c)

    def __call__(self, X: ArrayLike) -> Array:
        """The values of what was trained.

        Parameters
        ----------
        X : array_like, shape (n, d)
            Samples.

        Returns
        -------
        ndarray, shape (n,)
            In float64.

        Raises
        ------
        TypeError, ValueError
            If X is not a finite (n, d) array, or a value overflows.
        """
        samples = check_columns("X", check_array("X", X, 2), self.W.shape[1])
        f = _values(samples, self.W, self.a, self.activation)
        if self.scale is not None:
            f = self.scale * (f - _values(samples, self.W0, self.a0, self.activation))
        return f + self.c


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
        self.hidden_risk = 0.0  # the largest share of the null risk that rounding hides in a record
        if settings.diagnostics:
            options = start.scale is not None, settings.activation, settings.n_threads != 1
            self._watch = Watch(settings.learned, frame.basis, state, settings.N, *options)
        risk, watched = self._look(state)
        if not risk < math.inf:
            raise ValueError(
                f"the start is beyond floating point in dtype {settings.dtype}; pass smaller W0 and a0, or a c0 that "
                "is nearer to b0"
            )
        self.seen = 0  # samples that were seen when this process began: more than 0 after `restore`
        self.samples, self._risks, self._watched = [0], [risk], [watched]
        self._times = [0.0]
        self._bound = min(_DIVERGED * max(risk, settings.target.null_risk), float(np.finfo(np.float64).max))
        self._first = self._weights(state)

    def record(self, seen: int, state: State) -> bool:
        """Record *state*, after so many samples; or, if the run has diverged, answer False and do not."""
        risk, watched = self._look(state)
        if not risk <= self._bound:
            return False
        self._state = state
        self._times.append(self._times[-1] + self._elapsed(self.samples[-1], seen))
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
            times=np.array(self._times),
            activation=self._settings.activation,
        )  # fmt: skip

    @property
    def risk(self) -> float:
        """The risk that was recorded last."""
        return self._risks[-1]

    @property
    def hidden(self) -> bool:
        """Whether rounding may hide the linearisation error that was recorded last."""
        return self._watch is not None and self._watch.hidden

    def progress(self, seen: int) -> Progress:
        """What a checkpoint keeps of the records, after so many samples."""
        return Progress(seen, self.samples, self._risks, self._watched, self._state)

    def restore(self, progress: Progress) -> None:
        """Go on from the records that a checkpoint has kept."""
        self.seen, self.samples, self._risks, self._watched, self._state = progress
        self._times = [0.0]
        for before, after in itertools.pairwise(self.samples):
            self._times.append(self._times[-1] + self._elapsed(before, after))

    def _elapsed(self, before: int, after: int) -> float:
        """The sum of the steps of W from so many samples to so many."""
        b, steps = self._settings.b, self._settings.steps
        first, last = (-(-samples // b) for samples in (before, after))
        parts = [np.arange(k, min(k + _AT_ONCE, last)) for k in range(first, last, _AT_ONCE)]
        total = sum(float(np.sum(self._start.rule(part / steps)[:, 0])) for part in parts)
        return total * (self._start.row_scale * self._start.layer_scale) ** 2  # of W itself under lazy scaling

    def _look(self, state: State) -> tuple[float, Array]:
        """The risk, and a record of the diagnostics; the risk is infinite where any number is not finite."""
        record: Array = np.empty(0)
        with np.errstate(over="ignore", invalid="ignore"):
            risk, rounding = _risk(self._frame.target, state, self._settings)
            if self._start.scale is None:  # else that is told at the start
                self.hidden_risk = max(self.hidden_risk, hidden_share(rounding, risk, self._settings.target.null_risk))
            if self._watch is not None and risk < math.inf:
                try:
                    record = self._watch(state)
                except ValueError:  # moments of sigma overflow
                    return math.inf, record
        return risk if np.isfinite(record).all() else math.inf, record

    def _weights(self, state: State) -> tuple[Array, float | Array, float]:
        """W, the second layer and c of the network whose run is in that *state*."""
        settings, start, back = self._settings, self._start, self._frame.back
        rows = self._frame.expand(state.W)[: settings.N]
        W = (rows if back is None else rows @ back) / start.row_scale
        W = W if start.outside is None else W + start.outside
        layers = {"signs": start.a[: settings.N], "free": state.a[: settings.N]}
        second = layers.get(settings.second_layer, state.gain) / start.layer_scale
        return np.ascontiguousarray(W, settings.dtype), second, state.c + settings.b0


def _risk(target: Learned, state: State, settings: Settings) -> tuple[float, float]:
    """The exact risk, and how far rounding puts it off where sigma is not x^2.

    The risk is infinite for a state that is not finite, or so large that moments of sigma overflow.
    """
    numbers, arrays = (state.gain, state.c), (state.W, state.a)
    if not all(map(math.isfinite, numbers)) or any(not np.isfinite(array).all() for array in arrays):
        return math.inf, 0.0
    second = state.gain * state.a
    if isinstance(target, GaussianMixture):
        try:
            return mixture_network.network_risk(
                target, state.W, second, state.c, settings.activation, settings.n_threads != 1
            )
        except ValueError:
            return math.inf, 0.0
    if settings.activation.is_square:
        return network_risk(target, state.W, second, state.c), 0.0
    try:
        return network_risk_and_rounding(target, state.W, second, state.c, settings.activation, settings.n_threads != 1)
    except ValueError:
        return math.inf, 0.0


def _values(X: Array, W: Array, a: float | Array, activation: Activation) -> Array:
    """sum_i a_i sigma(<w_i, x>) (n,)."""
    layer = np.broadcast_to(np.asarray(a, np.float64), len(W))[None]
    return rf_values(X, W.astype(np.float64), layer, activation)[:, 0]
