"""What a sweep shows while it runs, and times in words."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fastlazy._support.bars import progress_bar
from fastlazy.sweeps.measure import FAILED, cost


def duration(seconds: float) -> str:
    """A time in words that suit its size."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return str(timedelta(seconds=round(seconds))) if seconds < 86_400 else f"{seconds / 86_400:.3g} days"


def nanoseconds(seconds: float) -> int:
    """A time as a whole number, at least 1, whose sums are exact however different times are."""
    return max(1, round(1e9 * seconds))


class Progress:
    """The bar: cells finished, failed and left, and the time left by what they are expected to cost.

    Parameters
    ----------
    total : int
        Cells of the sweep, among them those that have ended before.
    left : mapping
        Parameters of those that have not.
    shown : bool
    """

    def __init__(self, total: int, left: Mapping[str, Mapping[str, Any]], shown: bool) -> None:
        self.ended, self.left = Counter[str](), len(left)
        self.cost_done, self.cost_left = 0, sum(nanoseconds(cost(parameters)) for parameters in left.values())
        self.start, self._shown = time.monotonic(), 0
        self.bar = progress_bar(
            total=total,
            initial=total - len(left),
            unit="cell",
            disable=not shown,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} cells [{elapsed}{postfix}]",
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def advance(self, seconds: float, status: str) -> None:
        """Count one cell that was expected to take so long, and ended with *status*."""
        self.left -= 1
        self.ended[status] += 1
        self.cost_done += nanoseconds(seconds)
        self.cost_left -= nanoseconds(seconds)

    def show(self) -> None:
        """Show what was counted since."""
        new = self.ended.total() - self._shown
        if not new:
            return
        self._shown += new
        elapsed = time.monotonic() - self.start
        remaining = duration(elapsed * self.cost_left / self.cost_done)
        failed, diverged = sum(self.ended[status] for status in FAILED), self.ended["diverged"]
        some = f"failed {failed}, " + f"diverged {diverged}, " * (diverged > 0)
        self.bar.set_postfix_str(f"{some}left {self.left}, time left {remaining}", refresh=False)
        self.bar.update(new)
