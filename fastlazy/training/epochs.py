"""SGD of the quadratic network on a data set: epochs in any order of its rows, W in panels all the while.

The steps are those of `fastlazy.training.fit_nn`, on rows of X where they are used: nothing of the data is copied but
into the cache. For N > d rows of one sign the run takes place on R of W = Q R, as there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from fastlazy._core import sgd as core
from fastlazy._support.arguments import Array
from fastlazy._support.threads import Team, one_blas_thread, share_threads, team
from fastlazy.kernels.features import form_values
from fastlazy.training.fit_nn import CHUNK, SHARE, TRAINED
from fastlazy.training.start import reduced

_BLOCK = 2048  # samples of which an answer is made at a time


class State(NamedTuple):
    """A network f(x) = alpha sum_i a_i <w_i, x>^2 + c."""

    W: Array  # (N, d)
    a: Array  # (N,)
    alpha: float
    c: float


def network_values(X: Array, W: Array, a: float | Array, c: float) -> Array:
    """f(x) = sum_i a_i <w_i, x>^2 + c, shape (n,), of the dtype of X (n, d) and W (N, d); a (N,) or one number."""
    dtype = np.result_type(X, W)
    rows, weights = X.astype(dtype, copy=False), W.astype(dtype, copy=False)
    second = np.broadcast_to(np.asarray(a, dtype), len(W))
    if X.shape[1] < len(W):
        values = form_values(rows, ((weights.T * second) @ weights)[None])[:, 0]
    else:
        starts = range(0, len(rows), _BLOCK)
        values = np.concatenate([(rows[start : start + _BLOCK] @ weights.T) ** 2 @ second for start in starts])
    return (values + c).astype(dtype)


class Training:
    """A network in training on X (n, d) and y (n,), both of the dtype of the run."""

    def __init__(self, together: Team, X: Array, y: Array, state: State, second_layer: str, b: int) -> None:
        self.together, self.b, self.trained = together, b, TRAINED[second_layer]
        rows, a, self._expand = reduced(state.W, state.a, self.trained != core.FREE)
        self._a, self._shape = state.a, rows.shape
        self.network = core.pack(rows, a, state.alpha, state.c, X.dtype)
        size = min(len(state.W), X.shape[1])
        self.m = core.minibatches_per_block(b, size, self.trained)
        panels, d4, width = self.network.W.shape
        self.longest = max(1, int(CHUNK * together.members / (2 * b * self.m * panels * width * d4)))
        by_coefficients = core.has_coefficients(size, self.trained)
        self.samples, self.work = core.allocate(
            self.network, np.zeros(X.shape[1]), 0.0, b * self.m, self.m > 1, by_coefficients, together.members
        )
        self.data = X, y

    def epoch(self, order: np.ndarray[Any, np.dtype[np.int64]], rates: Array) -> float:
        """The mean squared error of the samples in that *order* of rows, each just before the step it takes part in.

        The network is trained in place, with the steps *rates* (3,) of W, the second layer and the offset.
        """
        whole, rest = divmod(len(order), self.b)
        parts = [(self.b, self.m, whole // self.m), (self.b, whole % self.m, 1), (rest, 1, 1)]
        groups = self.samples.X.shape[1]
        self.network.state[3] = 0
        used = 0
        for size, several, blocks in parts:
            count = size * several
            if count == 0:
                continue
            rows = np.full((blocks, 4 * groups), -1)
            rows[:, :count] = order[used : used + blocks * count].reshape(blocks, count)
            used += blocks * count
            given = core.given(*self.data, rows.reshape(-1, 4))
            for start in range(0, blocks, self.longest):
                these = min(self.longest, blocks - start)
                steps = np.tile(rates, (these * several, 1))
                samples = self.samples._replace(given=given)
                first = start * groups
                self.together(
                    core.advance, np.uint64(0), first, these, size, several, steps, self.trained, samples, self.work,
                    self.network,
                )  # fmt: skip
        return float(self.network.state[3]) / len(order)

    def state(self) -> State:
        """The network, copied."""
        rows, a, alpha, c = core.unpack(self.network, *self._shape)
        return State(self._expand(rows), a if self.trained == core.FREE else self._a, alpha, c)

    def saved(self) -> tuple[Array, ...]:
        """A copy of what `restore` goes back to."""
        return tuple(part.copy() for part in self.network)

    def restore(self, saved: tuple[Array, ...]) -> None:
        """Go back to what was *saved*, in place."""
        for part, before in zip(self.network, saved, strict=True):
            part[...] = before

    def finite(self) -> bool:
        """Whether all numbers are."""
        return all(bool(np.isfinite(part).all()) for part in self.network)


@contextmanager
def training(
    X: Array, y: Array, state: State, second_layer: str, batch_size: int, *, parallel: bool = True
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
    parallel : bool
        False: on the calling thread alone.
    """
    N, d = state.W.shape
    work = 2 * max(batch_size, 24) * N * d
    members = share_threads(work, SHARE) if parallel else 1
    with team(members) as together, one_blas_thread():
        yield Training(together, X, y, state, second_layer, min(batch_size, len(X)))
