"""How a fault in a table is told: file, line, and the cell as it stands there."""

from __future__ import annotations

from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect


def row_defect(path: Path, line: int, what: str) -> DataDefect:
    """The error that names file and line; ``what`` says what was expected and what came."""
    return DataDefect(f"{path}, line {line}: {what}")


def shown(text: str) -> str:
    """A cell as it stands in a message: quoted, cut where it is long.

    >>> shown("Infiltrate")
    "'Infiltrate'"
    """
    return repr(text if len(text) <= 60 else f"{text[:60]}...")
