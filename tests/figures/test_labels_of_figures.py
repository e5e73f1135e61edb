"""What figures call things."""

import math

import pandas as pd
import pytest
from matplotlib.mathtext import MathTextParser

from fastlazy.activations.builtin import BUILTIN_NAMES
from fastlazy.figures import labels
from fastlazy.sweeps.cells import grid
from fastlazy.targets.library import FAMILIES


def test_every_non_linearity_is_typeset():
    texts = [labels.activation_label(name) for name in BUILTIN_NAMES]
    assert len(set(texts)) == len(texts)
    assert not any("_" in text for text in texts)
    for text in texts:
        MathTextParser("path").parse(text)
    assert labels.activation_label("square") == "$x^2$"
    assert labels.activation_label("relu") == "ReLU"
    assert labels.activation_label("my_sigma #0123456789ab") == "my_sigma"


def test_every_target_has_a_name_of_its_own():
    texts = labels.value_labels("target", [*FAMILIES])
    assert len(set(texts)) == len(FAMILIES)
    assert "exponential" not in texts


VALUES = [
    ("ridge", [0.0, 0.1, 1e-5, 2e-7], ["ridge 0", "ridge 0.1", "ridge $10^{-5}$", r"ridge $2\cdot10^{-7}$"]),
    ("n_samples", [200, 1_000_000, None], ["n = 200", "n = $10^{6}$", "population"]),
    ("n_samples", [123_456, -250_000.0], [r"n = $1.235\cdot10^{5}$", r"n = $-2.5\cdot10^{5}$"]),
    ("d", [40, 450], ["d = 40", "d = 450"]),
    ("nn", ["sgd", "flow", math.nan], ["NN by SGD", "NN by gradient flow", "untrained"]),
    ("activation", ["relu", "bent #0123456789ab"], [r"$\sigma$ = ReLU", r"$\sigma$ = bent"]),
    ("target", ["mine #0123456789ab", "[3.0, 1.0]"], ["mine", "eigenvalues 3, 1"]),
    ("target", ["mine #0123456789ab", "mine #ba9876543210"], ["mine #0123456789ab", "mine #ba9876543210"]),
    ("exponent", [1.00001, 1.00002], ["exponent 1.00001", "exponent 1.00002"]),
    ("my_number", ["a_b", "c" * 50], ["my number a_b", f"my number {'c' * 31}…"]),
]  # fmt: skip


@pytest.mark.parametrize(("key", "values", "expected"), VALUES)
def test_values(key, values, expected):
    assert labels.value_labels(key, values) == expected


def test_text_of_the_users_is_shown():
    assert labels.plain("$B_2$ and more") == "$B_2$ and more"
    assert labels.plain("costs 5$") == r"costs 5\$"
    assert labels.plain(r"$\nothing{$ or $5") == r"\$\nothing{\$ or \$5"
    assert labels.latex_text("a_b & 5% {x} #1 ~^\\ $") == (
        r"a\_b \& 5\% \{x\} \#1 \textasciitilde{}\textasciicircum{}\textbackslash{} \$"
    )


def rows(**columns):
    cells = grid(regime=["RF", "NT"], d=20, N=[5, 40], draw=range(3), **columns)
    return pd.DataFrame(cells).assign(measured=0.5, status="done")


CAPTIONS = {
    "power law": (
        {"target": "power_law", "exponent": 1.5, "activation": "relu"},
        "d = 20, N = 5 to 40, $\\sigma$ = ReLU, target: power law (exponent 1.5). "
        "Dots: exact risks, means and s.d. of up to 3 draws. Lines: predictions.",
    ),
    "fits": (
        {"target": "spiked", "n_spikes": 2, "spike": 9.0, "n_samples": 500, "ridge": 0.1},
        "d = 20, N = 5 to 40, target: spiked (spikes: 2, of size 9); RF and NT fitted to 500 samples, ridge 0.1. "
        "Dots: exact risks, means and s.d. of up to 3 draws. Lines: predictions.",
    ),
    "ridge": (
        {"target": "identity", "ridge": 2.0},
        "d = 20, N = 5 to 40, target: $B=I$; RF and NT with ridge 2. "
        "Dots: exact risks, means and s.d. of up to 3 draws. Lines: predictions.",
    ),
}


@pytest.mark.parametrize(("columns", "expected"), CAPTIONS.values(), ids=CAPTIONS)
def test_captions(columns, expected):
    assert labels.table_caption(rows(**columns), [20]) == expected


def test_a_caption_leaves_out_what_is_shown_elsewhere():
    table = rows(target=["identity", "rank_one"], ridge=[0.0, 1.0])
    text = labels.table_caption(table.query("draw == 0 and N == 5"), [20, 10], shown=["target", "ridge"], lines=False)
    assert text == "d = 10, 20, N = 5. Dots: exact risks, one draw each."
    plain = table[["regime", "N", "measured"]].assign(regime="NN")[:1]
    assert labels.table_caption(plain, [20]) == (
        "d = 20, N = 5. Dots: measured, one draw each. Lines: predictions, for NN the infimum at this N."
    )
