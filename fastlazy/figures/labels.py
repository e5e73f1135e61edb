"""What figures call things: keys of cells and their values, typeset, and the caption line of a table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.mathtext import MathTextParser

from fastlazy.sweeps.keys import FAMILY_KEYS
from fastlazy.sweeps.objects import name_shown
from fastlazy.sweeps.regimes import REGIMES, Regime

# A non-linearity that is missing here is called by its name.
_ACTIVATIONS = {
    "linear": "$x$", "square": "$x^2$", "he2": "$x^2-1$", "he3": "$x^3-3x$", "relu": "ReLU", "leaky_relu": "leaky ReLU",
    "erf": r"$\mathrm{erf}$", "tanh": r"$\tanh$", "gelu": "GELU", "silu": "SiLU", "sin": r"$\sin$", "cos": r"$\cos$",
    "exp": r"$\exp$",
}  # fmt: skip
_TARGETS = {
    "exponential": "eigenvalues iid Exp(1)",
    "identity": "$B=I$",
    "power_law": "power law",
    "rank_one": "rank one",
    "spiked": "spiked",
    "mixture": "two Gaussian classes",
}
_NAMES = {
    "d": "d =", "N": "N =", "n_samples": "n =", "scale": r"$\alpha$ =", "activation": r"$\sigma$ =", "nn": "NN by",
    "target": "", "regime": "",
}  # fmt: skip
_MISSING = {"n_samples": "population", "scale": "no scale", "nn": "untrained"}
_WAYS = {"sgd": "SGD", "flow": "gradient flow"}
_LONGEST = 32  # characters of a label
_PLAIN = 1e5  # whole numbers from here on are written with a power of ten


def plain(text: str) -> str:
    """*text* of the user's, such that matplotlib shows it: mathematics between dollars, and the rest as it is."""
    try:
        if "$" in text:
            MathTextParser("path").parse(text)
            return text
    except ValueError:  # which it is not
        pass
    return latex_text(text) if mpl.rcParams["text.usetex"] else text.replace("$", r"\$")


def latex_text(text: str) -> str:
    """*text*, such that LaTeX shows it as it is."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return re.sub(r"[\\~^{}$&#%_]", lambda found: special.get(found[0], f"\\{found[0]}"), text)


def activation_label(name: str) -> str:
    """A non-linearity typeset, such as "$x^2$", from its name or from what a table has for one of the user's."""
    return _ACTIVATIONS.get(name) or plain(name_shown(name) or name.replace("_", " "))


def label_of(regime: Regime, dots: pd.DataFrame) -> str:
    """The label of a regime, which may say how it was trained, if all its dots are trained in one way."""
    if "nn" not in dots:
        return regime.label
    ways = dots.loc[dots["regime"] == regime.name, "nn"].dropna().unique()
    if len(ways) > 1:
        return f"{regime.name}: trained"
    return regime.other_labels.get(ways[0], regime.label) if len(ways) else regime.label


def line_label_of(regime: Regime) -> str:
    """The label of a regime that has a line and no dots."""
    return f"{regime.name}: infimum" if regime.is_trained else regime.label


def value_labels(key: str, values: Sequence[Any], *, named: bool = True) -> list[str]:
    """A label for each of different *values* of a column, no two of them equal.

    Unless they are *named*, the name of the column is left out.
    """
    short = [_value_label(key, value) for value in values]
    found = [_exact(values[k]) if short.count(text) > 1 else text for k, text in enumerate(short)]
    name = key_label(key)
    return [
        text if pd.isna(value) or not named or not name else f"{name} {text}"
        for text, value in zip(found, values, strict=True)
    ]


def key_label(key: str) -> str:
    """What stands before a value of the column, such as "n =" or "ridge"."""
    return _NAMES.get(key, plain(key.replace("_", " ")))


def _value_label(key: str, value: Any) -> str:
    if pd.isna(value):
        return _MISSING.get(key, f"no {key_label(key)}")
    if _is_number(value):
        return _number(value, 4)
    text = str(value)
    if key == "activation":
        return activation_label(text)
    if key == "nn":
        return _WAYS.get(text, plain(text))
    if key == "regime" and text in REGIMES:
        return REGIMES[text].label
    if key == "target":
        return _target_label(text)
    return plain(_shortened(text))


def _exact(value: Any) -> str:
    """All of a value, whose label would be that of another one."""
    return _number(value, 15) if _is_number(value) else plain(str(value))


