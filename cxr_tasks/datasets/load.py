"""One split of a prepared dataset, opened: pixels, label states and names in their stored order."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import tensorflow as tf

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.label_policies import LabelSpec
from cxr_tasks.contracts.labels import LabelState, label_column
from cxr_tasks.datasets.rows_on_disk import unnamed_rows
from cxr_tasks.datasets.targets import evaluation_targets, states_of
from cxr_tasks.images.pixels import unit_scale
from cxr_tasks.installation.storage.changes import remove_file
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.installation.storage.paths import relocated

log = logging.getLogger(__name__)

#: What the pixels of one split may take: this share of the free memory, and never more than this many bytes, so that
#: a training task's memory does not follow the number of images. Above it they are read from a file, batch by batch.
MEMORY_SHARE = 0.2


MEMORY_BYTES = 2**29


READ_BATCH = 256


@dataclass(frozen=True, slots=True)
class LoadedSplit:
    """One split, in stored order."""

    images: np.ndarray
    """uint8 ``(n, size, size, 1)``, in memory or ``RowsOnDisk``."""
    labels: np.ndarray
    """float32 ``(n, n_findings)``: 0, 1 or NaN for unknown."""
    states: np.ndarray = None  # type: ignore[assignment]
    """uint8 ``(n, n_findings)``: codes in the order of ``LabelState``. Left out they follow from the labels, where
    NaN counts as uncertain."""

    def __post_init__(self) -> None:
        if self.states is None:
            object.__setattr__(self, "states", states_of(self.labels))

    def __len__(self) -> int:
        return len(self.images)


def load_split(
    folder: Path, split: str, *, size_px: int, n_findings: int, n_images: int, spill_folder: Path
) -> LoadedSplit:
    """Images, labels and label states of ``split`` of the TFDS dataset in ``folder``.

    Records are parsed by the batch, past TFDS' decoding one by one (measured 3 times its rate). Where the pixels
    would take more than ``MEMORY_SHARE`` or ``MEMORY_BYTES`` allow they go to a file in ``spill_folder`` instead, which
    has no name and goes with the split, or with the process.

    Raises:
        DataDefect: The split holds another number of examples than ``n_images``.
    """
    shape = (n_images, size_px, size_px, 1)
    labels = np.empty((n_images, n_findings), np.float32)
    states = np.empty((n_images, n_findings), np.uint8)

    def pixels() -> Iterator[np.ndarray]:
        start = 0
        for batch_images, batch_labels, batch_states in _stored_batches(folder, split, size_px, n_findings):
            stop = start + len(batch_images)
            if stop > n_images:
                fault = f"expected {n_images} examples, found more"
                raise DataDefect(f"{folder}, {split}: {fault}; prepare the dataset again")
            labels[start:stop], states[start:stop] = batch_labels, batch_states
            yield batch_images
            start = stop
        if start != n_images:
            fault = f"expected {n_images} examples, found {start}"
            raise DataDefect(f"{folder}, {split}: {fault}; prepare the dataset again")

    if np.prod(shape) <= min(MEMORY_SHARE * psutil.virtual_memory().available, MEMORY_BYTES):
        images, start = np.empty(shape, np.uint8), 0
        for block in pixels():
            images[start : start + len(block)] = block
            start += len(block)
    else:
        # Versions before this one gave the file a name, and left it.
        remove_file(spill_folder / f"{split}.npy")
        size = f"{np.prod(shape) / 2**30:.1f} GiB"
        log.info("%s does not fit in memory; its pixels, %s, are read from a file in %s", split, size, spill_folder)
        images = unnamed_rows(spill_folder, shape, np.uint8, pixels())
    return LoadedSplit(images, labels, states)


def _stored_batches(folder: Path, split: str, size_px: int, n_findings: int):
    files = sorted(str(file) for file in folder.glob(f"*-{split}.tfrecord-?????-of-?????"))
    if not files:
        raise DataDefect(f"{folder}: expected TFRecord files of the split {split!r}, found none; prepare it again")
    spec = {
        "image": tf.io.FixedLenFeature((), tf.string),
        "labels": tf.io.FixedLenFeature((n_findings,), tf.float32),
        "label_state": tf.io.FixedLenFeature((n_findings,), tf.int64),
    }

    def parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(records, spec)
        pixels = tf.io.decode_raw(parsed["image"], tf.uint8, fixed_length=size_px * size_px)
        return tf.reshape(pixels, (-1, size_px, size_px, 1)), parsed["labels"], parsed["label_state"]

    records = tf.data.TFRecordDataset(files)
    return records.batch(READ_BATCH).map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(1).as_numpy_iterator()


def plain_batches(images: np.ndarray, batch_size: int) -> Iterator[tf.Tensor]:
    """``images`` (uint8 ``(n, size, size, 1)``) in order as float32 batches in [0, 1], nothing changed and nothing left
    out; the last batch may be smaller."""
    for start in range(0, len(images), batch_size):
        yield unit_scale(tf.constant(images[start : start + batch_size]))


@dataclass(frozen=True, slots=True)
class StoredSplit:
    """One split of a prepared dataset: the index's rows and, in the same order, images and targets."""

    rows: pd.DataFrame
    images: np.ndarray
    """uint8 ``(n, size, size, 1)``."""
    labels: np.ndarray
    """float32 ``(n, k)``: 0, 1 or NaN for unknown, what the model is scored against (labels.evaluation_targets)."""


def stored_split(
    prepared: PreparedDataset,
    split: str,
    findings: Sequence[str],
    spill_folder: Path,
    *,
    labels: LabelSpec | None = None,
) -> StoredSplit:
    """One split in stored order, index and dataset known to tell of the same images.

    ``labels`` (the recipe's, or the default) says what a finding that is not mentioned counts as.

    Raises:
        DataDefect: The index was changed, holds another number of rows, or calls an image positive or negative that
            is stored otherwise.
    """
    counts = {"train": prepared.n_train, "validation": prepared.n_validation, "test": prepared.n_test}
    loaded = load_split(
        relocated(prepared.folder), split, size_px=prepared.size_px, n_findings=len(findings), n_images=counts[split],
        spill_folder=spill_folder,
    )  # fmt: skip
    index, where = pd.read_parquet(verified_path(prepared.index)), f"{prepared.index.uri}, {split}"
    rows = index[index["split"] == split].reset_index(drop=True)
    if len(rows) != len(loaded):
        raise DataDefect(
            f"{prepared.index.uri}, {split}: expected {len(loaded)} rows, one per example, found {len(rows)}"
        )
    for place, finding in enumerate(findings):
        for text, value in ((LabelState.POSITIVE, 1.0), (LabelState.NEGATIVE, 0.0)):
            called = (rows[label_column(finding)] == text.value).to_numpy()
            n_wrong = int((loaded.labels[called, place] != value).sum())
            if n_wrong:
                raise DataDefect(
                    f"{where}: {n_wrong} images that the index calls {text.value} for {finding} are stored otherwise; "
                    "index and dataset do not belong together, prepare the dataset again"
                )
    return StoredSplit(rows, loaded.images, evaluation_targets(loaded.states, labels or LabelSpec()))
