"""The command ``fastlazy``: parse, call, print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import fastlazy
from fastlazy.cli_figure import add_figure_command
from fastlazy.cli_lazy import add_lazy_command
from fastlazy.cli_sweep import add_sweep_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the arguments *argv* (default: those of the process); the exit status."""
    parser = argparse.ArgumentParser(
        prog="fastlazy", description="Lazy training of two-layer networks: RF, NT and NN side by side."
    )
    parser.add_argument("--version", action="version", version=f"fastlazy {fastlazy.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_figure_command(commands)
    add_lazy_command(commands)
    add_sweep_command(commands)
    add_info_command(commands)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


def add_info_command(commands: Any) -> None:
    """Add ``fastlazy info`` to the *commands* of a parser, in place."""
    parser = commands.add_parser(
        "info",
        help="print versions and what the kernels are compiled for",
        description="Print what a bug report needs.",
    )
    parser.set_defaults(run=run_info)


def run_info(arguments: argparse.Namespace) -> int:
    """Print versions, processor and cache; the exit status."""
    import platform
    from importlib.metadata import version

    from fastlazy._core import geometry
    from fastlazy._team import available_cores

    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba", "llvmlite"))
    print(f"fastlazy {fastlazy.__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(packages)
    print(f"compiled for {geometry.CPU}, {8 * geometry.REGISTER_BYTES}-bit vectors")
    print(f"{available_cores()} cores")
    return 0
