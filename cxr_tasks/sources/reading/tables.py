"""The tables that people bring, read strictly: every row whole, every fault with its file and line.

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
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect, nearest
from cxr_tasks.sources.reading.defects import row_defect, shown
from cxr_tasks.sources.reading.text import text_lines

#: Longest cell that is still taken as one: what a spreadsheet can hold. More is a quotation mark that never closes.
LONGEST_CELL = 32_767
#: What parts cells, the most usual first.
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
#: A first line by which a table tells a spreadsheet what parts its cells.
_SAYS_SEPARATOR = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
Header = Callable[[list[str]], list[str]]


def read_rows(
    path: Path,
    columns: Sequence[str],
    *,
    unique: str | None = None,
    header: Header | None = None,
    keeps_stray_bytes: bool = False,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column name of every row of a CSV file, in order; one row in memory at a time.

    Text as :func:`text_lines` reads it, any newlines, cells quoted or not. Cells are parted by commas, or by
    semicolons, tabs or bars where the header's names are found so and not by commas, or where a first line such as
    ``sep=;`` says so. Columns without a name are left out. Cells after the last named column must be empty; some tables
    end their rows with commas.

    Args:
        columns: Names that must be there, spelt exactly; further ones are given too.
        unique: A column in which no value may come twice.
        header: Puts a broken header in order: names as they stand in the file to names as they should; what it says in
            a ``ValueError`` is told with file and line.
        keeps_stray_bytes: As :func:`text_lines`.

    Raises:
        DataDefect: At the first row asked for or later. The file cannot be read, is empty, is no text or not CSV,
            lacks a column, names one twice, or a row has too few or too many cells. File and line are named.
    """
    asked = tuple(columns) if unique is None else (*columns, unique)
    mark, records = _opened(path, asked, header, keeps_stray_bytes)
    line, cells = next(records, (0, []))
    if not line:
        raise DataDefect(f"{path}: expected a header line and rows, found an empty file")
    names = _names(path, line, cells, asked, header, mark)
    first_line: dict[str, int] = {}
    for line, cells in records:
        if len(cells) != len(names):
            _drop_empty_tail(path, line, cells, len(names), mark)
        row = dict(zip(names, cells, strict=True))
        row.pop("", None)
        if unique is not None and (where := first_line.setdefault(row[unique], line)) != line:
            raise row_defect(path, line, f"{unique} {shown(row[unique])} stands on line {where} already; keep one")
        yield line, row


def read_lines(path: Path, *, unique: bool = False) -> Iterator[tuple[int, str]]:
    """Line number and stripped text of every line with content, as of a list of file names; errors as ``read_rows``."""
    first_line: dict[str, int] = {}
    for line, text in enumerate(text_lines(path), start=1):
        if stripped := text.strip():
            if unique and (where := first_line.setdefault(stripped, line)) != line:
                raise row_defect(path, line, f"{shown(stripped)} stands on line {where} already; keep one")
            yield line, stripped


def _opened(
    path: Path, columns: Sequence[str], header: Header | None, keeps_stray_bytes: bool
) -> tuple[str, Iterator[tuple[int, list[str]]]]:
    """What parts the cells, and all records with the header's."""
    lines = text_lines(path, keeps_stray_bytes=keeps_stray_bytes)
    before: list[str] = []
    for text in lines:
        before.append(text)
        if said := _SAYS_SEPARATOR.fullmatch(text):
            if said[1] not in _SEPARATORS:
                known = ", ".join(_SEPARATORS.values())
                raise row_defect(path, len(before), f"cells are said to be parted by {said[1]!r}; expected {known}")
            # An empty line in its place: lines are counted as an editor does.
            before[-1] = "\n"
            return said[1], _records(path, itertools.chain(before, lines), said[1])
        if text.strip():
            break
    mark = _separator(before[-1], columns, header) if before else ","
    return mark, _records(path, itertools.chain(before, lines), mark)


def _separator(text: str, columns: Sequence[str], header: Header | None) -> str:
    """What parts the cells of a header; a comma where they have the names asked for by commas, or by nothing."""
    marks = [mark for mark in _SEPARATORS if mark in text]
    fits = [mark for mark in marks if _is_header(text, mark, columns, header)]
    # None fits: what is missing is told of the names that most people would see.
    return next(iter(fits or sorted(marks, key=text.count, reverse=True)), ",")


def _is_header(text: str, mark: str, columns: Sequence[str], header: Header | None) -> bool:
    try:
        names = [name.strip() for name in next(csv.reader([text], skipinitialspace=True, delimiter=mark), [])]
        names = names if header is None else [name.strip() for name in header(names)]
    except (csv.Error, ValueError):
        return False
    return all(column in names for column in columns)


def _names(
    path: Path, line: int, cells: list[str], columns: Sequence[str], header: Header | None, mark: str
) -> list[str]:
    """The names of the columns, checked."""
    parted = "" if mark == "," else f" (cells are parted by {_SEPARATORS[mark]})"
    try:
        names = cells if header is None else [name.strip() for name in header(cells)]
    except ValueError as error:
        raise row_defect(path, line, f"{error}{parted}") from None
    while names and not names[-1]:
        names.pop()
    for name in names:
        if name and names.count(name) > 1:
            raise row_defect(path, line, f"column {shown(name)} is named twice")
    for column in columns:
        if column not in names:
            told = ", ".join(map(shown, names[:20])) + (", ..." if len(names) > 20 else "")
            guess = nearest(column, names)
            raise row_defect(path, line, f"expected a column {column!r}{guess}; found: {told or 'no names'}{parted}")
    return names


def _records(path: Path, lines: Iterator[str], mark: str) -> Iterator[tuple[int, list[str]]]:
    """First line and stripped cells of every record that has any content."""
    # strict: a quotation mark out of place is an error, not a guess.
    reader = csv.reader(lines, strict=True, skipinitialspace=True, delimiter=mark)
    line, word = 1, "comma-separated cells" if mark == "," else f"cells parted by {_SEPARATORS[mark]}"
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise row_defect(path, line, f"expected {word}: {error}{_about_quotes(error)}") from None
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


def _drop_empty_tail(path: Path, line: int, cells: list[str], n_columns: int, mark: str) -> None:
    """Cut empty cells after the last column away, in place."""
    n_cells = len(cells)
    while len(cells) > n_columns and not cells[-1]:
        cells.pop()
    if len(cells) != n_columns:
        about = f"; a cell with {_SEPARATORS[mark]} in it has to be quoted" if n_cells > n_columns else ""
        raise row_defect(path, line, f"expected {n_columns} cells as in the header, found {n_cells}{about}")
