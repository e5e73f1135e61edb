"""The state of a training run on disk, from which a run that was cut short goes on to the same result.

Samples are numbered, so the state is that of the network, the number of samples seen and the records made. It
belongs to one run: the file holds a digest of all that the run depends on, and the file of another run is replaced.
A file that cannot be read is moved aside before that, and one of other arrays, which is the user's own, is refused.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastlazy._core.geometry import CPU, GEOMETRY
from fastlazy._core.jit import source_digest
from fastlazy._core.sgd import Network, State
from fastlazy._support.arguments import Array, shown
from fastlazy._support.files import replace_file
from fastlazy._version import __version__
from fastlazy.targets.mixture import GaussianMixture
from fastlazy.training.settings import Settings
from fastlazy.training.start import Frame, Start

_SECONDS = 30.0  # time between two writes
# The names of arrays in a file, besides those of the network.
_OWN = frozenset({"run", "seen", "samples", "risks", "diagnostics", "rows", "row_a", "scalars"})


class Progress(NamedTuple):
    """How far a run had come: samples seen, what was recorded at which of them, and the state recorded last."""

    seen: int
    samples: list[int]
    risks: list[float]
    diagnostics: list[Array]  # a row for each record; rows are empty if no diagnostics were asked for
    state: State


class Checkpoint:
    """A file for the state of the run that *network*, still at its start, and the other arguments define.

    Raises
    ------
    TypeError
        If *path* is no path.
    OSError
        If no file can be read or written there.
    """

    def __init__(self, path: str | os.PathLike[str], network: Network, *others: Any) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"checkpoint must be the path of a file, got {shown(path)}; pass e.g. 'run.npz'")
        self.path = Path(path)
        digest = hashlib.sha256(f"{__version__} {source_digest()} {CPU} {GEOMETRY}".encode())
        for part in (*network, *others):
            array = np.asarray(part)
            digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
        self.run = digest.hexdigest()
        self.due = time.monotonic() + _SECONDS
        self.set_aside = False  # whether to rename the file that is there before a state is written
        try:
            self.found = _content(self.path)
            with tempfile.TemporaryFile(dir=self.path.parent):
                pass
        except (OSError, ValueError) as error:
            raise OSError(
                f"checkpoint {str(path)!r} cannot be read and written ({error}); choose another path"
            ) from None

    def resume(self, network: Network) -> Progress | None:
        """What was saved of this run, if anything was; *network* is set to it in place.

        Raises
        ------
        ValueError
            If the file holds other arrays than a state has.

        Warns
        -----
        RuntimeWarning
            If the file cannot be read.
        """
        data, self.found = self.found, b""
        if not data:
            return None
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as saved:
                names = ", ".join(saved.files)
                # The names are looked for in the bytes: a damaged directory may not list them.
                foreign = sum(f"{name}.npy".encode() in data for name in _OWN) < len(_OWN) / 2
                this = not foreign and str(saved["run"]) == self.run
                progress = _restored(dict(saved), network) if this else None
        except Exception as error:  # NumPy and zipfile raise errors of many kinds for what is damaged
            self.set_aside = True
            warnings.warn(
                f"checkpoint {str(self.path)!r} is no state of a run that can be read ({error}); the run begins anew, "
                "and the file is renamed when the first state is written",
                RuntimeWarning,
                stacklevel=3,
            )
            return None
        if foreign:
            raise ValueError(
                f"checkpoint {str(self.path)!r} is a file of other arrays ({names[:100]}), not the "
                "state of a run; choose another path"
            )
        return progress

    def keep(self, network: Network, progress: Progress) -> None:
        """Write the state of *network*, if that is due."""
        if time.monotonic() < self.due:
            return
        state = progress.state
        arrays = {
            **network._asdict(),
            "run": np.array(self.run),
            "seen": np.array(progress.seen),
            "samples": np.array(progress.samples),
            "risks": np.array(progress.risks),
            "diagnostics": np.array(progress.diagnostics),
            "rows": state.W,
            "row_a": state.a,
            "scalars": np.array([state.gain, state.c]),
        }

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, **arrays)

        try:
            if self.set_aside:
                self.path.rename(_free_name(self.path))
                self.set_aside = False
            replace_file(self.path, write)
        except OSError as error:  # the run itself goes on as before
            text = f"checkpoint {self.path} could not be written: {error}"
            warnings.warn(text, RuntimeWarning, stacklevel=4)  # the line that called `fit_nn`, whose loop calls this
        self.due = time.monotonic() + _SECONDS


def checkpoint_of(settings: Settings, start: Start, frame: Frame, network: Network) -> Checkpoint | None:
    """The file of this run, if one was asked for; *network* is still at its start."""
    if settings.checkpoint is None:
        return None
    rates = start.rule(np.linspace(0, 1, 1000, endpoint=False))  # these numbers tell two rules apart
    samples = settings.trained, settings.n_samples, settings.b, settings.marks, start.key
    others = (
        start.scale is None,
        start.row_scale,
        start.layer_scale,
        settings.diagnostics,
        settings.activation.identity,
    )
    learned = frame.target
    if isinstance(learned, GaussianMixture):
        target: tuple[Any, ...] = learned.Delta.diagonal(), "classes"
    else:
        target = learned.B.diagonal(), settings.b0
    return Checkpoint(settings.checkpoint, network, *target, *samples, rates, *others)


def _restored(kept: dict[str, Array], network: Network) -> Progress:
    """The progress that was saved; *network* is set in place."""
    for name, array in network._asdict().items():
        if kept[name].shape != array.shape:
            raise ValueError(f"{name} has shape {kept[name].shape}")
    gain, c = kept["scalars"].tolist()
    state = State(kept["rows"], kept["row_a"], gain, c)
    samples, risks = kept["samples"].tolist(), kept["risks"].tolist()
    progress = Progress(int(kept["seen"]), samples, risks, list(kept["diagnostics"]), state)
    for name, array in network._asdict().items():
        array[...] = kept[name]
    return progress


def _content(path: Path) -> bytes:
    """What is in the file, or nothing if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.unreadable-{k}") for k in itertools.count(1))
    return next(name for name in names if not name.exists())
