"""Valid tables for tests; a test changes the one thing it is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from cxr_tasks.contracts.labels import label_column
from cxr_tasks.contracts.records import MANIFEST_COLUMNS

#: What every column of a manifest holds unless a test says otherwise; ids and hashes are numbered by row.
_DEFAULTS: dict[str, Any] = {
    "source": "synthetic",
    "view": "unknown",
    "sex": "unknown",
    "age_years": float("nan"),
    "official_split": "",
    "split": "train",
    "sub_label": "",
    "boxes": "[]",
    "duplicate_group": "",
    "file_format": "PNG",
    "mode": "L",
    "width_px": 256,
    "height_px": 256,
    "bit_depth": 8,
    "mean": 0.5,
    "deviation": 0.2,
    "entropy": 7.0,
    "sharpness": 0.002,
    "border_fraction": 0.0,
    "flags": "",
}
_NUMBERED = {
    "image_id": "x/{:03d}.png",
    "patient_id": "p{:03d}",
    "study_id": "s{:03d}",
    "file_sha256": "{:064x}",
    "pixel_hash": "{:032x}",
    "perceptual_hash": "{:064x}",
}


def manifest_table(n_images: int, findings: Sequence[str] = ("pneumonia",), **columns: Any) -> pd.DataFrame:
    """A manifest of ``n_images`` rows, all negative; ``columns`` are values or lists that replace the defaults."""
    values: dict[str, Any] = {name: [text.format(row) for row in range(n_images)] for name, text in _NUMBERED.items()}
    values |= _DEFAULTS | {label_column(finding): "negative" for finding in findings} | columns
    unknown = values.keys() - MANIFEST_COLUMNS.keys() - {label_column(finding) for finding in findings}
    assert not unknown, f"not columns of a manifest: {sorted(unknown)}"
    order = [*MANIFEST_COLUMNS, *(label_column(finding) for finding in findings)]
    return pd.DataFrame(values, index=range(n_images))[order]
