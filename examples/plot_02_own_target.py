"""
A matrix of your own: five spikes
=================================

The target can be any symmetric matrix B. Here B has five large eigenvalues in random directions, the *spikes*, and a
bulk of small ones. A trained network needs one neuron for each spike. A network in the neural tangent regime does not
know where the spikes are, so it needs neurons in proportion to the dimension.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastlazy

COLOURS = {"RF": "#0072B2", "NT": "#D55E00", "NN": "#111111"}

# %%
# We make B from an orthogonal matrix and a list of eigenvalues. With b₀ = −tr B the target has mean zero.

d = 80
generator = np.random.default_rng(0)
directions = np.linalg.qr(generator.standard_normal((d, d)))[0]
eigenvalues = np.concatenate([[10.0, 8.0, 6.0, 5.0, 4.0], np.full(d - 5, 0.2)])
B = directions @ np.diag(eigenvalues) @ directions.T
target = fastlazy.QuadraticTarget((B + B.T) / 2, b0=-eigenvalues.sum())

# %%
# For each width we compute the exact risks of RF and NT for drawn weights, the least risk of any network of that
# width (`nn_risk`), and the risk that training reaches.

widths = [1, 2, 3, 4, 5, 8, 16, 32, 64]
risks = {"RF": [], "NT": [], "NN": []}
trained = []
for N in widths:
    W = fastlazy.draw_weights(N, d, rng=N)
    risks["RF"].append(fastlazy.rf_risk(target, W) / target.null_risk)
    risks["NT"].append(fastlazy.nt_risk(target, W) / target.null_risk)
    risks["NN"].append(fastlazy.nn_risk(target, N) / target.null_risk)
    trained.append(fastlazy.fit_nn(target, N, n_samples=200_000, rng=N, n_records=2).risk[-1] / target.null_risk)

figure, ax = plt.subplots(figsize=(7.2, 4.5), layout="constrained")
ax.plot(widths, risks["RF"], "s-", color=COLOURS["RF"], markerfacecolor="white", label="RF, exact for drawn weights")
ax.plot(widths, risks["NT"], "^--", color=COLOURS["NT"], markerfacecolor="white", label="NT, for the same weights")
ax.plot(widths, risks["NN"], "-.", color=COLOURS["NN"], label="NN, least risk of any network")
ax.plot(widths, trained, "o", color=COLOURS["NN"], markerfacecolor="white", label="NN, trained by SGD")
ax.axvline(5, color="0.8", zorder=0)
ax.annotate("one neuron for each spike", (5.3, 0.05), color="0.4")
ax.set(xscale="log", yscale="log", xlabel="neurons N", ylabel="risk / null risk")
ax.xaxis.set_major_formatter("{x:g}")
ax.set_title(f"d = {d}, five spikes and a bulk of 0.2", fontsize="medium")
ax.legend(loc="lower left", fontsize="small")
plt.show()

# %%
# With five neurons the trained network has learned all that stands out. What remains is the bulk. The same five
# neurons leave RF and NT with almost the whole null risk.
