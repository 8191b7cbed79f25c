"""Rows of a manifest as rows of the dataset index: labels as numbers, patients as keys, boxes in stored pixels."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import SPLITS, LabelState, findings_of, label_column
from cxr_tasks.contracts.records import INDEX_COLUMNS, MANIFEST_COLUMNS
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.installation.patient_keys import patient_key

#: What training sees of a label state; not knowing is not a negative.
TARGETS = {LabelState.POSITIVE: 1.0, LabelState.NEGATIVE: 0.0}


def index_of(manifest: pd.DataFrame, vocabulary: str, pixels: PixelSpec, *, salt: str, secret: bytes) -> pd.DataFrame:
    """The index of the dataset to be: ``INDEX_COLUMNS`` and label columns, by split, then by ``image_id``.

    Raises:
        DataDefect: A column is missing, a split or label state is not known, an image stands twice, or a patient is
            in two splits.
    """
    findings = findings_of(vocabulary)
    _check(manifest, findings)
    index = pd.DataFrame(
        {
            **{name: manifest[name] for name in INDEX_COLUMNS if name in manifest},
            "patient_key": [patient_key(patient_id, salt=salt, secret=secret) for patient_id in manifest["patient_id"]],
            "aspect_ratio": manifest["width_px"] / manifest["height_px"],
            "boxes": [
                json.dumps(stored_boxes(json.loads(boxes), int(width), int(height), pixels))
                for boxes, width, height in zip(
                    manifest["boxes"], manifest["width_px"], manifest["height_px"], strict=True
                )
            ],
        }
    )
    columns = [label_column(finding) for finding in findings]
    index = pd.concat([index[list(INDEX_COLUMNS)], manifest[columns]], axis=1)
    place = index["split"].map({split: number for number, split in enumerate(SPLITS)})
    return index.assign(_place=place).sort_values(["_place", "image_id"]).drop(columns="_place").reset_index(drop=True)


def targets_of(index: pd.DataFrame, vocabulary: str) -> pd.DataFrame:
    """Labels as float: 1 positive, 0 negative, NaN uncertain or not mentioned; one column per finding."""
    states = index[[label_column(finding) for finding in findings_of(vocabulary)]]
    return states.map(lambda state: TARGETS.get(LabelState(state), math.nan)).astype("float32")


def stored_boxes(boxes: list[dict[str, Any]], width_px: int, height_px: int, pixels: PixelSpec) -> list[dict[str, Any]]:
    """``boxes`` of the original in pixels of the stored square; what a crop cuts away is cut from them too.

    A box that lies outside the crop altogether is left out.
    """
    if pixels.fit == "crop":
        side = min(width_px, height_px)
        left, top, width_px, height_px = (width_px - side) // 2, (height_px - side) // 2, side, side
    else:
        left = top = 0
    scale_x, scale_y = pixels.size_px / width_px, pixels.size_px / height_px
    stored = []
    for box in boxes:
        x0, x1 = (min(max((edge - left) * scale_x, 0), pixels.size_px) for edge in (box["x"], box["x"] + box["width"]))
        y0, y1 = (min(max((edge - top) * scale_y, 0), pixels.size_px) for edge in (box["y"], box["y"] + box["height"]))
        if x1 > x0 and y1 > y0:
            stored.append({"finding": box["finding"], "x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0})
    return stored


def _check(manifest: pd.DataFrame, findings: tuple[str, ...]) -> None:
    columns = [*MANIFEST_COLUMNS, *(label_column(finding) for finding in findings)]
    missing = [name for name in columns if name not in manifest]
    if missing:
        raise DataDefect(f"manifest: expected the columns of contracts.records, without {', '.join(missing)}")
    states = {str(state) for state in LabelState}
    known_words = {"split": set(SPLITS)} | {label_column(finding): states for finding in findings}
    for name, known in known_words.items():
        unknown = sorted(set(manifest[name].astype(str)) - known)
        if unknown:
            raise DataDefect(f"manifest, column {name}: {unknown[0]!r} is not known; known: {', '.join(sorted(known))}")
    twice = manifest["image_id"][manifest["image_id"].duplicated()]
    if len(twice):
        raise DataDefect(f"manifest: {len(twice)} image ids stand more than once; the first is {twice.iloc[0]!r}")
    n_splits = manifest.groupby("patient_id")["split"].nunique()
    if (n_splits > 1).any():
        raise DataDefect(
            f"manifest: {(n_splits > 1).sum()} patients are in more than one split; the same patient in training and "
            "test makes the test worthless"
        )
