"""The trained quadratic network as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastlazy._sklearn import CallbackSupportMixin, Task, check_scalar, checked, generator, with_callbacks
from fastlazy._validate import Array, check_array, check_choice
from fastlazy.epochs import State, Training, initial_state, network_values, scales, training

from sklearn.base import BaseEstimator, RegressorMixin  # isort: skip
from sklearn.exceptions import ConvergenceWarning  # isort: skip
from sklearn.metrics import r2_score  # isort: skip
from sklearn.utils.metaestimators import available_if  # isort: skip
from sklearn.utils.validation import check_is_fitted  # isort: skip

_SECOND_LAYERS = ("ones", "signs", "scalar", "free")
_DIVERGED = 10.0  # times the larger of the mean squared error at the start and the variance of y
_SOME = 500  # samples that tell the error at the start
_HALVINGS = 30  # of an automatic step: a factor of 1e9


def _has_partial_fit(estimator: Any) -> bool:
    if estimator.early_stopping:
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
        "signs": fixed, one half +1 and one half -1. "ones": a = 1, for functions that curve upwards only. "scalar": one
        trained number. "free": a trained vector.
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
    early_stopping : bool
        Whether to hold back a part of the samples, judge epochs by it, and return the best.
    validation_fraction : float
        That part, in (0, 1).
    warm_start : bool
        Whether a further call of fit goes on from where the last one ended.
    weights : array_like, shape (N, d), optional
        First-layer weights at the start; default random orthogonal ones of the size that suits the data.
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
    step_size_ : float
        The step eta of W at the start; lower than what suits the data if training diverged.
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
        early_stopping: bool = False,
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
        self._check_parameters()
        goes_on = self.warm_start and hasattr(self, "weights_")
        X, y = checked(self, X, y=y, reset=not goes_on)
        task = Task.fit(self, self.max_epochs, X=X, y=y)
        rng = generator(self.random_state)
        held: tuple[Array, Array] | None = None
        if self.early_stopping:
            order = rng.permutation(len(X))
            count = max(1, int(self.validation_fraction * len(X)))
            if len(X) - count < 1:
                raise ValueError(
                    f"early_stopping=True holds back {count} of {len(X)} samples and leaves none; pass more samples"
                )
            held = X[order[:count]], y[order[:count]]
            X, y = np.ascontiguousarray(X[order[count:]]), y[order[count:]]
        self._start(X, y, rng, goes_on)
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
        self._check_parameters()
        first = not hasattr(self, "weights_")
        X, y = checked(self, X, y=y, reset=first)
        if first:
            self._rng = generator(self.random_state)
            self._start(X, y, self._rng, goes_on=False)
        rng = self.__dict__.setdefault("_rng", generator(self.random_state))
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

    def _check_parameters(self) -> None:
        counts = {"n_neurons": self.n_neurons, "batch_size": self.batch_size, "max_epochs": self.max_epochs}
        for name, value in {**counts, "n_iter_no_change": self.n_iter_no_change}.items():
            check_scalar(value, name, (int, np.integer), min_val=1)
        check_scalar(self.tol, "tol", (float, int), min_val=0)
        check_scalar(
            self.validation_fraction,
            "validation_fraction",
            (float,),
            min_val=0,
            max_val=1,
            include_boundaries="neither",
        )
        check_choice("second_layer", self.second_layer, _SECOND_LAYERS)
        if not callable(self.step_size) and not (isinstance(self.step_size, str) and self.step_size == "auto"):
            check_scalar(self.step_size, "step_size", (float, int), min_val=0)

    def _start(self, X: Array, y: Array, rng: np.random.Generator, goes_on: bool) -> None:
        """Set the network, the steps and the records as they are before the first epoch."""
        if not goes_on:
            mean = float(y.mean(dtype=np.float64))
            state = initial_state(X, y - mean, int(self.n_neurons), self.second_layer, rng)
            if self.weights is not None:
                W = check_array("weights", self.weights, 2)
                if W.shape[1] != X.shape[1]:
                    raise ValueError(f"weights has shape {W.shape}, but X has {X.shape[1]} features; pass (N, that)")
                a = np.ones(len(W))
                if self.second_layer in ("signs", "free"):
                    a[1::2] = -1
                state = State(W, a, 1.0, 0.0)
            self.__dict__.update(_named(state, mean, self.second_layer, X.dtype))
            self._scales = scales(X, state, rng)
        elif self.weights_.shape[1] != X.shape[1]:
            raise ValueError(f"X has {X.shape[1]} features, but the network {self.weights_.shape[1]}")
        some = slice(0, _SOME)
        errors = network_values(X[some], self.weights_, self.second_layer_, self.intercept_) - y[some]
        squares = float(np.mean(errors**2, dtype=np.float64)), float(y.var(dtype=np.float64))
        self._bound = _DIVERGED * max(*squares, float(np.finfo(np.float32).tiny))
        self._factor = 1.0
        self.n_iter_, self.diverged_ = 0, False
        self.loss_curve_: list[float] = []
        self.best_loss_: float | None = None if self.early_stopping else np.inf
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_: float | None = -np.inf if self.early_stopping else None

    @contextmanager
    def _training(self, X: Array, y: Array) -> Iterator[Training]:
        """A `Training` on responses less a constant, in which float32 would lose digits."""
        self._shift = float(y.mean(dtype=np.float64))
        a = np.broadcast_to(np.asarray(self.second_layer_, np.float64), len(self.weights_))
        alpha = float(a[0]) if self.second_layer in ("ones", "scalar") else 1.0
        state = State(self.weights_.astype(np.float64), a / alpha, alpha, self.intercept_ - self._shift)
        centred = (y - self._shift).astype(X.dtype)
        with training(X, centred, state, self.second_layer, self.batch_size, parallel=self.parallel) as run:
            yield run

    def _run(self, run: Training, rng: np.random.Generator, held: tuple[Array, Array] | None, task: Task) -> None:
        """Train until there is no more to gain, and keep the last network or the best."""
        waited, best = 0, run.saved()
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
                    self.best_validation_score_, best = score, run.saved()
            if self.verbose:
                after = f", R^2 held back {self.validation_scores_[-1]:.4f}" if self.validation_scores_ else ""
                print(f"[{type(self).__name__}] epoch {epoch + 1}, loss {self.loss_:.6g}{after}")
            stop = part.end(lambda: self._attributes(run))
            if stop or waited > self.n_iter_no_change:
                break
        if held is not None and self.validation_scores_:
            run.restore(best)
        self.__dict__.update(self._attributes(run))

    def _epoch(self, run: Training, rng: np.random.Generator, fraction: float) -> float | None:
        """The loss of one more epoch, or None if it diverged, which is then undone."""
        n = len(run.data[0])
        before = run.saved()
        order = rng.permutation(n) if self.shuffle else np.arange(n)
        for _ in range(_HALVINGS):
            loss = run.epoch(order, self._rates(min(self.batch_size, n), fraction))
            if np.isfinite(loss) and loss <= self._bound and run.finite():
                return loss
            run.restore(before)
            if not isinstance(self.step_size, str):
                break
            self._factor /= 2
        self.diverged_ = True
        warnings.warn(
            f"training diverged in epoch {self.n_iter_ + 1}; the network is that of the epoch before. Pass a smaller "
            "step_size, or 'auto', and standardise the samples",
            ConvergenceWarning,
            stacklevel=4,
        )
        return None

    def _rates(self, b: int, fraction: float) -> Array:
        """(eta_W, eta_a, eta_c) at a fraction of the training."""
        rates = self._scales.rates(b)
        if isinstance(self.step_size, str):
            rates = rates * (self._factor * (1 - fraction))
        else:
            eta = float(self.step_size(fraction) if callable(self.step_size) else self.step_size)
            rates = rates * (eta / rates[0] if rates[0] > 0 else 0.0)
        if fraction == 0 or self._factor < 1:
            self.step_size_ = float(rates[0])
        return np.asarray(rates)

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
        "second_layer_": state.alpha if single else (state.alpha * state.a).astype(dtype),
        "intercept_": state.c + shift,
    }
