"""What model servers without the shared volume fetch: each served version as one archive, and a list of what serves.

Beside the local ``models.config``, which a server on the volume follows, where the installation has a bucket.
"""

from __future__ import annotations

import json
import logging
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.changes import work_folder
from cxr_tasks.installation.storage.files import tree_sha256
from cxr_tasks.installation.storage.objects import Bucket

logger = logging.getLogger(__name__)

#: The list; replaced whole, so that who reads it sees one state of all models.
LIST_KEY = "served/models.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """One model of the list: its versions, the digest of the files of each, and which label stands on which."""

    name: str
    versions: dict[int, str]
    labels: dict[str, int]

    def key(self, version: int) -> str:
        """Where the version's archive is."""
        return archive_key(self.name, version, self.versions[version])


def announce(bucket: Bucket, models: Iterable[tuple[str, Path, Mapping[int, str], dict[str, int]]]) -> None:
    """Upload what is not there yet of ``models``, then the list.

    What the bucket has serves on from there, whatever became of its folder: only files that are as they were published
    are uploaded. A version that is neither in the bucket nor whole on disk is left out, with its labels.

    Args:
        models: Name, folder with the versions, version -> sha256 of its files as they were published ('' where that
            is not known: as they are now), label -> version.
    """
    announced = []
    for name, base, versions, labels in models:
        digests = {}
        for version, published in versions.items():
            folder = base / str(version)
            measured = "" if published else _digest(folder)
            if (digest := published or measured) and _is_there(
                bucket, archive_key(name, version, digest), folder, digest
            ):
                digests[version] = digest
            else:
                logger.warning("%s: neither in the bucket nor whole on disk; model servers elsewhere lose it", folder)
        labelled = {label: version for label, version in labels.items() if version in digests}
        if digests:
            announced.append(Announced(name=name, versions=digests, labels=labelled))
    if announced:
        bucket.put(LIST_KEY, as_list(announced))


def archive_key(name: str, version: int, digest: str) -> str:
    """Where a version's archive is. By its digest: a number may come again with another content."""
    return f"served/{name}/{version}-{digest}.tar"


def _is_there(bucket: Bucket, key: str, folder: Path, digest: str) -> bool:
    """Whether the bucket has the archive, by now."""
    if bucket.has(key):
        return True
    if _digest(folder) != digest:
        return False
    _upload(bucket, key, folder)
    return True


def _digest(folder: Path) -> str:
    return tree_sha256(folder) if folder.is_dir() else ""


def as_list(models: Iterable[Announced]) -> bytes:
    """The list as it stands in the bucket; ``from_list`` reads it."""
    told = [
        {
            "name": model.name,
            "versions": {str(v): digest for v, digest in model.versions.items()},
            "labels": model.labels,
        }
        for model in models
    ]
    return json.dumps({"models": told}, indent=2, sort_keys=True).encode()


def from_list(content: bytes) -> tuple[Announced, ...]:
    """The models of a list; ``DataDefect`` for one that is none."""
    try:
        return tuple(
            Announced(
                name=_plain(told["name"]),
                versions={int(version): _plain(digest) for version, digest in told["versions"].items()},
                labels={_plain(label): int(version) for label, version in told["labels"].items()},
            )
            for told in json.loads(content)["models"]
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataDefect(f"{LIST_KEY}: expected the list of served models, found {error!r}") from None


def _plain(text: object) -> str:
    """A name that can be part of a path and of ``models.config``: whoever writes to the bucket writes neither."""
    if not isinstance(text, str) or not text.replace("_", "").isascii() or not text.replace("_", "").isalnum():
        raise ValueError(f"the name {text!r}")
    return text


def _upload(bucket: Bucket, key: str, folder: Path) -> None:
    with work_folder() as aside:
        archive = Path(aside) / "version.tar"
        with tarfile.open(archive, "w") as stream:
            for path in sorted(folder.rglob("*")):
                stream.add(path, path.relative_to(folder).as_posix(), recursive=False)
        bucket.put_file(key, archive)
