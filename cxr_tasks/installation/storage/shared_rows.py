"""The Postgres database that several machines share: rows, and locks that end with the connection that holds them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.installation.storage.addresses import read_address

if TYPE_CHECKING:
    import psycopg

#: The server takes a client for lost after about a minute of silence, and with it the locks that it held.
_OPTIONS = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
#: Longer names are cut by Postgres.
_NAME_BYTES = 63
_HOLDER = """
SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32) | objid::bigint = %s AND objsubid = 1
    AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@contextlib.contextmanager
def shared_rows(purpose: str, *tables: LiteralString) -> Iterator[psycopg.Connection[Any]]:
    """A connection for the length of the block, each statement a transaction of its own unless told otherwise.

    Args:
        purpose: What it is for, which others see who wait for one of its locks.
        tables: Statements that make what is not there yet.

    Raises:
        ServiceUnavailable: The database does not answer, takes no writes (a standby; its locks are not those of the
            others), or ended in the middle; what was not committed is undone.
        ConfigurationError: There is no address of it, the packages of a cluster are not installed, or its tables and
            rights are not those of this version.
    """
    try:
        import psycopg
    except ImportError:
        raise ConfigurationError(
            "CXR_DATABASE=postgres: expected the package psycopg, found none; install with 'make CLUSTER=1'"
        ) from None
    address = read_address("shared_database")
    name = purpose.encode()[:_NAME_BYTES].decode(errors="ignore")
    try:
        with psycopg.connect(
            address,
            autocommit=True,
            connect_timeout=10,
            application_name=name,
            options=_OPTIONS,
            target_session_attrs="read-write",
        ) as connection:
            for statement in tables:
                _make(connection, statement)
            yield connection
    except psycopg.OperationalError as error:
        raise ServiceUnavailable(
            f"the shared database (secret file shared_database) does not answer for {purpose!r}: "
            f"{str(error).strip().splitlines()[0]}; what was begun is undone"
        ) from None
    except (psycopg.ProgrammingError, psycopg.errors.ReadOnlySqlTransaction) as error:
        raise ConfigurationError(
            f"the shared database (secret file shared_database): expected tables of this version and the right "
            f"to write them for {purpose!r}, found: {str(error).strip().splitlines()[0]}"
        ) from None


def lock_key(path: Path) -> int:
    """The number that stands for a file: its path, which is the same on all machines, as 64 bits."""
    return int.from_bytes(hashlib.sha256(str(path.absolute()).encode()).digest()[:8], "big", signed=True)


def take(connection: psycopg.Connection[Any], key: int) -> bool:
    """Take a lock without waiting; whether it was to be had. It is given back when the connection ends."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
    return bool(row and row[0])


def keep_connected(connection: psycopg.Connection[Any]) -> None:
    """Have the server not end the connection for being idle: the lock that it holds may be held for hours."""
    # By what the server knows: the setting came with Postgres 14.
    connection.execute(
        "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_session_timeout', "
        "'idle_in_transaction_session_timeout')"
    )


def is_connected(connection: psycopg.Connection[Any]) -> bool:
    """Whether the connection is there still, and with it the locks it took."""
    import psycopg

    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def holder(connection: psycopg.Connection[Any], key: int) -> str | None:
    """What the holder of a lock does; None where nobody holds it."""
    row = connection.execute(_HOLDER, (key,)).fetchone()
    return None if row is None else str(row[0])


def _make(connection: psycopg.Connection[Any], statement: LiteralString) -> None:
    """``CREATE ... IF NOT EXISTS``, which two at once would both begin: one of them waits."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(0)")
        connection.execute(statement)
