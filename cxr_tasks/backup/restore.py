"""Put a backup back: read it whole, hold every file against its digest, and only then move anything into place."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cxr_tasks.backup import postgres
from cxr_tasks.backup.bucket import FOLDER as BUCKET
from cxr_tasks.backup.bucket import in_the_way, put_back
from cxr_tasks.backup.encryption import opened
from cxr_tasks.backup.manifest import SEALED, Manifest
from cxr_tasks.backup.reading import contents, read_manifest, require_same
from cxr_tasks.backup.sqlite_copies import SIDES
from cxr_tasks.backup.units import ASIDE, SECRETS
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.installation.storage.addresses import is_shared
from cxr_tasks.installation.storage.objects import Bucket, bucket_name
from cxr_tasks.installation.storage.paths import home, secrets_root
from cxr_tasks.installation.storage.space import require_space

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
#: MLflow's logins are of no use without the secrets they were made with; the next start makes new ones.
_OF_SECRETS = "mlflow/basic_auth.db"


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: the units put in place, and where those that lay there before are now."""

    manifest: Manifest
    units: tuple[str, ...]
    with_secrets: bool
    moved_aside: Path | None
    kept_as: str = ""
    """Schema of the databases, and first part of keys in the bucket, that hold what was there before; '' for none."""


def restore_backup(file: Path, *, passphrase: str | None, replace: bool = False) -> Restored:
    """Put everything in ``file`` below the run-time folder; that may be another than the one it was made from.

    Args:
        passphrase: Of the secrets; None leaves those out, and those that are there stay.
        replace: Move what is in the way to ``replaced-<time>`` first. Nothing is ever removed.

    Raises:
        ConfigurationError: The stack runs, something is in the way, or the passphrase is wrong.
        DataDefect: The file is not whole, or not what was written; nothing was changed then.
        DiskFull: There is no room.
    """
    if (home() / "stack" / "settings.json").exists():
        raise ConfigurationError(f"the stack of {home()} is up; 'make down' first, then restore")
    manifest = read_manifest(file)
    _require_versions(file, manifest)
    if passphrase is not None and SEALED not in manifest.files:
        raise ConfigurationError(f"{file}: holds no secrets; restore it with --without-secrets")
    _require_engines(file, manifest)
    require_space(home(), manifest.n_bytes, "restoring")
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = Path(tempfile.mkdtemp(prefix=".restore-", dir=home()))
    try:
        _unpack(file, manifest, aside)
        if passphrase is not None:
            _open_secrets(aside, passphrase)
        (aside / SEALED).unlink(missing_ok=True)
        if passphrase is None and not (home() / SECRETS).is_dir():
            (aside / _OF_SECRETS).unlink(missing_ok=True)
        for folder in (path for path in aside.rglob("*") if path.is_dir()):
            folder.chmod(0o700)
        units = [unit for unit in (*manifest.units, SECRETS) if (aside / unit).exists() and not _is_of_engines(unit)]
        _require_room(units, replace)
        kept_as = _restore_engines(aside, replace)
        moved_aside = _make_room(units)
        for unit in units:
            (home() / unit).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.rename(aside / unit, home() / unit)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Restored(manifest, tuple(units), passphrase is not None, moved_aside, kept_as)


