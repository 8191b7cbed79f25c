"""Write a backup: databases copied consistently while they are used, files with their digests, secrets sealed.

The file is a gzip tar: the units of ``units.py`` under their names, ``secrets.sealed``, and last ``manifest.json`` with
size and sha256 of every file, which a restore holds each against.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import importlib.metadata
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cxr_tasks.backup import postgres
from cxr_tasks.backup.bucket import FOLDER as BUCKET
from cxr_tasks.backup.bucket import kept_keys
from cxr_tasks.backup.encryption import sealed
from cxr_tasks.backup.entries import add_bytes, add_file, add_object
from cxr_tasks.backup.manifest import MANIFEST, SEALED, VERSIONED, WITH_ENGINES, Manifest
from cxr_tasks.backup.sqlite_copies import SIDES, database_copy, is_database
from cxr_tasks.backup.units import SECRETS, Choice, Unit, present_units
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.software import git_commit
from cxr_tasks.installation.storage.addresses import is_shared
from cxr_tasks.installation.storage.changes import work_folder
from cxr_tasks.installation.storage.files import replaced_file
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.objects import Bucket, bucket_name
from cxr_tasks.installation.storage.paths import audit_log, home, secrets_root, served_root
from cxr_tasks.installation.storage.space import require_space

#: A release that waits for a busy machine to load a version holds its lock for minutes.
LOCK_WAIT_S = 600.0
#: Units of which a part is in rows where several machines work.
_WITH_ROWS = ("audit", "served")


def write_backup(
    target: Path, *, passphrase: str | None, without: frozenset[Choice] = frozenset(), only_databases: bool = False
) -> Manifest:
    """Write everything of the installation into the new file ``target``, for its owner only; the stack may run.

    That is the run-time folder, and the databases and the bucket where they are in Postgres and in a store.

    Args:
        passphrase: Seals the secrets; None leaves them out.
        without: Choices of ``units.py`` to leave out. Of datasets left out the fingerprints are kept.

    Raises:
        ConfigurationError: ``target`` exists, or there is nothing to back up.
        DataDefect: A database is broken.
        DiskFull: There is no room for it.
    """
    if target.exists():
        raise ConfigurationError(f"{target}: expected the name of a new file, found one; choose another name")
    present = present_units(home())
    chosen = [
        unit
        for unit in present
        if unit.in_backup and unit.choice not in (without - {""}) and (unit.is_database or not only_databases)
    ]
    postgres.require_known(secrets_root())
    beside = Engines(
        postgres.databases() if is_shared() else {},
        Bucket() if bucket_name() and "bucket" not in without and not only_databases else None,
    )
    if not chosen and not beside.databases:
        raise ConfigurationError(f"{home()}: nothing to back up; CXR_HOME says whose run-time folder")
    n_bytes = sum(_size(home() / unit.path) for unit in chosen) + beside.n_bytes()
    require_space(target.parent, n_bytes, "a backup without compression")
    manifest = Manifest(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        home=str(home()),
        commit=git_commit(),
        versions={name: importlib.metadata.version(name) for name in VERSIONED},
        left_out=[unit.path for unit in present if unit not in chosen],
        datasets=_fingerprints(),
    )
    with (
        replaced_file(target, is_private=True) as aside,
        tarfile.open(aside, mode="w:gz", compresslevel=1, format=tarfile.PAX_FORMAT) as archive,
    ):
        _add_all(archive, chosen, beside, manifest, target.parent)
        if passphrase is not None and secrets_root().is_dir():
            add_bytes(archive, SEALED, sealed(_packed(secrets_root()), passphrase), manifest)
            manifest.left_out = [path for path in manifest.left_out if path != SECRETS]
        add_bytes(archive, MANIFEST, json.dumps(asdict(manifest), indent=1).encode(), None)
    return manifest


@dataclass(frozen=True, slots=True)
class Engines:
    """What an installation keeps outside the run-time folder."""

    databases: dict[str, str]
    """Name inside the backup -> address."""
    bucket: Bucket | None

    def n_bytes(self) -> int:
        objects = sum(kept_keys(self.bucket).values()) if self.bucket else 0
        return objects + sum(postgres.size(address) for address in self.databases.values())


def _add_all(archive: tarfile.TarFile, chosen: list[Unit], beside: Engines, manifest: Manifest, folder: Path) -> None:
    """Databases, files, bucket: what is referred to is written before it is referred to, so it is copied after."""
    if beside.databases or beside.bucket:
        manifest.format = WITH_ENGINES
    *others, rows = beside.databases or [""]
    for name in others:
        _add_dump(archive, name, beside.databases[name], manifest, folder)
    with contextlib.ExitStack() as held:
        if rows:
            # The audit log's rows and what it ended with, what serves and the versions that do: of one moment.
            held.enter_context(file_lock(audit_log(), what="the audit log", purpose="a backup", wait_s=LOCK_WAIT_S))
            held.enter_context(_held_still("served"))
            _add_dump(archive, rows, beside.databases[rows], manifest, folder)
            for unit in (unit for unit in chosen if unit.path in _WITH_ROWS):
                _add_unit(archive, unit, manifest, folder, is_held=True)
    for unit in (unit for unit in chosen if not rows or unit.path not in _WITH_ROWS):
        _add_unit(archive, unit, manifest, folder)
    if beside.bucket:
        manifest.units.append(BUCKET)
        for key in kept_keys(beside.bucket):
            add_object(archive, beside.bucket, key, manifest)


def _add_dump(archive: tarfile.TarFile, name: str, address: str, manifest: Manifest, beside: Path) -> None:
    manifest.units.append(name)
    with work_folder(beside) as folder:
        copy = folder / Path(name).name
        postgres.dump(address, copy)
        add_file(archive, copy, name, manifest, {})


def _add_unit(archive: tarfile.TarFile, unit: Unit, manifest: Manifest, beside: Path, *, is_held: bool = False) -> None:
    path = home() / unit.path
    manifest.units.append(unit.path)
    if unit.is_database:
        with database_copy(path, beside) as copy:
            add_file(archive, copy, unit.path, manifest, {})
        return
    with contextlib.nullcontext() if is_held else _held_still(unit.path):
        if path.is_file():
            add_file(archive, path, unit.path, manifest, {})
            return
        seen: dict[tuple[int, int], str] = {}
        for folder, folders, files in os.walk(path):
            folders.sort()
            linked = [Path(folder, name) for name in folders if Path(folder, name).is_symlink()]
            manifest.links += [str(link.relative_to(home())) for link in linked]
            for name in sorted(files):
                file = Path(folder) / name
                if file.is_symlink() or not file.is_file():
                    manifest.links += [str(file.relative_to(home()))] if file.is_symlink() else []
                    continue
                name_inside = file.relative_to(home()).as_posix()
                if name.endswith(SIDES) and is_database(file.with_name(name.rpartition("-")[0])):
                    continue  # it is in the copy
                if is_database(file):
                    with database_copy(file, beside) as copy:
                        add_file(archive, copy, name_inside, manifest, {})
                else:
                    add_file(archive, file, name_inside, manifest, seen)


@contextlib.contextmanager
def _held_still(unit: str) -> Iterator[None]:
    """Nobody changes the unit meanwhile, where several of its files belong together."""
    with contextlib.ExitStack() as held:
        if unit == "audit" and audit_log().is_file():
            stream = held.enter_context(open(audit_log(), "rb"))
            fcntl.flock(stream, fcntl.LOCK_SH)
        if unit == "served":
            for lock in sorted(served_root().glob("*/.lock")):
                what = f"what serves of {lock.parent.name}"
                held.enter_context(file_lock(lock, what=what, purpose="a backup", wait_s=LOCK_WAIT_S))
        yield


def _packed(folder: Path) -> bytes:
    """The files of ``folder`` as JSON of name -> content in base64."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    packed = {path.relative_to(folder).as_posix(): base64.b64encode(path.read_bytes()).decode() for path in files}
    return json.dumps(packed).encode()


def _fingerprints() -> dict[str, str]:
    fingerprints = {}
    for path in sorted((home() / "datasets").glob("*/*/provenance.json")):
        with contextlib.suppress(OSError, ValueError, KeyError):  # a broken one is for 'cxr datasets' to name
            fingerprint = json.loads(path.read_text(encoding="utf-8"))["fingerprint"]
            fingerprints[path.parent.relative_to(home() / "datasets").as_posix()] = str(fingerprint)
    return fingerprints


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
