"""The few registry calls that must not wait for MLflow's import, which takes longer than a rollback may.

Against a tracking server they are plain requests of MLflow's REST API; without one (a SQLite file) MLflow answers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.registry import tracking, versions
from cxr_tasks.registry.versions import CHAMPION, NoSuchVersion

TIMEOUT_S = 10
#: What MLflow answers for a model, a version or an alias that is not there.
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True, slots=True)
class FoundVersion:
    """A version in the registry."""

    version: int
    run_id: str
    tags: dict[str, str]


def version_with_alias(model_name: str, alias: str) -> FoundVersion | None:
    """The version that bears ``alias``, or None where the model or the alias is not there."""
    if not _is_server():
        version = versions.version_with_alias(model_name, alias)
        return (
            None
            if version is None
            else FoundVersion(int(version.version), str(version.run_id or ""), dict(version.tags))
        )
    return _found(_call("GET", "registered-models/alias", {"name": model_name, "alias": alias}))


def get_version(model_name: str, version: int) -> FoundVersion | None:
    """A version by its number, or None where the registry has no such model or version."""
    if not _is_server():
        known = versions.model_versions(model_name)
        return next(
            (
                FoundVersion(version, str(known_version.run_id or ""), dict(known_version.tags))
                for known_version in known
                if int(known_version.version) == version
            ),
            None,
        )
    return _found(_call("GET", "model-versions/get", {"name": model_name, "version": str(version)}))


def run_is_there(run_id: str) -> bool:
    """Whether MLflow has that run, and it was not deleted."""
    if _is_server():
        answer = _call("GET", "runs/get", {"run_id": run_id})
        return answer is not None and answer["run"]["info"].get("lifecycle_stage", "active") == "active"
    from mlflow.exceptions import MlflowException

    try:
        with tracking.outside_failures("MLflow"):
            return tracking.client().get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
    return False


def _found(answer: dict[str, Any] | None) -> FoundVersion | None:
    if answer is None:
        return None
    told = answer["model_version"]
    tags = {tag["key"]: tag.get("value", "") for tag in told.get("tags", [])}
    return FoundVersion(int(told["version"]), told.get("run_id", ""), tags)


def set_alias(model_name: str, alias: str, version: int) -> None:
    """Move ``alias`` to ``version``; ``NoSuchVersion`` where the registry has no such model or version."""
    if not _is_server():
        versions.set_alias(model_name, alias, version)
        return
    body = {"name": model_name, "alias": alias, "version": str(version)}
    if _call("POST", "registered-models/alias", body) is None:
        raise NoSuchVersion(f"{model_name}: expected version {version} in the registry, found none")


def set_version_tags(model_name: str, version: int, tags: dict[str, Any]) -> None:
    """Set tags on a version; ``NoSuchVersion`` where the registry has no such version."""
    if not _is_server():
        versions.set_version_tags(model_name, version, tags)
        return
    for key, value in tags.items():
        body = {"name": model_name, "version": str(version), "key": key, "value": str(value)}
        if _call("POST", "model-versions/set-tag", body) is None:
            raise NoSuchVersion(f"{model_name}: expected version {version} in the registry, found none")


def clear_version_tags(model_name: str, version: int, keys: Iterable[str]) -> None:
    """Remove tags from a version; one that is not there is no error."""
    for key in keys:
        if not _is_server():
            with tracking.outside_failures("MLflow"):
                tracking.client().delete_model_version_tag(model_name, str(version), key)
        else:
            _call("DELETE", "model-versions/delete-tag", {"name": model_name, "version": str(version), "key": key})


def model_tags(model_name: str) -> dict[str, str] | None:
    """The tags of a registered model; None where there is no such model."""
    if _is_server():
        answer = _call("GET", "registered-models/get", {"name": model_name})
        if answer is None:
            return None
        return {tag["key"]: tag.get("value", "") for tag in answer["registered_model"].get("tags", [])}
    with tracking.outside_failures("MLflow"):
        models = tracking.client().search_registered_models(f"name = '{model_name}'")
    return dict(models[0].tags) if models else None


def set_model_tag(model_name: str, key: str, value: str) -> None:
    """Set a tag on a registered model; ``NoSuchVersion`` where there is no such model."""
    if not _is_server():
        with tracking.outside_failures("MLflow"):
            tracking.client().set_registered_model_tag(model_name, key, value)
    elif _call("POST", "registered-models/set-tag", {"name": model_name, "key": key, "value": value}) is None:
        raise NoSuchVersion(f"{model_name}: expected such a model in the registry, found none")


def _is_server() -> bool:
    return tracking.tracking_uri().startswith("http")


def _call(method: str, path: str, values: dict[str, str]) -> dict[str, Any] | None:
    """The JSON that MLflow answers; None where it knows no such model, version or alias.

    Raises:
        ServiceUnavailable: It does not answer, or refuses for another reason, which is given.
    """
    url = f"{tracking.tracking_uri()}/api/2.0/mlflow/{path}"
    sent: dict[str, Any] = {"params": values} if method == "GET" else {"json": values}
    try:
        # Loopback only: a proxy from the environment must not see the login.
        with httpx.Client(auth=_login(), timeout=TIMEOUT_S, trust_env=False) as client:
            answer = client.request(method, url, **sent)
    except httpx.HTTPError as error:
        raise ServiceUnavailable(
            f"MLflow at {tracking.tracking_uri()}: expected an answer, found {type(error).__name__}"
        ) from error
    told = answer.json() if "json" in answer.headers.get("Content-Type", "") else {}
    if answer.is_success:
        return told
    if told.get("error_code") in _ABSENT:
        return None
    raise ServiceUnavailable(
        f"MLflow at {tracking.tracking_uri()}: expected an answer to {path}, found {answer.status_code} "
        f"{told.get('message', '')}".rstrip()
    )


def registry_client() -> httpx.AsyncClient:
    """A client of the MLflow server in the environment, with the login that MLflow's own client takes from there."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"MLFLOW_TRACKING_URI={uri}: expected the address of an MLflow server, whose aliases can be watched"
        )
    return httpx.AsyncClient(base_url=uri, auth=_login(), timeout=TIMEOUT_S, trust_env=False)


def _login() -> httpx.BasicAuth | None:
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    return httpx.BasicAuth(user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None


async def champion_version(client: httpx.AsyncClient, model: str) -> tuple[int | None, str]:
    """The version with alias ``champion`` and its run; None and '' where the model or the alias is not there.

    Raises:
        ServiceUnavailable: No answer, or none that speaks of an alias.
    """
    try:
        answer = await client.get("/api/2.0/mlflow/registered-models/alias", params={"name": model, "alias": CHAMPION})
    except httpx.HTTPError as error:
        raise ServiceUnavailable(
            f"MLflow at {client.base_url}: expected an answer, found {type(error).__name__}"
        ) from error
    try:
        body = answer.json()
        if answer.is_success:
            return int(body["model_version"]["version"]), str(body["model_version"].get("run_id") or "")
        if body.get("error_code") in _ABSENT:
            return None, ""
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ServiceUnavailable(
        f"MLflow at {client.base_url}: expected alias {CHAMPION!r} of {model}, found status {answer.status_code}"
    )
