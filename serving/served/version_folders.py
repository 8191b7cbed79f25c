"""Version folders on disk, as the model server sees them: ``<served root>/<model>/<number>/``, whole or absent."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Collection
from pathlib import Path

from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.installation.storage.paths import served_root

#: Names of folders on their way in or out; the server takes only names of digits for versions. What follows is drawn,
#: not the process's number, which another machine may have given to another process.
_PUBLISHING, _WITHDRAWN = ".publishing-", ".withdrawn-"


#: From this number on versions are none of the registry: what served under a number that came again serves on under
#: one of these, until what is to serve under that number has been loaded.
ASIDE_FROM = 1_000_000_000


def is_aside(version: int | None) -> bool:
    """Whether a number is one under which something serves for the time of a change."""
    return version is not None and version >= ASIDE_FROM


def free_aside(model_name: str) -> int:
    """A number that nothing lies under: higher than all, so that a request without label still finds what it names."""
    return max([ASIDE_FROM, *(version + 1 for version in versions_on_disk(model_name))])


def version_folder(model_name: str, version: int) -> Path:
    """Where the SavedModel of a published version lies, if it is published."""
    return served_root() / model_name / str(version)


def versions_on_disk(model_name: str) -> list[int]:
    """Published versions, oldest first. Names that are not numbers are work in progress, as the server takes them."""
    base = served_root() / model_name
    if not base.is_dir():
        return []
    return sorted(int(path.name) for path in base.iterdir() if path.name.isdecimal() and path.is_dir())


def publish(exported: Path, model_name: str, version: int) -> Path:
    """Put a finished SavedModel folder in its place by rename.

    The server takes a version as complete the moment its folder appears, so the copy is made beside
    it under a name that the server ignores, on the same file system.

    Raises:
        ReleaseRefused: There is such a version already.
    """
    target = version_folder(model_name, version)
    if target.exists():
        raise ReleaseRefused(f"{target}: expected no such version yet, found one; it is not replaced in place")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f"{_PUBLISHING}{version}-{uuid.uuid4().hex}"
    try:
        shutil.copytree(exported, aside)
        aside.chmod(0o755)
        os.rename(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def withdraw(model_name: str, version: int) -> None:
    """Take a version away, for the server at once by a rename."""
    target = version_folder(model_name, version)
    if not target.exists():
        return
    aside = target.parent / f"{_WITHDRAWN}{version}-{uuid.uuid4().hex}"
    os.rename(target, aside)
    shutil.rmtree(aside)


def prune(model_name: str, keep: Collection[int]) -> list[int]:
    """Remove all versions but those in ``keep``, and what a killed process left half published; the removed versions.

    To be called under the model's lock: another's half-published folder would be taken for a left-over.
    """
    base = served_root() / model_name
    for prefix in (_PUBLISHING, _WITHDRAWN):
        for half in base.glob(f"{prefix}*"):
            shutil.rmtree(half)
    old = [version for version in versions_on_disk(model_name) if version not in keep]
    for version in old:
        withdraw(model_name, version)
    return old
