"""The tables of NIH ChestX-ray14 in all forms that were published: labels, boxes and the official split.

``Data_Entry_2017.csv`` came out with ages such as ``060Y``, then as numbers, some of them impossible (414), in 2020
with these corrected; its header and that of ``BBox_List_2017.csv`` hold commas inside brackets.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cxr_tasks.contracts.ages import OLDEST_YEARS, age_in_years
from cxr_tasks.contracts.errors import DataDefect, nearest
from cxr_tasks.contracts.labels import NIH_SPELLINGS
from cxr_tasks.sources.base import Box
from cxr_tasks.sources.reading.defects import row_defect, shown
from cxr_tasks.sources.reading.numbers import number
from cxr_tasks.sources.reading.tables import read_lines, read_rows

NO_FINDING = "No Finding"
#: ``BBox_List_2017.csv`` has a spelling of its own for one finding.
BOX_SPELLINGS = {**NIH_SPELLINGS, "Infiltrate": "infiltration"}
#: Width and height that the boxes refer to, whatever the size of the files at hand.
BOX_FRAME = (1024, 1024)
#: A number beyond this is no place in an image at all.
_FARTHEST = 10_000

TRAIN_VAL_LIST, TEST_LIST = "train_val_list.txt", "test_list.txt"

_NAME, _LABELS, _FOLLOW_UP, _PATIENT = "Image Index", "Finding Labels", "Follow-up #", "Patient ID"
_AGE, _SEX, _VIEW = "Patient Age", "Patient Gender", "View Position"
_COLUMNS = (_NAME, _LABELS, _FOLLOW_UP, _PATIENT, _AGE, _SEX, _VIEW)
_SEXES = {"M": "male", "F": "female", "": "unknown"}
_VIEWS = {"PA": "pa", "AP": "ap", "": "unknown"}
_WHOLE = re.compile(r"[0-9]{1,9}")
# 00000001_003.png: patient 1, and a number per image.
_PATIENT_OF_NAME = re.compile(r"(?P<patient>[0-9]{8})_[0-9]{3}\.\w+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of ``Data_Entry_2017.csv``."""

    line: int
    name: str
    positive: frozenset[str]
    """Findings, empty for ``No Finding``. The table names all that are there: every other one is negative."""
    patient_id: str
    study_id: str
    age_years: float
    sex: str
    view: str


def read_entries(path: Path, noted: Counter[str]) -> Iterator[Entry]:
    """Every row of the label table, in order; oddities that stop nothing are counted in ``noted``.

    Raises:
        DataDefect: A label, id, age, sex or view is none that the data set knows, a name comes twice, or the name says
            another patient than the column; file, line and what was expected are named.
    """
    for line, row in read_rows(path, _COLUMNS, unique=_NAME, header=_entry_header):
        try:
            positive = positive_findings(row[_LABELS])
            age_years = _years_of_age(row[_AGE])
            patient_id = patient_key(row[_PATIENT])
            study_id = f"{patient_id}_{_whole(_FOLLOW_UP, row[_FOLLOW_UP]):03d}"
            sex, view = _known(_SEX, row[_SEX], _SEXES), _known(_VIEW, row[_VIEW], _VIEWS)
            name = _image_name(row[_NAME], patient_id)
        except ValueError as error:
            raise row_defect(path, line, str(error)) from None
        if math.isnan(age_years):
            noted[f"age above {OLDEST_YEARS} years, taken as unknown" if row[_AGE] else "no age given"] += 1
        yield Entry(line, name, positive, patient_id, study_id, age_years, sex, view)


@lru_cache(maxsize=4096)
def positive_findings(labels: str) -> frozenset[str]:
    """``Effusion|Mass`` as findings; ``No Finding`` as none. Looked up exactly.

    Raises:
        ValueError: A label is not known, or ``No Finding`` stands beside a finding.

    >>> sorted(positive_findings("Effusion|Mass"))
    ['mass', 'pleural_effusion']
    """
    parts = [part.strip() for part in labels.split("|")]
    known = (*NIH_SPELLINGS, NO_FINDING)
    for part in parts:
        if part not in known:
            raise ValueError(
                f"{_LABELS}: label {shown(part)} is not known{nearest(part[:60], known)}; known: {', '.join(known)}"
            )
    if NO_FINDING in parts and len(set(parts)) > 1:
        raise ValueError(f"{_LABELS}: {NO_FINDING!r} together with a finding: {shown(labels)}; correct the row")
    return frozenset(NIH_SPELLINGS[part] for part in parts if part != NO_FINDING)


@lru_cache(maxsize=1024)
def _years_of_age(text: str) -> float:
    try:
        return age_in_years(text)
    except ValueError as error:
        raise ValueError(f"{_AGE}: {error}") from None


