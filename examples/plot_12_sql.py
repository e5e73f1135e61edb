"""
Reading a store with SQL
========================

The store of a sweep is an ordinary SQLite file. It can be read by any program that reads such files, at any time, and
while the sweep is running. The table ``cells`` has one row for each cell.
"""

import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import fastlazy

# %%
# We fill a small store. The cells are short, so they run in a thread of this process instead of processes of their
# own.

store = Path(tempfile.mkdtemp()) / "small.sqlite"
cells = fastlazy.grid(regime=["RF", "NT"], d=[20, 40, 80], N=[10, 20, 40], activation=["square", "relu"], draw=range(4))
_ = fastlazy.run_sweep(cells, store, executor=ThreadPoolExecutor(1), progress=False)

# %%
# Now a query in plain SQL: the mean risk ratio of each regime and non-linearity where N = d / 2.

query = """
    SELECT regime, activation, d, avg(ratio) AS ratio, count(*) AS draws
    FROM cells
    WHERE status = 'done' AND 2 * N = d
    GROUP BY regime, activation, d
    ORDER BY regime, activation, d
"""
with sqlite3.connect(store) as connection:
    means = pd.read_sql(query, connection)
print(means.to_string(index=False))

# %%
# The package reads stores as well, as a whole or in part. A condition is SQL, too.

wide = fastlazy.load_sweep(store, columns=["regime", "N", "ratio"], where="d = 80 AND N >= 40")
print(f"{len(wide)} rows of {len(cells)}")

# %%
# The ratios hardly depend on d, as long as N / d stays the same. This is why the predictions can be made for large d.

colours = {"RF": "#0072B2", "NT": "#D55E00"}
markers = {"square": "o", "relu": "s"}
figure, ax = plt.subplots(figsize=(7.2, 4.5), layout="constrained")
for (regime, activation), rows in means.groupby(["regime", "activation"]):
    label = f"{regime}, {'x²' if activation == 'square' else 'ReLU'}"
    style = {"color": colours[regime], "marker": markers[activation], "markerfacecolor": "white"}
    ax.plot(rows["d"], rows["ratio"], label=label, **style)
ax.set(xlabel="dimension d, with d / 2 neurons", ylabel="risk / null risk, mean of four draws", ylim=(0, 1))
ax.set_xticks([20, 40, 80])
ax.legend(loc="lower right", ncols=2)
plt.show()
