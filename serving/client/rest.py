"""The model server's REST API: light to import, for commands that answer at once.

The stubs of the gRPC API import TensorFlow, which takes longer than the question; both ports answer alike.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from cxr_tasks.contracts.errors import CxrError, ReleaseRefused, ServiceUnavailable
from cxr_tasks.installation.settings import StackSettings

TIMEOUT_S = 60
LENIENT = "lenient"
#: The server reads its configuration every second and looks into folders every second.
OLD_REASON_S = 4.0


class RequestRefused(CxrError):
    """The model server answered that it cannot serve this request; the text is its own."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says of one image, a tuple entry per finding."""

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    decisions: tuple[bool, ...]
    note: str = ""
    """What is to be known of the image, in the server's words."""


def predict(settings: StackSettings, model: str, image: bytes, at: int | str | None = None) -> Answer:
    """Ask for one image, by the signature ``lenient``: its refusals are plain words, and it tells what is to be known.

    Args:
        at: A version, a label, or None for the newest version that is loaded.

    Raises:
        RequestRefused: The server cannot read the image, or knows no such model, version or label.
        ServiceUnavailable: No server answers.
    """
    body = {"instances": [{"image_bytes": {"b64": base64.b64encode(image).decode()}}]}
    path = f"{_path(model, at)}:predict"
    try:
        row = _call(settings, "POST", path, {"signature_name": LENIENT, **body})["predictions"][0]
    except RequestRefused as error:
        # A version that was exported before there was this signature goes on serving until the next release.
        if f'"{LENIENT}" not found' not in str(error):
            raise
        row = {**_call(settings, "POST", path, body)["predictions"][0], "status": "ok"}
    verdict, _, words = row["status"].partition(": ")
    if verdict != "ok":
        raise RequestRefused(words)
    return Answer(
        note=words,
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


def labelled_version(settings: StackSettings, model: str, label: str) -> int | None:
    """The version that answers to ``label`` now; None where none does.

    The status call ignores labels, on the real server too; the metadata call tells.
    """
    try:
        answer = _call(settings, "GET", f"{_path(model, label)}/metadata")
    except (RequestRefused, ServiceUnavailable):
        return None
    return int(answer["model_spec"]["version"])


def wait_available(settings: StackSettings, model: str, version: int, limit_s: float) -> float:
    """Seconds until ``version`` was AVAILABLE on the running server.

    Raises:
        ServiceUnavailable: It was not within ``limit_s``; the last state and the server's reason are named.
        ReleaseRefused: The server has tried it and given it up.
    """
    start = time.monotonic()

    def look() -> str:
        try:
            states = _call(settings, "GET", f"/v1/models/{model}")["model_version_status"]
        except (RequestRefused, ServiceUnavailable) as error:
            return str(error)
        mine = next((one for one in states if int(one["version"]) == version), None)
        if mine is None:
            return "no such version"
        reason = mine["status"].get("error_message", "")
        # The reason of an earlier try stays listed until the server has looked into the folder again.
        if mine["state"] == "END" and reason and time.monotonic() - start > OLD_REASON_S:
            raise ReleaseRefused(f"{model} version {version}: the model server cannot load it: {reason}")
        return "" if mine["state"] == "AVAILABLE" else f"{mine['state']} {reason}".strip()

    return _wait(settings, look, f"{model} version {version} to be AVAILABLE", limit_s)


def wait_labelled(settings: StackSettings, model: str, label: str, version: int | None, limit_s: float) -> float:
    """Seconds until ``version`` answered to ``label``, None for no version at all; ``ServiceUnavailable`` if not."""

    def look() -> str:
        found = labelled_version(settings, model, label)
        return "" if found == version else f"version {found}"

    return _wait(settings, look, f"{model} version {version} at label {label!r}", limit_s)


def wait_unloaded(settings: StackSettings, model: str, version: int, limit_s: float) -> float:
    """Seconds until ``version`` answered no more; ``ServiceUnavailable`` where it still does after ``limit_s``."""

    def look() -> str:
        return "it loaded" if version in served_versions(settings, model) else ""

    return _wait(settings, look, f"{model} version {version} to be unloaded", limit_s)


def _wait(settings: StackSettings, look: Callable[[], str], expected: str, limit_s: float) -> float:
    """Seconds until ``look`` had nothing to object any more."""
    start = time.monotonic()
    while found := look():
        if time.monotonic() - start >= limit_s:
            raise ServiceUnavailable(
                f"model server at {settings.rest_url}: expected {expected} within {limit_s:.0f} s, found {found}"
            )
        time.sleep(0.1)
    return time.monotonic() - start


def _path(model: str, at: int | str | None) -> str:
    if at is None:
        return f"/v1/models/{model}"
    return f"/v1/models/{model}/versions/{at}" if isinstance(at, int) else f"/v1/models/{model}/labels/{at}"


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
