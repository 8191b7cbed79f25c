"""MLflow's configuration: its own reader understands it, and no password is in it."""

from __future__ import annotations

import dataclasses
import sqlite3
import tempfile
from pathlib import Path

import pytest

from cxr_tasks.installation.engines import Engines
from cxr_tasks.installation.logins import ensure_logins
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.stack.servers.mlflow_server import server_environment, write_ahead, write_auth_config


def test_file_holds_no_password_and_is_private(settings: StackSettings):
    ensure_logins(settings.home / "secrets")
    path = write_auth_config(settings)
    assert settings.mlflow_login().password not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.mlflow
def test_mlflow_reads_what_was_written(settings: StackSettings, monkeypatch: pytest.MonkeyPatch):
    ensure_logins(settings.home / "secrets")
    write_auth_config(settings)
    for name, value in server_environment(settings).items():
        monkeypatch.setenv(name, value)
    from mlflow.server.auth.config import read_auth_config

    config = read_auth_config()
    assert (config.admin_username, config.admin_password) == ("admin", settings.mlflow_login().password)
    assert config.database_uri == f"sqlite:///{settings.mlflow_home / 'basic_auth.db'}"
    assert config.auth_cache_ttl_seconds == 300


@pytest.mark.mlflow
@pytest.mark.parametrize(
    "public",
    [
        {"public_url": "https://cxr.example.org:8443"},
        {"public_url": "https://airflow.example.org", "public_mlflow_url": "https://cxr.example.org:5443"},
    ],
    ids=["Airflow's name, another port", "a name of its own"],
)
def test_mlflow_takes_what_its_own_pages_send_through_the_proxy(public, settings: StackSettings, monkeypatch):
    ensure_logins(settings.home / "secrets")
    engines = Engines(mlflow_host="mlflow", **public)
    for name, value in server_environment(dataclasses.replace(settings, engines=engines)).items():
        monkeypatch.setenv(name, value)
    from mlflow.server import security_utils as rules

    hosts, origins = rules.get_allowed_hosts_from_env(), rules.get_allowed_origins_from_env()
    for host in ("cxr.example.org:5443", "cxr.example.org", "mlflow:5000", "localhost:5443"):
        assert rules.is_allowed_host_header(hosts, host), host
    assert not rules.is_allowed_host_header(hosts, "cxr.example.org.elsewhere.org:5443")
    assert not rules.should_block_cors_request("https://cxr.example.org:5443", "POST", origins)
    for origin in ("https://elsewhere.org", "http://cxr.example.org:5443"):
        assert rules.should_block_cors_request(origin, "POST", origins), origin


def test_write_ahead_log_stays_on(tmp_path: Path):
    path = tmp_path / "some.db"
    write_ahead(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_the_password_of_a_database_is_in_no_folder_that_tasks_read(settings: StackSettings, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    changed = dataclasses.replace(settings, engines=Engines(database="postgres"))
    ensure_logins(changed.secrets)
    (changed.secrets / "mlflow_logins_database").write_text("postgresql://mlflow:word@host/mlflow_logins\n")
    environment = server_environment(changed)
    config = Path(environment["MLFLOW_AUTH_CONFIG_PATH"])
    assert "postgresql://mlflow:word@host/mlflow_logins" in config.read_text()
    assert config.is_relative_to(tmp_path) and not config.is_relative_to(changed.home)
    assert (config.stat().st_mode & 0o077, config.parent.stat().st_mode & 0o077) == (0, 0)
    assert not (changed.mlflow_home / "basic_auth.ini").exists()
