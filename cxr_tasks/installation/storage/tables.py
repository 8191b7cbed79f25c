"""Parquet tables, read so that a fault of the disk is not told as damage of the file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.errors import DataDefect

if TYPE_CHECKING:
    import pandas as pd

#: What pandas and Arrow raise at a Parquet file that is cut short or has changed bytes (tried with 3,000 of them).
_DAMAGED = (OSError, ValueError, KeyError, TypeError, NotImplementedError)


def read_table(path: Path, expected: str, advice: str = "") -> pd.DataFrame:
    """The table in ``path``.

    Args:
        expected: What the file should hold, for the message: ``a Parquet file of predictions``.
        advice: What to do about a file that does not hold it.

    Raises:
        DataDefect: The file is not there, or its bytes are no whole Parquet file.
        OSError: The disk, or the rights to the file: nothing is known of what it holds.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise _defect(path, expected, "none", advice) from error
    return table_in(content, path, expected, advice)


def table_in(content: bytes, path: Path, expected: str, advice: str = "") -> pd.DataFrame:
    """The table whose Parquet file is ``content``, read from ``path``; ``DataDefect`` as of ``read_table``."""
    import pandas as pd

    try:
        # Given a path, Arrow calls a link that leads to itself a file that is not there, and a folder many tables.
        return pd.read_parquet(io.BytesIO(content))
    except _DAMAGED as error:
        raise _defect(path, expected, f"a damaged file ({error})", advice) from error


def _defect(path: Path, expected: str, found: str, advice: str) -> DataDefect:
    return DataDefect(f"{path}: expected {expected}, found {found}" + (f"; {advice}" if advice else ""))
