"""Layouts of class folders that look complete and would be read for another one: each stops before the first image."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.sources.kermany.folders import CLASS_FOLDERS, CLASS_NAMES, ClassFolder, own_folders
from cxr_tasks.sources.reading.files import as_text_name
from cxr_tasks.sources.reading.words import SPLIT_WORDS

#: Folders of pictures made of the images, which often carry their names.
_MADE = re.compile(r"mask|segment|heat.?map|grad.?cam|overlay|annot|thumb|salien|contour", re.IGNORECASE)
_SPLITS = "train, val and test"


def is_made_of_images(folders: str) -> bool:
    """Whether a file below these folders of a class folder is a mask or the like.

    >>> is_made_of_images("2019/masks"), is_made_of_images("2019")
    (True, False)
    """
    return _MADE.search(folders) is not None


def check_places(root: Path, folders: list[ClassFolder]) -> None:
    """``DataDefect`` for class folders in a split of unknown name, and for splits inside class folders.

    Either would deal images anew that their folder deals already.
    """
    known = {place.folder.parent for place in folders}
    if any(place.official_split for place in folders):
        for folder in own_folders(root):
            names = {below.name.strip().lower() for below in own_folders(folder)}
            if folder not in known and set(CLASS_FOLDERS) <= names:
                raise DataDefect(
                    f"{root}: the folder {as_text_name(folder.name)} holds {CLASS_NAMES} and is none of {_SPLITS}; "
                    "call it one of these, or take it out of the data folder"
                )
    for place in folders:
        inside = [one.name for one in own_folders(place.folder) if one.name.strip().lower() in SPLIT_WORDS]
        if inside:
            shown = place.folder.relative_to(root).as_posix()
            raise DataDefect(
                f"{root}: expected {_SPLITS} with {CLASS_NAMES} inside each, found it the other way round: "
                f"{', '.join(inside)} in {shown}; make {inside[0]}/{shown} of {shown}/{inside[0]}, and so on"
            )


def check_filled(root: Path, folders: list[ClassFolder], filled: Collection[Path]) -> None:
    """``DataDefect`` where one class of train, of test, or of folders without splits has no file at all.

    Args:
        filled: The class folders that hold files, usable or not.
    """
    for split in ("train", "test", ""):
        of_split = [place for place in folders if place.official_split == split]
        states = {place.state for place in of_split if place.folder in filled}
        empty = [place.folder for place in of_split if place.state not in states]
        if empty and (states or split == "train"):
            names = ", ".join(as_text_name(one.relative_to(root).as_posix()) for one in empty)
            raise DataDefect(
                f"{root}: no files in {names}; a split with one of {CLASS_NAMES} alone can neither be learnt from nor "
                "judged on. Bring the images of that class, or take the split's folder out"
            )
