"""Labels of served images, read from a table that people send.

A CSV file, as a spreadsheet saves it (sources.reading.tables), has a header and a row for each label::

    pixel_hash (32 hex digits), request_id (a UUID) or file (an image, read here and known by its pixels)
    finding    as in the code or as people read it: pleural_effusion, Pleural effusion
    label      positive, negative or uncertain; or 1, 0, -1
    who        who said so: a reader, a department; not the patient
    when       time of the label, ISO 8601 or as a spreadsheet shows it; with a zone, or taken as UTC
    patient    may be left out; kept as a keyed hash only, so that intervals count patients and a patient stays in the
               split in which they are
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_tasks.contracts.errors import DataDefect, nearest
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.installation.patient_keys import patient_key, patient_secret
from cxr_tasks.installation.storage.files import sha256_file
from cxr_tasks.labels.store import Label
from cxr_tasks.sources.reading.defects import row_defect, shown
from cxr_tasks.sources.reading.tables import read_rows
from cxr_tasks.sources.reading.times import Order, may_be_two, order_of, time_of
from cxr_tasks.sources.reading.words import as_name, state_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("finding", "label", "who", "when")
KEYS = ("pixel_hash", "request_id", "file")
#: Of the keys of patients among labels.
SALT = "feedback"
_HASH, _UUID = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: What a spreadsheet shows of a hash that happens to look like a number.
_MADE_A_NUMBER = re.compile(r"[0-9]([.,][0-9]+)?e\+?[0-9]+")
#: A label from before is a mistyped time.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
#: Patient as the table says, '' where it does not, and pixel hash -> split.
SplitOf = Callable[[str, str], str]


def read_labels(
    path: Path, findings: tuple[str, ...], now: datetime, split_of: SplitOf = lambda patient, pixel_hash: ""
) -> pd.DataFrame:
    """The labels in a CSV file, all or none: a row each, with the fields of ``Label`` as columns.

    Args:
        split_of: In which split a patient, as the table calls them, or a picture is already; '' where in none.

    Raises:
        DataDefect: A column is missing, a row names no image, an unknown finding, label or time, or two rows say of
            one image at one time what cannot both be; file and line are named.
    """
    import pandas as pd

    key, cells = patient_secret(), _Cells(path, findings, now)
    # Lists of what many rows share, and no object for each row: a year of a hospital is a million labels.
    columns: dict[str, list[Any]] = {name: [] for name in Label.__slots__ if name not in ("received_at", "file_sha256")}
    lines: list[int] = []

    @cache
    def key_of(patient: str) -> str:
        return patient_key(patient, salt=SALT, secret=key) if patient else ""

    for line, row in _rows(path):
        patient = row.get("patient", "")
        pixel_hash, request_id = _image(path, line, row)
        said = {
            "pixel_hash": pixel_hash, "request_id": request_id, "finding": cells.finding(line, row["finding"]),
            "label": cells.label(line, row["label"]), "who": cells.who(line, row["who"]),
            "when": cells.time(line, row["when"]), "patient_key": key_of(patient),
            "split": split_of(patient, pixel_hash),
        }  # fmt: skip
        for name, value in said.items():
            columns[name].append(value)
        lines.append(line)
    if not lines:
        raise DataDefect(f"{path}: expected labels, found none")
    table = pd.DataFrame(columns).assign(received_at=now, file_sha256=sha256_file(path))[list(Label.__slots__)]
    _refuse_contradictions(path, table, lines)
    return table


def _rows(path: Path) -> Any:
    return read_rows(path, COLUMNS, header=lambda names: [as_name(name) for name in names])


def _image(path: Path, line: int, row: dict[str, str]) -> tuple[str, str]:
    """The image's pixel hash, or the id of the request it was asked in."""
    given = {name: row[name] for name in KEYS if row.get(name)}
    if len(given) != 1:
        raise row_defect(path, line, f"expected one of {', '.join(KEYS)}, found {', '.join(given) or 'none'}")
    ((name, value),) = given.items()
    if name == "file":
        return _hash_of_file(path, line, value), ""
    value = value.lower()
    if not (_HASH if name == "pixel_hash" else _UUID).fullmatch(value):
        # Not the cell itself: what stands there by mistake may be a patient's name, and this goes into a log.
        form = "32 hex digits" if name == "pixel_hash" else "a UUID"
        told = (
            "a spreadsheet's number: format the column as text" if _MADE_A_NUMBER.fullmatch(value) else "another text"
        )
        raise row_defect(path, line, f"{name}: expected {form}, found {told}")
    return (value, "") if name == "pixel_hash" else ("", value)


