"""Sixty cells that the tests of sweeps measure, in this process and in others, which need no pytest for it."""

from fastlazy.sweeps.cells import grid

CELLS = grid(regime=["RF", "NT"], d=60, N=[30, 400], draw=range(10))
CELLS += grid(regime="NN", d=60, N=[30, 90], n_samples=150_000, draw=range(8))
CELLS += grid(regime="NN", d=12, N=5, n_samples=20_000, second_layer=["signs", "free"], target=["identity", [0.5] * 12])
