"""Learning curves, measured and predicted: risk of RF, NT and NN against the number of samples, at one width.

A dot of RF or NT is the exact risk of ridge regression on samples, one of NN that of a network trained by SGD which saw
each sample once. Dots are means over draws of weights and samples; lines are predictions of these means
(`fastlazy.rf_risk_limit`, `fastlazy.nt_risk_limit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from fastlazy.figures.risk_table import Fitted
from fastlazy.sweeps.cells import canonical_cell, cell_target, check_number_of_cells
from fastlazy.sweeps.measure import predicted_ratio
from fastlazy.sweeps.regimes import REGIMES

Penalty: TypeAlias = float | Literal["best"]

_FINE = 150  # places of a line


class Setting(NamedTuple):
    """What all curves of one figure have in common."""

    d: int
    N: int
    activation: str
    seed: int

    def cell(self, regime: str) -> dict[str, Any]:
        """The keys of a cell that say so."""
        return {"regime": regime, "target_seed": self.seed, **self._asdict()}

    def regimes(self, *, trained: bool) -> list[str]:
        """The regimes that have this sigma, with drawn weights or *trained*."""
        return [
            name for name, row in REGIMES.items() if row.is_trained == trained and self.activation in row.activations
        ]


def geometric_sizes(d: int, N: int, count: int) -> list[int]:
    """Up to *count* numbers of samples in equal ratios, from d / 4 to 8 N d, past the last peak, at N d."""
    return sorted({max(2, round(n)) for n in np.geomspace(d / 4, 8 * N * d, count)})


def curve_plan(setting: Setting, sizes: Sequence[int], penalties: Sequence[Penalty]) -> pd.DataFrame:
    """The dots to measure: columns regime, penalty (text, empty for NN), n_samples, ridge (a number, NaN for NN)."""
    rows: list[tuple[str, str, int, float]] = []
    for regime in setting.regimes(trained=False):
        for penalty in penalties:
            of_size = (Fitted(n, penalty).options(setting.cell(regime), setting.N) for n in sizes)
            rows += [(regime, name_of(penalty), n, keys["ridge"]) for n, keys in zip(sizes, of_size, strict=True)]
    rows += [(regime, "", n, np.nan) for regime in setting.regimes(trained=True) for n in sizes]
    return pd.DataFrame(rows, columns=["regime", "penalty", "n_samples", "ridge"])


def curve_cells(setting: Setting, plan: pd.DataFrame, draws: int) -> list[dict[str, Any]]:
    """The cells of a plan, *draws* for each dot; the second layer of NN is trained, too, but for x^2."""
    check_number_of_cells(draws * len(plan), f"{draws} draws of {len(plan)} dots")
    cells = []
    for row in plan.drop(columns="penalty").drop_duplicates().itertuples():
        trained = {} if setting.activation == "square" else {"second_layer": "free"}
        options = trained if REGIMES[str(row.regime)].is_trained else {"ridge": row.ridge}
        cell = {**setting.cell(str(row.regime)), **options, "n_samples": row.n_samples}
        cells += [{**cell, "draw": k} for k in range(draws)]
    return cells


def curve_dots(table: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """The dots of a plan, from the finished rows of its sweep.

    Columns: those of the plan; draws; measured, the mean of risk / null risk, and its standard error; predicted, empty
    where theory has nothing finite, and for NN the infimum over networks of this width, where it is known.
    """
    by = ["regime", "n_samples", "ridge"]
    done = table[table["status"] == "done"].astype({"n_samples": int, "predicted": float})
    found = done.groupby(by, as_index=False, dropna=False).agg(
        draws=("ratio", "size"), measured=("ratio", "mean"), error=("ratio", "sem"), predicted=("predicted", "first")
    )
    return plan.merge(found, on=by, how="inner")


def curve_lines(setting: Setting, sizes: Sequence[int], penalties: Sequence[Penalty]) -> pd.DataFrame:
    """Predictions for RF and NT: columns regime, penalty, n_samples, predicted (empty where it is infinite)."""
    target = cell_target(canonical_cell({**setting.cell("RF"), "n_samples": 1}))
    fine = np.geomspace(min(sizes), max(sizes), _FINE)
    rows = [
        (
            regime,
            name_of(penalty),
            n,
            predicted_ratio(target, regime, setting.N, setting.activation, n_samples=n, ridge=penalty),
        )
        for regime in setting.regimes(trained=False)
        for penalty in penalties
        for n in fine
    ]
    return pd.DataFrame(rows, columns=["regime", "penalty", "n_samples", "predicted"]).astype({"predicted": float})


def name_of(penalty: Penalty) -> str:
    """The penalty as text."""
    return penalty if isinstance(penalty, str) else f"{penalty:.15g}"
