"""The model server's REST API: light to import, for commands that answer at once.

The stubs of the gRPC API import TensorFlow, which takes longer than the question; both ports answer alike.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from typing import Any

import requests

from cxr_tasks.contracts.errors import CxrError, ReleaseRefused, ServiceUnavailable
from cxr_tasks.stack.settings import StackSettings

TIMEOUT_S = 60


class RequestRefused(CxrError):
    """The model server answered that it cannot serve this request; the text is its own."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says of one image, a tuple entry per finding."""

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    decisions: tuple[bool, ...]


def predict(settings: StackSettings, model: str, image: bytes, version: int | None = None) -> Answer:
    """Ask for one image.

    Raises:
        RequestRefused: The server cannot read the image, or knows no such model or version.
        ServiceUnavailable: No server answers.
    """
    at = f"/versions/{version}" if version is not None else ""
    body = {"instances": [{"image_bytes": {"b64": base64.b64encode(image).decode()}}]}
    row = _call(settings, "POST", f"/v1/models/{model}{at}:predict", body)["predictions"][0]
    return Answer(
        labels=tuple(row["labels"]),
        probabilities=tuple(float(one) for one in row["probabilities"]),
        decisions=tuple(bool(one) for one in row["decisions"]),
    )


def served_versions(settings: StackSettings, model: str) -> list[int]:
    """Versions that answer now, newest first; empty where the server is not up or knows no such model."""
    try:
        answer = _call(settings, "GET", f"/v1/models/{model}")
    except (RequestRefused, ServiceUnavailable):
        return []
    found = [int(one["version"]) for one in answer["model_version_status"] if one["state"] == "AVAILABLE"]
    return sorted(found, reverse=True)


def wait_available(settings: StackSettings, model: str, version: int, limit_s: float) -> float:
    """Seconds until ``version`` was AVAILABLE on the running server.

    Raises:
        ServiceUnavailable: It was not within ``limit_s``; the last state and the server's reason are named.
        ReleaseRefused: The server has tried it and given it up.
    """
    start = time.monotonic()
    found = "no answer"
    while time.monotonic() - start < limit_s:
        try:
            states = _call(settings, "GET", f"/v1/models/{model}")["model_version_status"]
        except (RequestRefused, ServiceUnavailable) as error:
            found = str(error)
        else:
            mine = next((one for one in states if int(one["version"]) == version), None)
            reason = mine["status"].get("error_message", "") if mine else ""
            found = f"{mine['state']} {reason}".strip() if mine else "no such version"
            if mine and mine["state"] == "AVAILABLE":
                return time.monotonic() - start
            if mine and mine["state"] == "END" and reason:
                raise ReleaseRefused(f"{model} version {version}: the model server cannot load it: {reason}")
        time.sleep(0.2)
    raise ServiceUnavailable(
        f"model server at {settings.rest_url}: expected {model} version {version} to be AVAILABLE within "
        f"{limit_s:.0f} s, found {found}"
    )


def _call(settings: StackSettings, method: str, path: str, body: Any = None) -> Any:
    session = requests.Session()
    # Loopback only: a proxy from the environment must not see patients' images.
    session.trust_env = False
    try:
        answer = session.request(method, f"{settings.rest_url}{path}", json=body, timeout=TIMEOUT_S)
    except (requests.ConnectionError, requests.Timeout):
        raise ServiceUnavailable(
            f"model server at {settings.rest_url}: expected an answer, found none; is the stack up ('make status'), "
            "and has a model been released?"
        ) from None
    if not answer.ok:
        raise RequestRefused(_reason(answer))
    return answer.json()


def _reason(answer: requests.Response) -> str:
    try:
        text = str(answer.json()["error"])
    except (ValueError, KeyError):
        text = answer.text
    return f"{answer.status_code}: {text.splitlines()[0] if text else 'no reason given'}"
