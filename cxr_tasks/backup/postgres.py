"""Databases of Postgres in a backup: ``pg_dump`` and ``pg_restore``, each database as one file.

Passwords are in a file for the length of a call: a command line is shown to every user of a machine.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cxr_tasks.backup.units import ASIDE
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect, ServiceUnavailable
from cxr_tasks.installation.storage.addresses import POSTGRES, SECRETS, is_shared, read_address
from cxr_tasks.installation.storage.changes import work_folder
from cxr_tasks.installation.storage.files import replaced_file, write_text

#: Secret with the address -> the file's name inside a backup.
DUMPS = {name: f"postgres/{name.removesuffix('_database')}.dump" for name in SECRETS if name.endswith("_database")}
_HOW = "install Debian's postgresql-client of the server's version or newer"


def databases(folder: Path | None = None) -> dict[str, str]:
    """Name inside a backup -> address, of those that are databases of their own: two secrets may name the same one.

    Last comes the one that the platform itself writes to, the audit log among it.
    """
    addresses: dict[str, str] = {}
    for secret in ("shared_database", *DUMPS):
        address = plain_address(read_address(secret, folder))
        if address not in addresses.values():
            addresses[DUMPS[secret]] = address
    shared = next(iter(addresses))
    return {**{name: address for name, address in addresses.items() if name != shared}, shared: addresses[shared]}


def require_known(folder: Path) -> None:
    """``ConfigurationError`` where the secrets name databases of Postgres and the settings do not ask for them.

    A backup without them would look whole.
    """
    present = [name for name in DUMPS if (folder / name).is_file()]
    if present and not is_shared():
        raise ConfigurationError(
            f"{folder} names databases of Postgres ({', '.join(present)}), but CXR_DATABASE={POSTGRES} is not set: set "
            "it as for the stack, or move these files away where they are of no use any more"
        )


def plain_address(address: str) -> str:
    """Without SQLAlchemy's driver: ``postgresql+psycopg2://`` is no address to Postgres' own programs.

    >>> plain_address("postgresql+psycopg2://airflow:x@db:5432/airflow")
    'postgresql://airflow:x@db:5432/airflow'
    """
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", address)


def dump(address: str, target: Path) -> None:
    """Write one database into ``target``, as it was at one moment; others may write to it meanwhile.

    Raises:
        ConfigurationError: ``pg_dump`` is not there, or older than the server.
        ServiceUnavailable: The database does not answer.
    """
    # What an earlier restore kept aside is no part of the database any more.
    options = ("--format=custom", "--no-owner", "--no-privileges", f"--exclude-schema={ASIDE}*", f"--file={target}")
    _run("pg_dump", address, *options)


def restore(address: str, source: Path, *, aside: str | None) -> bool:
    """Fill an empty database from ``source``, all or nothing; whether something was there before.

    Args:
        aside: What is there is kept as the schema of this name; None refuses a database that is not empty.

    Raises:
        ConfigurationError: The database is not empty.
        DataDefect: ``pg_restore`` refuses the file; the database is as empty as it was.
    """
    was_taken = not is_empty(address)
    if was_taken and aside is None:
        raise ConfigurationError(
            f"{shown(address)}: expected an empty database, found tables; restore with --replace, which keeps them as "
            "another schema, or into another one"
        )
    # What stands in the list is made; the schema itself is there.
    listed = subprocess.run(  # noqa: S603  Postgres' own program
        [_program("pg_restore"), "--list", str(source)], capture_output=True, text=True, check=False
    )
    if listed.returncode:
        raise DataDefect(f"{source.name}: expected a dump of Postgres, found none: {listed.stderr.strip()[-500:]}")
    if was_taken:
        with _connected(address) as connection, connection.transaction():
            connection.execute(f'ALTER SCHEMA public RENAME TO "{aside}"')
            connection.execute("CREATE SCHEMA public")
    with work_folder() as folder:
        kept = folder / "list"
        write_text(kept, "\n".join(line for line in listed.stdout.splitlines() if " SCHEMA - public " not in line))
        options = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")
        try:
            _run("pg_restore", address, *options, f"--use-list={kept}", str(source))
        except BaseException:
            if was_taken:
                with _connected(address) as connection, connection.transaction():
                    connection.execute("DROP SCHEMA public")
                    connection.execute(f'ALTER SCHEMA "{aside}" RENAME TO public')
            raise
    return was_taken


def is_empty(address: str) -> bool:
    """Whether the database has no table of anybody's."""
    with _connected(address) as connection:
        return connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public' LIMIT 1").fetchone() is None


def size(address: str) -> int:
    """Bytes of the database on its server's disk; a dump is smaller."""
    with _connected(address) as connection:
        return int(connection.execute("SELECT pg_database_size(current_database())").fetchone()[0])


def shown(address: str) -> str:
    """Where a database is, without who and the password."""
    parts = urlsplit(address)
    return f"database {parts.path.lstrip('/')} at {parts.hostname}:{parts.port or 5432}"


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    import psycopg

    try:
        with psycopg.connect(address, autocommit=True, connect_timeout=10) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise ServiceUnavailable(
            f"{shown(address)} does not answer: {_without_password(str(error), address)}"
        ) from None


def _run(name: str, address: str, *options: str) -> None:
    parts = urlsplit(address)
    where = [
        parts.hostname or "",
        str(parts.port or 5432),
        unquote(parts.path.lstrip("/")),
        unquote(parts.username or ""),
    ]
    with work_folder() as folder:
        passwords = folder / "pgpass"
        with replaced_file(passwords, is_private=True) as aside:
            line = ":".join(_escaped(field) for field in (*where, unquote(parts.password or "")))
            aside.write_text(line + "\n", encoding="utf-8")
        done = subprocess.run(  # noqa: S603  Postgres' own program
            [_program(name), "--no-password", f"--dbname={_dbname(where)}", *options],
            env={**os.environ, "PGPASSFILE": str(passwords), "PGCONNECT_TIMEOUT": "30"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        said = _without_password(done.stderr.strip(), address)[-1000:]
        if "version mismatch" in said:
            raise ConfigurationError(f"{name} is older than {shown(address)}: {said}; {_HOW}")
        raise ServiceUnavailable(f"{name} of {shown(address)} ended with code {done.returncode}: {said}")


def _program(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise ConfigurationError(f"expected the program {name}, found none; {_HOW}")
    return program


def _dbname(where: list[str]) -> str:
    """Key and value pairs: names may hold any character."""
    quoted = ("'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'" for value in where)
    return " ".join(f"{key}={value}" for key, value in zip(("host", "port", "dbname", "user"), quoted, strict=True))


def _escaped(field: str) -> str:
    return field.replace("\\", "\\\\").replace(":", "\\:")


def _without_password(text: str, address: str) -> str:
    password = unquote(urlsplit(address).password or "")
    return text.replace(password, "...") if password else text
