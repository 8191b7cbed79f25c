"""Image files below a folder, told by name or by their first bytes; any number of them, one folder held at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cxr_tasks.images.dicom import is_dicom

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".dcm", ".dicom")
_FIRST_BYTES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM")
_LOOKED_AT = 132

#: Told of a file or folder that is not taken, and why.
OnProblem = Callable[[Path, str], None]


def image_files(folder: Path, on_problem: OnProblem = lambda path, reason: None) -> Iterator[Path]:
    """The image files below ``folder``, by name within each folder; what is hidden (``.name``) is passed over.

    A file with one of ``SUFFIXES`` counts whatever is in it, so that a broken one is met and told by whoever reads it;
    any other counts where it begins as an image does, as files of a PACS often have no suffix. Links are followed, and
    no folder is entered twice: a link that leads back up ends there. Pipes and devices are never opened.

    Args:
        on_problem: Hears of folders that cannot be read and of files that are no images.
    """
    yield from _below(folder, set(), on_problem)


def is_image_name(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def shown_path(path: Path | str) -> str:
    r"""A path as text on one line, whatever its bytes: what is no UTF-8, and line breaks, as their codes.

    >>> shown_path("a\nb.png"), shown_path(os.fsdecode(b"\xff.png"))
    ('a\\nb.png', '\\xff.png')
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def _below(folder: Path, entered: set[tuple[int, int]], on_problem: OnProblem) -> Iterator[Path]:
    try:
        status = folder.stat()
        if (place := (status.st_dev, status.st_ino)) in entered:
            return
        entered.add(place)
        with os.scandir(folder) as listed:
            entries = sorted(
                (entry for entry in listed if not entry.name.startswith(".")), key=lambda entry: entry.name
            )
    except OSError as error:
        on_problem(folder, error.strerror or str(error))
        return
    for entry in entries:
        path = folder / entry.name
        if _is_folder(entry):
            yield from _below(path, entered, on_problem)
        elif _is_image(path, entry, on_problem):
            yield path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_image(path: Path, entry: os.DirEntry[str], on_problem: OnProblem) -> bool:
    try:
        is_file = entry.is_file()
    except OSError:
        is_file = False
    if is_image_name(entry.name):
        if is_file or entry.is_symlink():
            return True  # a link that leads nowhere is told by whoever opens it
        on_problem(path, "not a file")
        return False
    if not is_file:
        return False
    try:
        with open(path, "rb") as stream:
            first = stream.read(_LOOKED_AT)
    except OSError as error:
        on_problem(path, error.strerror or str(error))
        return False
    if first.startswith(_FIRST_BYTES) or is_dicom(first):
        return True
    on_problem(path, "no image")
    return False
