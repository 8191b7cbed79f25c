"""The training loop: epochs of steps, a validation after each, state on disk before anyone hears of the epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.specs import TrainSpec
from cxr_tasks.train.inputs import BatchPlan, LoadedSplit, training_batches
from cxr_tasks.train.losses import class_weights, masked_bce
from cxr_tasks.train.networks import build_network
from cxr_tasks.train.precision import dtype_policy
from cxr_tasks.train.resume import SavedState, load_state, save_state
from cxr_tasks.train.validation import Validator, is_better

EpochRecord = dict[str, float]


@dataclass(slots=True)
class Progress:
    """Where a run stands; plain values, saved with the weights."""

    history: list[EpochRecord] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = -math.inf
    best_loss: float = math.inf
    seconds: float = 0.0
    stopped_by: str = ""
    """Why training ended before its last epoch, or ''."""

    @property
    def epochs_run(self) -> int:
        return len(self.history)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The best epoch's network, in float32, and how it came about."""

    network: keras.Model
    progress: Progress


def fit(
    train: LoadedSplit,
    validation: LoadedSplit,
    spec: TrainSpec,
    *,
    precision: str,
    folder: Path,
    on_epoch: Callable[[Progress], None],
) -> Fitted:
    """Train the network that ``spec`` names, or go on with the run whose state is in ``folder``.

    On a CPU a run that was killed and taken up again ends with the same weights, to the bit, as one that never was:
    the state holds all variables, and batches and augmentation follow from (seed, step).

    Args:
        precision: ``float32`` or ``mixed_bfloat16``; validation and the result are float32 in any case.
        on_epoch: Called after each epoch, with its state already on disk.
    """
    trainer = Trainer(train, validation, spec, precision)
    progress = trainer.restore(folder)
    batches = iter(trainer.batches(progress.epochs_run))
    started = time.monotonic() - progress.seconds
    while progress.epochs_run < spec.epochs and not progress.stopped_by:
        record = trainer.run_epoch(progress.epochs_run + 1, batches)
        progress.seconds = time.monotonic() - started
        trainer.judge(record, progress)
        save_state(folder, trainer.state(progress))
        on_epoch(progress)
    return Fitted(trainer.best_network(), progress)


