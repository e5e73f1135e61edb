"""
Which directions each regime learns
===================================

A quadratic target is a sum of squares along the eigenvectors of B. How much of each one has been learned? The
function `captured_share` says it for any quadratic function: one where all of a direction has been captured, zero
where nothing.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastlazy

COLOURS = {"RF": "#0072B2", "NT": "#D55E00", "NN": "#111111"}
d, N = 100, 30
target = fastlazy.exponential_target(d, rng=0)
W = fastlazy.draw_weights(N, d, rng=1)

# %%
# We compare the best function of RF, the best function of NT and a trained network, all with thirty neurons.

functions = {
    "RF": fastlazy.rf_function(target, W),
    "NT": fastlazy.nt_function(target, W),
    "NN": fastlazy.fit_nn(target, N, n_samples=2_000_000, rng=2, n_records=2).function,
}
large = target.eigenvalues > 0.2  # where almost nothing is to be learned, shares are noise over almost nothing

figure, ax = plt.subplots(figsize=(7.2, 4.5), layout="constrained")
for (regime, f), marker in zip(functions.items(), "s^o", strict=True):
    shares = fastlazy.captured_share(target, f)
    ax.plot(
        target.eigenvalues[large], shares[large], marker, color=COLOURS[regime], markerfacecolor="white", label=regime
    )
limit = fastlazy.nt_captured_limit(target, N, refined=True)
ax.plot(target.eigenvalues[large], limit[large], "--", color=COLOURS["NT"], label="NT, mean over weights")
edge = np.sort(target.eigenvalues)[-N]
ax.axvline(edge, color="0.8", zorder=0)
ax.annotate("the 30 largest  →", (edge + 0.05, 1.12), color="0.4")
ax.set(xlabel="eigenvalue of B", ylabel="share captured", ylim=(-0.6, 1.2))
ax.legend(loc="lower right")
plt.show()

# %%
# The trained network has learned the thirty largest eigenvalues and nothing of the others. Only at the edge, where
# eigenvalues are nearly equal, it has not told them apart yet. NT gets the same part of all large eigenvalues, since
# random directions see all of them alike. RF sees the trace of B only. It spreads the trace evenly over all
# directions, so that its share is small where the eigenvalue is large.
