"""The entries of a backup's archive, each noted in the manifest with the size and digest of what was read."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import IO

from cxr_tasks.backup.bucket import FOLDER as BUCKET
from cxr_tasks.backup.manifest import Manifest
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.objects import Bucket


def add_object(archive: tarfile.TarFile, bucket: Bucket, key: str, manifest: Manifest) -> None:
    """Add an object of the bucket; one that was removed since it was listed is noted as gone."""
    name = f"{BUCKET}/{key}"
    if not bucket.has(key):
        manifest.gone.append(name)
        return
    with bucket.opened(key) as (stream, size):
        info, hashing = tarfile.TarInfo(name), _Hashing(stream)
        info.size, info.mode = size, 0o600
        archive.addfile(info, hashing)  # type: ignore[arg-type]
        manifest.files[name] = [size, hashing.digest.hexdigest()]


def add_file(
    archive: tarfile.TarFile, path: Path, name: str, manifest: Manifest, seen: dict[tuple[int, int], str]
) -> None:
    """Add a file under ``name``; one that was removed meanwhile is noted as gone.

    Args:
        seen: (device, inode) -> name of files with several names that are in already; a further name becomes a link.

    Raises:
        DataDefect: It was cut while it was copied.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        manifest.gone.append(name)
        return
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        info = tarfile.TarInfo(name)
        info.mtime, info.mode = int(status.st_mtime), 0o600
        same = seen.get((status.st_dev, status.st_ino))
        if same is not None:
            info.type, info.linkname = tarfile.LNKTYPE, same
            archive.addfile(info)
            manifest.files[name] = manifest.files[same]
            return
        info.size = status.st_size
        hashing = _Hashing(stream)
        try:
            archive.addfile(info, hashing)  # type: ignore[arg-type]
        except OSError as error:
            if error.errno is not None:
                raise
            # What tarfile says of an end that came too early has no number, and no name.
            raise DataDefect(
                f"{path}: expected {info.size} bytes, found fewer: it was cut while it was copied; no backup was "
                "written, make it once more"
            ) from None
        manifest.files[name] = [info.size, hashing.digest.hexdigest()]
        if status.st_nlink > 1:
            seen[status.st_dev, status.st_ino] = name


class _Hashing:
    """A stream that hashes what is read of it."""

    def __init__(self, stream: IO[bytes]):
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, n_bytes: int = -1) -> bytes:
        content = self._stream.read(n_bytes)
        self.digest.update(content)
        return content


def add_bytes(archive: tarfile.TarFile, name: str, content: bytes, manifest: Manifest | None) -> None:
    """Add ``content`` as a file; the manifest itself, which cannot hold its own digest, is added with None."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    archive.addfile(info, io.BytesIO(content))
    if manifest is not None:
        manifest.files[name] = [len(content), hashlib.sha256(content).hexdigest()]
