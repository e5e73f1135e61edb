"""The time below which no call can come on this machine: its operations at the peak, its bytes at the bandwidth."""

from __future__ import annotations

from typing import Any, NamedTuple

from benchmarks.side_by_side.processes import Child, duration, markdown

HEAD = ["", "threads", "GFLOP", "MB", "FLOP / byte", "bound", "at best", "takes", "of bound"]
SAID = (
    "Roofline: operations at the measured peak, or bytes at the measured bandwidth (x <- y + 2 z over arrays far "
    "larger than the caches), whichever takes longer. Bytes are inputs and results once, and sums that are "
    "taken up again."
)


class Limits(NamedTuple):
    """What the machine gives at most."""

    gflops: dict[str, float]  # by dtype and threads, "float32 x2"
    gbytes: dict[str, float]  # a second, by threads, "x2"

    def measure(self, children: dict[tuple[str, int], Child], dtype: str) -> None:
        """Measure once more, in place, and keep the best: an upper bound must not come from a slow moment."""
        for (library, count), child in children.items():
            if library == "fastlazy":
                name = f"{dtype} x{count}"
                self.gflops[name] = max(child.ask({"peak": dtype})["gflops"], self.gflops.get(name, 0.0))
                if f"x{count}" not in self.gbytes:
                    self.gbytes[f"x{count}"] = child.ask({"bandwidth": count})["gbytes"]

    def said(self) -> str:
        """The limits as a list."""
        lines = [f"- {name}: {gflops:.1f} GFLOP/s" for name, gflops in sorted(self.gflops.items())]
        lines += [f"- {name}: {gbytes:.1f} GB/s" for name, gbytes in sorted(self.gbytes.items())]
        return "Measured peak (multiply-adds in registers only) and bandwidth of memory\n\n" + "\n".join(lines)


class Bound(NamedTuple):
    """The time that a call takes at best, and what it is that takes so long: operations or memory."""

    seconds: float
    by: str


def bound(flops: float, moved: float, gflops: float, gbytes: float) -> Bound:
    """The bound of a call of so many operations and bytes."""
    operations, memory = flops / gflops / 1e9, moved / gbytes / 1e9
    return Bound(operations, "operations") if operations >= memory else Bound(memory, "memory")


def line(name: str, threads: int, dtype: str, flops: float, moved: float, takes: float, limits: Limits) -> list[str]:
    """A line of the table: a call that *takes* so many seconds."""
    least = bound(flops, moved, limits.gflops[f"{dtype} x{threads}"], limits.gbytes[f"x{threads}"])
    share = least.seconds / takes
    return [
        name,
        str(threads),
        f"{flops / 1e9:.3g}",
        f"{moved / 1e6:.3g}",
        f"{flops / moved:.0f}",
        least.by,
        duration(least.seconds),
        duration(takes),
        f"{share:.0%}" if share <= 1.05 else "INVALID: below the bound",
    ]


def table(lines: list[list[str]]) -> str:
    """The table of all calls, with what it means."""
    return f"{SAID}\n\n{markdown(HEAD, lines)}"


def selected(cases: list[Any], names: list[str], only: str) -> list[Any]:
    """The *cases* whose names contain *only*.

    Raises
    ------
    ValueError
        If there are none.
    """
    found = [case for case, name in zip(cases, names, strict=True) if only in name]
    if not found:
        raise ValueError(f"no row contains {only!r}; pass a part of one of these: {'; '.join(names)}")
    return found
