"""Batches of a stored dataset: read once, held in memory or mapped from disk, in an order that is plain arithmetic.

Batch number ``s`` of a training run follows from (seed, s) alone, so a resumed run takes up at any batch and sees
what it would have seen.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from cxr_tasks.contracts.train_specs import AugmentSpec
from cxr_tasks.datasets.load import LoadedSplit
from cxr_tasks.images.pixels import unit_scale
from cxr_tasks.train.data.augment import N_DRAWS, augment_batch, draw_table, mix_batch
from cxr_tasks.train.data.label_treatment import Targets

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ImageWeights:
    """How often images come, in relation to each other: float64 ``(n,)``, more than 0. Equal only to itself."""

    values: np.ndarray


def image_weights(values: np.ndarray) -> ImageWeights:
    """Weights for class-aware sampling: the square root of the inverse frequency of an image's rarest finding.

    An image without any positive label goes by the frequency of such images. The square root is a middle way between
    the images as they are and all findings alike (Gupta et al., LVIS, CVPR 2019, sample by it too).

    Args:
        values: Training targets float ``(n, n_findings)``; above 0.5 is positive, NaN is not.
    """
    is_positive = values > 0.5
    groups = np.column_stack([is_positive, ~is_positive.any(axis=1)])
    frequency = np.maximum(groups.mean(axis=0), 1 / len(groups))
    rarest = np.where(groups, frequency, 1.0).min(axis=1)
    return ImageWeights(1.0 / np.sqrt(rarest))


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Which images stand in which batch of a whole training run."""

    n_images: int
    batch_size: int
    seed: int
    weights: ImageWeights | None = None
    """None: each image once per epoch. Else drawn by them, in epochs of the same length."""

    @property
    def steps_per_epoch(self) -> int:
        """Full batches only; what is left over in one epoch comes in another, as the order changes."""
        return max(self.n_images // self.batch_size, 1)

    def batch(self, step: int) -> tuple[int, np.ndarray]:
        """The epoch (from 0) of batch ``step`` (from 0, over all epochs) and the rows that stand in it."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = _order(self.seed, epoch, self.n_images, self.weights)
        return epoch, order[place * self.batch_size : (place + 1) * self.batch_size]

    def draws(self, step: int) -> np.ndarray:
        """Rows of augmentation's draws for batch ``step``; an image that comes twice in an epoch has two of them."""
        epoch, rows = self.batch(step)
        if self.weights is not None:
            first = (step % self.steps_per_epoch) * self.batch_size
            rows = np.arange(first, first + len(rows))
        return _draws(self.seed, epoch, self.n_images)[rows]


@functools.lru_cache(maxsize=4)
def _order(seed: int, epoch: int, n_images: int, weights: ImageWeights | None) -> np.ndarray:
    rng = np.random.default_rng([seed, epoch, 0])
    order = rng.permutation(n_images)
    return order if weights is None else rng.permutation(_drawn(weights.values, order, rng.random()))


def _drawn(weights: np.ndarray, order: np.ndarray, offset: float) -> np.ndarray:
    """As many rows as there are, row i as often as its share of the weights asks, rounded up or down at random.

    Systematic sampling (Madow, Ann. Math. Statist. 20:333-354, 1949): a comb of even steps over the shares, laid end to
    end in random ``order``. Counts vary less than in independent draws, and an image with a share for half a place
    comes every other epoch.
    """
    ends = np.cumsum(weights[order])
    places = (np.arange(len(order)) + offset) / len(order) * ends[-1]
    return order[np.minimum(np.searchsorted(ends, places, side="right"), len(order) - 1)]


@functools.lru_cache(maxsize=4)
def _draws(seed: int, epoch: int, n_images: int) -> np.ndarray:
    return draw_table(seed, epoch, n_images)


def training_batches(
    split: LoadedSplit,
    plan: BatchPlan,
    spec: AugmentSpec,
    *,
    first_step: int,
    n_steps: int,
    targets: Targets | None = None,
):
    """Augmented batches ``first_step`` up to ``n_steps`` (both counted over all epochs), as a ``tf.data.Dataset``.

    Args:
        targets: Of the images of ``split``; None takes its labels as they are.

    Yields:
        images float32 ``(batch, size, size, 1)`` in [0, 1], values float32 ``(batch, n_findings)`` in [0, 1] with NaN
        for masked, and the share of "uncertain" float32 ``(batch, n_findings)``: 0 or 1, in between where the recipe
        mixes images. As in ``Targets`` the value of an unmixed uncertain label is NaN.
    """
    targets = Targets.of_labels(split.labels) if targets is None else targets
    size_px, n_findings = split.images.shape[1], split.labels.shape[1]
    has_third_class = bool(targets.has_third_class.any())

    def gather(step: np.ndarray) -> tuple[np.ndarray, ...]:
        _, rows = plan.batch(int(step))
        noise_seed = np.array([plan.seed % 2**31, int(step)], np.int32)
        uncertain = targets.is_uncertain[rows].astype(np.float32)
        return split.images[rows], targets.values[rows], uncertain, plan.draws(int(step)), noise_seed

    def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        pixels, values, uncertain, draws, noise_seed = tf.numpy_function(
            gather, [step], [tf.uint8, tf.float32, tf.float32, tf.float32, tf.int32], stateful=False
        )
        pixels = tf.ensure_shape(pixels, (None, size_px, size_px, 1))
        values = tf.ensure_shape(values, (None, n_findings))
        uncertain = tf.ensure_shape(uncertain, (None, n_findings))
        draws = tf.ensure_shape(draws, (None, N_DRAWS))
        images = augment_batch(unit_scale(pixels), draws, tf.ensure_shape(noise_seed, (2,)), spec)
        if not spec.mix:
            return images, values, uncertain
        if not has_third_class:
            return *mix_batch(images, values, draws, spec.mix), uncertain
        return _mix_three_classes(images, values, uncertain, draws, spec.mix)

    steps = tf.data.Dataset.range(first_step, n_steps)
    return steps.map(batch, num_parallel_calls=2, deterministic=True).prefetch(2)


def _mix_three_classes(
    images: tf.Tensor, values: tf.Tensor, uncertain: tf.Tensor, draws: tf.Tensor, strength: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """``mix_batch`` where labels are shares of three classes: an uncertain label is all "uncertain", none "positive".

    Mixed with a masked label, a label is masked, its share of "uncertain" too.
    """
    positive = tf.where(uncertain > 0, 0.0, values)
    shares = tf.concat([positive, uncertain], axis=1)
    images, shares = mix_batch(images, shares, draws, strength)
    positive, uncertain = tf.split(shares, 2, axis=1)
    return images, positive, tf.where(tf.math.is_nan(positive), 0.0, uncertain)
