"""A run-time folder as a stack leaves it, small, and one to restore into."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from cxr_tasks.backup.restore import restore_backup
from cxr_tasks.installation.logins import ensure_logins
from cxr_tasks.installation.patient_keys import patient_secret
from cxr_tasks.registry.audit import trail
from serving.served.state import ServingState, write_state

PASSPHRASE = "correct horse battery"


def fill(home: Path) -> None:
    """A run-time folder as a stack leaves it, small."""
    for name in (
        "airflow/airflow.db",
        "mlflow/mlflow.db",
        "mlflow/basic_auth.db",
        "worklist/requests.db",
        "ingest/x.db",
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(home / name)) as database, database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE rows (number INTEGER)")
            database.executemany("INSERT INTO rows VALUES (?)", [(number,) for number in range(100)])
    ensure_logins(home / "secrets")
    patient_secret()
    trail.record("registered", model="cxr_binary", version=1, who="dr.weber", why="first")
    trail.record("served", model="cxr_binary", version=1, who="airflow")
    write_state("cxr_binary", ServingState(stable=1, handled=1))
    for name, content in {
        "mlflow/artifacts/1/r/artifacts/model.keras": b"weights" * 1000,
        "served/cxr_binary/1/saved_model.pb": b"graph",
        "datasets/kermany/ffff/provenance.json": json.dumps({"fingerprint": "f" * 64}).encode(),
        "datasets/kermany/ffff/kermany-test.tfrecord-00000-of-00001": b"images" * 1000,
        "runs/x/evaluate/predictions.parquet": b"table",
        "reports/cxr_binary/1/index.html": b"<p>report",
        "stack/logs/mlflow.log": b"log",
        "synthetic/x.png": b"drawn",
        "requests/cxr_binary/0.tfrecord": b"X-ray of a patient",
        "of_a_later_version/list.json": b"[1]",
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(content)


def restore_elsewhere(file: Path, passphrase: str | None, home: Path | None = None):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_HOME", str(home or file.parent / "elsewhere"))
        return restore_backup(file, passphrase=passphrase)
