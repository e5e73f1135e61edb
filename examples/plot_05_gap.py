"""
A gap as large as you like
==========================

How much better than its linearisation can a trained network be? There is no limit. The function `gap_target` makes
a target for which the risk of NT is larger than that of NN by any factor that you ask for.
"""

import matplotlib.pyplot as plt

import fastlazy

COLOURS = {"NT": "#D55E00", "NN": "#111111"}
d, N, ratio = 100, 10, 1000.0
target = fastlazy.gap_target(d, N, ratio)
print(target.eigenvalues[:3])  # one large eigenvalue, the others are all small and equal

# %%
# The factor is a promise at the width N = 10, for almost every draw of the weights. Here is one draw.

W = fastlazy.draw_weights(N, d, rng=0)
print(f"NT / NN = {fastlazy.nt_risk(target, W) / fastlazy.nn_risk(target, N):.0f}")

# %%
# And here is the whole curve. One neuron is enough for NN to find the large eigenvalue. The dot is a network of ten
# neurons that was trained by SGD.

widths = [1, 2, 5, 10, 20, 40, 60, 80, 90]
nt = [fastlazy.nt_risk(target, fastlazy.draw_weights(n, d, rng=n)) / target.null_risk for n in widths]
nn = [fastlazy.nn_risk(target, n) / target.null_risk for n in widths]
fit = fastlazy.fit_nn(target, N, n_samples=1_000_000, rng=0)

figure, ax = plt.subplots(figsize=(7.2, 4.5), layout="constrained")
ax.plot(widths, nt, "^--", color=COLOURS["NT"], markerfacecolor="white", label="NT, exact for drawn weights")
ax.plot(widths, nn, "-.", color=COLOURS["NN"], label="NN, least risk")
ax.plot(N, fit.risk[-1] / target.null_risk, "o", color=COLOURS["NN"], markerfacecolor="white", label="NN, trained")
ax.set(yscale="log", xlabel="neurons N", ylabel="risk / null risk", title=f"d = {d}, one direction matters")
ax.legend()
plt.show()
