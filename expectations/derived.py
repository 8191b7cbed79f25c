"""Columns computed from a manifest so that stock expectations can speak about patients, duplicates and shortcuts."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxr_tasks.contracts.labels import LabelState, label_column

#: What a label could be guessed from without looking at the lungs.
SHORTCUTS = ("mode", "file_format", "aspect_ratio", "mean", "deviation")


def is_positive_column(finding: str) -> str:
    return f"is_positive_{finding}"


def split_state_column(finding: str) -> str:
    return f"split_and_state_{finding}"


def prevalence_gap_column(finding: str) -> str:
    return f"prevalence_gap_{finding}"


def shortcut_column(finding: str, shortcut: str) -> str:
    return f"auroc_{finding}_from_{shortcut}"


def with_derived_columns(manifest: pd.DataFrame, findings: Sequence[str]) -> pd.DataFrame:
    """The manifest with further columns; counts of splits and label sets, boxes outside, shares and shortcut AUROCs.

    A number about the whole table (a gap, an AUROC) stands in every row. Where a needed column is missing from the
    manifest, what would be computed from it is left out; the suite then reports the missing columns.
    """
    table = manifest.copy()
    label_columns = [label_column(finding) for finding in findings]
    if _has(table, "split", "patient_id", "pixel_sha256"):
        table["n_splits_of_patient"] = table.groupby("patient_id")["split"].transform("nunique")
        table["n_splits_of_pixels"] = table.groupby("pixel_sha256")["split"].transform("nunique")
    if _has(table, "width_px", "height_px"):
        table["aspect_ratio"] = table["width_px"] / table["height_px"]
    if _has(table, "boxes", "width_px", "height_px"):
        table["n_boxes_outside"] = _boxes_outside(table)
    if _has(table, "pixel_sha256", "sub_label", *label_columns):
        labels = table[label_columns].agg("|".join, axis=1)
        table["n_label_sets_of_pixels"] = labels.groupby(table["pixel_sha256"]).transform("nunique")
        has_positive = (table[label_columns] == LabelState.POSITIVE.value).any(axis=1)
        table["is_sub_label_without_finding"] = (table["sub_label"] != "") & ~has_positive
    for finding in findings:
        if _has(table, "split", label_column(finding)):
            _add_label_columns(table, finding)
    return table


def _has(table: pd.DataFrame, *columns: str) -> bool:
    return set(columns) <= set(table.columns)


def _add_label_columns(table: pd.DataFrame, finding: str) -> None:
    state = table[label_column(finding)]
    is_positive = state == LabelState.POSITIVE.value
    table[is_positive_column(finding)] = is_positive.astype(float)
    table[split_state_column(finding)] = table["split"] + ":" + state
    shares = is_positive.groupby(table["split"]).mean()
    table[prevalence_gap_column(finding)] = abs(shares.get("train", np.nan) - shares.get("validation", np.nan))
    for shortcut in SHORTCUTS:
        if shortcut in table.columns:
            table[shortcut_column(finding, shortcut)] = shortcut_auroc(table[shortcut], is_positive)


def shortcut_auroc(value: pd.Series, is_positive: pd.Series) -> float:
    """How well ``value`` alone tells positive from not, as an AUROC from 0.5 (not at all) to 1; NaN with one class.

    Text is ranked by the share of positives among its rows, which flatters a value with many rare spellings. Ties
    count as half (Mann-Whitney).

    >>> shortcut_auroc(pd.Series(["RGB", "RGB", "L", "L"]), pd.Series([True, True, False, True]))
    0.8333333333333334
    """
    if not pd.api.types.is_numeric_dtype(value):
        value = is_positive.groupby(value).transform("mean")
    n_positive, n_other = int(is_positive.sum()), int((~is_positive).sum())
    if not n_positive or not n_other:
        return float("nan")
    rank_sum = value.rank()[is_positive].sum()
    auroc = (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_other)
    return float(max(auroc, 1 - auroc))


def _boxes_outside(table: pd.DataFrame) -> pd.Series:
    """Per image, how many boxes are empty or reach beyond the picture (by more than a pixel of rounding)."""
    counts = []
    for boxes, width, height in zip(table["boxes"], table["width_px"], table["height_px"], strict=True):
        counts.append(
            sum(
                not (
                    box["width"] > 0
                    and box["height"] > 0
                    and box["x"] >= -1
                    and box["y"] >= -1
                    and box["x"] + box["width"] <= width + 1
                    and box["y"] + box["height"] <= height + 1
                )
                for box in json.loads(boxes)
            )
        )
    return pd.Series(counts, index=table.index, dtype="int64")
