"""``fastlazy animate``: the film on the disk, and what it says of bad arguments."""

import shutil

import pytest
from matplotlib.animation import FFMpegWriter
from PIL import Image

from fastlazy.cli.main import main
from fastlazy.figures import share_animation


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(share_animation, "_RECORDS", 20)
    monkeypatch.setattr(share_animation, "_FRAMES", 5)
    monkeypatch.setattr(share_animation, "_PIXELS", 40)
    monkeypatch.setattr(share_animation, "quick_samples", lambda N, d: 4000)


def test_a_gif_has_a_frame_for_each_moment(tmp_path, capsys):
    assert main(["animate", "a.gif", "--d", "8", "--seed", "2", "--scales", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("a.gif: 5 moments of training; risk over the null risk at the end 0.")
    assert printed.endswith(" at alpha = 1\n")
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 5  # the last one is held
        durations = []
        for k in range(film.n_frames):
            film.seek(k)
            durations.append(film.info["duration"])
        assert durations[-1] > 10 * durations[0] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed (Debian: apt-get install ffmpeg)")
def test_an_mp4(tmp_path):
    assert main(["animate", "a.mp4", "--d", "8", "--scales", "1"]) == 0
    assert (tmp_path / "a.mp4").read_bytes()[4:8] == b"ftyp"


def test_without_ffmpeg_nothing_is_trained(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(FFMpegWriter, "isAvailable", lambda: False)
    monkeypatch.setattr(share_animation, "fit_nn", None)
    assert main(["animate", "a.MP4"]) == 2
    assert "ffmpeg, which writes .mp4, is not installed; install it" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_an_ffmpeg_that_fails_leaves_no_film(monkeypatch, tmp_path, capsys):
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setitem(share_animation.plt.rcParams, "animation.ffmpeg_path", str(tmp_path / "ffmpeg"))
    assert main(["animate", "a.mp4", "--d", "8", "--scales", "1"]) == 2
    assert "fastlazy animate: ffmpeg cannot write the film" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.avi"], "the film must end in .gif or .mp4, got 'a.avi'; try shares.gif"),
        ([""], "FILE must be the path of a file, got ''"),
        (["none/a.gif"], "cannot write 'none/a.gif'"),
        (["a.gif", "--d", "3"], "--d must be at least 4, got 3"),
        (["a.gif", "--N", "0"], "--N must be at least 1, got 0"),
        (["a.gif", "--seed", "-1"], "--seed must be at least 0"),
        (["a.gif", "--scales", "0,1"], "--scales must be numbers above 0, up to 10000, got '0,1'"),
        (["a.gif", "--scales", "1,2,3,4"], "--scales must be at most 3 numbers, got '1,2,3,4'"),
    ],
)
def test_bad_arguments_are_explained(arguments, message, tmp_path, capsys):
    assert main(["animate", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastlazy animate: ")
    assert message in error
    assert not [*tmp_path.iterdir()]
