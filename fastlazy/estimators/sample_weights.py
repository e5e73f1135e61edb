"""Weights of samples, checked: what the squared error of each sample counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlazy._support.arguments import Array, shown

# After what says clearly that scikit-learn is missing, if it is.
from fastlazy.estimators import _sklearn  # noqa: F401  # isort: skip
from sklearn.utils.validation import _check_sample_weight  # isort: skip


def counted(X: Array, y: Any, sample_weight: Any) -> tuple[Array, Any, Array | None]:
    """Samples, responses and weights (n,), float64, without the samples of weight zero; None if there are no weights.

    Parameters
    ----------
    X : ndarray, shape (n, d)
    y : ndarray, shape (n,) or (n, t)
    sample_weight : object
        None, a number for all samples, or one for each.

    Returns
    -------
    X, y, weight

    Raises
    ------
    TypeError, ValueError
        If weights are no numbers >= 0, one for each sample, or all are zero.
    """
    if sample_weight is None:
        return X, y, None
    weight = _check_sample_weight(_numbers(sample_weight, len(X)), X, dtype=np.float64, ensure_non_negative=True)
    if not weight.any():  # which scikit-learn lets pass before 1.9
        raise ValueError("Sample weights must contain at least one non-zero number; pass sample_weight > 0")
    kept = weight > 0
    if kept.all():
        return X, y, weight
    return np.ascontiguousarray(X[kept]), y[kept], weight[kept]


def _numbers(sample_weight: Any, n: int) -> Array:
    """Weights of samples as float64, whatever their shape; *n* times a single one."""
    try:
        weight = np.asarray(sample_weight)
        if weight.dtype.kind in "cUSmM":
            raise TypeError(f"dtype {weight.dtype}")
        return np.full(n, weight, np.float64) if weight.ndim == 0 else weight.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"sample_weight must hold one number >= 0 for each sample, got {shown(sample_weight)} ({error}); pass "
            "shape (n,)"
        ) from None
