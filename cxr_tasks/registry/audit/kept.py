"""Where the lines of the audit log are kept: a file, or Postgres where several machines write.

Either is only ever appended to, by one process at a time, and what was appended is on disk when ``append`` returns.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.storage.addresses import is_shared
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import audit_log
from cxr_tasks.installation.storage.private import close_to_others
from cxr_tasks.installation.storage.shared_rows import shared_rows
from cxr_tasks.registry.audit.chain import split_lines

if TYPE_CHECKING:
    import psycopg

logger = logging.getLogger(__name__)

_TABLE = """
CREATE TABLE IF NOT EXISTS audit_lines (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line BYTEA NOT NULL
)
"""


class Lines(Protocol):
    """The log, held by this process."""

    def content(self) -> bytes:
        """All of it, each line with its end."""

    def append(self, content: bytes) -> None:
        """Add whole lines; an unfinished one that stood last is ended by the first byte of ``content``."""


@contextlib.contextmanager
def locked() -> Iterator[Lines]:
    """The log, to append to, for one process at a time; who dies gives it back."""
    if is_shared():
        with (
            file_lock(audit_log(), what="the audit log", purpose="a record in the audit log"),
            shared_rows("the audit log", _TABLE) as rows,
        ):
            lines = _SharedLines(rows)
            lines.begin_with_the_file()
            yield lines
        return
    log = _opened()
    try:
        fcntl.flock(log, fcntl.LOCK_EX)
        yield _FileLines(log)
    finally:
        os.close(log)


def stored() -> bytes:
    """The log as it stands; empty before the first record."""
    if is_shared():
        with shared_rows("a look at the audit log", _TABLE) as rows:
            return _SharedLines(rows).content()
    try:
        with open(audit_log(), "rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH)
            return stream.read()
    except FileNotFoundError:
        return b""


class _FileLines:
    def __init__(self, log: int):
        self._log = log

    def content(self) -> bytes:
        return os.pread(self._log, os.fstat(self._log).st_size, 0)

    def append(self, content: bytes) -> None:
        _write_all(self._log, content)


class _SharedLines:
    """Rows of Postgres. The file beside them is a copy: for backups, and for whoever reads it with ``tail``."""

    def __init__(self, rows: psycopg.Connection[Any]):
        self._rows = rows

    def content(self) -> bytes:
        rows = self._rows.execute("SELECT line FROM audit_lines ORDER BY number").fetchall()
        return b"".join(bytes(line) + b"\n" for (line,) in rows)

    def append(self, content: bytes) -> None:
        log = _opened()
        try:
            self._insert(content.splitlines())
            whole, copied = self.content(), _FileLines(log).content()
            # Another beginning is another log, or one that was changed: 'cxr doctor' reads the rows, not the copy.
            if whole.startswith(copied):
                _write_all(log, whole[len(copied) :])
        except OSError as error:
            logger.warning(
                "audit log: recorded, but not copied to %s: %s; the next record copies it", audit_log(), error
            )
        finally:
            os.close(log)

    def begin_with_the_file(self) -> None:
        """Take over the log of an installation that was on one machine before."""
        if not self.content() and audit_log().is_file():
            self._insert(split_lines(audit_log().read_bytes())[0])

    def _insert(self, lines: list[bytes]) -> None:
        with self._rows.transaction(), self._rows.cursor() as cursor:
            cursor.executemany("INSERT INTO audit_lines (line) VALUES (%s)", [(line,) for line in lines])


def _opened() -> int:
    path = audit_log()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        log = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if path.is_symlink():
            raise ConfigurationError(f"{path}: expected a plain file, found a link; move it away") from error
        raise
    try:
        if os.fstat(log).st_uid != os.getuid():
            raise ConfigurationError(f"{path}: expected a file of this user, found another user's; move it away")
        close_to_others(path.parent)
        os.fchmod(log, 0o600)
    except BaseException:
        os.close(log)
        raise
    return log


def _write_all(log: int, content: bytes) -> None:
    left = content
    while left:
        left = left[os.write(log, left) :]
    os.fsync(log)
    folder = os.open(audit_log().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the name of a log just begun
    finally:
        os.close(folder)
