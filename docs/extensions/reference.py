"""The API reference, written from the public names: a name that `fastlazy` or its estimators gain has a page at once.

Docstrings are plain text in numpydoc's sections. `as_markup` makes reStructuredText of them: bars, trailing underscores
and single letters are what they look like, and indented formulas keep their lines. On all pages of the site a public
name that is written as code is a link.
"""

from __future__ import annotations

import inspect
import io
import re
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import fastlazy
import fastlazy.estimators

MODULES = (fastlazy, fastlazy.estimators)
# What is in each folder of the package, in the order of the reference. A folder that is not here comes last.
TITLES = {
    "targets": "Targets and weights",
    "activations": "Non-linearities",
    "risk": "Exact risks and predictions",
    "training": "Training, functions and diagnostics",
    "kernels": "Gram matrices, kernels and features",
    "estimators": "Estimators for scikit-learn",
    "sweeps": "Sweeps",
    "figures": "Figures",
}
_HEAD = "Every public name, by what it is about. All but the estimators are attributes of ``fastlazy`` itself."


def public_names() -> dict[str, str]:
    """The public names in full, each with the folder of the package where it is made."""
    found = {}
    for module in MODULES:
        for name in module.__all__:
            found[f"{module.__name__}.{name}"] = getattr(module, name).__module__.split(".")[1]
    return found


def grouped(names: dict[str, str]) -> dict[str, list[str]]:
    """The names under the titles of their folders, in order."""
    groups = {title: [name for name in names if names[name] == folder] for folder, title in TITLES.items()}
    for name, folder in names.items():
        if folder not in TITLES:
            groups.setdefault(folder.capitalize(), []).append(name)
    return {title: found for title, found in groups.items() if found}


def members(value: type) -> list[str]:
    """Methods and properties of a class that the package documents, those of its own base classes included."""
    found = []
    for name in dir(value):
        made = inspect.getattr_static(value, name)
        for wrapped in ("fget", "func", "__func__"):  # of a property, a cached property, a class method
            made = getattr(made, wrapped, made)
        named = name == "__call__" or not name.startswith("_")
        if named and inspect.isfunction(made) and made.__doc__ and made.__module__.startswith("fastlazy."):
            found.append(name)
    return found


def heading(text: str, line: str = "=") -> str:
    """A title in reStructuredText."""
    return f"{text}\n{line * len(text)}\n\n"


def page(name: str) -> str:
    """The page of the public *name*."""
    module, _, short = name.rpartition(".")
    value = getattr(next(each for each in MODULES if each.__name__ == module), short)
    text = heading(short.replace("_", r"\_")) + f".. currentmodule:: {module}\n\n"
    if inspect.isclass(value):
        text += f".. autoclass:: {short}\n"
        if listed := members(value):
            text += f"    :members: {', '.join(listed)}\n"
    else:
        text += f".. autofunction:: {short}\n"
    return text + f"\n.. minigallery:: {name}\n    :add-heading: In the gallery\n    :heading-level: -\n"


def index(groups: dict[str, list[str]]) -> str:
    """The first page of the reference: a table of names and what they are under each title."""
    text = ":html_theme.sidebar_secondary.remove:\n\n" + heading("API reference") + f"{_HEAD}\n\n"
    text += "What the command ``fastlazy`` does from a shell is on the page :doc:`commands`.\n\n"
    for title, names in groups.items():
        text += heading(title, "-")
        text += ".. autosummary::\n    :nosignatures:\n\n" + "".join(f"    {name}\n" for name in names)
        text += f"\n.. toctree::\n    :hidden:\n    :caption: {title}\n\n" + "".join(f"    {name}\n" for name in names)
        text += "\n"
    return text + ".. toctree::\n    :hidden:\n    :caption: Command line\n\n    commands\n"


def commands() -> str:
    """The page of the command line: what each verb says under ``--help``."""
    text = heading("The command line") + "What ``fastlazy COMMAND --help`` prints.\n\n"
    for verb in re.findall(r"^ {4}([a-z]+)\b", help_of(), re.MULTILINE):
        text += heading(f"fastlazy {verb}", "-") + "::\n\n"
        text += "".join(f"    {line}".rstrip() + "\n" for line in help_of(verb).splitlines()) + "\n"
    return text


def help_of(*verb: str) -> str:
    """What the command prints under ``--help``."""
    from fastlazy.cli.main import main

    printed = io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        main([*verb, "--help"])
    return printed.getvalue()


def write_pages(app: Any, _config: Any) -> None:
    """Write the reference into its folder beside the pages; a page that stays the same is not touched."""
    names = public_names()
    pages = {name: page(name) for name in names} | {"index": index(grouped(names)), "commands": commands()}
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.rst"):
        if old.stem not in pages:
            old.unlink()
    for stem, text in pages.items():
        path = folder / f"{stem}.rst"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def as_markup(_app: Any, _what: str, _name: str, _value: Any, _options: Any, lines: list[str]) -> None:
    """Make reStructuredText of the *lines* of a docstring, in place."""
    found: list[str] = []
    prose, shown = True, False
    for k, line in enumerate(lines):
        below = lines[k + 1] if k + 1 < len(lines) else ""
        if re.fullmatch("-{3,}", below):  # the title of a section
            prose = line not in ("Parameters", "Attributes", "Returns", "Raises", "Warns", "Yields")
        indented = line.startswith(" ")
        if prose and indented and not shown and (not found or not found[-1].strip()):
            found += ["::", ""]
            shown = True
        elif line.strip() and not indented:
            shown = False
        is_code = shown or line.lstrip().startswith(">>>") or re.match(r"[\w*, ]+ : ", line)
        found.append(line if is_code else escaped(line))
    lines[:] = found


def escaped(line: str) -> str:
    """A line of prose in which bars and trailing underscores stand for themselves, but for what is in quotes.

    A line that begins with a letter and a full stop is no item of a list.
    """
    parts = re.split(r"(`+[^`]*`+)", re.sub(r"^(\s*\w)\.(?!\S)", r"\1\.", line))
    for k in range(0, len(parts), 2):
        parts[k] = re.sub(r"(\w)_(?![\w{(])", r"\1\\_", parts[k].replace("|", r"\|"))
    return "".join(parts)


def link_names(app: Any, doctree: Any) -> None:
    """Make links of public names that are written as code, in place."""
    from docutils import nodes
    from sphinx.addnodes import pending_xref

    known = {name.rpartition(".")[2]: name for name in public_names()}
    for literal in list(doctree.findall(nodes.literal)):
        name = literal.astext().removeprefix("fastlazy.").removeprefix("estimators.")
        if name in known and isinstance(literal.parent, nodes.paragraph | nodes.emphasis | nodes.strong):
            link = pending_xref("", refdomain="py", reftype="obj", reftarget=known[name], refexplicit=True)
            link["refdoc"] = app.env.docname
            literal.replace_self(link)
            link += literal


def check_names(app: Any, _env: Any) -> None:
    """Warn of each public name that the reference does not describe."""
    from sphinx.util import logging

    described = app.env.get_domain("py").objects
    for name in public_names():
        if name not in described:
            logging.getLogger(__name__).warning("the public name %s has no entry in the reference", name)


def setup(app: Any) -> dict[str, Any]:
    """Register what is done before pages are read, to each docstring, and when all is read."""
    app.connect("config-inited", write_pages)
    app.connect("autodoc-process-docstring", as_markup, priority=400)  # before numpydoc's own, at 500
    app.connect("doctree-read", link_names)
    app.connect("env-check-consistency", check_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
