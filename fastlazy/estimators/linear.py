"""Random features and the neural tangent model as scikit-learn estimators: ridge regression, and a transformer."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import check_activation
from fastlazy.estimators._sklearn import DTYPES, CallbackSupportMixin, Task, checked, with_callbacks
from fastlazy.estimators.parameters import check_alpha, check_flags, check_size, is_even, weights_of
from fastlazy.kernels.features import features
from fastlazy.ridge.linear_models import Linear, fit_nt, fit_rf

# After what says clearly that scikit-learn is missing, if it is.
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, RegressorMixin, TransformerMixin  # isort: skip
from sklearn.utils.validation import check_is_fitted  # isort: skip

_FLAGS = ("fit_intercept", "include_rf", "parallel")


class _LinearRegressor(CallbackSupportMixin, RegressorMixin, BaseEstimator):
    """What the two ridge regressors share: all but the fit itself."""

    @with_callbacks
    def fit(self, X: Any, y: Any) -> Any:
        """The estimator, fitted.

        Parameters
        ----------
        X : array_like, shape (n, d)
            Samples; float32 is kept, all else becomes float64.
        y : array_like, shape (n,) or (n, t)
            Responses.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data is not what it must be, or a feature is not finite.
        """
        X, y = checked(self, X, y=y, multi_output=True)
        task = Task.fit(self, 0, X=X, y=y)
        start = time.perf_counter()
        check_flags(self, *_FLAGS)
        alphas = check_alpha(self.alpha)
        sigma = check_activation(self.activation)
        W = weights_of(self, X.shape[1], X.dtype)
        check_size("y", y, X.dtype, 1e15 if X.dtype == np.float32 else 1e150)
        outputs = np.asarray(y, np.float64).reshape(len(X), -1)
        model = self._solved(X, outputs, W, sigma, alphas)
        ridge = model.ridge
        assert ridge is not None
        self.weights_, self.activation_ = model.W, model.activation
        self.intercept_ = float(model.offset[0]) if y.ndim == 1 else model.offset
        self.alpha_, self.jitter_ = ridge.alpha, ridge.jitter
        for name, value in {"rf_coef_": model.a, "nt_coef_": model.b, "best_score_": ridge.score}.items():
            self.__dict__.pop(name, None)  # of an earlier fit
            if value is not None:
                setattr(self, name, value[0] if y.ndim == 1 and name != "best_score_" else value)
        if self.verbose:
            jitter = f", jitter {self.jitter_:.3g}" if self.jitter_ else ""
            print(f"[{type(self).__name__}] alpha {self.alpha_:g}{jitter}: {time.perf_counter() - start:.2f} s")
        task.end(dict)
        return self

    def predict(self, X: Any) -> Array:
        """The values of the fitted function.

        Parameters
        ----------
        X : array_like, shape (n, d)

        Returns
        -------
        ndarray, shape (n,) or (n, t)

        Raises
        ------
        NotFittedError, ValueError
            If the estimator is not fitted, or X is not what it was fitted to.
        """
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = is_even(self.activation)
        return tags


class RFRegressor(_LinearRegressor):
    """Ridge regression on random features, f(x) = sum_i a_i sigma(<w_i, x>) + c.

    Minimises sum_s (y_s - f(x_s))^2 + alpha |a|^2: `Ridge(alpha)` on the features sigma(X W^T), which are never
    stored for all samples and neurons.

    Parameters
    ----------
    n_neurons : int
        N; not used if weights are given.
    activation : str or Activation
        The non-linearity sigma (see `fastlazy.get_activation`).
    alpha : float or sequence of float
        The penalty, >= 0. Of several, the one with the least leave-one-out error is taken, all from one
        factorization, as RidgeCV does.
    fit_intercept : bool
        Whether there is an offset c.
    weights : array_like, shape (N, d), optional
        First-layer weights; default rows N(0, I/d), drawn from random_state.
    random_state : None, int or RandomState
    parallel : bool
        False: on the calling thread alone, where many fits share the processors.
    verbose : bool
        Print what a fit did, and how long it took. From scikit-learn 1.9 on, its callbacks tell the same.

    Attributes
    ----------
    weights_ : ndarray, shape (N, d)
    activation_ : Activation
        sigma.
    rf_coef_ : ndarray, shape (N,) or (t, N)
        a. There is no `coef_`, which in scikit-learn has one entry for each column of X.
    intercept_ : float or ndarray, shape (t,)
        c.
    alpha_ : float
        The penalty used.
    jitter_ : float
        What was added to the diagonal beside alpha; 0 unless the problem was singular to rounding.
    best_score_ : float
        Minus the mean squared leave-one-out error at alpha_; only for several.
    n_features_in_ : int
        d.

    Notes
    -----
    N <= n: Cholesky of the normal equations, summed over blocks of samples; else of the kernel matrix (n, n).

    References
    ----------
    arXiv:1906.08899, the class RF of eq. (1), fitted to samples.

    Examples
    --------
    >>> import fastlazy
    >>> from fastlazy.estimators import RFRegressor
    >>> X, y = fastlazy.exponential_target(5, rng=0).sample(500, rng=1)
    >>> model = RFRegressor(20, activation="square", alpha=0.01, random_state=0).fit(X, y)
    >>> model.rf_coef_.shape, model.predict(X[:3]).shape
    ((20,), (3,))
    >>> bool(model.score(X, y) > 0.99)  # 20 features of x^2 for 15 entries of B
    True
    """

    def __init__(
        self,
        n_neurons: int = 1000,
        *,
        activation: str | Activation = "relu",
        alpha: Any = 1.0,
        fit_intercept: bool = True,
        weights: Any = None,
        random_state: Any = None,
        parallel: bool = True,
        verbose: bool = False,
    ) -> None:
        self.n_neurons = n_neurons
        self.activation = activation
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.weights = weights
        self.random_state = random_state
        self.parallel = parallel
        self.verbose = verbose

    def _solved(self, X: Array, y: Array, W: Array, sigma: Activation, alphas: Array) -> Linear:
        return fit_rf(X, y, W, sigma, alphas, intercept=self.fit_intercept, parallel=self.parallel)


class NTRegressor(_LinearRegressor):
    """Ridge regression in the neural tangent model, f(x) = sum_i <b_i, x> sigma'(<w_i, x>) + c.

    The network with second layer 1, linearised in its first layer at W. Minimises
    sum_s (y_s - f(x_s))^2 + alpha sum_i |b_i|^2: `KernelRidge(alpha)` with the kernel N `nt_kernel`, offset added.

    Parameters
    ----------
    n_neurons : int
        N; not used if weights are given.
    activation : str or Activation
        The non-linearity sigma, with a derivative.
    alpha : float or sequence of float
        The penalty, >= 0. Of several, the one with the least leave-one-out error is taken, all from one
        factorization, as RidgeCV does.
    include_rf : bool
        Whether the second layer is linearised too: + sum_i a_i sigma(<w_i, x>), penalised by alpha |a|^2.
    fit_intercept : bool
        Whether there is an offset c.
    weights : array_like, shape (N, d), optional
        Weights at the initialisation; default rows N(0, I/d), drawn from random_state.
    random_state : None, int or RandomState
    parallel : bool
        False: on the calling thread alone, where many fits share the processors.
    verbose : bool
        Print what a fit did, and how long it took. From scikit-learn 1.9 on, its callbacks tell the same.

    Attributes
    ----------
    weights_ : ndarray, shape (N, d)
    activation_ : Activation
        sigma.
    nt_coef_ : ndarray, shape (N, d) or (t, N, d)
        b. There is no `coef_`, which in scikit-learn has one entry for each column of X.
    rf_coef_ : ndarray, shape (N,) or (t, N)
        a; only with include_rf.
    intercept_ : float or ndarray, shape (t,)
        c.
    alpha_ : float
        The penalty used.
    jitter_ : float
        What was added to the diagonal beside alpha; 0 unless the problem was singular to rounding.
    best_score_ : float
        Minus the mean squared leave-one-out error at alpha_; only for several.
    n_features_in_ : int
        d.

    Notes
    -----
    The dual: Cholesky of the kernel matrix (n, n), then b_i = sum_s u_s sigma'(<w_i, x_s>) x_s, with which a
    prediction costs O(N d), whatever n is. Where there are no more than n / 2 features, and for sigma = x^2 there are
    at most d (d + 1) / 2, the primal.

    References
    ----------
    arXiv:1906.08899, the class NT of eq. (1), fitted to samples.

    Examples
    --------
    >>> import fastlazy
    >>> from fastlazy.estimators import NTRegressor
    >>> X, y = fastlazy.exponential_target(5, rng=0).sample(500, rng=1)
    >>> model = NTRegressor(10, activation="square", alpha=[0.01, 1.0], random_state=0).fit(X, y)
    >>> model.nt_coef_.shape, model.alpha_
    ((10, 5), 0.01)
    >>> bool(model.score(X, y) > 0.99)  # x^2 of as many rows as dimensions reaches every quadratic function
    True
    """

    def __init__(
        self,
        n_neurons: int = 1000,
        *,
        activation: str | Activation = "relu",
        alpha: Any = 1.0,
        include_rf: bool = False,
        fit_intercept: bool = True,
        weights: Any = None,
        random_state: Any = None,
        parallel: bool = True,
        verbose: bool = False,
    ) -> None:
        self.n_neurons = n_neurons
        self.activation = activation
        self.alpha = alpha
        self.include_rf = include_rf
        self.fit_intercept = fit_intercept
        self.weights = weights
        self.random_state = random_state
        self.parallel = parallel
        self.verbose = verbose

    def _solved(self, X: Array, y: Array, W: Array, sigma: Activation, alphas: Array) -> Linear:
        options = {"include_rf": self.include_rf, "intercept": self.fit_intercept, "parallel": self.parallel}
        return fit_nt(X, y, W, sigma, alphas, **options)


class RFTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Random features sigma(<w_i, x>) as columns, for any estimator that follows.

    Parameters
    ----------
    n_neurons : int
        N; not used if weights are given.
    activation : str or Activation
        The non-linearity sigma (see `fastlazy.get_activation`).
    weights : array_like, shape (N, d), optional
        First-layer weights; default rows N(0, I/d), drawn from random_state.
    random_state : None, int or RandomState
    parallel : bool
        False: on the calling thread alone, where many fits share the processors.

    Attributes
    ----------
    weights_ : ndarray, shape (N, d)
    activation_ : Activation
        sigma.
    n_features_in_ : int
        d.

    Examples
    --------
    >>> import fastlazy
    >>> from fastlazy.estimators import RFTransformer
    >>> X, y = fastlazy.exponential_target(5, rng=0).sample(500, rng=1)
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> RFTransformer(20, activation="relu", random_state=0).fit_transform(X).shape
    (500, 20)
    >>> model = make_pipeline(RFTransformer(200, activation="relu", random_state=0), Ridge(0.1)).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    def __init__(
        self,
        n_neurons: int = 1000,
        *,
        activation: str | Activation = "relu",
        weights: Any = None,
        random_state: Any = None,
        parallel: bool = True,
    ) -> None:
        self.n_neurons = n_neurons
        self.activation = activation
        self.weights = weights
        self.random_state = random_state
        self.parallel = parallel

    def fit(self, X: Any, y: Any = None) -> RFTransformer:
        """The transformer, with weights.

        Parameters
        ----------
        X : array_like, shape (n, d)
        y : object, optional
            Not used.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or X is not what it must be.
        """
        X = checked(self, X)
        check_flags(self, "parallel")
        self.activation_ = check_activation(self.activation)
        self.weights_ = weights_of(self, X.shape[1], X.dtype)
        self._n_features_out = len(self.weights_)
        return self

    def transform(self, X: Any) -> Array:
        """The features.

        Parameters
        ----------
        X : array_like, shape (n, d)

        Returns
        -------
        ndarray, shape (n, N)

        Raises
        ------
        NotFittedError, ValueError
            If the transformer is not fitted, X is not what it was fitted to, or a feature is not finite.
        """
        check_is_fitted(self)
        X = checked(self, X, reset=False)
        return features(X, self.weights_.astype(X.dtype, copy=False), self.activation_, parallel=self.parallel)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = [np.dtype(dtype).name for dtype in DTYPES]
        return tags
