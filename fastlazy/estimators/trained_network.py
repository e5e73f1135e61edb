"""What the estimators of trained networks share: outputs, the part held back, fitted attributes, values."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlazy._support.arguments import Array
from fastlazy.activations.activation import Activation
from fastlazy.estimators._sklearn import CallbackSupportMixin, Task, checked, generator
from fastlazy.estimators.one_output import OneOutput, Samples
from fastlazy.estimators.parameters import check_network
from fastlazy.estimators.sample_weights import counted
from fastlazy.training.epochs import network_values

from sklearn.base import BaseEstimator, RegressorMixin  # isort: skip
from sklearn.utils.validation import check_is_fitted  # isort: skip

_HELD = 10  # samples held back that tell how good an epoch was


def has_partial_fit(estimator: Any) -> bool:
    """True; AttributeError where the parameters leave no sense to `partial_fit`."""
    if estimator.early_stopping and not isinstance(estimator.early_stopping, str):
        raise AttributeError(
            "partial_fit does not support early_stopping=True, which judges epochs by a part held back"
        )
    return True


class TrainedNetwork(CallbackSupportMixin, BaseEstimator):
    """An estimator that trains a network by SGD, for each output one of its own."""

    _networks: list[OneOutput]

    def _sigma(self) -> Activation:
        """The non-linearity, checked."""
        raise NotImplementedError

    @property
    def _steps(self) -> Any:
        return self._networks[0].steps

    def _begins(self, *, part: bool) -> bool:
        """Whether a call of fit, or of partial_fit, begins anew; parameters are checked."""
        check_network(self)
        return not (hasattr(self, "weights_") and (part or self.warm_start))

    def _fit(self, X: Array, y: Array, weight: Array | None) -> Any:
        """The estimator, trained on outputs y (n,) or (n, t), by weights (n,) > 0 if there are any."""
        goes_on = not self._begins(part=False)
        task = Task.fit(self, self.max_epochs if y.ndim == 1 else y.shape[1], X=X, y=self._named(y))
        networks, single = self._all(y, goes_on), y.ndim == 1
        for network, rng in zip(networks, self._generators(y), strict=True):
            network.rng = rng
        parts = self._parted(X, y, weight, networks)
        for network, (samples, _) in zip(networks, parts, strict=True):
            network.see(self, samples, not goes_on)
        for network, (samples, held) in zip(networks, parts, strict=True):
            part = task if single else task.part("output", self.max_epochs)
            network.run(self, samples, held, part, lambda: _attributes(networks, single))
            if not single and part.end(lambda: _attributes(networks, single)):
                break
        self._networks = networks
        self.__dict__.update(_attributes(networks, single))
        task.end(dict)
        return self

    def _partial_fit(self, X: Array, y: Array, weight: Array | None) -> Any:
        """The estimator, trained for one more epoch, as above."""
        first = self._begins(part=True)
        networks = self._all(y, not first)
        rngs = self.__dict__.setdefault("_rngs", self._generators(y))
        for k, (network, rng) in enumerate(zip(networks, rngs, strict=True)):
            samples = Samples(X, np.ascontiguousarray(y.reshape(len(X), -1)[:, k]), weight)
            network.rng = rng
            network.see(self, samples, first)
            network.part(self, samples)
        self._networks = networks
        self.__dict__.update(_attributes(networks, y.ndim == 1))
        return self

    def predict(self, X: Any) -> Any:
        """The values of the network, or the labels that they stand for.

        Parameters
        ----------
        X : array_like, shape (n, d)

        Returns
        -------
        ndarray, shape (n,), or (n, t) if there are several outputs
            Labels (n,) of a classifier.

        Raises
        ------
        NotFittedError, ValueError
            If the estimator is not fitted, X is not what it was fitted to, or a value overflows.
        """
        return self._named(self._values(X))

    def _named(self, values: Array) -> Any:
        """What *values* stand for: of a regressor, themselves."""
        return values

    def _values(self, X: Any) -> Array:
        """The values (n,) or (n, t) of the networks."""
        check_is_fitted(self)
        X = checked(self, X, reset=False)
        fitted = self.weights_, self.second_layer_, self.intercept_
        each = [fitted] if np.ndim(self.weights_) == 2 else list(zip(*fitted, strict=True))
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is refused
            values = [network_values(X, *one, self.activation_, parallel=self.parallel) for one in each]
        out = values[0] if np.ndim(self.weights_) == 2 else np.stack(values, axis=1)
        if not np.isfinite(out).all():
            raise ValueError(f"values overflow {out.dtype}; divide X by a number, as a StandardScaler does")
        return out

    def _all(self, y: Array, goes_on: bool) -> list[OneOutput]:
        """The networks of all outputs: new ones, or those that training goes on from, as the attributes say."""
        sigma, outputs = self._sigma(), y.shape[1:]
        if not goes_on:
            return [OneOutput(sigma) for _ in range(int(np.prod(outputs)))]
        trained = np.shape(self.intercept_)
        if trained != outputs:
            began = "one response" if trained == () else f"{trained[0]} responses in columns"
            raise ValueError(f"y has shape {y.shape}, but training began with {began}; pass such y, or fit anew")
        if sigma != self.activation_:
            began = repr(self.activation_.name)
            raise ValueError(f"activation is {sigma.name!r}, but training began with {began}; pass that, or fit anew")
        fitted = self.weights_, self.second_layer_, self.intercept_
        for network, one in zip(self._networks, zip(*fitted, strict=True) if outputs else [fitted], strict=True):
            network.weights, network.second_layer, network.intercept = one
        return self._networks

    def _generators(self, y: Array) -> list[np.random.Generator]:
        """A generator for each output, all from one seed: each network is that of its output alone."""
        first = generator(self.random_state)
        states = [first.bit_generator.state for _ in range(int(np.prod(y.shape[1:])))]
        rngs = [np.random.default_rng(0) for _ in states]
        for rng, state in zip(rngs, states, strict=True):
            rng.bit_generator.state = state
        return rngs

    def _parted(
        self, X: Array, y: Array, weight: Array | None, networks: list[OneOutput]
    ) -> list[tuple[Samples, Samples | None]]:
        """For each output the samples to train on and those that are held back."""
        n, count = len(X), max(1, int(self.validation_fraction * len(X)))
        columns = [Samples(X, np.ascontiguousarray(column), weight) for column in y.reshape(n, -1).T]
        if not (self.early_stopping is True or (isinstance(self.early_stopping, str) and count >= _HELD)):
            return [(samples, None) for samples in columns]
        orders = [network.rng.permutation(n) for network in networks]  # all the same
        if n - count < 1:
            raise ValueError(
                f"early_stopping=True holds back {count} of {n} samples and leaves none; pass more samples"
            )
        whole = Samples(X, columns[0].y, weight)
        train, held = whole.rows(orders[0][count:]), whole.rows(orders[0][:count])
        return [
            (train._replace(y=one.y[orders[0][count:]]), held._replace(y=one.y[orders[0][:count]])) for one in columns
        ]


class TrainedRegressor(RegressorMixin, TrainedNetwork):
    """A network whose outputs are responses."""

    def _checked(self, X: Any, y: Any, sample_weight: Any, *, part: bool = False) -> tuple[Array, Array, Array | None]:
        """Samples, responses and weights, for fit or for partial_fit."""
        X, y = checked(self, X, y=y, reset=self._begins(part=part), multi_output=True)
        return counted(X, y, sample_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _attributes(networks: list[OneOutput], single: bool) -> dict[str, Any]:
    """The fitted attributes; those of a *single* output are not in lists."""
    table = [
        {
            "weights_": one.weights,
            "second_layer_": one.second_layer,
            "intercept_": one.intercept,
            "n_iter_": one.n_iter,
            "diverged_": one.diverged,
            "loss_curve_": one.loss_curve,
            "best_loss_": one.best_loss,
            "validation_scores_": one.validation_scores,
            "best_validation_score_": one.best_validation_score,
            **({"step_size_": one.step_size} if hasattr(one, "step_size") else {}),
            **({"loss_": one.loss_curve[-1]} if one.loss_curve else {}),
        }
        for one in networks
    ]
    shared = {"activation_": networks[0].activation}
    if single:
        return table[0] | shared
    found = {name: [row.get(name) for row in table] for row in table for name in row}
    arrays = {name: np.array(found[name]) for name in ("weights_", "second_layer_", "intercept_")}
    whole = {"n_iter_": max(one.n_iter for one in networks), "diverged_": any(one.diverged for one in networks)}
    return found | arrays | whole | shared
