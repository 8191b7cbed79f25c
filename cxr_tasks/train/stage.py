"""Train one candidate of a recipe on a prepared dataset, watched in MLflow, resumable after a kill."""

from __future__ import annotations

import logging
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_tasks.contracts.artifacts import ArtifactRef, read_json, replaced_file, sha256_json, write_json
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.handoffs import PreparedDataset, TrainedModel
from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.registry.tracking import RunLog, client, experiment_id, open_run
from cxr_tasks.tensorflow_start import start_tensorflow
from cxr_tasks.validate.provenance import validation_tags

if TYPE_CHECKING:
    from cxr_tasks.train.fit import Progress
    from cxr_tasks.train.inputs import LoadedSplit

log = logging.getLogger(__name__)

#: Names the MLflow run of one training, so that a retry finds it even where the first try was killed at once.
TRAINING_TAG = "cxr.training"
#: What of a record is a metric of the epoch; the epoch itself is the step.
NOT_A_METRIC = {"epoch"}


def train_candidate(
    prepared: PreparedDataset,
    recipe: Recipe,
    paths: RunPaths,
    *,
    run_name: str,
    tags: dict[str, str] | None = None,
) -> TrainedModel:
    """The best epoch of one training run, as a ``.keras`` file and an MLflow run.

    Called again after a kill it goes on from the last finished epoch, in the same MLflow run, and on a CPU ends
    with the very weights of an uninterrupted run. Called again after its end it returns what it returned then.
    A changed recipe or dataset is another training with a folder of its own under ``paths.stage("train")``.

    Raises:
        ConfigurationError: Recipe and dataset do not fit, or the recipe names an unknown network or option.
        DataDefect: The dataset is not what it was, holds one class only, or the loss is no longer finite.
        ServiceUnavailable: Another process is at this training, or MLflow does not answer.
    """
    from cxr_tasks.train.resume import only_one_trainer

    _check_fit(prepared, recipe)
    training = sha256_json({"recipe": recipe.sha256, "dataset": prepared.fingerprint})
    folder = paths.stage("train") / training[:16]
    folder.mkdir(exist_ok=True)
    with only_one_trainer(folder):
        finished = folder / "trained.json"
        if finished.exists():
            trained = TrainedModel.from_payload(read_json(finished))
            trained.model.verified_path()
            log.info("training %s is finished; its model is returned as it is", training[:16])
            return trained
        run_id = _known_run(folder, recipe.model_name, f"{paths.root}:{training}")
        marks = {**(tags or {}), TRAINING_TAG: f"{paths.root}:{training}"}
        with open_run(recipe.model_name, run_name, run_id=run_id, tags=marks) as run:
            write_json(folder / "run.json", {"mlflow_run_id": run.run_id})
            trained = _train(prepared, recipe, folder, run)
            write_json(finished, trained.to_payload())
        return trained


def _check_fit(prepared: PreparedDataset, recipe: Recipe) -> None:
    for name, stored, asked in (
        ("pixels.size_px", prepared.size_px, recipe.pixels.size_px),
        ("dataset.vocabulary", prepared.vocabulary, recipe.dataset.vocabulary),
    ):
        if stored != asked:
            raise ConfigurationError(
                f"recipe {recipe.name}: {name} is {asked!r}, the dataset {prepared.dataset} was prepared with "
                f"{stored!r}; prepare it with this recipe"
            )


def _known_run(folder: Path, experiment: str, training: str) -> str | None:
    """The MLflow run of an earlier try, by the note it left, or by its tag if it was killed before it left one."""
    if (folder / "run.json").exists():
        return str(read_json(folder / "run.json")["mlflow_run_id"])
    mlflow = client()
    found = mlflow.search_runs(
        [experiment_id(mlflow, experiment)], filter_string=f"tags.`{TRAINING_TAG}` = '{training}'", max_results=1
    )
    return found[0].info.run_id if found else None


