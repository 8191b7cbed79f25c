"""Columns of the files that ingest writes on its way: listed, inspected, in the manifest; and one listed row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from cxr_tasks.contracts.labels import label_column
from cxr_tasks.contracts.records import MANIFEST_COLUMNS, QUARANTINE_COLUMNS
from cxr_tasks.sources.base import ImageRecord

_WHOLE_NUMBERS = frozenset({"width_px", "height_px", "bit_depth", "box_frame_width", "box_frame_height"})
_FRACTIONS = frozenset({"age_years", "mean", "deviation", "entropy", "sharpness", "border_fraction"})
#: What the source says of an image; ``states`` become label columns.
_SAID = ("image_id", "patient_id", "study_id", "view", "sex", "age_years", "official_split", "sub_label", "boxes")
_FRAME = ("box_frame_width", "box_frame_height")
#: What is only known once all images are: both stay out of the files of the parts.
KNOWN_AT_THE_END = ("split", "duplicate_group")

REFUSAL_SCHEMA = pa.schema([(name, pa.string()) for name in QUARANTINE_COLUMNS])


def listing_schema(findings: Sequence[str]) -> pa.Schema:
    """Columns of a part of the listing: what the source says of each image; a box frame of 0 x 0 is none."""
    return _schema([*_SAID, *_FRAME, *map(label_column, findings)])


def inspected_schema(findings: Sequence[str]) -> pa.Schema:
    """Columns of an inspected part: those of the manifest but for ``KNOWN_AT_THE_END``."""
    return _schema(
        [column for column in (*MANIFEST_COLUMNS, *map(label_column, findings)) if column not in KNOWN_AT_THE_END]
    )


def manifest_schema(findings: Sequence[str]) -> pa.Schema:
    """Columns of the manifest, in the order of ``contracts.records``."""
    return _schema([*MANIFEST_COLUMNS, *map(label_column, findings)])


def _schema(columns: Sequence[str]) -> pa.Schema:
    kinds = {
        name: pa.int64() if name in _WHOLE_NUMBERS else pa.float64() if name in _FRACTIONS else pa.string()
        for name in columns
    }
    return pa.schema(list(kinds.items()))


def listed_row(record: ImageRecord, findings: Sequence[str]) -> dict[str, Any]:
    """What the source says of one image, as a row of the listing."""
    row: dict[str, Any] = {name: getattr(record, name) for name in _SAID}
    row["boxes"] = boxes_text([asdict(box) for box in record.boxes])
    row["box_frame_width"], row["box_frame_height"] = record.box_frame or (0, 0)
    return row | {label_column(finding): record.states[finding].value for finding in findings}


def boxes_text(boxes: Sequence[Mapping[str, Any]]) -> str:
    """The column ``boxes`` of one image."""
    return json.dumps(boxes, separators=(",", ":"))
