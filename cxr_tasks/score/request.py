"""What is asked for: which images, which version, at which server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError, nearest
from cxr_tasks.contracts.families import MODELS

TABLES = (".csv", ".parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """A batch to score. Paths are absolute, so that any worker finds them."""

    source: Path
    """A folder, whose image files are scored, or a table (CSV or Parquet) with a column ``file``."""
    model: str
    at: int | str = "stable"
    """A version or a label; a label is looked up once, so that one version scores all."""
    address: str
    """Of the model server: ``host:port`` for gRPC, ``http://host:port`` for REST."""
    out: Path | None = None
    """The job's folder; below ``var/scores`` where None."""
    is_new: bool = False
    """Begin anew, also where an unfinished job for the same images and version is there to go on with."""

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ConfigurationError(
                f"model {self.model!r} is not known{nearest(self.model, MODELS)}; known: {', '.join(MODELS)}"
            )
        if not self.source.is_absolute():
            raise ConfigurationError(f"{self.source}: expected an absolute path, as tasks run in folders of their own")
        if not self.source.is_dir() and not (self.source.is_file() and self.source.suffix.lower() in TABLES):
            there = "another file" if self.source.is_file() else "nothing"
            raise ConfigurationError(
                f"{self.source}: expected a folder of images, or a table ({' or '.join(TABLES)}) with a column 'file'; "
                f"found {there}"
            )
