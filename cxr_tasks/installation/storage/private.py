"""Files and folders for their owner only: tables of patients, logins and keys, configuration that names them."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from cxr_tasks.installation.storage.files import replaced_file

_OTHERS = 0o077


def write_private_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all, and never readable by others, not even while it is written."""
    with replaced_file(path, is_private=True) as aside:
        aside.write_text(text, encoding="utf-8")


def keep_private_text(path: Path, text: str) -> bool:
    """Write ``text`` for the owner only unless there is a file already, which stays; whether it was written.

    Of several processes that do so at once, the first one's text is what all of them read.
    """
    if path.exists():
        return False
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # Unlike a rename, a link leaves alone the file that another process made meanwhile.
        os.link(aside, path)
    except FileExistsError:
        return False
    finally:
        aside.unlink(missing_ok=True)
    return True


def close_to_others(path: Path) -> None:
    """Leave a file or folder of this user to its owner: mode 0600, or 0700 of a folder."""
    path.chmod(0o700 if path.is_dir() else 0o600)


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
    # A file that somebody else just replaced is none to close.
    with contextlib.suppress(FileNotFoundError):
        status = path.lstat()
        if not stat.S_ISLNK(status.st_mode) and status.st_uid == os.getuid() and status.st_mode & _OTHERS:
            path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)
            return 1
    return 0
