"""The trained quadratic network as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from fastlazy._core.sgd import State
from fastlazy._support.arguments import Array
from fastlazy.estimators._sklearn import CallbackSupportMixin, Task, checked, generator, with_callbacks
from fastlazy.estimators.parameters import check_network, check_size, given_weights
from fastlazy.training.epochs import Training, network_values, training
from fastlazy.training.stream_steps import Steps, directions, initial_state

from sklearn.base import BaseEstimator, RegressorMixin  # isort: skip
from sklearn.exceptions import ConvergenceWarning  # isort: skip
from sklearn.metrics import r2_score  # isort: skip
from sklearn.utils.metaestimators import available_if  # isort: skip
from sklearn.utils.validation import check_is_fitted  # isort: skip

_DIVERGED = 10.0  # times the larger of the mean squared error at the start and the variance of y
_SOME = 500  # samples that tell the error at the start
_HELD = 10  # samples held back that tell how good an epoch was
_HALVINGS = 30  # of an automatic step: a factor of 1e9


def _has_partial_fit(estimator: Any) -> bool:
    if estimator.early_stopping and not isinstance(estimator.early_stopping, str):
        raise AttributeError(
            "partial_fit does not support early_stopping=True, which judges epochs by a part held back"
        )
    return True


class QuadraticNetworkRegressor(CallbackSupportMixin, RegressorMixin, BaseEstimator):
    """The network f(x) = sum_i a_i <w_i, x>^2 + c, all of it trained by SGD on squared errors.

    Parameters
    ----------
    n_neurons : int
        N; not used if weights are given.
    batch_size : int
        Samples of one step; all of them if there are fewer.
    max_epochs : int
        Passes over the data, at most.
    second_layer : str
        "signs": fixed, +1 and -1 in turn (in `fit_nn`: as of the target's eigenvalues). "ones": a = 1, for functions
        that curve upwards only. "scalar": one trained number. "free": a trained vector.
    step_size : "auto", float or callable
        "auto" needs no tuning: a step that suits the data, lowered in a straight line over max_epochs, and halved
        where training diverges. A float is the step eta of W at all times, a callable gets the fraction of max_epochs
        done, in [0, 1), and returns eta; the second layer and the offset have steps in proportion.
    shuffle : bool
        Whether each epoch has an order of its own.
    tol : float
        Training ends when for n_iter_no_change epochs on end the loss, or with early_stopping the R^2 on the samples
        held back, has not improved by so much.
    n_iter_no_change : int
    early_stopping : bool or "auto"
        Whether to hold back a part of the samples, judge epochs by it, and return the best, or the start if no epoch
        is better. "auto": where that part has ten samples or more; `partial_fit`, which has none, trains on all.
    validation_fraction : float
        That part, in (0, 1).
    warm_start : bool
        Whether a further call of fit goes on from where the last one ended.
    weights : array_like, shape (N, d), optional
        First-layer weights at the start; default random orthogonal ones, small, in pairs that cancel where there are
        neurons of both signs.
    random_state : None, int or RandomState
        For the weights, the order of samples and the part held back.
    parallel : bool
        False: on the calling thread alone, where many fits share the processors.
    verbose : bool
        Print the loss of each epoch. From scikit-learn 1.9 on, its callbacks tell the same.

    Attributes
    ----------
    weights_ : ndarray, shape (N, d)
    second_layer_ : float or ndarray, shape (N,)
        a; a float where one number serves all neurons.
    intercept_ : float
        c.
    n_iter_ : int
        Epochs trained, of this call of fit; of all calls of partial_fit.
    loss_ : float
        The last of loss_curve_.
    best_loss_ : float or None
        The least of them; None with early_stopping.
    loss_curve_ : list of float
        Half the mean squared error of each epoch, each sample just before the step it takes part in, as MLPRegressor
        has it.
    validation_scores_ : list of float or None
        R^2 on the samples held back after each epoch.
    best_validation_score_ : float or None
        The best of them, or that of the start.
    step_size_ : float
        The step eta of W at the start, of the last call of partial_fit; lower than what suits the data if training
        diverged.
    diverged_ : bool
        Whether training ended because it diverged; the network is then the last good one.
    n_features_in_ : int
        d.

    Notes
    -----
    The function is even: for data with a linear part, append a constant to the samples, with
    `PolynomialFeatures(degree=1)` after a `StandardScaler`.

    References
    ----------
    arXiv:1906.08899, the class NN of eq. (1), fitted to samples.
    """

    def __init__(
        self,
        n_neurons: int = 100,
        *,
        batch_size: int = 100,
        max_epochs: int = 200,
        second_layer: str = "signs",
        step_size: Any = "auto",
        shuffle: bool = True,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        weights: Any = None,
        random_state: Any = None,
        parallel: bool = True,
        verbose: bool = False,
    ) -> None:
        self.n_neurons = n_neurons
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.second_layer = second_layer
        self.step_size = step_size
        self.shuffle = shuffle
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.weights = weights
        self.random_state = random_state
        self.parallel = parallel
        self.verbose = verbose

    @with_callbacks
    def fit(self, X: Any, y: Any) -> QuadraticNetworkRegressor:
        """The estimator, trained.

        Parameters
        ----------
        X : array_like, shape (n, d)
            Samples; float32 is kept and is the precision of the run, all else becomes float64.
        y : array_like, shape (n,)
            Responses.

        Returns
        -------
        self

        Warns
        -----
        ConvergenceWarning
            If training diverges.

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data is not what it must be.
        """
        check_network(self)
        goes_on = self.warm_start and hasattr(self, "weights_")
        X, y = checked(self, X, y=y, reset=not goes_on)
        task = Task.fit(self, self.max_epochs, X=X, y=y)
        rng = generator(self.random_state)
        held: tuple[Array, Array] | None = None
        count = max(1, int(self.validation_fraction * len(X)))
        if self.early_stopping is True or (isinstance(self.early_stopping, str) and count >= _HELD):
            order = rng.permutation(len(X))
            if len(X) - count < 1:
                raise ValueError(
                    f"early_stopping=True holds back {count} of {len(X)} samples and leaves none; pass more samples"
                )
            held = X[order[:count]], y[order[:count]]
            X, y = np.ascontiguousarray(X[order[count:]]), y[order[count:]]
        self._see(X, y, rng, not goes_on)
        self._clear(held is not None)
        with self._training(X, y) as run:
            self._run(run, rng, held, task)
        task.end(dict)
        return self

    @available_if(_has_partial_fit)
    def partial_fit(self, X: Any, y: Any) -> QuadraticNetworkRegressor:
        """The estimator, trained for one more epoch on these samples.

        Parameters
        ----------
        X : array_like, shape (n, d)
        y : array_like, shape (n,)

        Returns
        -------
        self

        Warns
        -----
        ConvergenceWarning
            If training diverges.

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data is not what it must be.
        """
        check_network(self)
        first = not hasattr(self, "weights_")
        X, y = checked(self, X, y=y, reset=first)
        rng = self.__dict__.setdefault("_rng", generator(self.random_state))
        if first:
            self._clear(False)
        self.diverged_ = False
        self._see(X, y, rng, first)
        with self._training(X, y) as run:
            loss = self._epoch(run, rng, 0.0)
            if loss is not None:
                self._record(loss)
            self.__dict__.update(self._attributes(run))
        return self

    def predict(self, X: Any) -> Array:
        """The values of the network.

        Parameters
        ----------
        X : array_like, shape (n, d)

        Returns
        -------
        ndarray, shape (n,)

        Raises
        ------
        NotFittedError, ValueError
            If the estimator is not fitted, or X is not what it was fitted to.
        """
        check_is_fitted(self)
        X = checked(self, X, reset=False)
        return network_values(X, self.weights_, self.second_layer_, self.intercept_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # an even function
        return tags

    def _clear(self, held: bool) -> None:
        """Set the records as they are before the first epoch."""
        self.n_iter_, self.diverged_ = 0, False
        self.loss_curve_: list[float] = []
        self.best_loss_: float | None = None if held else np.inf
        self.validation_scores_: list[float] | None = [] if held else None
        self.best_validation_score_: float | None = None

    def _see(self, X: Array, y: Array, rng: np.random.Generator, first: bool) -> None:
        """Learn from samples how large things are, before training on them; start, or start anew, where need be."""
        for name, array in (("X", X), ("y", y)):
            check_size(name, array, X.dtype, 1e15 if X.dtype == np.float32 else 1e30)
        d = X.shape[1]
        W = given_weights(self, d, np.float64)
        if first:
            self._steps = Steps(directions(int(self.n_neurons), d, self.second_layer, rng) if W is None else W)
        steps = self._steps
        steps.see(X, y, 0.0 if first else self._squares(X, y), rng)
        if first or (W is None and steps.lost(self._rows())):
            state = initial_state(X, steps.small_rows() if W is None else W, self.second_layer)
            if W is not None:  # with weights that are given the offset starts at the mean of y
                state = state._replace(c=0.0)
            self.__dict__.update(_named(state, steps.moments.y_mean, self.second_layer, X.dtype))
        squares = self._squares(X, y)
        steps.suit(self._rows(), np.sqrt(squares))
        smallest = float(np.finfo(np.float32).tiny)
        self._bound = _DIVERGED * max(squares, steps.moments.y_variance, float(y.var(dtype=np.float64)), smallest)

    def _squares(self, X: Array, y: Array) -> float:
        """The mean squared error on some of the samples."""
        values = network_values(X[:_SOME], self.weights_, self.second_layer_, self.intercept_)
        return float(np.mean((values.astype(np.float64) - y[:_SOME]) ** 2))

    def _rows(self) -> Array:
        """a_i w_i (N, d)."""
        return np.asarray(self.second_layer_, np.float64)[..., None] * self.weights_

    def _training(self, X: Array, y: Array) -> AbstractContextManager[Training]:
        """A `Training` on responses less a constant, in which float32 would lose digits."""
        self._shift = float(y.mean(dtype=np.float64))
        single = np.ndim(self.second_layer_) == 0
        gain = float(self.second_layer_) if single else 1.0
        a = np.ones(len(self.weights_)) if single else np.asarray(self.second_layer_, np.float64)
        state = State(self.weights_.astype(np.float64), a, gain, self.intercept_ - self._shift)
        centred = (y - self._shift).astype(X.dtype)
        return training(X, centred, state, self.second_layer, self.batch_size, parallel=self.parallel)

    def _run(self, run: Training, rng: np.random.Generator, held: tuple[Array, Array] | None, task: Task) -> None:
        """Train until there is no more to gain, and keep the last network or the best."""
        waited, best, start = 0, run.saved(), True
        if held is not None:  # what training must beat
            self.best_validation_score_ = self._score(run, held)
        for epoch in range(self.max_epochs):
            part = task.part("epoch")
            loss = self._epoch(run, rng, epoch / self.max_epochs)
            if loss is None:
                part.end(dict)
                break
            self._record(loss)
            if held is None:
                assert self.best_loss_ is not None
                waited = waited + 1 if self.loss_ > self.best_loss_ - self.tol else 0
                self.best_loss_ = min(self.best_loss_, self.loss_)
            else:
                assert self.validation_scores_ is not None
                assert self.best_validation_score_ is not None
                score = self._score(run, held)
                self.validation_scores_.append(score)
                waited = waited + 1 if score < self.best_validation_score_ + self.tol else 0
                if score > self.best_validation_score_:
                    self.best_validation_score_, best, start = score, run.saved(), False
            if self.verbose:
                after = f", R^2 held back {self.validation_scores_[-1]:.4f}" if self.validation_scores_ else ""
                print(f"[{type(self).__name__}] epoch {epoch + 1}, loss {self.loss_:.6g}{after}")
            stop = part.end(lambda: self._attributes(run))
            if stop or waited > self.n_iter_no_change:
                break
        if held is not None and self.validation_scores_:
            run.restore(best)
            if start and not self.warm_start and np.ptp(held[1]) > 0:
                warnings.warn(
                    "no epoch did better than a constant on the samples held back, which is returned; an even function "
                    "sees no linear part of y: put PolynomialFeatures(1) after the StandardScaler",
                    ConvergenceWarning,
                    stacklevel=4,
                )
        self.__dict__.update(self._attributes(run))

    def _epoch(self, run: Training, rng: np.random.Generator, fraction: float) -> float | None:
        """The loss of one more epoch, or None if it diverged, which is then undone."""
        n = len(run.data[0])
        before = run.saved()
        order = rng.permutation(n) if self.shuffle else np.arange(n)
        for attempt in range(_HALVINGS):
            rates = self._steps.rates(min(self.batch_size, n), fraction, self.step_size)
            if fraction == 0 or attempt > 0:
                self.step_size_ = float(rates[0])
            loss = run.epoch(order, rates)
            if np.isfinite(loss) and loss <= self._bound and run.finite():
                return loss
            run.restore(before)
            if not isinstance(self.step_size, str):
                break
            self._steps.halve()
        self.diverged_ = True
        warnings.warn(
            f"training diverged in epoch {self.n_iter_ + 1}; the network is that of the epoch before. Pass a smaller "
            "step_size, or 'auto', and standardise the samples",
            ConvergenceWarning,
            stacklevel=4,
        )
        return None

    def _record(self, squares: float) -> None:
        self.loss_ = squares / 2
        self.loss_curve_.append(self.loss_)
        self.n_iter_ += 1

    def _score(self, run: Training, held: tuple[Array, Array]) -> float:
        found = self._attributes(run)
        values = network_values(held[0], found["weights_"], found["second_layer_"], found["intercept_"])
        if len(held[1]) < 2:  # R^2 is not defined
            return -float(np.mean((values - held[1]) ** 2))
        return float(r2_score(held[1], values))

    def _attributes(self, run: Training) -> dict[str, Any]:
        return _named(run.state(), self._shift, self.second_layer, run.data[0].dtype)


def _named(state: State, shift: float, second_layer: str, dtype: Any) -> dict[str, Any]:
    """The fitted attributes that a network has."""
    single = second_layer in ("ones", "scalar")
    return {
        "weights_": np.ascontiguousarray(state.W, dtype),
        "second_layer_": state.gain if single else (state.gain * state.a).astype(dtype),
        "intercept_": state.c + shift,
    }
