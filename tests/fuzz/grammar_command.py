"""The grammar of the command."""

from __future__ import annotations

import contextlib
import io
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import fastlazy.sweeps.driver
from fuzz.grammar import Entry
from fuzz.grammar_sweeps import small_store
from fuzz.judge import Call, ClearExitError
from fuzz.values import Draw, Value


def command(draw: Draw) -> Call:
    """The command, in this process, with threads for workers."""
    folder = Path(draw.folder)
    store = small_store(folder)
    kind = draw.pick(["good", "odd", "bad"])
    verb = draw.pick(["info", "sweep", "sweep", "sweep", "figure", "lazy", "explore", "animate", "status", "merge"])
    arguments = {
        "info": [],
        "sweep": _sweep_file(draw, kind),
        "figure": ["--from", str(store)],
        "lazy": ["--only", "gap", "--d", "6"],
        "explore": ["--no-open", "--d", "2", "--out", str(folder / "page.html")],
        "animate": [str(folder / "film.gif"), "--d", "4", "--scales", "1"],
        "status": [str(store)],
        "merge": [str(folder / "out.sqlite"), str(store)],
    }[verb]
    flags = {
        "info": ["--nothing"],
        "sweep": [
            "--workers",
            "--export",
            "--store",
            "--executor",
            "--dry-run",
            "--rerun-failed",
            "--rerun",
            "--shard",
        ],
        "status": ["--json", "--html"],
        "merge": [str(folder / "other.sqlite")],
        "figure": [
            "--d",
            "--widths",
            "--draws",
            "--activations",
            "--seed",
            "--workers",
            "--from",
            "--out",
            "--preset",
            "--n-samples",
            "--ridge",
        ],
        "lazy": ["--d", "--scales", "--ratio", "--seed", "--only", "--out"],
        "explore": ["--d", "--seed", "--out"],
        "animate": ["--d", "--N", "--scales", "--seed"],
    }[verb]
    if verb == "sweep" and draw.chance(0.6):
        arguments = [*arguments, "--dry-run"]
    if kind != "good":
        odd = [
            "",
            "0",
            "-1",
            "1",
            "2",
            "6",
            "1e3",
            "nan",
            "inf",
            "a",
            "1,2",
            ",",
            "6,a",
            ".",
            "no/such/folder",
            "a.csv",
            "a.parquet",
        ]
        odd += ["square", "RF", "gap", "1" * 30, "\0", "a.txt", str(folder), str(store), "quick", "dask:nowhere"]
        for _ in range(draw.size(1, 2)):
            flag = draw.pick(flags)
            arguments = [
                *arguments,
                flag,
                *([] if flag in ("--dry-run", "--rerun-failed", "--json") else [draw.pick(odd)]),
            ]
    argv = [verb, *arguments]
    if kind != "good" and draw.chance(0.1):
        argv = draw.pick([[], ["info", "a"], [verb, "--help"], ["nothing"], ["--version"]])
    return Call("main", main_of, {"argv": Value(argv, "good" if kind == "good" else "odd")}, _of_text)


def main_of(argv: list[str]) -> str:
    """What the command prints; a `ClearExitError` if it refuses."""
    from fastlazy.cli.main import main
    from fastlazy.sweeps.engines import open_engine

    printed, told = io.StringIO(), io.StringIO()
    threads = mock.patch.object(
        fastlazy.sweeps.driver, "open_engine", lambda executor, n: open_engine(executor or ThreadPoolExecutor(1), n)
    )
    with threads, contextlib.redirect_stdout(printed), contextlib.redirect_stderr(told):
        try:
            status = main(argv)
        except SystemExit as exit_:
            status = exit_.code
    if status in (0, None):
        return printed.getvalue()
    text = told.getvalue()
    if status in (1, 2) and re.search(r"^(usage:|fastlazy)", text, re.MULTILINE) and "Traceback" not in text:
        raise ClearExitError(text[-300:])
    return f"status {status}: nan {text[-300:]}"


def _of_text(text: str) -> str | None:
    found = re.search(r"(?<![\w./])[+-]?(nan|inf)\b(?!: \d+ s).{,60}", text)  # "nan: 2 s" is a file of that name
    return f"prints {' '.join(found[0].split())!r}" if found else None


def _sweep_file(draw: Draw, kind: str) -> list[str]:
    """A file of cells."""
    good = '[shared]\nd = 4\nN = { geom = [2, 8, 3] }\n[[grid]]\nregime = ["RF", "NT"]\ndraw = { range = [0, 1] }\n'
    axes = [
        "[1]", "1.5", '"a"', "true", "[]", "{ range = [0, 3] }", "{ range = [3, 0] }", "{ range = [0] }", "nan", "inf",
        "{ range = 3 }", "{ geom = [0, 3, 2] }", "{ geom = [1, 3, 10] }", "{}", "-1", "2020-01-01", "[[1.0, 2.0]]",
        "{ geom = [1, 3] }", "[1, 1]", '"exponential"', '"float32"', '[1, "a"]', "99999999999999999999", "{ a = 1 }",
    ]  # fmt: skip
    keys = [
        "d",
        "N",
        "draw",
        "seed",
        "ridge",
        "target",
        "activation",
        "regime",
        "n_samples",
        "nothing",
        "dtype",
        "target_seed",
    ]
    text = good
    if kind == "odd":
        text = f"{good}{draw.pick(keys[4:])} = {draw.pick(axes)}\n"
    elif kind == "bad":
        files = [
            b"",
            b"a",
            b"[grid]",
            b"[[grid]]",
            b"\xff\xfe",
            b"\xef\xbb\xbf" + good.encode(),
            b"[[grid]]\nregime = 'RF'\n",
        ]
        files += [
            b"grid = 3",
            b"shared = 1\n[[grid]]\nregime='RF'\nd=3\nN=2\n",
            b"[other]\na = 1",
            good.encode() + b"a =",
        ]
        Path(draw.folder, "cells.toml").write_bytes(draw.pick(files))
        return [
            draw.pick(["cells.toml", "cells.toml", "cells.toml", "nothing.toml", "", ".", "store.sqlite", os.devnull])
        ]
    Path(draw.folder, "cells.toml").write_text(text)
    return ["cells.toml"]


ENTRIES: dict[str, Entry] = {"main": command}
