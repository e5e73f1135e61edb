"""Where cells run: processes of this machine, a dask cluster, or any executor that the caller has.

A process that dies takes with it what it was at. Our own workers say which cell that was: each is an executor
of one process, so that a death breaks nothing else, and is replaced. A cluster that gives a cell up does not
tell the cell that killed the worker from one that was there by chance; the driver finds out (`fastlazy.sweep`).
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from loky import ProcessPoolExecutor

from fastlazy._team import available_cores, one_blas_thread
from fastlazy._validate import check_count

_AHEAD = 2  # cells in flight for each worker: one at work, one at hand
_ASKED = 5.0  # seconds between two questions to a cluster how large it is

_ENVIRONMENT = {
    **dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"], "1"),
    # loky ends workers that have grown by 300 MB, for fear of a leak; one Gram matrix is 162 MB at N = 4500.
    "LOKY_MAX_MEMORY_LEAK_SIZE": "1e15",
}


class WorkerLostError(Exception):
    """The worker ended while it was at this very call."""


@dataclass(frozen=True)
class Engine:
    """An executor, and what the driver has to know of it.

    Attributes
    ----------
    executor : Executor
    room : callable
        () to the number of calls to keep in flight.
    workers : callable
        () to the number of workers, as far as it is known.
    kind : str
        "own": its calls raise `WorkerLostError`; "dask": they raise dask's KilledWorker, after some attempts, and
        perhaps through no fault of their own; "given": what is lost is the whole executor.
    """

    executor: Executor
    room: Callable[[], int]
    workers: Callable[[], int]
    kind: str = "given"


@contextmanager
def open_engine(executor: Any, n_workers: int | None) -> Iterator[Engine]:
    """The engine for what `run_sweep` takes as *executor*; its own workers are killed if the block raises.

    Raises
    ------
    TypeError, ValueError
        If *executor* is of no known kind.
    ModuleNotFoundError
        If it asks for dask, which is not installed.
    OSError
        If there is no dask scheduler at the address given.
    """
    count = None if n_workers is None else check_count("n_workers", n_workers)
    if executor is None:
        workers = Workers(count or available_cores())
        try:
            yield Engine(workers, lambda: _AHEAD * workers.count, lambda: workers.count, "own")
        except BaseException:
            workers.kill()
            raise
        workers.shutdown()
    elif isinstance(executor, str):
        with _dask_client(executor) as client:
            yield _dask_engine(client, count)
    elif hasattr(executor, "get_executor") and hasattr(executor, "scheduler_info"):
        yield _dask_engine(executor, count)
    elif isinstance(executor, Executor):
        size = count or getattr(executor, "_max_workers", None) or available_cores()
        yield Engine(executor, lambda: _AHEAD * size, lambda: size)
    else:
        raise TypeError(
            f"executor must be None, a concurrent.futures.Executor, a dask Client or 'dask:tcp://host:port', got "
            f"{type(executor).__name__}; pass one of these"
        )


def _dask_engine(client: Any, count: int | None) -> Engine:
    known = [0, -_ASKED]  # threads, and when we asked

    def threads() -> int:
        if time.monotonic() - known[1] >= _ASKED:
            known[:] = [sum(client.nthreads().values()), time.monotonic()]
        return count or max(1, int(known[0]))

    return Engine(client.get_executor(), lambda: _AHEAD * threads(), threads, "dask")


@contextmanager
def _dask_client(name: str) -> Iterator[Any]:
    kind, _, address = name.partition(":")
    if kind != "dask" or not address:
        raise ValueError(f"executor = {name!r} is not known; pass 'dask:tcp://host:port', the address of a scheduler")
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"executor = {name!r} needs dask.distributed, which is not installed; pip install 'fastlazy[dask]'"
        ) from None
    try:
        client = Client(address, timeout="10s", set_as_default=False)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise OSError(f"there is no dask scheduler at {address} ({error}); start one, or check the address") from None
    with client:
        yield client


@dataclass
class _Call:
    """A call and its outcome; *inner* is the future that the process's executor gave for it."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    outer: Future[Any]
    inner: Future[Any] | None = None


