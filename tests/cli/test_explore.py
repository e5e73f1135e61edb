"""``fastlazy explore``: the page on the disk, whether it is opened, and what it says of bad arguments."""

import json
import re
import webbrowser
from pathlib import Path

import pytest

from fastlazy.cli.main import main
from fastlazy.figures import explore_tables


@pytest.fixture(autouse=True)
def opened(monkeypatch, tmp_path):
    """The addresses that the browser was asked for; two non-linearities are enough."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(explore_tables, "SIGMAS", {"square": "x²"})
    addresses = []
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


def test_the_page_is_written_and_opened(opened, tmp_path, capsys):
    assert main(["explore", "--d", "6", "--seed", "4"]) == 0
    page = tmp_path / "fastlazy-explore.html"
    assert opened == [page.as_uri()]
    assert capsys.readouterr().out == f"fastlazy-explore.html: open {page.as_uri()}\n"
    text = page.read_text(encoding="utf-8")
    held = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    assert held == explore_tables.explore_data(6, 4)
    assert [path.name for path in tmp_path.iterdir()] == [page.name]


def test_the_page_is_not_opened(opened, tmp_path):
    assert main(["explore", "--d", "6", "--out", "a b.html", "--no-open"]) == 0
    assert opened == []
    assert (tmp_path / "a b.html").exists()


def test_no_browser_is_no_failure(monkeypatch, capsys):
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert main(["explore", "--d", "6"]) == 0
    assert capsys.readouterr().err == "fastlazy explore: no browser was found; open the page by hand\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--d", "1"], "--d must be at least 2, got 1"),
        (["--d", "201"], "--d must be at most 200, got 201"),
        (["--seed", "-1"], "--seed must be at least 0"),
        (["--out", ""], "--out must be the path of a file, got ''"),
        (["--out", "none/a.html"], "cannot write 'none/a.html'"),
    ],
)
def test_bad_arguments_are_explained(arguments, message, opened, tmp_path, capsys):
    assert main(["explore", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastlazy explore: ")
    assert message in error
    assert opened == []
    assert not [*tmp_path.iterdir()]


def test_the_documentation_names_what_is_drawn_by_default(monkeypatch):
    asked = []
    small = explore_tables.explore_data(3, 0)
    monkeypatch.setattr(explore_tables, "explore_data", lambda d, seed: asked.append((d, seed)) or small)
    assert main(["explore"]) == 0
    assert asked == [(100, 0)]
    page = (Path(__file__).resolve().parents[2] / "docs" / "quickstart.md").read_text()
    for call in ("exponential_target(100, rng=0)", "draw_weights(100, 100, rng=0)", "d = 100 (`--d`)"):
        assert call in page
