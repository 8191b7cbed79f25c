"""MLflow with a login for each approver, in a real server: who moved the alias is known, and who may."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests

from cxr_tasks.installation.logins import airflow_login
from cxr_tasks.installation.settings import StackSettings, client_environment
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.registry.alias_moves import changes_path, last_move
from cxr_tasks.stack.start import prepare_files
from serving.check.server_process import free_port
from tests.waiting import mlflow_answers, wait_until

pytestmark = pytest.mark.mlflow

APPROVERS = ("dr.weber", "dr.okafor")


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Iterator[StackSettings]:
    ports = {f"{name}_port": free_port() for name in ("airflow", "mlflow", "grpc", "rest")}
    home = tmp_path_factory.mktemp("logins") / "var"
    settings = StackSettings(home=home, dags=PROJECT_ROOT / "dags", approvers=APPROVERS, **ports)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_HOME", str(home))
        prepare_files(settings)
        for name, value in client_environment(settings).items():
            patch.setenv(name, value)
        with open(settings.logs_folder / "mlflow.log", "ab") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "cxr_tasks.stack.program", "mlflow"], cwd=PROJECT_ROOT, env=dict(os.environ),
                stdout=log, stderr=log,
            )  # fmt: skip
        try:
            told = (settings.logs_folder / "mlflow.log").read_text
            wait_until(lambda: mlflow_answers(settings), "MLflow answers", of=server, tell=told, pause_s=0.5)
            yield settings
        finally:
            server.terminate()
            server.wait(timeout=300)


def call(settings: StackSettings, who: str, method: str, path: str, **body: str) -> requests.Response:
    login = settings.mlflow_login() if who == "admin" else airflow_login(settings.home / "secrets", who)
    return requests.request(
        method, f"{settings.mlflow_url}/api/2.0/mlflow/{path}", json=body, auth=(login.username, login.password),
        timeout=60,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(registry) -> str:
    assert call(registry, "admin", "POST", "registered-models/create", name="cxr_binary").ok
    run = call(registry, "admin", "POST", "runs/create", experiment_id="0").json()["run"]["info"]
    source = {"source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
    for _ in range(2):
        made = call(registry, "admin", "POST", "model-versions/create", name="cxr_binary", **source)
        assert made.ok, made.text
    return "cxr_binary"


def test_an_approver_moves_the_alias_and_is_named(registry, model):
    assert last_move(model, "champion") is None
    for who, version in (("dr.weber", "1"), ("dr.okafor", "2"), ("admin", "1")):
        moved = call(registry, who, "POST", "registered-models/alias", name=model, alias="champion", version=version)
        assert moved.ok, moved.text
        found = last_move(model, "champion")
        assert (found.login, found.version) == (who, version)
    assert call(registry, "dr.weber", "POST", "registered-models/alias", name=model, alias="x", version="2").ok
    assert last_move(model, "champion").login == "admin"
    assert changes_path().stat().st_mode & 0o077 == 0


def test_an_approver_deletes_nothing_and_a_viewer_moves_nothing(registry, model):
    assert call(registry, "dr.weber", "DELETE", "registered-models/delete", name=model).status_code == 403
    before = changes_path().read_text()
    # Airflow's viewer has no login to MLflow; a wrong password is none either.
    assert (
        call(
            registry, "viewer", "POST", "registered-models/alias", name=model, alias="champion", version="2"
        ).status_code
        == 401
    )
    assert changes_path().read_text() == before
