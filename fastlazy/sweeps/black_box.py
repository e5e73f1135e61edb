"""What a worker that dies leaves behind, and what becomes of a cell that takes too long.

Each of our own workers has two small files in a folder of the driver's. One has the number of the call that it is at
within its batch. The other is written by Python's faulthandler when the process dies of a fault, or when a cell takes
longer than it may: even compiled code that lets nothing else run does not keep it from writing where each thread is,
and from ending the process. Where a cell runs in a process that is not ours to end, in a thread of an executor or on a
cluster, an exception is raised in its thread, which takes effect as soon as the thread runs Python.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

_TIMED_OUT = "Timeout ("  # how what faulthandler writes begins
_MOST = 20_000  # characters of a traceback that are kept


class CellTimeoutError(BaseException):
    """A cell took longer than it may. No code of a cell that catches `Exception` catches it."""


class LastWords(NamedTuple):
    """What is known of the end of a worker."""

    call: int  # which call of its batch it was at
    timed_out: bool
    trace: str | None  # where its threads were


class _Box(NamedTuple):
    call: int  # a file descriptor
    trace: IO[str]


_box: list[_Box] = []  # of this process, if it is a worker of ours


def open_box(folder: str) -> None:
    """Let this process, a worker, say in *folder* what it is at."""
    call = os.open(_call_file(folder, os.getpid()), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    trace = open(_trace_file(folder, os.getpid()), "w")  # noqa: SIM115  (for the life of the process)
    faulthandler.enable(trace)
    _box[:] = [_Box(call, trace)]


def mark(call: int) -> None:
    """Say that this process is at so many calls after the first of its batch."""
    if _box:
        os.pwrite(_box[0].call, b"%9d" % call, 0)


def call_of(folder: str, process: int) -> int:
    """The call that a worker said it is at; 0 if it said nothing."""
    with suppress(OSError, ValueError):
        return int(_call_file(folder, process).read_text())
    return 0


def last_words(folder: str, process: int) -> LastWords:
    """What a worker that has ended left."""
    trace = ""
    with suppress(OSError):
        trace = _trace_file(folder, process).read_text(errors="replace")[:_MOST].strip()
    return LastWords(call_of(folder, process), trace.startswith(_TIMED_OUT), trace or None)


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Within, the process ends after so many seconds if it is a worker of ours; else `CellTimeoutError` is raised."""
    if seconds is None:
        yield
    elif _box:
        faulthandler.dump_traceback_later(seconds, exit=True, file=_box[0].trace)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
    else:
        with _raised_after(seconds):
            yield


@contextmanager
def _raised_after(seconds: float) -> Iterator[None]:
    thread, lock, over = threading.get_ident(), threading.Lock(), threading.Event()

    def interrupt() -> None:
        with lock:
            if not over.is_set():
                _raise_in(thread, CellTimeoutError)

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            over.set()
            _raise_in(thread, None)  # what was raised too late


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error)
    )


def _call_file(folder: str, process: int) -> Path:
    return Path(folder, f"{process}.call")


def _trace_file(folder: str, process: int) -> Path:
    return Path(folder, f"{process}.trace")
