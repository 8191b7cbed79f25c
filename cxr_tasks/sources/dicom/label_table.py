"""The table of labels beside DICOM files, read strictly; what names a patient leaves it as a keyed hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cxr_tasks.contracts.errors import DataDefect, nearest
from cxr_tasks.contracts.labels import VOCABULARIES, LabelState, display_name
from cxr_tasks.images.dicom import patient_hash
from cxr_tasks.sources.reading.defects import row_defect, shown
from cxr_tasks.sources.reading.tables import read_rows
from cxr_tasks.sources.reading.words import SPLIT_WORDS, STATES, as_name, state_of

PATH_COLUMN = "path"
UID_COLUMN = "sop_instance_uid"
SIDE_COLUMNS = ("split", "patient", "sub_label")
_OWN_COLUMNS = (PATH_COLUMN, UID_COLUMN, *SIDE_COLUMNS)

_SPLIT_WORDS = {"": "", **SPLIT_WORDS}
_FINDINGS = frozenset(finding for findings in VOCABULARIES.values() for finding in findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRow:
    """One row of the table."""

    line: int
    key: str
    """Path below the data folder, or SOP instance UID; see ``Labels.key_column``."""
    states: Mapping[str, LabelState]
    split: str = ""
    patient_id: str = ""
    """Keyed hash, the same as of a file with this patient id; '' where the file tells."""
    sub_label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The whole table."""

    key_column: str
    rows: list[LabelRow]
    notes: tuple[str, ...]


def read_labels(table: Path, findings: Sequence[str]) -> Labels:
    """All rows of ``table``, with a state for each of ``findings``.

    Columns of findings that the vocabulary does not have are left out, with a note.

    Raises:
        DataDefect: A column, label, split or path that is not known, or one that is missing; file, line and column are
            named.
    """
    rows: list[LabelRow] = []
    key_column, columns = "", dict[str, str]()

    def header(names: list[str]) -> list[str]:
        nonlocal key_column, columns
        names = [as_name(name) if as_name(name) in _OWN_COLUMNS else name for name in names]
        key_column, columns = _checked_columns([name for name in names if name], findings)
        return names

    # Few combinations of labels for many rows: rows share their dict.
    shared: dict[tuple[LabelState, ...], dict[str, LabelState]] = {}
    seen: dict[str, int] = {}
    for line, row in read_rows(table, (), header=header):
        key = _key(table, line, row[key_column], key_column)
        if seen.setdefault(key, line) != line:
            raise row_defect(table, line, f"{key_column}: the same one stands on line {seen[key]} already; keep one")
        states = tuple(_state(table, line, row, columns[finding]) for finding in findings)
        rows.append(
            LabelRow(
                line=line,
                key=key,
                states=shared.setdefault(states, dict(zip(findings, states, strict=True))),
                split=_split(table, line, row.get("split", "")),
                patient_id=patient_hash(row.get("patient", "")),
                sub_label=row.get("sub_label", ""),
            )
        )
    if not rows:
        raise DataDefect(f"{table}: expected a row per file, found a header and no rows")
    foreign = [finding for finding in columns if finding not in findings]
    notes = (f"findings outside the vocabulary, left out: {', '.join(foreign)}",) if foreign else ()
    return Labels(key_column=key_column, rows=rows, notes=notes)


def _checked_columns(names: list[str], findings: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The column that says which file, and finding -> its column; ``ValueError`` says which is wrong or missing."""
    keys = [name for name in (PATH_COLUMN, UID_COLUMN) if name in names]
    if len(keys) != 1:
        columns_there = " and ".join(keys) or ", ".join(map(shown, names))
        raise ValueError(f"expected either a column {PATH_COLUMN!r} or {UID_COLUMN!r}; found: {columns_there}")
    columns: dict[str, str] = {}
    for name in names:
        if name in (*keys, *SIDE_COLUMNS):
            continue
        finding = as_name(name)
        known = [*keys, *SIDE_COLUMNS, *findings]
        if finding not in _FINDINGS:
            raise ValueError(f"column {shown(name)} is not known{nearest(finding, known)}; known: {', '.join(known)}")
        if finding in columns:
            raise ValueError(f"columns {shown(columns[finding])} and {shown(name)} are the same finding")
        columns[finding] = name
    missing = [f"{finding} ({display_name(finding)})" for finding in findings if finding not in columns]
    if missing:
        raise ValueError(f"expected a column for each finding of the vocabulary; missing: {', '.join(missing)}")
    return keys[0], columns


def _key(table: Path, line: int, cell: str, key_column: str) -> str:
    if not cell:
        raise row_defect(table, line, f"{key_column}: expected one for each row, found an empty cell")
    if key_column == UID_COLUMN:
        return cell
    path = PurePosixPath(cell.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in cell:
        raise row_defect(table, line, f"{key_column}: expected a path below the data folder, found {shown(cell)}")
    return path.as_posix()


def _state(table: Path, line: int, row: Mapping[str, str], column: str) -> LabelState:
    state = state_of(row[column])
    if state is None:
        known = ", ".join(word or "nothing" for word in STATES)
        raise row_defect(table, line, f"{column}: label {shown(row[column])} is not known; known: {known}")
    return state


def _split(table: Path, line: int, cell: str) -> str:
    split = _SPLIT_WORDS.get(cell.lower())
    if split is None:
        known = ", ".join(word or "nothing" for word in _SPLIT_WORDS)
        raise row_defect(table, line, f"split: {shown(cell)} is not known; known: {known}")
    return split
