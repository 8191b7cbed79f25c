"""The manifest: one row per usable image, what the source says and what the file holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from cxr_tasks.contracts.artifacts import replaced_file
from cxr_tasks.contracts.labels import label_column
from cxr_tasks.contracts.records import MANIFEST_COLUMNS
from cxr_tasks.contracts.specs import SplitSpec
from cxr_tasks.ingest.inspect import Inspection
from cxr_tasks.prepare.splits import assign_splits
from cxr_tasks.sources.base import ImageRecord

_WHOLE_NUMBERS = ("width_px", "height_px")
_FRACTIONS = ("age_years", "mean", "deviation")


def build_manifest(
    images: Sequence[tuple[ImageRecord, Inspection]], *, source: str, findings: Sequence[str], split: SplitSpec
) -> pd.DataFrame:
    """The manifest table, sorted by ``image_id``; columns and order as in ``contracts.records``."""
    rows = [_row(record, inspection, source, findings) for record, inspection in images]
    table = pd.DataFrame(rows).sort_values("image_id", kind="stable", ignore_index=True)
    label_columns = [label_column(finding) for finding in findings]
    table["split"] = assign_splits(
        table["patient_id"], table["official_split"], table[label_columns], split, table["pixel_sha256"]
    )
    columns = [*MANIFEST_COLUMNS, *label_columns]
    kinds = {
        name: "int64" if name in _WHOLE_NUMBERS else "float64" if name in _FRACTIONS else "str" for name in columns
    }
    return table[columns].astype(kinds)


def _row(record: ImageRecord, inspection: Inspection, source: str, findings: Sequence[str]) -> dict[str, object]:
    said = {
        "image_id": record.image_id,
        "patient_id": record.patient_id,
        "study_id": record.study_id,
        "source": source,
        "view": record.view,
        "sex": record.sex,
        "age_years": record.age_years,
        "official_split": record.official_split,
        "sub_label": record.sub_label,
        "boxes": json.dumps([asdict(box) for box in record.boxes], separators=(",", ":")),
    }
    return {**said, **asdict(inspection), **{label_column(one): record.states[one].value for one in findings}}


def write_manifest(path: Path, table: pd.DataFrame) -> None:
    """``manifest.parquet``; the same table gives the same bytes."""
    with replaced_file(path) as aside:
        table.to_parquet(aside, engine="pyarrow", index=False, compression="zstd")
