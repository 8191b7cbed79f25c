"""Refusals of ``up`` that need no running stack: nothing stays behind."""

from __future__ import annotations

import fcntl
import io
import signal
import socket
import stat
import subprocess
import sys

import pytest
from rich.console import Console

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.installation.settings import PORT_VARIABLES, StackSettings
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.stack import start
from cxr_tasks.stack.__main__ import main
from cxr_tasks.stack.marked_processes import leftovers, stop_processes
from cxr_tasks.stack.programs import PROGRAMS, Program
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def _asked_for(settings: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_DAGS", str(settings.dags))
    for name, (variable, _) in PORT_VARIABLES.items():
        monkeypatch.setenv(variable, str(getattr(settings, name)))


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_busy_port_stops_the_start_before_anything_is_written(
    settings: StackSettings, capsys: pytest.CaptureFixture[str]
):
    with socket.create_server(("127.0.0.1", settings.rest_port)):
        assert main(["up"]) == 1
    assert f"port {settings.rest_port} is held by" in capsys.readouterr().err
    assert not settings.record.exists()
    assert not (settings.home / "secrets").exists()
    assert leftovers(settings.home) == []


def test_program_that_ends_is_reported_with_its_last_lines_and_all_is_stopped(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
):
    """MLflow's place is taken by a program that ends at once; supervisord is real."""
    failing = Program("mlflow", "MLflow", ("-c", "print('no disk space'); raise SystemExit(3)"), False, 1)
    site = settings.home.parent / "site"
    site.mkdir()
    # The program's process reads the table anew: it is changed there as well.
    (site / "sitecustomize.py").write_text(
        "import cxr_tasks.stack.programs as programs\n"
        f"programs.BY_NAME['mlflow'] = programs.Program{(failing.name, failing.title, failing.arguments, False, 1)!r}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setattr(start, "PROGRAMS", (PROGRAMS[0],))
    with pytest.raises(ServiceUnavailable, match=r"(?s)MLflow ended while it started.*no disk space"):
        start.up(quiet(), timeout_s=600)
    assert leftovers(settings.home) == []
    assert not settings.record.exists()


def test_files_of_a_start_are_private(settings: StackSettings):
    start.prepare_files(settings)
    private = [settings.stack_folder, settings.logs_folder, settings.airflow_home, settings.mlflow_home]
    assert {stat.S_IMODE(one.stat().st_mode) for one in private} == {0o700}
    assert StackSettings.load() == settings


@pytest.mark.parametrize("command", ["down", "status", "logs"])
def test_commands_on_a_stopped_stack(command: str, capsys: pytest.CaptureFixture[str], settings: StackSettings):
    assert main([command]) == (1 if command == "status" else 0)
    assert capsys.readouterr().err == ""


def test_login_needs_a_running_stack(capsys: pytest.CaptureFixture[str]):
    assert main(["login"]) == 1
    assert "start it with 'make up'" in capsys.readouterr().err


def test_second_start_waits_for_the_first(settings: StackSettings):
    """While another process holds the lock this one says so; it goes on when the lock is free."""
    settings.stack_folder.mkdir(parents=True)
    with open(settings.stack_folder / "lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        command = [sys.executable, "-m", "cxr_tasks.stack", "down"]
        waiting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT)
        assert waiting.stdout is not None
        assert "waiting for another 'up' or 'down'" in waiting.stdout.readline()
        assert waiting.poll() is None
    assert "nothing was running" in waiting.communicate(timeout=300)[0]
    assert waiting.returncode == 0


@pytest.mark.parametrize("request_to_end", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_start_leaves_nothing(settings: StackSettings, request_to_end: signal.Signals):
    """Interrupted as soon as supervisord runs and the first programs have been asked to start."""
    starting = subprocess.Popen(
        [sys.executable, "-m", "cxr_tasks.stack", "up"],
        cwd=PROJECT_ROOT,
        # A test run in the background of a shell has SIGINT ignored, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  no threads here
    )
    try:
        wait_until(lambda: len(leftovers(settings.home)) >= 2, "two processes of the stack")
        starting.send_signal(request_to_end)
        assert starting.wait(timeout=300) == 128 + request_to_end
        assert leftovers(settings.home) == []
    finally:
        starting.kill()
        starting.wait()
        stop_processes(leftovers(settings.home), patience_s=5)
    assert not settings.record.exists()


def test_a_running_stack_keeps_its_engines(settings: StackSettings, monkeypatch: pytest.MonkeyPatch):
    start._require_same(settings)
    monkeypatch.setenv("CXR_EXECUTOR", "CeleryExecutor")
    with pytest.raises(ConfigurationError, match="CXR_EXECUTOR=CeleryExecutor, but .* LocalExecutor; run 'make down'"):
        start._require_same(settings)


def test_an_engine_without_its_address_stops_the_start_before_anything_is_written(settings, monkeypatch, capsys):
    pytest.importorskip("psycopg", reason="psycopg is not installed: make CLUSTER=1")
    monkeypatch.setenv("CXR_DATABASE", "postgres")
    assert main(["up"]) == 1
    assert "_database: expected one line such as postgresql" in " ".join(capsys.readouterr().err.split())
    assert not settings.record.exists()
