"""What a training leaves behind: files, a record in MLflow, and the handoff that refers to them."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.handoffs.training import TrainedModel
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.installation.storage.files import reference_to, replaced_file, verified_path, write_json, write_text
from cxr_tasks.registry.run_log import RunLog

if TYPE_CHECKING:
    from cxr_tasks.datasets.load import LoadedSplit
    from cxr_tasks.train.loop.fit import Fitted
    from cxr_tasks.train.loop.validation_logits import ValidationLogits

log = logging.getLogger(__name__)


def validation_logits(
    prepared: PreparedDataset, split: LoadedSplit, recipe: Recipe, fitted: Fitted, folder: Path
) -> ValidationLogits:
    """What the kept model, mirrored where the recipe asks for it, says of validation and its stressed views.

    Args:
        split: The validation split of ``prepared``, in stored order.
        folder: Where stressed views are kept while they are used.
    """
    import numpy as np
    import pandas as pd
    import tensorflow as tf

    from cxr_tasks.datasets.targets import evaluation_targets
    from cxr_tasks.train.loop.validation import predict, stressed_view
    from cxr_tasks.train.loop.validation_logits import ValidationLogits

    answer = tf.function(lambda images: fitted.network(images, training=False), reduce_retracing=True)
    stressed = (stressed_view(split.images, view, folder) for view in range(recipe.train.stress_views))
    logits = [predict(answer, view) for view in (split.images, *stressed)]
    index = pd.read_parquet(verified_path(prepared.index), columns=["split", "patient_key"])
    keys = index.loc[index["split"] == "validation", "patient_key"]
    patients = np.unique(keys.to_numpy(str), return_inverse=True)[1]
    return ValidationLogits(np.stack(logits), evaluation_targets(split.states, recipe.train.labels), patients)


def keep_training(
    prepared: PreparedDataset, recipe: Recipe, folder: Path, run: RunLog, fitted: Fitted, logits: ValidationLogits
) -> TrainedModel:
    """The handoff of a training: model, history, recipe and validation logits, written below ``folder``.

    All but the logits are uploaded to ``run``, with the mean validation AUROC of the kept epoch and its interval.
    """
    import yaml

    from cxr_tasks.train.loop.phases import total_epochs
    from cxr_tasks.train.loop.validation_logits import mean_auroc_of

    model, history, recipe_file = folder / "model.keras", folder / "history.json", folder / "recipe.yaml"
    validation = folder / "validation.npz"
    started = time.monotonic()
    with replaced_file(model) as aside:
        fitted.network.save(aside)
    write_json(history, fitted.progress.history)
    write_text(recipe_file, yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True))
    for file in (model, history, recipe_file):
        run.artifact(file)
    log.info("model of epoch %d saved and uploaded in %.1f s", fitted.progress.best_epoch, time.monotonic() - started)
    logits.write(validation)
    reached = mean_auroc_of(logits.plain(), recipe.evaluate)
    measured = {"": reached.value, "_lower": reached.lower, "_upper": reached.upper}
    run.metrics({f"best_val_auroc{key}": value for key, value in measured.items() if value is not None})
    return TrainedModel(
        model_name=recipe.model_name,
        recipe_sha256=recipe.sha256,
        dataset_fingerprint=prepared.fingerprint,
        mlflow_run_id=run.run_id,
        model=reference_to(model),
        history=reference_to(history),
        best_epoch=fitted.progress.best_epoch,
        epochs_run=fitted.progress.epochs_run,
        val_auroc=reached.value,
        val_auroc_lower=reached.lower,
        val_auroc_upper=reached.upper,
        seconds=fitted.progress.seconds,
        validation=reference_to(validation),
        stopped_by=fitted.progress.stopped_by,
        was_ended_by_clock=fitted.progress.was_ended_by_clock,
        epochs_asked=total_epochs(recipe.train),
    )
