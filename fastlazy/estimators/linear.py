"""Random features and the neural tangent model as scikit-learn estimators: ridge regression, and a transformer."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy.activations.builtin import ActivationLike, check_activation
from fastlazy.estimators._sklearn import DTYPES, checked, with_callbacks
from fastlazy.estimators.fitted_linear import RandomFeatures, TangentModel
from fastlazy.estimators.parameters import check_flags, is_even, weights_of
from fastlazy.estimators.sample_weights import counted
from fastlazy.kernels.features import features

# After what says clearly that scikit-learn is missing, if it is.
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, RegressorMixin, TransformerMixin  # isort: skip
from sklearn.utils.validation import check_is_fitted  # isort: skip


class _LinearRegressor(RegressorMixin):
    """What the two ridge regressors share beside the fit itself."""

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """The estimator, fitted.

        Parameters
        ----------
        X : array_like, shape (n, d)
            Samples; float32 is kept, all else becomes float64.
        y : array_like, shape (n,) or (n, t)
            Responses.
        sample_weight : float or array_like, shape (n,), optional
            What the squared error of each sample counts, >= 0; default 1.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data is not what it must be, or a feature is not finite.
        """
        X, y = checked(self, X, y=y, multi_output=True)
        return self._fit(*counted(X, y, sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = is_even(self.activation)
        return tags


class RFRegressor(_LinearRegressor, RandomFeatures):
    """Ridge regression on random features, f(x) = sum_i a_i sigma(<w_i, x>) + c.

    Minimises sum_s (y_s - f(x_s))^2 + alpha |a|^2, each square times its sample's weight if there are weights:
    `Ridge(alpha)` on the features sigma(X W^T), which are never stored for all samples and neurons.

    Parameters
    ----------
    n_neurons : int
        N; not used if weights are given.
    activation : str, Activation or function
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
        What was added to the diagonal beside alpha, or beside alpha over the mean weight of samples; 0 unless the
        problem was singular to rounding.
    best_score_ : float
        Minus the mean squared leave-one-out error at alpha_, by the weights of samples; only for several.
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
        activation: ActivationLike = "relu",
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


class NTRegressor(_LinearRegressor, TangentModel):
    """Ridge regression in the neural tangent model, f(x) = sum_i <b_i, x> sigma'(<w_i, x>) + c.

    The network with second layer 1, linearised in its first layer at W. Minimises
    sum_s (y_s - f(x_s))^2 + alpha sum_i |b_i|^2, each square times its sample's weight if there are weights:
    `KernelRidge(alpha)` with the kernel N `nt_kernel`, offset added.

    Parameters
    ----------
    n_neurons : int
        N; not used if weights are given.
    activation : str, Activation or function
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
        What was added to the diagonal beside alpha, or beside alpha over the mean weight of samples; 0 unless the
        problem was singular to rounding.
    best_score_ : float
        Minus the mean squared leave-one-out error at alpha_, by the weights of samples; only for several.
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
        activation: ActivationLike = "relu",
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


class RFTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Random features sigma(<w_i, x>) as columns, for any estimator that follows.

    Parameters
    ----------
    n_neurons : int
        N; not used if weights are given.
    activation : str, Activation or function
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
        activation: ActivationLike = "relu",
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
