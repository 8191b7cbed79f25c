"""What a backup says of itself: its format, and size and digest of every file in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: Of a backup of files; of one with databases of Postgres or a bucket, which former code would leave out of a restore.
FORMAT, WITH_ENGINES = 1, 2
MANIFEST, SEALED = "manifest.json", "secrets.sealed"
#: Distributions whose databases are in a backup: an older one cannot read what a newer one wrote.
VERSIONED = ("apache-airflow-core", "mlflow")


@dataclass(slots=True)
class Manifest:
    """What a backup holds; ``files`` is name -> [size in bytes, sha256 (hex)]."""

    made_at: str
    home: str
    commit: str | None
    versions: dict[str, str]
    units: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    datasets: dict[str, str] = field(default_factory=dict)
    """``<name>/<folder>`` -> fingerprint, also of datasets that were left out."""
    files: dict[str, list[Any]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    """Files that a running task removed while they were to be copied."""
    links: list[str] = field(default_factory=list)
    """Symbolic links, which are not followed."""
    format: int = FORMAT

    @property
    def n_bytes(self) -> int:
        return sum(int(size) for size, _ in self.files.values())
