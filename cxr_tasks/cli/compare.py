"""``cxr compare``: what the canary says differently from the version that serves."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.table import Table

from cxr_tasks.cli.console import wide_console
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.installation.settings import StackSettings
from serving.compare.asked_images import images_to_compare
from serving.compare.compare import Comparison, compare, table, write_comparison


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name in the registry")
    parser.add_argument("--images", metavar="DIR", help="a folder of images instead of recorded requests")
    parser.add_argument(
        "--limit",
        type=int,
        default=500,
        help="at most so many images, newest requests first (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def compare_command(options: argparse.Namespace) -> int:
    folder = Path(options.images).expanduser() if options.images else None
    images, source = images_to_compare(options.model, folder, options.limit)
    comparison = compare(options.model, StackSettings.load(), images, source)
    written = write_comparison(comparison)
    if options.json:
        print(json.dumps({**plain(comparison), "file": written.uri}, indent=2))
    else:
        _print(comparison)
        wide_console().print(f"as JSON: {written.uri}", style="dim")
    return 0


def _print(comparison: Comparison) -> None:
    shown = Table(title=comparison.title, title_justify="left", box=None, pad_edge=False)
    rows = table(comparison)
    for column in rows[0]:
        shown.add_column(column, justify="left" if column == "finding" else "right")
    for row in rows:
        shown.add_row(*(display_name(text) if column == "finding" else text for column, text in row.items()))
    wide_console().print(shown)
