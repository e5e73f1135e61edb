"""The trained network of any non-linearity as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastlazy._support.arguments import shown
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import ActivationLike
from fastlazy.estimators._sklearn import with_callbacks
from fastlazy.estimators.labels import LabelMixin
from fastlazy.estimators.parameters import tangent_activation
from fastlazy.estimators.trained_network import TrainedNetwork, has_partial_fit

from sklearn.utils.metaestimators import available_if  # isort: skip


class NetworkClassifier(LabelMixin, TrainedNetwork):
    """The network f(x) = sum_i a_i sigma(<w_i, x>) + c, trained on targets +1 and -1; one for each of several classes.

    Two classes have one network, whose sign is the class; of more, the class is that whose network has the largest
    value, as with `RidgeClassifier`. All of a network is trained by SGD on squared errors, as by `NetworkRegressor`.

    Parameters
    ----------
    n_neurons : int
        N; not used if weights are given.
    activation : str, Activation or function
        The non-linearity sigma, with a derivative (see `fastlazy.get_activation`).
    class_weight : None, "balanced" or dict
        What samples of a class count, beside their own weights: {label: number >= 0}, 1 for labels that are not there.
        "balanced": so that all classes count alike.
    batch_size : int
        Samples of one step; all of them if there are fewer.
    max_epochs : int
        Passes over the data, at most.
    second_layer : str
        "free": a trained vector. "scalar": one trained number. "signs": fixed, +1 and -1 in turn. "ones": a = 1. With
        the fixed ones the rows alone give f its size, which a bounded sigma limits to N.
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
        First-layer weights at the start; default random ones, orthogonal in blocks of d, of unit mean square of
        <w_i, x>, in pairs that cancel where there are neurons of both signs.
    random_state : None, int or RandomState
        For the weights, the order of samples and the part held back.
    parallel : bool
        False: on the calling thread alone, where many fits share the processors.
    verbose : bool
        Print the loss of each epoch. From scikit-learn 1.9 on, its callbacks tell the same.

    Attributes
    ----------
    classes_ : ndarray, shape (k,)
        The labels, sorted.
    weights_ : ndarray, shape (N, d) or (k, N, d)
    second_layer_ : float or ndarray, shape (N,), (k,) or (k, N)
        a; one number where it serves all neurons.
    intercept_ : float or ndarray, shape (k,)
        c.
    activation_ : Activation
        sigma.
    n_iter_ : int
        Epochs trained, of this call of fit; of all calls of partial_fit. Of several networks, the most.
    loss_ : float
        The last of loss_curve_. For more than two classes this and the following but diverged_ are lists, one entry
        a class.
    best_loss_ : float or None
        The least of loss_curve_; None with early_stopping.
    loss_curve_ : list of float
        Half the mean squared error of each epoch, each sample just before the step it takes part in, as MLPRegressor
        has it.
    validation_scores_ : list of float or None
        R^2 of the targets +1 and -1 on the samples held back after each epoch.
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
    A network has no bias within sigma: append a constant to the samples, with `PolynomialFeatures(degree=1)` after a
    `StandardScaler`. With one, relu and the like learn any function; an even sigma (x^2, cos) sees no odd part without,
    an odd one (tanh, erf) no even part.

    Weights s of samples: the loss is sum_k s_k e_k^2 / sum_k s_k, by errors that are multiplied by s_k over the mean of
    s; so are the R^2 on what is held back and all that the steps are taken from. Samples of weight zero are left out.
    Where all samples are one minibatch, whole weights give what repeated samples give. Otherwise the loss is the same,
    but not the order of steps, and a sample is held back with all its weight.

    References
    ----------
    arXiv:1906.08899, the class NN of eq. (1), fitted to samples.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((200, 5))
    >>> labels = np.where(np.sum(X**2, axis=1) > 5, "far", "near")
    >>> model = NetworkClassifier(20, random_state=0).fit(X, labels)
    >>> model.predict([[0.0] * 5, [3.0] * 5])
    array(['near', 'far'], dtype='<U4')
    """

    def __init__(
        self,
        n_neurons: int = 100,
        *,
        activation: ActivationLike = "relu",
        class_weight: Any = None,
        batch_size: int = 50,
        max_epochs: int = 200,
        second_layer: str = "free",
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
        self.activation = activation
        self.class_weight = class_weight
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
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetworkClassifier:
        """The estimator, trained.

        Parameters
        ----------
        X : array_like, shape (n, d)
            Samples; float32 is kept and is the precision of the run, all else becomes float64.
        y : array_like, shape (n,)
            Labels of two classes or more: strings, numbers, booleans.
        sample_weight : float or array_like, shape (n,), optional
            What the squared error of each sample counts, >= 0; default 1.

        Returns
        -------
        self

        Warns
        -----
        ConvergenceWarning
            If training diverges, or no epoch is better than the start on the samples held back.

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data is not what it must be, there is one class alone, or sigma has no derivative.
        """
        return self._fit(*self._labelled(X, y, sample_weight, reset=self._begins(part=False)))

    @available_if(has_partial_fit)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> NetworkClassifier:
        """The estimator, trained for one more epoch on these samples.

        Parameters
        ----------
        X : array_like, shape (n, d)
        y : array_like, shape (n,)
        classes : array_like, shape (k,)
            All labels that will ever come; needed by the first call.
        sample_weight : float or array_like, shape (n,), optional
            What the squared error of each sample counts beside the others of this call.

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
            If a parameter or the data is not what it must be, a label is not among the classes, or sigma has no
            derivative.
        """
        begins = self._begins(part=True)
        if begins and classes is None:
            raise ValueError("classes must be passed to the first call of partial_fit; pass e.g. classes=np.unique(y)")
        if not begins and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes are {shown(list(classes))}, but the training that goes on has "
                f"{shown(self.classes_.tolist())}; leave them out, or fit anew"
            )
        if self.class_weight is not None and not isinstance(self.class_weight, Mapping):
            raise ValueError(
                f"class_weight = {shown(self.class_weight)} is not for partial_fit, which sees a part of the samples; "
                "pass a dict, or sample_weight"
            )
        return self._partial_fit(*self._labelled(X, y, sample_weight, reset=begins, classes=classes))

    def _sigma(self) -> Activation:
        return tangent_activation(self.activation)
