"""An upgrade: old databases are backed up, migrated and whole; nothing is lost on the way."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from rich.console import Console

from cxr_tasks.backup.restore import restore_backup
from cxr_tasks.contracts.errors import DataDefect, ServiceUnavailable
from cxr_tasks.stack.upgrade import before, check_database, migrate
from tests.own_stack import port_environment

CONSOLE = Console(quiet=True)


def table(path: Path) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT version_num FROM alembic_version").fetchall()


@pytest.fixture
def ports(dags: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {"CXR_DAGS": str(dags), **port_environment()}.items():
        monkeypatch.setenv(variable, value)


@pytest.mark.mlflow
def test_database_of_an_old_mlflow_is_backed_up_and_migrated(cxr_home: Path, ports):
    """The oldest schema that MLflow knows, with an experiment in it."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from mlflow.store.db_migrations import versions  # noqa: F401
    from mlflow.store.tracking.dbmodels.initial_models import Base

    store = cxr_home / "mlflow" / "mlflow.db"
    store.unlink()  # of today's schema
    engine = sqlalchemy.create_engine(f"sqlite:///{store}")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            sqlalchemy.text(
                "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'old', 'active')"
            )
        )
    engine.dispose()
    backup = before(CONSOLE)
    assert backup is not None
    assert backup.stat().st_mode & 0o077 == 0
    migrate(CONSOLE)
    from mlflow import MlflowClient

    assert MlflowClient(f"sqlite:///{store}").get_experiment("7").name == "old"
    assert len(table(store)) == 1
    # And back again.
    restore_backup(backup, passphrase=None, replace=True)
    with pytest.raises(sqlite3.OperationalError, match="no such table: alembic_version"):
        table(store)


def test_broken_database_stops_the_upgrade_before_anything_is_installed(cxr_home: Path, ports):
    path = cxr_home / "mlflow" / "mlflow.db"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
    with pytest.raises(DataDefect, match=r"mlflow\.db: expected a whole SQLite database"):
        before(CONSOLE)
    with pytest.raises(ServiceUnavailable, match="cxr restore FILE --replace"):
        check_database(path)


def test_nothing_to_upgrade_yet_is_well(cxr_home: Path, ports):
    assert before(CONSOLE) is None
    migrate(CONSOLE)
    assert not (cxr_home / "stack" / "settings.json").exists()  # the stack counts as down
