"""``fastlazy status``: the text, the JSON, the page, and the page in a real browser."""

import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fastlazy.cli import status as cli_status
from fastlazy.cli.main import main
from fastlazy.sweeps import driver, status
from fastlazy.sweeps.cells import grid
from fastlazy.sweeps.driver import load_sweep, run_sweep
from fastlazy.sweeps.engines import open_engine

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
CELLS = grid(regime=["RF", "NT"], d=20, N=[5, 20, 60], draw=range(3), target=["identity", "exponential"])
CELLS += grid(regime="RF", d=20, N=[5, 20], ridge=[0.1, 0.2], n_samples=[50, 60])
CELLS += [{"regime": "RF", "d": 5, "N": 10**12}, {"regime": "RF", "d": 6, "N": 10**12}]


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a store with several figures and two errors."""
    place = tmp_path_factory.mktemp("status") / "a.sqlite"
    with ThreadPoolExecutor(2) as pool:
        run_sweep(CELLS, place, executor=pool, progress=False)
    return place.read_bytes()


@pytest.fixture(autouse=True)
def _store(content, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("a<b>.sqlite").write_bytes(content)


def test_text(capsys):
    assert main(["status", "a<b>.sqlite"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"a<b>\.sqlite: ended at 20\S+ \(finished\)", lines[0])
    assert lines[1] == "  done 44, diverged 0, failed 2, crashed 0, timeout 0, left 0"
    assert sum("x failed: MemoryError: Unable to allocate" in line for line in lines) == 2


def test_json(capsys):
    assert main(["status", "a<b>.sqlite", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == status.read_status("a<b>.sqlite")._asdict()


RUNNING = {
    "state": "running", "rate": 12.5, "seconds_left": 80.0, "workers": 2, "memory_mb": 270.0,
    "left": {
        "RF": {"cells": 1000, "seconds": 80.0, "guessed": True}, "NT": {"cells": 0, "seconds": 0.0, "guessed": False},
    },
    "running": [{"worker": "here/12", "memory_mb": 310.0, "cell": "RF d=3 N=2", "id": "a", "batch": 5, "seconds": 1.5}],
}  # fmt: skip


@pytest.fixture
def running(monkeypatch):
    """A sweep that runs for two looks, and then has ended."""
    real, looks = status.read_status, []

    def read(store):
        looks.append(store)
        return real(store)._replace(**(RUNNING if len(looks) < 3 else {}))

    monkeypatch.setattr(status, "read_status", read)
    monkeypatch.setattr(cli_status, "_EVERY", 0.0)
    return looks


def test_a_sweep_is_watched_until_it_ends(running, capsys):
    assert main(["status", "a<b>.sqlite", "--watch", "--html", "a.html"]) == 0
    assert len(running) == 3
    text = capsys.readouterr().out
    assert text.count("12.5 cells/s, time left 0:01:20 (a guess)\n    RF: 1000 left, 0:01:20 (a guess)\n") == 2
    assert text.count("  2 workers, driver 270 MB\n    here/12: RF d=3 N=2 and 4 more, 1.5 s, 310 MB\n") == 2
    assert "12.5 cells a second" not in Path("a.html").read_text()


def test_what_cannot_be_shown(capsys):
    for arguments, message in [
        (["none.sqlite"], "fastlazy status: there is no store 'none.sqlite'; a sweep makes one"),
        (["a<b>.sqlite", "--html", "none/a.html"], "fastlazy status: cannot write 'none/a.html'"),
        (["a<b>.sqlite", "--html", ""], "--html must be the path of a file, got ''"),
    ]:
        assert main(["status", *arguments]) == 2
        assert message in capsys.readouterr().err


class Page(HTMLParser):
    """Texts of elements that have an id, of errors and tracebacks, and what a page loads."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.texts, self.loads, self.figures, self._open = {}, {"pre": [], "p": []}, [], 0, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.figures += tag == "svg"
        self.loads += [value for name, value in attributes if name in ("src", "href") and not value.startswith("#")]
        if tag in ("td", "p", "pre", "script"):
            self._open = [tag, given.get("id"), ""]

    def handle_data(self, data):
        if self._open:
            self._open[2] += data

    def handle_endtag(self, tag):
        if self._open and tag == self._open[0]:
            name, key, text = self._open
            if key:
                self.ids[key] = text
            if name in self.texts:
                self.texts[name].append(text)
            self._open = []


