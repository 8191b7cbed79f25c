"""The result as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.benchmarks.measure import Row

_MET = {True: Text("yes", "green"), False: Text("no", "red"), None: Text("-", "dim")}


def print_rows(console: Console, rows: Sequence[Row], failures: Mapping[str, str]) -> None:
    """A table of the ratios, what was compared with what in each, and what could not be measured."""
    table = Table(
        box=None, pad_edge=False, padding=(0, 1, 0, 0), title="ours against a plain alternative", title_justify="left"
    )
    table.add_column("benchmark", no_wrap=True)
    for name in ("ours", "baseline", "ratio", "range", "goal"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("met")
    for row in rows:
        table.add_row(
            row.name,
            _amount(row.ours, row.unit),
            _amount(row.baseline, row.unit),
            Text(f"{row.ratio:.2f}", "bold"),
            f"{row.ratio_lowest:.2f}-{row.ratio_highest:.2f}",
            "-" if row.goal is None else f"{row.goal:.2f}",
            _MET[row.is_met],
        )
    console.print()
    console.print(table)
    console.print(
        "\nratio: how many times as fast as the baseline; median, and range, of pairs measured in turns\n", style="dim"
    )
    for row in rows:
        console.print(f"{row.name}: {row.ours_is}; baseline: {row.baseline_is}", style="dim", soft_wrap=True)
    for name, failure in failures.items():
        console.print(f"{name} did not run: {failure}", style="red", markup=False, soft_wrap=True)


def _amount(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"
