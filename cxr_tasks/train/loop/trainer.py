"""One run's networks, optimizer and data, and what an epoch does with them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cxr_tasks.contracts.errors import DataDefect, chosen
from cxr_tasks.contracts.train_specs import TrainSpec
from cxr_tasks.datasets.load import LoadedSplit
from cxr_tasks.datasets.targets import evaluation_targets
from cxr_tasks.train.data.inputs import BatchPlan, image_weights, training_batches
from cxr_tasks.train.data.label_treatment import Targets
from cxr_tasks.train.loop.devices import Devices, check_share, training_devices
from cxr_tasks.train.loop.features import cached_features, feature_batches, remove_features, weights_key
from cxr_tasks.train.loop.phases import (
    augmentation_of,
    caches_features,
    learning_weights,
    make_optimizer,
    phases_of,
    set_trainable,
    updates_per_epoch,
)
from cxr_tasks.train.loop.progress import EpochRecord, Progress
from cxr_tasks.train.loop.resume import SavedState, load_state
from cxr_tasks.train.loop.steps import UpdateStep, WeightAverage
from cxr_tasks.train.loop.validation import BATCH, ValidationScore, Validator, predict
from cxr_tasks.train.losses.losses import class_weights, make_loss, masked_bce
from cxr_tasks.train.networks.backbone import BackboneAndHead
from cxr_tasks.train.networks.networks import build_for_training, build_network, network_with_flip
from cxr_tasks.train.networks.precision import dtype_policy
from cxr_tasks.train.weights.load_weights import load_starting_weights


class Trainer:
    """Networks, optimizer and average of one run, and what an epoch does with them, phase after phase."""

    def __init__(
        self,
        train: LoadedSplit,
        validation: LoadedSplit,
        spec: TrainSpec,
        precision: str,
        *,
        folder: Path,
        findings: tuple[str, ...] = (),
        targets: Targets | None = None,
    ):
        self.spec, self._train, self._precision, self._folder = spec, train, precision, folder
        self._findings = findings
        self._targets = Targets.of_labels(train.labels) if targets is None else targets
        by_class = chosen({"shuffled": False, "class_aware": True}, spec.sampling, "train.sampling")
        sampled = image_weights(self._targets.values) if by_class else None
        self.plan = BatchPlan(len(train), min(spec.batch_size, len(train)), spec.seed, sampled)
        self._devices = Devices(training_devices(spec))
        check_share(self.plan.batch_size, self._devices.n, "training images, fewer than train.batch_size")
        with self._devices.scope():
            self._loss = make_loss(spec.loss, self._targets, spec.imbalance, spec.label_smoothing)
        self._weights = class_weights(self._targets.values, spec.imbalance)
        labels = evaluation_targets(validation.states, spec.labels)
        self._validator = Validator(validation.images, labels, spec.stress_views, folder)
        self._build: dict[str, Any] = {
            "size_px": train.images.shape[1],
            "n_findings": train.labels.shape[1],
            "options": spec.network_options,
            "seed": spec.seed,
        }
        with dtype_policy(precision), self._devices.scope():
            self._learning = BackboneAndHead(
                build_for_training(spec.network, n_devices=self._devices.n, **self._build),
                has_uncertain_head=self._loss.needs_uncertain_logits,
                seed=spec.seed,
            )
        with dtype_policy("float32"):
            # Holds the weights that are judged and kept: the average where there is one, in full precision.
            self._judged = BackboneAndHead(build_for_training(spec.network, **self._build))
        self._best = [np.array(v) for v in self._learning.network.get_weights()]
        self._logits = tf.function(
            lambda images: self._judged.logits(self._judged.features(images, training=False), training=False)[0],
            input_signature=[tf.TensorSpec((None, *train.images.shape[1:]), tf.float32)],
        )

    def restore(self) -> Progress:
        """Take up the state in the folder, where there is one; otherwise start at epoch 0 from the starting weights."""
        saved = load_state(self._folder)
        if saved is None:
            load_starting_weights(self._learning.network, self.spec, self._findings, self._folder)
            self._enter(0)
            self._devices.part_seeds(self._learning.network)
            return Progress()
        progress = Progress(**saved.progress)
        self._enter(progress.phase)
        variables = self._variables()
        if [v.shape for v in saved.current] != [tuple(v.shape) for v in variables]:
            raise DataDefect(
                f"{self._folder}: the training state fits another network; remove it to train from the start"
            )
        for variable, value in zip(variables, saved.current, strict=True):
            variable.assign(value)
        self._devices.part_seeds(self._learning.network)
        self._best = saved.best
        return progress

    def start_phase(self, progress: Progress) -> None:
        """The phase of ``progress`` from the best weights so far, with an optimizer of its own."""
        self._learning.set_weights(self._best)
        remove_features(self._folder)
        self._enter(progress.phase)

    def _enter(self, number: int) -> None:
        """Set up what phase ``number`` needs, from the weights as they are."""
        spec, self.phase, self._phase_number = self.spec, phases_of(self.spec)[number], number
        set_trainable(self._learning.network, self.phase)
        learning = learning_weights(self._learning.network, self.phase)
        self._caches = caches_features(self.phase, spec)
        n_updates = updates_per_epoch(self.plan.steps_per_epoch, spec.accumulate_steps)
        beside = [*self._learning.uncertain_weights, *self._loss.variables]
        variables, rates = [*learning.variables, *beside], [*learning.rates, *[1.0] * len(beside)]
        changing = {id(v) for v in (*learning.variables, *learning.statistics)} if spec.ema_momentum else set()
        averaged = [v for v in self._learning.network.weights if id(v) in changing]
        with self._devices.scope():
            self.optimizer = make_optimizer(spec, self.phase, n_updates, self._loss.variables)
            self.optimizer.build(variables)
            self._average = WeightAverage(averaged, spec.ema_momentum or 0.0)
            self._step = UpdateStep(
                self._loss_of_features if self._caches else self._loss_of_images,
                self.optimizer,
                variables,
                rates,
                average=self._average,
                accumulate_steps=spec.accumulate_steps,
                devices=self._devices,
            )
        self._features: list[np.ndarray] = []

    def batches(self, progress: Progress) -> Any:
        """What is left of the phase's batches after the epochs run, as a new iterable."""
        epochs_left = self.phase.epochs - progress.phase_epochs
        first = progress.epochs_run * self.plan.steps_per_epoch
        last = first + epochs_left * self.plan.steps_per_epoch
        if not self._caches:
            augment = augmentation_of(self.phase, self.spec)
            return training_batches(
                self._train, self.plan, augment, first_step=first, n_steps=last, targets=self._targets
            )
        features, *self._features = self._computed_features()
        targets = (self._targets.values, self._targets.is_uncertain)
        return feature_batches(features, targets, self.plan, first_step=first, n_steps=last)

    def _computed_features(self) -> list[np.ndarray]:
        """Of the training images as training computes them, then of each view of validation, as validation does."""
        key = weights_key(self._learning.network.get_weights()[:-2], self._precision)
        self._judged.set_weights(self._judged_weights())
        sides = [("train", self._train.images, self._learning)]
        sides += [(f"validation-{i}", view, self._judged) for i, view in enumerate(self._validator.views)]
        features = []
        for name, images, network in sides:
            compute = tf.function(lambda batch, of=network: of.features(batch, training=False), reduce_retracing=True)
            features.append(cached_features(self._folder, name, key, images, compute, BATCH))
        return features

    def run_epoch(self, epoch: int, batches: Iterator[Any]) -> EpochRecord:
        """Train one epoch (numbered from 1), validate, and return its record."""
        started = time.monotonic()
        loss = self.train_steps(batches, self.plan.steps_per_epoch)
        train_seconds = time.monotonic() - started
        if not math.isfinite(loss):
            raise DataDefect(
                f"epoch {epoch}: expected a finite training loss, found {loss}; lower train.learning_rate "
                "or set train.clip_norm"
            )
        score = self.validate()
        record: EpochRecord = {"epoch": epoch, "loss": loss, "val_loss": score.loss, "val_auroc": score.auroc}
        if score.auroc_stressed is not None:
            record["val_auroc_stressed"] = score.auroc_stressed
        if self.spec.phases:
            record["phase"] = 1 + self._phase_number
        return record | {
            "val_score": score.score,
            "learning_rate": float(self.optimizer.learning_rate),
            "images_per_second": self.plan.steps_per_epoch * self.plan.batch_size / train_seconds,
            "seconds": time.monotonic() - started,
        }

    def train_steps(self, batches: Iterator[Any], n_steps: int) -> float:
        """Train on ``n_steps`` batches, the last of which ends an epoch; the mean of their losses."""
        losses = [self._step(next(batches), is_last_of_epoch=step == n_steps - 1) for step in range(n_steps)]
        return float(tf.reduce_mean(tf.stack(losses)))

    def validate(self) -> ValidationScore:
        """Score the weights as they are, or their average, on validation.

        The loss is cross-entropy whatever the loss in training, so that runs can be compared by it.
        """
        self._judged.set_weights(self._judged_weights())
        logits = self._validation_logits()
        return self._validator.score(logits, float(masked_bce(self._validator.labels, logits[0], self._weights)))

    def _validation_logits(self) -> list[np.ndarray]:
        if self._caches:
            return [self._judged.logits(view, training=False)[0].numpy() for view in self._features]
        return [predict(self._logits, view) for view in self._validator.views]

    def judge(self, record: EpochRecord, progress: Progress) -> None:
        """Enter ``record`` into ``progress``: keep the best weights, and say so when training should end."""
        if progress.enter(record):
            self._best = [*self._judged.network.get_weights(), *(v.numpy() for v in self._learning.uncertain_weights)]
        is_last_phase = progress.phase == len(phases_of(self.spec)) - 1
        if is_last_phase and (ended_by := progress.end_of_phase(self.spec)):
            progress.stopped_by = ended_by
        elif self.spec.max_minutes is not None and progress.seconds > 60 * self.spec.max_minutes:
            progress.stopped_by = f"{self.spec.max_minutes:g} minutes have passed"
            progress.was_ended_by_clock = True

    def best_network(self) -> keras.Model:
        with dtype_policy("float32"):
            network = build_network(self.spec.network, **self._build)
        network.set_weights(self._best[: len(network.weights)])
        return network_with_flip(network) if self.spec.test_time_flip else network

    def state(self, progress: Progress) -> SavedState:
        plain = {name: getattr(progress, name) for name in Progress.__dataclass_fields__}
        return SavedState([v.numpy() for v in self._variables()], self._best, plain)

    def _judged_weights(self) -> list[Any]:
        """Of the network that is kept: the average where there is one, else the weights themselves."""
        return [self._average.of(variable) for variable in self._learning.network.weights]

    def _variables(self) -> list[tf.Variable]:
        """All that a step reads and changes."""
        kept = [*self._learning.variables, *self._loss.variables, *self.optimizer.variables]
        return [*(v.value for v in kept), *self._average.values]

    def _loss_of_images(self, images: tf.Tensor, values: tf.Tensor, uncertain: tf.Tensor) -> tf.Tensor:
        training = self.phase.unfrozen_blocks > 0 and self.phase.batch_norm == "train"
        return self._loss_of_features(self._learning.features(images, training=training), values, uncertain)

    def _loss_of_features(self, features: tf.Tensor, values: tf.Tensor, uncertain: tf.Tensor) -> tf.Tensor:
        logits = self._learning.logits(features, training=True)
        # No loss here is a mean of the parts' losses: what counts is how many labels of the whole batch are known.
        whole = [None if part is None else self._devices.gathered(part) for part in (values, uncertain, *logits)]
        return self._loss(*whole)
