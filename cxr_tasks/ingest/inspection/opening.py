"""Read one file of a data folder: inside it, a regular file, whole, and the same from beginning to end."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.images.inspection.unusable import Unusable
from cxr_tasks.installation.storage.paths import inside

LARGEST_FILE_BYTES = 512 * 1024 * 1024
#: Without waiting: a named pipe would hang the run otherwise.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_NO_FILE = frozenset({"", ".", ".."})


@dataclass(slots=True)
class FileState:
    """What tells without opening it whether a file is the one seen before."""

    size_bytes: int
    mtime_ns: int


def state_of(root: str, image_id: str) -> FileState | None:
    """Size and time of the file, or None where it is a link or not there: such a one is to be opened."""
    try:
        status = os.lstat(f"{root}/{image_id}")
    except (OSError, ValueError):
        return None
    return FileState(status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def read_whole(root: str, image_id: str, known_inside: set[tuple[str, str]]) -> tuple[bytes, FileState]:
    """All bytes of ``root / image_id``, and the file's state while they were read.

    Args:
        known_inside: Folders found to lie inside, as this notes them. An empty set to begin with; one set serves for
            the files of a batch, as links may change between two.

    Raises:
        Unusable: The file is not there, may not be read, is not a regular file, is empty or too large, lies outside
            ``root`` once links are followed, or was changed while it was read.
    """
    try:
        descriptor = _open_file(root, image_id, known_inside)
        try:
            before = os.fstat(descriptor)
            _check_file(before)
            content = _read_all(descriptor, before.st_size)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise Unusable("missing_file", "listed, but not there when opened", "restore the file or its link") from None
    except PermissionError:
        raise Unusable("no_permission", "this process may not read the file", "give read permission") from None
    except OSError as error:
        raise Unusable("unreadable", f"the system cannot read it: {error.strerror}", "check disk and link") from None
    if (
        len(content) != before.st_size
        or before.st_mtime_ns != after.st_mtime_ns
        or before.st_size != after.st_size
        or before.st_ino != after.st_ino
    ):
        detail = f"expected {before.st_size} bytes, unchanged while they were read; read {len(content)}, "
        raise Unusable("changed_while_read", detail + f"now {after.st_size}", "ingest again once it is copied")
    return content, FileState(after.st_size, after.st_mtime_ns)


def _open_file(root: str, image_id: str, known_inside: set[tuple[str, str]]) -> int:
    path = f"{root}/{image_id}"
    folder, _, name = image_id.rpartition("/")
    if name in _NO_FILE or "\0" in image_id or not _is_inside(root, folder, known_inside):
        raise Unusable("path_outside", "the path leads out of the data folder", "name files by their path below it")
    try:
        return os.open(path, _FLAGS | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    if not inside(Path(root), Path(path)):
        raise Unusable("link_outside", "the link leads out of the data folder", "copy the file into the folder")
    return os.open(path, _FLAGS)


def _is_inside(root: str, folder: str, known_inside: set[tuple[str, str]]) -> bool:
    """Whether ``folder`` below ``root`` still lies there once links are followed; each is followed once."""
    if (root, folder) in known_inside:
        return True
    if not inside(Path(root), Path(root) / folder):
        return False
    known_inside.add((root, folder))
    return True


def _check_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Unusable("not_a_file", "expected a regular file, found a device, pipe or folder", "remove it")
    if status.st_size == 0:
        raise Unusable("empty_file", "expected an image, found 0 bytes", "fetch the file again")
    if status.st_size > LARGEST_FILE_BYTES:
        raise Unusable("file_too_large", f"{status.st_size} bytes, at most {LARGEST_FILE_BYTES}", "check the file")


def _read_all(descriptor: int, size: int) -> bytes:
    """Every byte up to the end of the file, one more than ``size`` at most: that one shows that it has grown."""
    content = os.read(descriptor, size + 1)
    if len(content) >= size:
        return content
    blocks = [content]
    while (left := size + 1 - sum(map(len, blocks))) and (block := os.read(descriptor, left)):
        blocks.append(block)
    return b"".join(blocks)
