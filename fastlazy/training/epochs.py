"""SGD of a network of any sigma on a data set: epochs in any order of its rows, W in panels all the while.

The steps are those of `fastlazy.training.fit_nn`, and so is the loop. The rows of X are read where they are: the data
is copied into the cache of the processor only. For x^2 and N > d rows of one sign the run is on R of W = Q R, as there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastlazy._core import sgd as core
from fastlazy._core.sgd import State
from fastlazy._support.arguments import Array
from fastlazy._support.threads import one_blas_thread
from fastlazy.activations.activation import Activation
from fastlazy.kernels.features import form_values, rf_values
from fastlazy.targets.quadratic import quadratic_form
from fastlazy.training.loop import SQUARE, TRAINED, Course, Loop, Setup, training_loop
from fastlazy.training.start import reduced

_BLOCK = 2048  # samples whose answers are made at a time


def network_values(
    X: Array, W: Array, a: float | Array, c: float, activation: Activation = SQUARE, *, parallel: bool = True
) -> Array:
    """f(x) = sum_i a_i sigma(<w_i, x>) + c, shape (n,), of the dtype of X (n, d) and W (N, d); a (N,) or one number.

    Raises
    ------
    ValueError
        If a value is not finite, for a sigma that is not x^2.
    """
    dtype = np.result_type(X, W)
    rows, weights = X.astype(dtype, copy=False), np.ascontiguousarray(W, dtype)
    second = np.broadcast_to(np.asarray(a, dtype), len(W))
    if not activation.is_square:
        values = rf_values(np.ascontiguousarray(rows), weights, second[None], activation, parallel=parallel)[:, 0]
    elif X.shape[1] < len(W):
        values = form_values(rows, quadratic_form(weights, second)[None])[:, 0]
    else:
        starts = range(0, len(rows), _BLOCK)
        values = np.concatenate([(rows[start : start + _BLOCK] @ weights.T) ** 2 @ second for start in starts])
    return (values + c).astype(dtype)


class Training:
    """A network in training on X (n, d) and y (n,), both of the dtype of the run.

    Parameters
    ----------
    loop : Loop
        Of the network, packed.
    data : tuple of ndarray
        X, y and, if samples have any, their weights (n,), of mean 1.
    start : State
        The whole network at the start.
    expand : callable
        Takes the rows of the run to the rows of the whole network.
    shape : tuple of int
        Of the rows of the run.
    """

    def __init__(
        self, loop: Loop, data: tuple[Array, ...], start: State, expand: Callable[[Array], Array], shape: Any
    ) -> None:
        self.loop, self.data, self.network = loop, data, loop.setup.network
        self._start, self._expand, self._shape = start, expand, shape

    def epoch(self, order: np.ndarray[Any, np.dtype[np.int64]], rates: Array) -> float:
        """The mean squared error of the samples in that *order* of rows, each just before the step it takes part in.

        Where samples have weights each square is multiplied by its own, in the steps, too. The network is trained in
        place, with the steps *rates* (3,) of W, the second layer and the offset.
        """
        self.network.state[3] = 0
        X, y, *weight = self.data
        self.loop.gather(X, y, order, *weight)
        for _ in self.loop.run(Course(len(order), lambda _, count: np.tile(rates, (count, 1)))):
            pass
        return float(self.network.state[3]) / len(order)

    def state(self) -> State:
        """The network, copied."""
        state = core.unpack(self.network, *self._shape)
        a = state.a if self.loop.setup.trained == core.FREE else self._start.a
        return state._replace(W=self._expand(state.W), a=a)

    def saved(self) -> tuple[Array, ...]:
        """A copy of what `restore` goes back to."""
        return tuple(part.copy() for part in self.network)

    def restore(self, saved: tuple[Array, ...]) -> None:
        """Go back to what was *saved*, in place."""
        for part, before in zip(self.network, saved, strict=True):
            part[...] = before

    def finite(self) -> bool:
        """Whether all numbers of the network are finite."""
        return all(bool(np.isfinite(part).all()) for part in self.network)


@contextmanager
def training(
    X: Array,
    y: Array,
    state: State,
    second_layer: str,
    batch_size: int,
    *,
    activation: Activation = SQUARE,
    weight: Array | None = None,
    parallel: bool = True,
) -> Iterator[Training]:
    """A `Training` of the network *state*, which is not modified.

    Parameters
    ----------
    X : ndarray, shape (n, d)
        C-contiguous, float32 or float64: the dtype of the run.
    y : ndarray, shape (n,)
        Of that dtype.
    state : State
    second_layer : str
        "ones", "signs", "scalar" or "free", as `fastlazy.fit_nn` takes it.
    batch_size : int
    activation : Activation
        sigma.
    weight : ndarray, shape (n,), optional
        What the squared error of each sample counts, of mean 1 and of that dtype.
    parallel : bool
        False: on the calling thread alone.

    Raises
    ------
    ValueError
        If sigma has no derivative.
    """
    trained = TRAINED[second_layer]
    N, d = state.W.shape
    with one_blas_thread():
        rows, a, expand = reduced(state.W, state.a, activation.is_square and trained != core.FREE)
        network = core.pack(rows, a, state.gain, state.c, X.dtype)
        b = min(batch_size, len(X))
        setup = Setup(network, trained, b, min(N, d), np.zeros(d), 0.0, activation, len(rows))
        with training_loop(setup, None if parallel else 1) as loop:
            yield Training(loop, (X, y) if weight is None else (X, y, weight), state, expand, rows.shape)
