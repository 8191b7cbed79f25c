"""Where what is known of a folder's files is kept: an SQLite file under ``home()/ingest``, or Postgres.

A file whose path, size and time are those of its row is not opened again. Rows are written while the ingest runs, so
one that was killed goes on where it stopped. All in it can be found out again: a broken file is set aside. Where
parts of an ingest run on several machines, rows are in Postgres: SQLite's write-ahead log is for one machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.ingest.ledger_entries import Entry, Ledger
from cxr_tasks.ingest.shared_ledger import open_shared_ledger
from cxr_tasks.installation.storage.addresses import is_shared
from cxr_tasks.installation.storage.changes import move, remove_file
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.installation.storage.private import close_to_others

__all__ = ["Entry", "FileLedger", "Ledger", "ledger_path", "open_ledger"]

#: Ingest tasks of several parts write to one file in turns; a batch takes milliseconds.
_BUSY_TIMEOUT_S = 120.0
_ASKED_AT_A_TIME = 500
_TABLE = """
CREATE TABLE IF NOT EXISTS files (
    image_id TEXT PRIMARY KEY,
    size_bytes INTEGER,
    mtime_ns INTEGER,
    file_sha256 TEXT NOT NULL,
    version TEXT NOT NULL,
    found TEXT NOT NULL
) WITHOUT ROWID
"""


def ledger_path(root: Path) -> Path:
    """Where what is known of the data folder ``root`` is kept."""
    return home() / "ingest" / f"{hashlib.sha256(str(root).encode()).hexdigest()[:16]}.sqlite"


@contextlib.contextmanager
def open_ledger(root: Path) -> Iterator[Ledger]:
    """The ledger of the data folder ``root``; what it was given is written when the block ends, however it ends.

    Raises:
        ServiceUnavailable: It is broken, and was set aside so that the next try begins a new one; or it cannot be
            written to (no space, or another task held it too long).
    """
    if is_shared():
        with open_shared_ledger(root) as shared:
            yield shared
        return
    path = ledger_path(root)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        connection = _connected(path)
        try:
            ledger = FileLedger(connection)
            try:
                yield ledger
            finally:
                ledger.flush()
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        raise ServiceUnavailable(
            f"{path}: cannot be used ({error}); is there space, is another ingest stuck?"
        ) from error
    except sqlite3.DatabaseError as error:
        _set_aside(path)
        raise ServiceUnavailable(f"{path}: broken ({error}) and set aside; try again: files are opened anew") from error


def _set_aside(path: Path) -> None:
    move(path, path.with_suffix(f".broken-{time.time_ns()}"))
    for suffix in ("-wal", "-shm"):
        remove_file(path.with_name(path.name + suffix))


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    try:
        _write_ahead(connection)
        # A power cut may cost the last batches; they are found out again.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(_TABLE)
    except sqlite3.Error:
        connection.close()
        raise
    close_to_others(path)
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Set the journal mode, which of two that open a new ledger at once is refused to one, without a wait."""
    give_up_at = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)
        else:
            return


class FileLedger(Ledger):
    """Kept in an SQLite file of this machine."""

    def __init__(self, connection: sqlite3.Connection):
        super().__init__()
        self._connection = connection

    def entries(self, image_ids: Sequence[str]) -> dict[str, Entry]:
        """The entries there are of ``image_ids``."""
        kept: dict[str, Entry] = {}
        for start in range(0, len(image_ids), _ASKED_AT_A_TIME):
            asked = image_ids[start : start + _ASKED_AT_A_TIME]
            places = ",".join("?" * len(asked))
            for row in self._connection.execute(f"SELECT * FROM files WHERE image_id IN ({places})", asked):  # noqa: S608
                kept[row[0]] = Entry(*row)
        return kept

    def _write(self, entries: Sequence[Entry]) -> None:
        with self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", entries)

    def set_state(self, *entries: Entry) -> None:
        if entries:
            with self._transaction():
                self._connection.executemany(
                    "UPDATE files SET size_bytes = ?, mtime_ns = ? WHERE image_id = ?",
                    [(entry.size_bytes, entry.mtime_ns, entry.image_id) for entry in entries],
                )

    def _unlisted(self, listed: Iterable[Sequence[str]]) -> list[str]:
        self._connection.execute("CREATE TEMP TABLE listed (image_id TEXT PRIMARY KEY) WITHOUT ROWID")
        for batch in listed:
            with self._transaction():
                self._connection.executemany("INSERT OR IGNORE INTO listed VALUES (?)", ((listed,) for listed in batch))
        unlisted = self._connection.execute("SELECT image_id FROM files WHERE image_id NOT IN listed").fetchall()
        self._connection.execute("DROP TABLE listed")
        return [image_id for (image_id,) in unlisted]

    def _forget(self, image_ids: Sequence[str]) -> None:
        with self._transaction():
            rows = [(image_id,) for image_id in image_ids]
            self._connection.executemany("DELETE FROM files WHERE image_id = ?", rows)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
