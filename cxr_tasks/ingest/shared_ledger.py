"""The ledger of an ingest whose parts run on several machines: rows of the shared Postgres database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_tasks.ingest.ledger_entries import Entry, Ledger
from cxr_tasks.installation.storage.shared_rows import shared_rows

if TYPE_CHECKING:
    import psycopg

_TABLE = """
CREATE TABLE IF NOT EXISTS ingest_files (
    root TEXT NOT NULL,
    image_id TEXT NOT NULL,
    size_bytes BIGINT,
    mtime_ns BIGINT,
    file_sha256 TEXT NOT NULL,
    version TEXT NOT NULL,
    found TEXT NOT NULL,
    PRIMARY KEY (root, image_id)
)
"""
_COLUMNS = "image_id, size_bytes, mtime_ns, file_sha256, version, found"


@contextlib.contextmanager
def open_shared_ledger(root: Path) -> Iterator[SharedLedger]:
    """The ledger of the data folder ``root``, which has the same path on all machines; as ``open_ledger``."""
    with shared_rows("an ingest's ledger", _TABLE) as rows:
        ledger = SharedLedger(rows, str(root))
        try:
            yield ledger
        finally:
            ledger.flush()


class SharedLedger(Ledger):
    """Kept in Postgres, beside the ledgers of other data folders."""

    def __init__(self, connection: psycopg.Connection[Any], root: str):
        super().__init__()
        self._connection = connection
        self._root = root

    def entries(self, image_ids: Sequence[str]) -> dict[str, Entry]:
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM ingest_files WHERE root = %s AND image_id = ANY(%s)",  # noqa: S608
            (self._root, list(image_ids)),
        )
        return {row[0]: Entry(*row) for row in rows}

    def _write(self, entries: Sequence[Entry]) -> None:
        # In one order on all machines: two that write the same rows would otherwise wait for each other.
        last = {entry.image_id: entry for entry in entries}
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO ingest_files (root, {_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s) "  # noqa: S608
                "ON CONFLICT (root, image_id) DO UPDATE SET size_bytes = EXCLUDED.size_bytes, "
                "mtime_ns = EXCLUDED.mtime_ns, file_sha256 = EXCLUDED.file_sha256, version = EXCLUDED.version, "
                "found = EXCLUDED.found",
                [(self._root, *last[name]) for name in sorted(last)],
            )

    def set_state(self, *entries: Entry) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE ingest_files SET size_bytes = %s, mtime_ns = %s WHERE root = %s AND image_id = %s",
                [
                    (entry.size_bytes, entry.mtime_ns, self._root, entry.image_id)
                    for entry in sorted(entries, key=lambda entry: entry.image_id)
                ],
            )

    def _unlisted(self, listed: Iterable[Sequence[str]]) -> list[str]:
        with self._connection.transaction():
            self._connection.execute("CREATE TEMP TABLE listed (image_id TEXT PRIMARY KEY) ON COMMIT DROP")
            for batch in listed:
                self._connection.execute(
                    "INSERT INTO listed SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", (list(batch),)
                )
            unlisted = self._connection.execute(
                "SELECT image_id FROM ingest_files WHERE root = %s AND NOT EXISTS "
                "(SELECT FROM listed WHERE listed.image_id = ingest_files.image_id)",
                (self._root,),
            ).fetchall()
        return [image_id for (image_id,) in unlisted]

    def _forget(self, image_ids: Sequence[str]) -> None:
        self._connection.execute(
            "DELETE FROM ingest_files WHERE root = %s AND image_id = ANY(%s)", (self._root, list(image_ids))
        )
