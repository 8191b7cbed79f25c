"""Settings of a stack of the test's own."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from cxr_tasks.installation.settings import StackSettings


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    """An empty folder of DAGs."""
    folder = tmp_path / "dags"
    folder.mkdir()
    return folder


@pytest.fixture
def free_ports() -> list[int]:
    """Four ports that nothing listens on; held open together while they are drawn, so that they differ."""
    sockets = [socket.socket() for _ in range(4)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def settings(cxr_home: Path, dags: Path, free_ports: list[int]) -> StackSettings:
    """A stack in a run-time folder of the test's own, on free ports, not started."""
    names = ("airflow_port", "mlflow_port", "grpc_port", "rest_port")
    return StackSettings(home=cxr_home, dags=dags, **dict(zip(names, free_ports, strict=True)))
