"""Airflow's database: made or migrated at a start, once per version of Airflow."""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.addresses import read_address
from cxr_tasks.installation.storage.changes import output_file
from cxr_tasks.installation.storage.files import write_text
from cxr_tasks.stack.marked_processes import PROGRAM_MARK
from cxr_tasks.stack.programs import airflow_environment, inherited_environment
from cxr_tasks.stack.servers.mlflow_server import write_ahead


class Migration:
    """``airflow db migrate`` in the background; skipped when this version of Airflow has done it here before.

    Asking Airflow whether there is anything to do costs as much as doing it (6 s on two cores), so the version
    that last migrated is noted beside the database.
    """

    def __init__(self, settings: StackSettings, caller: dict[str, str]):
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        command = ["-m", "airflow", "db", "migrate"]
        is_there = settings.engines.is_postgres or self.database.is_file()
        self._done = self._note_text() == self._state() and is_there
        if settings.engines.has_fab_logins:  # each time: approvers may be others than at the last start
            command, self._done = ["-m", "cxr_tasks.stack.servers.fab_people"], False
        if not self._done:
            with output_file(self.log) as stream:
                self._process = subprocess.Popen(  # noqa: S603  our interpreter
                    [sys.executable, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    cwd=settings.airflow_home,
                    env=inherited_environment(settings, caller)
                    | airflow_environment(settings)
                    | {PROGRAM_MARK: "migration"},
                    umask=0o077,
                )

    @property
    def database(self) -> Path:
        return self._settings.airflow_home / "airflow.db"

    @property
    def log(self) -> Path:
        return self._settings.logs_folder / "migration.log"

    def is_done(self) -> bool:
        """Whether the database is ready for this version of Airflow."""
        if not self._done and self._process is not None and self._process.poll() == 0:
            if not self._settings.engines.is_postgres:
                write_ahead(self.database)
            write_text(self._note, self._state() + "\n")
            self._done = True
        return self._done

    def has_failed(self) -> bool:
        return self._process is not None and self._process.poll() not in (None, 0)

    def _state(self) -> str:
        """Airflow's version, and which Postgres database it is of: another one has seen no migration."""
        if not self._settings.engines.is_postgres:
            return _version()
        address = read_address("airflow_database", self._settings.secrets)
        return f"{_version()} {hashlib.sha256(address.encode()).hexdigest()[:16]}"

    @property
    def _note(self) -> Path:
        return self._settings.airflow_home / "migrated-by.txt"

    def _note_text(self) -> str:
        return self._note.read_text(encoding="utf-8").strip() if self._note.is_file() else ""


def _version() -> str:
    return importlib.metadata.version("apache-airflow-core")
