"""Where commands print their tables."""

from __future__ import annotations

import sys

from rich.console import Console


def wide_console() -> Console:
    """As wide as the terminal; in a file or a pipe, wide enough that nothing is cut."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=200)
