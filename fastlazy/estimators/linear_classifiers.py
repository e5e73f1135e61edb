"""Classes by ridge regression on random features and in the neural tangent model, as scikit-learn estimators."""

from __future__ import annotations

from typing import Any

from fastlazy.activations.builtin import ActivationLike
from fastlazy.estimators._sklearn import with_callbacks
from fastlazy.estimators.fitted_linear import RandomFeatures, TangentModel
from fastlazy.estimators.labels import LabelMixin


class _LinearClassifier(LabelMixin):
    """What the two classifiers share beside the fit itself."""

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """The estimator, fitted.

        Parameters
        ----------
        X : array_like, shape (n, d)
            Samples; float32 is kept, all else becomes float64.
        y : array_like, shape (n,)
            Labels of two classes or more: strings, numbers, booleans.
        sample_weight : float or array_like, shape (n,), optional
            What the squared error of each sample counts, >= 0; default 1.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data is not what it must be, there is one class alone, or a feature is not finite.
        """
        return self._fit(*self._labelled(X, y, sample_weight))


class RFClassifier(_LinearClassifier, RandomFeatures):
    """Classes by ridge regression on random features, f(x) = sum_i a_i sigma(<w_i, x>) + c.

    Minimises sum_s (y_s - f(x_s))^2 + alpha |a|^2 for targets y_s of +1 and -1, each square times its sample's weight
    if there are weights: `RidgeClassifier(alpha)` on the features sigma(X W^T), which are never stored for all samples
    and neurons. Two classes have one f, whose sign is the class; more have one each, of which the largest is the class.

    Parameters
    ----------
    n_neurons : int
        N; not used if weights are given.
    activation : str, Activation or function
        The non-linearity sigma (see `fastlazy.get_activation`).
    alpha : float or sequence of float
        The penalty, >= 0. Of several, the one with the least leave-one-out error is taken, all from one
        factorization, as RidgeCV does.
    class_weight : None, "balanced" or dict
        What samples of a class count, beside their own weights: {label: number >= 0}, 1 for labels that are not there.
        "balanced": so that all classes count alike.
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
    classes_ : ndarray, shape (k,)
        The labels, sorted.
    weights_ : ndarray, shape (N, d)
    activation_ : Activation
        sigma.
    rf_coef_ : ndarray, shape (N,) or (k, N)
        a. There is no `coef_`, which in scikit-learn has one entry for each column of X.
    intercept_ : float or ndarray, shape (k,)
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
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((200, 5))
    >>> labels = np.where(np.sum(X**2, axis=1) > 5, "far", "near")
    >>> model = RFClassifier(100, alpha=0.1, random_state=0).fit(X, labels)
    >>> model.predict([[0.0] * 5, [3.0] * 5])
    array(['near', 'far'], dtype='<U4')
    """

    def __init__(
        self,
        n_neurons: int = 1000,
        *,
        activation: ActivationLike = "relu",
        alpha: Any = 1.0,
        class_weight: Any = None,
        fit_intercept: bool = True,
        weights: Any = None,
        random_state: Any = None,
        parallel: bool = True,
        verbose: bool = False,
    ) -> None:
        self.n_neurons = n_neurons
        self.activation = activation
        self.alpha = alpha
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.weights = weights
        self.random_state = random_state
        self.parallel = parallel
        self.verbose = verbose


class NTClassifier(_LinearClassifier, TangentModel):
    """Classes by ridge regression in the neural tangent model, f(x) = sum_i <b_i, x> sigma'(<w_i, x>) + c.

    The network with second layer 1, linearised in its first layer at W. Minimises
    sum_s (y_s - f(x_s))^2 + alpha sum_i |b_i|^2 for targets y_s of +1 and -1, each square times its sample's weight if
    there are weights. Two classes have one f, whose sign is the class; more have one each, of which the largest is the
    class, as with `RidgeClassifier`.

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
    class_weight : None, "balanced" or dict
        What samples of a class count, beside their own weights: {label: number >= 0}, 1 for labels that are not there.
        "balanced": so that all classes count alike.
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
    classes_ : ndarray, shape (k,)
        The labels, sorted.
    weights_ : ndarray, shape (N, d)
    activation_ : Activation
        sigma.
    nt_coef_ : ndarray, shape (N, d) or (k, N, d)
        b. There is no `coef_`, which in scikit-learn has one entry for each column of X.
    rf_coef_ : ndarray, shape (N,) or (k, N)
        a; only with include_rf.
    intercept_ : float or ndarray, shape (k,)
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
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((200, 5))
    >>> labels = np.where(np.sum(X**2, axis=1) > 5, "far", "near")
    >>> model = NTClassifier(20, activation="softplus", alpha=0.1, random_state=0).fit(X, labels)
    >>> model.predict([[0.0] * 5, [3.0] * 5])
    array(['near', 'far'], dtype='<U4')
    """

    def __init__(
        self,
        n_neurons: int = 1000,
        *,
        activation: ActivationLike = "relu",
        alpha: Any = 1.0,
        include_rf: bool = False,
        class_weight: Any = None,
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
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.weights = weights
        self.random_state = random_state
        self.parallel = parallel
        self.verbose = verbose
