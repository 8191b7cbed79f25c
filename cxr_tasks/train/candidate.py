"""Train one candidate of a recipe on a prepared dataset, watched in MLflow, resumable after a kill."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.artifacts import sha256_json
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.handoffs.training import PlannedCandidate, TrainedModel
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.datasets.latest import stored_pixels
from cxr_tasks.installation.storage.changes import remove_file
from cxr_tasks.installation.storage.files import (
    read_json,
    verified_path,
    write_json,
    write_text,
)
from cxr_tasks.installation.storage.paths import RunPaths, relocated
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.installation.tensorflow_start import start_tensorflow
from cxr_tasks.registry.run_log import RunLog
from cxr_tasks.registry.tracking import open_run, runs_with_tag
from cxr_tasks.train.dataset_fit import check_fit
from cxr_tasks.train.devices import require_device
from cxr_tasks.train.environment import training_environment
from cxr_tasks.train.kept_training import keep_training, validation_logits
from cxr_tasks.train.loop.watch import Judge, Watcher
from cxr_tasks.train.phantom_weights import fetch_phantom_weights
from cxr_tasks.validate.summary import validation_tags

if TYPE_CHECKING:
    from cxr_tasks.datasets.load import LoadedSplit
    from cxr_tasks.train.data.label_treatment import Targets
    from cxr_tasks.train.loop.progress import Progress

log = logging.getLogger(__name__)

#: Names the MLflow run of one training, so that a retry finds it even where the first try was killed at once.
TRAINING_TAG = "cxr.training"
#: Number of the candidate, on its MLflow run.
CANDIDATE_TAG = "cxr.candidate"
AS_IT_IS = PlannedCandidate(number=1, name="recipe as it is", settings={})


@room_for("training", 32 * MIB)
def train_candidate(
    prepared: PreparedDataset,
    recipe: Recipe,
    paths: RunPaths,
    *,
    run_name: str,
    tags: dict[str, str] | None = None,
    candidate: PlannedCandidate = AS_IT_IS,
    judge: Judge | None = None,
) -> TrainedModel:
    """The best epoch of one training run, as a ``.keras`` file and an MLflow run.

    Called again after a kill it goes on from the last finished epoch, in the same MLflow run, and on a CPU ends
    with the very weights of an uninterrupted run. Called again after its end it returns what it returned then.
    A changed recipe or dataset is another training with a folder of its own under ``paths.stage("train")``.

    Args:
        candidate: Which of several it is; ``recipe`` is that candidate's.
        judge: May end the training after any epoch; what was best until then is kept.

    Raises:
        ConfigurationError: Recipe and dataset do not fit, or the recipe names an unknown network or option.
        DataDefect: The dataset is not what it was, holds one class only, or the loss is no longer finite.
        ServiceUnavailable: Another process is at this training, or MLflow does not answer.
    """
    from cxr_tasks.train.loop.resume import STATE_FILE, only_one_trainer

    check_fit(prepared, recipe)
    training = sha256_json({"recipe": recipe.sha256, "dataset": prepared.fingerprint})
    folder = paths.stage("train") / training[:16]
    folder.mkdir(exist_ok=True)
    with only_one_trainer(folder):
        finished = folder / "trained.json"
        if finished.exists():
            trained = TrainedModel.from_payload(read_json(finished))
            verified_path(trained.model)
            log.info("training %s is finished; its model is returned as it is", training[:16])
            return trained
        run_id = _known_run(folder, recipe.model_name, f"{paths.root}:{training}")
        marks = {
            **(tags or {}),
            TRAINING_TAG: f"{paths.root}:{training}",
            CANDIDATE_TAG: str(candidate.number),
            "cxr.candidate_name": candidate.name,
        }
        with open_run(recipe.model_name, run_name, run_id=run_id, tags=marks) as run:
            write_json(folder / "run.json", {"mlflow_run_id": run.run_id})
            trained = _train_or_clear(prepared, recipe, folder, run, judge)
            trained = dataclasses.replace(
                trained,
                candidate=candidate.number,
                candidate_name=candidate.name,
                settings=dict(candidate.settings or {}),
            )
            write_json(finished, trained.to_payload())
        # What a run that was killed goes on from: three times the model, and of no use once that is there.
        remove_file(folder / STATE_FILE)
        return trained


def _known_run(folder: Path, experiment: str, training: str) -> str | None:
    """The MLflow run of an earlier try, by the note it left, or by its tag if it was killed before it left one."""
    if (folder / "run.json").exists():
        return str(read_json(folder / "run.json")["mlflow_run_id"])
    runs = runs_with_tag(experiment, TRAINING_TAG, training)
    return runs[0].info.run_id if runs else None


def _train_or_clear(
    prepared: PreparedDataset, recipe: Recipe, folder: Path, run: RunLog, judge: Judge | None
) -> TrainedModel:
    """``_train``; where it fails for good, no features of images stay behind. A retry would take those up."""
    try:
        return _train(prepared, recipe, folder, run, judge)
    except (DataDefect, ConfigurationError):
        from cxr_tasks.train.loop.features import remove_features

        remove_features(folder)
        raise


def _train(prepared: PreparedDataset, recipe: Recipe, folder: Path, run: RunLog, judge: Judge | None) -> TrainedModel:
    start_tensorflow()
    import keras
    import tensorflow as tf

    from cxr_tasks.installation.processor import cpu_flags
    from cxr_tasks.train.lineage import ARTIFACT, write_lineage
    from cxr_tasks.train.loop.devices import training_devices
    from cxr_tasks.train.loop.fit import fit
    from cxr_tasks.train.loop.phases import total_epochs
    from cxr_tasks.train.networks.networks import options_of
    from cxr_tasks.train.networks.precision import resolve_precision

    gpus = tf.config.list_physical_devices("GPU")
    require_device(recipe, n_images=prepared.n_train, n_gpus=len(gpus))
    asked = "float32" if recipe.train.keeps_weights else recipe.train.precision
    precision = resolve_precision(asked, cpu_flags=cpu_flags(), n_gpus=len(gpus))
    devices = training_devices(recipe.train)
    log.info("each batch of %d is shared by %d device(s): %s", recipe.train.batch_size, len(devices), devices)
    splits = {name: _load(prepared, recipe, name, folder) for name in ("train", "validation")}
    run.params(
        {
            **recipe.to_dict(),
            "network_options_in_force": options_of(recipe.train.network_options, recipe.train.network),
            "precision_in_force": precision,
            "devices_in_force": len(devices),
            "epochs_in_force": total_epochs(recipe.train),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        }
    )
    pixels = stored_pixels(prepared)
    run.tags(
        {
            "cxr.recipe": recipe.name,
            "cxr.recipe_sha256": recipe.sha256,
            "cxr.pixels": json.dumps(plain(pixels.spec)),
            "cxr.prepare_version": str(pixels.prepare_version or "unknown"),
        }
    )
    validation = validation_tags(relocated(prepared.folder))
    for name in splits:
        run.dataset(
            name=prepared.dataset,
            fingerprint=prepared.fingerprint,
            location=prepared.folder,
            context="training" if name == "train" else name,
            tags=validation,
        )
    if recipe.train.starting_weights == "phantoms":
        reached = fetch_phantom_weights(recipe, precision, folder, lambda progress: _tell_phantoms(run, progress))
        run.metrics({"phantoms_seconds": reached["seconds"], "phantoms_best_val_auroc": reached["val_auroc"]})
    environment = training_environment(recipe.train, n_gpus=len(gpus), precision=precision, folder=folder)
    environment["n_devices"] = len(devices)
    write_json(folder / "environment.json", environment)
    run.artifact(folder / "environment.json")
    remarks = write_lineage(prepared, recipe.train, folder)
    run.artifact(folder / ARTIFACT)
    targets = _targets(splits["train"], recipe, folder, run)
    watcher = Watcher(run, total_epochs(recipe.train), judge)
    if recipe.train.keeps_weights:
        from cxr_tasks.train.loop.as_it_is import registered_as_it_is

        fitted = registered_as_it_is(recipe, splits["validation"], folder)
    else:
        fitted = fit(
            splits["train"],
            splits["validation"],
            recipe.train,
            precision=precision,
            folder=folder,
            on_epoch=watcher.see,
            findings=recipe.findings,
            targets=targets,
        )
    watcher.end(fitted.progress)
    logits = validation_logits(prepared, splits["validation"], recipe, fitted, folder)
    trained = keep_training(prepared, recipe, folder, run, fitted, logits)
    told = tuple(plain(remark) for remark in remarks)
    return dataclasses.replace(trained, was_ended_early=watcher.was_ended_early, remarks=told)


def _tell_phantoms(run: RunLog, progress: Progress) -> None:
    record = progress.history[-1]
    told = {f"phantoms_{name}": record[name] for name in ("loss", "val_auroc", "images_per_second")}
    run.metrics(told, step=progress.epochs_run)


def _load(prepared: PreparedDataset, recipe: Recipe, split: str, folder: Path) -> LoadedSplit:
    from cxr_tasks.datasets.load import load_split

    return load_split(
        relocated(prepared.folder),
        split,
        size_px=prepared.size_px,
        n_findings=len(recipe.findings),
        n_images=prepared.n_train if split == "train" else prepared.n_validation,
        spill_folder=folder,
    )


def _targets(train: LoadedSplit, recipe: Recipe, folder: Path, run: RunLog) -> Targets:
    """Training targets under the recipe's label policies; what became of the labels goes to the log and to MLflow."""
    from cxr_tasks.train.data.label_treatment import label_counts, policy_table, split_targets

    spec, findings = recipe.train.labels, recipe.findings
    targets = split_targets(train, findings, spec, seed=recipe.train.seed, folder=folder)
    table = policy_table(train.states, findings, spec, targets)
    log.info("%s", table)
    write_text(folder / "labels.txt", table + "\n")
    write_json(folder / "labels.json", label_counts(train.states, findings, spec, targets))
    for name in ("labels.txt", "labels.json"):
        run.artifact(folder / name)
    return targets
