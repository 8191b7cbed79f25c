"""Rows of the label table with their files: what becomes a record, and what is refused and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.sources.base import Box, ImageRecord, Refusal
from cxr_tasks.sources.nih.files import ImageFiles
from cxr_tasks.sources.nih.tables import BOX_FRAME, TEST_LIST, TRAIN_VAL_LIST, Entry, listed_key
from cxr_tasks.sources.reading.defects import row_defect, shown


@dataclass(slots=True)
class Notes:
    """What a scan says of a data set, line by line."""

    lines: list[str]

    def count(self, count: int, what: str) -> None:
        """Say how often something is so, unless it never is."""
        if count:
            self.lines.append(f"{count} x {what}")


@dataclass(slots=True)
class Reading:
    """Rows of the label table with their files, one after the other."""

    table: Path
    findings: Sequence[str]
    splits: dict[str, str]
    """By ``listed_key``; a row takes its own out."""
    boxes: dict[str, list[Box]]
    """By image name; a row takes its own out."""
    files: ImageFiles
    has_splits: bool
    records: list[ImageRecord] = field(default_factory=list)
    """One for each row with one file."""
    refusals: list[Refusal] = field(default_factory=list)
    """One for each row with none, or several."""
    n_listed: int = 0
    _n_unsplit: int = 0
    _line_of: dict[str, int] = field(default_factory=dict)

    def add(self, entry: Entry, oddities: Counter[str]) -> None:
        """Match one row with its file."""
        self.n_listed += 1
        official_split = self.splits.pop(listed_key(entry.name), "")
        self._n_unsplit += not official_split
        boxes = self._wanted_boxes(entry, oddities)
        places = self.files.places(entry.name)
        if len(places) != 1:
            self.refusals.append(_refusal(self.table, entry, places))
            return
        image_id = places[0]
        if (line := self._line_of.setdefault(image_id, entry.line)) != entry.line:
            text = f"{shown(entry.name)} is the file {image_id} of line {line} already; keep one row"
            raise row_defect(self.table, entry.line, text)
        self.records.append(
            ImageRecord(
                image_id=image_id,
                patient_id=entry.patient_id,
                study_id=entry.study_id,
                states=_states(tuple(self.findings), entry.positive),
                official_split=official_split,
                view=entry.view,
                sex=entry.sex,
                age_years=entry.age_years,
                boxes=boxes,
                box_frame=BOX_FRAME if boxes else None,
            )
        )

    def n_of(self, reason: str) -> int:
        """How many rows are refused for this reason."""
        return sum(refusal.reason == reason for refusal in self.refusals)

    def note_unmatched(self, oddities: Counter[str], notes: Notes) -> None:
        """What lists and boxes say of images that the label table does not have, and the other way round."""
        if self.has_splits and self._n_unsplit == self.n_listed:
            # Without this the official test split would be dealt anew.
            raise DataDefect(
                f"{self.table}: none of its {self.n_listed} images stands in {TRAIN_VAL_LIST} or {TEST_LIST}; bring "
                "the lists of this table, or set dataset.options.official_split to false"
            )
        if self.has_splits:
            notes.count(self._n_unsplit, "image in neither split list: no official split")
            notes.count(len(self.splits), "name in a split list that the label table does not have")
        n_boxes = sum(map(len, self.boxes.values()))
        oddities["box of an image that the label table does not have, left out"] += n_boxes

    def _wanted_boxes(self, entry: Entry, oddities: Counter[str]) -> tuple[Box, ...]:
        """The boxes of the vocabulary's findings; all others are left out and counted."""
        boxes = self.boxes.pop(entry.name, ())
        if not boxes:
            return ()
        oddities["box of a finding that the label of its image does not name, kept"] += sum(
            box.finding not in entry.positive for box in boxes
        )
        wanted = tuple(box for box in boxes if box.finding in self.findings)
        oddities["box of a finding outside the vocabulary, left out"] += len(boxes) - len(wanted)
        return wanted


@lru_cache(maxsize=4096)
def _states(findings: tuple[str, ...], positive: frozenset[str]) -> dict[str, LabelState]:
    """A state for each finding; rows with the same labels share it."""
    return {finding: LabelState.POSITIVE if finding in positive else LabelState.NEGATIVE for finding in findings}


def _refusal(table: Path, entry: Entry, places: Sequence[str]) -> Refusal:
    if not places:
        return Refusal(
            image_id=entry.name,
            reason="absent",
            detail=f"listed in {table.name}, line {entry.line}, but on disk in none of the image folders",
            action="fetch and unpack the archive that holds it, or take the row out of the table",
        )
    return Refusal(
        image_id=places[0],
        reason="found_twice",
        detail=f"one row ({table.name}, line {entry.line}), {len(places)} files: {', '.join(places[:4])}",
        action="keep one of the files",
    )
