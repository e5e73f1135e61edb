"""
Tabular data with a scikit-learn pipeline
=========================================

The three regimes are scikit-learn estimators, too: they go into pipelines, cross-validation and grid searches. Here
they learn Friedman's first function, in which five columns matter, from data with 45 more columns of noise.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from fastlazy.estimators import NTRegressor, QuadraticNetworkRegressor, RFRegressor

# %%
# Weights are drawn alike for all columns, so the columns must be on one scale: a ``StandardScaler`` comes first. The
# network has no biases of its own. A constant column, which ``PolynomialFeatures(1)`` adds, gives it one for each
# neuron, so that it learns linear parts as well. Given several penalties, RF and NT choose one by the leave-one-out
# error.

penalties = np.geomspace(1e-1, 1e4, 6)
models = {
    "RF": RFRegressor(300, activation="relu", alpha=penalties, random_state=0),
    "NT": NTRegressor(50, activation="relu", alpha=penalties, random_state=0),
    "NN": QuadraticNetworkRegressor(10, random_state=0),
    "linear": RidgeCV(penalties),
}
pipelines = {name: make_pipeline(StandardScaler(), PolynomialFeatures(1), model) for name, model in models.items()}

# %%
# We fit each pipeline to more and more rows, and measure R² on two thousand others.

X, y = make_friedman1(3000, n_features=50, noise=0.5, random_state=0)
sizes = [125, 250, 500, 1000]
looks = {"RF": ("#0072B2", "s-"), "NT": ("#D55E00", "^--"), "NN": ("#111111", "o-."), "linear": ("0.6", "d:")}

figure, ax = plt.subplots(figsize=(7.2, 4.5), layout="constrained")
for name, pipeline in pipelines.items():
    scores = [pipeline.fit(X[:n], y[:n]).score(X[1000:], y[1000:]) for n in sizes]
    colour, style = looks[name]
    ax.plot(sizes, scores, style, color=colour, markerfacecolor="white", label=name)
ax.set(xscale="log", xlabel="rows", ylabel="R² on other rows", ylim=(0, 1))
ax.set_xticks(sizes, [str(n) for n in sizes])
ax.minorticks_off()
ax.legend()
plt.show()

# %%
# With few rows nothing beats a linear function. With more of them the trained network finds the columns that matter,
# while RF and NT spread over all fifty.
