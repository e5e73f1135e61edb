"""The cells of a large sweep, in a fraction of the memory that a dict for each takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastlazy.sweeps.keys import Parameters

_OWN = ("draw", "seed")  # what is kept for each cell; the rest is one setting, which many have in common


class PackedCells(Mapping[str, dict[str, Any]]):
    """Canonical parameters by id, in the order in which they came; equal cells are one."""

    def __init__(self) -> None:
        self._cells: dict[str, tuple[dict[str, Any], Any, Any]] = {}
        self._settings: dict[str, dict[str, Any]] = {}

    def add(self, key: str, parameters: Parameters) -> None:
        """Add the cell with this id, if it is not there."""
        setting = {name: value for name, value in parameters.items() if name not in _OWN}
        setting = self._settings.setdefault(repr(setting), setting)
        self._cells.setdefault(key, (setting, parameters["draw"], parameters["seed"]))

    def setting(self, key: str) -> dict[str, Any]:
        """The parameters of a cell but draw and seed: one object for all cells that have it, not to be changed."""
        return self._cells[key][0]

    def settings(self) -> list[dict[str, Any]]:
        """All settings, in the order in which they come first."""
        return [*{id(setting): setting for setting, _, _ in self._cells.values()}.values()]

    def only(self, keys: Iterable[str]) -> PackedCells:
        """Those of the cells that have one of *keys*, in that order."""
        some = PackedCells()
        some._settings = self._settings
        some._cells = {key: self._cells[key] for key in keys}
        return some

    def __getitem__(self, key: str) -> dict[str, Any]:
        setting, draw, seed = self._cells[key]
        return {**setting, "draw": draw, "seed": seed}

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)
