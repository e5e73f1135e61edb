"""Benchmarks: `bench_*.py` for asv, which keeps the history; `peers.py` and `side_by_side/` for other libraries."""
