"""Teams of threads under asv: what it costs them to meet, and what memory gives them together."""

from __future__ import annotations

import os

from benchmarks import machine

ENTRIES = 3 * 2**24  # of an array of the bandwidth
ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Barrier:
    """One barrier of a team: an SGD block has three or four."""

    params = (sorted({1, 2, ALL}),)
    param_names = ("threads",)

    def track_barrier(self, threads):
        return 1e9 * machine.barrier(threads)

    track_barrier.unit = "ns"


class Bandwidth:
    """What memory gives at most, beside the peak of operations."""

    params = (sorted({1, ALL}),)
    param_names = ("threads",)

    def track_bandwidth(self, threads):
        return machine.bandwidth(threads, ENTRIES)

    track_bandwidth.unit = "GB/s"
