"""
A non-linearity of your own
===========================

An `Activation` is made of any function of one number. Everything that is known of the named ones is then computed
for yours: its kinks, its Gaussian moments, the Gram matrices of its features.
"""

import math

import matplotlib.pyplot as plt
import numpy as np

import fastlazy

# %%
# We make a family of functions: a hyperbolic tangent that is shifted by s. For s = 0 the function is odd, and an odd
# function learns nothing of an even target. Each function keeps the value of s that it had when it was made.

shifts = [0.0, 0.25, 0.5, 1.0]
family = [fastlazy.Activation(f"tanh(x + {s:g})", lambda x, s=s: math.tanh(x + s)) for s in shifts]

# %%
# The predictions need the first Hermite coefficients of the function, the exact risk needs all that matter. Neither
# needs a derivative: where none is given, it is taken numerically.

d = 60
target = fastlazy.exponential_target(d, rng=0)
widths = np.unique(np.geomspace(10, 1000, 25).astype(int))
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
x = np.linspace(-3, 3, 200)
for sigma, shade in zip(family, (0.9, 0.7, 0.5, 0.3), strict=True):
    colour = plt.get_cmap("Blues")(1.2 - shade)
    left.plot(x, [sigma.function(value) for value in x], color=colour)
    limits = [fastlazy.rf_risk_limit(target, N, sigma, refined=True) / target.null_risk for N in widths]
    right.plot(widths / d, limits, color=colour, label=sigma.name)
    for N in (30, 120, 480):
        W = fastlazy.draw_weights(N, d, rng=N)
        risk = fastlazy.rf_risk(target, W, sigma) / target.null_risk
        right.plot(N / d, risk, "s", color=colour, markerfacecolor="white")
left.set(xlabel="x", ylabel="σ(x)")
right.set(xscale="log", xlabel="neurons / dimension,  N / d", ylabel="risk of RF / null risk")
right.xaxis.set_major_formatter("{x:g}")
right.legend(loc="lower left", fontsize="small")
plt.show()

# %%
# Lines are predictions, squares are exact risks for one draw of the weights. The larger the shift, the larger is the
# part of degree two in σ, and the sooner random features see the trace of B.
