"""A page in headless Chromium, whose keys are pressed and whose script is asked: the DevTools protocol over pipes.

Imports nothing of the package it checks.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
REASON = "no Chromium is installed (Debian: apt-get install chromium)"
_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
_FLAGS += ["--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"]
_KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "ArrowDown": 40, "Tab": 9, "Home": 36, "End": 35}
_PATIENCE = 120  # seconds


@contextmanager
def opened(page: Path, profile: Path, size: tuple[int, int] = (1280, 800)) -> Iterator[Page]:
    """The page in a browser that has the folder *profile* for itself, until the end of the *with* block."""
    # Chromium reads commands at descriptor 3 and writes answers at 4; ours lie above both.
    theirs_in, ours_out = _pipe()
    ours_in, theirs_out = _pipe()
    command = [BROWSER, *_FLAGS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}"]
    actions = [(os.POSIX_SPAWN_OPEN, end, os.devnull, os.O_WRONLY, 0) for end in (1, 2)]
    actions += [(os.POSIX_SPAWN_DUP2, theirs_in, 3), (os.POSIX_SPAWN_DUP2, theirs_out, 4)]
    process = os.posix_spawn(BROWSER, command, os.environ, file_actions=actions)
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Page(ours_in, ours_out, page.as_uri())
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(ours_in)
        os.close(ours_out)


def _pipe() -> list[int]:
    """The ends of a pipe, both at descriptors from 10 on."""
    low = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low]
    for end in low:
        os.close(end)
    return high


class Page:
    """A page that is loaded, of a browser that reads and writes these descriptors."""

    def __init__(self, answers: int, commands: int, address: str) -> None:
        self._in, self._out, self._buffer, self._count = answers, commands, b"", 0
        self._session: str | None = None
        target = self._call("Target.createTarget", url=address)["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        while self.value("location.href + document.readyState") != f"{address}complete":
            time.sleep(0.02)

    def value(self, expression: str) -> Any:
        """What the script's expression is worth, as JSON can say it."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str, times: int = 1) -> None:
        """Press a key, as a person would, on what has the focus."""
        for kind in ("rawKeyDown", "keyUp") * times:
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=_KEYS[key])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def _call(self, method: str, **parameters: Any) -> Any:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def _read(self) -> Any:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], _PATIENCE)
            assert ready, "the browser does not answer"
            part = os.read(self._in, 1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)
