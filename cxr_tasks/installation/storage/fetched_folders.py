"""A data folder in an S3 store (``s3://bucket/prefix``), brought to the volume: each object is fetched once.

Sources, workers and later stages read files, several times and by place; TensorFlow reads no S3 at all. So what an
ingest reads lies in ``var/fetched``, brought up to date at its beginning: objects that are new or were changed are
fetched, those that are gone go. Keys, endpoint and region come by boto3's own variables.
"""

from __future__ import annotations

import hashlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.installation.storage.changes import remove_file, remove_tree
from cxr_tasks.installation.storage.files import read_json, replaced_file, write_json
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.objects import Bucket, ObjectState
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.installation.storage.space import require_space

log = logging.getLogger(__name__)

SCHEME = "s3://"
#: Fetched side by side: a store answers many, and an X-ray is a small object.
AT_ONCE = 16
_NAME_BYTES = 255


def is_in_bucket(address: str) -> bool:
    return address.startswith(SCHEME)


def parted(address: str) -> tuple[str, str]:
    """Bucket, and the first part of its keys, which ends with ``/`` unless it is empty.

    Raises:
        ConfigurationError: It names no bucket.
    """
    bucket, _, prefix = address.removeprefix(SCHEME).partition("/")
    if not bucket or any(part in ("", ".", "..") for part in prefix.strip("/").split("/") if prefix.strip("/")):
        raise ConfigurationError(f"{address}: expected such as s3://bucket/folder")
    return bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""


def fetched_folder(address: str) -> Path:
    """The folder with what lies below ``address`` now.

    Raises:
        DataDefect: There is nothing, or an object's key cannot be the name of a file.
        ServiceUnavailable: The store does not answer; what was fetched stays and is not fetched again.
        DiskFull: There is no room for what is to be fetched.
    """
    bucket_name, prefix = parted(address)
    folder = place_of(address)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file_lock(folder.with_suffix(".lock"), what=address, purpose="fetching a data folder"):
        _bring_up_to_date(Bucket(bucket_name), prefix, folder, folder.with_suffix(".json"), address)
    return folder


def fetched_root() -> Path:
    return home() / "fetched"


def place_of(address: str) -> Path:
    """Where a data folder of the store is fetched to; ``ConfigurationError`` as ``parted``."""
    bucket_name, prefix = parted(address)
    return fetched_root() / hashlib.sha256(f"{bucket_name}/{prefix}".encode()).hexdigest()[:16]


def last_asked_for_s(folder: Path) -> float:
    """When an ingest last asked for a fetched folder, in seconds since the epoch.

    The images bear the times that the store has of them; the note beside is written by each ingest.
    """
    note = folder.with_suffix(".json")
    return (note if note.is_file() else folder).stat().st_mtime


def remove_fetched(folder: Path, before_s: float) -> bool:
    """Remove a fetched folder that no ingest asked for since ``before_s``; whether it went.

    An ingest that asks for it meanwhile waits until it is gone, and fetches it anew.

    Raises:
        ServiceUnavailable: It is being fetched now.
    """
    with file_lock(folder.with_suffix(".lock"), what=str(folder), purpose="removing it", wait_s=0):
        if last_asked_for_s(folder) >= before_s:
            return False
        # First: what it says would no longer be so, and what it lacks is fetched.
        if folder.with_suffix(".json").is_file():
            remove_file(folder.with_suffix(".json"))
        remove_tree(folder)
    return True


def _bring_up_to_date(bucket: Bucket, prefix: str, folder: Path, note: Path, address: str) -> None:
    objects = _by_name(bucket.states(prefix), prefix, address)
    if not objects:
        raise DataDefect(f"{address}: expected objects, found none; does the address end with the images' folder?")
    known: dict[str, str] = read_json(note) if note.is_file() else {}
    gone = [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).as_posix() not in objects]
    for path in gone:
        remove_file(path)
    wanted = [name for name, state in objects.items() if known.get(name) != state.etag or not (folder / name).is_file()]
    require_space(folder, sum(objects[name].size for name in wanted), f"fetching {address}")
    fetched = {name: etag for name, etag in known.items() if name in objects and name not in wanted}
    try:
        with ThreadPoolExecutor(AT_ONCE) as hands:
            for name in hands.map(lambda key: _fetch(bucket, prefix, key, folder, objects[key]), wanted):
                fetched[name] = objects[name].etag
    finally:
        write_json(note, fetched)
    log.info("%s: %d objects, %d of them fetched now, %d files gone", address, len(objects), len(wanted), len(gone))


def _fetch(bucket: Bucket, prefix: str, name: str, folder: Path, state: ObjectState) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with replaced_file(path) as aside:
        bucket.fetch(prefix + name, aside)
        # By size and time a later ingest knows a file that it has opened before.
        os.utime(aside, ns=(state.modified_ns, state.modified_ns))
    return name


def _by_name(states: dict[str, ObjectState], prefix: str, address: str) -> dict[str, ObjectState]:
    """Name below the folder -> object; markers of empty folders are left out."""
    objects = {key.removeprefix(prefix): state for key, state in states.items() if not key.endswith("/")}
    folders = {str(parent) for name in objects for parent in PurePosixPath(name).parents}
    for name in objects:
        parts = name.split("/")
        odd = any(part in ("", ".", "..") or len(part.encode()) > _NAME_BYTES or "\0" in part for part in parts)
        if odd or name in folders:
            raise DataDefect(
                f"{address}: the key {name!r} below it cannot be the name of a file (an empty part, '..', too long, or "
                "a folder of other objects); rename that object"
            )
    return objects
