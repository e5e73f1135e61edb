"""
Any non-linearity
=================

Random features do not capture a quadratic function, whatever the non-linearity σ is. This is the paper's first
conclusion, and here it is for four of them. The neural tangent model does better for every σ that is not odd. An odd
σ learns nothing of an even target, with any number of neurons.
"""

import matplotlib.pyplot as plt

import fastlazy

d = 40
target = fastlazy.exponential_target(d, rng=0)
widths = [5, 10, 20, 40, 80, 160]
looks = {"square": ("o", "x²"), "relu": ("s", "ReLU"), "gelu": ("^", "GELU"), "tanh": ("D", "tanh")}

# %%
# The same weights serve all non-linearities, so their curves differ for no other reason. Both risks are exact: they
# come from the Hermite coefficients of σ and the angles between the rows of W.

figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
for ax, regime, risk, colour in [
    (axes[0], "RF", fastlazy.rf_risk, "#0072B2"),
    (axes[1], "NT", fastlazy.nt_risk, "#D55E00"),
]:
    for name, (marker, label) in looks.items():
        ratios = [risk(target, fastlazy.draw_weights(N, d, rng=N), name) / target.null_risk for N in widths]
        ax.plot([N / d for N in widths], ratios, marker=marker, color=colour, markerfacecolor="white", label=label)
    ax.set(xscale="log", xlabel="neurons / dimension,  N / d", title=regime, ylim=(-0.03, 1.05))
    ax.set_xticks([0.125, 0.25, 0.5, 1, 2, 4], ["1/8", "1/4", "1/2", "1", "2", "4"], minor=False)
    ax.minorticks_off()
    ax.legend(loc="lower left")
axes[0].set_ylabel("risk / null risk")
plt.show()

# %%
# As the number of neurons grows, every RF curve but that of tanh goes towards 1 − m, where m = tr(B)² / (d tr(B²)) is
# the share of the trace in the target. Non-linearities differ only in how soon they come near it.

share = sum(target.eigenvalues) ** 2 / (d * sum(target.eigenvalues**2))
print(f"1 - m = {1 - share:.3f}")
