"""What regressors and classifiers by ridge regression share: the fit to outputs, its attributes, and its values."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import check_activation
from fastlazy.estimators._sklearn import CallbackSupportMixin, Task, checked
from fastlazy.estimators.parameters import check_alpha, check_flags, check_size, weights_of
from fastlazy.ridge.linear_models import Linear, fit_nt, fit_rf

from sklearn.base import BaseEstimator  # isort: skip
from sklearn.utils.validation import check_is_fitted  # isort: skip

_FLAGS = ("fit_intercept", "include_rf", "parallel")


class FittedLinear(CallbackSupportMixin, BaseEstimator):
    """An estimator that fits a linear model of its features to outputs."""

    def predict(self, X: Any) -> Any:
        """The values of the fitted function, or the labels that they stand for.

        Parameters
        ----------
        X : array_like, shape (n, d)

        Returns
        -------
        ndarray, shape (n,) or (n, t)
            Labels (n,) of a classifier.

        Raises
        ------
        NotFittedError, ValueError
            If the estimator is not fitted, or X is not what it was fitted to.
        """
        return self._named(self._values(X))

    def _named(self, values: Array) -> Any:
        """What *values* stand for: of a regressor, themselves."""
        return values

    def _solved(self, samples: tuple[Array, Array, Array | None], W: Array, sigma: Activation, alphas: Array) -> Linear:
        """The model fitted to samples (n, d), outputs (n, t) and weights."""
        raise NotImplementedError

    def _fit(self, X: Array, y: Array, weight: Array | None) -> Any:
        """The estimator, fitted to outputs y (n,) or (n, t), by weights (n,) > 0 if there are any."""
        task = Task.fit(self, 0, X=X, y=self._named(y))
        start = time.perf_counter()
        check_flags(self, *_FLAGS)
        alphas = check_alpha(self.alpha)
        sigma = check_activation(self.activation)
        W = weights_of(self, X.shape[1], X.dtype)
        check_size("y", y, X.dtype, 1e15 if X.dtype == np.float32 else 1e150)
        outputs = np.asarray(y, np.float64).reshape(len(X), -1)
        model = self._solved((X, outputs, weight), W, sigma, alphas)
        ridge = model.ridge
        assert ridge is not None
        self.weights_, self.activation_ = model.W, model.activation
        self.intercept_ = float(model.offset[0]) if y.ndim == 1 else model.offset
        self.alpha_, self.jitter_ = ridge.alpha, ridge.jitter
        found: dict[str, Any] = {"rf_coef_": model.a, "nt_coef_": model.b, "best_score_": ridge.score}
        for name, value in found.items():
            self.__dict__.pop(name, None)  # of an earlier fit
            if value is not None:
                setattr(self, name, value[0] if y.ndim == 1 and name != "best_score_" else value)
        if self.verbose:
            jitter = f", jitter {self.jitter_:.3g}" if self.jitter_ else ""
            print(f"[{type(self).__name__}] alpha {self.alpha_:g}{jitter}: {time.perf_counter() - start:.2f} s")
        task.end(dict)
        return self

    def _values(self, X: Any) -> Array:
        """The values (n,) or (n, t) of the fitted function."""
        check_is_fitted(self)
        X = checked(self, X, reset=False)
        W = np.ascontiguousarray(self.weights_)
        a: Any = getattr(self, "rf_coef_", None)
        b: Any = getattr(self, "nt_coef_", None)
        single = a.ndim == 1 if b is None else b.ndim == 2
        model = Linear(
            W,
            self.activation_,
            None if a is None else np.reshape(a, (-1, len(W))),
            None if b is None else np.reshape(b, (-1, *W.shape)),
            np.atleast_1d(self.intercept_),
        )
        values = model.values(X.astype(W.dtype, copy=False), parallel=self.parallel).astype(np.result_type(X, W))
        return values[:, 0] if single else values


class RandomFeatures(FittedLinear):
    """The fit of random features."""

    def _solved(self, samples: tuple[Array, Array, Array | None], W: Array, sigma: Activation, alphas: Array) -> Linear:
        X, y, weight = samples
        options = {"intercept": self.fit_intercept, "parallel": self.parallel}
        return fit_rf(X, y, W, sigma, alphas, weight=weight, **options)


class TangentModel(FittedLinear):
    """The fit of the neural tangent model."""

    def _solved(self, samples: tuple[Array, Array, Array | None], W: Array, sigma: Activation, alphas: Array) -> Linear:
        X, y, weight = samples
        options = {"include_rf": self.include_rf, "intercept": self.fit_intercept, "parallel": self.parallel}
        return fit_nt(X, y, W, sigma, alphas, weight=weight, **options)
