"""Progress bars: shown or not, ended properly, on a stream that nobody reads, as widgets in a notebook."""

import io
import sys

import pytest

from fastlazy._support import bars


class Closed(io.StringIO):
    def write(self, *text):
        raise self.error

    flush = write


def test_a_bar_goes_to_the_numbers_that_it_is_given(capsys):
    with bars.counted(2_000, 500, " samples", shown=True) as move:
        move(1_000, "risk 3")
        move(2_000, "risk 1")
    err = capsys.readouterr().err
    assert "2.00k/2.00k" in err
    assert err.endswith("risk 1]\n")


def test_nothing_is_shown_unless_asked_for(capsys):
    with bars.counted(10, 0, "", shown=False) as move:
        move(5, "risk")
    assert capsys.readouterr() == ("", "")


def test_an_error_ends_the_bar_where_it_was(capsys):
    def fail():
        with bars.counted(10, 0, "", shown=True) as move:
            move(5, "risk 3")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert capsys.readouterr().err.splitlines()[-1].startswith(" 50%|")


@pytest.mark.parametrize("error", [OSError("disk full"), ValueError("I/O operation on closed file")])
def test_a_stream_that_takes_nothing_ends_nothing(monkeypatch, error):
    stream = Closed()
    stream.error = error
    monkeypatch.setattr(sys, "stderr", stream)
    with bars.counted(10, 0, "", shown=True) as move:
        move(10, "")


def test_a_notebook_gets_its_widget(monkeypatch):
    """What tqdm.auto offers there is taken, and moves as often as a terminal's."""
    made = {}

    class Widget:
        __module__ = "tqdm.notebook"

        def __init__(self, **options):
            made.update(options)

    monkeypatch.setattr("tqdm.auto.tqdm", Widget)
    assert isinstance(bars.progress_bar(total=3), Widget)
    assert made["total"] == 3
    assert made["mininterval"] == 0.5