def _target_label(text: str) -> str:
    """The label of a target: a name of the package or of the user's, or a list of eigenvalues as JSON."""
    if text.startswith("["):
        return f"eigenvalues {_shortened(', '.join(_number(value, 4) for value in json.loads(text)))}"
    return _TARGETS.get(text) or plain(name_shown(text) or text)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _is_number(value: Any) -> bool:
    return pd.api.types.is_number(value) and not isinstance(value, bool)


def _number(value: float, digits: int) -> str:
    """A number with so many *digits*, a very large or small one with a power of ten."""
    if value == round(value) and abs(value) < _PLAIN:
        return f"{value:.0f}"
    text = f"{value:.{digits}g}" if value != round(value) else f"{value:.{digits - 1}e}"
    mantissa, has_power, power = text.partition("e")
    if not has_power:
        return text
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    factor = "" if mantissa in ("1", "-1") else rf"{mantissa.lstrip('-')}\cdot "
    sign = "-" if mantissa.startswith("-") else ""
    return f"${sign}{factor}10^{{{int(power)}}}$".replace(" ", "")


def table_caption(
    dots: pd.DataFrame, dimensions: Iterable[int], *, shown: Sequence[str] = (), lines: bool = True
) -> str:
    """The caption of a figure of *dots*: d, the range of N, the target, and what dots and lines are.

    Parameters
    ----------
    dots : DataFrame
        With columns regime, N and measured; of a sweep, with its other columns, too.
    dimensions : iterable of int
    shown : sequence of str
        Columns whose values legend or titles have.
    lines : bool
        Whether there are lines.
    """
    common = [
        "" if "d" in shown else f"d = {', '.join(map(str, sorted(set(dimensions))))}",
        range_words("N", dots["N"].min(), dots["N"].max()),
    ]
    if "activation" in dots and "activation" not in shown:
        common.append(rf"$\sigma$ = {activation_label(dots['activation'].iloc[0])}")
    if "target" in dots and "target" not in shown:
        common.append(f"target: {target_words(dots)}")
    setting = ", ".join(filter(None, common))
    setting += "".join(f"; {words}" for words in [_fit_words(dots, shown)] if words)
    same = [name for name in dict.fromkeys(["regime", "activation", "N", "d", *shown]) if name in dots]
    draws = int(dots.groupby(same, dropna=False).size().max())
    kind = "exact risks" if "status" in dots else "measured"
    sentences = [
        setting,
        f"Dots: {kind}, {'one draw each' if draws == 1 else f'means and s.d. of up to {draws} draws'}",
    ]
    if lines:
        trained = [name for name, row in REGIMES.items() if row.is_trained and (dots["regime"] == name).any()]
        sentences.append("Lines: predictions" + "".join(f", for {name} the infimum at this N" for name in trained))
    return ". ".join(sentences) + "."


def range_words(name: str, low: float, high: float) -> str:
    """The range of a number in words."""
    return f"{name} = {_number(low, 4)}" + ("" if low == high else f" to {_number(high, 4)}")


def target_words(rows: pd.DataFrame) -> str:
    """The target that *rows* have in common, with the parameters of its family."""
    name = str(rows["target"].iloc[0])
    words = {"target_seed": "seed", "n_spikes": "spikes:", "spike": "of size"}
    given = [
        f"{words.get(key, key)} {_number(rows[key].dropna().iloc[0], 4)}"
        for key in FAMILY_KEYS.get(name, {})
        if key in rows and rows[key].notna().any()
    ]
    return _target_label(name) + (f" ({', '.join(given)})" if given else "")


def _fit_words(dots: pd.DataFrame, shown: Sequence[str]) -> str:
    """How RF and NT are fitted, if not to the population without a ridge."""
    lazy = dots[~dots["regime"].isin([name for name, row in REGIMES.items() if row.is_trained])]
    sizes, ridges = (
        [float(value) for value in lazy[name].dropna().unique()] if name in lazy and name not in shown else []
        for name in ("n_samples", "ridge")
    )
    penalty = (
        "" if set(ridges) <= {0.0} else f"ridge {_number(ridges[0], 3)}" if len(ridges) == 1 else "a ridge for each N"
    )
    if sizes:
        samples = f"{_number(sizes[0], 4)} samples" if len(sizes) == 1 else "samples in several numbers"
        return f"RF and NT fitted to {samples}" + (f", {penalty}" if penalty else "")
    return f"RF and NT with {penalty}" if penalty else ""
