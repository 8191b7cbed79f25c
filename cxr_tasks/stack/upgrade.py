"""``make upgrade``: databases backed up before new code is installed, and migrated before it runs.

Two steps with the installation between them: ``before`` runs with what is installed, ``migrate`` with what was.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.installation.logins import ensure_logins
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.addresses import is_shared
from cxr_tasks.installation.storage.changes import output_file, remove_file
from cxr_tasks.installation.storage.objects import Bucket
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.stack.beforehand import check_settings
from cxr_tasks.stack.database import Migration
from cxr_tasks.stack.programs import inherited_environment
from cxr_tasks.stack.servers.airflow_config import write_airflow_config
from cxr_tasks.stack.servers.mlflow_server import write_auth_config
from cxr_tasks.stack.start import prepare_files
from cxr_tasks.stack.stop import down

DATABASES = ("airflow/airflow.db", "mlflow/mlflow.db", "mlflow/basic_auth.db")


def before(console: Console) -> Path | None:
    """Stop the stack and back up its databases; the backup, or None where there is nothing yet.

    Raises:
        CxrError: A process does not end, a database is broken, or the disk is full. Nothing was installed then.
    """
    from cxr_tasks.backup.archive import write_backup

    # As long as the stack is up, it knows on what engines it runs; the shell may not.
    os.environ.update(StackSettings.load().engines.as_environment())
    down(console)
    if not is_shared() and not any((home() / name).is_file() for name in DATABASES):
        console.print("nothing to back up yet")
        return None
    folder = home() / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / f"before-upgrade-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz"
    write_backup(file, passphrase=None, only_databases=True)
    console.print(f"databases as they were: {file}")
    console.print(f"back: check out the former commit, make upgrade, cxr restore {file} --replace", soft_wrap=True)
    return file


def migrate(console: Console, *, timeout_s: float = 900) -> None:
    """Bring each database that is there to the schema of what is installed, and check that it is whole.

    Raises:
        ServiceUnavailable: A migration failed, with its last lines, or a database is broken; the stack stays down.
    """
    settings = StackSettings.requested(os.environ)
    for folder in (settings.stack_folder, settings.logs_folder, settings.airflow_home, settings.mlflow_home):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ensure_logins(settings.secrets, settings.approvers)
    write_airflow_config(settings)
    if not settings.engines.is_postgres:
        write_auth_config(settings)
    if settings.engines.is_postgres or (settings.airflow_home / "airflow.db").is_file():
        migrate_airflow(settings, timeout_s=timeout_s)
        console.print("Airflow's database is migrated")
    for name, command in _mlflow_commands(settings).items():
        _run(settings, command, settings.logs_folder / "mlflow-migration.log", timeout_s)
        console.print(f"MLflow's database {name} is migrated")
    for name in () if settings.engines.is_postgres else DATABASES:
        check_database(settings.home / name)


def prepare(console: Console, *, timeout_s: float = 900) -> None:
    """Files, bucket and Airflow's database of a start whose programs are started by others, such as containers.

    Raises:
        CxrError: A setting cannot be, a secret is missing, or the database could not be migrated.
    """
    settings = StackSettings.requested(os.environ)
    check_settings(os.environ)
    settings.engines.require_ready(settings.secrets)
    prepare_files(settings)
    if settings.engines.bucket:
        Bucket(settings.engines.bucket).ensure()
    migrate_airflow(settings, timeout_s=timeout_s)
    console.print(f"prepared: {settings.home}, on {settings.engines.executor} and {settings.engines.database}")


def migrate_airflow(settings: StackSettings, *, timeout_s: float) -> None:
    """``airflow db migrate``, also where this version has done it before."""
    remove_file(settings.airflow_home / "migrated-by.txt")
    migration, end = Migration(settings, dict(os.environ)), time.monotonic() + timeout_s
    while not migration.is_done():
        if migration.has_failed() or time.monotonic() > end:
            raise ServiceUnavailable(f"Airflow's database could not be migrated{_tail(migration.log)}")
        time.sleep(0.2)


def check_database(path: Path) -> None:
    """``ServiceUnavailable`` unless the SQLite file is whole; one that is not there is no fault."""
    if not path.is_file():
        return
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
        try:
            said = database.execute("PRAGMA integrity_check").fetchone()[0]
        except sqlite3.DatabaseError as error:
            said = str(error)
    if said != "ok":
        raise ServiceUnavailable(
            f"{path}: expected a whole SQLite database, found {said}; restore the newest file of {home() / 'backups'} "
            "with 'cxr restore FILE --replace'"
        )


def _mlflow_commands(settings: StackSettings) -> dict[str, list[str]]:
    """Database -> what migrates it, for those that are there; a new one is made by the server at its start."""
    commands: dict[str, list[str]] = {}
    store, logins = settings.mlflow_home / "mlflow.db", settings.mlflow_home / "basic_auth.db"
    # What is in Postgres the server itself brings up to date at its start: a command line would show the password.
    if settings.engines.is_postgres:
        return commands
    if store.is_file():
        commands[store.name] = ["-m", "mlflow", "db", "upgrade", f"sqlite:///{store}"]
    if logins.is_file():
        commands[logins.name] = ["-m", "mlflow.server.auth", "db", "upgrade", "--url", f"sqlite:///{logins}"]
    return commands


def _run(settings: StackSettings, command: list[str], log: Path, timeout_s: float) -> None:
    with output_file(log) as stream:
        done = subprocess.run(  # noqa: S603  our interpreter
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=settings.stack_folder,
            env=inherited_environment(settings, os.environ)
            | {"MLFLOW_AUTH_CONFIG_PATH": str(settings.mlflow_home / "basic_auth.ini")},
            timeout=timeout_s,
            check=False,
        )
    if done.returncode:
        raise ServiceUnavailable(f"'{' '.join(command[1:4])}' ended with code {done.returncode}{_tail(log)}")


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:] if log.is_file() else []
    return f"; the last lines of {log}:\n" + "\n".join(f"  {line}" for line in lines)
