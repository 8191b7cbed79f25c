"""Modes of everything made at run time: for its owner only, whatever the umask of the shell that started the stack."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_OTHERS = 0o077


def make_private(root: Path) -> int:
    """Take every right of group and others from ``root`` and all below it; how many entries had any.

    Links are left alone, and so is what belongs to another user.
    """
    changed = _close(root)
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            changed += _close(Path(folder) / name)
    return changed


def _close(path: Path) -> int:
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) or found.st_uid != os.getuid() or not found.st_mode & _OTHERS:
            return 0
        path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
    except FileNotFoundError:
        return 0  # a file that somebody else just replaced
    return 1
