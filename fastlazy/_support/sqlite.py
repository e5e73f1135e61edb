"""SQLite files: opened by their path, locked by one writer, and errors that say what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

_PATIENCE = 300.0  # seconds to wait for a reader that holds the file

_ADVICE = {
    "readonly": "the file or its folder is read-only: change that, or choose another store",
    "full": "make room and run the same call again: all cells finished so far are kept",
    "disk I/O": "the disk is full or broken: all cells finished so far are kept; run the same call again",
    "unable to open": "check that its folder exists and can be written to",
    "locked": "another program holds it; close that",
}


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection in autocommit mode; *mode* is "ro", "rw" or "rwc", as SQLite's URIs have it.

    Text that is not UTF-8, which only damage makes, comes back with surrogates instead of an error.
    """
    with explained(path):
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=_PATIENCE
        )
    db.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    return db


def is_sound(db: sqlite3.Connection) -> bool:
    """Whether the pages of the file and its indices fit together; values are not looked at."""
    return bool(db.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",))


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into ours, which say what to do."""
    try:
        yield
    except (sqlite3.Error, UnicodeError) as error:  # the latter where a damaged schema has strange names
        text = str(error)
        advice = next((advice for mark, advice in _ADVICE.items() if mark in text), None)
        if advice is not None:
            raise OSError(f"the store {str(path)!r} cannot be used ({text}); {advice}") from error
        raise ValueError(
            f"the store {str(path)!r} is damaged or not a store ({text}); move it away, or rescue what is in it with: "
            "sqlite3 FILE .recover"
        ) from error


def is_locked(path: Path) -> bool:
    """Whether a sweep is writing to the store *path*."""
    lock = _lock_of(path)
    if not lock.exists():
        return False
    with closing(sqlite3.connect(f"{lock.absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as db:
        try:
            db.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            return "locked" in str(error)
    return False


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


class WriterLock:
    """A file beside the store, locked while a sweep writes; the system lets go of it however the process ends.

    The lock is SQLite's own, on an empty database, which works on every system; readers of the store do not
    meet it. The file is removed at the end, so a lock counts only if the name still leads to what was locked.

    Parameters
    ----------
    path : Path
        The store.
    holder : callable
        () to words for who has the lock, for an error.

    Raises
    ------
    OSError
        If another process has the lock, or no file can be written there.
    """

    def __init__(self, path: Path, holder: Callable[[], str]) -> None:
        self.path = _lock_of(path)
        self._db: sqlite3.Connection | None = None
        while True:
            try:
                self.path.touch()
                before = self.path.stat().st_ino
            except OSError as error:
                raise OSError(f"cannot write to the store {str(path)!r} ({error}); choose another place") from None
            db = sqlite3.connect(self.path, isolation_level=None, timeout=0)
            try:
                db.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error as error:
                db.close()
                raise OSError(
                    f"another sweep is writing to the store {str(path)!r} ({holder()}; {error}); wait for its "
                    "end, or choose another store. It can be read meanwhile"
                ) from None
            with suppress(OSError):
                if self.path.stat().st_ino == before:
                    self._db = db
                    return
            db.close()

    def release(self) -> None:
        """Remove the lock."""
        if self._db is not None:
            with suppress(OSError):  # where an open file cannot be removed
                self.path.unlink()
            self._db.close()
            self._db = None
