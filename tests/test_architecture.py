"""What the package promises about itself: layers, a light import, documented names, short files."""

import ast
import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastlazy

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "fastlazy").rglob("*.py"))
FOLDERS = {path.parent.name for path in (ROOT / "fastlazy").glob("*/__init__.py")}
HEAVY = {"matplotlib", "pandas", "sklearn", "loky", "tqdm", "numba", "scipy"}


def test_imports_go_down_only():
    # With its own working folder's pyproject.toml, and no cache left behind.
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    child = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert child.returncode == 0, child.stdout + child.stderr
    contracts = re.search(r"Contracts: (\d+) kept, (\d+) broken", child.stdout)
    assert contracts, child.stdout
    assert int(contracts[1]) >= 3
    assert int(contracts[2]) == 0


def test_every_folder_has_a_floor():
    layers = re.search(
        r'name = "imports go down only".*?layers = \[(.*?)\]', (ROOT / "pyproject.toml").read_text(), re.S
    )
    assert set(re.findall(r"\w+", layers[1])) == FOLDERS | {"__main__", "_version"}


def test_tests_mirror_the_folders():
    """A file of tests begins with the name of the module that it tests."""
    tests = sorted((ROOT / "tests").glob("*/test_*.py"))
    assert len({path.name for path in tests}) == len(tests)  # pytest imports them by this name
    assert {path.parent.name for path in tests} >= FOLDERS
    for path in tests:
        if path.parent.name in FOLDERS:
            modules = {module.stem.strip("_") for module in (ROOT / "fastlazy" / path.parent.name).glob("*.py")}
            tested = path.stem.removeprefix("test_")
            assert any(tested == module or tested.startswith(f"{module}_") for module in modules), path


def test_no_test_imports_another():
    for path in (ROOT / "tests").rglob("*.py"):
        assert set(re.findall(r"^\s*(?:from|import) (?:\w+\.)*(test_\w+)", path.read_text(), re.M)) <= {path.stem}


def imported_by(statement):
    """Top-level packages that a fresh interpreter loads for *statement*."""
    child = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = [line.rsplit("|", 1)[1].strip() for line in child.stderr.splitlines() if line.startswith("import time:")]
    return {name.split(".")[0] for name in names}


def test_the_import_is_light():
    loaded = imported_by("import fastlazy")
    assert "fastlazy" in loaded
    assert not loaded & HEAVY
    assert not imported_by("import fastlazy.cli.main") & HEAVY


def test_theory_and_risks_need_no_compiler():
    loaded = imported_by("from fastlazy import QuadraticTarget, rf_risk, rf_risk_limit")
    assert "scipy" in loaded
    assert not loaded & (HEAVY - {"scipy"})


def test_names_resolve():
    assert fastlazy.__all__ == sorted(fastlazy.__all__)
    assert set(fastlazy.__all__) <= set(dir(fastlazy))
    for name in fastlazy.__all__:
        assert getattr(fastlazy, name).__name__ == name
        assert getattr(fastlazy, name).__module__.startswith("fastlazy.")
    with pytest.raises(AttributeError, match="module 'fastlazy' has no attribute 'nothing'"):
        fastlazy.nothing  # noqa: B018  (the attribute is what is tested)
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from fastlazy import nothing")


