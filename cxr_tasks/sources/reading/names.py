"""What is noted of very many names, without holding them in memory: a table in a file that goes with its object."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from cxr_tasks.contracts.errors import ServiceUnavailable

_APART = "\0"


class NameTable:
    """A note by name, or several. Both are text, which may hold stray bytes (``surrogateescape``), as file names do.

    Beyond some megabytes the table lies in a file without a name in the system's folder for such ones, which vanishes
    with the object, however the process ends. A look-up takes some microseconds.
    """

    def __init__(self) -> None:
        # SQLite's own name for a database that is on disk as far as its cache does not hold it, and nobody else's.
        self._connection = sqlite3.connect("", isolation_level=None)
        for line in (
            "PRAGMA journal_mode = OFF",
            "CREATE TABLE names (name BLOB PRIMARY KEY, note BLOB NOT NULL) WITHOUT ROWID",
            # Never committed: what is in here is nobody's once the object is gone.
            "BEGIN",
        ):
            self._connection.execute(line)
        self._n = 0

    def setdefault(self, name: str, note: str) -> str:
        """The note of ``name``, which becomes ``note`` where it has none."""
        new = self._run("INSERT OR IGNORE INTO names VALUES (?, ?)", _bytes(name), _bytes(note)).rowcount
        self._n += new
        return note if new else str(self.get(name))

    def add(self, name: str, note: str) -> None:
        """One more note of ``name``; ``notes`` has all of them. No NUL may be in any."""
        before = self.setdefault(name, note)
        if before != note:
            both = _bytes(f"{before}{_APART}{note}")
            self._run("UPDATE names SET note = ? WHERE name = ?", both, _bytes(name))

    def notes(self, name: str) -> list[str]:
        """What was added of ``name``, in that order; the same twice in a row is once."""
        held = self.get(name)
        return [] if held is None else held.split(_APART)

    def get(self, name: str) -> str | None:
        """The note of ``name``, or None where it has none."""
        found = self._run("SELECT note FROM names WHERE name = ?", _bytes(name)).fetchone()
        return None if found is None else _text(found[0])

    def pop(self, name: str) -> str | None:
        """As ``get``; ``name`` has no note afterwards."""
        note = self.get(name)
        if note is not None:
            self._run("DELETE FROM names WHERE name = ?", _bytes(name))
            self._n -= 1
        return note

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        """The names, by their bytes; nothing may be noted meanwhile."""
        for (name,) in self._run("SELECT name FROM names ORDER BY name"):
            yield _text(name)

    def __len__(self) -> int:
        return self._n

    def _run(self, statement: str, *values: bytes) -> sqlite3.Cursor:
        try:
            return self._connection.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise ServiceUnavailable(
                f"a table of names that is larger than memory should hold cannot be kept on disk ({error}); is there "
                "space in the folder for temporary files (TMPDIR)?"
            ) from error

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, sqlite3.Error):
            self._connection.close()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
