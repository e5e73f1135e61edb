"""Where cells run: processes of this machine, a dask cluster, or any executor that the caller has.

A process that dies takes with it what it was at. Our own workers say which cell that was: each is an executor
of one process with one cell, so that a death breaks nothing else, and is replaced. A cluster that gives a cell
up does not tell the cell that killed the worker from one that was there by chance; the driver finds out
(`fastlazy.sweeps.driver`).
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from loky import ProcessPoolExecutor

from fastlazy._support.arguments import check_count
from fastlazy._support.threads import available_cores, one_blas_thread
from fastlazy.sweeps.black_box import LastWords, call_of, last_words, open_box

_AHEAD = 2  # cells in flight for each worker: one at work, one that waits for the first to be free
_CONNECTED = "10s"  # in which a scheduler must answer
_ASKED = 5.0  # seconds between two questions to a cluster how large it is

_ENVIRONMENT = {
    **dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"], "1"),
    # loky ends workers that have grown by 300 MB, for fear of a leak; one Gram matrix is 162 MB at N = 4500.
    "LOKY_MAX_MEMORY_LEAK_SIZE": "1e15",
}


class WorkerLostError(Exception):
    """The worker ended while it was at this very call.

    Attributes
    ----------
    words : LastWords
        What is known of its end.
    """

    def __init__(self, how: str, words: LastWords) -> None:
        super().__init__(how)
        self.words = words


class Place(NamedTuple):
    """A worker that is at a call."""

    process: int
    call: int  # how many calls of its batch it is through with


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
    at_work : callable
        () to the worker of each call that one is at, by its future, as far as they are known.
    kind : str
        "own": its calls raise `WorkerLostError`; "dask": they raise dask's KilledWorker, after some attempts, and
        perhaps through no fault of their own; "given": what is lost is the whole executor.
    """

    executor: Executor
    room: Callable[[], int]
    workers: Callable[[], int]
    kind: str = "given"
    at_work: Callable[[], dict[Future[Any], Place]] = dict


@contextmanager
def open_engine(executor: Any, n_workers: int | None) -> Iterator[Engine]:
    """The engine for what `run_sweep` takes as *executor*; its own workers are killed if the block raises.

    Raises
    ------
    TypeError, ValueError
        If *executor* is of no known kind.
    RuntimeError
        If processes are asked for where none may be started.
    ModuleNotFoundError
        If it asks for dask, which is not installed.
    OSError
        If there is no dask scheduler at the address given.
    """
    count = check_engine(executor, n_workers)
    if executor is None:
        if multiprocessing.current_process().daemon:
            raise RuntimeError(
                "this process is a worker of multiprocessing.Pool, which may not start processes; pass "
                "executor=ThreadPoolExecutor(...) of concurrent.futures, or sweep outside of the pool"
            )
        workers = Workers(count or available_cores())
        try:
            yield Engine(workers, lambda: _AHEAD * workers.count, lambda: workers.count, "own", workers.at_work)
        except BaseException:
            workers.kill()
            raise
        workers.shutdown()
    elif isinstance(executor, str):
        with _dask_client(executor) as client:
            yield _dask_engine(client, count)
    elif isinstance(executor, Executor):
        size = count or getattr(executor, "_max_workers", None) or available_cores()
        yield Engine(executor, lambda: _AHEAD * size, lambda: size)
    else:
        yield _dask_engine(executor, count)


def check_engine(executor: Any, n_workers: int | None) -> int | None:
    """*n_workers*, once it is known that `open_engine` takes the arguments; nothing is started or connected to.

    Raises
    ------
    TypeError, ValueError
        If it does not.
    """
    if isinstance(executor, str):
        kind, _, address = executor.partition(":")
        if kind != "dask" or not address:
            raise ValueError(
                f"executor = {executor!r} is not known; pass 'dask:tcp://host:port', the address of a scheduler"
            )
    elif not (executor is None or isinstance(executor, Executor) or _is_dask_client(executor)):
        raise TypeError(
            f"executor must be None, a concurrent.futures.Executor, a dask Client or 'dask:tcp://host:port', got "
            f"{type(executor).__name__}; pass one of these"
        )
    return None if n_workers is None else check_count("n_workers", n_workers)


def _is_dask_client(executor: Any) -> bool:
    return hasattr(executor, "get_executor") and hasattr(executor, "scheduler_info")


def _dask_engine(client: Any, count: int | None) -> Engine:
    known = [0, -_ASKED]  # threads, and when we asked

    def threads() -> int:
        if time.monotonic() - known[1] >= _ASKED:
            known[:] = [sum(client.nthreads().values()), time.monotonic()]
        return count or max(1, int(known[0]))

    return Engine(client.get_executor(), lambda: _AHEAD * threads(), threads, "dask")


@contextmanager
def _dask_client(name: str) -> Iterator[Any]:
    address = name.removeprefix("dask:")
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"executor = {name!r} needs dask.distributed, which is not installed; pip install 'fastlazy[dask]'"
        ) from None
    try:
        get_address_host_port(address)
    except ValueError as error:  # of its own: a client that cannot be made waits for 20 s before it is gone
        raise ValueError(
            f"executor = {name!r} has no address that dask can read ({error}); pass 'dask:tcp://host:port'"
        ) from None
    try:
        client = Client(address, timeout=_CONNECTED, set_as_default=False)
    except OSError as error:
        raise OSError(f"there is no dask scheduler at {address} ({error}); start one, or check the address") from None
    with client:
        yield client


