"""What a person reads."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.logins import airflow_login, ensure_logins
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.stack.programs import BY_NAME
from cxr_tasks.stack.show import log_files, print_logins, print_logs, print_status, stack_status


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_status_of_a_stopped_stack_lists_every_program(settings: StackSettings, console: Console):
    rows = stack_status(settings)
    assert [row["program"] for row in rows] == list(BY_NAME)
    assert {row["state"] for row in rows} == {"stopped"}
    assert not any(row["is_healthy"] for row in rows)
    print_status(console, rows)
    assert settings.mlflow_url in said(console)
    assert settings.grpc_address in said(console)


def test_logins_name_each_user_once(settings: StackSettings, console: Console):
    ensure_logins(settings.home / "secrets")
    print_logins(console, settings)
    text = said(console)
    assert text.count(settings.mlflow_login().password) == 1
    assert text.count(settings.airflow_login().password) == 1
    assert "viewer" in text


def test_approvers_find_their_logins(settings: StackSettings, console: Console):
    settings = replace(settings, approvers=("admin", "dr.weber"))
    ensure_logins(settings.home / "secrets", settings.approvers)
    print_logins(console, settings)
    lines = [one for one in said(console).splitlines() if "dr.weber" in one]
    assert [one.split()[:2] for one in lines] == [["Airflow", "(approver)"], ["MLflow", "(approver)"]]
    password = airflow_login(settings.home / "secrets", "dr.weber").password
    assert all(password in one for one in lines)


def test_unknown_log_is_answered_with_the_nearest(settings: StackSettings):
    with pytest.raises(ConfigurationError, match="did you mean 'scheduler'"):
        log_files(settings, "schedular")


def test_last_lines_of_one_log(settings: StackSettings, console: Console):
    settings.logs_folder.mkdir(parents=True)
    (settings.logs_folder / "mlflow.log").write_text("".join(f"line {i} [x]\n" for i in range(10)))
    (settings.logs_folder / "api-server.log").write_text("other\n")
    print_logs(console, log_files(settings, "mlflow"), n_lines=2, follow=False)
    assert said(console).splitlines()[1:] == ["line 8 [x]", "line 9 [x]"]


def test_all_logs_that_exist(settings: StackSettings):
    settings.logs_folder.mkdir(parents=True)
    for name in ("mlflow", "supervisord"):
        Path(settings.logs_folder / f"{name}.log").write_text("")
    assert [path.stem for path in log_files(settings, None)] == ["mlflow", "supervisord"]
