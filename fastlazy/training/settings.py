"""The checked arguments of `fastlazy.fit_nn` that say what is trained, on how many samples, and what is recorded."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fastlazy.activations.activation import Activation
from fastlazy.risk.nn import nn_risk
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.targets.quadratic import QuadraticFunction
from fastlazy.training.classes import Learned, learned_function, left_out
from fastlazy.training.loop import TRAINED


@dataclass(frozen=True, eq=False)
class Settings:
    """Arguments of `fastlazy.fit_nn`, which says what they mean, each checked; where it starts is a `Start`."""

    target: Learned
    N: int
    activation: Activation
    batch_size: int
    n_samples: int
    dtype: np.dtype[Any]
    second_layer: str
    n_records: int
    rng: np.random.Generator
    n_threads: int | None
    callback: Callable[[Any], Any] | None  # takes the Fit so far
    init: str
    reduce: bool
    diagnostics: bool
    checkpoint: str | os.PathLike[str] | None
    progress: bool

    def __post_init__(self) -> None:
        if self.diagnostics and self.mixture is not None:
            raise ValueError(
                "diagnostics=True is for a QuadraticTarget, not for a GaussianMixture; leave it out, and look at the "
                "weights in a callback"
            )
        trace_norm = float(np.abs(self.learned.eigenvalues).sum())
        if self.dtype == np.float32 and trace_norm > 0 and not 1e-15 <= trace_norm <= 1e15:
            raise ValueError(
                f"target has eigenvalues of sum {trace_norm:.3g} in modulus, too far from 1 for dtype float32; "
                "pass dtype=np.float64, or scale B and b0"
            )

    @property
    def mixture(self) -> GaussianMixture | None:
        """The target, if it is a mixture of two classes."""
        return self.target if isinstance(self.target, GaussianMixture) else None

    @cached_property
    def learned(self) -> QuadraticFunction:
        """The quadratic function that the start and the steps are made for: the target, or one of a mixture's modes."""
        return learned_function(self.target, self.N)

    @property
    def noise(self) -> float | None:
        """The nu of other steps "auto" than those of x^2 for a mixture; None: it follows from the target."""
        return None if self.mixture is None else nn_risk(self.mixture, self.N)

    @property
    def b0(self) -> float:
        """The constant that a run leaves out of the target and of c."""
        return left_out(self.target)

    @property
    def b(self) -> int:
        """Samples of one step: there may be fewer in all than *batch_size*."""
        return min(self.batch_size, self.n_samples)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return -(-self.n_samples // self.b)

    @property
    def trained(self) -> int:
        """What of the second layer is trained, as the core names it."""
        return TRAINED[self.second_layer]

    @property
    def common(self) -> bool:
        """Whether one number is the second layer of all neurons."""
        return self.second_layer in ("ones", "scalar")

    @property
    def marks(self) -> list[int]:
        """Numbers of samples after which the risk is recorded, the start excepted."""
        count = min(max(self.n_records, 2), self.n_samples + 1)
        return np.linspace(0, self.n_samples, count).round().astype(int)[1:].tolist()


def check_callback(callback: Any) -> Callable[[Any], Any] | None:
    """*callback*, if it is None or can be called; else TypeError is raised."""
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of a Fit, got {type(callback).__name__}; pass such a function")
    return callback


def check_seed(checkpoint: Any, rng: Any) -> Any:
    """*checkpoint*, if it is None or *rng* makes a later call the same run; else ValueError is raised."""
    if checkpoint is not None and rng is None:
        raise ValueError("checkpoint was given without a seed, so that no later call is the same run; pass e.g. rng=0")
    return checkpoint
