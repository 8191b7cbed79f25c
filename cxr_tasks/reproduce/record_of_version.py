"""What is recorded of a registered version: enough to train it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cxr_tasks.contracts.artifacts import sha256_json
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel
from cxr_tasks.contracts.handoffs.training import EpochRecord
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.datasets.catalogue import stored_versions
from cxr_tasks.datasets.latest import dataset_of
from cxr_tasks.evaluate.evaluation_file import read_evaluation_file
from cxr_tasks.installation.storage.files import read_json
from cxr_tasks.registry import tracking, version_files, versions
from cxr_tasks.registry.run_files import fetch_run_files
from cxr_tasks.sources.base import about_source


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedVersion:
    """One version by what its registry entry and its MLflow run hold."""

    model_name: str
    version: int
    run_id: str
    recipe: Recipe
    """Of the one candidate that became the version, with what was set in the trigger form."""
    dataset: str
    fingerprint: str
    history: list[EpochRecord]
    """Of the epochs that were run."""
    best_epoch: int
    stopped_by: str
    """Why training ended before its last epoch; '' where it did not."""
    evaluation: Evaluation
    evaluated: EvaluatedModel
    environment: dict[str, Any]
    """Empty for versions trained before it was recorded."""

    @property
    def name(self) -> str:
        return f"{self.model_name} version {self.version}"


def recorded_version(model_name: str, version: int, work: Path) -> RecordedVersion:
    """What is recorded of a version; its small files are fetched into ``work``.

    Raises:
        NoSuchVersion: The registry has no such version; those there are, are named.
        DataDefect: The version was not made by this platform, its recipe is another than the registered one, or was
            written by code that knew other settings, or its model file is another than was registered.
        ServiceUnavailable: MLflow does not answer.
    """
    entry = versions.registered(model_name, version)
    run_id, tags = str(entry.run_id), entry.tags
    unknown = [name for name in ("recipe.sha256", "data.name", "data.fingerprint") if name not in tags]
    if unknown:
        raise DataDefect(
            f"{model_name} version {version}: expected the tags {', '.join(unknown)}, found none; it was not "
            "registered by this platform"
        )
    # What is reproduced is the model that was judged: another one in its place is named before hours of training.
    version_files.load_version(model_name, version, work / "model")
    files = fetch_run_files(run_id, work)
    run = tracking.client().get_run(run_id).data
    return RecordedVersion(
        model_name=model_name,
        version=version,
        run_id=run_id,
        recipe=_recipe(files / "recipe.yaml", tags["recipe.sha256"], f"{model_name} version {version}"),
        dataset=tags["data.name"],
        fingerprint=tags["data.fingerprint"],
        history=read_json(files / "history.json"),
        best_epoch=int(run.metrics["best_epoch"]),
        stopped_by=run.tags.get("cxr.stopped_by", ""),
        evaluation=read_evaluation_file(files / "evaluation" / "metrics.json"),
        evaluated=EvaluatedModel.from_payload(read_json(files / "evaluation" / "evaluated.json")),
        environment=read_json(files / "environment.json") if (files / "environment.json").is_file() else {},
    )


def recorded_dataset(recorded: RecordedVersion) -> PreparedDataset:
    """The prepared dataset with the version's fingerprint.

    Raises:
        DataDefect: It is not on disk any more, or is not what it was; the text says how to get it again.
    """
    try:
        return dataset_of(recorded.dataset, recorded.fingerprint)
    except DataDefect as error:
        if any(version.fingerprint == recorded.fingerprint for version in _stored(recorded.dataset)):
            raise
        there = ", ".join(version.label for version in _stored(recorded.dataset)) or "none"
        data = "" if about_source(recorded.recipe.dataset.source).is_drawn else " --data DIR"
        raise DataDefect(
            f"{recorded.name} was trained on dataset {recorded.dataset} with fingerprint "
            f"{recorded.fingerprint[:16]}..., which is not on disk (there are: {there}): pruned, or made elsewhere. "
            f"Prepare it again from the same images, 'cxr trigger {recorded.recipe.name}{data}', or restore its folder "
            "from a backup; the fingerprint must come out the same"
        ) from error


def _stored(name: str) -> list:
    try:
        return stored_versions(name)
    except ConfigurationError:
        return []


def _recipe(path: Path, sha256: str, name: str) -> Recipe:
    """The recipe in ``path``, found to be the registered one, without its gate, which has no part in a training."""
    mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
    if sha256_json(mapping) != sha256:
        raise DataDefect(
            f"{name}: expected the recipe with sha256 {sha256[:12]}... on its MLflow run, found "
            f"{sha256_json(mapping)[:12]}...; the file was changed after the version was registered"
        )
    try:
        return Recipe.from_dict({key: value for key, value in mapping.items() if key != "gate"}, "recipe.yaml")
    except ConfigurationError as error:
        raise DataDefect(
            f"{name}: its recipe was written by code that knew other settings ({error}); check out the commit that "
            "trained it: it stands in environment.json on the MLflow run, and on the card"
        ) from None
