"""
The headline figure, small
==========================

How well can a two-layer network with N neurons learn a quadratic function of d Gaussian inputs? The answer depends on
what is trained:

- **RF** (random features) trains the second layer only,
- **NT** (neural tangent) is the network linearised at its initial weights,
- **NN** trains all weights.

This is the main figure of the paper at d = 60. The command ``fastlazy figure`` draws it at the paper's d = 450.
"""

import numpy as np
import pandas as pd

import fastlazy

# %%
# The target is y = ⟨x, Bx⟩ + b₀. Here B has eigenvalues drawn from the exponential distribution. The *null risk* is
# the variance of y, which is the squared error of the best constant. All risks below are divided by it.

d = 60
target = fastlazy.exponential_target(d, rng=0)
print(f"null risk: {target.null_risk:.1f}")

# %%
# For RF and NT we draw the first-layer weights four times. The function `rf_risk` gives the exact population risk
# of the best second layer for these very weights, and `nt_risk` that of the best tangent model. No samples are
# needed.

widths = [6, 12, 20, 30, 45, 60, 120, 240, 480]
generator = np.random.default_rng(0)
rows = []
for N in widths:
    for _ in range(4):
        W = fastlazy.draw_weights(N, d, rng=generator)
        rows.append(("RF", N, fastlazy.rf_risk(target, W) / target.null_risk))
        rows.append(("NT", N, fastlazy.nt_risk(target, W) / target.null_risk))

# %%
# NN is trained by stochastic gradient descent, each sample being used once. The recorded risk is exact, too.

for N in widths:
    fit = fastlazy.fit_nn(target, N, n_samples=300_000, rng=N, n_records=2)
    rows.append(("NN", N, fit.risk[-1] / target.null_risk))

dots = pd.DataFrame(rows, columns=["regime", "N", "measured"])

# %%
# The lines are predictions. They need no weights and no training.

lines = pd.DataFrame(
    [
        (regime, N, predicted / target.null_risk)
        for N in range(6, 481, 6)
        for regime, predicted in [
            ("RF", fastlazy.rf_risk_limit(target, N, refined=True)),
            ("NT", fastlazy.nt_risk_limit(target, N, refined=True)),
            ("NN", fastlazy.nn_risk_limit(target, N)),
        ]
    ],
    columns=["regime", "N", "predicted"],
)
fastlazy.plot_risk_curves(dots, lines, d)

# %%
# RF stays high even with eight times as many neurons as inputs: it learns little more than the trace of B. NT reaches
# zero when there are as many neurons as inputs. NN is far below both at every width, since it finds the few
# eigendirections of B that matter most.