class _Process(NamedTuple):
    """A worker."""

    executor: ProcessPoolExecutor
    number: Future[int]  # by which the system knows it


class _Call(NamedTuple):
    """A call that waits for a worker, or is with one."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any]


class Workers(Executor):
    """Processes of one thread each. One that dies is replaced; the call that it was at raises `WorkerLostError`.

    A worker has one call at a time, and is given the next as soon as it is done, so that none waits behind a long
    one while another worker is idle.

    Parameters
    ----------
    count : int
        How many. They start at once, and load what cells need while this process goes on.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._lock = threading.RLock()  # a callback may come in the midst of a call
        self._closed = False
        self._waiting: deque[_Call] = deque()
        self._boxes = tempfile.TemporaryDirectory(prefix="fastlazy-", ignore_cleanup_errors=True)
        self._processes = {place: _start_process(self._boxes.name) for place in range(count)}
        self._idle = set(self._processes)
        self._at_work: dict[int, Future[Any]] = {}

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:  # type: ignore[override]
        """The future of function(*arguments)."""
        call = _Call(function, arguments, Future())
        with self._lock:
            if self._closed:
                raise RuntimeError("these workers have been shut down; make others")
            self._waiting.append(call)
            self._hand_out()
        return call.future

    def at_work(self) -> dict[Future[Any], Place]:
        """The worker of each call that one is at."""
        with self._lock:
            at_work = {future: _number(self._processes[place]) for place, future in self._at_work.items()}
        known = {future: number for future, number in at_work.items() if number is not None}
        return {future: Place(number, call_of(self._boxes.name, number)) for future, number in known.items()}

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers, once they have done what they are at; calls that wait are cancelled."""
        self._end(wait=wait, kill_workers=False)

    def kill(self) -> None:
        """End the workers at once."""
        self._end(wait=True, kill_workers=True)

    def _end(self, **how: bool) -> None:
        with self._lock:
            self._closed = True
            while self._waiting:
                self._waiting.popleft().future.cancel()
        for process in self._processes.values():
            process.executor.shutdown(**how)
        self._boxes.cleanup()

    def _hand_out(self) -> None:
        """Give waiting calls to idle workers."""
        while self._idle and self._waiting:
            call = self._waiting.popleft()
            if not call.future.set_running_or_notify_cancel():
                continue
            place = self._idle.pop()
            self._at_work[place] = call.future
            try:
                inner = self._processes[place].executor.submit(call.function, *call.arguments)
            except BrokenExecutor:  # it has died, at its last call or idle
                self._processes[place] = _start_process(self._boxes.name)
                inner = self._processes[place].executor.submit(call.function, *call.arguments)
            inner.add_done_callback(partial(self._ended, place, call))

    def _ended(self, place: int, call: _Call, inner: Future[Any]) -> None:
        error: BaseException | None = CancelledError() if inner.cancelled() else inner.exception()
        try:
            with self._lock:
                self._idle.add(place)
                self._at_work.pop(place, None)
                if not self._closed:
                    if isinstance(error, BrokenExecutor):
                        words = last_words(self._boxes.name, _number(self._processes[place]) or 0)
                        error = WorkerLostError(_exit_code(error), words)
                    self._hand_out()
        except Exception as failure:  # no process can be started: whoever waits must be told
            error = failure
        if error is None:
            call.future.set_result(inner.result())
        else:
            call.future.set_exception(error)


def _start_process(boxes: str) -> _Process:
    """An executor of one process, which has been started, and which says in the folder *boxes* what it is at."""
    process = ProcessPoolExecutor(
        1, timeout=None, env=_ENVIRONMENT, initializer=_begin_worker, initargs=(os.getpid(), boxes)
    )  # fmt: skip
    with _interrupts_blocked():
        return _Process(process, process.submit(os.getpid))


def _number(process: _Process) -> int | None:
    """The number of a worker that has been up, or None."""
    number = process.number
    return number.result() if number.done() and not number.cancelled() and number.exception() is None else None


def _exit_code(error: BaseException) -> str:
    found = re.search(r"\{(.+?)\}", str(error))  # as loky words it
    return found[1] if found else "exit code unknown"


def _begin_worker(driver: int, boxes: str) -> None:
    """Prepare a worker: Ctrl-C is the driver's, and without a driver there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(driver, boxes), daemon=True).start()
    open_box(boxes)
    warnings.filterwarnings("ignore", "fit_nn diverged", RuntimeWarning)  # it is in the table
    from fastlazy.sweeps import measure  # noqa: F401  (loaded now, not at the first cell)

    one_blas_thread().__enter__()  # for the life of the process


def _end_with(driver: int, boxes: str) -> None:
    """End this process soon after its parent, the *driver*, has ended, even by SIGKILL."""
    while os.getppid() == driver:
        time.sleep(0.5)
    shutil.rmtree(boxes, ignore_errors=True)
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
