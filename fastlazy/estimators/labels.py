"""Classes: labels of any kind as targets +1 and -1 of least squares, and the labels that values stand for.

Two classes have one output, whose sign is the class; more have one output each, of which the largest is the class, as
with scikit-learn's `RidgeClassifier`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastlazy._support.arguments import Array, shown
from fastlazy.estimators._sklearn import checked
from fastlazy.estimators.parameters import check_number, is_even
from fastlazy.estimators.sample_weights import counted

from sklearn.base import ClassifierMixin  # isort: skip
from sklearn.utils.multiclass import check_classification_targets  # isort: skip


class LabelMixin(ClassifierMixin):
    """What makes a classifier of an estimator that has `_values`, with a parameter `class_weight`."""

    classes_: Any  # (k,), sorted

    def decision_function(self, X: Any) -> Array:
        """The values of the fitted function, which has learned +1 for a sample's class and -1 for others.

        Parameters
        ----------
        X : array_like, shape (n, d)

        Returns
        -------
        ndarray, shape (n,) or (n, k)
            Of two classes one number, above zero for `classes_[1]`; of more, one for each.

        Raises
        ------
        NotFittedError, ValueError
            If the estimator is not fitted, X is not what it was fitted to, or a value overflows.
        """
        return self._values(X)

    def _named(self, values: Array) -> Any:
        """The labels (n,) that values (n,) or (n, k) stand for."""
        return self.classes_[(values > 0).astype(int) if values.ndim == 1 else values.argmax(axis=1)]

    def _labelled(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool = True, classes: Any = None
    ) -> tuple[Array, Array, Array | None]:
        """Samples, targets (n,) or (n, k) and weights; `classes_` are *classes*, or those of y, if *reset*."""
        X, y = checked(self, X, y=y, reset=reset, numeric=False)
        y = _of_one_kind(y)
        check_classification_targets(y)
        X, y, weight = counted(X, y, sample_weight)
        if reset:
            self.classes_ = _classes(y if classes is None else classes)
        index = _indices(y, self.classes_)
        factors = _factors(self.class_weight, self.classes_, index, weight)
        k = len(self.classes_)
        targets = 2.0 * (index == 1 if k == 2 else index[:, None] == np.arange(k)) - 1
        if factors is None:
            return X, targets, weight
        return counted(X, targets, factors[index] * (1.0 if weight is None else weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = is_even(self.activation)
        return tags


def _of_one_kind(labels: Any) -> Any:
    """Labels (n,) that came as Python's numbers, which scikit-learn does not know, as an array of them."""
    if labels.dtype != object:
        return labels
    _different(labels)  # raises where they cannot be sorted
    plain = np.asarray(labels.tolist())
    return plain if plain.dtype.kind in "biuf" and plain.shape == labels.shape else labels


def _classes(labels: Any) -> Any:
    """The different labels, (k,), sorted."""
    classes, _ = _different(labels)
    if len(classes) < 2:
        raise ValueError(
            f"y has samples of one class alone, {shown(classes.tolist())}, of weight above zero; pass samples of two "
            "classes or more"
        )
    return classes


def _different(labels: Any) -> tuple[Any, Any]:
    """The different labels, sorted, and where each label (n,) is among them."""
    try:
        found, index = np.unique(np.asarray(labels), return_inverse=True)
    except TypeError as error:
        raise TypeError(
            f"y has labels that cannot be sorted ({error}); pass labels of one kind, e.g. strings alone"
        ) from None
    return found, index


def _indices(y: Any, classes: Any) -> Any:
    """Where in *classes* the labels y (n,) are."""
    positions = {label: k for k, label in enumerate(classes)}
    found, index = _different(y)
    for label in found:
        if label not in positions:
            raise ValueError(
                f"y has the label {shown(label)}, which is none of the classes {shown(classes.tolist())} that training "
                "began with; pass those alone, or fit anew"
            )
    return np.array([positions[label] for label in found])[index]


def _factors(class_weight: Any, classes: Any, index: Any, weight: Array | None) -> Array | None:
    """What the samples of each class count (k,), or None if all count 1."""
    if class_weight is None:
        return None
    if isinstance(class_weight, str) and class_weight == "balanced":
        shares = None if weight is None else weight / weight.max()  # no sum of these overflows
        counts = np.bincount(index, weights=shares, minlength=len(classes))
        return np.divide(counts.sum() / len(classes), counts, out=np.zeros(len(classes)), where=counts > 0)
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            f"class_weight must be None, 'balanced' or a dict from labels to numbers, got {shown(class_weight)}; pass "
            "one of them"
        )
    known = list(classes)
    unknown = [label for label in class_weight if label not in known]
    if unknown and not all(label in class_weight for label in known):
        raise ValueError(
            f"class_weight has a weight for {shown(unknown[0])}, which is none of the classes "
            f"{shown(classes.tolist())}; pass weights of those"
        )
    return np.array([check_number(f"class_weight[{label!r}]", class_weight.get(label, 1)) for label in known])