@dataclass
class _Slot:
    """The place of one worker, and the calls that it has been given, the first of them at work."""

    executor: Any = None
    calls: list[_Call] = field(default_factory=list)


class Workers(Executor):
    """Processes of one thread each. One that dies is replaced; the call that it was at raises `WorkerLostError`.

    Parameters
    ----------
    count : int
        How many. They start at once, and load what cells need while this process goes on.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._closed = False
        self._lock = threading.RLock()
        self._slots = [_Slot() for _ in range(count)]
        for slot in self._slots:
            self._replace(slot)

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:  # type: ignore[override]
        """The future of function(*arguments), which goes to the worker that has least to do."""
        call = _Call(function, arguments, Future())
        call.outer.set_running_or_notify_cancel()
        with self._lock:
            if self._closed:
                raise RuntimeError("these workers have been shut down; make others")
            slot = min(self._slots, key=lambda slot: len(slot.calls))
            slot.calls.append(call)
            self._give(slot, call)
        return call.outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers, once they have done what they were given."""
        self._end(wait=wait, kill_workers=cancel_futures)

    def kill(self) -> None:
        """End the workers at once."""
        self._end(wait=True, kill_workers=True)

    def _end(self, **how: bool) -> None:
        with self._lock:
            self._closed = True
        for slot in self._slots:
            slot.executor.shutdown(**how)

    def _replace(self, slot: _Slot) -> None:
        slot.executor = ProcessPoolExecutor(
            1, timeout=None, env=_ENVIRONMENT, initializer=_begin_worker, initargs=(os.getpid(),)
        )
        with _interrupts_blocked():
            slot.executor.submit(os.getpid)  # starts the process, which then has its first call at hand

    def _give(self, slot: _Slot, call: _Call) -> None:
        try:
            call.inner = slot.executor.submit(call.function, *call.arguments)
        except BrokenExecutor:  # it has died idle: nobody's fault
            self._replace(slot)
            call.inner = slot.executor.submit(call.function, *call.arguments)
        call.inner.add_done_callback(partial(self._ended, slot, call))

    def _ended(self, slot: _Slot, call: _Call, inner: Future[Any]) -> None:
        with self._lock:
            if call.inner is not inner:  # given anew since
                return
            error = None if inner.cancelled() else inner.exception()
            first = slot.calls[0] is call
            slot.calls.remove(call)
            if self._closed and (inner.cancelled() or isinstance(error, BrokenExecutor)):
                call.outer.set_exception(BrokenExecutor("the workers were shut down"))
            elif isinstance(error, BrokenExecutor):
                assert first  # a worker takes its calls in turn, and they are told of its end in turn
                self._replace(slot)
                for waiting in slot.calls:
                    self._give(slot, waiting)
                call.outer.set_exception(WorkerLostError(_exit_code(error)))
            elif error is not None:
                call.outer.set_exception(error)
            else:
                call.outer.set_result(inner.result())


def _exit_code(error: BaseException) -> str:
    found = re.search(r"\{(.+?)\}", str(error))  # as loky words it
    return found[1] if found else "exit code unknown"


def _begin_worker(driver: int) -> None:
    """Prepare a worker: Ctrl-C is the driver's, and without a driver there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    warnings.filterwarnings("ignore", "fit_nn diverged", RuntimeWarning)  # it is in the table
    from fastlazy import measure  # noqa: F401  (loaded now, not at the first cell)

    one_blas_thread().__enter__()  # for the life of the process


def _end_with(driver: int) -> None:
    """End this process soon after its parent, the *driver*, has ended, even by SIGKILL."""
    while os.getppid() == driver:
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes started within never see Ctrl-C, not even before they can say so themselves."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        with suppress(ValueError):
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
