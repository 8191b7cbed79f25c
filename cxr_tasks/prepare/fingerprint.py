"""The fingerprint of a prepared dataset: equal exactly when its content would be equal."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from cxr_tasks.contracts.artifacts import sha256_json
from cxr_tasks.contracts.labels import findings_of, label_column
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.images.version import PREPARE_VERSION

#: Columns that make two manifests the same input; the patient id is in so that a corrected patient counts as a change.
CONTENT_COLUMNS = (
    "image_id", "file_sha256", "split", "patient_id", "source", "view", "sex", "age_years", "sub_label", "boxes",
)  # fmt: skip


def fingerprint_of(manifest: pd.DataFrame, recipe: Recipe) -> str:
    """sha256 (hex) over each image's file hash, split, labels and details, the pixel settings and the code version."""
    return sha256_json(
        {
            "version": PREPARE_VERSION,
            "dataset": recipe.dataset.name,
            "vocabulary": recipe.dataset.vocabulary,
            "pixels": plain(recipe.pixels),
            "salt": recipe.split.salt,
            "images": content_of(manifest, recipe.dataset.vocabulary),
        }
    )


def content_of(manifest: pd.DataFrame, vocabulary: str) -> list[list[Any]]:
    """All that the dataset holds of each image, JSON-ready and in ``image_id`` order, for the fingerprint."""
    columns = [*CONTENT_COLUMNS, *(label_column(finding) for finding in findings_of(vocabulary))]
    rows = manifest.sort_values("image_id")[columns].to_numpy(dtype=object).tolist()
    return [[None if isinstance(cell, float) and math.isnan(cell) else cell for cell in row] for row in rows]
