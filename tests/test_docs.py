"""What the page on estimators shows runs, and its figure is drawn."""

import importlib.util
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_examples_run():
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "estimators.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    names = {}
    for block in blocks:
        exec(block, names)
    print(names["scores"], names["accuracy"])
    assert min(names["scores"].values()) > 0.4
    assert names["accuracy"] > 0.96
    assert names["network"].loss_curve_[-1] < 0.2 * names["target"].null_risk / 2
    assert 1 < names["risk"] / names["nt_risk"](names["target"], names["W"]) < 1.1


def test_the_learning_curve_is_drawn(tmp_path):
    mpl.use("Agg")
    spec = importlib.util.spec_from_file_location("learning_curve", DOCS / "learning_curve.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ALPHAS = np.array([1e-2, 1.0])
    module.main(["--d", "10", "--largest", "200", "--out", str(tmp_path / "curve.png")])
    assert (tmp_path / "curve.png").stat().st_size > 10_000
