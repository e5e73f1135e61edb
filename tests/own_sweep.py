"""A sweep of one's own target, sigma and quantity, in twenty lines: tests run it, kill it and go on with it."""

import math
import sys

import numpy as np

import fastlazy

B = np.diag(np.linspace(-1, 2, 30)) + 0.3 * np.eye(30, k=1) + 0.3 * np.eye(30, k=-1)
BENT = fastlazy.Activation("bent", lambda x: math.tanh(x) + x * x, lambda x: 1 - math.tanh(x) ** 2 + 2 * x)


def alignment(cell):
    top = np.linalg.eigh(cell.target.B)[1][:, -1]
    shares = (cell.W @ top) ** 2 / (cell.W**2).sum(axis=1)
    found = {"mean_share": shares.mean(), "noise": cell.rng.standard_normal()}
    return found if cell.fit is None else {**found, "c": cell.c}


COMMON = {"d": 30, "target": {"mine": B}}
CELLS = fastlazy.grid(regime=["RF", "NT"], N=[15, 90], activation=["relu", BENT], draw=range(5), **COMMON)
TRAINED = {"second_layer": "free", "n_samples": 40_000}
CELLS += fastlazy.grid(regime="NN", N=9, activation=["square", BENT], draw=range(4), **TRAINED, **COMMON)

if __name__ == "__main__":
    shard = (int(sys.argv[2]), 3) if len(sys.argv) > 2 else None
    fastlazy.run_sweep(CELLS, sys.argv[1], measure=alignment, n_workers=2, shard=shard, progress=False)
