"""Where the files of NIH ChestX-ray14 lie: images in ``images``, ``images_001``, ... or beside the tables.

Copies of the set have them elsewhere (``sample/images``, ``images-224/images-224``, ``train`` and ``test``, a folder
per patient): where the published places do not hold them, all folders but those of masks and the like are looked into.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.paths import inside
from cxr_tasks.sources.reading.files import (
    LINKED_FOLDERS,
    as_text_name,
    describe_folder,
    entries_below,
    is_litter,
    is_text_name,
    litter_kind,
)

#: The label table, better version first: in that of 2020 impossible ages are corrected.
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
#: PNG as published; the others where a hospital has converted them. DICOM files often have no suffix.
IMAGE_SUFFIXES = frozenset({"png", "dcm", "dicom", "jpg", "jpeg", ""})
_ARCHIVE_SUFFIXES = frozenset({"gz", "tgz", "tar", "zip", "7z", "rar"})
_IMAGE_FOLDER = re.compile(r"images(_[0-9]{1,3})?")
#: Pictures made of the images often carry their names; a folder so called is never taken for the images.
_DERIVED = re.compile(r"mask|seg|crop|heat|overlay|annot|label|cam|thumb|saliency|contour|box", re.IGNORECASE)


def layout_root(root: Path) -> Path:
    """``root``, or the one folder in it that holds the label table, as an archive unpacks (``CXR8``)."""
    if _has_table(root):
        return root
    below = [
        path for path in sorted(root.iterdir()) if path.is_dir() and not path.is_symlink() and not is_litter(path.name)
    ]
    holding = [folder for folder in below if _has_table(folder)]
    if len(holding) > 1:
        names = ", ".join(folder.name for folder in holding)
        raise DataDefect(f"{root}: expected one data set, found a label table in each of {names}; give one of them")
    if not holding:
        raise DataDefect(
            f"{root}: expected {' or '.join(TABLES)} beside images or images_001, images_002, ...; "
            f"found {describe_folder(root)}"
        )
    return holding[0]


def _has_table(folder: Path) -> bool:
    try:
        return any((folder / name).exists() for name in TABLES)
    except PermissionError:
        # A folder that may not be entered is not the data set; where there is no other, the message names it.
        return False


def of_this_folder(path: Path, root: Path) -> Path:
    """``path``, which may be absent; a link that leads out of ``root`` is a ``DataDefect``."""
    if not inside(root, path):
        raise DataDefect(f"{path}: this link leads out of the data folder; copy the file into it")
    return path


@dataclass(slots=True)
class ImageFiles:
    """The image files of a data folder by their name; none is opened."""

    root: Path
    looked_in: list[str] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    """Packed files beside the tables; images may still be in them."""
    ignored: Counter[str] = field(default_factory=Counter)
    other_folders: list[str] = field(default_factory=list)
    """Folders below ``root`` that were not entered."""
    _places_of: dict[str, list[str]] = field(default_factory=dict)
    """File name -> paths below ``root``, POSIX separators."""
    _by_stem: dict[str, list[str]] | None = None
    """As ``_places_of``, for file names without their suffix; made when it is first needed."""
    _n_with_suffix: int = 0

    def add(self, place: str) -> None:
        """Note the file at this path below ``root``."""
        name = place.rpartition("/")[2]
        self._places_of.setdefault(name, []).append(place)
        self._n_with_suffix += bool(_stem_and_suffix(name)[1])

    def places(self, name: str) -> list[str]:
        """Paths of the image listed as ``name``: of the files of that name, else of its stem (``.dcm`` for ``.png``).

        A listed name is only ever looked up, never joined to a path, so it cannot lead anywhere.
        """
        if places := self._places_of.get(name):
            return places
        if self._by_stem is None:
            self._by_stem = {}
            for known, places in sorted(self._places_of.items()):
                self._by_stem.setdefault(_stem_and_suffix(known)[0], []).extend(places)
        return self._by_stem.get(_stem_and_suffix(name)[0], [])

    def unlisted(self, taken: Iterable[str]) -> int:
        """How many image files are not ``taken`` (each file once); files without a suffix are not counted."""
        return self._n_with_suffix - sum(bool(_stem_and_suffix(path.rpartition("/")[2])[1]) for path in taken)

    @property
    def where(self) -> str:
        """Where was looked, for a message: folders, and what else may hold the images."""
        text = f"looked in {', '.join(self.looked_in)} below {self.root}"
        if self.ignored[LINKED_FOLDERS]:
            text += f"; {self.ignored[LINKED_FOLDERS]} linked folders were not entered"
        if self.archives:
            text += f"; not unpacked: {', '.join(self.archives[:12])}"
        return text


def find_images(root: Path, *, everywhere: bool = False) -> ImageFiles:
    """All image files beside the tables and below the image folders; what else lies there is counted as ignored.

    Other folders are entered where ``everywhere`` says so, but for those of ``_DERIVED``: masks and crops often carry
    the names of the images they were made from.
    """
    images = ImageFiles(root=root, looked_in=["the folder itself"])
    start = len(os.path.join(root, ""))  # noqa: PTH118 - pathlib takes seconds for 100,000 files
    for entry in _candidates(root, images, everywhere=everywhere):
        place = entry.path[start:].replace(os.sep, "/")
        suffix = _stem_and_suffix(entry.name)[1]
        if suffix in IMAGE_SUFFIXES:
            if is_text_name(place):
                images.add(place)
            else:
                images.ignored["files below a name that is not UTF-8"] += 1
        elif "/" not in place and suffix in _ARCHIVE_SUFFIXES:
            images.archives.append(entry.name)
        elif suffix not in {"csv", "txt"}:
            images.ignored["files that are no images"] += 1
    return images


def folders_holding(root: Path, folders: Iterable[str], names: Collection[str]) -> list[str]:
    """``folder (n files)`` for each of ``folders`` below ``root`` that holds files of these names, without suffix."""
    stems = {_stem_and_suffix(name)[0] for name in names}
    held = []
    for folder in folders:
        files = entries_below(root / folder, Counter())
        if count := sum(_stem_and_suffix(path.name)[0] in stems for path in files):
            held.append(f"{as_text_name(folder)} ({count} files)")
    return held


def _candidates(root: Path, files: ImageFiles, *, everywhere: bool) -> Iterator[os.DirEntry[str]]:
    with os.scandir(root) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        if is_litter(entry.name):
            files.ignored[litter_kind(entry.name)] += 1
        elif not entry.is_dir():
            yield entry
        elif entry.is_symlink():
            files.ignored[LINKED_FOLDERS] += 1
        elif _IMAGE_FOLDER.fullmatch(entry.name) or (everywhere and not _DERIVED.search(entry.name)):
            files.looked_in.append(as_text_name(entry.name))
            yield from _not_derived(entries_below(Path(entry.path), files.ignored), len(entry.path), everywhere)
        else:
            files.other_folders.append(entry.name)
            files.ignored[f"folder {as_text_name(entry.name)} (not in the layout)"] += 1


def _not_derived(entries: Iterator[os.DirEntry[str]], start: int, everywhere: bool) -> Iterator[os.DirEntry[str]]:
    """``entries`` without those below a folder of masks and the like; the published image folders have none."""
    for entry in entries:
        if not (everywhere and _DERIVED.search(entry.path[start:].rpartition(os.sep)[0])):
            yield entry


def _stem_and_suffix(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    return (stem, suffix.lower()) if dot else (name, "")
