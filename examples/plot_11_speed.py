"""
Speed beside NumPy and scikit-learn
===================================

The kernels of this package never store the features of all samples and neurons: they are made in registers,
multiplied and forgotten. This example times one kernel against the same formula in NumPy, and checks that the numbers
agree. The page :doc:`/performance` has measurements of everything, at full size and against more libraries.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics.pairwise import polynomial_kernel

import fastlazy

d, N = 100, 1000
W = fastlazy.draw_weights(N, d, rng=0)
target = fastlazy.exponential_target(d, rng=1)


def tangent_kernel_in_numpy(X):
    """The neural tangent kernel of ReLU networks: ⟨x, y⟩ times the share of neurons that are active for both."""
    active = (X @ W.T > 0).astype(float)
    return (X @ X.T) * (active @ active.T) / N


def best_time(function, X, repeats=3):
    """The least of some times, in seconds, after one call that may have to compile."""
    function(X)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function(X)
        times.append(time.perf_counter() - start)
    return min(times)


# %%
# The third contender is a polynomial kernel in scikit-learn. It is another function, and is here to show what a plain
# kernel without any neurons costs.

contenders = {
    "NT kernel, fastlazy": lambda X: fastlazy.nt_kernel(X, W, "relu"),
    "NT kernel, NumPy": tangent_kernel_in_numpy,
    "polynomial kernel, scikit-learn": lambda X: polynomial_kernel(X, degree=2),
}
X, _ = target.sample(200, rng=2)
print("largest difference:", np.abs(fastlazy.nt_kernel(X, W, "relu") - tangent_kernel_in_numpy(X)).max())

# %%
# Times depend on the machine, and on what else it does. These were measured when this page was built.

sizes = [250, 500, 1000, 2000]
figure, ax = plt.subplots(figsize=(7.2, 4.5), layout="constrained")
for (name, function), style in zip(contenders.items(), ("^-", "o:", "d:"), strict=True):
    times = [best_time(function, target.sample(n, rng=n)[0]) for n in sizes]
    colour = "#D55E00" if "fastlazy" in name else "0.5"
    ax.plot(sizes, times, style, color=colour, markerfacecolor="white", label=name)
ax.set(xscale="log", yscale="log", xlabel="samples", ylabel="seconds", title=f"N = {N} neurons, d = {d}, float64")
ax.set_xticks(sizes, [str(n) for n in sizes])
ax.minorticks_off()
ax.legend()
plt.show()
