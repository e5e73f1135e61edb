"""What an outsider meets first agrees with the code: addresses, versions, workflows, hooks, CONTRIBUTING's example."""

import importlib.util
import re
import tarfile
import tomllib
import zipfile

import numpy as np
import pages
import pytest
import yaml

import fastlazy
from fastlazy._core.geometry import GEOMETRIES
from fastlazy.activations.activation import Known

ROOT = pages.ROOT
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TEXTS = [*pages.PAGES, ROOT / "CHANGELOG.md", ROOT / "CODE_OF_CONDUCT.md", ROOT / ".github/PULL_REQUEST_TEMPLATE.md"]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def matrix(job):
    """The matrix of a job of the workflow that runs the tests."""
    return yaml.safe_load(text(".github/workflows/tests.yml"))["jobs"][job]["strategy"]["matrix"]


def test_the_suite_runs_on_every_python_and_system_that_is_promised():
    versions = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert matrix("suite")["python"] == versions
    assert PROJECT["requires-python"] == f">={versions[0]}"
    systems = {"MacOS": "macos", "Windows": "windows", "Linux": "ubuntu"}
    promised = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if line.startswith("Operating System")]
    assert {systems[name] for name in promised} == {name.partition("-")[0] for name in matrix("suite")["os"]}


def test_the_kernels_run_under_every_geometry():
    assert matrix("registers")["geometry"] == list(GEOMETRIES)


def test_hooks_and_ci_have_the_same_linters():
    hooks = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    entries = {hook["entry"].replace(" --force-exclude", "") for hook in hooks}
    linters = re.findall(r"^((?:ruff|mypy|lint-imports).*)$", text(".ci/run"), re.MULTILINE)
    assert entries == {re.sub(r" --check \.| \.$", "", line) for line in linters}


def test_one_version_everywhere():
    version = fastlazy.__version__
    assert yaml.safe_load(text("CITATION.cff"))["version"] == version
    assert f"version = {{{version}}}" in text("README.md")
    headings = re.findall(r"^## (\S+) \((.+)\)$", text("CHANGELOG.md"), re.MULTILINE)
    assert headings[0][0] == version
    releases = [tuple(map(int, release.split("."))) for release, _ in headings]
    assert releases == sorted(releases, reverse=True)
    if headings[0][1] != "unreleased":
        assert headings[0][1] == str(yaml.safe_load(text("CITATION.cff"))["date-released"])


def test_one_address_everywhere():
    source = PROJECT["urls"]["Source"]
    owner, name = source.removeprefix("https://github.com/").split("/")
    assert yaml.safe_load(text("CITATION.cff"))["repository-code"] == source
    found = set()
    for file in ("pyproject.toml", "CITATION.cff", "CONTRIBUTING.md", ".github/ISSUE_TEMPLATE/config.yml"):
        found |= set(re.findall(r"(?:github\.com|githubusercontent\.com)/([\w.-]+/[\w.-]+)", text(file)))
        found |= {"/".join(site) for site in re.findall(r"https://([\w-]+)\.github\.io/(\w+)", text(file))}
    assert found == {f"{owner}/{name}"}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL))
    for link in links:
        file, _, anchor = link.partition("#")
        if re.match(r"https?:|(gallery|reference)/", link):  # or made, and checked, when the site is built
            continue
        place = page.parent / file if file else page
        assert place.exists(), f"{page.name}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in anchors, f"{page.name}: {link}"


def test_files_that_contributing_names_are_there():
    folders = r"fastlazy|tests|docs|benchmarks|\.ci|\.github"
    named = re.findall(rf"(?<![\w/])((?:{folders})/[\w./]+\w)\b(?!\*)", text("CONTRIBUTING.md"))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_non_linearity_of_contributing_is_right():
    row, compiled = re.findall(r"^   ```\n(.*?)^   ```$", text("CONTRIBUTING.md"), re.DOTALL | re.MULTILINE)
    names = {"np": np, "Known": Known, "_Builtin": lambda *fields: fields, "jit_inline": lambda function: function}
    name, function, derivative, known = eval(row.strip().rstrip(","), names)
    exec(re.sub(r"^   ", "", compiled, flags=re.MULTILINE), names)
    x = np.linspace(-3, 3, 30)  # without the kink
    assert np.allclose((function(x + 1e-6) - function(x - 1e-6)) / 2e-6, derivative(x), atol=1e-8)
    assert np.allclose(function(-x), known.parity * function(x))
    for dtype in (np.float32, np.float64):
        for form, twin in ((names[name], function), (names[f"d_{name}"], derivative)):
            values = [form(value) for value in x.astype(dtype)]
            assert {type(value) for value in values} == {dtype}
            assert np.allclose(values, twin(x), rtol=1e-5)


@pytest.fixture
def check_dist(monkeypatch, tmp_path):
    """The checker of what is uploaded, told of a repository of three files, and the folder of a sdist and a wheel."""
    spec = importlib.util.spec_from_file_location("check_dist", ROOT / ".ci/check_dist.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "tracked", lambda: {"README.md", "fastlazy/__init__.py", "tests/naive.py"})

    def check(*options, sdist=(), wheel=()):
        (tmp_path / "file").write_text("")
        with tarfile.open(tmp_path / "f.tar.gz", "w:gz") as archive:
            for name in ("PKG-INFO", "README.md", "fastlazy/__init__.py", "tests/naive.py", *sdist):
                archive.add(tmp_path / "file", f"fastlazy-0.1.0/{name}")
        source = PROJECT["urls"]["Source"]
        with zipfile.ZipFile(tmp_path / "f.whl", "w") as archive:
            for name in ("fastlazy/__init__.py", *wheel):
                archive.writestr(name, "")
            for name in module.OF_A_WHEEL:
                lines = f"Version: {fastlazy.__version__}\nProject-URL: Source, {source}\n\n"
                archive.writestr(f"fastlazy-0.1.0.dist-info/{name}", lines)
        return module.main([str(tmp_path), *options])

    return check


def test_what_is_uploaded_is_checked(check_dist, capsys):
    repository = PROJECT["urls"]["Source"].removeprefix("https://github.com/")
    assert check_dist() == 0
    assert check_dist("--repository", repository) == 0
    for arguments, options, complaint in (
        ((), {"sdist": ["notes.txt"]}, "the sdist has notes.txt, which does not belong there"),
        ((), {"wheel": ["tests/naive.py"]}, "the wheel has tests/naive.py, which does not belong there"),
        (("--tag", "v9"), {}, "the tag is v9"),
        (("--repository", "someone/else"), {}, "this is someone/else"),
    ):
        capsys.readouterr()
        assert check_dist(*arguments, **options) == 1
        assert complaint in capsys.readouterr().err
