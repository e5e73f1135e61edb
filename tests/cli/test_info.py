"""``fastlazy info``: what it names, and a check that fails when a number is wrong."""

import numpy as np
import pytest

import fastlazy
from fastlazy._core import geometry
from fastlazy.cli import selfcheck
from fastlazy.cli.main import main


def test_it_names_what_a_bug_report_needs(capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for wanted in (
        f"fastlazy {fastlazy.__version__}",
        f"numpy {np.__version__}",
        f"compiled for {geometry.CPU}",
        f"registers {geometry.GEOMETRY}",
        "threads 1 of",
        "OMP_NUM_THREADS=1",
        "BLAS ",
        "__pycache__",
    ):
        assert wanted in text


def test_a_forced_geometry_is_named(capsys, monkeypatch):
    monkeypatch.setattr(geometry, "host_geometry", lambda: "another")
    assert main(["info"]) == 0
    assert "forced by FASTLAZY_REGISTERS" in capsys.readouterr().out


def test_all_is_well(capsys):
    assert main(["info", "--check"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"all is well: 100 checks passed ({geometry.GEOMETRY} registers, ")


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("rf_kernel", lambda K: K * (1 + 1e-3)),
        ("nt_kernel", lambda K: np.where(np.eye(len(K)), np.nan, K).astype(K.dtype)),
        ("rf_risk", lambda risk: risk * (1 - 1e-9)),
    ],
)
def test_a_planted_wrong_number_is_found(name, wrong, capsys, monkeypatch):
    right = getattr(fastlazy, name)
    monkeypatch.setattr(fastlazy, name, lambda *arguments: wrong(right(*arguments)))
    assert main(["info", "--check"]) == 1
    *found, last = capsys.readouterr().out.splitlines()
    assert found
    assert all(line.startswith(f"WRONG {name}") for line in found)
    assert last.startswith(f"{len(found)} of 100 checks failed")


def test_a_planted_wrong_normal_is_found(capsys, monkeypatch):
    monkeypatch.setitem(selfcheck._NORMALS, np.float32, [0, *selfcheck._NORMALS[np.float32][1:]])
    assert main(["info", "--check"]) == 1
    assert "WRONG normals, float32" in capsys.readouterr().out
