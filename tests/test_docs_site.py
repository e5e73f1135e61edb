"""What the documentation site is made with: its reference, its check of links, and the scripts of its gallery."""

import importlib.util
import re
from pathlib import Path

import pages
import pytest

import fastlazy
from fastlazy import estimators
from fastlazy.sweeps.regimes import REGIMES

EXAMPLES = sorted((pages.ROOT / "examples").glob("plot_*.py"))


def extension(name):
    """A module of docs/extensions, which are on Sphinx's path alone."""
    spec = importlib.util.spec_from_file_location(name, pages.ROOT / "docs" / "extensions" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference():
    return extension("reference")


def test_every_public_name_is_in_the_reference_once(reference):
    groups = reference.grouped(reference.public_names())
    listed = [name for names in groups.values() for name in names]
    public = {f"fastlazy.{name}" for name in fastlazy.__all__}
    assert len(listed) == len(set(listed))
    assert set(listed) == public | {f"fastlazy.estimators.{name}" for name in estimators.__all__}
    assert reference.TITLES["risk"] in groups
    index = reference.index(groups)
    assert all(index.count(f"    {name}\n") == 2 for name in listed)  # in the table and in the navigation


def test_a_folder_without_a_title_is_in_the_reference(reference):
    assert reference.grouped({"fastlazy.f": "risk", "fastlazy.g": "lectures"}) == {
        reference.TITLES["risk"]: ["fastlazy.f"],
        "Lectures": ["fastlazy.g"],
    }


def test_a_class_has_its_own_methods_and_no_others(reference):
    assert "    :members: __call__, function, plot, to_frame\n" in reference.page("fastlazy.Fit")
    assert {"fit", "predict"} <= set(reference.members(estimators.NTRegressor))
    assert not {"get_params", "__init__"} & set(reference.members(estimators.NTRegressor))


def test_every_verb_of_the_command_is_in_the_reference(reference):
    page = reference.commands()
    for verb in ("figure", "curves", "lazy", "sweep", "merge", "status", "info"):
        assert f"\n::\n\n    usage: fastlazy {verb}" in page


def test_a_docstring_becomes_markup(reference):
    lines = [
        "The norm |w| of `a_` and of a_ itself.",
        "",
        "Parameters",
        "----------",
        "a_ : float",
        "    At least |b|.",
        "b : float",
        "    b. It is no list.",
        "",
        "Notes",
        "-----",
        "It solves",
        "",
        "    |a_| = 1",
        "",
        "for all _k.",
    ]
    reference.as_markup(None, None, None, None, None, lines)
    assert lines[0] == r"The norm \|w\| of `a_` and of a\_ itself."
    assert lines[4:8] == ["a_ : float", r"    At least \|b\|.", "b : float", r"    b\. It is no list."]
    assert lines[11:] == ["It solves", "", "::", "", "    |a_| = 1", "", "for all _k."]


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ('<a href="other.html#there">', None),
        ('<a href="#here">', None),
        ('<a href="https://example.org/x">', None),
        ('<img src="data:image/png;base64,AA">', None),
        ('<a href="missing.html">', "links to missing.html, which does not exist"),
        ('<a href="other.html#nowhere">', "links to other.html#nowhere, a place that does not exist"),
        ('<a href="#nowhere">', "links to #nowhere, a place that does not exist"),
        ('<img src="missing.png">', "links to missing.png, which does not exist"),
        ('<script src="https://example.org/x.js">', "loads https://example.org/x.js from elsewhere"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(tmp_path, link, complaint):
    (tmp_path / "index.html").write_text(f'<p id="here">{link}</p>')
    (tmp_path / "other.html").write_text('<p id="there"></p>')
    assert extension("links").complaints(tmp_path) == ([f"index.html {complaint}"] if complaint else [])


def test_the_gallery_has_the_colours_of_the_figures():
    found = [pair for path in EXAMPLES for pair in re.findall(r'"(RF|NT|NN)": \(?"(#\w{6})"', path.read_text())]
    assert {regime for regime, _ in found} == {*REGIMES}
    assert all(REGIMES[regime].style["color"] == colour for regime, colour in found)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_has_a_title_prose_and_one_figure(path):
    text = path.read_text()
    title, line = text.splitlines()[1:3]
    assert line == "=" * len(title)
    assert len(re.findall(r"^# %%\n# \w", text, re.MULTILINE)) >= 2
    assert len(re.findall(r"plt\.subplots\(|fastlazy\.plot_\w+\(", text)) == 1


def test_the_command_that_builds_the_site_is_the_same_everywhere():
    (command,) = [block for block in pages.blocks(pages.ROOT / "README.md", "sh") if "sphinx" in block]
    assert command in pages.blocks(pages.ROOT / "docs" / "recipes.md", "sh")
    assert command.split("-m ")[-1].strip() in (pages.ROOT / "docs" / "conf.py").read_text()
    for mark in ("tests", "site"):
        assert f"<!-- {mark} -->\n```sh\n" in (pages.ROOT / "README.md").read_text()
    assert "for mark in tests site; do" in Path(pages.ROOT, ".ci", "run").read_text()