class _Folder:
    """A new folder for what is in a backup; its files are for the owner only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, name: str, blocks: Iterable[bytes]) -> None:
        with open(os.open(_new_place(self._path, name), _NEW, 0o600), "wb") as stream:
            stream.writelines(blocks)

    def link(self, name: str, same: str) -> None:
        os.link(self._path / same, _new_place(self._path, name))


def _new_place(into: Path, name: str) -> Path:
    """Where ``name`` goes below ``into``; the folders on the way are made."""
    target = into / name
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return target


def _unpack(file: Path, manifest: Manifest, into: Path) -> None:
    unpacked = set()
    for name, n_bytes, digest in contents(file, manifest, _Folder(into)):
        require_same(file, manifest, name, n_bytes, digest)
        unpacked.add(name)
    missing = sorted(set(manifest.files) - unpacked)
    if missing:
        raise DataDefect(f"{file}: {len(missing)} files of its manifest are not in it, among them {missing[0]}")


def _require_versions(file: Path, manifest: Manifest) -> None:
    for name, made_by in manifest.versions.items():
        here = importlib.metadata.version(name)
        if _numbers(here) < _numbers(made_by):
            raise ConfigurationError(
                f"{file}: made by {name} {made_by}, installed is {here}, which cannot read a newer one's database; "
                f"check out commit {manifest.commit or 'that made it'} and restore with that"
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _open_secrets(aside: Path, passphrase: str) -> None:
    packed = json.loads(opened((aside / SEALED).read_bytes(), passphrase))
    for name, content in packed.items():
        descriptor = os.open(_new_place(aside / SECRETS, name), _NEW, 0o600)
        with open(descriptor, "wb") as stream:
            stream.write(base64.b64decode(content))


def _is_of_engines(unit: str) -> bool:
    return unit == BUCKET or unit in postgres.DUMPS.values()


def _require_engines(file: Path, manifest: Manifest) -> None:
    """``ConfigurationError`` where the backup is of other engines than those that this installation asks for."""
    has_dumps = any(unit in postgres.DUMPS.values() for unit in manifest.units)
    if has_dumps != is_shared():
        made, here = ("Postgres", "SQLite") if has_dumps else ("SQLite", "Postgres")
        raise ConfigurationError(
            f"{file}: made of an installation on {made}, this installation asks for {here}; restore it with "
            f"CXR_DATABASE={made.lower()}"
        )
    if BUCKET in manifest.units and not bucket_name():
        raise ConfigurationError(f"{file}: holds a bucket, but CXR_BUCKET names none to restore it into")


def _restore_engines(aside: Path, replace: bool) -> str:
    """Databases, then the bucket, each once all are known to have room; the name under which former content is kept.

    Addresses are those of the secrets that are here, else of the backup's.
    """
    name = f"{ASIDE}{datetime.now(UTC):%Y%m%dt%H%M%S%fz}"
    folder = secrets_root() if (secrets_root() / next(iter(postgres.DUMPS))).is_file() else aside / SECRETS
    known = postgres.databases(folder) if is_shared() else {}
    dumps = {aside / unit: address for unit, address in known.items() if (aside / unit).is_file()}
    bucket = Bucket() if (aside / BUCKET).is_dir() else None
    taken = [postgres.shown(address) for address in dumps.values() if not postgres.is_empty(address)]
    if bucket:
        bucket.ensure()
        taken += [f"bucket {bucket.name}"] if in_the_way(bucket, aside / BUCKET) else []
    if taken and not replace:
        raise ConfigurationError(
            f"expected databases without tables and a bucket without other objects, found something in "
            f"{', '.join(taken)}; nothing was changed. With --replace it is kept as {name}"
        )
    for source, address in dumps.items():
        postgres.restore(address, source, aside=name if replace else None)
    if bucket:
        put_back(bucket, aside / BUCKET, aside=name if replace else None)
    return name if taken else ""


def _taken(units: list[str]) -> list[str]:
    """What lies where a unit is to go, its database's log files included."""
    return [
        unit + side
        for unit in units
        for side in ("", *SIDES)
        if (home() / (unit + side)).exists() or (home() / (unit + side)).is_symlink()
    ]


def _require_room(units: list[str], replace: bool) -> None:
    taken = _taken(units)
    if taken and not replace:
        raise ConfigurationError(
            f"{home()}: expected a run-time folder without {', '.join(taken[:4])}{' and more' if taken[4:] else ''}; "
            "restore into another one (CXR_HOME), or with --replace, which moves what is there aside"
        )


def _make_room(units: list[str]) -> Path | None:
    """Move what lies where a unit is to go to a folder of its own."""
    taken = _taken(units)
    if not taken:
        return None
    folder = home() / f"{ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for path in taken:
        (folder / path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.rename(home() / path, folder / path)
    return folder
