"""Evaluate a registered version on a dataset that it was not trained on; its numbers go to its MLflow run too."""

from __future__ import annotations

from pathlib import Path

import yaml

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.labels import findings_of
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.datasets.catalogue import find_version
from cxr_tasks.datasets.latest import dataset_of
from cxr_tasks.datasets.trained_on import trained_on
from cxr_tasks.evaluate.assess import SPLITS
from cxr_tasks.evaluate.elsewhere.measure import evaluate_elsewhere
from cxr_tasks.evaluate.elsewhere.outcome import VersionOutcome, outcome_of
from cxr_tasks.evaluate.evaluation_file import read_evaluation_file
from cxr_tasks.evaluate.stage import ARTIFACT_FOLDER as EVALUATION
from cxr_tasks.installation.storage.changes import work_folder
from cxr_tasks.installation.storage.paths import evaluations_root
from cxr_tasks.registry import tracking, version_files, versions
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.run_log import RunLog

#: Where the numbers stand among the artifacts of the version's MLflow run.
ARTIFACT_FOLDER = "evaluation_elsewhere"


def evaluate_version(model: str, version: str, *, on: str, split: str = "test") -> VersionOutcome:
    """The outcome as plain values; all numbers are in ``metrics.json`` below ``evaluations_root()`` and on the run.

    Args:
        model: Name in the registry.
        version: Number or alias.
        on: A prepared dataset, ``NAME[@FINGERPRINT]``.
        split: ``test`` or ``validation``.

    Raises:
        ConfigurationError: No such split, or model and dataset share no finding.
        NoSuchVersion: The registry has no such version.
        DataDefect: No such dataset, or too many of its images were seen in training.
    """
    if split not in SPLITS:
        raise ConfigurationError(f"split: expected {' or '.join(SPLITS)}, found {split!r}")
    stored = find_version(on)
    prepared = dataset_of(stored.name, stored.fingerprint)
    number = _version_number(model, version)
    folder = evaluations_root() / model / str(number) / f"{prepared.dataset}-{prepared.fingerprint[:16]}"
    with work_folder() as work:
        loaded = version_files.load_version(model, number, work)
        recipe, own = _recipe_of(loaded.run_id, work), _own_evaluation(loaded.run_id, work)
        evaluation = evaluate_elsewhere(
            loaded.model_path, loaded.contract, recipe, prepared, folder, own=own,
            seen=trained_on(loaded, work), version=number, who=trail.who(),
            model_sha256=versions.version_tags(model, number).get("model.sha256", ""),
        )  # fmt: skip
    outcome: VersionOutcome = {
        "model": model,
        "version": number,
        "trained_on": loaded.contract.dataset,
        "dataset": prepared.dataset,
        "fingerprint": prepared.fingerprint,
        **outcome_of(evaluation, split, loaded.contract.findings, findings_of(prepared.vocabulary)),
        "seen_in_training": evaluation.seen_in_training,
        "metrics": str(folder / "metrics.json"),
        "mlflow_run_id": loaded.run_id,
    }
    _log_to_mlflow(outcome, prepared, folder)
    return outcome


def _version_number(model: str, text: str) -> int:
    """A version by its number or by an alias such as ``champion``."""
    if text.isdecimal():
        return int(text)
    version = versions.version_with_alias(model, text)
    if version is None:
        raise versions.NoSuchVersion(
            f"{model}: expected a version number or an alias, found {text!r}; 'cxr models' lists what there is"
        )
    return int(version.version)


def _recipe_of(run_id: str, folder: Path) -> Recipe:
    """The recipe that a run trained by, as it stood then."""
    with tracking.outside_failures("MLflow"):
        file = Path(tracking.client().download_artifacts(run_id, "recipe.yaml", str(folder)))
    return Recipe.from_dict(yaml.safe_load(file.read_text(encoding="utf-8")), "recipe.yaml")


def _own_evaluation(run_id: str, folder: Path) -> Evaluation | None:
    """The version's numbers on the dataset it was trained on; None where its run holds none."""
    path = f"{EVALUATION}/metrics.json"
    with tracking.outside_failures("MLflow"):
        if not any(artifact.path == path for artifact in tracking.client().list_artifacts(run_id, EVALUATION)):
            return None
        file = Path(tracking.client().download_artifacts(run_id, path, str(folder)))
    return read_evaluation_file(file)


def _log_to_mlflow(outcome: VersionOutcome, prepared: PreparedDataset, folder: Path) -> None:
    """AUROCs as metrics ``on_<dataset>_<fingerprint>/...``, all numbers as a file. The run's status stays as it is."""
    group = f"on_{prepared.dataset}_{prepared.fingerprint[:8]}"
    records = {"mean_auroc": outcome["mean_auroc"]}
    records |= {f"auroc_{finding}": measured["auroc"] for finding, measured in outcome["findings"].items()}
    values = {
        f"{group}/{outcome['split']}_{name}{ending}": record[key]
        for name, record in records.items()
        for ending, key in (("", "value"), ("_lower", "lower"), ("_upper", "upper"))
        if record[key] is not None
    }
    run = RunLog(tracking.client(), outcome["mlflow_run_id"])
    with tracking.outside_failures("MLflow"):
        run.metrics(values)
        # The predictions table stays out: its image ids can hold a source's patient numbers.
        run.artifact(folder / "metrics.json", f"{ARTIFACT_FOLDER}/{folder.name}")
