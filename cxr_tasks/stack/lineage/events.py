"""One OpenLineage event of one task, as the standard's JSON; standard library only, as every task makes two.

Airflow's own provider is not used: it knows no versions of datasets, starts a process beside TensorFlow's threads, and
waits for the receiver. Source: OpenLineage 2-0-2, https://openlineage.io/spec/2-0-2/OpenLineage.json.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from cxr_tasks.installation.storage.paths import home

PRODUCER = "urn:cxr-platform"
_SPEC = "https://openlineage.io/spec"
#: Namespaces: of jobs, of prepared datasets by fingerprint, of files by sha256, of models by their registry's version.
JOBS, DATASETS, FILES, MODELS = "cxr", "cxr.datasets", "cxr.files", "cxr.models"
_RUNS = uuid.UUID("5d0f0f3c-5e1f-4b39-9a55-0c6f5a0b8d11")
_DIGEST = re.compile(r"[0-9a-f]{64}")
#: A hand-over of hundreds of parts has their files in the table that collects them.
MOST_DATASETS = 100

What = Literal["START", "COMPLETE", "FAIL"]


@dataclass(frozen=True, slots=True)
class TaskOfRun:
    """Which task of which run an event is of."""

    dag_id: str
    run_id: str
    task_id: str
    try_number: int
    map_index: int = -1

    @property
    def uuid(self) -> str:
        """The same for all events of one try."""
        key = (self.dag_id, self.run_id, self.task_id, str(self.try_number), str(self.map_index))
        return str(uuid.uuid5(_RUNS, "\0".join(key)))

    @property
    def parent_uuid(self) -> str:
        return str(uuid.uuid5(_RUNS, f"{self.dag_id}\0{self.run_id}"))


@dataclass(frozen=True, slots=True)
class Dataset:
    """Something read or written, of one content."""

    namespace: str
    name: str
    version: str


def task_event(
    what: What, task: TaskOfRun, *, read: Any = None, wrote: Any = None, error: str = "", at: datetime | None = None
) -> dict[str, Any]:
    """The event as JSON.

    Args:
        read: What was handed to the task: plain JSON, in which datasets, files and models are found.
        wrote: What it hands on.
        error: Class of what it failed with; no message, which may name a file of a patient.
    """
    outputs = list(dict.fromkeys(datasets_in(wrote)))[:MOST_DATASETS]
    inputs = [dataset for dataset in dict.fromkeys(datasets_in(read)) if dataset not in outputs][:MOST_DATASETS]
    parent = {"run": {"runId": task.parent_uuid}, "job": {"namespace": JOBS, "name": task.dag_id}}
    facets = {"parent": _facet("1-0-1", "ParentRunFacet", parent)}
    if error:
        facets["errorMessage"] = _facet(
            "1-0-1", "ErrorMessageRunFacet", {"message": error, "programmingLanguage": "python"}
        )
    kind = {"processingType": "BATCH", "integration": "AIRFLOW", "jobType": "TASK"}
    return {
        "eventType": what,
        "eventTime": (at or datetime.now(UTC)).isoformat(),
        "producer": PRODUCER,
        "schemaURL": f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": task.uuid, "facets": facets},
        "job": {
            "namespace": JOBS,
            "name": f"{task.dag_id}.{task.task_id}",
            "facets": {"jobType": _facet("2-0-3", "JobTypeJobFacet", kind)},
        },
        "inputs": [_as_json(dataset) for dataset in inputs],
        "outputs": [_as_json(output) for output in outputs],
    }


def datasets_in(value: Any) -> Iterator[Dataset]:
    """What a hand-over refers to by digest: prepared datasets, files, versions of models.

    >>> [one.version for one in datasets_in({"dataset": "kermany", "fingerprint": "f" * 64})] == ["f" * 64]
    True
    """
    if isinstance(value, dict):
        yield from _own(value)
        value = list(value.values())
    if isinstance(value, list | tuple):
        for element in value:
            yield from datasets_in(element)


def _own(value: dict[Any, Any]) -> Iterator[Dataset]:
    uri, digest = value.get("uri"), value.get("sha256")
    if isinstance(uri, str) and _is_digest(digest):
        yield Dataset(FILES, _below_home(uri), str(digest))
    name, fingerprint = value.get("dataset"), value.get("fingerprint")
    if isinstance(name, str) and _is_digest(fingerprint):
        yield Dataset(DATASETS, name, str(fingerprint))
    model, version = value.get("model_name"), value.get("version")
    if isinstance(model, str) and isinstance(version, int):
        yield Dataset(MODELS, model, str(version))


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and bool(_DIGEST.fullmatch(value))


def _below_home(uri: str) -> str:
    """A file's name within the installation, the same wherever that lies."""
    path = Path(uri)
    return str(path.relative_to(home())) if path.is_relative_to(home()) else path.name


def _as_json(dataset: Dataset) -> dict[str, Any]:
    version = _facet("1-0-1", "DatasetVersionDatasetFacet", {"datasetVersion": dataset.version})
    return {"namespace": dataset.namespace, "name": dataset.name, "facets": {"version": version}}


def _facet(version: str, name: str, content: dict[str, Any]) -> dict[str, Any]:
    where = f"{_SPEC}/facets/{version}/{name}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": where, **content}
