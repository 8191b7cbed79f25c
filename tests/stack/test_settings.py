"""Ports, folders and the environment of clients."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.installation.engines import Engines
from cxr_tasks.installation.logins import ensure_logins, require_logins
from cxr_tasks.installation.settings import (
    PORT_VARIABLES,
    StackSettings,
    client_environment,
    common_environment,
    require_up,
)


@pytest.fixture(autouse=True)
def _no_ports_from_the_shell(cxr_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, _ in PORT_VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


def record(settings: StackSettings, **changes: object) -> None:
    settings.record.parent.mkdir(parents=True, exist_ok=True)
    settings.record.write_text(json.dumps(settings.as_record() | changes))


def test_default_ports_and_addresses(dags: Path):
    settings = StackSettings.requested({"CXR_DAGS": str(dags)})
    assert (settings.airflow_url, settings.mlflow_url) == ("http://127.0.0.1:8080", "http://127.0.0.1:5000")
    assert (settings.grpc_address, settings.rest_url) == ("127.0.0.1:8500", "http://127.0.0.1:8501")


def test_each_port_has_its_variable(dags: Path):
    asked = {
        "CXR_AIRFLOW_PORT": "18080",
        "CXR_MLFLOW_PORT": "15000",
        "CXR_GRPC_PORT": "18500",
        "CXR_REST_PORT": "18501",
    }
    settings = StackSettings.requested({"CXR_DAGS": str(dags), **asked})
    assert (settings.airflow_port, settings.mlflow_port, settings.grpc_port, settings.rest_port) == (
        18080,
        15000,
        18500,
        18501,
    )


@pytest.mark.parametrize(
    "port",
    [
        "http",   # no number
        "-1",     # no port
        "80",     # needs the superuser
        "65536",  # one too many
        "8080.0",
    ],
)  # fmt: skip
def test_port_that_cannot_be_is_refused_with_its_variable(dags: Path, port: str):
    with pytest.raises(ConfigurationError, match=f"CXR_MLFLOW_PORT={port}: expected a port number"):
        StackSettings.requested({"CXR_DAGS": str(dags), "CXR_MLFLOW_PORT": port})


def test_two_equal_ports_are_refused_with_both_variables(dags: Path):
    with pytest.raises(ConfigurationError, match="CXR_AIRFLOW_PORT and CXR_REST_PORT are both 8501"):
        StackSettings.requested({"CXR_DAGS": str(dags), "CXR_AIRFLOW_PORT": "8501"})


def test_missing_folder_of_dags_is_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="expected a folder of DAG files"):
        StackSettings.requested({"CXR_DAGS": str(tmp_path / "nowhere")})


@pytest.mark.parametrize("name", ["100%", "a;b", "a#b", 'a"b', "a{b}", "a\nb"])
def test_folder_that_no_configuration_file_can_hold_is_refused(
    dags: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CXR_HOME", str(tmp_path / name))
    with pytest.raises(ConfigurationError, match="choose another folder"):
        StackSettings.requested({"CXR_DAGS": str(dags)})


def test_running_stack_is_found_without_variables(settings: StackSettings):
    record(settings)
    assert StackSettings.load() == settings


def test_without_a_record_the_environment_decides(dags: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CXR_DAGS", str(dags))
    monkeypatch.setenv("CXR_REST_PORT", "28501")
    assert StackSettings.load().rest_port == 28501


@pytest.mark.parametrize("text", ["{", "[]", '{"airflow_port": 1}'])
def test_broken_record_is_named(settings: StackSettings, text: str):
    record(settings)
    settings.record.write_text(text)
    with pytest.raises(ConfigurationError, match=r"settings\.json: expected the settings of the running stack"):
        StackSettings.load()


def test_client_environment_reaches_mlflow_past_proxies(settings: StackSettings, monkeypatch: pytest.MonkeyPatch):
    ensure_logins(settings.home / "secrets")
    monkeypatch.setenv("NO_PROXY", "internal")
    environment = client_environment(settings)
    assert environment["MLFLOW_TRACKING_URI"] == settings.mlflow_url
    assert environment["MLFLOW_TRACKING_USERNAME"] == "admin"
    assert environment["MLFLOW_TRACKING_PASSWORD"] == settings.mlflow_login().password
    assert environment["CXR_HOME"] == str(settings.home)
    assert environment["NO_PROXY"] == "internal,127.0.0.1,localhost"


def test_client_environment_before_the_first_start_says_what_to_do(settings: StackSettings):
    with pytest.raises(ServiceUnavailable, match="the first 'make up' makes it"):
        client_environment(settings)


def test_require_up(settings: StackSettings):
    with pytest.raises(ServiceUnavailable, match="is not running; start it with 'make up'"):
        require_up(settings)
    record(settings)
    require_up(settings)


def test_a_stack_from_before_there_were_engines_can_be_stopped(settings: StackSettings):
    stored = settings.as_record()
    del stored["engines"]
    settings.record.parent.mkdir(parents=True)
    settings.record.write_text(json.dumps(stored))
    assert StackSettings.load() == settings


def test_engines_are_kept_and_handed_on_without_a_secret(settings: StackSettings):
    engines = Engines(executor="CeleryExecutor", database="postgres", mlflow_host="mlflow", model_host="models")
    changed = dataclasses.replace(settings, engines=engines)
    record(changed)
    assert StackSettings.load() == changed
    assert changed.mlflow_url == f"http://mlflow:{settings.mlflow_port}"
    assert changed.grpc_address == f"models:{settings.grpc_port}"
    told = common_environment(changed)
    assert told["CXR_EXECUTOR"] == "CeleryExecutor" and told["CXR_DATABASE"] == "postgres"
    assert {"mlflow", "models", "127.0.0.1"} <= set(told["NO_PROXY"].split(","))


def test_secrets_may_lie_outside_the_run_time_folder(settings: StackSettings, tmp_path: Path, monkeypatch):
    assert settings.secrets == settings.home / "secrets"
    monkeypatch.setenv("CXR_SECRETS", str(tmp_path / "secrets"))
    assert settings.secrets == tmp_path / "secrets"
    with pytest.raises(ConfigurationError, match="expected secrets that others made, missing: mlflow_admin_password"):
        require_logins(settings.secrets)
    ensure_logins(settings.secrets)
    require_logins(settings.secrets)
    with pytest.raises(ConfigurationError, match="missing: login of dr.weber"):
        require_logins(settings.secrets, ["dr.weber"])
