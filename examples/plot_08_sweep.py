"""
A sweep over many cells
=======================

A *sweep* measures many cells, each of which is one regime at one width, one dimension, one draw and so on. The
results go into one SQLite file. A sweep that was cut short goes on where it was when the same call is made again.
"""

import tempfile
import time
from pathlib import Path

import fastlazy

# %%
# The function `grid` makes a cell for each combination of what it is given. All cells have defaults for the rest:
# here the target is that of the headline figure.

cells = fastlazy.grid(regime=["RF", "NT"], d=100, N=[10, 20, 40, 80, 160, 320], draw=range(5))
cells += fastlazy.grid(regime="NN", d=100, N=[10, 20, 40, 80, 160], n_samples=200_000)
print(f"{len(cells)} cells, the first is {cells[0]}")

# %%
# The cells run on all processors. The result is a table with a row for each cell, in which ``ratio`` is the risk over
# the null risk, and ``predicted`` the prediction of it.

store = Path(tempfile.mkdtemp()) / "widths.sqlite"
table = fastlazy.run_sweep(cells, store, progress=False)
print(table[["regime", "N", "draw", "ratio", "predicted", "status"]].head(3).to_string())

# %%
# Nothing is measured twice. The same call again reads the table from the store.

start = time.perf_counter()
fastlazy.run_sweep(cells, store, progress=False)
print(f"again: {time.perf_counter() - start:.2f} s")

# %%
# A table of a sweep can be drawn as it is: dots are means over the draws, with their standard deviation, and lines
# are predictions.

fastlazy.plot_risk_curves(table)
