"""The whole grammar: every public name, and how often it is called."""

from __future__ import annotations

from fuzz import grammar, grammar_sweeps, grammar_training
from fuzz.grammar import Entry
from fuzz.judge import Call
from fuzz.values import Draw

ENTRIES: dict[str, Entry] = {**grammar.ENTRIES, **grammar_training.ENTRIES, **grammar_sweeps.ENTRIES}
SLOW = {*grammar_sweeps.ENTRIES} - {"grid"}  # some tenths of a second each: called a fifth as often as the others
_NAMES = [name for name in sorted(ENTRIES) for _ in range(1 if name in SLOW else 5)]
_FAST = sorted({*grammar.ENTRIES} - {"nt_gram", "nt_risk", "tangent_risk", "rf_gram"})


def make(draw: Draw) -> Call:
    """A call of any public name."""
    return ENTRIES[draw.pick(_NAMES)](draw)


def make_fast(draw: Draw) -> Call:
    """A call that takes a few milliseconds."""
    return ENTRIES[draw.pick(_FAST)](draw)
