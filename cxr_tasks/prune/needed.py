"""Which runs are needed still: by a registered version, a report, a dataset, an evaluation, or a request at work.

A run's folder is needed where its name stands in what is kept. That is found by reading, not by knowing who refers to
what: a reference that is added to some file tomorrow is respected without a change here.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.storage.fetched_folders import is_in_bucket, place_of
from cxr_tasks.installation.storage.paths import REFERRED, RunPaths, home
from cxr_tasks.registry import tracking, versions

#: Kept folders whose small files may name a run.
_KEPT = (*(name for name in REFERRED if name not in ("runs", "weights")), "monitor", "feedback", "scores", "audit")
_TEXT = {".json", ".html", ".jsonl", ".csv", ".yaml", ".md"}
_RUN = re.compile(r"runs/([A-Za-z0-9_.-]+)")
_LARGEST_TEXT = 64 << 20
#: Artifacts of a version's run that may name a run's folder.
_SMALL_ARTIFACTS = ("evaluation/evaluated.json", "gate/decision.json", "release/parity.json")


def needed_run_folders() -> set[str]:
    """Names of folders below ``var/runs`` that something kept refers to.

    Raises:
        ServiceUnavailable: MLflow does not answer; without it nothing can be known to be unneeded.
    """
    names = set()
    for text in _kept_texts():
        names.update(_RUN.findall(text))
    for run_id in needed_mlflow_runs():
        names.update(_of_mlflow_run(run_id))
    return names | _of_open_requests()


def needed_mlflow_runs() -> set[str]:
    """The runs of registered versions, and the parents of these."""
    client = tracking.client()
    registered = {str(version.run_id) for version in versions.model_versions() if version.run_id}
    with tracking.outside_failures("MLflow"):
        parents = {client.get_run(run_id).data.tags.get("mlflow.parentRunId", "") for run_id in registered}
    return registered | {parent for parent in parents if parent}


def needed_fetched_folders(environment: Mapping[str, str]) -> set[str]:
    """Names of folders below ``var/fetched`` that a dataset at work reads, or one that is asked for will.

    Where the form names none, it is one of those that the settings name.
    """
    from cxr_tasks.worklist.store import Worklist

    worklist = Worklist()
    asked = [
        request.conf.get("data_folder")
        for state in ("waiting", "started")
        for request in worklist.in_state(state)  # type: ignore[arg-type]
        if request.kind == "dataset"
    ]
    addresses = {folder for folder in asked if folder}
    if len(addresses) < len(set(asked)):
        addresses |= {value for name, value in environment.items() if name.startswith("CXR_")}
    places = set()
    for address in addresses:
        if is_in_bucket(address):
            with contextlib.suppress(ConfigurationError):  # its ingest says what is wrong with it
                places.add(place_of(address).name)
    return places


def _kept_texts() -> Iterator[str]:
    for folder in _KEPT:
        root = home() / folder
        for path in root.rglob("*") if root.is_dir() else ():
            # What goes while it is looked at (a page that is written anew) is there again under the same name.
            with contextlib.suppress(FileNotFoundError):
                if path.suffix in _TEXT and path.is_file() and path.stat().st_size <= _LARGEST_TEXT:
                    yield path.read_text(encoding="utf-8", errors="replace")


def _of_mlflow_run(run_id: str) -> Iterable[str]:
    client = tracking.client()
    names: set[str] = set()
    with tracking.outside_failures("MLflow"):
        run = client.get_run(run_id)
        tags = run.data.tags
        if "cxr.dag_id" in tags and "cxr.dag_run_id" in tags:
            names.add(RunPaths.for_run(tags["cxr.dag_id"], tags["cxr.dag_run_id"]).root.name)
        for value in (*tags.values(), *run.data.params.values()):
            names.update(_RUN.findall(value))
        present = {artifact.path for folder in {path.split("/")[0] for path in _SMALL_ARTIFACTS}
                   for artifact in client.list_artifacts(run_id, folder)}  # fmt: skip
        for name in _SMALL_ARTIFACTS:
            if name in present:
                path = Path(client.download_artifacts(run_id, name))
                names.update(_RUN.findall(path.read_text(encoding="utf-8", errors="replace")))
    return names


def _of_open_requests() -> set[str]:
    from cxr_tasks.worklist.store import Worklist

    worklist = Worklist()
    return {
        RunPaths.for_run(request.dag_id, request.run_id).root.name
        for state in ("waiting", "started")
        for request in worklist.in_state(state)  # type: ignore[arg-type]
    }
