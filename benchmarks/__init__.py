"""Benchmarks: `bench_*.py` for asv, which keeps the history; `peers.py` for other libraries side by side."""
