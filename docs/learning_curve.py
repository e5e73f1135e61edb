"""Draw how the exact risk of fitted RF and NT falls with the number of samples: `python docs/learning_curve.py`."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fastlazy
from fastlazy.estimators import NTRegressor, RFRegressor

ALPHAS = np.geomspace(1e-2, 1e6, 9)  # the leave-one-out error picks one for each fit


def main(argv: list[str] | None = None) -> None:
    """Fit, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--d", type=int, default=100, help="input dimension (default 100)")
    parser.add_argument("--largest", type=int, default=20_000, help="most samples (default 20,000)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("learning_curve.png"))
    arguments = parser.parse_args(argv)
    d = arguments.d
    target = fastlazy.exponential_target(d, rng=0)
    sizes = np.geomspace(2 * d, arguments.largest, 9).round().astype(int)
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    looks = {"RF relu": ("#0072B2", "s"), "RF": ("#66AAD1", "s"), "NT": ("#D55E00", "^")}  # colours as in all figures
    for name, N in (("RF relu", 5 * d), ("RF", 5 * d), ("NT", 3 * d // 10)):
        colour, marker = looks[name]
        W = fastlazy.draw_weights(N, d, rng=1)
        activation = "relu" if name == "RF relu" else "square"
        for n in sizes:
            X, y = target.sample(n, rng=int(n))
            if name == "NT":
                model = NTRegressor(weights=W, activation=activation, alpha=ALPHAS).fit(X, y)
                risk = fastlazy.tangent_risk(target, W, model.nt_coef_, model.intercept_)
            else:
                model = RFRegressor(weights=W, activation=activation, alpha=ALPHAS).fit(X, y)
                risk = fastlazy.network_risk(target, W, model.rf_coef_, model.intercept_, activation)
            axes.plot(n, risk / target.null_risk, marker, color=colour)
        limit = fastlazy.nt_risk(target, W) if name == "NT" else fastlazy.rf_risk(target, W, activation)
        label = {"RF relu": "RF, ReLU", "RF": "RF, $x^2$", "NT": "NT, $x^2$"}[name]
        axes.axhline(limit / target.null_risk, color=colour, label=f"{label}, N = {N}: n = ∞")
    axes.set(xscale="log", ylim=(0, 1.1), xlabel="samples n", ylabel="risk / null risk")
    figure.supxlabel(
        f"d = {d}, target: eigenvalues iid Exp(1) (seed 0). Dots: exact risks of one fit each; lines: the same weights",
        fontsize="small",
    )
    axes.legend(loc="lower left")
    figure.savefig(arguments.out, dpi=150)


if __name__ == "__main__":
    main()
