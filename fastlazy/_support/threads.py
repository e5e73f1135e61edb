"""Threads for the compiled layer: how many there may be, and how a team of them makes one call together.

A call decides its number of threads once, when it makes its team. Whatever is sized by that number asks the team for
it (`Team.members`), never the machine again: the processors that a process may use can change while a call runs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from fastlazy._core.team import board_size, stop

THREAD_VARIABLES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


def available_cores() -> int:
    """The number of processors that this process may use: its affinity, or less if its control group has a quota."""
    from loky import cpu_count  # here, since it takes a tenth of a second

    return int(cpu_count())


def thread_limit() -> int:
    """Threads that one call may use: the available processors, and no more than the environment says.

    OMP_NUM_THREADS and NUMBA_NUM_THREADS count, which joblib sets in its workers, so that processes side by side do
    not compete. Of a list such as "4,2", which OpenMP has for nested teams, the first number counts.
    """
    limits = [os.environ.get(variable, "").partition(",")[0].strip() for variable in THREAD_VARIABLES]
    return min([available_cores(), *(int(limit) for limit in limits if limit.isdecimal() and int(limit) > 0)])


def share_threads(work: float, share: float) -> int:
    """Threads for so much *work*, of which each should get a *share*: no more than other calls of this process leave.

    Parameters
    ----------
    work, share : float
        In the same unit.

    Returns
    -------
    int
        At least 1.
    """
    worth = int(work / share)
    return 1 if worth <= 1 else max(1, min(worth, thread_limit() - _busy.threads))


class _Busy:
    """How many threads the teams of this process have."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.threads = 0

    def add(self, threads: int) -> None:
        with self._lock:
            self.threads += threads


_busy = _Busy()


class _OneBlasThread:
    """A limit that holds while anyone is within it: BLAS has one for the whole process, its threads have many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limits: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._limits = threadpool_limits(1, user_api="blas")
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limits.restore_original_limits()


_one_blas_thread = _OneBlasThread()


def one_blas_thread() -> _OneBlasThread:
    """A context in which BLAS has one thread, so that results do not depend on how many there are."""
    return _one_blas_thread


class Team(NamedTuple):
    """Threads that call f(member, members, board, *args) together, one call for each member, and wait for all.

    An interrupt while a call runs sends the members home before it goes on, so that none is left behind to
    wait for the others.
    """

    members: int
    board: np.ndarray[Any, np.dtype[np.int64]]
    pool: ThreadPoolExecutor | None  # None: the calling thread is the only member

    def __call__(self, function: Callable[..., Any], *args: Any) -> None:
        """Call *function* for every member, with the arrays among *args* written in place."""
        if self.pool is None:
            function(0, 1, self.board, *args)
            return
        calls: list[Future[Any]] = []
        try:
            for member in range(self.members):
                calls.append(self.pool.submit(function, member, self.members, self.board, *args))
            wait(calls)
        except BaseException:  # an interrupt, above all: it is raised again
            stop(self.board)
            raise
        for call in calls:
            call.result()


@contextmanager
def team(members: int, *, interruptible: bool = False) -> Iterator[Team]:
    """A team of so many *members*, or of the calling thread alone where no threads can be had.

    That is so at the end of the interpreter, and where the system has no more of them. Threads are kept for the next
    team of that size. An *interruptible* team of one
    has a thread, too: compiled code that runs on the calling thread itself does not see Ctrl-C until it returns.
    """
    pool = _idle.take(members) if members > 1 or interruptible else None
    if pool is not None and not _all_started(pool, members):
        pool.shutdown()
        pool, members = None, 1
    _busy.add(members)
    try:
        yield Team(members, np.zeros(board_size(members), np.int64), pool)
    except BaseException:  # members may still be on their way home
        if pool is not None:
            pool.shutdown()
        raise
    else:
        if pool is not None:
            _idle.keep(members, pool)
    finally:
        _busy.add(-members)


class _Idle:
    """The threads of the last team: to start others takes a millisecond, as long as a small kernel."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._key: Any = None

    def take(self, members: int) -> ThreadPoolExecutor:
        """Threads for so many *members*, which nobody else uses."""
        with self._lock:
            if self._pool is not None and self._key == _kind(members):
                pool, self._pool = self._pool, None
                return pool
        return ThreadPoolExecutor(members, thread_name_prefix="fastlazy")

    def keep(self, members: int, pool: ThreadPoolExecutor) -> None:
        """Keep a *pool* that is no longer used, in place of the one that was kept."""
        with self._lock:
            last, self._pool, self._key = self._pool, pool, _kind(members)
        if last is not None:
            last.shutdown()

    def forget(self) -> None:
        """Begin anew in a process that was forked: threads stay behind."""
        self.__init__()  # type: ignore[misc]


def _kind(members: int) -> tuple[int, object]:
    """What threads must have in common to take each other's place: they keep the processors of their first day."""
    return members, os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


_idle = _Idle()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.forget)


def _all_started(pool: ThreadPoolExecutor, members: int) -> bool:
    """Whether each member has a thread of its own: they must run at once."""
    gate = threading.Barrier(members + 1)
    try:
        for _ in range(members):
            pool.submit(_pass, gate)
    except RuntimeError:
        gate.abort()
        return False
    gate.wait()
    return True


def _pass(gate: threading.Barrier) -> None:
    try:
        gate.wait()
    except threading.BrokenBarrierError:
        return
