"""Health as a user would see it; the servers here answer what the real ones were seen to answer."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cxr_tasks.installation.logins import ensure_logins
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.stack.health import check_health
from cxr_tasks.stack.supervision import ProgramState

NAMES = ("mlflow", "model-server", "api-server", "scheduler", "dag-processor", "triggerer")
STARTED = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

Answer = Callable[[BaseHTTPRequestHandler], tuple[int, Any]]


@pytest.fixture
def answering() -> Iterator[Callable[[int, Answer], None]]:
    servers = []

    def serve(port: int, answer: Answer) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answer(self)
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                """Keep the test's output clean."""

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def states(**changed: str) -> dict[str, ProgramState]:
    return {
        name: ProgramState(name, changed.get(name.replace("-", "_"), "RUNNING"), 1, STARTED.timestamp(), "")
        for name in NAMES
    }


def airflow_page(*, beat: datetime = STARTED + timedelta(seconds=5), scheduler: str = "healthy") -> dict[str, Any]:
    text = beat.isoformat()
    return {
        "metadatabase": {"status": "healthy"},
        "scheduler": {"status": scheduler, "latest_scheduler_heartbeat": text},
        "triggerer": {"status": "healthy", "latest_triggerer_heartbeat": text},
        "dag_processor": {"status": "healthy", "latest_dag_processor_heartbeat": text},
    }


def test_airflow_is_healthy_with_fresh_heartbeats(settings: StackSettings, answering: Any):
    ensure_logins(settings.home / "secrets")
    answering(settings.airflow_port, lambda _: (200, airflow_page()))
    found = check_health(settings, states())
    assert [found[name].is_healthy for name in NAMES[2:]] == [True, True, True, True]


def test_heartbeat_of_the_predecessor_does_not_count(settings: StackSettings, answering: Any):
    ensure_logins(settings.home / "secrets")
    answering(settings.airflow_port, lambda _: (200, airflow_page(beat=STARTED - timedelta(seconds=5))))
    found = check_health(settings, states())
    assert (found["scheduler"].is_healthy, found["scheduler"].detail) == (False, "no heartbeat yet")
    assert found["api-server"].is_healthy


def test_unhealthy_scheduler_is_seen(settings: StackSettings, answering: Any):
    ensure_logins(settings.home / "secrets")
    answering(settings.airflow_port, lambda _: (200, airflow_page(scheduler="unhealthy")))
    assert check_health(settings, states())["scheduler"].detail == "unhealthy"


def test_nothing_answers(settings: StackSettings):
    ensure_logins(settings.home / "secrets")
    found = check_health(settings, states())
    assert (found["mlflow"].is_healthy, found["mlflow"].detail) == (False, "not listening yet")
    assert (found["api-server"].is_healthy, found["api-server"].detail) == (False, "not listening yet")


def test_stopped_program_is_not_asked(settings: StackSettings):
    ensure_logins(settings.home / "secrets")
    assert check_health(settings, states(mlflow="FATAL"))["mlflow"].detail == "fatal"


def mlflow_answers(password: str) -> Answer:
    token = "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()
    return lambda request: (200, {}) if request.headers.get("Authorization") == token else (401, {})


def test_mlflow_with_our_password_is_healthy(settings: StackSettings, answering: Any):
    ensure_logins(settings.home / "secrets")
    answering(settings.mlflow_port, mlflow_answers(settings.mlflow_login().password))
    assert check_health(settings, states())["mlflow"].is_healthy


def test_mlflow_with_another_password_says_what_to_do(settings: StackSettings, answering: Any):
    ensure_logins(settings.home / "secrets")
    answering(settings.mlflow_port, mlflow_answers("another"))
    found = check_health(settings, states())["mlflow"]
    assert not found.is_healthy
    assert "refuses the password" in found.detail
    assert settings.mlflow_login().password not in found.detail


def test_mlflow_open_to_everybody_is_not_healthy(settings: StackSettings, answering: Any):
    ensure_logins(settings.home / "secrets")
    answering(settings.mlflow_port, lambda _: (200, {}))
    assert check_health(settings, states())["mlflow"].detail == "a request without login got 200, expected 401"


def test_model_server_without_a_version_waits(settings: StackSettings):
    ensure_logins(settings.home / "secrets")
    found = check_health(settings, states())["model-server"]
    assert (found.is_healthy, found.detail) == (True, "waits for a first version")


@pytest.mark.parametrize(
    ("state", "is_healthy", "detail"),
    [
        ("AVAILABLE", True, "cxr_binary v3"),
        ("LOADING", False, "cxr_binary: loading"),
        ("END", False, "cxr_binary: loading"),
    ],
)
def test_model_server_is_healthy_when_each_model_is_available(
    settings: StackSettings, answering: Any, state: str, is_healthy: bool, detail: str
):
    ensure_logins(settings.home / "secrets")
    (settings.home / "served" / "cxr_binary" / "3").mkdir(parents=True)
    page = {"model_version_status": [{"version": "3", "state": state, "status": {"error_code": "OK"}}]}
    answering(settings.rest_port, lambda _: (200, page))
    found = check_health(settings, states())["model-server"]
    assert (found.is_healthy, found.detail) == (is_healthy, detail)