def check(page):
    """That the numbers on a page are those of the store."""
    table = load_sweep("a<b>.sqlite")
    for name in ("done", "failed", "crashed", "diverged", "timeout"):
        assert int(page.ids[f"count-{name}"]) == (table["status"] == name).sum()
    assert int(page.ids["count-left"]) == 0
    assert sorted(text.strip() for text in page.texts["pre"]) == sorted(
        text.strip() for text in table["traceback"].dropna()
    )
    assert all(any(error in text for text in page.texts["p"]) for error in table["error"].dropna())
    assert json.loads(page.ids["status"]) == status.read_status("a<b>.sqlite")._asdict()
    assert page.figures == 6  # two targets, and RF with each ridge and number of samples
    assert not page.loads


def test_the_page_has_the_numbers_of_the_store():
    assert main(["status", "a<b>.sqlite", "--html", "a.html"]) == 0
    text = Path("a.html").read_text()
    assert "<title>a&lt;b&gt;.sqlite</title>" in text
    assert not re.search(r"https?://(?!www\.w3\.org|purl\.org|creativecommons\.org|matplotlib\.org)", text)
    check(Page(text))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed (Debian: apt-get install chromium)")
def test_the_page_in_a_browser(tmp_path):
    assert main(["status", "a<b>.sqlite", "--html", "a.html"]) == 0
    command = [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]
    page = (tmp_path / "a.html").as_uri()
    seen = subprocess.run([*command, "--dump-dom", page], capture_output=True, text=True, timeout=300, check=True)
    assert "<svg" in seen.stdout
    check(Page(seen.stdout))
    subprocess.run(
        [*command, "--screenshot=a.png", "--window-size=1100,2000", page], capture_output=True, timeout=300, check=True
    )
    assert os.path.getsize("a.png") > 20_000


@pytest.fixture
def _threads(monkeypatch):
    monkeypatch.setattr(
        driver, "open_engine", lambda executor, n_workers: open_engine(ThreadPoolExecutor(2), n_workers)
    )


@pytest.mark.usefixtures("_threads")
def test_a_command_at_the_end_and_a_log(monkeypatch, capfd):
    Path("b.toml").write_text('[[grid]]\nregime = "RF"\nd = 3\nN = [2, 1_000_000_000_000]\n')
    command = 'echo "$FASTLAZY_STATUS $FASTLAZY_STORE $FASTLAZY_SUMMARY" > told; exit 3'
    assert main(["sweep", "b.toml", "--on-end", command]) == 1
    assert Path("told").read_text() == "1 b.sqlite done 1, diverged 0, failed 1, crashed 0, timeout 0, left 0\n"
    assert "ended with status 3" in capfd.readouterr().err
    assert [line.split()[1] for line in Path("b.sqlite.log").read_text().splitlines()][::3] == ["start", "end"]

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "run_sweep", interrupted)
    assert main(["sweep", "b.toml", "--on-end", 'echo "$FASTLAZY_STATUS" > told']) == 130
    assert Path("told").read_text() == "130\n"


@pytest.mark.usefixtures("_threads")
def test_no_log_if_none_is_wanted():
    Path("c.toml").write_text('[[grid]]\nregime = "RF"\nd = 3\nN = 2\n')
    assert main(["sweep", "c.toml", "--log", ""]) == 0
    assert sorted(os.listdir()) == ["a<b>.sqlite", "c.sqlite", "c.toml"]
