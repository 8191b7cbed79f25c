"""The registry asked by plain requests: the same answers as MLflow's own client gives, on MLflow's real server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.installation.settings import StackSettings, client_environment
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.registry import rest, versions
from cxr_tasks.registry.versions import NoSuchVersion
from cxr_tasks.stack.programs import BY_NAME, program_environment
from cxr_tasks.stack.start import prepare_files
from tests.waiting import mlflow_answers, wait_until

pytestmark = pytest.mark.mlflow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(cxr_home, monkeypatch, tmp_path):
    """MLflow with logins, as the stack runs it, with two versions of a model."""
    (tmp_path / "dags").mkdir()
    monkeypatch.setenv("CXR_DAGS", str(tmp_path / "dags"))
    monkeypatch.setenv("CXR_MLFLOW_PORT", str(free_port()))
    settings = StackSettings.requested(os.environ)
    prepare_files(settings)
    program = BY_NAME["mlflow"]
    environment = {**os.environ, **program_environment(program, settings)}
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, *program.arguments], env=environment, stdout=log, stderr=log, cwd=PROJECT_ROOT
        )
    try:
        wait_until(
            lambda: mlflow_answers(settings),
            "MLflow answers",
            of=process,
            tell=(tmp_path / "log").read_text,
            pause_s=0.3,
        )
        for name, value in client_environment(settings).items():
            monkeypatch.setenv(name, value)
        from cxr_tasks.registry import tracking

        client = tracking.client()
        client.create_registered_model("cxr_binary")
        run = client.create_run(client.create_experiment("made")).info
        for _ in range(2):
            client.create_model_version(
                "cxr_binary", source=run.artifact_uri, run_id=run.run_id, tags={"data.fingerprint": "ab"}
            )
        yield settings
    finally:
        process.terminate()
        process.wait(timeout=300)


def test_it_answers_as_mlflows_client(server, monkeypatch):
    assert rest.version_with_alias("cxr_binary", "champion") is None
    assert rest.version_with_alias("nope", "champion") is None
    rest.set_alias("cxr_binary", "champion", 2)
    found = rest.version_with_alias("cxr_binary", "champion")
    assert (found.version, found.tags) == (2, {"data.fingerprint": "ab"})
    assert int(versions.version_with_alias("cxr_binary", "champion").version) == 2
    assert rest.get_version("cxr_binary", 2) == found
    assert rest.get_version("cxr_binary", 9) is None

    rest.set_version_tags("cxr_binary", 2, {"release.refused": "no; 'quoted' & more"})
    assert versions.version_tags("cxr_binary", 2)["release.refused"] == "no; 'quoted' & more"
    rest.clear_version_tags("cxr_binary", 2, ["release.refused", "never.there"])
    assert versions.version_tags("cxr_binary", 2) == {"data.fingerprint": "ab"}

    assert rest.model_tags("nope") is None
    assert rest.model_tags("cxr_binary") == {}
    rest.set_model_tag("cxr_binary", "audit.head", "1:ab")
    assert rest.model_tags("cxr_binary") == {"audit.head": "1:ab"}
    with pytest.raises(NoSuchVersion, match="expected such a model"):
        rest.set_model_tag("nope", "audit.head", "1:ab")

    with pytest.raises(NoSuchVersion, match="expected version 9"):
        rest.set_alias("cxr_binary", "champion", 9)
    with pytest.raises(NoSuchVersion, match="expected version 9"):
        rest.set_version_tags("cxr_binary", 9, {"a": "b"})

    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another")
    with pytest.raises(ServiceUnavailable, match="found 401"):
        rest.version_with_alias("cxr_binary", "champion")


def test_a_server_that_does_not_answer_is_named(cxr_home, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(ServiceUnavailable, match=r"MLflow at http://127\.0\.0\.1:9: expected an answer"):
        rest.version_with_alias("cxr_binary", "champion")
