"""Whether each program of the stack does its work, asked the way its users ask."""

from __future__ import annotations

import base64
import http.client
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.stack.supervision import ProgramState
from serving.served.models_config import models_to_serve

TIMEOUT_S = 5.0

#: Program -> the part of Airflow's health page that speaks of it, and its heartbeat there.
_AIRFLOW_PARTS = {
    "scheduler": ("scheduler", "latest_scheduler_heartbeat"),
    "dag-processor": ("dag_processor", "latest_dag_processor_heartbeat"),
    "triggerer": ("triggerer", "latest_triggerer_heartbeat"),
}


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a program does its work, and a few words for the person."""

    is_healthy: bool
    detail: str


def check_health(settings: StackSettings, states: dict[str, ProgramState]) -> dict[str, Health]:
    """Program name -> its health; one request to each server, a few seconds at most when a server hangs."""
    engines = settings.engines
    page = _Answer(0, None, "")
    if states["api-server"].is_up:
        page = _get(engines.airflow_host, settings.airflow_port, "/api/v2/monitor/health")
    health = {}
    for name, state in states.items():
        if not state.is_up:
            health[name] = Health(False, state.spawn_error or state.state.lower())
        elif name == "api-server":
            health[name] = _airflow_api(page)
        elif name in _AIRFLOW_PARTS:
            health[name] = _airflow_part(page, *_AIRFLOW_PARTS[name], started_at=state.started_at)
        elif name == "mlflow":
            health[name] = _mlflow(settings)
        else:
            health[name] = _model_server(settings)
    return health


@dataclass(frozen=True, slots=True)
class _Answer:
    """``status`` is 0 when no server answered; ``body`` is JSON or None."""

    status: int
    body: Any
    problem: str


def _get(host: str, port: int, path: str, headers: dict[str, str] | None = None) -> _Answer:
    """One GET to a server of the stack; the standard library's plain client knows no proxies, which is wanted here."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        return _Answer(0, None, "not listening yet" if isinstance(error, ConnectionRefusedError) else str(error))
    finally:
        connection.close()
    try:
        return _Answer(response.status, json.loads(content), "")
    except ValueError:
        return _Answer(response.status, None, f"answered {response.status}")


def _airflow_api(page: _Answer) -> Health:
    if page.status != 200 or not isinstance(page.body, dict):
        return Health(False, page.problem or f"answered {page.status}")
    status = page.body.get("metadatabase", {}).get("status")
    return Health(status == "healthy", "ok" if status == "healthy" else f"database {status}")


def _airflow_part(page: _Answer, part: str, beat: str, *, started_at: float) -> Health:
    """A heartbeat older than the program is that of its predecessor, which the page still calls healthy."""
    if page.status != 200 or not isinstance(page.body, dict):
        return Health(False, "waiting for the API server")
    said = page.body.get(part) or {}
    if said.get("status") != "healthy" or not said.get(beat):
        return Health(False, said.get("status") or "no heartbeat yet")
    if datetime.fromisoformat(said[beat]).timestamp() < started_at:
        return Health(False, "no heartbeat yet")
    return Health(True, "ok")


def _mlflow(settings: StackSettings) -> Health:
    """Healthy when it answers, knows our login, and refuses a request without one."""
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    anonymous = _get(settings.engines.mlflow_host, settings.mlflow_port, path)
    if anonymous.status == 0:
        return Health(False, anonymous.problem)
    if anonymous.status != 401:
        return Health(False, f"a request without login got {anonymous.status}, expected 401")
    login = settings.mlflow_login()
    token = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
    answer = _get(settings.engines.mlflow_host, settings.mlflow_port, path, {"Authorization": f"Basic {token}"})
    if answer.status == 401:
        return Health(
            False,
            f"refuses the password in {settings.secrets}: it was made for another "
            f"{settings.mlflow_home / 'basic_auth.db'}; restore one, or stop the stack and remove that database",
        )
    return Health(answer.status == 200, "ok" if answer.status == 200 else answer.problem or f"answered {answer.status}")


def _model_server(settings: StackSettings) -> Health:
    """Healthy when every model that has a version to serve has one available; also while there is none to serve."""
    models = [model.name for model in models_to_serve()]
    if not models:
        return Health(True, "waits for a first version")
    details = []
    for name in models:
        answer = _get(settings.engines.model_hosts[0], settings.rest_port, f"/v1/models/{name}")
        if answer.status != 200 or not isinstance(answer.body, dict):
            return Health(False, f"{name}: {answer.problem or f'answered {answer.status}'}")
        versions = answer.body.get("model_version_status", [])
        available = [version["version"] for version in versions if version.get("state") == "AVAILABLE"]
        if not available:
            return Health(False, f"{name}: loading")
        details.append(f"{name} v{', v'.join(available)}")
    return Health(True, "; ".join(details))
