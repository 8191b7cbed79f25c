"""Files below a data folder: a walk that skips what archives and desktops leave behind."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

#: Names that operating systems and archive tools add; never images of ours.
LITTER = frozenset({".DS_Store", "__MACOSX", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints"})


def is_litter(name: str) -> bool:
    """Whether a file or folder name is left by a system and not part of the data (``._x`` is macOS metadata)."""
    return name in LITTER or name.startswith("._")


def files_below(folder: Path, ignored: Counter[str]) -> Iterator[Path]:
    """Every file below ``folder`` in sorted order, links to files among them; litter is counted in ``ignored``.

    Linked folders are not entered: they may lead in a circle or out of the data folder; they count as ignored.
    """
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        if is_litter(entry.name):
            ignored[entry.name if entry.name in LITTER else "._*"] += 1
        elif entry.is_dir(follow_symlinks=False):
            yield from files_below(Path(entry.path), ignored)
        elif entry.is_symlink() and entry.is_dir():
            ignored["linked folders"] += 1
        else:
            yield Path(entry.path)
