"""Read a backup: its manifest, and every file in it, held against what the manifest says and against odd names."""

from __future__ import annotations

import collections
import hashlib
import json
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from cxr_tasks.backup.manifest import FORMAT, MANIFEST, SEALED, VERSIONED, WITH_ENGINES, Manifest
from cxr_tasks.backup.units import ASIDE, UNITS
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.installation.storage.files import is_of_the_system

_BLOCK = 2**20
#: Five million files; what is beyond is cut off, and then no JSON.
_MOST_MANIFEST_BYTES = 2**30


def read_manifest(file: Path) -> Manifest:
    """The manifest of a backup, nothing of it written anywhere.

    Raises:
        DataDefect: The file is no backup, or is cut.
    """
    try:
        with tarfile.open(file, "r:gz") as archive:
            stream = archive.extractfile(MANIFEST)
            # Bounded, as a few packed bytes can be any number of blanks.
            told = json.loads(stream.read(_MOST_MANIFEST_BYTES)) if stream is not None else None
    except FileNotFoundError:
        raise ConfigurationError(f"{file}: expected a backup, found no file") from None
    except (OSError, EOFError, KeyError, ValueError, tarfile.TarError, zlib.error) as error:
        if is_of_the_system(error):
            raise
        raise DataDefect(f"{file}: expected a whole backup made by 'cxr backup', found {error}") from None
    if not isinstance(told, dict) or told.get("format") not in (FORMAT, WITH_ENGINES):
        raise DataDefect(
            f"{file}: expected a backup of format {FORMAT} or {WITH_ENGINES}, found another; use the code that wrote it"
        )
    try:
        manifest = Manifest(**told)
        _require_sound(manifest)
    except (AttributeError, TypeError, ValueError) as error:
        raise DataDefect(f"{file}: its manifest is not one of format {told['format']}: {error}") from None
    return manifest


def _require_sound(manifest: Manifest) -> None:
    """``ValueError`` where a manifest says what ``write_backup`` never does: units are moved into place by their names.

    A unit is a part of the run-time folder, or a dump or bucket; not its secrets, which come sealed, and nothing that
    a running stack keeps for itself.
    """
    not_kept = {unit.path for unit in UNITS if not unit.in_backup}
    for unit in manifest.units:
        parts = PurePosixPath(unit).parts
        is_plain = "/".join(parts) == unit and not unit.startswith(("/", ".", ASIDE)) and ".." not in parts
        if not is_plain or not parts or parts[0] in not_kept or unit in not_kept:
            raise ValueError(f"{unit!r} is no part of a run-time folder that is backed up")
    for name, (n_bytes, digest) in manifest.files.items():
        if not isinstance(n_bytes, int) or n_bytes < 0 or not isinstance(digest, str):
            raise ValueError(f"size and sha256 of {name!r} are {n_bytes!r} and {digest!r}")
    for name, version in manifest.versions.items():
        if name not in VERSIONED or not isinstance(version, str):
            raise ValueError(f"{name!r} {version!r} is no version of a program whose database is in a backup")


def check_backup(file: Path) -> Manifest:
    """Read all of a backup and hold it against its digests; ``DataDefect`` names the first file that differs."""
    manifest = read_manifest(file)
    for name, n_bytes, digest in contents(file, manifest, None):
        require_same(file, manifest, name, n_bytes, digest)
    return manifest


class Place(Protocol):
    """Where the files of a backup go; names that are not new there are errors of the system."""

    def write(self, name: str, blocks: Iterable[bytes]) -> None: ...

    def link(self, name: str, same: str) -> None:
        """``name`` as a further name of the file ``same``."""
        ...


def contents(file: Path, manifest: Manifest, into: Place | None) -> Iterator[tuple[str, int, str]]:
    """Name, size and sha256 of each file in the archive, which goes to ``into`` on the way where that is given.

    No more of a file is read than the manifest tells of it, for which there is room.

    Raises:
        DataDefect: It is not whole, or holds what ``write_backup`` never writes.
    """
    try:
        with tarfile.open(file, "r|gz") as archive:
            for member in archive:
                name = _plain_name(file, manifest, member.name)
                if name == MANIFEST:
                    continue
                if member.islnk():
                    same = _plain_name(file, manifest, member.linkname)
                    if into is not None:
                        into.link(name, same)
                    n_bytes, digest = manifest.files.get(same, [0, ""])
                    yield name, n_bytes, digest
                    continue
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is None:
                    raise DataDefect(f"{file}: {name} is neither a file nor a further name of one; it was not written")
                counted = _Counted(stream, f"{file}: {name}", manifest.files.get(name, [0])[0])
                if into is None:
                    collections.deque(counted.blocks(), maxlen=0)
                else:
                    into.write(name, counted.blocks())
                yield name, counted.n_bytes, counted.digest.hexdigest()
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise DataDefect(
            f"{file}: one name of it stands for two things, or for none ({error.strerror}); nothing was changed"
        ) from None
    except (OSError, EOFError, tarfile.TarError, ValueError, zlib.error) as error:
        if is_of_the_system(error):
            raise
        raise DataDefect(f"{file}: expected a whole backup, found {error}; nothing was changed") from None


class _Counted:
    """A file of the archive: what was read of it so far, and its digest."""

    def __init__(self, stream: IO[bytes], said: str, most_bytes: int) -> None:
        self._stream, self._said, self._most_bytes = stream, said, most_bytes
        self.n_bytes, self.digest = 0, hashlib.sha256()

    def blocks(self) -> Iterator[bytes]:
        while block := self._stream.read(_BLOCK):
            self.digest.update(block)
            self.n_bytes += len(block)
            if self.n_bytes > self._most_bytes:
                raise DataDefect(
                    f"{self._said} is longer than the {self._most_bytes} bytes that were written; nothing was changed"
                )
            yield block


def _plain_name(file: Path, manifest: Manifest, name: str) -> str:
    """The name, once it is known to lie in one of the backup's units and nowhere else."""
    path = PurePosixPath(name)
    is_inside = name in (MANIFEST, SEALED) or any(
        name == unit or name.startswith(f"{unit}/") for unit in manifest.units
    )
    if path.is_absolute() or ".." in path.parts or not is_inside:
        raise DataDefect(f"{file}: {name!r} is no file of a run-time folder; it was not written by 'cxr backup'")
    return name


def require_same(file: Path, manifest: Manifest, name: str, n_bytes: int, digest: str) -> None:
    """``DataDefect`` where a file is not the one that the manifest tells of."""
    if manifest.files.get(name) != [n_bytes, digest]:
        raise DataDefect(
            f"{file}: {name} is not what was written (expected size and sha256 {manifest.files.get(name)}, found "
            f"{[n_bytes, digest]}); nothing was changed"
        )