def _train(prepared: PreparedDataset, recipe: Recipe, folder: Path, run: RunLog) -> TrainedModel:
    start_tensorflow()
    import keras
    import tensorflow as tf

    from cxr_tasks.train.fit import fit
    from cxr_tasks.train.networks import options_of
    from cxr_tasks.train.precision import cpu_flags, resolve_precision

    gpus = tf.config.list_physical_devices("GPU")
    precision = resolve_precision(recipe.train.precision, cpu_flags=cpu_flags(), n_gpus=len(gpus))
    splits = {name: _load(prepared, recipe, name, folder) for name in ("train", "validation")}
    run.params(
        {
            **recipe.to_dict(),
            "network_options_in_force": options_of(recipe.train.network_options),
            "precision_in_force": precision,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        }
    )
    run.tags({"cxr.recipe": recipe.name, "cxr.recipe_sha256": recipe.sha256})
    validation = validation_tags(Path(prepared.folder))
    for name in splits:
        run.dataset(
            name=prepared.dataset,
            fingerprint=prepared.fingerprint,
            location=prepared.folder,
            context="training" if name == "train" else name,
            tags=validation,
        )
    watcher = _Watcher(run, recipe)
    fitted = fit(
        splits["train"], splits["validation"], recipe.train, precision=precision, folder=folder, on_epoch=watcher.see
    )
    watcher.end(fitted.progress)
    return _handoff(prepared, recipe, folder, run, fitted)


def _load(prepared: PreparedDataset, recipe: Recipe, split: str, folder: Path) -> LoadedSplit:
    from cxr_tasks.train.inputs import load_split

    return load_split(
        Path(prepared.folder),
        split,
        size_px=prepared.size_px,
        n_findings=len(recipe.findings),
        n_images=prepared.n_train if split == "train" else prepared.n_validation,
        spill_folder=folder,
    )


class _Watcher:
    """Tells MLflow and the log of each epoch."""

    def __init__(self, run: RunLog, recipe: Recipe):
        self._run, self._epochs = run, recipe.train.epochs
        # An epoch may have been saved and its process killed before MLflow heard of it.
        self._told = {point.step for point in client().get_metric_history(run.run_id, "val_score")}

    def see(self, progress: Progress) -> None:
        self._tell(progress)
        log.info("%s", epoch_line(progress, self._epochs))

    def end(self, progress: Progress) -> None:
        self._tell(progress)
        self._run.metrics({"best_epoch": progress.best_epoch, "train_seconds": progress.seconds})
        if progress.stopped_by:
            self._run.tags({"cxr.stopped_by": progress.stopped_by})
            log.info("training ended after epoch %d: %s", progress.epochs_run, progress.stopped_by)

    def _tell(self, progress: Progress) -> None:
        for record in progress.history:
            step = int(record["epoch"])
            if step not in self._told:
                self._run.metrics({k: v for k, v in record.items() if k not in NOT_A_METRIC}, step=step)
                self._told.add(step)


def epoch_line(progress: Progress, epochs: int) -> str:
    """One epoch as a line for the task's log, with what is still to come at the pace so far."""
    record = progress.history[-1]
    stressed = f" (stressed {record['val_auroc_stressed']:.4f})" if "val_auroc_stressed" in record else ""
    best = " (best)" if progress.best_epoch == progress.epochs_run else f" (best: epoch {progress.best_epoch})"
    pace = statistics.median(one["seconds"] for one in progress.history[-5:])  # the first one also compiles
    left = pace * (epochs - progress.epochs_run)
    return (
        f"epoch {progress.epochs_run}/{epochs}  loss {record['loss']:.4f}  val_loss {record['val_loss']:.4f}  "
        f"val_auroc {record['val_auroc']:.4f}{stressed}{best}  {record['images_per_second']:.0f} img/s  "
        f"about {left:.0f} s left"
    )


def _handoff(prepared: PreparedDataset, recipe: Recipe, folder: Path, run: RunLog, fitted: Any) -> TrainedModel:
    """Write model, history and recipe, upload them, and refer to them."""
    import yaml

    model, history, recipe_file = folder / "model.keras", folder / "history.json", folder / "recipe.yaml"
    started = time.monotonic()
    with replaced_file(model) as aside:
        fitted.network.save(aside)
    write_json(history, fitted.progress.history)
    recipe_file.write_text(yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True), encoding="utf-8")
    for file in (model, history, recipe_file):
        run.artifact(file)
    log.info("model of epoch %d saved and uploaded in %.1f s", fitted.progress.best_epoch, time.monotonic() - started)
    best = fitted.progress.history[fitted.progress.best_epoch - 1]
    return TrainedModel(
        model_name=recipe.model_name,
        recipe_sha256=recipe.sha256,
        dataset_fingerprint=prepared.fingerprint,
        mlflow_run_id=run.run_id,
        model=ArtifactRef.of(model),
        history=ArtifactRef.of(history),
        best_epoch=fitted.progress.best_epoch,
        epochs_run=fitted.progress.epochs_run,
        val_auroc=best["val_auroc"],
        seconds=fitted.progress.seconds,
    )
