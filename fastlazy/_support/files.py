"""Files that are either whole or not there, and folders for them."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def replace_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Let *write* make a file beside *path*, then put it in the place of *path* at once.

    The temporary name has the ending of *path*, by which some writers choose a format.
    """
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def writable_folder(name: str, files: Iterable[str]) -> Path:
    """The folder, made if need be, once it is known that *files* can be written there.

    Raises
    ------
    OSError
        If they cannot.
    """
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for taken in (folder / file for file in files):
            if taken.is_dir():
                raise IsADirectoryError(f"{taken} is a folder")
    except OSError as error:
        raise OSError(f"cannot write to the folder {name!r} ({error}); choose another with --out") from None
    return folder


def check_path(name: str, value: Any) -> Path:
    """*value* as the path of a file that may or may not be there.

    Raises
    ------
    TypeError
        If it is neither text nor a path.
    ValueError
        If it is empty, or no path of a file.
    """
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name} must be the path of a file, got {value!r} of type {type(value).__name__}; pass a str")
    path = Path(value)
    if not path.name or "\0" in str(path):
        raise ValueError(f"{name} must be the path of a file, got {str(value)!r}; pass a file name")
    return path


def check_writable(path: Path) -> None:
    """Find out whether a file can be written at *path*.

    Raises
    ------
    OSError
        If it cannot.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OSError(f"cannot write {str(path)!r} ({error}); choose another place") from None
