"""
Two Gaussian classes
====================

The paper's second model is a classification problem. The label y is 1 or −1, and x is Gaussian with mean zero and a
covariance Σ − yΔ that depends on y. No linear function of x tells the classes apart. A quadratic one does.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastlazy

COLOURS = {"RF": "#0072B2", "NT": "#D55E00", "NN": "#111111"}
d = 60
mixture = fastlazy.exponential_mixture(d, rng=0)

# %%
# All exact risks and predictions take a mixture in the place of a target. The null risk is one, the variance of y.

widths = [3, 6, 12, 24, 36, 48, 60, 120, 240]
risks = {"RF": [], "NT": [], "NN": []}
for N in widths:
    W = fastlazy.draw_weights(N, d, rng=N)
    risks["RF"].append(fastlazy.rf_risk(mixture, W))
    risks["NT"].append(fastlazy.nt_risk(mixture, W))
    risks["NN"].append(fastlazy.nn_risk(mixture, N))

# %%
# No function of x at all goes below the Bayes risk. There is no formula for it, so it is estimated from samples. We
# also train networks of x² with a few widths.

bayes = fastlazy.bayes_risk(mixture, rng=0)
trained = {N: fastlazy.fit_nn(mixture, N, n_samples=400_000, rng=N, n_records=2).risk[-1] for N in (6, 24, 60)}

figure, ax = plt.subplots(figsize=(7.2, 4.5), layout="constrained")
scaled = np.array(widths) / d
ax.plot(scaled, risks["RF"], "s-", color=COLOURS["RF"], markerfacecolor="white", label="RF, exact for drawn weights")
ax.plot(scaled, risks["NT"], "^--", color=COLOURS["NT"], markerfacecolor="white", label="NT, for the same weights")
ax.plot(scaled, risks["NN"], "-.", color=COLOURS["NN"], label="NN, least risk of a quadratic network")
ax.plot(
    [N / d for N in trained], trained.values(), "o", color=COLOURS["NN"], markerfacecolor="white", label="NN, trained"
)
ax.axhline(bayes.risk, color="0.4", linestyle=":", label="Bayes risk, estimated from samples")
ax.set(xscale="log", xlabel="neurons / dimension,  N / d", ylabel="risk", ylim=(0, 1))
ax.xaxis.set_major_formatter("{x:g}")
ax.legend(fontsize="small")
plt.show()

# %%
# From N = d on, NT and NN are both the best quadratic function. That is not the best function of all: the Bayes risk
# is lower.
