"""``fastlazy info``: what a bug report needs, and whether this machine computes what it should."""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import version
from time import perf_counter
from typing import Any

import fastlazy
from fastlazy.cli.output import complain, tell


def add_info_command(commands: Any) -> None:
    """Add ``fastlazy info`` to the *commands* of a parser, in place."""
    parser = commands.add_parser(
        "info",
        help="print versions and what the kernels are compiled for; --check: test this machine",
        description="Print what a bug report needs.",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare every kernel with plain NumPy on this machine; exit status 1 if anything is wrong",
    )
    parser.set_defaults(run=run_info)


def run_info(arguments: argparse.Namespace) -> int:
    """Print versions, processor, threads and cache, or the outcome of the check; the exit status."""
    try:
        from fastlazy._core import geometry
    except ValueError as error:  # a register geometry that is none
        complain(f"fastlazy info: {error}")
        return 2
    if arguments.check:
        return _check(str(geometry.GEOMETRY))
    from threadpoolctl import threadpool_info

    from fastlazy._core.jit import cache_folder
    from fastlazy._support.threads import THREAD_VARIABLES, available_cores, thread_limit

    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba", "llvmlite"))
    known = {"avx", "avx2", "fma", "avx512f", "avx512vl", "neon", "sse2", "sse4.2"}
    features = sorted(known & {flag[1:] for flag in geometry.processor_features() if flag.startswith("+")})
    set_here = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if os.environ.get(name)]
    blas = [
        f"{pool['internal_api']} {pool.get('version') or ''} for {pool.get('architecture', 'this processor')}, "
        f"{pool['num_threads']} threads"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]
    tell(f"fastlazy {fastlazy.__version__}, Python {platform.python_version()}, {platform.platform()}")
    tell(packages)
    forced = f", forced by {geometry.VARIABLE}" if geometry.host_geometry() != geometry.GEOMETRY else ""
    tell(f"compiled for {geometry.CPU} ({' '.join(features)})")
    tell(f"registers {geometry.GEOMETRY} (bytes of a vector x number){forced}")
    tell(f"threads {thread_limit()} of {available_cores()} processors{''.join(f', {text}' for text in set_here)}")
    tell(f"BLAS {'; '.join(blas) or 'unknown'}")
    tell(f"compiled kernels are kept in {cache_folder() or 'memory only: no folder is writable'}")
    return 0


def _check(registers: str) -> int:
    from fastlazy._support.threads import thread_limit
    from fastlazy.cli.selfcheck import check_machine

    start = perf_counter()
    findings = check_machine()
    seconds = perf_counter() - start
    wrong = [finding for finding in findings if not finding.well]
    for finding in wrong:
        tell(f"WRONG {finding.name}: relative error {finding.error:.2g}, at most {finding.tolerance:.0e} is right")
    where = f"{registers} registers, {thread_limit()} threads, {seconds:.1f} s"
    if wrong:
        tell(f"{len(wrong)} of {len(findings)} checks failed ({where}): do not trust results of this machine")
        return 1
    tell(f"all is well: {len(findings)} checks passed ({where})")
    return 0
