"""
Weights with a covariance
=========================

Random features are usually drawn alike in all directions. If the first-layer weights w_i ~ N(0, Γ) are longer in the
directions that matter for the target, random features learn more. How much more is predicted for any covariance Γ.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastlazy

COLOURS = {"RF": "#0072B2", "NT": "#D55E00"}
d, N = 60, 30
target = fastlazy.exponential_target(d, rng=0)

# %%
# The target has a diagonal B, so a diagonal Γ can be aligned with it: we take the powers B^p of B, with trace one.
# For p = 0 that is the isotropic Γ = I/d. For a large p the weights see little but the largest eigenvalues.

powers = np.linspace(0, 2.5, 11)
covariances = [np.diag(target.B) ** p / np.sum(np.diag(target.B) ** p) for p in powers]

# %%
# For each covariance we draw the weights once, and compute the exact risk and the prediction.

figure, ax = plt.subplots(figsize=(7.2, 4.5), layout="constrained")
for regime, exact, limit, marker, style in [
    ("RF", fastlazy.rf_risk, fastlazy.rf_risk_limit, "s", "-"),
    ("NT", fastlazy.nt_risk, fastlazy.nt_risk_limit, "^", "--"),
]:
    predicted = [limit(target, N, cov=cov, refined=True) / target.null_risk for cov in covariances]
    drawn = [exact(target, fastlazy.draw_weights(N, d, cov=cov, rng=1)) / target.null_risk for cov in covariances]
    ax.plot(powers, predicted, style, color=COLOURS[regime], label=f"{regime}, predicted")
    ax.plot(powers, drawn, marker, color=COLOURS[regime], markerfacecolor="white", label=f"{regime}, for one draw")
least = fastlazy.nn_risk(target, N) / target.null_risk
ax.axhline(least, color="#111111", linestyle="-.", label="NN, least risk")
ax.set(xlabel="power p of the covariance,  Γ ∝ Bᵖ", ylabel="risk / null risk", ylim=(0, 1))
ax.set_title(f"x², d = {d}, N = {N}", fontsize="medium")
ax.legend(fontsize="small", ncols=2)
plt.show()

# %%
# Knowing the target helps both models, up to a point. A network that is trained finds the directions by itself.
