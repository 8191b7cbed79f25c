"""Predictions of a trained model on a prepared dataset, as the predictions table (TensorFlow lives here)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from cxr_tasks.contracts.records import PREDICTION_COLUMNS, logit_column, target_column
from cxr_tasks.datasets.load import StoredSplit, plain_batches
from cxr_tasks.installation.storage.files import replaced_file
from cxr_tasks.train.networks.saved import BATCH, logits_of
from serving.export.typicality import with_pooled_features

log = logging.getLogger(__name__)


def predictions_of(model: keras.Model, stored: StoredSplit, findings: Sequence[str]) -> pd.DataFrame:
    """One row per image with the columns of ``contracts.records``, in stored order."""
    return predictions_table(stored.rows, findings, stored.labels, logits_of(model, stored.images))


def pooled_features_of(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """What the head of ``model`` is given, float32 ``(n, c)``, of ``images`` uint8 ``(n, size, size, 1)``."""
    pooled = with_pooled_features(model)
    return np.concatenate([np.asarray(pooled(batch, training=False)[1]) for batch in plain_batches(images, BATCH)])


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
    """Write the table, a row for each image with the columns of ``contracts.records``, as Parquet; a reader sees the
    whole file or none."""
    with replaced_file(path) as aside:
        table.to_parquet(aside, index=False)
