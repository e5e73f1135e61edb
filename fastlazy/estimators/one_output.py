"""The network of one output as the estimators train it: its start, its epochs, when they end, and their records."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

from fastlazy._core.sgd import State
from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.estimators._sklearn import Task
from fastlazy.estimators.parameters import check_size, given_weights
from fastlazy.training.epochs import Training, network_values, training
from fastlazy.training.sigma_steps import SigmaSteps, block_directions
from fastlazy.training.stream_steps import Steps, directions, initial_state

from sklearn.exceptions import ConvergenceWarning  # isort: skip
from sklearn.metrics import r2_score  # isort: skip

_DIVERGED = 10.0  # times the larger of the mean squared error at the start and the variance of y
_SOME = 500  # samples that tell the error at the start
_HALVINGS = 30  # of an automatic step: a factor of 1e9


class Samples(NamedTuple):
    """Samples with one response each, and what their squared errors count."""

    X: Array  # (n, d)
    y: Array  # (n,)
    weight: Array | None = None  # (n,), positive; None: all count 1

    def rows(self, chosen: Any) -> Samples:
        """Those of the *chosen* rows, in contiguous memory."""
        parts = (None if part is None else np.ascontiguousarray(part[chosen]) for part in self)
        return Samples(*parts)  # type: ignore[arg-type]

    @property
    def relative(self) -> Array | None:
        """The weights over their mean, float64."""
        if self.weight is None:
            return None
        weight = self.weight / self.weight.max()  # no sum of these overflows
        return np.asarray(weight / weight.mean(), np.float64)

    @property
    def mean(self) -> float:
        """The mean of y."""
        return _mean(self.y, self.weight)

    @property
    def variance(self) -> float:
        """The variance of y."""
        if self.weight is None:
            return float(self.y.var(dtype=np.float64))
        return _mean((self.y.astype(np.float64) - self.mean) ** 2, self.weight)

    def batch(self, size: int) -> float:
        """The samples of minibatches of *size*, as the noise of a step counts them.

        Where all samples are one minibatch a weight counts as that many samples, as if they were repeated. Where they
        are not, unequal weights leave fewer: b (sum s)^2 / (n sum s^2).
        """
        n, b = len(self.y), min(size, len(self.y))
        if self.weight is None:
            return b
        if n <= size:
            with np.errstate(over="ignore"):
                return float(min(size, max(n, np.sum(self.weight, dtype=np.float64))))
        return max(1e-3, b / float(np.mean(self.relative**2)))  # type: ignore[operator]


class OneOutput:
    """A network in training.

    Parameters
    ----------
    activation : Activation
        sigma.
    """

    weights: Array  # (N, d)
    second_layer: float | Array  # a, a number or (N,)
    intercept: float  # c
    rng: np.random.Generator  # for the start and the order of samples

    def __init__(self, activation: Activation) -> None:
        self.activation = activation
        self.clear(False)

    def clear(self, held: bool) -> None:
        """Set the records as they are before the first epoch, in place; *held* says whether samples are held back."""
        self.n_iter, self.diverged = 0, False
        self.loss_curve: list[float] = []
        self.best_loss: float | None = None if held else np.inf
        self.validation_scores: list[float] | None = [] if held else None
        self.best_validation_score: float | None = None

    def see(self, model: Any, samples: Samples, first: bool) -> None:
        """Learn from samples how large things are, before training on them; start, or start anew, where need be."""
        X = samples.X
        for name, array in (("X", X), ("y", samples.y)):
            check_size(name, array, X.dtype, 1e15 if X.dtype == np.float32 else 1e30)
        W = given_weights(model, X.shape[1], np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # a network of infinite errors starts anew
            if self.activation.is_square:
                self._see_squares(model, samples, first, W)
            else:
                self._see(model, samples, first, W)
        smallest = float(np.finfo(np.float32).tiny)
        self._bound = _DIVERGED * max(self._squares(samples), self._y_variance, samples.variance, smallest)

    def _see_squares(self, model: Any, samples: Samples, first: bool, W: Array | None) -> None:
        """As `see`, for x^2."""
        X, y, _ = samples
        if first:
            N = int(model.n_neurons)
            self.steps: Any = Steps(directions(N, X.shape[1], model.second_layer, self.rng) if W is None else W)
        steps: Steps = self.steps
        steps.see(X, y, 0.0 if first else self._squares(samples), self.rng, samples.relative)
        if first or (W is None and steps.lost(self._rows())):
            state = initial_state(X, steps.small_rows() if W is None else W, model.second_layer, samples.relative)
            if W is not None:  # with weights that are given the offset starts at the mean of y
                state = state._replace(c=0.0)
            self._take(state, steps.moments.y_mean, model.second_layer, X.dtype)
        steps.suit(self._rows(), np.sqrt(self._squares(samples)))
        self._y_variance = steps.moments.y_variance

    def _see(self, model: Any, samples: Samples, first: bool, W: Array | None) -> None:
        """As `see`, for any other sigma."""
        X, y, _ = samples
        layer = model.second_layer
        if first:
            rows = W
            if rows is None:
                rows = block_directions(int(model.n_neurons), X.shape[1], layer in ("signs", "free"), self.rng)
            self.steps = SigmaSteps(rows, self.activation, layer, W is not None)
        steps: SigmaSteps = self.steps
        steps.see(X, y, samples.relative, self.rng)
        if first or (W is None and steps.lost(self.weights, self._second(), self.intercept)):
            state = steps.start()
            if W is not None:
                state = state._replace(c=0.0)
            self._take(state, steps.moments.y_mean, layer, X.dtype)
        steps.suit(self.weights.astype(np.float64), self._second(), np.sqrt(self._squares(samples)))
        self._y_variance = steps.moments.y_variance

    def run(
        self, model: Any, samples: Samples, held: Samples | None, task: Task, attributes: Callable[[], dict[str, Any]]
    ) -> None:
        """Train until there is no more to gain, and keep the last network or the best.

        *task* is told of every epoch; *attributes* make a fitted estimator of this state.
        """
        self.clear(held is not None)
        with self._training(model, samples) as run:
            waited, best, start = 0, run.saved(), True
            if held is not None:  # what training must beat
                self.best_validation_score = self._score(held)
            for epoch in range(model.max_epochs):
                part = task.part("epoch")
                if not self._epoch(model, run, samples, epoch / model.max_epochs, 6):
                    part.end(dict)
                    break
                loss = self.loss_curve[-1]
                if held is None:
                    assert self.best_loss is not None
                    waited = waited + 1 if loss > self.best_loss - model.tol else 0
                    self.best_loss = min(self.best_loss, loss)
                else:
                    assert self.validation_scores is not None
                    assert self.best_validation_score is not None
                    score = self._score(held)
                    self.validation_scores.append(score)
                    waited = waited + 1 if score < self.best_validation_score + model.tol else 0
                    if score > self.best_validation_score:
                        self.best_validation_score, best, start = score, run.saved(), False
                if model.verbose:
                    after = f", R^2 held back {self.validation_scores[-1]:.4f}" if self.validation_scores else ""
                    print(f"[{type(model).__name__}] epoch {epoch + 1}, loss {loss:.6g}{after}")
                if part.end(attributes) or waited > model.n_iter_no_change:
                    break
            if held is not None and self.validation_scores:
                run.restore(best)
                self._keep(run, model.second_layer)
                if start and not model.warm_start and np.ptp(held.y) > 0:
                    warnings.warn(self._no_gain(), ConvergenceWarning, stacklevel=5)

    def part(self, model: Any, samples: Samples) -> None:
        """Train for one more epoch."""
        self.diverged = False
        with self._training(model, samples) as run:
            self._epoch(model, run, samples, 0.0, 5)

    def values(self, X: Array) -> Array:
        """f(x) for the rows of X."""
        return network_values(X, self.weights, self.second_layer, self.intercept, self.activation)

    def _no_gain(self) -> str:
        text = "no epoch did better than a constant on the samples held back, which is returned"
        if self.activation.is_square:
            text += "; an even function sees no linear part of y: put PolynomialFeatures(1) after the StandardScaler"
        return text

    def _second(self) -> Array:
        """The second layer a (N,), float64."""
        return np.broadcast_to(np.asarray(self.second_layer, np.float64), len(self.weights))

    def _rows(self) -> Array:
        """a_i w_i (N, d)."""
        return np.asarray(self.second_layer, np.float64)[..., None] * self.weights

    def _squares(self, samples: Samples) -> float:
        """The mean squared error on some of the samples; infinite where a value overflows."""
        X, y, weight = samples
        try:
            values = self.values(X[:_SOME])
        except ValueError:
            return np.inf
        with np.errstate(over="ignore"):
            return _mean((values.astype(np.float64) - y[:_SOME]) ** 2, None if weight is None else weight[:_SOME])

    def _score(self, held: Samples) -> float:
        X, y, weight = held
        try:
            values = self.values(X)
        except ValueError:
            return -np.inf
        with np.errstate(over="ignore"):
            if len(y) < 2:  # R^2 is not defined
                return -float(np.mean((values - y) ** 2))
            return float(r2_score(y, values, sample_weight=weight))

    def _training(self, model: Any, samples: Samples) -> AbstractContextManager[Training]:
        """A `Training` on responses less a constant, in which float32 would lose digits.

        For a sigma that is not x^2 they are divided by a power of two, near their size: steps would overflow float32.
        """
        X, y, _ = samples
        self._shift = samples.mean
        self._unit = 1.0
        if not self.activation.is_square:
            size = float(np.sqrt(max(self._y_variance, samples.variance)))
            self._unit = 2.0 ** round(np.log2(size)) if size > 0 else 1.0
        a, gain = self._second() / self._unit, 1.0
        if np.ndim(self.second_layer) == 0:
            a, gain = np.ones(len(a)), float(self.second_layer) / self._unit
        state = State(self.weights.astype(np.float64), a, gain, (self.intercept - self._shift) / self._unit)
        centred = ((y - self._shift) / self._unit).astype(X.dtype)
        relative = samples.relative
        return training(
            X, centred, state, model.second_layer, model.batch_size, activation=self.activation,
            weight=None if relative is None else relative.astype(X.dtype), parallel=model.parallel,
        )  # fmt: skip

    def _epoch(self, model: Any, run: Training, samples: Samples, fraction: float, depth: int) -> bool:
        """Train for one more epoch and record it; False if it diverged, which is then undone.

        *depth* is that of the caller of the estimator, whom a warning is for.
        """
        n = len(samples.y)
        before = run.saved()
        order = self.rng.permutation(n) if model.shuffle else np.arange(n)
        for attempt in range(_HALVINGS):
            with np.errstate(over="ignore", invalid="ignore"):  # steps that are too large diverge, which is told
                rates = self.steps.rates(samples.batch(model.batch_size), fraction, model.step_size)
                loss = run.epoch(order, rates * [self._unit**2, 1, 1]) * self._unit**2
            if fraction == 0 or attempt > 0:
                self.step_size = float(rates[0])
            if np.isfinite(loss) and loss <= self._bound and run.finite() and self._keep(run, model.second_layer):
                self.loss_curve.append(loss / 2)
                self.n_iter += 1
                return True
            run.restore(before)
            if not isinstance(model.step_size, str):
                break
            self.steps.halve()
        self.diverged = True
        warnings.warn(
            f"training diverged in epoch {self.n_iter + 1}; the network is that of the epoch before. Pass a smaller "
            "step_size, or 'auto', and standardise the samples",
            ConvergenceWarning,
            stacklevel=depth,
        )
        return False

    def _keep(self, run: Training, second_layer: str) -> bool:
        """Take over the network of a run, in place; False if it is finite in the units of the run alone."""
        state, dtype = run.state(), run.data[0].dtype
        with np.errstate(over="ignore"):
            state = state._replace(gain=state.gain * self._unit, c=state.c * self._unit)
            largest = np.abs(state.gain * state.a).max()
        if not (largest <= np.finfo(dtype).max and np.isfinite(state.c)):
            return False
        self._take(state, self._shift, second_layer, dtype)
        return True

    def _take(self, state: State, shift: float, second_layer: str, dtype: Any) -> None:
        """Take over the network *state*, its offset *shift* more, in place."""
        self.weights = np.ascontiguousarray(state.W, dtype)
        single = second_layer in ("ones", "scalar")
        self.second_layer = state.gain if single else (state.gain * state.a).astype(dtype)
        self.intercept = state.c + shift


def _mean(values: Array, weight: Array | None) -> float:
    """The mean of *values* (n,), by *weight* (n,) if there is any."""
    if weight is None:
        return float(values.mean(dtype=np.float64))
    return float(np.average(values.astype(np.float64), weights=weight / weight.max()))
