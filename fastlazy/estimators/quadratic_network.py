"""The trained quadratic network as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import get_activation
from fastlazy.estimators._sklearn import with_callbacks
from fastlazy.estimators.trained_network import TrainedRegressor, has_partial_fit

from sklearn.utils.metaestimators import available_if  # isort: skip


class QuadraticNetworkRegressor(TrainedRegressor):
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
    weights_ : ndarray, shape (N, d) or (t, N, d)
    second_layer_ : float or ndarray, shape (N,), (t,) or (t, N)
        a; one number where it serves all neurons.
    intercept_ : float or ndarray, shape (t,)
        c.
    n_iter_ : int
        Epochs trained, of this call of fit; of all calls of partial_fit. Of several outputs, the most.
    loss_ : float
        The last of loss_curve_. For y of shape (n, t) this and the following but diverged_ are lists, one entry an
        output.
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
    activation_ : Activation
        x^2.
    n_features_in_ : int
        d.

    Notes
    -----
    The function is even: for data with a linear part, append a constant to the samples, with
    `PolynomialFeatures(degree=1)` after a `StandardScaler`.

    Several outputs have one network each, and weights of samples mean what they mean to `NetworkRegressor`.

    References
    ----------
    arXiv:1906.08899, the class NN of eq. (1), fitted to samples.

    Examples
    --------
    >>> import fastlazy
    >>> from fastlazy.estimators import QuadraticNetworkRegressor
    >>> X, y = fastlazy.exponential_target(5, rng=0).sample(500, rng=1)
    >>> model = QuadraticNetworkRegressor(5, random_state=0).fit(X, y)
    >>> model.weights_.shape, model.predict(X[:3]).shape
    ((5, 5), (3,))
    >>> bool(model.score(X, y) > 0.9)
    True
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
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> QuadraticNetworkRegressor:
        """The estimator, trained.

        Parameters
        ----------
        X : array_like, shape (n, d)
            Samples; float32 is kept and is the precision of the run, all else becomes float64.
        y : array_like, shape (n,) or (n, t)
            Responses.
        sample_weight : float or array_like, shape (n,), optional
            What the squared error of each sample counts, >= 0; default 1.

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
        return self._fit(*self._checked(X, y, sample_weight))

    @available_if(has_partial_fit)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> QuadraticNetworkRegressor:
        """The estimator, trained for one more epoch on these samples.

        Parameters
        ----------
        X : array_like, shape (n, d)
        y : array_like, shape (n,) or (n, t)
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
            If a parameter or the data is not what it must be.
        """
        return self._partial_fit(*self._checked(X, y, sample_weight, part=True))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # an even function
        return tags

    def _sigma(self) -> Activation:
        return get_activation("square")
