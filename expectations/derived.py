"""Columns computed from a manifest so that stock expectations can speak about patients, duplicates and boxes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cxr_tasks.contracts.labels import VOCABULARIES, LabelState, label_column

_BOX_EDGES = ("x", "y", "width", "height")
_KNOWN_FINDINGS = frozenset(finding for findings in VOCABULARIES.values() for finding in findings)
#: CheXpert's rule: "No Finding" is the absence of every finding but this one, which is no illness.
_BESIDE_NO_FINDING = frozenset({"no_finding", "support_devices"})


def with_derived_columns(manifest: pd.DataFrame, findings: Sequence[str]) -> pd.DataFrame:
    """The manifest with further columns: in how many splits a patient or picture is, and what is wrong with a row.

    A column named ``..._fault`` holds a description, empty where nothing is wrong. Where a needed column is missing
    from the manifest, what would be computed from it is left out; the suite then reports the missing columns.
    """
    table = manifest.copy()
    label_columns = [label_column(finding) for finding in findings]
    if _has(table, "split", "patient_id", "pixel_hash", "duplicate_group"):
        table["n_splits_of_patient"] = table.groupby("patient_id")["split"].transform("nunique")
        table["n_splits_of_pixels"] = table.groupby("pixel_hash")["split"].transform("nunique")
        table["n_splits_of_near_pixels"] = _splits_of_groups(table)
    if _has(table, "width_px", "height_px"):
        table["aspect_ratio"] = table["width_px"] / table["height_px"]
    if _has(table, "boxes", "width_px", "height_px", *label_columns):
        table["box_fault"], table["n_boxes_without_finding"] = _box_columns(table, findings)
    if _has(table, "pixel_hash", "sub_label", *label_columns):
        _add_label_agreement(table, label_columns)
    if "no_finding" in findings and _has(table, *label_columns):
        others = [label_column(finding) for finding in findings if finding not in _BESIDE_NO_FINDING]
        says_none = table[label_column("no_finding")] == LabelState.POSITIVE
        table["is_no_finding_contradicted"] = says_none & (table[others] == LabelState.POSITIVE).any(axis=1)
    if _has(table, "patient_id", "sex"):
        known = table["sex"].where(table["sex"] != "unknown")
        table["n_sexes_of_patient"] = known.groupby(table["patient_id"]).transform("nunique")
    if _has(table, "official_split", "split"):
        table["is_official_test_elsewhere"] = (table["official_split"] == "test") & (table["split"] != "test")
    return table


def _has(table: pd.DataFrame, *columns: str) -> bool:
    return set(columns) <= set(table.columns)


def _splits_of_groups(table: pd.DataFrame) -> pd.Series:
    """Number of splits that the group of (nearly) equal pictures of each row is in; 1 where it has no twin."""
    grouped = table[table["duplicate_group"] != ""]
    counts = grouped.groupby("duplicate_group")["split"].transform("nunique")
    return counts.reindex(table.index, fill_value=1)


def _add_label_agreement(table: pd.DataFrame, label_columns: Sequence[str]) -> None:
    # Only pictures that stand more than once can disagree; joining the labels of all rows would take seconds.
    twins = table[table["pixel_hash"].duplicated(keep=False)]
    states = twins[list(label_columns)].astype(str).to_numpy()
    labels = pd.Series(["|".join(row) for row in states], index=twins.index, dtype="str")
    counts = labels.groupby(twins["pixel_hash"]).transform("nunique")
    table["n_label_sets_of_pixels"] = counts.reindex(table.index, fill_value=1).astype("int64")
    has_positive = (table[list(label_columns)] == LabelState.POSITIVE).any(axis=1)
    table["is_sub_label_without_finding"] = (table["sub_label"] != "") & ~has_positive


def _box_columns(table: pd.DataFrame, findings: Sequence[str]) -> tuple[pd.Series, pd.Series]:
    """What is wrong with the boxes of each row, and how many boxes mark a finding that the row does not call positive.

    Boxes of findings outside the vocabulary are let pass: a narrower vocabulary may be read from a wider source.
    """
    faults = pd.Series("", index=table.index, dtype="str")
    unlabelled = pd.Series(0, index=table.index, dtype="int64")
    marked = table[table["boxes"] != "[]"]
    for row, values in zip(marked.index, marked.to_dict("records"), strict=True):
        boxes, faults[row] = parsed_boxes(values["boxes"], values["width_px"], values["height_px"])
        unlabelled[row] = sum(
            box["finding"] in findings and values[label_column(box["finding"])] != LabelState.POSITIVE for box in boxes
        )
    return faults, unlabelled


def parsed_boxes(text: Any, width: float, height: float) -> tuple[list[Mapping[str, Any]], str]:
    """The boxes in a table's JSON and the first fault in them; no boxes where they cannot be read.

    A box must mark a known finding, have an area, and lie in the picture but for a pixel of rounding.

    >>> parsed_boxes('[{"finding": "mass", "x": 0, "y": 0, "width": 9, "height": 0}]', 10, 10)[1]
    'box 1 (mass) is empty'
    """
    try:
        boxes = json.loads(text)
    except (TypeError, ValueError):
        return [], "not JSON"
    if not isinstance(boxes, list):
        return [], "not a list of boxes"
    for number, box in enumerate(boxes, start=1):
        fault = _box_fault(box, width, height)
        if fault:
            return [], f"box {number} {fault}"
    return boxes, ""


def _box_fault(box: Any, width: float, height: float) -> str:
    if not isinstance(box, dict) or any(type(box.get(edge)) not in (int, float) for edge in _BOX_EDGES):
        return f"lacks a number among {', '.join(_BOX_EDGES)}"
    finding = box.get("finding")
    if finding not in _KNOWN_FINDINGS:
        return f"marks the unknown finding {finding!r}"
    x, y, box_width, box_height = (box[edge] for edge in _BOX_EDGES)
    if not (box_width > 0 and box_height > 0):
        return f"({finding}) is empty"
    if x < -1 or y < -1 or x + box_width > width + 1 or y + box_height > height + 1:
        return f"({finding}) reaches beyond the picture of {width:g} x {height:g}"
    return ""
