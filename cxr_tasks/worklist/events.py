"""What an Asset event asks for: as Airflow's REST API tells of it, to a request of the list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr_tasks.contracts.artifacts import sha256_json
from cxr_tasks.contracts.errors import ConfigurationError, nearest
from cxr_tasks.worklist.airflow_facts import AssetEvent
from cxr_tasks.worklist.request import Kind, Wanted, version_number

#: Asset -> what its events ask for; those of images and datasets have the family after them.
_ASSETS: dict[str, Kind] = {
    "new_images_": "dataset",
    "prepared_dataset_": "training",
    "challenger": "promotion",
    "champion": "release",
    "served_model": "report",
    # Only where the event says so: the setting is read where the alarm is raised.
    "drifted": "training",
    # A dataset of what came back, and by it the version calibrated anew.
    "miscalibrated": "dataset",
}
DRIFTED, MISCALIBRATED = "drifted", "miscalibrated"
_FORM = ("recipe", "epochs", "gate_floor", "allow_cpu", "feedback", "recalibrate")
#: Kind -> the fields of an event that its DAG is given.
_FIELDS: dict[Kind, tuple[str, ...]] = {
    "dataset": (*_FORM, "data_folder"),
    "training": (*_FORM, "prepared"),
    "promotion": ("model", "version"),
    "release": ("model", "version"),
    "report": ("model", "version"),
}
#: By what a version is known beside its number, where an event says it.
IDENTITY = ("mlflow_run_id", "model_sha256")
#: What else our own tasks say, which tells two requests apart.
_TOLD = ("decision_sha256",)
#: What Airflow itself adds to an event.
_AIRFLOWS = ("from_rest_api", "from_trigger")


def event_name(event: AssetEvent) -> str:
    """What makes an event this one, also beside those of a database that was made anew and counts from 1 again."""
    return f"{event['name']} event {event['id']} of {event['timestamp']}"


def wanted_by(event: AssetEvent) -> Wanted | None:
    """The request that an event asks for; None for an Asset that asks for nothing.

    A task that is tried or cleared and says the same again means the same request; each event from outside is one
    of its own.

    Raises:
        ConfigurationError: The event's ``extra`` cannot be understood.
    """
    kind, family = _asset(str(event["name"]))
    if kind is None:
        return None
    said = said_by(event)
    if event["name"] == DRIFTED:
        if not said.get("retrain"):
            return None
        if not said.get("model") or not said.get("recipe"):
            raise ConfigurationError(f"expected model and recipe, found {said}")
        family = str(said["model"]).removeprefix("cxr_")
        said = {"recipe": said["recipe"]}
    if event["name"] == MISCALIBRATED:
        if not all(said.get(name) for name in ("model", "recipe", "version")):
            raise ConfigurationError(f"expected model, recipe and version, found {said}")
        family = str(said["model"]).removeprefix("cxr_")
        said = {"recipe": said["recipe"], "feedback": True, "recalibrate": _whole(said["version"])}
    conf = {name: said[name] for name in _FIELDS[kind] if said.get(name) is not None}
    _require_known(kind, said)
    is_version = "version" in _FIELDS[kind]
    if is_version and (conf.get("version") is not None) > (conf.get("model") is not None):
        raise ConfigurationError(f"expected a model with version {conf['version']}, found none")
    if kind == "promotion" and conf.get("version") is None:
        raise ConfigurationError("expected model and version, found " + (str(said) if said else "nothing"))
    if is_version and "version" in conf:
        conf["version"] = _whole(conf["version"])
    source_run = event.get("source_run_id")
    task = f"{event.get('source_dag_id')}.{event.get('source_task_id')}"
    return Wanted(
        kind=kind,
        key=":".join(
            [str(event["name"]), task, source_run, str(event.get("source_map_index")), sha256_json(said)[:16]]
            if source_run
            else [event_name(event)]
        ),
        model=f"cxr_{family}" if family else str(conf.get("model") or ""),
        version=conf.get("version") if is_version else None,
        identity={name: str(said[name]) for name in IDENTITY if said.get(name)},
        conf=conf,
        source=f"{task}, run {source_run}" if source_run else event_name(event),
    )


def not_understood(event: AssetEvent) -> Wanted:
    """The request to keep in the list for an event that cannot be understood, so that it is told of."""
    kind, family = _asset(str(event["name"]))
    name = event_name(event)
    return Wanted(
        kind=kind or "dataset",
        key=name,
        model=f"cxr_{family}" if family else "",
        conf={"said": event.get("extra")},
        source=name,
    )


def _asset(name: str) -> tuple[Kind | None, str]:
    for start, kind in _ASSETS.items():
        if start.endswith("_") and name.startswith(start):
            return kind, name.removeprefix(start)
        if name == start:
            return kind, ""
    return None, ""


def said_by(event: AssetEvent) -> dict[str, Any]:
    """A trigger's words stand under ``payload``, those of a task or a person in ``extra`` itself."""
    extra = event.get("extra") or {}
    said = extra.get("payload") if extra.get("from_trigger") else extra
    if not isinstance(said, Mapping):
        raise ConfigurationError(f"expected fields and values, found {said!r}")
    return {name: value for name, value in said.items() if name not in _AIRFLOWS}


def _require_known(kind: Kind, said: Mapping[str, Any]) -> None:
    """``ConfigurationError`` for a misspelt field, which would be done without; what else a sender adds may stay."""
    known = (*_FIELDS[kind], *IDENTITY, *_TOLD)
    for name in said:
        if name not in known and (hint := nearest(name, known)):
            raise ConfigurationError(f"{name!r} is no field of this event{hint} (known: {', '.join(known)})")


def _whole(version: Any) -> int:
    number = version_number(version)
    if number is None:
        raise ConfigurationError(f"expected a version's number, found {version!r}")
    return number
