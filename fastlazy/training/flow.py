"""Gradient flow of the population risk: SGD in the limit of small steps and ever new samples.

The flow moves W by dW/dt = -dR/dW, the second layer by -(1 / (2 tau)) dR/da and the offset by -tau dR/dc, tau the sum
of the moduli of B's eigenvalues: the speeds of `fastlazy.fit_nn`, whose time is the sum of its steps of W. In the
coordinates W, sqrt(2 tau) a and c / sqrt(tau) it is the plain gradient flow, whose Jacobian is symmetric, which the
integrator (`fastlazy.training.chebyshev`) needs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastlazy._support.arguments import (
    Array,
    Seed,
    check_choice,
    check_count,
    check_flag,
    check_real,
    check_rng,
    check_truth,
)
from fastlazy._support.blas import same_bits
from fastlazy.activations.builtin import ActivationLike, check_activation
from fastlazy.risk.network import network_risk
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.training.chebyshev import MOST_STAGES, Chebyshev
from fastlazy.training.classes import Learned, check_trained_on, warn_of_one_sign
from fastlazy.training.fit import Fit
from fastlazy.training.flow_run import Choices, Run, start_flow
from fastlazy.training.loop import TRAINED
from fastlazy.training.settings import check_callback
from fastlazy.training.start import INITS, hidden_share, warn_of_bend, warn_of_hidden_risk, warn_of_signs

_TOLERANCES = {True: 1e-8, False: 1e-6}  # whether sigma is x^2 or not
_LOST = 1e3  # times the larger of the null risk and the risk at the start, which no flow gets to
_ROUNDING = 1e-13  # of a risk, over the variance that neurons would have if they all agreed
_LONGER = 3.0  # times as long as the longest row now is none of a step that will be taken
_WARNINGS = {
    "unconverged": "nn_flow took {limit} up to the time {time:.6g}, {where}; pass a larger {name}, {remedy}",
    "diverged": "nn_flow found no step short enough at the time {time:.6g}, where the network is too large for "
    "floating point; start with smaller W0 and a0, or a c0 nearer to b0",
}


def nn_flow(
    target: Learned,
    N: int,
    activation: ActivationLike = "square",
    *,
    time: float | None = None,
    tolerance: float | None = None,
    second_layer: str | None = None,
    W0: ArrayLike | None = None,
    a0: ArrayLike | None = None,
    c0: float | None = None,
    rng: Seed = None,
    n_records: int = 50,
    callback: Callable[[Fit], Any] | None = None,
    scale: float | None = None,
    init: str = "orthogonal",
    max_steps: int = 2000,
    max_gradients: int | None = None,
    parallel: bool = True,
) -> Fit:
    """The network of N neurons trained by gradient flow of the population risk, the limit of SGD with small steps.

    Parameters
    ----------
    target : QuadraticTarget or GaussianMixture
    N : int
        Neurons.
    activation : str, Activation or function
        The non-linearity sigma: one without jumps.
    time : float, optional
        When the flow ends. Default: when it has converged, as *tolerance* says.
    tolerance : float, optional
        Without a *time*, the flow ends where the risk falls by less than this share of the null risk in a unit of
        time, for x^2 1 / |B|, |B| the largest modulus of an eigenvalue: see Notes. 0: never, but where the risk is 0
        to rounding. Default: 1e-8 for x^2; 1e-6 for another sigma, whose risk falls ever more slowly.
    second_layer : str, optional
        "ones": a = 1. "signs": fixed, as it starts. "scalar": one trained number. "free": a trained vector. Default
        that of `fit_nn`.
    W0 : array_like, shape (N, d), optional
        First-layer weights at the start; default that of `fit_nn`.
    a0 : float or array_like, shape (N,), optional
        Second layer at the start: any number for "scalar", entries +-1 for "signs", any for "free". Default that of
        `fit_nn`.
    c0 : float, optional
        Offset at the start; default the one that makes the mean error zero.
    rng : None, int, SeedSequence or Generator
        For W0.
    n_records : int
        Times at which the risk is recorded. With a *time* they are equidistant, from 0 on; else they are ends of steps,
        which get longer as the flow gets slower, at most so many.
    callback : callable, optional
        Called with the `Fit` so far at each record, without a *time* after each step; a true answer stops the run.
    scale : float, optional
        alpha > 0 of lazy scaling, as in `fit_nn`.
    init : str
        "orthogonal": W0 as it says. "symmetric", for "signs" and "free": the N / 2 rows of such a W0 twice, with
        second layers of opposite signs, so that the network starts at zero.
    max_steps : int
        Steps after which the flow ends in any case; a step evaluates the gradient up to 500 times.
    max_gradients : int, optional
        Evaluations of the gradient after which no more steps are begun: the budget of a run. One takes some
        milliseconds and N^2 d / 10^10 seconds on one core, more where rows nearly agree; for x^2 N counts as at most d.
        Default: no bound.
    parallel : bool
        False: on the calling thread alone, for use inside sweeps.

    Returns
    -------
    Fit
        In float64. Its `times` are those of the records, its `samples` zeros. The status is "finished" if the flow has
        reached the time, or has converged, "unconverged" after max_steps or max_gradients, and "diverged" if no step is
        short enough.

    Warns
    -----
    RuntimeWarning
        If the status is "unconverged" or "diverged", or rounding of scale f_0, or of the last risk, is not small beside
        the target.
    UserWarning
        If B has negative eigenvalues, or Delta of a mixture eigenvalues of the other sign, that second layers of one
        sign ("ones", "scalar") cannot learn, for x^2; for another sigma as `fit_nn`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or size, or sigma jumps or has no finite Gaussian moments.

    Notes
    -----
    The flow is dW/dt = -dR/dW, da/dt = -(1 / (2 tau)) dR/da (of a common number: the sum over neurons) and dc/dt =
    -tau dR/dc: `fit_nn` with small steps eta, at the time t that is the sum of its steps of W. Under lazy scaling the
    first two are divided by alpha^2. For another sigma the speeds are Q / (8 F) and Q / 4 in place of 1 / (2 tau) and
    tau, Q and F as in `fastlazy.training.steps`.

    -dR/dt is the squared length of the gradient, weighted by these speeds; over |B| times the null risk (times
    Q / (4 tau), which is 1 for x^2) it is what *tolerance* bounds, and does not depend on the target's scale. (Where
    B = 0, it is measured by its value at the start.) A risk that falls like e^(-2 kappa t) is then within
    tolerance |B| / (2 kappa) of its end, in units of the null risk. Beside a saddle the risk falls slowly, too, which
    looks like an end: a smaller tolerance, or a longer time, shows whether it goes on.

    For a mixture the flow is that of the rows of its modes, dW/dt = -dR/dW Sigma^-1, as the steps of `fit_nn` are, and
    tau and |B| are those of the best quadratic function of N neurons (`fastlazy.training.classes`).
    Where a class has no spread in some direction, as in that of a delta_j = 1, the risk of a sigma with a kink has one
    itself, at rows along that direction. A flow that runs into it goes on in ever more and shorter steps.

    The gradient is exact: for x^2 in closed form, for any other sigma by Hermite series. Steps are those of an explicit
    Runge-Kutta-Chebyshev method of second order, with errors of 1e-4 a step relative to the size of each of W, a and c:
    the risk is off by less than 1e-3 of the null risk on the way, and not at the end.

    References
    ----------
    arXiv:1906.08899, the class NN of eq. (1); Sommeijer, Shampine and Verwer (1998) for the method.

    Examples
    --------
    >>> import fastlazy
    >>> target = fastlazy.exponential_target(20, rng=0)
    >>> flow = fastlazy.nn_flow(target, 5, rng=0)
    >>> flow.status, round(float(flow.risk[-1]) / target.null_risk, 4)
    ('finished', 0.1221)
    >>> round(fastlazy.nn_risk(target, 5) / target.null_risk, 4)
    0.1221
    """
    check_trained_on(target)
    mixture = target if isinstance(target, GaussianMixture) else None
    if second_layer is None:
        second_layer = "ones" if mixture is None else "signs"
    sigma = check_activation(activation)
    choice = check_choice("second_layer", second_layer, TRAINED)
    goal = _Goal(
        time=None if time is None else check_real("time", time, 0.0),
        tolerance=_TOLERANCES[sigma.is_square] if tolerance is None else check_real("tolerance", tolerance, 0.0),
        n_records=check_count("n_records", n_records),
        max_steps=check_count("max_steps", max_steps),
        max_gradients=math.inf if max_gradients is None else check_count("max_gradients", max_gradients),
        callback=check_callback(callback),
    )
    choices = Choices(choice, check_choice("init", init, INITS), scale, W0, a0, c0)
    run = start_flow(target, check_count("N", N), sigma, choices, check_rng(rng))
    if sigma.is_square and choice in ("ones", "scalar"):
        if mixture is None:
            warn_of_signs(run.learned, run.N, choice, target.null_risk)
        else:
            warn_of_one_sign(mixture, run.N, choice, float(run.start[0]))
    if not sigma.is_square:
        # The directions of a mixture that neurons of either sign can learn are a matter of its Delta, not of the bend.
        warn_of_bend(sigma, run.sign if mixture is None else abs(run.sign), choice, a0 is None, stacklevel=3)
    with same_bits(max(run.rows.shape), target.d):  # once, as each gradient asks for it, too
        if goal.time is not None:
            goal = goal._replace(time=min(goal.time * run.unit, 1e300))
        course = _Course(run, goal, check_flag("parallel", parallel))
        status = course.follow()
        course.weigh_end()
    if status in _WARNINGS:
        warnings.warn(_WARNINGS[status].format(**course.words()), RuntimeWarning, stacklevel=2)
    if run.scale is None:  # else that is told at the start
        warn_of_hidden_risk(course.hidden, stacklevel=3)
    return course.fit(status)


def longest(rows: Array) -> float:
    """The largest length of *rows* (k, d)."""
    return math.sqrt(float(np.einsum("ij,ij->i", rows, rows).max()))


class _Goal(NamedTuple):
    """When the flow ends, and what is recorded on the way."""

    time: float | None  # in the unit of the run
    tolerance: float
    n_records: int
    max_steps: int
    max_gradients: float  # or infinity
    callback: Callable[[Fit], Any] | None


class _Record(NamedTuple):
    """One record of a flow."""

    time: float
    risk: float


class _Course:
    """A flow on its way: its integrator and its records."""

    def __init__(self, run: Run, goal: _Goal, parallel: bool) -> None:
        self.run, self.goal = run, goal
        self.steps, self.hidden, self._parallel = 0, 0.0, parallel

        self._most = self._longest = math.inf  # the risk, and the length of a row, of a trial state that is looked at

        def force(y: Array) -> Array:
            lost = np.full_like(y, math.nan)  # makes the step shorter, without the moments of rows of any size
            if self._most < math.inf and not (np.isfinite(y).all() and longest(run.unpack(y)[0]) <= self._longest):
                return lost
            try:
                gradient = run.gradient(y, parallel)
            except ValueError:  # moments overflow
                if self._most == math.inf:
                    raise
                return lost
            self._latest = gradient.risk
            return run.force(gradient) if gradient.risk <= self._most or run.sigma.is_square else lost

        with np.errstate(over="ignore", invalid="ignore"):  # looked for below
            self.flow = Chebyshev(force, run.error, run.y)
            self._unit = self._drop()
        self._risk = self._latest  # of the state of the flow
        if not run.sigma.is_square:
            self._most = _LOST * max(self._risk, run.null_risk or run.variance)
        self._bound_rows()
        self.records: list[_Record] = []
        if not math.isfinite(self._unit):
            raise ValueError("the start is beyond floating point; pass smaller W0 and a0, or a c0 that is nearer to b0")
        self._add()
        moduli = np.abs(run.plain.eigenvalues)
        size = float(moduli.max()) * run.null_risk * run.speeds[2] / (float(moduli.sum()) or 1.0)
        self._unit = size or self._unit or 1.0

    def _bound_rows(self) -> None:
        """Look no more at trial states whose rows are far longer than now: pairs of long rows cost the most."""
        if not self.run.sigma.is_square:
            self._longest = _LONGER * max(longest(self.run.unpack(self.flow.y)[0]), self.run.natural)

    @property
    def gradient(self) -> float:
        """How fast the risk falls, as a share of the null risk in the time 1 / |B|."""
        return self._drop() / self._unit

    def follow(self) -> str:
        """Go to the end; the status there."""
        goal = self.goal
        marks = [math.inf]
        if goal.time is not None:
            marks = np.unique(np.linspace(0, goal.time, max(goal.n_records, 2)))[1:].tolist()
        for mark in marks:
            while self.flow.time < mark:
                status = self._step(mark)
                if status is not None:
                    if self.records[-1].time < self.flow.time:
                        self._add()
                    return status
            if self._record():
                return "stopped"
        return "finished"

    def _step(self, mark: float) -> str | None:
        """Take one step, not past that time; or the status if the flow is at its end."""
        goal = self.goal
        if goal.time is None and (self.gradient <= goal.tolerance or abs(self._risk) <= _ROUNDING * self.run.variance):
            return "finished"
        left = goal.max_gradients - self.flow.evaluations
        if self.steps >= goal.max_steps or left < 2:
            return "unconverged"
        with np.errstate(over="ignore", invalid="ignore"):  # a step whose end is not finite is made shorter
            if not self.flow.step(mark, int(min(left, MOST_STAGES))):
                return "diverged"
        self.steps += 1
        self._risk = self._latest  # a step ends with the force at its end
        self._bound_rows()
        return "stopped" if goal.time is None and self._record() else None

    def weigh_end(self) -> None:
        """Record the risk at the end once more, with fewer cancellations than the gradient's, and its rounding."""
        run = self.run
        if run.sigma.is_square:
            return
        with suppress(ValueError):  # moments overflow
            risk, rounding = run.risk(self.flow.y, self._parallel)
            self.records[-1] = self.records[-1]._replace(risk=risk)
            self.hidden = hidden_share(rounding, risk, run.null_risk)

    def fit(self, status: str) -> Fit:
        """The `Fit` so far."""
        run = self.run
        rows, layer, c = run.unpack(self.flow.y)
        chosen = self.records
        if self.goal.time is None and len(chosen) > max(self.goal.n_records, 2):
            places = np.linspace(0, len(chosen) - 1, max(self.goal.n_records, 2)).round().astype(int)
            chosen = [chosen[place] for place in places]
        return Fit(
            W=run.weights(rows),
            a=self._second(layer),
            c=c * run.unit + run.b0,
            samples=np.zeros(len(chosen), np.int64),
            risk=np.array([record.risk for record in chosen]) * run.unit**2,
            status=status,
            W0=run.weights(run.rows),
            a0=self._second(run.layer, start=True),
            c0=run.c * run.unit + run.b0,
            scale=run.scale,
            times=np.array([record.time for record in chosen]) / run.unit,
            activation=run.sigma,
        )

    def _second(self, layer: Array, start: bool = False) -> float | Array:
        """The second layer as a `Fit` has it."""
        kind = self.run.second_layer
        if kind in ("ones", "scalar"):
            return float(self.run.start[0] if start else layer[0] / self.run.layer_scale)
        return self.run.start.copy() if start or kind == "signs" else layer / self.run.layer_scale

    def _drop(self) -> float:
        """-dR/dt."""
        return float(self.flow.slope @ self.flow.slope)

    def words(self) -> dict[str, Any]:
        """What a warning says of the course."""
        if self.goal.time is None:
            where = f"where the gradient is {self.gradient:.1e} and not below tolerance = {self.goal.tolerance:.1e}"
            remedy = "a larger tolerance, or the time at which to stop"
        else:
            where, remedy = f"which is not time = {self.goal.time / self.run.unit:.6g}", "or a shorter time"
        name = "max_steps" if self.steps >= self.goal.max_steps else "max_gradients"
        limit = f"{name} = {getattr(self.goal, name)} {name.removeprefix('max_')}"
        time = self.flow.time / self.run.unit
        return {"limit": limit, "name": name, "time": time, "where": where, "remedy": remedy}

    def _record(self) -> bool:
        """Record the state; whether the callback ends the run."""
        self._add()
        callback = self.goal.callback
        return callback is not None and check_truth("the answer of callback", callback(self.fit("running")))

    def _add(self) -> None:
        """Add a record of the state."""
        run, risk = self.run, self._risk
        if run.sigma.is_square:  # exact even where it is small
            risk = network_risk(run.frame, *run.unpack(self.flow.y))
        self.records.append(_Record(self.flow.time, max(risk, 0.0)))
