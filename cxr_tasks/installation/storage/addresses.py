"""Addresses that hold a password: files of ``secrets_root()``, one line each, of engines that run beside this one."""

from __future__ import annotations

import os
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.storage.paths import secrets_root

POSTGRES = "postgres"
#: File of the secrets -> such as it is to hold; what reads it is told in docker/README.md.
SECRETS = {
    "airflow_database": "postgresql+psycopg2://airflow:PASSWORD@HOST:5432/airflow",
    "mlflow_database": "postgresql://mlflow:PASSWORD@HOST:5432/mlflow",
    "mlflow_logins_database": "postgresql://mlflow:PASSWORD@HOST:5432/mlflow_logins",
    "shared_database": "postgresql://cxr:PASSWORD@HOST:5432/cxr",
    "celery_broker": "redis://:PASSWORD@HOST:6379/0",
    "celery_results": "redis://:PASSWORD@HOST:6379/1",
}


def read_address(name: str, folder: Path | None = None) -> str:
    """The address in the secret file ``name`` of ``SECRETS``; ``ConfigurationError`` where there is none."""
    path = (folder or secrets_root()) / name
    text = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    if "://" not in text:
        raise ConfigurationError(f"{path}: expected one line such as {SECRETS[name]}, found none")
    return text


def is_shared() -> bool:
    """Whether several machines write to this installation: locks, audit log and ledger are in Postgres then."""
    return os.environ.get("CXR_DATABASE") == POSTGRES
