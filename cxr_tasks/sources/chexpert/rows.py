"""One row of CheXpert's ``train.csv`` or ``valid.csv`` in the platform's words; anything not known is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect, nearest
from cxr_tasks.contracts.labels import CHEXPERT_SPELLINGS, LabelState
from cxr_tasks.sources.reading.defects import row_defect, shown
from cxr_tasks.sources.reading.numbers import number

#: The labeller's codes; some copies were saved as whole numbers.
CODES: dict[str, LabelState] = {
    "1.0": LabelState.POSITIVE,
    "0.0": LabelState.NEGATIVE,
    "-1.0": LabelState.UNCERTAIN,
    "": LabelState.UNMENTIONED,
    "1": LabelState.POSITIVE,
    "0": LabelState.NEGATIVE,
    "-1": LabelState.UNCERTAIN,
}
DETAIL_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA")
SEX_CODES = {"Male": "male", "Female": "female", "Unknown": "unknown", "": "unknown"}
DIRECTIONS = ("Frontal", "Lateral")
#: LL and RL are left and right lateral in DICOM's words, yet stand on rows that are frontal by column and file name.
PROJECTIONS = {"AP": "ap", "PA": "pa", "LL": "unknown", "RL": "unknown", "": "unknown"}

_LISTED = re.compile(
    r"(?:[\w-][\w.-]*/)?(?P<listed>(?:train|valid)/(?P<study>(?P<patient>patient[0-9]+)/study[0-9]+)/"
    r"view[0-9]+_(?P<direction>frontal|lateral)\.[A-Za-z0-9]+)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ListedPath:
    """What a table's Path column tells."""

    listed: str
    """Without the collection's folder: ``train/patient00001/study1/view1_frontal.jpg``."""
    patient_id: str
    study_id: str
    is_frontal: bool


def parse_path(text: str) -> ListedPath | None:
    """The parts of a path as the tables list it; None where it has another form, or could lead anywhere else.

    >>> parse_path("CheXpert-v1.0-small/train/patient00001/study2/view1_frontal.jpg").study_id
    'patient00001/study2'
    """
    match = _LISTED.fullmatch(text)
    if match is None:
        return None
    return ListedPath(match["listed"], match["patient"], match["study"], match["direction"] == "frontal")


@dataclass(frozen=True, slots=True)
class Row:
    """One checked row."""

    path: ListedPath
    is_frontal: bool
    projection: str
    """``AP``, ``PA``, ``LL``, ``RL`` or empty, as the table has it."""
    sex: str
    age_years: float
    is_age_zero: bool
    states: Mapping[str, LabelState]

    @property
    def view(self) -> str:
        return PROJECTIONS[self.projection] if self.is_frontal else "lateral"


@dataclass(slots=True)
class RowReader:
    """Reads rows for some findings."""

    findings: Sequence[str]
    columns: tuple[str, ...] = field(init=False)
    """Columns that a table must have."""
    _finding_columns: tuple[str, ...] = field(init=False)
    _ages: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        column_of = {finding: column for column, finding in CHEXPERT_SPELLINGS.items()}
        self._finding_columns = tuple(column_of[finding] for finding in self.findings)
        self.columns = (*DETAIL_COLUMNS, *self._finding_columns)

    def read(self, table: Path, line: int, cells: Mapping[str, str]) -> Row:
        """The row, checked; ``DataDefect`` names table, line, column, value and the known values."""
        path = parse_path(cells["Path"])
        if path is None:
            raise row_defect(
                table,
                line,
                "Path: expected one like CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg, "
                f"found {shown(cells['Path'])}",
            )
        _check(table, line, cells, "Frontal/Lateral", DIRECTIONS)
        _check(table, line, cells, "AP/PA", PROJECTIONS)
        _check(table, line, cells, "Sex", SEX_CODES)
        age = self._age(table, line, cells)
        return Row(
            path=path,
            is_frontal=cells["Frontal/Lateral"] == "Frontal",
            projection=cells["AP/PA"],
            sex=SEX_CODES[cells["Sex"]],
            # Every patient is an adult; 0 stands where the age is not known, and no newborn is meant.
            age_years=age if age != 0 else float("nan"),
            is_age_zero=age == 0,
            states=self._label_states(table, line, cells),
        )

    def _age(self, table: Path, line: int, cells: Mapping[str, str]) -> float:
        text = cells["Age"]
        if text not in self._ages:
            self._ages[text] = number(table, line, cells, "Age", low=0, high=120) if text else float("nan")
        return self._ages[text]

    def _label_states(self, table: Path, line: int, cells: Mapping[str, str]) -> Mapping[str, LabelState]:
        # 1,0 where a spreadsheet of a country with decimal commas saved the table.
        codes = tuple(cells[column].replace(",", ".") for column in self._finding_columns)
        for column, code in zip(self._finding_columns, codes, strict=True):
            if code not in CODES:
                raise _unknown_value(table, line, column, cells[column], CODES)
        return _states(tuple(self.findings), codes)


@lru_cache(maxsize=4096)
def _states(findings: tuple[str, ...], codes: tuple[str, ...]) -> Mapping[str, LabelState]:
    """A state for each finding; rows with the same codes share it."""
    return {finding: CODES[code] for finding, code in zip(findings, codes, strict=True)}


def _check(table: Path, line: int, cells: Mapping[str, str], column: str, known: Sequence[str] | Mapping) -> None:
    if cells[column] not in known:
        raise _unknown_value(table, line, column, cells[column], known)


def _unknown_value(table: Path, line: int, column: str, value: str, known: Sequence[str] | Mapping) -> DataDefect:
    named = ", ".join(word or "blank" for word in known)
    return row_defect(table, line, f"{column}: {shown(value)} is not known{nearest(value, known)}; known: {named}")