def test_names_are_declared_for_type_checkers():
    tree = ast.parse((ROOT / "fastlazy" / "__init__.py").read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {f"{node.module}.{alias.asname}" for node in guarded.body for alias in node.names}
    assert declared == {f"{getattr(fastlazy, name).__module__}.{name}" for name in fastlazy.__all__}


def sections(docstring):
    """The numpydoc sections of a docstring: title to lines."""
    lines = inspect.cleandoc(docstring).splitlines()
    found, title = {}, None
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line and re.fullmatch("-+", below) and len(below) == len(line):
            title = line
            found[title] = []
        elif title and not re.fullmatch("-+", line):
            found[title].append(line)
    return found


def documented(lines):
    """Names that a Parameters or Attributes section describes; "N, d : int" are two."""
    heads = [line.split(" : ")[0] for line in lines if line and not line.startswith(" ")]
    return [name for head in heads for name in head.split(", ")]


def public_callables():
    """Public functions and classes, and the methods of classes that take arguments."""
    for name in fastlazy.__all__:
        value = getattr(fastlazy, name)
        yield name, value
        if inspect.isclass(value):
            for method, function in vars(value).items():
                public = not method.startswith("_") or method == "__call__"
                if public and inspect.isfunction(function):
                    yield f"{name}.{method}", function


PUBLIC = dict(public_callables())
EACH_PUBLIC = pytest.mark.parametrize("name", PUBLIC)


def is_record(value):
    """A dataclass, or a tuple with names, that only holds what a function returns."""
    if hasattr(value, "_fields"):
        return True
    kinds = [kind for kind in getattr(value, "__mro__", ()) if dataclasses.is_dataclass(kind)]
    return bool(kinds) and not any("__init__" in inspect.getsource(kind) for kind in kinds)


@EACH_PUBLIC
def test_every_parameter_is_documented(name):
    value = PUBLIC[name]
    found = sections(value.__doc__)
    if is_record(value):
        assert documented(found["Attributes"]) == [*getattr(value, "_fields", ())] or [
            field.name for field in dataclasses.fields(value)
        ]
        return
    parameters = [parameter for parameter in inspect.signature(value).parameters if parameter != "self"]
    assert documented(found.get("Parameters", [])) == parameters


@EACH_PUBLIC
def test_what_comes_back_is_documented(name):
    value = PUBLIC[name]
    if inspect.isclass(value):
        pytest.skip("a class returns itself")
    assert inspect.signature(value).return_annotation not in (None, "None", inspect.Signature.empty)
    assert any(sections(value.__doc__)["Returns"])


@EACH_PUBLIC
def test_errors_are_documented(name):
    value = PUBLIC[name]
    if is_record(value):
        pytest.skip("made by the package, not by its users")
    assert any(sections(value.__doc__)["Raises"])


@EACH_PUBLIC
def test_the_first_line_is_one_sentence(name):
    lines = inspect.cleandoc(PUBLIC[name].__doc__).splitlines()
    assert lines[0].endswith(".")
    assert lines[1:2] in ([], [""])


def test_the_sections_reader_reads():
    found = sections("One.\n\nParameters\n----------\nN, d : int\n    Two.\nx\n\nReturns\n-------\nfloat\n")
    assert documented(found["Parameters"]) == ["N", "d", "x"]
    assert [line for line in found["Returns"] if line] == ["float"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_hold_one_idea(path):
    text = path.read_text()
    assert text.count("\n") <= 400
    assert ast.get_docstring(ast.parse(text)), "a module says what it is"


def imports(path):
    """Top-level packages that a file names in its imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0] if node.level == 0 else "fastlazy"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("naive*.py")), ids=lambda path: path.name)
def test_oracles_import_nothing_of_what_they_check(path):
    assert set(imports(path)) <= {
        "__future__",
        "fractions",
        "functools",
        "itertools",
        "math",
        "mpmath",
        "naive",
        "numpy",
        "scipy",
    }
    assert "importlib" not in path.read_text()


def test_there_is_an_oracle():
    assert (ROOT / "tests" / "naive.py").exists()


def test_nothing_seeds_or_draws_from_the_global_generator():
    for path in SOURCES:
        assert not re.search(r"random\.(seed|rand|randn|normal|RandomState)\b", path.read_text()), path


def test_versions_agree():
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited[1].strip("\"'") == fastlazy.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", fastlazy.__version__)


def test_the_command_is_the_one_declared():
    script = re.search(r'^fastlazy = "([\w.]+):(\w+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert callable(getattr(importlib.import_module(script[1]), script[2]))