class Trainer:
    """Networks, optimizer and average of one run, and the compiled steps over them."""

    def __init__(self, train: LoadedSplit, validation: LoadedSplit, spec: TrainSpec, precision: str):
        self.spec, self._train = spec, train
        self.plan = BatchPlan(len(train), min(spec.batch_size, len(train)), spec.seed)
        self._weights = class_weights(train.labels, spec.imbalance)
        self._validator = Validator(validation, self._weights, spec.stress_views)
        build: dict[str, Any] = {
            "size_px": train.images.shape[1],
            "n_findings": train.labels.shape[1],
            "options": spec.network_options,
            "seed": spec.seed,
        }
        with dtype_policy(precision):
            self.network = build_network(spec.network, **build)
        with dtype_policy("float32"):
            # Holds the weights that are judged and kept: the average where there is one, in full precision.
            self._judged = build_network(spec.network, **build)
        self.optimizer = make_optimizer(spec, self.plan.steps_per_epoch)
        self.optimizer.build(self.network.trainable_variables)
        self._average = [tf.Variable(v.value) for v in self.network.weights] if spec.ema_momentum else []
        self._best = [np.array(v) for v in self._judged.get_weights()]
        self._step = tf.function(self._train_step)
        self._logits = tf.function(
            lambda images: self._judged(images, training=False),
            input_signature=[tf.TensorSpec((None, *train.images.shape[1:]), tf.float32)],
        )

    def batches(self, epochs_done: int) -> tf.data.Dataset:
        steps = self.plan.steps_per_epoch
        return training_batches(
            self._train, self.plan, self.spec.augment, first_step=epochs_done * steps, n_steps=self.spec.epochs * steps
        )

    def run_epoch(self, epoch: int, batches: Any) -> EpochRecord:
        """Train one epoch (numbered from 1), validate, and return its record."""
        started = time.monotonic()
        losses = [self._step(*next(batches)) for _ in range(self.plan.steps_per_epoch)]
        loss = float(tf.reduce_mean(tf.stack(losses)))
        train_seconds = time.monotonic() - started
        if not math.isfinite(loss):
            raise DataDefect(
                f"epoch {epoch}: expected a finite training loss, found {loss}; lower train.learning_rate "
                "or set train.clip_norm"
            )
        self._judged.set_weights([v.numpy() for v in self._average] or self.network.get_weights())
        score = self._validator.score(self._logits)
        record: EpochRecord = {"epoch": epoch, "loss": loss, "val_loss": score.loss, "val_auroc": score.auroc}
        if score.auroc_stressed is not None:
            record["val_auroc_stressed"] = score.auroc_stressed
        return record | {
            "val_score": score.score,
            "learning_rate": float(self.optimizer.learning_rate),
            "images_per_second": self.plan.steps_per_epoch * self.plan.batch_size / train_seconds,
            "seconds": time.monotonic() - started,
        }

    def judge(self, record: EpochRecord, progress: Progress) -> None:
        """Enter ``record`` into ``progress``: keep the best weights, and say so when training should end."""
        progress.history.append(record)
        score, loss = record["val_score"], record["val_loss"]
        if is_better(score, loss, best_score=progress.best_score, best_loss=progress.best_loss):
            progress.best_epoch, progress.best_score, progress.best_loss = progress.epochs_run, score, loss
            self._best = self._judged.get_weights()
        if progress.epochs_run - progress.best_epoch >= self.spec.early_stopping_patience:
            progress.stopped_by = f"no better validation score for {self.spec.early_stopping_patience} epochs"
        elif self.spec.max_minutes is not None and progress.seconds > 60 * self.spec.max_minutes:
            progress.stopped_by = f"{self.spec.max_minutes:g} minutes have passed"

    def best_network(self) -> keras.Model:
        self._judged.set_weights(self._best)
        return self._judged

    def state(self, progress: Progress) -> SavedState:
        plain = {name: getattr(progress, name) for name in Progress.__dataclass_fields__}
        return SavedState([v.numpy() for v in self._variables()], self._best, plain)

    def restore(self, folder: Path) -> Progress:
        """Take up the state in ``folder``, where there is one; otherwise start at epoch 0."""
        saved = load_state(folder)
        if saved is None:
            return Progress()
        variables = self._variables()
        if [v.shape for v in saved.current] != [tuple(v.shape) for v in variables]:
            raise DataDefect(f"{folder}: the training state fits another network; remove it to train from the start")
        for variable, value in zip(variables, saved.current, strict=True):
            variable.assign(value)
        self._best = saved.best
        return Progress(**saved.progress)

    def _variables(self) -> list[tf.Variable]:
        """All that a step reads and changes; ``network.variables`` has dropout's seeds, ``weights`` has not."""
        kept = [*self.network.variables, *self.optimizer.variables]
        return [v.value for v in kept] + self._average

    def _train_step(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        trained = self.network.trainable_variables
        with tf.GradientTape() as tape:
            logits = self.network(images, training=True)
            loss = masked_bce(labels, logits, self._weights, self.spec.label_smoothing)
        gradients = tape.gradient(loss, [v.value for v in trained])
        self.optimizer.apply(gradients, trained)
        if self._average:
            self._update_average()
        return loss

    def _update_average(self) -> None:
        """Exponential average of weights and of normalisation statistics, short-sighted in the first steps."""
        step = tf.cast(self.optimizer.iterations.value, tf.float32)
        momentum = tf.minimum(self.spec.ema_momentum, (1.0 + step) / (10.0 + step))
        for average, variable in zip(self._average, self.network.weights, strict=True):
            average.assign(average + (1.0 - momentum) * (variable.value - average))


def make_optimizer(spec: TrainSpec, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """AdamW under a cosine schedule with linear warm-up; biases and normalisation are not decayed."""
    warmup_steps = round(spec.warmup_epochs * steps_per_epoch)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=spec.learning_rate / 100 if warmup_steps else spec.learning_rate,
        decay_steps=max(spec.epochs * steps_per_epoch - warmup_steps, 1),
        warmup_target=spec.learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=spec.weight_decay, global_clipnorm=spec.clip_norm)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
