"""What is known of a folder's files from earlier ingests, wherever it is kept (``ingest.ledger``)."""

from __future__ import annotations

import abc
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cxr_tasks.ingest.inspection.opening import FileState

_WRITE_EVERY_S = 1.0


class Entry(NamedTuple):
    """One file as it was when it was last opened; also what a worker process gives back of it."""

    image_id: str
    size_bytes: int | None
    """None, as ``mtime_ns``, where the same file may give something else next time, as when it could not be read."""
    mtime_ns: int | None
    file_sha256: str
    version: str
    """Of what looked at it."""
    found: str
    """The inspection or the refusal, as text (``ingest.ledger_rows``)."""

    @property
    def is_lasting(self) -> bool:
        """Whether the same bytes give the same again."""
        return self.size_bytes is not None

    def is_of(self, state: FileState | None) -> bool:
        """Whether a file in this state need not be opened."""
        return state is not None and (self.size_bytes, self.mtime_ns) == (state.size_bytes, state.mtime_ns)


class Ledger(abc.ABC):
    """Entries by ``image_id``; what is added becomes visible to readers within a second or with ``flush``."""

    def __init__(self) -> None:
        self._waiting: list[Entry] = []
        self._written_at = time.monotonic()

    @abc.abstractmethod
    def entries(self, image_ids: Sequence[str]) -> dict[str, Entry]:
        """The entries there are of ``image_ids``."""

    @abc.abstractmethod
    def _write(self, entries: Sequence[Entry]) -> None:
        """Keep ``entries``, the last of one name, in the place of older ones."""

    @abc.abstractmethod
    def set_state(self, *entries: Entry) -> None:
        """Note that files that are known hold the same bytes at a new time."""

    @abc.abstractmethod
    def _unlisted(self, listed: Iterable[Sequence[str]]) -> list[str]:
        """Names that are known and not ``listed`` (batches of image ids)."""

    @abc.abstractmethod
    def _forget(self, image_ids: Sequence[str]) -> None:
        """Remove the entries of ``image_ids``."""

    def add(self, *entries: Entry) -> None:
        """Keep ``entries`` in the place of older ones."""
        self._waiting += entries
        if time.monotonic() - self._written_at >= _WRITE_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write what was added."""
        if self._waiting:
            self._write(self._waiting)
            self._waiting = []
        self._written_at = time.monotonic()

    def drop_gone(self, root: Path, listed: Iterable[Sequence[str]]) -> int:
        """Forget files that are neither ``listed`` (batches of image ids) nor on disk any more; how many these were.

        One that is on disk stays: another recipe may read the same folder.
        """
        self.flush()
        gone = [image_id for image_id in self._unlisted(listed) if not (root / image_id).is_file()]
        self._forget(gone)
        return len(gone)
