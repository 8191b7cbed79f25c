"""A registered version in place of a training: its weights as they are, to be calibrated on another dataset."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import tensorflow as tf

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.datasets.load import LoadedSplit
from cxr_tasks.datasets.targets import evaluation_targets
from cxr_tasks.train.loop.fit import Fitted
from cxr_tasks.train.loop.progress import Progress
from cxr_tasks.train.loop.validation import Validator, predict
from cxr_tasks.train.losses.losses import class_weights, masked_bce
from cxr_tasks.train.networks.saved import load_model
from cxr_tasks.train.weights.starting_weights import WeightsOrigin

log = logging.getLogger(__name__)


def registered_as_it_is(recipe: Recipe, validation: LoadedSplit, folder: Path) -> Fitted:
    """The version that ``recipe.train.starting_weights`` names, and how it does on ``validation``, as epoch 0.

    Raises:
        ConfigurationError: It takes other pixels or gives other findings than the recipe has: its answers would mean
            nothing there.
        DataDefect: Its file is not what was registered, or ``validation`` holds one class only.
        NoSuchVersion, ServiceUnavailable: It is not to be had.
    """
    from cxr_tasks.registry.version_files import load_version

    spec, origin, started = recipe.train, WeightsOrigin.of(recipe.train), time.monotonic()
    version = load_version(origin.model_name, origin.version, folder / "version")
    for what, actual, expected in (
        ("pixels", version.contract.pixels, recipe.pixels),
        ("findings", version.contract.findings, recipe.findings),
    ):
        if actual != expected:
            raise ConfigurationError(
                f"{spec.starting_weights}: expected a version of the {what} {expected}, as the recipe {recipe.name} "
                f"has, found {actual}; take the recipe that it was trained by"
            )
    network = load_model(version.model_path, size_px=recipe.pixels.size_px, n_findings=len(recipe.findings))
    labels = evaluation_targets(validation.states, spec.labels)
    validator = Validator(validation.images, labels, spec.stress_views, folder)
    answer = tf.function(lambda images: network(images, training=False), reduce_retracing=True)
    logits = [predict(answer, view) for view in validator.views]
    score = validator.score(logits, float(masked_bce(labels, logits[0], class_weights(labels, "none"))))
    seconds = time.monotonic() - started
    record = {
        "epoch": 0, "val_loss": score.loss, "val_auroc": score.auroc, "val_score": score.score, "seconds": seconds,
    }  # fmt: skip
    if score.auroc_stressed is not None:
        record["val_auroc_stressed"] = score.auroc_stressed
    log.info("%s is taken as it is; nothing is trained", spec.starting_weights)
    return Fitted(network, Progress(history=[record], best_score=score.score, best_loss=score.loss, seconds=seconds))
