"""Progress bars: in a console, in a log, and in a notebook as a widget."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


def progress_bar(**options: Any) -> Any:
    """A bar of tqdm, with its *options*, for where this runs: on standard error, whether or not that is read."""
    from tqdm.auto import tqdm

    in_notebook = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)
    stream = _Unread(sys.stderr)
    interval = 0.5 if in_notebook or stream.isatty() else 10.0  # a log file needs no animation
    return tqdm(file=stream, mininterval=interval, **options)


@contextmanager
def counted(total: int, initial: int, unit: str, *, shown: bool) -> Iterator[Callable[[int, str], None]]:
    """A function that takes a bar to a number, with a text behind it; it does nothing unless the bar is *shown*.

    The bar stays as it was last if an error ends what it counts.
    """
    if not shown:
        yield lambda number, text: None
        return
    with progress_bar(total=total, initial=initial, unit=unit, unit_scale=True) as bar:

        def move(number: int, text: str) -> None:
            bar.set_postfix_str(text, refresh=False)
            bar.update(number - bar.n)

        yield move


class _Unread:
    """A *stream* that takes what is written even if nobody reads it any more, or the disk of a log is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write *text*, if that can be done."""
        with suppress(OSError, ValueError):  # the latter of a file that is closed
            self._stream.write(text)

    def flush(self) -> None:
        """Flush the stream, if that can be done."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        with suppress(ValueError):
            return self._stream.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __eq__(self, other: object) -> bool:  # by which tqdm knows a terminal, whose width it asks for
        return self._stream is other and self.isatty()

    def __hash__(self) -> int:
        return hash(self._stream)
