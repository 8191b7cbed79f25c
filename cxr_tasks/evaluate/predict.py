"""Predictions of a trained model on a prepared dataset, as the predictions table (TensorFlow lives here)."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from cxr_tasks.contracts.artifacts import replaced_file
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs import PreparedDataset
from cxr_tasks.contracts.labels import LabelState, label_column
from cxr_tasks.contracts.records import PREDICTION_COLUMNS, logit_column, target_column
from cxr_tasks.contracts.train_specs import LabelSpec
from cxr_tasks.train.data.inputs import load_split, plain_batches
from cxr_tasks.train.data.labels import evaluation_targets

log = logging.getLogger(__name__)

BATCH = 64


def load_model(path: Path, *, size_px: int, n_findings: int) -> keras.Model:
    """The Keras model in ``path``, found to take ``(n, size_px, size_px, 1)`` and to give ``(n, n_findings)``.

    Raises:
        DataDefect: Not a ``.keras`` file, code of its own inside (never run), or another input or output shape.
    """
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise DataDefect(f"{path}: expected a Keras model, found {type(error).__name__}: {error}") from error
    found, wanted = (model.input_shape, model.output_shape), ((None, size_px, size_px, 1), (None, n_findings))
    if found != wanted:
        raise DataDefect(
            f"{path}: expected input and output shapes {wanted}, found {found}; it was made for other data"
        )
    return model


def logits_of(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Logits float64 ``(n, k)`` of ``images`` uint8 ``(n, size, size, 1)``, in their order."""
    batches = [np.asarray(model(batch, training=False)) for batch in plain_batches(images, BATCH)]
    width = model.output_shape[-1]
    return np.concatenate(batches).astype(np.float64) if batches else np.empty((0, width))


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
        prepared.place, split, size_px=prepared.size_px, n_findings=len(findings), n_images=counts[split],
        spill_folder=spill_folder,
    )  # fmt: skip
    index, where = pd.read_parquet(prepared.index.verified_path()), f"{prepared.index.uri}, {split}"
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


def predictions_of(model: keras.Model, stored: StoredSplit, findings: Sequence[str]) -> pd.DataFrame:
    """One row per image with the columns of ``contracts.records``, in stored order."""
    return predictions_table(stored.rows, findings, stored.labels, logits_of(model, stored.images))


def predictions_table(
    rows: pd.DataFrame, findings: Sequence[str], targets: np.ndarray, logits: np.ndarray
) -> pd.DataFrame:
    """``rows`` with a target and a logit column per finding; ``targets`` and ``logits`` are ``(n, k)`` in its order."""
    table = rows[list(PREDICTION_COLUMNS)].copy()
    for place, finding in enumerate(findings):
        table[target_column(finding)] = targets[:, place].astype(np.float64)
        table[logit_column(finding)] = logits[:, place]
    return table


def write_predictions(table: pd.DataFrame, path: Path) -> None:
    """Write the table as Parquet; a reader sees the whole file or none."""
    with replaced_file(path) as aside:
        table.to_parquet(aside, index=False)
