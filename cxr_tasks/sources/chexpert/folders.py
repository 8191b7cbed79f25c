"""Where CheXpert's tables and images lie, in each form in which the collection is unpacked.

- One folder with ``train.csv``, ``valid.csv``, ``train/`` and ``valid/``: ``CheXpert-v1.0-small`` (what TFDS wants
  inside its ``manual_dir``) or ``CheXpert-v1.0``.
- The archives of 2021 side by side: ``CheXpert-v1.0 batch 1 (validate & csv)`` with both tables and ``valid/``, and
  ``CheXpert-v1.0 batch 2 (train 1)`` to ``batch 4 (train 3)`` with the patients' folders right below.

In both the tables list ``<folder>/train/patient00001/study1/view1_frontal.jpg``.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.paths import inside
from cxr_tasks.sources.reading.files import files_below, is_litter

TRAIN_TABLE = "train.csv"
VALID_TABLE = "valid.csv"

#: JPEG as published; the others where a hospital has converted them. DICOM files often have no suffix.
IMAGE_SUFFIXES = frozenset({"jpg", "jpeg", "png", "dcm", "dicom", ""})

_TABLES_BATCH = re.compile(r"CheXpert-v1\.0 batch \d+ \(validate & csv\)")
_TRAIN_BATCH = re.compile(r"CheXpert-v1\.0 batch \d+ \(train \d+\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """One unpacked copy of the collection."""

    base: Path
    """Folder that image ids start from."""
    tables: Path
    """Folder of ``train.csv`` and ``valid.csv``."""
    images: dict[str, tuple[Path, ...]]
    """``train`` and ``valid`` -> folders that hold patients' folders."""


def find_folders(root: Path) -> Folders | None:
    """The copy in ``root`` or in a folder right below it; None where there is none.

    Raises:
        DataDefect: There are several copies (which one is meant?), or only the part of the tables is given.
    """
    copies = [root] if (root / TRAIN_TABLE).is_file() else _copies_below(root)
    if len(copies) > 1:
        names = ", ".join(repr(copy.name) for copy in copies)
        raise DataDefect(f"{root}: expected one copy of CheXpert, found {names}; give one of these as the data folder")
    if not copies:
        return None
    tables = copies[0]
    base = root if _TABLES_BATCH.fullmatch(tables.name) else tables
    images = {"train": _image_folders(base, tables, "train"), "valid": _image_folders(base, tables, "valid")}
    if not images["train"] and _TABLES_BATCH.fullmatch(root.name):
        raise DataDefect(
            f"{root}: holds the tables but no training images; give the folder that holds all batches, {root.parent}"
        )
    return Folders(base=base, tables=tables, images=images)


def _copies_below(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("CheXpert-v1.0*") if (path / TRAIN_TABLE).is_file())


def _image_folders(base: Path, tables: Path, split: str) -> tuple[Path, ...]:
    """Folders with the images of ``split``; each lies in ``base``, with links followed."""
    batches = sorted(base.glob("CheXpert-v1.0 batch *"))
    if split == "train":
        extra = [batch for batch in batches if _TRAIN_BATCH.fullmatch(batch.name)]
    else:
        extra = [batch / "valid" for batch in batches if _TABLES_BATCH.fullmatch(batch.name)]
    folders = [place for place in dict.fromkeys([base / split, tables / split, *extra]) if place.is_dir()]
    for folder in folders:
        if not inside(base, folder):
            raise DataDefect(f"{folder}: is a link that leads out of {base}; put the images themselves there")
    return tuple(folders)


@dataclass(slots=True)
class ListedImages:
    """The files of one split by the path that a table lists them under; each is taken once. None is opened."""

    _image_id: dict[str, str]
    """Path as a table lists it, without the collection's folder -> path below ``Folders.base``."""
    _by_stem: dict[str, list[str]] | None = None
    """Such paths without their suffix -> those with it, for images only; made when it is first needed."""

    def take(self, listed: str) -> str | None:
        """Path below ``Folders.base`` of the file listed so, or of its PNG or DICOM twin; None where there is none."""
        if listed not in self._image_id:
            listed = self._converted(listed)
        return self._image_id.pop(listed, None)

    def __len__(self) -> int:
        """Files not taken so far."""
        return len(self._image_id)

    def _converted(self, listed: str) -> str:
        if self._by_stem is None:
            self._by_stem = {}
            for known in self._image_id:
                stem, suffix = _stem_and_suffix(known)
                if suffix in IMAGE_SUFFIXES:
                    self._by_stem.setdefault(stem, []).append(known)
        there = [
            image_id for image_id in self._by_stem.get(_stem_and_suffix(listed)[0], ()) if image_id in self._image_id
        ]
        return there[0] if len(there) == 1 else ""


def listed_images(folders: Folders, split: str, ignored: Counter[str]) -> ListedImages:
    """Every file below the image folders of ``split``, found in one walk; litter is counted in ``ignored``.

    Raises:
        DataDefect: There is no such folder, one cannot be listed, or two hold the same image.
    """
    if not folders.images[split]:
        raise DataDefect(
            f"{folders.base}: expected the images of {split}.csv in a folder {split!r}, found {_entries(folders.base)}"
        )
    images: dict[str, str] = {}
    for folder in folders.images[split]:
        start = len(folder.as_posix()) + 1
        prefix = folder.relative_to(folders.base).as_posix()
        for path in files_below(folder, ignored):
            below = path.as_posix()[start:]
            image_id = f"{prefix}/{below}"
            listed = image_id if prefix == split else f"{split}/{below}"
            if (twin := images.setdefault(listed, image_id)) != image_id:
                raise DataDefect(
                    f"{folders.base}: {twin} and {image_id} are one image of {split}.csv; keep one of them"
                )
    return ListedImages(images)


def table_path(folders: Folders, name: str) -> Path:
    """``train.csv`` or ``valid.csv``, which must not be a link that leads out of the data folder."""
    path = folders.tables / name
    if not inside(folders.base, path):
        raise DataDefect(f"{path}: is a link that leads out of {folders.base}; copy the file into it")
    return path


def no_folders(root: Path) -> DataDefect:
    """The error that says what was expected in ``root`` and what is there."""
    return DataDefect(
        f"{root}: expected CheXpert-v1.0-small or CheXpert-v1.0 (or that folder itself) with {TRAIN_TABLE}, "
        f"{VALID_TABLE} and images, the archives 'CheXpert-v1.0 batch ...' side by side, or a dataset 'chexpert' "
        f"prepared by TFDS; found {_entries(root)}"
    )


def _entries(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir() if not is_litter(entry.name))
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "nothing"


def _stem_and_suffix(path: str) -> tuple[str, str]:
    stem, dot, suffix = path.rpartition(".")
    return (stem, suffix.lower()) if dot and "/" not in suffix else (path, "")
