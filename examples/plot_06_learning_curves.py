"""
A finite number of samples
==========================

So far the number of samples was infinite for RF and NT. With n samples their risk depends on n, and it can be
predicted without drawing a single one. Without a penalty the risk has a peak where n is the number of features. The
best ridge penalty removes the peak.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastlazy
from fastlazy.estimators import RFRegressor

d, N = 50, 200
target = fastlazy.exponential_target(d, rng=0)
W = fastlazy.draw_weights(N, d, rng=1)

# %%
# One call gives the whole curve for these weights. The second call finds the best ridge for every n.

n = np.unique(np.geomspace(30, 5000, 80).astype(int))
plain = fastlazy.rf_learning_curve(target, W, n, "relu", ridge=1e-3) / target.null_risk
best = fastlazy.rf_learning_curve(target, W, n, "relu", ridge="best").risk / target.null_risk

# %%
# For comparison we draw samples, fit RF to them, and compute the exact risk of what was fitted. A ridge of λ for the
# mean of the squared errors is a penalty ``alpha`` of nλ in scikit-learn's convention.

sizes = [60, 100, 150, 200, 300, 600, 1500, 4000]
generator = np.random.default_rng(0)
fitted = []
for size in sizes:
    ratios = []
    for _ in range(5):
        X, y = target.sample(size, rng=generator)
        model = RFRegressor(weights=W, activation="relu", alpha=1e-3 * size).fit(X, y)
        ratios.append(fastlazy.network_risk(target, W, model.rf_coef_, model.intercept_, "relu") / target.null_risk)
    fitted.append((np.mean(ratios), np.std(ratios)))
mean, spread = np.transpose(fitted)

figure, ax = plt.subplots(figsize=(7.2, 4.5), layout="constrained")
ax.plot(n, plain, color="#0072B2", label="RF, ridge 0.001: predicted")
ax.errorbar(sizes, mean, spread, fmt="s", color="#0072B2", markerfacecolor="white", capsize=2.5, label="five fits each")
ax.plot(n, best, color="#0072B2", linestyle=":", label="RF, best ridge: predicted")
ax.axhline(fastlazy.rf_risk(target, W, "relu") / target.null_risk, color="0.7", label="RF, infinitely many samples")
ax.set(xscale="log", yscale="log", xlabel="samples n", ylabel="risk / null risk")
ax.set_yticks([0.6, 1, 2, 3], ["0.6", "1", "2", "3"])
ax.set_title(f"ReLU, d = {d}, N = {N}", fontsize="medium")
ax.legend(fontsize="small")
plt.show()
