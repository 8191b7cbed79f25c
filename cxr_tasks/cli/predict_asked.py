"""The images that ``cxr predict`` is asked about: files, folders, stdin."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.images.files_below import image_files, shown_path
from serving.client.image_bytes import MOST_FILE_BYTES

STDIN = "-"


@dataclass(frozen=True, slots=True)
class AskedImage:
    """What is shown as its name, and where its bytes are, or they themselves."""

    name: str
    image: Path | bytes


class AskedImages:
    """The images of names as they were typed; what was left out is known at the end of ``images``."""

    def __init__(self, names: Sequence[str]) -> None:
        if "" in names:
            # As of a variable that a script did not set; as a path it would be the folder one stands in.
            raise ConfigurationError("expected the name of a file or folder, found an empty one")
        if names.count(STDIN) > 1:
            raise ConfigurationError("-: expected once, stdin holds one image")
        if STDIN in names and sys.stdin.isatty():
            raise ConfigurationError("-: expected the bytes of an image on stdin, found a terminal; use < FILE")
        self._names = names
        self._unreadable: list[str] = []
        self._empty: list[str] = []
        self._n_no_images = 0

    @property
    def has_folder(self) -> bool:
        return any(name != STDIN and Path(name).is_dir() for name in self._names)

    @property
    def all_found(self) -> bool:
        """Whether every folder could be read and holds an image."""
        return not (self._unreadable or self._empty)

    def images(self) -> Iterator[AskedImage]:
        """One by one, in order; a folder's are looked for when it has its turn."""
        for name in self._names:
            if name == STDIN:
                yield AskedImage(STDIN, sys.stdin.buffer.read(MOST_FILE_BYTES + 1))
            elif (path := Path(name)).is_dir():
                is_empty = True
                for image_file in image_files(path, self._on_problem):
                    yield AskedImage(shown_path(image_file), image_file)
                    is_empty = False
                if is_empty:
                    self._empty.append(shown_path(path))
            else:
                yield AskedImage(shown_path(name), path)

    def remarks(self) -> list[str]:
        """What was left out, a line each."""
        lines = [*self._unreadable, *(f"{folder}: expected image files, found none" for folder in self._empty)]
        if self._n_no_images:
            lines.append(f"{self._n_no_images} files that are no images were left out")
        return lines

    def _on_problem(self, path: Path, reason: str) -> None:
        if reason == "no image":
            self._n_no_images += 1
        else:
            self._unreadable.append(f"{shown_path(path)}: {reason}")
