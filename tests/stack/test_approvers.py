"""Who may approve, and for how long they are waited for."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.approvers import approval_limit, approvers
from cxr_tasks.installation.settings import StackSettings, client_environment
from cxr_tasks.stack.servers.airflow_config import airflow_options
from cxr_tasks.stack.start import prepare_files


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ("admin",)),
        (" , ", ("admin",)),
        ("dr.weber", ("dr.weber",)),
        ("dr.weber, a-okafor@clinic ,dr.weber", ("dr.weber", "a-okafor@clinic")),
    ],
)
def test_approvers_are_named_or_the_administrator(text, names):
    assert approvers({"CXR_APPROVERS": text}) == names


@pytest.mark.parametrize("text", ["dr weber", "weber:admin", "weber;okafor", "-weber", "w" * 65])
def test_a_name_that_airflow_would_misread_is_refused(text):
    with pytest.raises(ConfigurationError, match="CXR_APPROVERS="):
        approvers({"CXR_APPROVERS": text})


@pytest.mark.parametrize(
    ("text", "limit"), [("", timedelta(days=7)), ("24", timedelta(days=1)), ("0.5", timedelta(minutes=30))]
)
def test_the_limit_is_a_week_or_as_asked(text, limit):
    assert approval_limit({"CXR_APPROVAL_HOURS": text}) == limit


@pytest.mark.parametrize("text", ["0", "-1", "a week", "nan", "inf", "8761"])
def test_a_limit_that_is_none_is_refused(text, dags: Path):
    environment = {"CXR_APPROVAL_HOURS": text, "CXR_DAGS": str(dags)}
    with pytest.raises(ConfigurationError, match=f"CXR_APPROVAL_HOURS={text}: expected a number of hours"):
        StackSettings.requested(environment)


def test_the_stack_that_runs_knows_its_approvers(settings: StackSettings, dags: Path):
    asked = StackSettings.requested({"CXR_APPROVERS": "dr.weber", "CXR_DAGS": str(dags)})
    prepare_files(asked)
    running = StackSettings.load()
    assert running == asked
    assert client_environment(running)["CXR_APPROVERS"] == "dr.weber"
    users = airflow_options(running)["core"]["simple_auth_manager_users"][0]
    assert users == "admin:admin,viewer:viewer,cxr-requests:user,dr.weber:user"


def test_a_stack_from_before_there_were_approvers_can_be_stopped(settings: StackSettings):
    prepare_files(settings)
    record = json.loads(settings.record.read_text())
    del record["approvers"]
    settings.record.write_text(json.dumps(record))
    assert StackSettings.load().approvers == ("admin",)
