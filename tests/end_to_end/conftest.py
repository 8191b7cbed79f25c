"""One running stack for all tests of this folder, with one released model in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr_tasks.cli.airflow_api import AirflowApi
from cxr_tasks.contracts.paths import PROJECT_ROOT
from cxr_tasks.stack.settings import StackSettings, client_environment
from serving.server_process import free_port


@pytest.fixture(scope="session")
def stack(tmp_path_factory) -> Iterator[StackSettings]:
    """Airflow, MLflow and the model server on free ports with a run-time folder of their own; stopped at the end."""
    changed = {
        "CXR_HOME": str(tmp_path_factory.mktemp("stack") / "var"),
        "CXR_AIRFLOW_PORT": str(free_port()),
        "CXR_MLFLOW_PORT": str(free_port()),
        "CXR_GRPC_PORT": str(free_port()),
        "CXR_REST_PORT": str(free_port()),
    }
    before = dict(os.environ)
    os.environ.update(changed)
    command = [sys.executable, "-m", "cxr_tasks.stack"]
    try:
        subprocess.run([*command, "up"], check=True, cwd=PROJECT_ROOT)
        settings = StackSettings.load()
        os.environ.update(client_environment(settings))
        yield settings
    finally:
        subprocess.run([*command, "down"], check=True, cwd=PROJECT_ROOT)
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def api(stack: StackSettings) -> AirflowApi:
    return AirflowApi(stack)


@pytest.fixture(scope="session")
def released(stack: StackSettings) -> dict:
    """What ``cxr trigger`` says after a short training on synthetic X-rays, with a gate that it passes."""
    command = [str(Path(sys.executable).parent / "cxr"), "trigger", "synthetic_binary"]
    done = subprocess.run(
        [*command, "--epochs", "3", "--gate-floor", "0.6", "--wait", "--json"],
        stdout=subprocess.PIPE,
        cwd=PROJECT_ROOT,
        check=False,
    )
    assert done.returncode == 0, "cxr trigger failed; its output is above"
    return json.loads(done.stdout)
