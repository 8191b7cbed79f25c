"""Files copied, written and removed, and folders that are there for the length of a block.

With ``storage.files``, which writes whole or not at all, this is the door through which files are changed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cxr_tasks.installation.storage.files import replaced_file


@contextlib.contextmanager
def work_folder(within: Path | None = None) -> Iterator[Path]:
    """An empty folder for its owner only, removed with all that is in it when the block ends, however it ends.

    Args:
        within: Where to make it; None takes the system's folder for temporary files.
    """
    with tempfile.TemporaryDirectory(prefix="cxr-", dir=within) as folder:
        yield Path(folder)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` by way of a temporary name and a rename."""
    with replaced_file(path) as aside:
        aside.write_bytes(content)


def output_file(path: Path) -> IO[bytes]:
    """A file opened to be written from its start: for a program's output, and for what only its writer reads."""
    return open(path, "wb")


def new_file(path: Path) -> IO[bytes]:
    """A file opened to be written that was not there; ``FileExistsError`` where it was."""
    return open(path, "xb")


def lasting_folder() -> Path:
    """An empty folder of the system's temporary ones, for its owner only, that stays when this process has ended."""
    return Path(tempfile.mkdtemp(prefix="cxr-"))


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's content so that a reader of ``target`` sees the old file or the new one, never half."""
    with replaced_file(target) as aside:
        shutil.copyfile(source, aside)


def move(source: Path, target: Path) -> None:
    """Call a file or folder otherwise, in one step; a file at ``target`` is replaced, a folder there refused.

    Raises:
        OSError: Both are not on one file system, or there is a folder at ``target``.
    """
    os.replace(source, target)


def remove_file(path: Path) -> None:
    """Remove a file; one that is not there is none to remove."""
    path.unlink(missing_ok=True)


def remove_empty(folder: Path) -> None:
    """Remove a folder that holds nothing; ``OSError`` where it holds something."""
    folder.rmdir()


def remove_tree(folder: Path, *, even_if_stuck: bool = False) -> None:
    """Remove a folder with all that is below it.

    Args:
        even_if_stuck: Go on past what cannot be removed, and say nothing of a folder that is not there; the caller
            looks whether it is gone.

    Raises:
        OSError: It is not there, or something of it cannot be removed.
    """
    shutil.rmtree(folder, ignore_errors=even_if_stuck)
