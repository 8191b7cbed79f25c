"""A real supervisord, without the programs of the stack."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import psutil
import pytest

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.installation.logins import ensure_logins
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.stack.marked_processes import leftovers
from cxr_tasks.stack.programs import BY_NAME
from cxr_tasks.stack.stop import sweep
from cxr_tasks.stack.supervision import SOCKET_PATH_BYTES, Supervision, socket_path, start_supervisor


def folders(settings: StackSettings) -> None:
    settings.logs_folder.mkdir(parents=True)
    ensure_logins(settings.home / "secrets")


def test_started_asked_and_stopped(settings: StackSettings):
    folders(settings)
    try:
        supervision = start_supervisor(settings, os.environ)
        assert supervision.answers()
        assert {name: state.state for name, state in supervision.states().items()} == dict.fromkeys(BY_NAME, "STOPPED")
        assert stat.S_IMODE(socket_path(settings).stat().st_mode) == 0o700
        daemon = psutil.Process(supervision.pid())
        assert os.getsid(daemon.pid) == daemon.pid  # closing the terminal does not end it
        assert [one.pid for one in leftovers(settings.home)] == [daemon.pid]
    finally:
        n_stopped = sweep(settings)
    assert n_stopped == 1
    assert not supervision.answers()
    assert leftovers(settings.home) == []
    assert sweep(settings) == 0


def test_supervisor_that_cannot_start_says_why(settings: StackSettings):
    folders(settings)
    settings.logs_folder.joinpath("supervisord.log").mkdir()
    with pytest.raises(ServiceUnavailable, match=r"(?s)supervisord did not start: .*supervisord\.log"):
        start_supervisor(settings, os.environ)
    assert leftovers(settings.home) == []


def test_nobody_answers(settings: StackSettings):
    supervision = Supervision(settings)
    assert not supervision.answers()
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        supervision.states()


def test_socket_of_a_deep_folder_lies_in_a_private_one(settings: StackSettings, dags: Path):
    deep = StackSettings(
        home=settings.home / ("x" * 80) / ("y" * 80), dags=dags, airflow_port=1, mlflow_port=2, grpc_port=3, rest_port=4
    )
    path = socket_path(deep)
    try:
        assert len(os.fsencode(path)) <= SOCKET_PATH_BYTES
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert socket_path(deep) == path
        path.parent.chmod(0o755)
        with pytest.raises(Exception, match="only this user can enter"):
            socket_path(deep)
    finally:
        path.parent.rmdir()