def patient_key(text: str) -> str:
    """A patient number in the eight digits of the file names, so that ``1`` and ``00000001`` are one patient."""
    return f"{_whole(_PATIENT, text):08d}"


def read_boxes(path: Path, noted: Counter[str]) -> dict[str, list[Box]]:
    """Boxes by image name, in pixels of ``BOX_FRAME``; what lies over its edge is cut, and counted in ``noted``.

    Raises:
        DataDefect: A label is not known, or four numbers of a box within the frame are not there.
    """
    boxes: dict[str, list[Box]] = {}
    for line, row in read_rows(path, (_NAME, "Finding Label", "x", "y", "w", "h"), header=_box_header):
        label = row["Finding Label"]
        if not row[_NAME]:
            raise row_defect(path, line, f"{_NAME}: expected a file name, found an empty cell")
        if label not in BOX_SPELLINGS:
            known = ", ".join(BOX_SPELLINGS)
            guess = nearest(label[:60], BOX_SPELLINGS)
            raise row_defect(path, line, f"Finding Label: label {shown(label)} is not known{guess}; known: {known}")
        x, width, cut_x = _span(path, line, row, "x", "w", BOX_FRAME[0])
        y, height, cut_y = _span(path, line, row, "y", "h", BOX_FRAME[1])
        noted["box that reaches over the edge of its image, cut"] += cut_x or cut_y
        box = Box(finding=BOX_SPELLINGS[label], x=x, y=y, width=width, height=height)
        boxes.setdefault(row[_NAME], []).append(box)
    return boxes


def _span(path: Path, line: int, row: Mapping[str, str], start: str, size: str, frame: int) -> tuple[float, float, int]:
    """Start and size along one axis, cut to the frame, and 1 where that changed anything, else 0."""
    first = number(path, line, row, start, low=-_FARTHEST, high=_FARTHEST)
    extent = number(path, line, row, size, low=0, high=_FARTHEST)
    low, high = max(first, 0.0), min(first + extent, float(frame))
    if not extent or not low < high:
        text = f"{start} {row[start]}, {size} {row[size]}"
        raise row_defect(path, line, f"expected a box with an area inside the {frame} pixels of a side, found {text}")
    if low == first and high == first + extent:
        return first, extent, 0
    return low, high - low, 1


def read_official_splits(root: Path) -> dict[str, str] | None:
    """``train`` or ``test`` by ``listed_key`` from the two lists beside the label table; None where there is neither.

    Raises:
        DataDefect: Only one list is there, or a name stands in both, or twice in one.
    """
    lists = {root / TRAIN_VAL_LIST: "train", root / TEST_LIST: "test"}
    there = [path for path in lists if path.exists()]
    if not there:
        return None
    if len(there) == 1:
        raise DataDefect(
            f"{root}: expected {TRAIN_VAL_LIST} and {TEST_LIST} or neither, found {there[0].name} alone; fetch the "
            "other, or set dataset.options.official_split to false"
        )
    splits: dict[str, str] = {}
    for path, split in lists.items():
        for line, name in read_lines(path, unique=True):
            if splits.setdefault(listed_key(name), split) != split:
                raise row_defect(path, line, f"{shown(name)} is in {TRAIN_VAL_LIST} too; an image is in one of them")
    return splits


def listed_key(name: str) -> str:
    r"""An image as a list and the label table both tell it: without folders, of either system, and without suffix.

    >>> listed_key("images\\00000001_000.png"), listed_key("00000001_000")
    ('00000001_000', '00000001_000')
    """
    return re.sub(r"\.(?:png|jpe?g|dcm|dicom)$", "", re.split(r"[\\/]", name)[-1], flags=re.IGNORECASE)


def _entry_header(names: list[str]) -> list[str]:
    return [_SEX if name.strip() == "Patient Sex" else name for name in _split_brackets(names)]


def _box_header(names: list[str]) -> list[str]:
    return [re.sub(r"^Bbox\s*\[|\]$", "", name.strip()) for name in _split_brackets(names)]


def _split_brackets(names: list[str]) -> list[str]:
    """One name per column: ``OriginalImage[Width,Height]`` stands for two, quoted or not."""
    return ",".join(names).split(",")


def _image_name(name: str, patient_id: str) -> str:
    if not name:
        raise ValueError(f"{_NAME}: expected a file name, found an empty cell")
    match = _PATIENT_OF_NAME.fullmatch(name)
    if match and match["patient"] != patient_id:
        raise ValueError(f"{_PATIENT}: the image name {shown(name)} says another patient than the column; correct one")
    return name


def _whole(column: str, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{column}: expected a whole number, found {shown(text)}")
    return int(text)


def _known(column: str, text: str, known: Mapping[str, str]) -> str:
    try:
        return known[text]
    except KeyError:
        words = ", ".join(word or "nothing" for word in known)
        raise ValueError(f"{column}: expected one of {words}, found {shown(text)}") from None
