"""
Sliders for a lecture
=====================

What happens to RF, NT and NN if there are more neurons, another target or another non-linearity? The command
``fastlazy explore`` writes a page with sliders that answers this in a browser. This example draws the same for one
position of the sliders, and shows how to move them in a notebook.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastlazy

COLOURS = {"RF": "#0072B2", "NT": "#D55E00", "NN": "#111111"}
LINES = {"RF": "-", "NT": "--", "NN": "-."}
d = 60
W = fastlazy.draw_weights(d, d, rng=0)  # of which a network of N neurons begins with the first N rows
WIDTHS = np.unique(np.geomspace(1, 10 * d, 30).round().astype(int))
SPECTRA = {
    "exponential": fastlazy.exponential_target(d, rng=0),
    "power law": fastlazy.power_law_target(d),
    "spiked": fastlazy.spiked_target(d, n_spikes=3),
    "flat": fastlazy.identity_target(d),
}

# %%
# For σ(x) = x² the least risk of a network is known, with all weights trained (`nn_risk_limit`) and under lazy scaling
# α(f − f₀) (`lazy_risk`). What NN captures are the N largest eigendirections. For another σ we draw RF and NT alone.


def show(rho=0.3, spectrum="exponential", sigma="square", alpha=1.0):
    """Draw the risks against N / d, and the share that is captured of each eigendirection at N = rho d."""
    target, N = SPECTRA[spectrum], max(1, round(rho * d))
    rf = [fastlazy.rf_risk_limit(target, n, sigma, refined=True) for n in WIDTHS]
    nt = [fastlazy.nt_risk_limit(target, n, sigma, refined=True) for n in WIDTHS]
    risks = {"RF": rf, "NT": nt}
    shares = {
        "RF": fastlazy.rf_captured_limit(target, N, sigma),
        "NT": fastlazy.nt_captured_limit(target, N, sigma, refined=True),
    }
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    if sigma == "square":
        risks["NN"] = [fastlazy.nn_risk_limit(target, n) for n in WIDTHS]
        shares["NN"] = np.arange(d) < N
        lazy = [fastlazy.lazy_risk(target, W[:n], scale=alpha) / target.null_risk for n in WIDTHS]
        left.plot(WIDTHS / d, lazy, color="0.5", label=f"NN trained as α(f − f₀), α = {alpha:.3g}")
    for regime, line in LINES.items():
        if regime in risks:
            style = {"color": COLOURS[regime], "linestyle": line, "label": regime}
            left.plot(WIDTHS / d, np.array(risks[regime]) / target.null_risk, **style)
            right.plot(np.arange(1, d + 1), shares[regime], **style)
    left.axvline(N / d, color="0.8", zorder=0)
    left.set(xscale="log", ylim=(-0.03, 1.03), xlabel="N / d", ylabel="risk / null risk")
    right.set(ylim=(-0.5, 1.2), xlabel="eigendirection, largest first", ylabel=f"share captured at N = {N}")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    plt.show()


show()

# %%
# In a notebook with ipywidgets, these lines put sliders above the figure:
#
# .. code-block:: python
#
#     from ipywidgets import FloatLogSlider, interact
#
#     interact(
#         show,
#         rho=FloatLogSlider(value=0.3, min=-1.5, max=1.0),
#         spectrum=list(SPECTRA),
#         sigma=["square", "relu", "gelu", "softplus", "cos", "tanh"],
#         alpha=FloatLogSlider(value=1.0, min=-2.0, max=3.0),
#     )
