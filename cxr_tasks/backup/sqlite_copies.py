"""SQLite databases that others write to at this moment: told by their first bytes, copied consistently, checked."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.changes import work_folder

_SQLITE = b"SQLite format 3\0"
#: What SQLite keeps beside a database while it is used.
SIDES = ("-wal", "-shm", "-journal")


def is_database(path: Path) -> bool:
    """Whether the file is an SQLite database, which others may write to at this moment."""
    try:
        with open(path, "rb") as stream:
            return stream.read(len(_SQLITE)) == _SQLITE
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def database_copy(path: Path, beside: Path) -> Iterator[Path]:
    """A consistent copy of an SQLite database that others write to, checked; removed after the block."""
    with work_folder(beside) as folder:
        copy = folder / path.name
        with (
            contextlib.closing(sqlite3.connect(path, timeout=60)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            try:
                source.backup(target)
                # One file, complete in itself: no write-ahead log beside it.
                target.execute("PRAGMA journal_mode=DELETE")
                verdict = target.execute("PRAGMA integrity_check").fetchone()[0]
            except sqlite3.DatabaseError as error:
                verdict = str(error)
        if verdict != "ok":
            raise DataDefect(f"{path}: expected a whole SQLite database, found {verdict}; no backup was written")
        yield copy
