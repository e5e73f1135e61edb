"""A checkpoint of a network of the user's sigma is that run's in every process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastlazy.activations.activation import Activation
from fastlazy.targets.library import exponential_target
from fastlazy.training.fit_nn import fit_nn

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import math, sys
import numpy as np
from fastlazy import Activation, exponential_target, fit_nn
from fastlazy.training import checkpoint

checkpoint._SECONDS = 0.0

def shifted(shift):
    return Activation("shifted", lambda x: math.tanh(x + shift), lambda x: 1 - math.tanh(x + shift) ** 2)

sigma = shifted(float(sys.argv[1]))
fit_nn(exponential_target(4, rng=0), 3, n_samples=400, activation=sigma, rng=1, checkpoint="state.npz")
print(np.load("state.npz")["run"])
"""


def test_every_process_knows_the_run(tmp_path):
    def run(shift):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, shift], cwd=tmp_path, env=environment, capture_output=True, text=True,
            check=True,
        ).stdout  # fmt: skip

    assert run("0.5") == run("0.5") != run("0.25")


def test_a_sigma_without_identity_has_no_checkpoint(tmp_path, monkeypatch):
    sigma = Activation("mine", lambda x: x * x, lambda x: 2 * x)
    monkeypatch.setitem(vars(sigma), "function", np.vectorize(lambda x: x))
    message = "activation 'mine' has no identity outside of this process: .* of type vectorize, which no two"
    with pytest.raises(TypeError, match=message):
        fit_nn(exponential_target(4, rng=0), 3, n_samples=400, activation=sigma, rng=1, checkpoint=tmp_path / "a.npz")
