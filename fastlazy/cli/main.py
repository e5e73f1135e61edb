"""The command ``fastlazy``: parse, call, print."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import fastlazy
from fastlazy.cli.animate import add_animate_command
from fastlazy.cli.curves import add_curves_command
from fastlazy.cli.explore import add_explore_command
from fastlazy.cli.figure import add_figure_command
from fastlazy.cli.info import add_info_command
from fastlazy.cli.lazy import add_lazy_command
from fastlazy.cli.merge import add_merge_command
from fastlazy.cli.output import complain, end_output
from fastlazy.cli.status import add_status_command
from fastlazy.cli.sweep import add_sweep_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the arguments *argv* (default: those of the process); the exit status."""
    parser = argparse.ArgumentParser(
        prog="fastlazy", description="Lazy training of two-layer networks: RF, NT and NN side by side."
    )
    parser.add_argument("--version", action="version", version=f"fastlazy {fastlazy.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_figure_command(commands)
    add_curves_command(commands)
    add_lazy_command(commands)
    add_explore_command(commands)
    add_animate_command(commands)
    add_sweep_command(commands)
    add_merge_command(commands)
    add_status_command(commands)
    add_info_command(commands)
    try:
        arguments = parser.parse_args(argv)
        return _run(arguments)
    except KeyboardInterrupt:
        complain("\ninterrupted")
        return 130
    finally:
        end_output()


def _run(arguments: argparse.Namespace) -> int:
    """Run the command that *arguments* name; the exit status."""
    try:
        return int(arguments.run(arguments))
    except (OSError, MemoryError) as error:
        complain(f"fastlazy {arguments.command}: {str(error) or 'there is not enough memory'}")
        return 2
