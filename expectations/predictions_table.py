"""Predictions beside the index of their dataset: what is told of an image must be told of it there too."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cxr_tasks.contracts.labels import LabelState, label_column
from cxr_tasks.contracts.records import target_column

_JUDGED = ("validation", "test")
_TARGETS = {LabelState.POSITIVE: 1.0, LabelState.NEGATIVE: 0.0}


def checked_predictions(predictions: pd.DataFrame, index: pd.DataFrame, findings: Sequence[str]) -> pd.DataFrame:
    """The predictions with ``row_fault`` and ``target_fault``: how a row differs from the index, empty where not.

    What training takes an uncertain or unmentioned label for is a setting; targets of these are not compared. Where
    a column is missing what needs it is left out; the suite then reports the column.
    """
    table = predictions.copy()
    if not {"image_id", "split", "patient_key"} <= set(table.columns):
        return table
    there = index.drop_duplicates("image_id").set_index("image_id").reindex(table["image_id"])
    there = there.reset_index(drop=True).set_axis(table.index)
    table["row_fault"] = ""
    table.loc[there["patient_key"] != table["patient_key"], "row_fault"] = "another patient in the index"
    table.loc[there["split"] != table["split"], "row_fault"] = "in another split of the index"
    table.loc[there["split"].isna(), "row_fault"] = "not in the index"
    targets = [finding for finding in findings if target_column(finding) in table]
    table["target_fault"] = ""
    for finding in targets:
        state, given = there[label_column(finding)], table[target_column(finding)]
        for known, value in _TARGETS.items():
            differs = (state == known) & (given != value)
            table.loc[differs, "target_fault"] = [
                f"{finding}: index {known}, target {target}" for target in given[differs]
            ]
    return table


def coverage(predictions: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """``image_id``, ``split`` and ``n_predictions`` of each validation and test image of the index."""
    rows = index.loc[index["split"].isin(_JUDGED), ["image_id", "split"]].reset_index(drop=True)
    counts = predictions["image_id"].value_counts() if "image_id" in predictions else pd.Series(dtype="int64")
    return rows.assign(n_predictions=rows["image_id"].map(counts).fillna(0).astype("int64"))
