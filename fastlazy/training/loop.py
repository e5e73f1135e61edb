"""The training loop: how samples are cut into blocks, the team that works on them, and the calls of the compiled steps.

Samples are drawn or gathered from a data set, and the loop is the same. A run is made of blocks of m minibatches of b
samples, then of the minibatches that are left, then of the samples that are left: see `fastlazy._core.sgd`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from fastlazy._core import sgd as core
from fastlazy._core.loops import loop_address
from fastlazy._support.arguments import Array
from fastlazy._support.threads import Team, one_blas_thread, share_threads, team
from fastlazy.activations.activation import Activation
from fastlazy.activations.builtin import get_activation

TRAINED = {"ones": core.FIXED, "signs": core.FIXED, "scalar": core.SCALAR, "free": core.FREE}
CHUNK = 4e9  # multiply-adds of one thread between two returns to the interpreter: well under a second
SQUARE = get_activation("square")
SHARE = 2_000_000  # multiply-adds of a block that a thread must get to be worth its place


class Setup(NamedTuple):
    """What a loop trains, and on what samples if they are drawn."""

    network: core.Network  # it is trained in place
    trained: int  # core.FIXED, SCALAR or FREE
    b: int  # samples of a minibatch
    neurons: int  # of the smallest network that could be the same function
    beta: Array  # (d,) eigenvalues of the target; those of a data set do not matter
    b0: float
    activation: Activation = SQUARE
    moving: int | None = None  # neurons that are trained, the first; None: all, as they must be for x^2
    spreads: Array | None = None  # (2, d) standard deviations of x given y = 1 and -1; None: the target is quadratic

    @property
    def by_coefficients(self) -> bool:
        """Whether blocks of several minibatches go by coefficients, or by rows: see `fastlazy._core.block`."""
        return self.activation.is_square and core.has_coefficients(self.neurons, self.trained)

    @property
    def m(self) -> int:
        """Minibatches of a block."""
        return core.minibatches_per_block(self.b, self.by_coefficients)

    @property
    def loops(self) -> tuple[int, int] | None:
        """The compiled loops of sigma and sigma', or None for x^2, which needs none."""
        sigma, dtype = self.activation, self.network.W.dtype
        if sigma.is_square:
            return None
        return loop_address(sigma.compiled, dtype), loop_address(sigma.compiled_derivative, dtype)

    @property
    def block_work(self) -> int:
        """Multiply-adds of a block."""
        panels, d4, width = self.network.W.shape
        return 2 * self.b * self.m * panels * width * d4


class Course(NamedTuple):
    """How many samples a run takes, with what steps, and where it stops on its way."""

    n_samples: int
    rates: Callable[[int, int], Array]  # rates(k, count): (eta_W, eta_a, eta_c) of steps k, k + 1, ... (count, 3)
    key: np.uint64 = np.uint64(0)  # selects the samples, if they are drawn
    marks: Sequence[int] = ()  # numbers of samples at which a record is due, ascending
    seen: int = 0  # samples that the network had seen before


class Part(NamedTuple):
    """Blocks of one size, one after the other."""

    b: int  # samples of a minibatch
    m: int  # minibatches of a block
    blocks: int

    @property
    def samples(self) -> int:
        """Samples of a block."""
        return self.b * self.m


class Place(NamedTuple):
    """How far a run has come."""

    seen: int = 0  # samples
    step: int = 0  # minibatches
    block: int = 0

    def after(self, part: Part, blocks: int) -> Place:
        """The place that lies so many *blocks* further on."""
        return Place(self.seen + blocks * part.samples, self.step + blocks * part.m, self.block + blocks)


class Loop:
    """Trains the network of *setup*, with a team."""

    def __init__(self, setup: Setup, together: Team) -> None:
        self.setup, self.together = setup, together
        self.longest = max(1, int(CHUNK * together.members / setup.block_work))  # most blocks of one call
        moving = setup.network.a[0].size if setup.moving is None else setup.moving
        size, several = setup.b * setup.m, setup.m > 1
        shape = core.Shape(size, several, setup.by_coefficients, setup.loops, moving, together.members)
        self.samples, self.work = core.allocate(setup.network, setup.beta, setup.b0, shape, setup.spreads)

    def gather(
        self, X: Array, y: Array, order: np.ndarray[Any, np.dtype[np.int64]], weight: Array | None = None
    ) -> None:
        """Take the samples from X (n, d) and y (n,) from now on, in that *order* of rows: they are not copied.

        The squared error of each row counts *weight* (n,), of the dtype of y; without, all count 1.
        """
        parts, length = self._parts(len(order)), self.samples.y.shape[2]
        rows = np.full((sum(part.blocks for part in parts), length), -1)
        place = Place()
        for part in parts:
            end = place.after(part, part.blocks)
            chosen = order[place.seen : end.seen].reshape(part.blocks, part.samples)
            rows[place.block : end.block, : part.samples] = chosen
            place = end
        self.samples = self.samples._replace(given=core.given(X, y, rows.reshape(-1, 4), weight))

    def run(self, course: Course) -> Iterator[tuple[int, bool]]:
        """Train the network in place; yield how many samples it has seen, and whether a record is due, on the way.

        A record is due at the end of the first block at or past each of the marks, and where a number of the network
        is not finite.
        """
        state = self.setup.network.state
        waiting = iter(course.marks)
        mark = next((later for later in waiting if later > course.seen), course.n_samples)
        place = Place()
        for part in self._parts(course.n_samples):
            done = min(part.blocks, max(0, course.seen - place.seen) // part.samples)
            place, left = place.after(part, done), part.blocks - done
            while left > 0:
                blocks = min(left, self.longest, max(1, -(-(mark - place.seen) // part.samples)))
                self._advance(course, part, place, blocks)
                place, left = place.after(part, blocks), left - blocks
                due = place.seen >= mark or not np.isfinite(state).all()
                yield place.seen, due
                if due:
                    mark = next((later for later in waiting if later > place.seen), course.n_samples)

    def _parts(self, n_samples: int) -> list[Part]:
        """The parts of a run of so many samples."""
        b, m = self.setup.b, self.setup.m
        whole, rest = divmod(n_samples, b)
        parts = [Part(b, m, whole // m), Part(b, whole % m, 1), Part(rest, 1, 1)]
        return [part for part in parts if part.samples > 0]

    def _advance(self, course: Course, part: Part, place: Place, blocks: int) -> None:
        """Train on so many *blocks* of *part*, in place."""
        groups = self.samples.X.shape[1]
        stretch = core.Stretch(course.key, place.block * groups, blocks, part.b, part.m, self.setup.trained)
        rates = course.rates(place.step, blocks * part.m)
        self.together(core.advance, stretch, rates, self.samples, self.work, self.setup.network)
        if self.work.sigma.errors.any():
            raise ValueError(
                f"activation {self.setup.activation.name!r} raised an error in training; make it a function of every "
                "finite number, or lower step_size"
            )


@contextmanager
def training_loop(setup: Setup, n_threads: int | None = None) -> Iterator[Loop]:
    """A `Loop` with a team of its own: of at most *n_threads*, or of as many as there are and the work is worth."""
    work = setup.block_work
    members = share_threads(work, SHARE) if n_threads is None else max(1, min(n_threads, work // SHARE))
    # BLAS has threads of its own, which spin for a while after the product that a record takes.
    with team(members) as together, one_blas_thread():
        yield Loop(setup, together)
