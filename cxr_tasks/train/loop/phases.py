"""Phases of a training run: which weights learn when, how fast, and when one phase gives way to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from cxr_tasks.contracts.train_specs import AugmentSpec, PhaseSpec, TrainSpec
from cxr_tasks.train.losses.auc_margin import make_auc_margin_optimizer
from cxr_tasks.train.losses.optimizers import AdamW
from cxr_tasks.train.networks.blocks import blocks_of

NO_AUGMENTATION = AugmentSpec()


def phases_of(spec: TrainSpec) -> tuple[PhaseSpec, ...]:
    """The recipe's phases; for a recipe without any the one it stands for, in which everything learns."""
    return spec.phases or (
        PhaseSpec(
            name="all",
            epochs=spec.epochs,
            learning_rate=spec.learning_rate,
            warmup_epochs=spec.warmup_epochs,
            early_stopping_patience=spec.early_stopping_patience,
            cache_features="never",
        ),
    )


def total_epochs(spec: TrainSpec) -> int:
    """Most epochs a run can have: the phases' together; 0 where nothing is trained."""
    return 0 if spec.keeps_weights else sum(phase.epochs for phase in phases_of(spec))


def augmentation_of(phase: PhaseSpec, spec: TrainSpec) -> AugmentSpec:
    return spec.augment if phase.augment else NO_AUGMENTATION


def caches_features(phase: PhaseSpec, spec: TrainSpec) -> bool:
    """Whether every epoch of ``phase`` would see the same features: a frozen backbone and images as they are."""
    is_plain = augmentation_of(phase, spec) == NO_AUGMENTATION
    return phase.cache_features == "auto" and phase.unfrozen_blocks == 0 and is_plain


def set_trainable(network: keras.Model, phase: PhaseSpec) -> None:
    """Freeze what does not learn in ``phase``. A frozen normalisation also keeps, and goes by, its statistics."""
    blocks = blocks_of(network)
    for layer in network.layers:
        if layer.name in blocks:
            layer.trainable = blocks[layer.name] <= phase.unfrozen_blocks


@dataclass(frozen=True, slots=True)
class LearningWeights:
    """What learns in a phase, in the order of the network's layers."""

    variables: list[keras.Variable]
    rates: list[float]
    """Of each variable, as a factor on the learning rate of the phase."""
    statistics: list[keras.Variable]
    """Means and variances of normalisations that follow the batches."""


def learning_weights(network: keras.Model, phase: PhaseSpec) -> LearningWeights:
    """Call ``set_trainable`` first. A block's factor is ``lower_rate`` to the power of its distance from the head."""
    blocks = blocks_of(network)
    variables, rates, statistics = [], [], []
    for layer in network.layers:
        if layer.name not in blocks or not layer.trainable:
            continue
        variables += layer.trainable_weights
        rates += [phase.lower_rate ** blocks[layer.name]] * len(layer.trainable_weights)
        if phase.batch_norm == "train":
            statistics += layer.non_trainable_weights
    return LearningWeights(variables, rates, statistics)


def schedule_of(phase: PhaseSpec, updates_per_epoch: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up to the phase's learning rate, then half a cosine down to 0 at its last epoch."""
    warmup_updates = round(phase.warmup_epochs * updates_per_epoch)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=phase.learning_rate / 100 if warmup_updates else phase.learning_rate,
        decay_steps=max(phase.epochs * updates_per_epoch - warmup_updates, 1),
        warmup_target=phase.learning_rate if warmup_updates else None,
        warmup_steps=warmup_updates,
    )


def make_optimizer(
    spec: TrainSpec, phase: PhaseSpec, updates_per_epoch: int, loss_variables: Sequence[keras.Variable] = ()
) -> keras.optimizers.Optimizer:
    """The loss' own optimizer for ``auc_margin``, else AdamW, under the phase's schedule.

    Biases and normalisation are not decayed.
    """
    schedule = schedule_of(phase, updates_per_epoch)
    if spec.loss.kind == "auc_margin":
        return make_auc_margin_optimizer(
            loss_variables,
            schedule,
            updates_per_epoch=updates_per_epoch,
            epoch_decay=spec.loss.epoch_decay,
            weight_decay=spec.weight_decay,
            clip_norm=spec.clip_norm,
        )
    optimizer = AdamW(schedule, weight_decay=spec.weight_decay, global_clipnorm=spec.clip_norm)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def updates_per_epoch(steps_per_epoch: int, accumulate_steps: int) -> int:
    """An epoch ends with an update, from fewer batches where they do not come out even."""
    return math.ceil(steps_per_epoch / accumulate_steps)
