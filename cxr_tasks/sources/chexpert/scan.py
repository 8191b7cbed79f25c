"""The tables of CheXpert read row by row: a record for each image that is there, a refusal for each that is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.sources.base import ImageRecord, Refusal, lateral_refusal
from cxr_tasks.sources.chexpert.folders import (
    VALID_TABLE,
    Folders,
    listed_images,
    table_path,
)
from cxr_tasks.sources.chexpert.rows import Row, RowReader
from cxr_tasks.sources.reading.defects import row_defect
from cxr_tasks.sources.reading.files import ignored_notes
from cxr_tasks.sources.reading.tables import read_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ChexpertOptions:
    """``dataset.options`` of a recipe with this source."""

    frontal_only: bool = True
    official_valid: Literal["test", "validation", "ignore"] = "test"
    """What ``valid.csv`` is; ``validation`` is pooled with train and cut anew, ``ignore`` does not read it."""
    absent_bound: float = 0.05
    """Share of listed images that may be absent; 1 for a part of the collection, such as one of its archives."""

    def __post_init__(self) -> None:
        if not 0 <= self.absent_bound <= 1:
            raise ConfigurationError(f"absent_bound: expected a value from 0 to 1, found {self.absent_bound}")


@dataclass(slots=True)
class Scan:
    """What has been read of the tables so far."""

    folders: Folders
    options: ChexpertOptions
    reader: RowReader
    records: list[ImageRecord] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    _listed_at: dict[str, str] = field(default_factory=dict)
    _first_absent: str = ""

    def read_table(self, split: str, table: str, official_split: str) -> None:
        """Take every row of ``table``; the images of its ``split`` are looked up in one walk over the folders."""
        path = table_path(self.folders, table)
        if table == VALID_TABLE and not path.is_file():
            raise DataDefect(f"{path}: expected a file, found none; to do without it set official_valid: ignore")
        images = listed_images(self.folders, split, self.ignored)
        for line, row in self._rows(path):
            if not row.path.listed.startswith(f"{split}/"):
                raise row_defect(path, line, f"Path: expected an image of {split}/, found {row.path.listed!r}")
            image_id = images.take(row.path.listed)
            self._take(path, line, row, image_id, official_split)
        if len(images):
            self.ignored[f"file listed in no row of {table}"] += len(images)

    def _rows(self, path: Path) -> Iterator[tuple[int, Row]]:
        for line, cells in read_rows(path, self.reader.columns):
            row = self.reader.read(path, line, cells)
            here = f"{path.name}, line {line}"
            earlier = self._listed_at.setdefault(row.path.listed, here)
            if earlier != here:
                raise row_defect(path, line, f"the image stands in {earlier} already; keep one")
            yield line, row

    def _take(self, path: Path, line: int, row: Row, image_id: str | None, official_split: str) -> None:
        if row.is_frontal != row.path.is_frontal:
            self.refusals.append(_view_conflict(path, line, row, image_id or row.path.listed))
            return
        if not row.is_frontal and self.options.frontal_only:
            self.counts["lateral"] += 1
            self.refusals.append(lateral_refusal(image_id or row.path.listed))
            return
        if image_id is None:
            self._first_absent = self._first_absent or f"{path.name}, line {line}"
            self.counts["absent"] += 1
            self.refusals.append(_absent(path, line, row))
            return
        self.counts["age zero"] += row.is_age_zero
        self.counts["odd projection"] += row.is_frontal and row.projection in {"LL", "RL"}
        self.records.append(
            ImageRecord(
                image_id=image_id,
                patient_id=row.path.patient_id,
                study_id=row.path.study_id,
                states=row.states,
                official_split=official_split,
                view=row.view,
                sex=row.sex,
                age_years=row.age_years,
            )
        )

    def check_absent(self) -> None:
        """``DataDefect`` where no image is left, or more listed images are absent than the options allow."""
        n_absent, n_listed = self.counts["absent"], self.counts["absent"] + len(self.records)
        bound = self.options.absent_bound
        if n_absent > bound * n_listed:
            raise DataDefect(
                f"{self.folders.base}: {n_absent} of {n_listed} listed images are absent, the first of "
                f"{self._first_absent}; {bound:.0%} may be. Looked in {self._looked_in()}. "
                "Fetch them, or raise absent_bound in the dataset's options"
            )
        if not self.records:
            raise DataDefect(f"{self.folders.base}: the tables leave no image to read; see the options frontal_only")

    def _looked_in(self) -> str:
        return ", ".join(
            str(folder.relative_to(self.folders.base)) for folders in self.folders.images.values() for folder in folders
        )

    def notes(self) -> Sequence[str]:
        texts = {
            "lateral": "lateral images left out (option frontal_only)",
            "absent": "listed images are absent",
            "odd projection": "frontal images with the projection LL or RL, taken as view 'unknown'",
            "age zero": "ages of 0, taken as unknown",
        }
        counted = [f"{self.counts[key]} {text}" for key, text in texts.items() if self.counts[key]]
        return [*counted, *ignored_notes(self.ignored)]


def _absent(path: Path, line: int, row: Row) -> Refusal:
    return Refusal(
        image_id=row.path.listed,
        reason="absent",
        detail=f"{path.name}, line {line} lists it; no such file is in the data folder",
        action="fetch the image, or remove the row",
    )


def _view_conflict(path: Path, line: int, row: Row, image_id: str) -> Refusal:
    column, name = ("Frontal", "lateral") if row.is_frontal else ("Lateral", "frontal")
    return Refusal(
        image_id=image_id,
        reason="view_conflict",
        detail=f"{path.name}, line {line}: Frontal/Lateral says {column}, the file name says {name}",
        action="look at the image and correct the row",
    )
