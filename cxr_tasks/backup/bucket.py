"""The bucket in a backup: MLflow's artifacts and served versions, each object one file under ``bucket/``."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.storage.objects import Bucket

FOLDER = "bucket"
#: Logs of tasks are not kept, nor is what an earlier restore moved aside, nor copies of the audit log, which no one may
#: write in the place of others.
LEFT_OUT = ("logs/", "replaced-", "audit/")


def kept_keys(bucket: Bucket) -> dict[str, int]:
    """Key -> size in bytes, of what belongs into a backup."""
    return {key: size for key, size in bucket.listing().items() if not key.startswith(LEFT_OUT) and _is_plain(key)}


def _is_plain(key: str) -> bool:
    return bool(key) and not key.startswith("/") and not key.endswith("/") and ".." not in key.split("/")


def in_the_way(bucket: Bucket, folder: Path) -> list[str]:
    """Keys of the files below ``folder`` where the bucket holds something else."""
    present = bucket.listing()
    return [key for key, path in _files(folder) if key in present and not _is_same(bucket, key, path, present[key])]


def put_back(bucket: Bucket, folder: Path, *, aside: str | None) -> int:
    """Put the files below ``folder`` into the bucket, and return how many objects were moved aside for them.

    Args:
        aside: First part of the key of what was there before; None refuses to replace anything.
    """
    taken = in_the_way(bucket, folder)
    if taken and aside is None:
        raise ConfigurationError(
            f"bucket {bucket.name}: expected none of the backup's objects or the same ones, found {len(taken)} others, "
            f"such as {taken[0]}; restore with --replace, which keeps those under another name"
        )
    for key in taken:
        bucket.copy(key, f"{aside}/{key}")
    present = bucket.listing()
    for key, path in _files(folder):
        if key in taken or key not in present:
            bucket.put_file(key, path)
    return len(taken)


def _files(folder: Path) -> list[tuple[str, Path]]:
    return [(path.relative_to(folder).as_posix(), path) for path in sorted(folder.rglob("*")) if path.is_file()]


def _is_same(bucket: Bucket, key: str, path: Path, size: int) -> bool:
    if size != path.stat().st_size:
        return False
    theirs, ours = hashlib.sha256(), hashlib.sha256()
    with bucket.opened(key) as (stream, _):
        while block := stream.read(2**20):
            theirs.update(block)
    with open(path, "rb") as own:
        while block := own.read(2**20):
            ours.update(block)
    return theirs.digest() == ours.digest()
