"""What commands print and draw: what was measured is not lost because nobody reads, or a font is missing."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from fastlazy._support.files import replace_file

_SAMPLE = "x², $\\alpha$, N / d"  # what the figures' own texts are made of


def tell(text: str) -> None:
    """Print *text* to the standard output at once; if nobody reads it any more, go on quietly.

    Raises
    ------
    OSError
        If it cannot be written for another reason, such as a full disk.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        raise OSError(f"the output cannot be written ({error}); make room, or print elsewhere") from None


def complain(text: str) -> None:
    """Print *text* to the standard error, if that can be written."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def end_output() -> None:
    """Write what is left in the buffers of the standard streams; quietly where that cannot be done."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _discard(stream)


def load_matplotlib() -> None:
    """Load matplotlib for drawing into files, and find out that it can, which is done before anything is measured.

    The environment's choice of a backend, which is for screens, is set aside. With settings of the user with which
    it cannot draw, such as LaTeX that is not installed, matplotlib's own are used, and that is told.

    Raises
    ------
    ValueError
        If it cannot be loaded.
    """
    os.environ["MPLBACKEND"] = "Agg"
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        import matplotlib.pyplot
    except Exception as error:
        raise ValueError(f"matplotlib cannot be loaded ({error}); mend its settings, e.g. in matplotlibrc") from None
    try:
        _draw_sample()
    except Exception as error:
        mpl.rcdefaults()
        reason = str(error).strip().partition("\n")[0]
        complain(f"fastlazy: matplotlib cannot draw with your settings ({reason}); its own are used")


def save_figure(draw: Callable[[], Any], out: Path, name: str, style: str | None = None) -> None:
    """Write the figure that *draw* makes as .png and .pdf into the folder *out*.

    Its look is that of this package where the user's settings of matplotlib are its own, or *style*.
    """
    import matplotlib.pyplot as plt

    from fastlazy.figures.looks import WIDE, drawing, unset

    with drawing(unset(WIDE) if style is None else style):
        figure = draw()
        try:
            for ending in ("png", "pdf"):
                replace_file(out / f"{name}.{ending}", lambda path: figure.savefig(path))
        finally:
            plt.close(figure)


def _draw_sample() -> None:
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(2, 2), layout="constrained")
    try:
        ax.loglog([1, 10], [1, 10], label=_SAMPLE)
        ax.set_xlabel(_SAMPLE)
        figure.legend()
        for ending in ("png", "pdf"):
            figure.savefig(io.BytesIO(), format=ending)
    finally:
        plt.close(figure)


def _discard(stream: TextIO) -> None:
    """Lead a standard stream to nowhere, so that what is left in its buffer troubles nobody."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
