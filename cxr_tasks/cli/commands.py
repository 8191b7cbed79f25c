"""How a command of ``cxr`` is declared: its help with an example, and the module that is imported when it runs."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import Any

Command = Callable[[argparse.Namespace], int]


def add_command(commands: Any, name: str, run: Command, summary: str, example: str) -> argparse.ArgumentParser:
    """A parser for command ``name`` among ``commands`` (what ``add_subparsers`` gives), to add its arguments to."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def lazily(module: str, function: str = "") -> Command:
    """Function ``<module>_command``, or the one named, of module ``cxr_tasks.cli.<module>``, imported when it runs.

    ``cxr --help`` and a mistyped argument would otherwise wait for all that any command needs.
    """

    def run(options: argparse.Namespace) -> int:
        command: Command = getattr(importlib.import_module(f"cxr_tasks.cli.{module}"), function or f"{module}_command")
        return command(options)

    return run
