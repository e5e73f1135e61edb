"""The state of a training run on disk, from which a run that was cut short goes on to the same result.

Samples are numbered, so the state is that of the network, the number of samples seen and the records made. It
belongs to one run: the file holds a digest of all that the run depends on, and one of another run, or a damaged
one, is no state at all.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastlazy._core.geometry import CPU, GEOMETRY
from fastlazy._core.jit import source_digest
from fastlazy._core.sgd import Network
from fastlazy._files import replace_file
from fastlazy._validate import Array
from fastlazy._version import __version__

_SECONDS = 30.0  # between two writes

State = tuple[Array, Array, float, float]  # rows (k, d), a (k,), alpha, c


class Progress(NamedTuple):
    """How far a run had come: samples seen, what was recorded at which of them, and the state recorded last."""

    seen: int
    samples: list[int]
    risks: list[float]
    diagnostics: list[Array]  # a row for each record, of no entries where none were asked for
    state: State


class Checkpoint:
    """A file for the state of the run that *network*, still at its start, and the other arguments define.

    Raises
    ------
    OSError
        If no file can be written there.
    """

    def __init__(self, path: str | os.PathLike[str], network: Network, *others: Any) -> None:
        self.path = Path(path)
        digest = hashlib.sha256(f"{__version__} {source_digest()} {CPU} {GEOMETRY}".encode())
        for part in (*network, *others):
            array = np.asarray(part)
            digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
        self.run = digest.hexdigest()
        self.due = time.monotonic() + _SECONDS
        try:
            replace_file(self.path.with_name(f"{self.path.name}.tried"), Path.touch)
            self.path.with_name(f"{self.path.name}.tried").unlink()
        except OSError as error:
            raise OSError(f"checkpoint {str(path)!r} cannot be written ({error}); choose another path") from None

    def resume(self, network: Network) -> Progress | None:
        """What was saved of this run, if anything was; *network* is set to it in place."""
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                if str(saved["run"]) != self.run:
                    return None
                kept = {name: saved[name] for name in saved.files}
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):  # none, or a damaged one
            return None
        for name, array in network._asdict().items():
            array[...] = kept[name]
        state = kept["rows"], kept["row_a"], float(kept["scalars"][0]), float(kept["scalars"][1])
        samples, risks = kept["samples"].tolist(), kept["risks"].tolist()
        return Progress(int(kept["seen"]), samples, risks, list(kept["diagnostics"]), state)

    def keep(self, network: Network, progress: Progress) -> None:
        """Write the state of *network*, if that is due."""
        if time.monotonic() < self.due:
            return
        rows, row_a, alpha, c = progress.state
        arrays = {
            **network._asdict(),
            "run": np.array(self.run),
            "seen": np.array(progress.seen),
            "samples": np.array(progress.samples),
            "risks": np.array(progress.risks),
            "diagnostics": np.array(progress.diagnostics),
            "rows": rows,
            "row_a": row_a,
            "scalars": np.array([alpha, c]),
        }

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, **arrays)

        try:
            replace_file(self.path, write)
        except OSError as error:  # the run itself is as good as ever
            warnings.warn(f"checkpoint {self.path} could not be written: {error}", RuntimeWarning, stacklevel=2)
        self.due = time.monotonic() + _SECONDS
