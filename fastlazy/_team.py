"""Threads for the compiled layer: how many there may be, and how a team of them makes one call together."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from fastlazy._core.team import board_size, stop


def available_cores() -> int:
    """The number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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


@contextmanager
def team(members: int) -> Iterator[Callable[..., None]]:
    """A function that calls f(member, members, board, *args) for every member at once and waits for all.

    An interrupt while it waits sends the members home before it goes on, so that none is left behind to
    wait for the others.
    """
    board = np.zeros(board_size(members), np.int64)
    if members == 1:
        yield lambda function, *args: function(0, 1, board, *args)
        return
    with ThreadPoolExecutor(members, thread_name_prefix="fastlazy") as pool:

        def together(function: Callable[..., Any], *args: Any) -> None:
            calls: list[Future[Any]] = []
            try:
                for member in range(members):
                    calls.append(pool.submit(function, member, members, board, *args))
                wait(calls)
            except BaseException:  # an interrupt, above all: it is raised again
                stop(board)
                raise
            for call in calls:
                call.result()

        yield together
