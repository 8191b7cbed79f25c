"""What supervisord is told, and what the programs see."""

from __future__ import annotations

import configparser
import os
import shlex
import sys
from pathlib import Path

import pytest

from cxr_tasks.installation.logins import KEYS, ensure_logins, read_key
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.stack.programs import (
    BY_NAME,
    PROGRAMS,
    inherited_environment,
    program_environment,
    supervisor_config,
    write_supervisor_config,
)


@pytest.fixture
def config(settings: StackSettings) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(supervisor_config(settings, settings.stack_folder / "supervisor.sock"))
    return parser


def test_airflow_runs_as_its_four_programs_and_not_standalone():
    commands = {program.arguments[2] for program in PROGRAMS if program.arguments[1] == "airflow"}
    assert BY_NAME["scheduler"].arguments[:2] == ("-m", "cxr_tasks.stack.servers.scheduler")
    assert commands == {"dag-processor", "triggerer", "api-server"}


def test_every_program_is_kept_alive_with_rotated_logs(config: configparser.ConfigParser):
    for name in BY_NAME:
        section = config[f"program:{name}"]
        assert section["autorestart"] == "true"
        assert section["stopasgroup"] == section["killasgroup"] == "true"
        assert section["stdout_logfile_maxbytes"] == "5MB"
        assert section["umask"] == "077"


def test_command_holds_where_the_checkout_has_a_space(settings: StackSettings, monkeypatch: pytest.MonkeyPatch):
    python = "/data/my project/.venv/bin/python"
    monkeypatch.setattr(sys, "executable", python)
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(supervisor_config(settings, settings.stack_folder / "supervisor.sock"))
    for name in BY_NAME:  # supervisord splits its command as a shell does
        command = shlex.split(parser[f"program:{name}"]["command"])
        assert command == [python, "-m", "cxr_tasks.stack.program", name]


def test_a_program_is_not_given_up_while_its_database_is_away_for_an_hour(config: configparser.ConfigParser):
    """supervisord waits a second longer before each start, and after the last one lets the program be."""
    for name in BY_NAME:
        retries = config.getint(f"program:{name}", "startretries")
        assert sum(range(1, retries + 1)) > 3600, name


def test_socket_is_for_the_owner_and_no_port_is_opened(config: configparser.ConfigParser):
    assert config["unix_http_server"]["chmod"] == "0700"
    assert "inet_http_server" not in config


def test_configuration_holds_no_secret_and_is_private(settings: StackSettings):
    ensure_logins(settings.home / "secrets")
    path = write_supervisor_config(settings, settings.stack_folder / "supervisor.sock")
    assert not [name for name in KEYS if read_key(settings.home / "secrets", name) in path.read_text()]
    assert path.stat().st_mode & 0o077 == 0


def test_settings_of_another_airflow_or_mlflow_do_not_get_in(settings: StackSettings):
    caller = {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW_HOME": "/elsewhere",
        "MLFLOW_TRACKING_URI": "http://elsewhere",
        "CXR_NIH_ROOT": "/data/nih",
        "LANG": "C.UTF-8",
    }
    seen = inherited_environment(settings, caller)
    assert not [key for key in seen if key.startswith(("AIRFLOW", "MLFLOW"))]
    assert (seen["CXR_NIH_ROOT"], seen["LANG"]) == ("/data/nih", "C.UTF-8")


def test_programs_find_the_environment_and_the_repository(settings: StackSettings):
    seen = inherited_environment(settings, {"PATH": "/usr/bin", "PYTHONPATH": "/mine"})
    assert seen["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/usr/bin"]
    assert seen["PYTHONPATH"].split(os.pathsep) == [str(PROJECT_ROOT), "/mine"]


def test_only_mlflow_gets_its_server_keys(settings: StackSettings):
    ensure_logins(settings.home / "secrets")
    with_key = [
        program.name
        for program in PROGRAMS
        if "MLFLOW_FLASK_SERVER_SECRET_KEY" in program_environment(program, settings)
    ]
    assert with_key == ["mlflow"]


def test_tasks_can_log_to_mlflow(settings: StackSettings):
    ensure_logins(settings.home / "secrets")
    seen = program_environment(BY_NAME["scheduler"], settings)
    assert seen["MLFLOW_TRACKING_URI"] == settings.mlflow_url
    assert seen["MLFLOW_TRACKING_PASSWORD"] == settings.mlflow_login().password
    assert seen["AIRFLOW_HOME"] == str(settings.airflow_home)
