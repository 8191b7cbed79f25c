"""Ground for planting faults: the data that was written, and which of its images are still whole."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.sources.phantoms.drawing.render import render
from cxr_tasks.sources.phantoms.layouts.dicom_form import DicomForm, write_dicom
from cxr_tasks.sources.phantoms.layouts.files import PhantomFile

#: Folder of an image -> split, where the layout says it so.
_SPLIT_WORDS = {
    "train": "train",
    "test": "test",
    "val": "val",
    "valid": "test",
    # Class folders that stand alone: nothing is held out.
    "NORMAL": "train",
    "PNEUMONIA": "train",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One image that has been made faulty; a row of ``planted.json``."""

    fault: str
    image_id: str
    """As the layout's source names it; of litter and the like, its path below the data folder."""
    twin: str = ""
    """The whole image that it is a copy of, or that shares its patient; '' where there is none."""


@dataclass(slots=True, kw_only=True)
class Ground:
    """What planting works on: each fault takes images that no other fault has touched."""

    layout: str
    folder: Path
    """The layout's data folder."""
    files: list[PhantomFile]
    rng: np.random.Generator
    touched: set[str] = field(default_factory=set)
    scales: dict[str, float] = field(default_factory=dict)
    """By how much the sides of single images have grown since they were drawn."""

    def take(
        self,
        n: int,
        *,
        split: str = "train",
        is_well: bool = True,
        where: Callable[[PhantomFile], bool] = lambda file: True,
    ) -> list[PhantomFile]:
        """``n`` whole frontal images of patients that no fault has touched, at random.

        ``is_well`` asks for images without findings: rare ones are not to be lost. Where these run out the others do.

        Raises:
            ConfigurationError: There are fewer.
        """
        whole = [
            file
            for file in self.files
            if file.image_id not in self.touched
            and self.split_of(file) == split
            and not file.request.is_lateral
            and where(file)
        ]
        order = sorted(self.rng.permutation(len(whole)).tolist(), key=lambda i: is_well and not well(whole[i]))
        taken: list[PhantomFile] = []
        for i in order:
            if len(taken) < n and self.patient_of(whole[i]) not in {self.patient_of(one) for one in taken}:
                taken.append(whole[i])
        if len(taken) < n:
            raise ConfigurationError(
                f"faults: {n} more untouched images of {split} are needed, {len(taken)} are left; ask for fewer faults "
                "or for more images"
            )
        self.touched.update(one.image_id for file in taken for one in self.files_of(self.patient_of(file)))
        return taken

    def split_of(self, file: PhantomFile) -> str:
        """``train``, ``test`` (held out in any layout), or ``val``."""
        word = file.visit.split if file.visit is not None else file.image_id.partition("/")[0]
        return _SPLIT_WORDS[word]

    def patient_of(self, file: PhantomFile) -> int:
        return file.request.patient

    def files_of(self, patient: int) -> list[PhantomFile]:
        """All images of a patient, in the order of their numbers."""
        return [file for file in self.files if self.patient_of(file) == patient]

    def path(self, file: PhantomFile) -> Path:
        return self.folder / file.image_id

    def pixels(self, file: PhantomFile) -> np.ndarray:
        """The picture as it was drawn, or enlarged since, uint8 (height, width)."""
        drawn = render(file.request).pixels
        if file.image_id not in self.scales:
            return drawn
        height, width = (round(side * self.scales[file.image_id]) for side in drawn.shape)
        return np.asarray(Image.fromarray(drawn).resize((width, height)))

    def write_pixels(self, file: PhantomFile, pixels: np.ndarray, *, form: DicomForm | None = None) -> None:
        """Another picture in the place of ``file``, in the same form; ``form`` replaces a DICOM header."""
        path = self.path(file)
        if file.dicom is not None:
            write_dicom(path, pixels, form or file.dicom)
            return
        kind = "PNG" if path.suffix == ".png" else "JPEG"
        path.write_bytes(encoded(Image.fromarray(pixels), kind, quality=95))

    def edit_rows(self, table: str, key: str, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Give the row of ``table`` whose first cell is ``key`` other cells; header and all other lines stay."""
        path, (header, *lines), found = self._lines(table, key)
        # A header with commas inside brackets names one column per comma, as the rows have them.
        names = header.rstrip("\n").split(",")
        for number in found:
            cells = change(dict(zip(names, _cells(lines[number]), strict=True)))
            lines[number] = _line(cells.values())
        path.write_text("".join([header, *lines]), encoding="utf-8")

    def add_row(self, table: str, key: str, new_key: str) -> None:
        """One more row at the end of ``table``: that whose first cell is ``key``, with ``new_key`` in its place."""
        path, (header, *lines), found = self._lines(table, key)
        _, *others = _cells(lines[found[0]])
        path.write_text("".join([header, *lines, _line([new_key, *others])]), encoding="utf-8")

    def _lines(self, table: str, key: str) -> tuple[Path, list[str], list[int]]:
        """Path and lines of ``table``, and which lines after the header begin with the cell ``key``: one at least."""
        path = self.folder / table
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        found = [number for number, line in enumerate(lines[1:]) if _cells(line)[0] == key]
        if not found:
            raise ConfigurationError(f"{path}: expected a row for {key}, found none")
        return path, lines, found


def _cells(line: str) -> list[str]:
    return next(csv.reader([line]))


def _line(cells: Iterable[object]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()


def well(file: PhantomFile) -> bool:
    """Whether an image shows no finding, also none in doubt."""
    return file.request.pneumonia is None and not file.request.findings


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as the bytes of a file of this format."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def planted(fault: str, files: Iterable[PhantomFile]) -> list[Planted]:
    """A record per file."""
    return [Planted(fault=fault, image_id=file.image_id) for file in files]
