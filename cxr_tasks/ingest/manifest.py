"""Columns of the files that ingest writes on its way, and one row of each: listed, inspected, in the manifest."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from cxr_tasks.contracts.labels import label_column
from cxr_tasks.contracts.records import MANIFEST_COLUMNS, QUARANTINE_COLUMNS
from cxr_tasks.ingest.inspect import Inspection
from cxr_tasks.sources.base import Box, ImageRecord, Refusal

_WHOLE_NUMBERS = frozenset({"width_px", "height_px", "bit_depth", "box_frame_width", "box_frame_height"})
_FRACTIONS = frozenset({"age_years", "mean", "deviation", "entropy", "sharpness", "border_fraction"})
#: What the source says of an image; ``states`` become label columns.
_SAID = ("image_id", "patient_id", "study_id", "view", "sex", "age_years", "official_split", "sub_label", "boxes")
_FRAME = ("box_frame_width", "box_frame_height")
#: What is only known once all images are: both stay out of the files of the parts.
KNOWN_AT_THE_END = ("split", "duplicate_group")

#: What the file holds.
_HELD = tuple(name for name in Inspection.__dataclass_fields__ if name != "header")
_values_of = operator.attrgetter(*_HELD)

REFUSAL_SCHEMA = pa.schema([(name, pa.string()) for name in QUARANTINE_COLUMNS])


def listing_schema(findings: Sequence[str]) -> pa.Schema:
    """Columns of a part of the listing: what the source says of each image; a box frame of 0 x 0 is none."""
    return _schema([*_SAID, *_FRAME, *map(label_column, findings)])


def inspected_schema(findings: Sequence[str]) -> pa.Schema:
    """Columns of an inspected part: those of the manifest but for ``KNOWN_AT_THE_END``."""
    return _schema([one for one in (*MANIFEST_COLUMNS, *map(label_column, findings)) if one not in KNOWN_AT_THE_END])


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
    row["boxes"] = _boxes_text([asdict(box) for box in record.boxes])
    row["box_frame_width"], row["box_frame_height"] = record.box_frame or (0, 0)
    return row | {label_column(one): record.states[one].value for one in findings}


def inspected_row(listed: Mapping[str, Any], found: Inspection, *, source: str) -> dict[str, Any] | Refusal:
    """A row of the listing with what the file holds; a refusal where neither tells whose image it is.

    Where the source leaves patient, study, view, sex or age open, the header of a DICOM file says them.
    """
    row = dict(listed)
    frame = (row.pop("box_frame_width"), row.pop("box_frame_height"))
    row["source"] = source
    header = found.header
    if not row["patient_id"] and header is not None:
        row |= {
            "patient_id": header.patient_id,
            "study_id": row["study_id"] or header.study_id,
            "view": header.view if row["view"] == "unknown" else row["view"],
            "sex": header.sex if row["sex"] == "unknown" else row["sex"],
            "age_years": header.age_years if row["age_years"] != row["age_years"] else row["age_years"],
        }
    if not row["patient_id"]:
        return Refusal(
            image_id=row["image_id"],
            reason="unknown_patient",
            detail=f"expected a patient id from the source or a DICOM header, found none ({found.file_format} file)",
            action="name the patient in the source's table, or fetch the DICOM file with its header",
        )
    row["study_id"] = row["study_id"] or row["image_id"]
    if row["boxes"] != "[]" and frame not in {(0, 0), (found.width_px, found.height_px)}:
        row["boxes"] = _scaled_boxes(row["boxes"], frame, found)
    row.update(zip(_HELD, _values_of(found), strict=True))
    return row


def _scaled_boxes(text: str, frame: tuple[int, int], found: Inspection) -> str:
    """The boxes in pixels of the file, where they refer to a picture of another size."""
    along_x, along_y = found.width_px / frame[0], found.height_px / frame[1]
    boxes = [Box(**one) for one in json.loads(text)]
    return _boxes_text(
        [
            {
                "finding": box.finding,
                "x": box.x * along_x,
                "y": box.y * along_y,
                "width": box.width * along_x,
                "height": box.height * along_y,
            }
            for box in boxes
        ]
    )


def _boxes_text(boxes: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(boxes, separators=(",", ":"))
