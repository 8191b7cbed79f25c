"""The whole stack, once: up, a task through it, a crash, down, and nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from cxr_tasks.installation.settings import PORT_VARIABLES, StackSettings, client_environment
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.registry import tracking
from cxr_tasks.stack.marked_processes import leftovers
from cxr_tasks.stack.programs import BY_NAME
from cxr_tasks.stack.show import stack_status
from tests.waiting import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]

DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def probe():
    @task
    def log_a_run():
        import os
        from mlflow import MlflowClient
        client = MlflowClient()
        experiment = client.create_experiment("probe")
        run = client.create_run(experiment).info.run_id
        client.log_metric(run, "auroc", 0.75)
        client.log_text(run, "served", "note.txt")
        client.set_terminated(run)
        return {"run": run, "home": os.environ["CXR_HOME"]}
    log_a_run()

probe()
"""


def stack(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cxr_tasks.stack", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=PROJECT_ROOT, check=False)


@pytest.fixture
def running(settings: StackSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackSettings]:
    (settings.dags / "probe.py").write_text(DAG)
    monkeypatch.setenv("CXR_DAGS", str(settings.dags))
    for name, (variable, _) in PORT_VARIABLES.items():
        monkeypatch.setenv(variable, str(getattr(settings, name)))
    try:
        up = stack("up", "--timeout", "900")
        assert up.returncode == 0, up.stdout + up.stderr
        # Later commands find the ports by themselves.
        for variable, _ in PORT_VARIABLES.values():
            monkeypatch.delenv(variable)
        secrets = [settings.mlflow_login().password, settings.airflow_login().password]
        assert not [one for one in secrets if one in up.stdout + up.stderr]
        yield settings
    finally:
        stack("down")


class Airflow:
    """The few REST calls of this test, as the administrator."""

    def __init__(self, settings: StackSettings):
        login = settings.airflow_login()
        body = {"username": login.username, "password": login.password}
        answer = requests.post(f"{settings.airflow_url}/auth/token", json=body, timeout=60)
        answer.raise_for_status()
        self.url = f"{settings.airflow_url}/api/v2"
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def get(self, path: str) -> Any:
        answer = requests.get(self.url + path, headers=self.headers, timeout=60)
        return answer.json() if answer.ok else None

    def run_to_its_end(self, dag: str) -> tuple[str, Any]:
        """State of a new run, and what its only task returned."""
        body = {"logical_date": None, "conf": {}}
        answer = requests.post(f"{self.url}/dags/{dag}/dagRuns", json=body, headers=self.headers, timeout=60)
        answer.raise_for_status()
        path = f"/dags/{dag}/dagRuns/{answer.json()['dag_run_id']}"
        wait_until(lambda: self.get(path)["state"] in ("success", "failed"))
        value = self.get(f"{path}/taskInstances/log_a_run/xcomEntries/return_value")
        return self.get(path)["state"], value and value["value"]


def pid_of(settings: StackSettings, name: str) -> int:
    """The process of a healthy program, else 0."""
    row = next(row for row in stack_status(settings) if row["program"] == name)
    return int(row["pid"] or 0) if row["is_healthy"] else 0


def test_up_work_crash_down(running: StackSettings, monkeypatch: pytest.MonkeyPatch):
    assert stack("status").returncode == 0
    again = stack("up")
    assert again.returncode == 0, again.stderr

    # Nobody without a login.
    assert requests.get(f"{running.airflow_url}/api/v2/dags", timeout=60).status_code == 401
    search = f"{running.mlflow_url}/api/2.0/mlflow/experiments/search?max_results=1"
    assert requests.get(search, timeout=60).status_code == 401
    assert requests.get(search, auth=("admin", "password1234"), timeout=60).status_code == 401

    # A task logs to MLflow with the login it was given; a client reads it with the same.
    airflow = Airflow(running)
    dag = wait_until(lambda: airflow.get("/dags/probe"))
    assert dag["is_paused"] is False
    state, returned = airflow.run_to_its_end("probe")
    assert state == "success"
    assert returned["home"] == str(running.home)
    for name, value in client_environment().items():
        monkeypatch.setenv(name, value)
    # Not a bare MlflowClient(): that one follows the address an earlier test may have left in MLflow's module.
    client = tracking.client()
    assert client.get_run(returned["run"]).data.metrics == {"auroc": 0.75}
    assert Path(client.download_artifacts(returned["run"], "note.txt")).read_text() == "served"
    assert any((running.mlflow_home / "artifacts").rglob("note.txt"))

    # What crashes is started again, and what it left is cleared away.
    for name in ("mlflow", "scheduler"):
        old = pid_of(running, name)
        os.kill(old, signal.SIGKILL)
        assert wait_until(lambda name=name, old=old: pid_of(running, name) not in (0, old))
    assert len(leftovers(running.home, program="mlflow")) == 1

    # Only the owner can read what the programs write.
    open_to_others = [
        path
        for folder in (running.airflow_home, running.mlflow_home, running.home / "secrets")
        for path in (folder, *folder.glob("*"))
        if path.stat().st_mode & 0o077 and path.parent.stat().st_mode & 0o077
    ]
    assert open_to_others == []

    down = stack("down")
    assert down.returncode == 0, down.stderr
    assert "none is left" in down.stdout
    assert leftovers(running.home) == []
    assert not running.record.exists()
    assert set(BY_NAME) == {row["program"] for row in stack_status(running) if row["state"] == "stopped"}
