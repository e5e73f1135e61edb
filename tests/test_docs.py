"""What README and docs show runs, and gives the numbers that stand beside it."""

import argparse
import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import shlex
import shutil
from contextlib import nullcontext
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pages
import pytest

import fastlazy
from fastlazy import estimators
from fastlazy.cli.main import main

DOCS = pages.ROOT / "docs"
SLOW = ("README.md", "reproduce.md", "sweeps.md", "lazy.md", "estimators.md", "quickstart.md")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to run in, with the docs' own files where pages look for them."""
    mpl.use("Agg")
    shutil.copytree(DOCS, tmp_path / "docs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in SLOW else [])
        for page in pages.PAGES
        if pages.blocks(page, "python")
    ],
)
def test_a_page_runs_and_its_numbers_are_right(folder, page):
    pages.run(page)


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_every_block_can_be_pasted(page):
    """Also those that cannot be run here."""
    for block in pages.blocks(page, "python", also_not_run=True):
        pages.instrumented(block)


@pytest.mark.parametrize(
    ("comment", "right", "wrong"),
    [
        (".88", (0.875, 0.884), (0.874, 0.886)),
        ("-.5", (-0.46, -0.54), (0.5, -0.44)),
        ("2.0e-13", (1.96e-13, 2.04e-13), (1.9e-13, 0.0, float("nan"))),
        (".47 to .49", (0.466, 0.494), (0.464, 0.496)),
        ("1.0, 2.5", ([1.0, 2.5],), (1.0, [1.0, 2.6], [1.0, 2.5, 3.0])),
        ("(2, 3)", (np.zeros((2, 3)),), (np.zeros((3, 2)), 1.0)),
    ],
)
def test_a_value_is_compared_to_the_digits_of_the_comment(comment, right, wrong):
    for value in right:
        assert pages.compare(value, comment) is value
    for value in wrong:
        with pytest.raises(AssertionError, match="is not"):
            pages.compare(value, comment)


def test_claims_and_output_of_a_page(tmp_path):
    page = tmp_path / "page.md"
    for block, complaint in (
        ("x = 0.5\nx  # .5, half\nfor k in (1, 2):\n    y = x * 0 + 0.1  # .1", None),
        ("x = 0.5  # .6", "is not .6"),
        ("if False:\n    x = 0.5  # .5", "nothing was compared with"),
        ("print('RF .5')\n```\n\n```text\nRF  .5", None),
        ("print('RF .5')\n```\n\n```text\nRF .6", "shows 'RF .6"),
    ):
        page.write_text(f"```python\n{block}\n```\n")
        with pytest.raises(AssertionError, match=complaint) if complaint else nullcontext():
            pages.run(page)


@pytest.mark.parametrize("block", ["x = 1  # about .88", "x = 1  # (2, 3), .5", "for x in range(1):  # .5\n    x"])
def test_a_number_that_is_not_compared_is_an_error(block):
    with pytest.raises(AssertionError, match=r"a number that is not compared|no statement ends"):
        pages.instrumented(block)


class _ParsedError(Exception):
    pass


@pytest.mark.parametrize("line", sorted({line for page in pages.PAGES for line in pages.commands(page)}))
def test_every_command_is_one(line, monkeypatch):
    """Its arguments are understood; nothing is run."""
    parse = argparse.ArgumentParser.parse_args

    def stop(parser, argv=None):
        parse(parser, argv)
        raise _ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(_ParsedError):
        main(shlex.split(line)[1:])


@pytest.mark.parametrize("line", ["fastlazy sweep docs/sweeps/regimes.toml --dry-run"])
def test_commands_that_only_say_what_there_is_to_do(folder, line, capsys):
    assert any(line in pages.commands(page) for page in pages.PAGES)
    assert main(shlex.split(line)[1:]) == 0
    assert "cells" in capsys.readouterr().out


MODULES = ["fastlazy", *(module.name for module in pkgutil.walk_packages(fastlazy.__path__, "fastlazy."))]
WITH_EXAMPLES = [name for name in MODULES if ">>>" in Path(importlib.util.find_spec(name).origin).read_text()]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_of_docstrings(name):
    mpl.use("Agg")
    module = importlib.import_module(name)
    source = Path(module.__file__).read_text()
    result = doctest.testmod(module)
    plt.close("all")
    assert result.failed == 0
    assert result.attempted == sum(line.strip().startswith(">>>") for line in source.splitlines())


@pytest.mark.parametrize("name", [*fastlazy.__all__, *estimators.__all__])
def test_every_public_name_has_an_example(name):
    """Of which `test_examples_of_docstrings` finds the module."""
    value = getattr(fastlazy if name in fastlazy.__all__ else estimators, name)
    assert "\nExamples\n--------\n>>> " in inspect.getdoc(value)
    assert value.__module__ in WITH_EXAMPLES


def test_the_learning_curve_is_drawn(tmp_path):
    mpl.use("Agg")
    spec = importlib.util.spec_from_file_location("learning_curve", DOCS / "learning_curve.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ALPHAS = np.array([1e-2, 1.0])
    module.main(["--d", "10", "--largest", "200", "--out", str(tmp_path / "curve.png")])
    assert (tmp_path / "curve.png").stat().st_size > 10_000
