"""Batches of a stored dataset: read once, held in memory or mapped from disk, in an order that is plain arithmetic.

Batch number ``s`` of a training run follows from (seed, s) alone, so a resumed run takes up at any batch and sees
what it would have seen.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import tensorflow as tf

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.specs import AugmentSpec
from cxr_tasks.prepare.pixels import unit_scale
from cxr_tasks.train.augment import N_DRAWS, augment_batch, draw_table, mix_batch

log = logging.getLogger(__name__)

#: Share of the free memory that the pixels of one split may take; above it they are mapped from a file.
MEMORY_SHARE = 0.4
READ_BATCH = 256


@dataclass(frozen=True, slots=True)
class LoadedSplit:
    """One split, in stored order."""

    images: np.ndarray
    """uint8 ``(n, size, size, 1)``, in memory or memory-mapped."""
    labels: np.ndarray
    """float32 ``(n, n_findings)``: 0, 1 or NaN for unknown."""

    def __len__(self) -> int:
        return len(self.images)


def load_split(
    folder: Path, split: str, *, size_px: int, n_findings: int, n_images: int, spill_folder: Path
) -> LoadedSplit:
    """Images and labels of ``split`` of the TFDS dataset in ``folder``.

    Records are parsed by the batch, past TFDS' decoding one by one (measured 3 times its rate). Where the pixels
    would take more than ``MEMORY_SHARE`` of the free memory they go to a file in ``spill_folder`` instead.

    Raises:
        DataDefect: The split holds another number of examples than ``n_images``.
    """
    shape = (n_images, size_px, size_px, 1)
    if np.prod(shape) <= MEMORY_SHARE * psutil.virtual_memory().available:
        images = np.empty(shape, np.uint8)
    else:
        spill = spill_folder / f"{split}.npy"
        log.info("%s does not fit in memory; its pixels are mapped from %s", split, spill)
        images = np.lib.format.open_memmap(spill, mode="w+", dtype=np.uint8, shape=shape)
    labels = np.empty((n_images, n_findings), np.float32)
    start = 0
    for batch_images, batch_labels in _stored_batches(folder, split, size_px, n_findings):
        stop = start + len(batch_images)
        if stop > n_images:
            raise DataDefect(f"{folder}, {split}: expected {n_images} examples, found more; prepare the dataset again")
        images[start:stop], labels[start:stop] = batch_images, batch_labels
        start = stop
    if start != n_images:
        raise DataDefect(f"{folder}, {split}: expected {n_images} examples, found {start}; prepare the dataset again")
    return LoadedSplit(images, labels)


def _stored_batches(folder: Path, split: str, size_px: int, n_findings: int):
    files = sorted(str(file) for file in folder.glob(f"*-{split}.tfrecord-?????-of-?????"))
    if not files:
        raise DataDefect(f"{folder}: expected TFRecord files of the split {split!r}, found none; prepare it again")
    spec = {
        "image": tf.io.FixedLenFeature((), tf.string),
        "labels": tf.io.FixedLenFeature((n_findings,), tf.float32),
    }

    def parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(records, spec)
        pixels = tf.io.decode_raw(parsed["image"], tf.uint8, fixed_length=size_px * size_px)
        return tf.reshape(pixels, (-1, size_px, size_px, 1)), parsed["labels"]

    records = tf.data.TFRecordDataset(files)
    return records.batch(READ_BATCH).map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(1).as_numpy_iterator()


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Which images stand in which batch of a whole training run."""

    n_images: int
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Full batches only; what is left over in one epoch comes in another, as the order changes."""
        return max(self.n_images // self.batch_size, 1)

    def batch(self, step: int) -> tuple[int, np.ndarray]:
        """The epoch (from 0) of batch ``step`` (from 0, over all epochs) and the rows that stand in it."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = _order(self.seed, epoch, self.n_images)
        return epoch, order[place * self.batch_size : (place + 1) * self.batch_size]


@functools.lru_cache(maxsize=4)
def _order(seed: int, epoch: int, n_images: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, 0]).permutation(n_images)


@functools.lru_cache(maxsize=4)
def _draws(seed: int, epoch: int, n_images: int) -> np.ndarray:
    return draw_table(seed, epoch, n_images)


def training_batches(split: LoadedSplit, plan: BatchPlan, spec: AugmentSpec, *, first_step: int, n_steps: int):
    """Augmented batches ``first_step`` up to ``n_steps`` (both counted over all epochs), as a ``tf.data.Dataset``.

    Yields:
        images float32 ``(batch, size, size, 1)`` in [0, 1] and labels float32 ``(batch, n_findings)``; labels lie
        between 0 and 1 where the recipe mixes images, NaN stands for unknown.
    """
    size_px, n_findings = split.images.shape[1], split.labels.shape[1]

    def gather(step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        epoch, rows = plan.batch(int(step))
        draws = _draws(plan.seed, epoch, plan.n_images)[rows]
        noise_seed = np.array([plan.seed % 2**31, int(step)], np.int32)
        return split.images[rows], split.labels[rows], draws, noise_seed

    def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels, labels, draws, noise_seed = tf.numpy_function(
            gather, [step], [tf.uint8, tf.float32, tf.float32, tf.int32], stateful=False
        )
        pixels = tf.ensure_shape(pixels, (None, size_px, size_px, 1))
        labels = tf.ensure_shape(labels, (None, n_findings))
        draws = tf.ensure_shape(draws, (None, N_DRAWS))
        images = augment_batch(unit_scale(pixels), draws, tf.ensure_shape(noise_seed, (2,)), spec)
        return mix_batch(images, labels, draws, spec.mix) if spec.mix else (images, labels)

    steps = tf.data.Dataset.range(first_step, n_steps)
    return steps.map(batch, num_parallel_calls=2, deterministic=True).prefetch(2)


def plain_batches(images: np.ndarray, batch_size: int):
    """``images`` (uint8) in order as float32 batches in [0, 1], nothing changed and nothing left out."""
    for start in range(0, len(images), batch_size):
        yield unit_scale(tf.constant(images[start : start + batch_size]))
