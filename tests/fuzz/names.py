"""The whole grammar: every public name, and how often it is called."""

from __future__ import annotations

from fuzz import (
    grammar,
    grammar_activations,
    grammar_command,
    grammar_curves,
    grammar_estimators,
    grammar_kernel_limits,
    grammar_mixture,
    grammar_prepared,
    grammar_risks,
    grammar_sweeps,
    grammar_training,
)
from fuzz.grammar import Entry
from fuzz.judge import Call
from fuzz.values import Draw

_PARTS = [
    grammar,
    grammar_activations,
    grammar_kernel_limits,
    grammar_mixture,
    grammar_prepared,
    grammar_risks,
    grammar_curves,
    grammar_training,
    grammar_estimators,
    grammar_sweeps,
    grammar_command,
]
ENTRIES: dict[str, Entry] = {name: entry for part in _PARTS for name, entry in part.ENTRIES.items()}
# These take some tenths of a second each, and are called a fifth as often as the others.
SLOW = {*grammar_sweeps.ENTRIES, *grammar_command.ENTRIES} - {"grid"}
_NAMES = [name for name in sorted(ENTRIES) for _ in range(1 if name in SLOW else 5)]
_FAST = sorted(
    {*grammar.ENTRIES, *grammar_activations.ENTRIES, *grammar_risks.ENTRIES}
    - {"nt_gram", "nt_risk", "tangent_risk", "rf_gram"}
)


def make(draw: Draw) -> Call:
    """A call of any public name."""
    return ENTRIES[draw.pick(_NAMES)](draw)


def name_of(seed: int, index: int) -> str:
    """The public name that the call of that index tries."""
    return Draw(seed, index).pick(_NAMES)


def make_fast(draw: Draw) -> Call:
    """A call that takes a few milliseconds."""
    return ENTRIES[draw.pick(_FAST)](draw)
