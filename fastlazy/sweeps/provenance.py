"""Where a result comes from: the columns that say which code measured it, of which revision, on which processor."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from fastlazy._version import __version__

_PATIENCE = 5.0  # seconds that git may take


@cache
def provenance() -> dict[str, str | None]:
    """The columns versions, revision, processor and geometry of what this process measures.

    The revision is that of the git checkouts that fastlazy and the working folder are in, as git describes them, with
    "-dirty" if files were changed; None where there is none.
    """
    from fastlazy._core import geometry

    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba"))
    return {
        "versions": f"fastlazy {__version__}, {packages}, Python {platform.python_version()}",
        "revision": _revisions(Path(__file__).parent, Path.cwd()),
        "processor": _processor(),
        "geometry": str(geometry.GEOMETRY),
    }


def _revisions(package: Path, folder: Path) -> str | None:
    """The revisions of the checkouts that the two folders are in, each named by its folder."""
    checkouts = dict.fromkeys(root for root in (_checkout(package), _checkout(folder)) if root is not None)
    found = [f"{root.name} {revision}" for root in checkouts if (revision := _describe(root))]
    return ", ".join(found) or None


def _checkout(folder: Path) -> Path | None:
    """The checkout that *folder* is in, if it is in one."""
    return next((root for root in (folder, *folder.parents) if (root / ".git").exists()), None)


def _describe(root: Path) -> str | None:
    command = ["git", "-C", os.fspath(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _processor() -> str:
    """The processor by its name, or by its architecture where the system does not tell the name."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
