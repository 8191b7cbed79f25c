"""What model servers without the shared volume fetch: each served version as one archive, and a list of what serves.

Beside the local ``models.config``, which a server on the volume follows, where the installation has a bucket.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.changes import work_folder
from cxr_tasks.installation.storage.files import tree_sha256
from cxr_tasks.installation.storage.objects import Bucket

#: The list; replaced whole, so that who reads it sees one state of all models.
LIST_KEY = "served/models.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """One model of the list: its versions, the digest of the files of each, and which label stands on which."""

    name: str
    versions: dict[int, str]
    labels: dict[str, int]

    def key(self, version: int) -> str:
        """Where the version's archive is. By its digest: a number may come again with another content."""
        return f"served/{self.name}/{version}-{self.versions[version]}.tar"


def announce(bucket: Bucket, models: Iterable[tuple[str, Path, Sequence[int], dict[str, int]]]) -> None:
    """Upload what is not there yet of ``models`` (name, folder, versions, labels), then the list."""
    announced = []
    for name, base, versions, labels in models:
        one = Announced(name=name, versions={v: tree_sha256(base / str(v)) for v in versions}, labels=labels)
        for version in versions:
            if not bucket.has(one.key(version)):
                _upload(bucket, one.key(version), base / str(version))
        announced.append(one)
    bucket.put(LIST_KEY, as_list(announced))


def as_list(models: Iterable[Announced]) -> bytes:
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
                name=_plain(one["name"]),
                versions={int(version): _plain(digest) for version, digest in one["versions"].items()},
                labels={_plain(label): int(version) for label, version in one["labels"].items()},
            )
            for one in json.loads(content)["models"]
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
