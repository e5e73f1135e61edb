"""
From lazy to rich training
==========================

One number decides whether a network is trained lazily. Let f₀ be the network at the start, and train α(f − f₀) in
place of f. If α is large, the weights hardly have to move, and the network behaves like its linearisation. If α is
small, the weights move far, and the network learns the directions that matter.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastlazy

COLOURS = {"NT": "#D55E00", "NN": "#111111"}
d, N = 40, 20
target = fastlazy.exponential_target(d, rng=0)

# %%
# We train the same network at eight values of α. All runs begin with the same weights.

scales = np.geomspace(0.03, 100, 8)
fits = [fastlazy.fit_nn(target, N, n_samples=400_000, scale=alpha, rng=1, diagnostics=True) for alpha in scales]
W0 = fits[0].W0

# %%
# For σ(x) = x² the least risk at every α is known (`lazy_risk`). It goes from the least risk of any network of this
# width, which is `nn_risk`, to the risk of the tangent model of the initial weights, which is `nt_risk`.

fine = np.geomspace(0.03, 100, 60)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
null = target.null_risk
left.axhline(fastlazy.nt_risk(target, W0) / null, color=COLOURS["NT"], linestyle="--", label="NT, same initial weights")
left.axhline(fastlazy.nn_risk(target, N) / null, color=COLOURS["NN"], linestyle="-.", label="NN, least risk")
left.plot(fine, [fastlazy.lazy_risk(target, W0, scale=s) / null for s in fine], color="0.6", label="least at this α")
left.plot(scales, [fit.risk[-1] / null for fit in fits], "o", color="#111111", markerfacecolor="white", label="trained")
left.set(xscale="log", xlabel="scale α", ylabel="risk / null risk", ylim=(0, None))
left.legend(loc="lower right", fontsize="small")

moved = [fit.diagnostics.travelled_W[-1] for fit in fits]
right.plot(scales, moved, "o-", color="#111111", markerfacecolor="white")
right.set(xscale="log", yscale="log", xlabel="scale α", ylabel="how far the weights moved,  |W − W₀| / |W₀|")
plt.show()

# %%
# At the left of both panels the weights move further than their own length, and the network reaches the risk of NN.
# At the right they move by a small part of it, in proportion to 1/α, and training ends at the tangent model.