def _hash_of_file(path: Path, line: int, name: str) -> str:
    from cxr_tasks.predictions.describe import image_facts

    try:
        (facts,) = image_facts([(path.parent / name.replace("\\", "/")).read_bytes()])
    except OSError as error:
        raise row_defect(path, line, f"file: it cannot be read below {path.parent}: {error.strerror}") from None
    if not facts.pixel_hash:
        raise row_defect(path, line, "file: it is no image that can be used")
    return facts.pixel_hash


class _Cells:
    """What the cells of a table say, each kind of cell looked at once."""

    def __init__(self, path: Path, findings: tuple[str, ...], now: datetime) -> None:
        self._path, self._findings, self._now = path, findings, now
        self._times: dict[str, datetime] = {}
        self._words: dict[str, str] = {}

    def finding(self, line: int, cell: str) -> str:
        name = as_name(cell)
        if name not in self._findings:
            known = f"{nearest(name, self._findings)}; its are {', '.join(self._findings)}"
            raise row_defect(self._path, line, f"finding {shown(cell)} is not the model's{known}")
        return self._words.setdefault(name, name)

    def label(self, line: int, cell: str) -> str:
        state = state_of(cell)
        if state is None or state == LabelState.UNMENTIONED:
            raise row_defect(
                self._path, line, f"label {shown(cell)}: expected positive, negative or uncertain, or 1, 0 or -1"
            )
        return state.value

    def who(self, line: int, cell: str) -> str:
        if not cell:
            raise row_defect(self._path, line, "expected who said so, found nothing")
        return self._words.setdefault(cell[:100], cell[:100])

    def time(self, line: int, cell: str) -> datetime:
        if cell not in self._times:
            self._times[cell] = self._time(line, cell)
        return self._times[cell]

    def _time(self, line: int, cell: str) -> datetime:
        try:
            moment = time_of(cell, self._order if may_be_two(cell) else None)
        except ValueError as error:
            raise row_defect(self._path, line, f"when: {error}") from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if not EARLIEST <= moment <= self._now:
            raise row_defect(
                self._path, line, f"when {shown(cell)}: expected a time since {EARLIEST.year} that has been, now it is "
                f"{self._now:%Y-%m-%dT%H:%M} UTC; a time without a zone is taken as UTC"
            )  # fmt: skip
        # Of one zone: a label that is sent again in another is the same label.
        return moment.astimezone(UTC)

    @cached_property
    def _order(self) -> Order | None:
        """Of day and month, by all rows: the file is read once more where a date leaves it open."""
        return order_of(row["when"] for _, row in _rows(self._path))


def _refuse_contradictions(path: Path, table: pd.DataFrame, lines: list[int]) -> None:
    """Two labels of one picture at one time: nothing says which of them is in force."""
    of_one = ["pixel_hash", "request_id", "finding", "when"]
    said_again = table.duplicated([*of_one, "label"])
    differs = table[~said_again].duplicated(of_one)
    if not differs.any():
        return
    place = int(differs.index[differs][0])
    row = table.loc[place]
    before = int((table[of_one] == row[of_one]).all(axis=1).to_numpy().argmax())
    raise row_defect(
        path, lines[place], f"{row['finding']} is {row['label']} and on line {lines[before]} "
        f"{table['label'].iloc[before]}, of the same image at the same time; keep one, or give the later one its time"
    )  # fmt: skip
