"""The tables that sources bring, read strictly: every row whole, every fault with its file and line.

    COLUMNS = ("Image Index", "Finding Labels", "Patient Age")

    for line, row in read_rows(path, COLUMNS, unique="Image Index"):
        age = number(path, line, row, "Patient Age", low=0)
        if row["Finding Labels"] not in known:
            raise row_defect(path, line, f"label {shown(row['Finding Labels'])} is not known; known: ...")

``line`` counts lines of the file from 1, as an editor does; of a row over several lines it is the first. A row is a
plain dict of stripped cells, '' where empty. Nothing is skipped but lines without any content.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect, nearest

#: Longest cell that is still taken as one: what a spreadsheet can hold. More is a quotation mark that never closes.
LONGEST_CELL = 32_767
_LONGEST_LINE = 1_000_000
# What surrogateescape makes of bytes that are not UTF-8; no valid text holds it.
_STRAY_BYTE = re.compile("[\udc80-\udcff]")
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_rows(
    path: Path,
    columns: Sequence[str],
    *,
    unique: str | None = None,
    header: Callable[[list[str]], list[str]] | None = None,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column name of every row of a CSV file, in order; one row in memory at a time.

    UTF-8 with or without a byte order mark, any newlines, cells quoted or not. Columns without a name are left out.
    Cells after the last named column must be empty; some tables end their rows with commas.

    Args:
        columns: Names that must be there, spelt exactly; further ones are given too.
        unique: A column in which no value may come twice.
        header: Puts a broken header in order: names as they stand in the file to names as they should; what it says in
            a ``ValueError`` is told with file and line.

    Raises:
        DataDefect: At the first row asked for or later. The file cannot be read, is empty, is not UTF-8 or not CSV,
            lacks a column, names one twice, or a row has too few or too many cells. File and line are named.
    """
    records = _records(path)
    line, names = next(records, (0, []))
    if not line:
        raise DataDefect(f"{path}: expected a header line and rows, found an empty file")
    if header is not None:
        try:
            names = [name.strip() for name in header(names)]
        except ValueError as error:
            raise row_defect(path, line, str(error)) from None
    while names and not names[-1]:
        names.pop()
    _check_header(path, line, names, columns if unique is None else (*columns, unique))
    first_line: dict[str, int] = {}
    for line, cells in records:
        if len(cells) != len(names):
            _drop_empty_tail(path, line, cells, len(names))
        row = dict(zip(names, cells, strict=True))
        row.pop("", None)
        if unique is not None and (where := first_line.setdefault(row[unique], line)) != line:
            raise row_defect(path, line, f"{unique} {shown(row[unique])} stands on line {where} already; keep one")
        yield line, row


def read_lines(path: Path, *, unique: bool = False) -> Iterator[tuple[int, str]]:
    """Line number and stripped text of every line with content, as of a list of file names; errors as ``read_rows``."""
    first_line: dict[str, int] = {}
    for line, text in enumerate(_text_lines(path), start=1):
        if stripped := text.strip():
            if unique and (where := first_line.setdefault(stripped, line)) != line:
                raise row_defect(path, line, f"{shown(stripped)} stands on line {where} already; keep one")
            yield line, stripped


def row_defect(path: Path, line: int, what: str) -> DataDefect:
    """The error that names file and line; ``what`` says what was expected and what came."""
    return DataDefect(f"{path}, line {line}: {what}")


def number(
    path: Path, line: int, row: Mapping[str, str], column: str, *, low: float = -math.inf, high: float = math.inf
) -> float:
    """A cell as a finite number from ``low`` to ``high``; anything else, an empty cell too, is a ``DataDefect``."""
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    # float() takes 1_000 as well, which no table means.
    if "_" in row[column] or not math.isfinite(value) or not low <= value <= high:
        bounds = "" if (low, high) == (-math.inf, math.inf) else f" from {low:g} to {high:g}"
        raise row_defect(path, line, f"{column}: expected a number{bounds}, found {shown(row[column])}")
    return value


def shown(text: str) -> str:
    """A cell as it stands in a message: quoted, cut where it is long.

    >>> shown("Infiltrate")
    "'Infiltrate'"
    """
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """First line and stripped cells of every record that has any content."""
    # strict: a quotation mark out of place is an error, not a guess.
    reader = csv.reader(_text_lines(path), strict=True, skipinitialspace=True)
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise row_defect(path, line, f"expected comma-separated cells: {error}{_about_quotes(error)}") from None
        if cells is None:
            return
        cells = [cell.strip() for cell in cells]
        if any(cells):
            longest = max(map(len, cells))
            if longest > LONGEST_CELL:
                raise row_defect(path, line, f"a cell of {longest} characters, at most {LONGEST_CELL} expected")
            yield line, cells
        line = reader.line_num + 1


def _about_quotes(error: csv.Error) -> str:
    cut_short = "end of data" in str(error) or "field limit" in str(error)
    return "; a quotation mark opens on this line and does not close" if cut_short else ""


def _text_lines(path: Path) -> Iterator[str]:
    try:
        if path.exists() and not path.is_file():
            # Opening a named pipe would wait for ever.
            raise DataDefect(f"{path}: expected a file, found a folder, pipe or device")
        # surrogateescape: the error for a stray byte is ours, with the line it stands on.
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            line = 0
            while text := stream.readline(_LONGEST_LINE):
                line += 1
                _check_text(path, line, text)
                yield text
    except FileNotFoundError:
        raise DataDefect(f"{path}: expected a file, found none") from None
    except OSError as error:
        raise DataDefect(f"{path}: the file cannot be read: {error.strerror or error}") from None


def _check_text(path: Path, line: int, text: str) -> None:
    if len(text) >= _LONGEST_LINE:
        raise row_defect(path, line, f"the line has {_LONGEST_LINE} characters or more; this is not a table of text")
    stray = None if text.isascii() else _STRAY_BYTE.search(text)
    if stray:
        byte = ord(stray[0]) - 0xDC00
        utf16 = "; this looks like UTF-16" if line == 1 and text.startswith(("\udcff\udcfe", "\udcfe\udcff")) else ""
        raise row_defect(path, line, f"byte 0x{byte:02X} is not UTF-8{utf16}; save the file as UTF-8")
    if "\0" in text:
        raise row_defect(path, line, "found a NUL byte; this is not text, or the file is damaged: fetch it again")


def _check_header(path: Path, line: int, names: list[str], columns: Sequence[str]) -> None:
    for name in names:
        if name and names.count(name) > 1:
            raise row_defect(path, line, f"column {shown(name)} is named twice")
    for column in columns:
        if column not in names:
            found = ", ".join(map(shown, names[:20])) + (", ..." if len(names) > 20 else "")
            guess = nearest(column, names) or _other_separator(names)
            raise row_defect(path, line, f"expected a column {column!r}{guess}; found: {found or 'no names'}")


def _other_separator(names: list[str]) -> str:
    for mark, word in _SEPARATORS.items():
        if names and mark in names[0]:
            return f"; cells seem to be parted by {word}, commas are expected"
    return ""


def _drop_empty_tail(path: Path, line: int, cells: list[str], n_columns: int) -> None:
    """Cut empty cells after the last column away, in place."""
    n_cells = len(cells)
    while len(cells) > n_columns and not cells[-1]:
        cells.pop()
    if len(cells) != n_columns:
        raise row_defect(path, line, f"expected {n_columns} cells as in the header, found {n_cells}")
